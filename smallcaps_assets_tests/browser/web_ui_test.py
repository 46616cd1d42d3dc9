"""The web UI in the order of a first day: clicks, and the files that they produce in the lake."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from zoneinfo import ZoneInfo

import polars as pl
import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from smallcaps_assets.defs.registry import REGISTRY
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.symbol_paths import symbol_name
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.settings.settings import PROFILES, load_settings
from smallcaps_assets_tests.browser.conftest import Desk
from smallcaps_assets_tests.browser.other_site import WAYS, other_site
from smallcaps_assets_tests.browser.web_ui import GREEN, RED, AssetPage, screenshot
from smallcaps_assets_tests.conftest import refusal
from smallcaps_assets_tests.web_server import RUNS_S, until

pytestmark = pytest.mark.browser


def test_another_web_site_launches_nothing(desk: Desk, page: Page) -> None:
    """It sends what launches a run in every way of a browser; each arrives at a server that is open to all."""
    ui, learned = desk.ui, {}
    answers: list[tuple[str, int]] = []
    page.on("response", lambda response: answers.append((response.url, response.status)))
    before = ui.run_ids()
    with other_site() as site:
        for way in WAYS:
            page.goto(site.url)
            site.arrived.clear()
            site.send(page, site.open_target, way)
            assert {arrived.split()[1] for arrived in site.arrived} & {"/graphql", "websocket"}, way
            learned[way] = site.send(page, ui.url, way)
        # a link to the web UI works
        page.goto(site.url)
        page.evaluate("url => { document.body.innerHTML = `<a href='${url}'>web UI</a>` }", f"{ui.url}/assets/universe")
        page.get_by_text("web UI", exact=True).click()
        expect(page.get_by_role("button").filter(has_text=re.compile("^Materialize$"))).to_be_visible()
    assert ui.run_ids() == before
    assert {status for url, status in answers if "launchPipelineExecution" in url and url.startswith(ui.url)} == {403}
    assert learned["websocket"] == "closed"
    assert site.send(page, ui.url, "websocket") == "answered"


def test_services_listen_on_this_machine_only(desk: Desk) -> None:
    open_to = [
        connection.laddr.ip
        for process in desk.ui.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert open_to
    assert [ip for ip in open_to if not ip_address(ip).is_loopback] == []


@pytest.fixture(scope="module")
def premarket(desk: Desk) -> list[str]:
    """Symbols with pre-market windows in the manifest of core; MASTER was built twice, first from half of them."""
    ui = desk.ui
    symbols = ui.symbols()
    ui.run(["minute_bars", "event_shards", "master_events"], symbols[0], symbols[len(symbols) // 2])
    ui.run(["minute_bars", "event_shards", "master_events", "core/manifest"], symbols[0], symbols[-1])
    manifest = ManifestStore.in_lake(ui.lake, "core").load()
    return manifest.filter(pl.col("session") == "PM")["symbol"].unique().sort().to_list()


def test_one_symbol_is_materialized_by_clicks(desk: Desk, page: Page) -> None:
    ui = desk.ui
    symbol, *others = ui.symbols()
    for asset, place in (("minute_bars", ui.lake.bars(symbol).parent), ("event_shards", ui.lake.shards)):
        assert ui.materialized(asset) == set()
        shown = AssetPage(page, ui, asset)
        shown.expect_counts(materialized=0, missing=len(others) + 1)
        shown.materialize_partitions([symbol])
        shown.expect_counts(materialized=1, missing=len(others))
        expect(shown.dots(symbol)).to_have_count(1)
        expect(shown.dots(others[0])).to_have_count(0)
        assert ui.materialized(asset) == {symbol}
        files = [path.relative_to(place).as_posix() for path in place.rglob("*.parquet")]
        assert files
        assert all(name.startswith(symbol_name(symbol)) for name in files), files


def test_a_wave_over_all_symbols_is_materialized_by_clicks(desk: Desk, premarket: list[str], page: Page) -> None:
    ui, symbols = desk.ui, desk.ui.symbols()
    assert len(symbols) >= 40
    assert premarket, "this market has no pre-market event"
    shown = AssetPage(page, ui, "core/tape_trades")
    shown.materialize_partitions(None, ["PM"])
    shown.expect_counts(materialized=len(symbols), missing=2 * len(symbols))
    for key, dots in {symbols[0]: 1, premarket[0]: 1, "PM": 1, "AH": 0, "RTH": 0}.items():
        expect(shown.dots(key)).to_have_count(dots)
    assert ui.materialized("core/tape_trades") == {f"{symbol}|PM" for symbol in symbols}
    assert ui.materialized("core/tape_quotes") == set()
    files = {wave: list((ui.lake.tape("core", "trades") / f"wave={wave}").rglob("*.parquet")) for wave in WAVES}
    assert {path.parent.name for path in files.pop("PM")} == {symbol_name(name) for name in premarket}
    assert not any(files.values()), "another wave was fetched as well"

    # the figures of one partition
    for key in (premarket[0], "PM"):
        page.locator(f'[data-tooltip="{key}"]').click()
    expect(page.get_by_text("No metadata entries")).to_have_count(0)
    expect(page.get_by_text("rows", exact=True).first).to_be_visible()
    screenshot(page, "ui-partitions.png")


def test_a_failed_window_is_red_and_repaired_without_the_others(desk: Desk, premarket: list[str], page: Page) -> None:
    ui, symbols, ill = desk.ui, desk.ui.symbols(), premarket[0]
    desk.gate.rule = lambda path, query: refusal(500) if path == f"/v3/quotes/{ill}" else None  # noqa: ARG005
    shown = AssetPage(page, ui, "core/tape_quotes")
    shown.materialize_partitions(None, ["PM"])
    shown.expect_counts(materialized=len(symbols) - 1, missing=2 * len(symbols), failed=1)
    page.get_by_placeholder("Filter by symbol").fill(ill[0])
    for symbol in [symbol for symbol in symbols if ill[0] in symbol][:8]:
        expect(shown.dots(symbol)).to_have_count(int(symbol != ill))
        expect(shown.dots(symbol, RED)).to_have_count(int(symbol == ill))
    expect(shown.dots("PM", RED)).to_have_count(1)
    assert ui.materialized("core/tape_quotes", failed=1) == {f"{symbol}|PM" for symbol in symbols if symbol != ill}
    # its page says what failed, why and what to do
    page.get_by_placeholder("Filter by symbol").fill("")
    for key in (ill, "PM"):
        page.locator(f'[data-tooltip="{key}"]').click()
    for name in ("problems", "windows_failed", "http_status", "endpoint", "what_to_do"):
        expect(page.get_by_text(name, exact=True)).to_be_visible()
    expect(page.get_by_text(f"GET /v3/quotes/{ill} for quotes failed with HTTP 500")).to_be_visible()
    expect(page.get_by_text("only what is missing is requested")).to_be_visible()
    screenshot(page, "ui-failed-window.png")

    # without the partition that is selected
    shown = AssetPage(page, ui, "core/tape_quotes")
    desk.gate.rule = lambda path, query: None  # noqa: ARG005
    requests_before = len(desk.gate.requests)
    shown.materialize_partitions(None, ["PM"], failed_and_missing=True)
    shown.expect_counts(materialized=len(symbols), missing=2 * len(symbols))
    expect(shown.dots(ill)).to_have_count(1)
    assert {path for path, _ in desk.gate.requests[requests_before:]} == {f"/v3/quotes/{ill}"}


def test_a_wrong_setting_is_one_sentence(desk: Desk, page: Page) -> None:
    # Dagster fails an open backfill whose partitions it cannot load, with a traceback
    until("the backfills are closed", lambda: not desk.ui.open_backfills(), RUNS_S)
    sound = desk.config.read_text(encoding="utf-8")
    lines = sound.splitlines()
    number = next(number for number, line in enumerate(lines, start=1) if "min_spike_x" in line)
    logged = len(desk.ui.log.read_text(encoding="utf-8"))
    desk.config.write_text(sound.replace("min_spike_x", "min_spik_x", 1), encoding="utf-8")
    try:
        page.goto(f"{desk.ui.url}/deployment/locations")
        page.get_by_role("button").filter(has_text=re.compile("^Reload$")).click()
        page.get_by_text("View error").click(timeout=RUNS_S * 1000)
        dialog = page.get_by_role("dialog").filter(has_text="Code location error")
        expect(dialog).to_contain_text(f"{desk.config}, line {number}: detectors.")
        expect(dialog).to_contain_text("no such setting: did you mean min_spike_x?")
        expect(dialog).not_to_contain_text("Stack Trace")
        entries = re.split(
            r"^(?=\S*\d{4}-\d\d-\d\d )", desk.ui.log.read_text(encoding="utf-8")[logged:], flags=re.MULTILINE
        )
        # a tick that Dagster's sensor daemon begins between the reload and its own notice of it ends with its traceback
        ours = [entry for entry in entries if " - dagster.daemon.SensorDaemon - " not in entry]
        assert any("no such setting" in entry for entry in ours)
        assert [entry for entry in ours if "Traceback" in entry] == []
        screenshot(page, "ui-wrong-setting.png")
    finally:  # the other tests share this web UI
        desk.config.write_text(sound, encoding="utf-8")
        desk.change_settings(page)


@pytest.mark.usefixtures("premarket")
def test_master_is_plotted_over_time(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.ui.url}/assets/master_events")
    page.get_by_role("button", name="Plots").click()
    for name in ("dagster/row_count", "median_score", "symbols", "up_pct"):
        expect(page.get_by_text(name, exact=True)).to_be_attached()
    expect(page.locator("canvas")).to_have_count(4)
    plot = page.locator("canvas").first
    plot.scroll_into_view_if_needed()
    assert plot.evaluate(_PAINTED) > 1, "the plot is blank"
    screenshot(page, "ui-plots.png")


# the number of colours of a canvas
_PAINTED = """canvas => {
    const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(image.data.buffer)).size;
}"""


@pytest.mark.usefixtures("premarket")
def test_lineage_leads_from_bars_to_the_ledger(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.ui.url}/assets/core/capture_ledger?view=lineage&lineageScope=upstream&lineageDepth=9")
    nodes = page.locator("foreignObject")
    way = ("minute_bars", "event_shards", "master_events", "manifest", "tape_trades", "tape_quotes", "capture_ledger")
    for name in way:
        expect(nodes.get_by_text(name, exact=True)).to_be_in_viewport()
    page.get_by_text("Hide navigation").click()
    for name in way[:4]:
        expect(nodes.filter(has_text=name).locator(GREEN)).not_to_have_count(0)
    page.mouse.move(700, 880)
    screenshot(page, "ui-upstream.png")


# by group, the assets whose names its graph shows: all but those that only other settings define
GROUPS = {
    group: {
        name.rpartition("/")[2]
        for name, facts in REGISTRY.items()
        if facts.group == group and facts.is_defined(load_settings(overrides={}))
    }
    for group in sorted({facts.group for facts in REGISTRY.values()})
}
OTHER_PROFILES = [profile for profile in PROFILES if profile != "core"]
# Dagster first draws a group of six assets larger than the screen: steps of the zoom at most
ZOOMS = 24
LEGIBLE_PX = 12


# what is drawn in the middle of an element belongs to the same graph: no header of the page lies over it
UNCOVERED = """element => {
    const box = element.getBoundingClientRect()
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)
    return top !== null && top.closest("svg") !== null && top.closest("svg") === element.closest("svg")
}"""


def are_in_viewport(texts: Sequence[Locator]) -> bool:
    """Whether all are, within a second of each other, and nothing lies over them."""
    try:
        for text in texts:
            expect(text).to_be_in_viewport(ratio=1, timeout=1000)
    except AssertionError:
        return False
    return all(text.evaluate(UNCOVERED) for text in texts)


def as_drawn(name: str) -> re.Pattern[str]:
    """An asset's name in a graph: Dagster shortens the longest ones in their middle where it draws them small."""
    return re.compile(rf"^({name}|{name[:6]}\w*…\w*{name[-6:]})$")


def require_legible(texts: Mapping[str, Locator]) -> None:
    """Each text is on the screen, and large enough to be read."""
    for name, text in texts.items():
        expect(text).to_be_in_viewport(ratio=1)
        assert text.evaluate(UNCOVERED), f"{name} is covered"
        box = text.bounding_box()
        assert box is not None
        assert box["height"] >= LEGIBLE_PX, name


def zoom_out_until_shown(page: Page, texts: Sequence[Locator]) -> None:
    """Make the graph smaller until it shows all texts, within bounds."""
    for _ in range(ZOOMS):
        if are_in_viewport(texts):
            return
        page.locator("[aria-label=zoom_out]").click()


def test_the_lineage_shows_every_group_and_each_group_the_names_of_its_assets(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.ui.url}/asset-groups")
    page.get_by_text("Hide navigation").click()
    nodes = page.locator("foreignObject")
    expect(nodes).not_to_have_count(0)
    groups = {group: nodes.get_by_text(group, exact=True) for group in GROUPS}
    zoom_out_until_shown(page, list(groups.values()))
    expect(page.locator("[aria-label=unfold_more]")).to_have_count(len(GROUPS))
    for group in groups.values():
        expect(group).to_be_in_viewport(ratio=1)
    page.mouse.move(700, 880)
    screenshot(page, "ui-lineage.png")
    for profile in OTHER_PROFILES:
        for group in ("{}", "research_{}", "controls_{}"):
            assert GROUPS[group.format(profile)] == GROUPS[group.format("core")], "looked at below for core alone"
    for group, assets in GROUPS.items():
        if group.rpartition("_")[2] in OTHER_PROFILES:
            continue
        page.goto(f"{desk.ui.url}/locations/smallcaps_assets/asset-groups/{group}")
        expect(nodes).not_to_have_count(0)
        names = {asset: nodes.get_by_text(as_drawn(asset)) for asset in assets}
        zoom_out_until_shown(page, list(names.values()))
        require_legible(names)
        if group == "reference":
            expect(nodes.filter(has_text="universe").locator(GREEN)).not_to_have_count(0)
        page.mouse.move(700, 880)
        if group == "research_core":
            screenshot(page, "ui-group.png")


@pytest.mark.usefixtures("premarket")
def test_charts_in_metadata_are_shown(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.ui.url}/assets/core/manifest")
    page.get_by_text("Show Markdown").first.click()
    picture = page.locator("[role=dialog] img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 500
    screenshot(page, "ui-picture.png")


@pytest.mark.usefixtures("premarket")
@pytest.mark.parametrize("asset", ["core/capture_report", "core/capture_ledger", "core/manifest", "master_events"])
def test_metadata_fits_a_screen_with_what_matters_first(desk: Desk, page: Page, asset: str) -> None:
    first = {"core/capture_report": "verdict", "core/capture_ledger": "windows", "core/manifest": "manifest_id"}
    if asset == "core/capture_report":
        desk.ui.run(["core/capture_ledger", "core/capture_report"])
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{desk.ui.url}/assets/{asset}")
    entries = page.locator("table").filter(has=page.get_by_text("Timestamp", exact=True)).first
    expect(entries.locator("tbody > tr").first).to_contain_text(first.get(asset, "clock"))
    # without scrolling
    expect(entries.locator("tbody > tr").first).to_be_in_viewport(ratio=1)
    # it scrolls sideways where it is wider than the box around it
    width, room = entries.evaluate("table => [table.scrollWidth, table.parentElement.clientWidth]")
    assert width <= room, f"{asset}: {width} pixels of metadata in {room}"
    if asset in ("core/manifest", "master_events"):
        sketch = entries.locator("img").first
        expect(sketch).to_be_visible()
        assert sketch.evaluate("image => image.naturalWidth") > 200
    images = {"core/capture_report": "ui-report.png", "master_events": "ui-master.png"}
    if asset in images:
        page.set_viewport_size({"width": 1440, "height": 900})
        screenshot(page, images[asset])


@pytest.mark.usefixtures("premarket")
def test_a_changed_threshold_is_shown(desk: Desk, page: Page) -> None:
    lineage = f"{desk.ui.url}/assets/master_events?view=lineage&lineageScope=upstream"
    nodes, badge = page.locator("foreignObject"), page.get_by_text("Unsynced (1)", exact=True)
    page.goto(lineage)
    expect(nodes.get_by_text("master_events", exact=True)).to_be_visible()
    expect(nodes.filter(has_text="master_events").locator(GREEN)).not_to_have_count(0)
    expect(badge).to_have_count(0)
    desk.change_settings(page, detectors={"tape_speed": {"min_transactions": 60, "min_speed_x": 3.0}})
    page.goto(lineage)
    # on the page and on the node; an asset with partitions has none for itself
    expect(badge).to_have_count(2)
    badge.last.hover()
    expect(page.get_by_text("has a new code version", exact=True)).to_be_visible()
    screenshot(page, "ui-stale.png")
    page.goto(f"{desk.ui.url}/assets/event_shards?view=partitions&partition={desk.ui.symbols()[0]}")
    expect(badge).to_be_visible()


@pytest.mark.long
def test_the_night_is_switched_on_and_a_tick_run_by_hand(desk: Desk, page: Page) -> None:
    settings = load_settings(desk.config, {})
    today = datetime.now(UTC)
    recent = settings.history.model_copy(
        update={"first_session": today.date() - timedelta(days=9), "last_session": None}
    )
    session = completed_sessions(recent, settings.sessions, today)[-1]
    desk.change_settings(page, history={"first_session": f"{session}", "last_session": None})
    symbols = desk.ui.symbols()

    page.goto(f"{desk.ui.url}/locations/smallcaps_assets/schedules/nightly")
    page.locator("label:has(input[type=checkbox])").click()
    expect(page.get_by_text("Next tick")).to_be_visible()
    page.get_by_role("button", name="Preview tick result").click()
    dialog = page.get_by_role("dialog").filter(has_text="Preview tick result")
    dialog.get_by_role("button").filter(has_text="UTC").click()
    tick = datetime.combine(session, settings.nightly.start, ZoneInfo(NEW_YORK)).astimezone(UTC)
    # the year is shown unless it is the present one
    shown = re.compile(rf"\b{tick:%b} {tick.day}, (?:{tick.year}, )?{tick.hour % 12 or 12}:{tick:%M %p} UTC")
    page.locator("[role=menuitem]").filter(has_text=shown).click()
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_text("1 run requests")).to_be_visible()
    screenshot(page, "ui-nightly.png")
    dialog.get_by_role("button", name="Launch all").click()
    expect(page.get_by_text("Launched 1 runs")).to_be_visible()
    until("the night is over", lambda: desk.ui.last_run() == "SUCCESS", RUNS_S)

    page.goto(f"{desk.ui.url}/assets/nightly_report")
    expect(page.get_by_text("symbols_behind", exact=True)).to_be_attached()
    expect(page.get_by_text(f"{session}", exact=True).first).to_be_attached()
    lake = desk.ui.lake
    # symbols that joined in this night are fetched in the next
    followed = [symbol for symbol in UniverseStore(lake).followed() if symbol in symbols]
    assert followed == desk.small_caps(session, symbols)
    assert followed
    assert [symbol for symbol in followed if session not in BarsStore(lake).covered(symbol)] == []
    assert desk.ui.materialized("event_shards") == set(symbols)
