"""The review sheet, opened from its file in a browser without a network."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect

from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.manifests.selection import select_events
from smallcaps_assets.domain.review.sample import ChartRules, chart_frames, draw_sample
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.review.page import Heading, render_sheet
from smallcaps_assets.pipeline.review.review import Review
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.browser.web_ui import screenshot
from smallcaps_assets_tests.conftest import event, manifest_of
from smallcaps_assets_tests.demo.conftest import Home
from smallcaps_assets_tests.review_scenes import (
    MANIFEST_ID,
    consolidation_break,
    fill_lake,
    opening_range_break,
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


@dataclass
class Opened:
    """A sheet on a page of a browser that has no network, and its requests and console messages."""

    page: Page
    file: Path
    requests: list[str]
    messages: list[str]

    def show(self, row: dict[str, Any]) -> None:
        """Choose an event in the list."""
        self.page.locator("#list li").filter(has_text=row["symbol"]).click()
        expect(self.page.locator("#event-id")).to_have_text(row["event_id"])

    def expect_count(self, words: str) -> None:
        expect(self.page.locator("#count")).to_have_text(words)

    def export(self, path: Path) -> dict[str, Any]:
        """Press the export button; the saved file, as JSON."""
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name="Export labels").click()
        assert download.value.suggested_filename == f"{MANIFEST_ID}_labels.json"
        download.value.save_as(path)
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document


def opened(browser: Browser, file: Path, script: str | None = None) -> Iterator[Opened]:
    context = browser.new_context(offline=True, viewport={"width": 1400, "height": 860})
    if script:
        context.add_init_script(script)
    page = context.new_page()
    page.set_default_timeout(15_000)
    sheet = Opened(page, file, [], [])
    page.on("request", lambda request: sheet.requests.append(request.url))
    page.on("pageerror", lambda error: sheet.messages.append(str(error)))
    page.on("console", lambda message: sheet.messages.append(message.text))
    page.goto(file.as_uri())
    yield sheet
    # a reload requests the page again; nothing else is requested
    assert {url for url in sheet.requests if not url.startswith("blob:")} == {file.as_uri()}
    assert not sheet.messages
    context.close()


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
    expect(page.locator("svg .volume")).to_have_count(71)
    expect(page.locator("svg .zone")).to_have_count(1)
    expect(page.locator("#chart")).to_contain_text("opening range 09:30")
    expect(page.locator("svg .event-tag")).to_have_text("▲ opening range break 10:10")
    expect(page.locator("#readout")).to_contain_text("VWAP $10.0551 (3.4 %)")
    expect(page.locator("#known")).to_contain_text("score0.900")
    expect(page.locator("#hindsight")).to_contain_text("rvol of day")
    page.keyboard.press("h")
    expect(page.locator("svg .volume")).to_have_count(41)
    expect(page.locator("#hindsight dd").first).to_be_hidden()
    page.keyboard.press("h")
    sheet.show(consolidation_break())
    expect(page.locator("#chart")).to_contain_text("base 08:00")
    sheet.show(without_bars())
    expect(page.locator("#chart")).to_contain_text("The lake has no bars of GONE on 2025-11-05")
    page.locator("#by-type").select_option("flush")
    expect(page.locator("#list li")).to_have_count(1)
    page.locator("#by-session").select_option("PM")
    expect(page.locator("#chart")).to_contain_text("No event matches these filters.")


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
    made = Review(lake, "core", settings).make()
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
