"""The review sheet, opened from its file in a browser without a network."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect

from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.manifests.selection import select_events
from smallcaps_assets.domain.review.sample import ChartRules, chart_frames, draw_sample
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.review.event_page import find_captured_event
from smallcaps_assets.pipeline.review.page import Heading, render_sheet
from smallcaps_assets.pipeline.review.review import Review
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.browser.opened_page import Opened, opened
from smallcaps_assets_tests.browser.web_ui import screenshot
from smallcaps_assets_tests.conftest import client_of, event, manifest_of, open_gate
from smallcaps_assets_tests.demo.conftest import Home
from smallcaps_assets_tests.review_scenes import (
    MANIFEST_ID,
    capture_break,
    consolidation_break,
    fill_lake,
    opening_range_break,
    record_costs,
    record_outcomes,
    scene_bars,
    without_bars,
)
from smallcaps_assets_tests.scenarios import default_settings, sessions_of

pytestmark = pytest.mark.browser

# limits so wide that nearly every event is selected
WIDE_LIMITS = {
    "min_event_score": 0.5,
    "max_per_symbol": 400,
    "max_per_symbol_day": 40,
    "min_bar_dollar_volume_usd": 0.0,
    "min_bar_volume_shares": 0.0,
    "max_bar_spread_pct": 100.0,
    "min_day_rvol": 0.0,
}
WITHOUT_STORAGE = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no') }})"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose lake holds the scene and its sheet."""
    made = Home.make(tmp_path / "home")
    fill_lake(made.lake)
    Review(made.lake, "core", default_settings()).make()
    return made


@pytest.fixture
def sheet(browser: Browser, home: Home) -> Iterator[Opened]:
    yield from opened(browser, home.lake.review_sheet("core", MANIFEST_ID))


def test_labels_are_kept_exported_and_imported(sheet: Opened, home: Home, tmp_path: Path) -> None:
    page = sheet.page
    sheet.expect_count("0 of 3 labeled · 0 good · 0 bad")
    sheet.show(opening_range_break())
    page.keyboard.press("g")
    sheet.show(consolidation_break())
    page.get_by_role("button", name="Bad").click()
    sheet.show(without_bars())
    page.keyboard.press("b")
    sheet.expect_count("3 of 3 labeled · 1 good · 2 bad")
    page.keyboard.press("u")
    sheet.expect_count("2 of 3 labeled · 1 good · 1 bad")
    page.reload()
    sheet.expect_count("2 of 3 labeled · 1 good · 1 bad")
    # the first event without a label is shown
    expect(page.locator("#event-id")).to_have_text(without_bars()["event_id"])

    exported = tmp_path / "labels.json"
    document = sheet.export(exported)
    assert {name: label["mark"] for name, label in document["marks"].items()} == {
        opening_range_break()["event_id"]: "good",
        consolidation_break()["event_id"]: "bad",
        without_bars()["event_id"]: None,
    }
    output = home.run("review", str(exported))
    assert "3 labels stored" in output
    assert "not judged: 1 of 3 labels are missing; precision 50.0 % (95 % interval 9.5 to 90.5) so far" in output


def test_an_export_is_imported_on_the_page_of_another_browser(
    sheet: Opened, browser: Browser, home: Home, tmp_path: Path
) -> None:
    sheet.show(opening_range_break())
    sheet.page.keyboard.press("g")
    exported = tmp_path / "labels.json"
    document = sheet.export(exported)
    for other in opened(browser, home.lake.review_sheet("core", MANIFEST_ID)):
        other.expect_count("0 of 3 labeled · 0 good · 0 bad")
        other.page.locator("#import-file").set_input_files(exported)
        other.expect_count("1 of 3 labeled · 1 good · 0 bad")
        exported.write_text(json.dumps(document | {"sample_id": "f" * 16}), encoding="utf-8")
        other.page.locator("#import-file").set_input_files(exported)
        expect(other.page.locator("#notice")).to_contain_text(f"its sample_id is {'f' * 16}")
        other.expect_count("1 of 3 labeled · 1 good · 0 bad")


def test_without_storage_labels_survive_a_reload_and_the_page_warns(browser: Browser, home: Home) -> None:
    for sheet in opened(browser, home.lake.review_sheet("core", MANIFEST_ID), WITHOUT_STORAGE):
        expect(sheet.page.locator("#notice")).to_contain_text("Export them before you close it")
        sheet.page.keyboard.press("g")
        sheet.expect_count("1 of 3 labeled · 1 good · 0 bad")
        # leaving without an export asks for confirmation
        sheet.page.on("dialog", lambda dialog: dialog.accept())
        sheet.page.reload()
        sheet.expect_count("1 of 3 labeled · 1 good · 0 bad")


def test_the_chart_shows_price_volume_vwap_range_and_base(sheet: Opened) -> None:
    page = sheet.page
    sheet.show(opening_range_break())
    # what came after is hidden until asked for
    expect(page.locator("svg .volume")).to_have_count(41)
    expect(page.locator("#hindsight dd").first).to_be_hidden()
    expect(page.locator("#hidden-note")).to_contain_text("Hidden, so that you judge by what was known")
    page.keyboard.press("h")
    expect(page.locator("svg .volume")).to_have_count(71)
    expect(page.locator("#hidden-note")).to_be_hidden()
    expect(page.locator("#legend")).to_contain_text("no outcome: The lake has no event_labels of AEMD yet.")
    expect(page.locator("svg .zone")).to_have_count(1)
    expect(page.locator("#chart")).to_contain_text("opening range 09:30")
    expect(page.locator("svg .event-tag")).to_have_text("▲ opening range break 10:10")
    expect(page.locator("#readout")).to_contain_text("VWAP $10.0551 (3.4 %)")
    expect(page.locator("#known")).to_contain_text("score0.900")
    expect(page.locator("#hindsight")).to_contain_text("rvol of day")
    page.keyboard.press("h")
    expect(page.locator("svg .volume")).to_have_count(41)
    expect(page.locator("#hindsight dd").first).to_be_hidden()
    sheet.show(consolidation_break())
    expect(page.locator("#chart")).to_contain_text("base 08:00")
    sheet.show(without_bars())
    expect(page.locator("#chart")).to_contain_text("The lake has no bars of GONE on 2025-11-05")
    page.locator("#by-type").select_option("flush")
    expect(page.locator("#list li")).to_have_count(1)
    page.locator("#by-session").select_option("PM")
    expect(page.locator("#chart")).to_contain_text("No event matches these filters.")


def test_the_outcome_is_hidden_until_asked_for_and_hidden_again_at_the_next_event(browser: Browser, home: Home) -> None:
    made = record_outcomes(home.lake)
    record_costs(home.lake, made.labels, 20.0)
    for sheet in opened(browser, Review(home.lake, "core", default_settings()).make().path):
        page = sheet.page
        sheet.show(opening_range_break())
        outcome, figures = page.locator("#chart svg .outcome"), page.locator("#outcome dd")
        expect(outcome).to_have_count(0)
        expect(figures).to_have_count(0)
        expect(page.locator("#chart")).to_contain_text("hidden: H shows what came after")
        page.keyboard.press("h")
        for words in ("entry 10:11 $10.40", "profit $10.452", "stop $10.348", "exit 10:12 +0.50 %", "MFE +67 bps"):
            expect(outcome).to_contain_text(words)
        expect(outcome.locator(".barrier")).to_have_count(3)
        expect(figures).to_have_text(
            [
                "10:12, profit barrier",
                "+0.50 %",
                "20.0 bps (nbbo)",
                "+0.30 %",
                "no",
                "no",
                "+67 bps, 10:12",
                "\N{MINUS SIGN}29 bps, 10:11",
                "stall",
            ]
        )
        # labels work meanwhile; the next event without a label is hidden again, one with a label is not
        page.keyboard.press("g")
        sheet.expect_count("1 of 3 labeled · 1 good · 0 bad")
        sheet.show(consolidation_break())
        expect(page.locator("#hide")).to_be_checked()
        expect(outcome).to_have_count(0)
        page.keyboard.press("h")
        sheet.show(opening_range_break())
        expect(outcome).to_have_count(1)


def test_text_in_the_data_is_not_executed(browser: Browser, tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    params = default_settings().review
    sample = draw_sample(manifest_of(event(symbol=hostile, event_id=hostile)), params)
    rules = ChartRules(default_settings().features, 15, params)
    charts = chart_frames(sample, scene_bars(), sessions_of("2025-11-05"), rules)
    file = tmp_path / "sheet.html"
    file.write_text(render_sheet(Heading("core", MANIFEST_ID, "0" * 16, 1, params), sample, charts), encoding="utf-8")
    for sheet in opened(browser, file):
        expect(sheet.page.locator("#event-id")).to_have_text(hostile)
        expect(sheet.page.locator("#list b")).to_have_text(hostile)
        expect(sheet.page).to_have_title(f"Review core · {MANIFEST_ID}")


def test_a_sheet_of_100_simulated_events_is_below_1_mb(browser: Browser, lake: Lake, client: MarketDataClient) -> None:
    settings = load_settings(overrides={"profiles": {"core": WIDE_LIMITS}})
    store, first, last = BarsStore(lake), date(2025, 10, 20), date(2025, 12, 1)
    sessions = sessions_between(first, last, settings.sessions)
    list(ingest_bars(["AVLO", "BNRX", "CRVO", "DRFT"], sessions["date"].to_list(), client, store, threads=2))
    bars = pl.concat(store.read(symbol) for symbol in store.symbols())
    master = build_master(detect(bars, sessions, settings.detection).events, settings.cooldown)
    # an event of each type, however close it is to a stronger one
    alone = master.with_columns(event_group_id="event_id")
    fill_lake(lake, select_events(alone, settings.profiles["core"], settings.ranking).manifest)
    outcomes = record_outcomes(lake, alone, bars)
    record_costs(lake, outcomes.labels, 35.0)
    made = Review(lake, "core", settings).make()
    # nothing trades within 5 minutes after the others
    assert made.outcomes == 93
    assert made.bytes < 1e6
    for sheet in opened(browser, made.path):
        sheet.expect_count("0 of 100 labeled · 0 good · 0 bad")
        for key in "ggbgggbggggbgg":
            sheet.page.keyboard.press(key)
        sheet.expect_count("14 of 100 labeled · 11 good · 3 bad")
        zone_in_view = next(
            (row for row in made.charts.charts.to_dicts() if row["zone_end"] and -30 < row["zone_end"] < 0), None
        )
        assert zone_in_view
        sheet.page.evaluate("id => show(byId.get(id))", zone_in_view["event_id"])
        expect(sheet.page.locator("svg .zone")).to_have_count(1)
        screenshot(sheet.page, "review-sheet.png")
        sheet.page.keyboard.press("h")
        expect(sheet.page.locator("#chart svg .outcome")).to_have_count(1)
        screenshot(sheet.page, "review-outcome.png")


def test_the_tape_is_drawn_zoomed_and_moved_and_labels_still_work(browser: Browser, home: Home) -> None:
    capture_break(home.lake)
    made = Review(home.lake, "core", default_settings()).make()
    for sheet in opened(browser, made.path):
        page = sheet.page
        sheet.show(opening_range_break())
        expect(page.locator("#tape-readout")).to_contain_text("10:07:00 to 10:11:00 New York")
        page.keyboard.press("h")
        expect(page.locator("#tape-count")).to_have_text("all 6 trades, all 8 changes of bid or ask")
        # two bought and one sold on exchange, one sold off-exchange, one with no side, one that counts for nothing
        marks = {"exchange.buy": 2, "exchange.sell": 1, "trf.sell": 1, "exchange.unsigned": 1, "uncounted": 1}
        assert {name: drawn(page, f"svg .trades.{name}") for name in marks} == marks
        books = {"band": 5, "locked": 1, "crossed": 1}
        assert {name: drawn(page, f"svg .book.{name}") for name in books} == books
        readout, tape = page.locator("#tape-readout"), page.locator("#tape")
        expect(readout).to_contain_text("10:07:00 to 10:17:00 New York")
        imbalance = page.locator("#tape-known tr:has(th[title='imbalance_shares, ratio']) td")
        expect(imbalance).to_have_text(["0.474", "0.474", "-1.000"])
        expect(page.locator("#tape-hindsight thead").first).to_contain_text("m5post_all")

        # the keys zoom about the middle, the arrows move the chart that has the focus and not the list
        page.keyboard.press("+")
        expect(readout).to_contain_text("10:09:30 to 10:14:30")
        tape.focus()
        page.keyboard.press("ArrowLeft")
        expect(readout).to_contain_text("10:08:30 to 10:13:30")
        expect(page.locator("#event-id")).to_have_text(opening_range_break()["event_id"])
        page.keyboard.press("0")
        expect(readout).to_contain_text("10:07:00 to 10:17:00")
        box = tape.bounding_box()
        assert box
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
        page.mouse.move(*middle)
        page.mouse.wheel(0, -600)
        page.mouse.down()
        page.mouse.move(middle[0] + 100, middle[1])
        page.mouse.up()
        page.mouse.move(0, 0)
        expect(readout).not_to_contain_text("10:07:00 to 10:17:00")
        assert page.evaluate("0 < view.from + 180000 && view.to - view.from < 300000")
        page.get_by_role("button", name="whole window").click()

        # what came after the minute of the event is hidden with its figures
        page.keyboard.press("h")
        expect(readout).to_contain_text("10:07:00 to 10:11:00")
        expect(page.locator("#tape-hindsight td").first).to_be_hidden()
        page.keyboard.press("g")
        sheet.expect_count("1 of 3 labeled · 1 good · 0 bad")
        sheet.show(consolidation_break())
        expect(page.locator("#tape-note")).to_have_text("No tape of this event is captured.")
        expect(tape).to_be_hidden()


def test_the_page_of_an_event_shows_its_halt(browser: Browser, lake: Lake, tmp_path: Path) -> None:
    first, day = date(2025, 11, 12), date(2025, 11, 14)
    settings, store = default_settings(), BarsStore(lake)
    sessions = sessions_between(first, day, settings.sessions)
    with open_gate(SimulatedMarket(seed=7, symbols=1, drill=True)) as gate, closing(client_of(gate)) as client:
        list(ingest_bars(["DRILL"], sessions["date"].to_list(), client, store, threads=1))
        master = build_master(detect(store.read("DRILL"), sessions, settings.detection).events, settings.cooldown)
        spike = master.filter(event_type="volume_spike", date=f"{day}").to_dicts()[0]
        fill_lake(lake, manifest_of(spike, before=3, after=15))
        tape = TapeStore(lake, "core", settings.profiles["core"])
        for kind in TAPE_KINDS:
            capture = Capture(kind, tape, client, 1, "abc", log=lambda line: None)  # noqa: ARG005
            list(capture.run(ManifestStore.in_lake(lake, "core").load(), [("DRILL", "RTH")]))
    page_file = tmp_path / "event.html"
    event_page = find_captured_event(lake, settings, spike["event_id"], None).page(lake, settings)
    page_file.write_text(event_page, encoding="utf-8")
    for opened_page in opened(browser, page_file):
        page = opened_page.page
        expect(page).to_have_title(f"{spike['event_id']} · core")
        expect(page.get_by_role("button", name="Good")).to_be_hidden()
        expect(page.locator("#tape svg .halt")).to_have_count(0)
        page.keyboard.press("h")
        expect(page.locator("#tape svg .halt")).to_have_count(1)
        expect(page.locator("#tape svg .halt-tag")).to_contain_text("(tape)")
        expect(page.locator("#tape-legend")).to_contain_text("bid above ask")
        screenshot(page, "event-page.png")
        # that it is a halt is known when it is over
        page.keyboard.press("h")
        expect(page.locator("#tape svg .halt")).to_have_count(0)


def drawn(page: Page, selector: str) -> int:
    """Number of marks in the one path that draws those of a kind."""
    return int(page.eval_on_selector(selector, "path => path.getAttribute('d').split('M').length - 1"))
