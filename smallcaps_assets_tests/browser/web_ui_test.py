"""The product as a person uses it: clicks in the web UI, files in the lake."""

import os
from collections.abc import Iterator

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.settings import PROFILES
from smallcaps_assets_tests.browser.web_ui import BROWSER_FLAGS, GREEN, AssetPage, find_browser
from smallcaps_assets_tests.web_server import REPOSITORY, RUNS_S, WebUI, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_browser()
    if executable is None:
        reason = "no Chromium, Chrome or Edge found: install one, or set SMALLCAPS_BROWSER to its executable"
        (pytest.fail if os.environ.get("SMALLCAPS_REQUIRE_BROWSER") == "1" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(BROWSER_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.set_default_timeout(30_000)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def ui(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """The web UI on a lake of its own, in which `universe` was materialized by a click: symbols are its partitions."""
    folder = tmp_path_factory.mktemp("web_ui")
    context = browser.new_context()
    # its name shows which processes and which state are this lake's
    lake = folder / f"lake-{os.getpid()}-{folder.name}"
    with WebUI.serving(lake, "--symbols", "6", "--sessions", "8") as serving:
        page = context.new_page()
        AssetPage(page, serving, "universe").materialize()
        until("universe is there", lambda: serving.last_run() == "SUCCESS", RUNS_S)
        assert serving.lake.universe.is_file()
        assert len(serving.symbols()) == 6
        page.close()
        yield serving
    context.close()


def screenshot(page: Page, name: str) -> None:
    """Renew a picture of the documentation, if that is asked for."""
    if os.environ.get("SMALLCAPS_SCREENSHOTS") == "1":
        page.screenshot(path=REPOSITORY / "docs" / name, animations="disabled")


def test_one_symbol_is_materialized_by_clicks(ui: WebUI, page: Page) -> None:
    symbol, *others = ui.symbols()
    for asset, place in (("minute_bars", ui.lake.bars(symbol).parent), ("event_shards", ui.lake.shards)):
        assert ui.materialized(asset) == set()
        shown = AssetPage(page, ui, asset)
        shown.expect_counts(materialized=0, missing=6)
        shown.materialize_partitions([symbol])
        shown.expect_counts(materialized=1, missing=5)
        expect(shown.dots(symbol)).to_have_count(1)
        for other in others:
            expect(shown.dots(other)).to_have_count(0)
        assert ui.materialized(asset) == {symbol}
        files = [path.relative_to(place).as_posix() for path in place.rglob("*.parquet")]
        assert files
        assert all(name.startswith(f"symbol={symbol}") for name in files), files


def test_one_wave_of_tape_is_materialized_by_clicks(ui: WebUI, page: Page) -> None:
    symbols = ui.symbols()
    ui.run(["minute_bars", "event_shards", "master_events", "core/manifest"], symbols[0], symbols[-1])
    manifest = ManifestStore(ui.lake.manifests("core"), "core").load()
    premarket = set(manifest.filter(pl.col("session") == "PM")["symbol"])
    chosen, left_out = symbols[3:], symbols[:3]
    assert premarket & set(chosen), "this market has no pre-market event of the chosen symbols"

    shown = AssetPage(page, ui, "core/tape_trades")
    shown.materialize_partitions(chosen, ["PM"])
    shown.expect_counts(materialized=3, missing=15)
    for key, dots in {**dict.fromkeys(chosen, 1), **dict.fromkeys(left_out, 0), "PM": 1, "AH": 0, "RTH": 0}.items():
        expect(shown.dots(key)).to_have_count(dots)
    assert ui.materialized("core/tape_trades") == {f"{symbol}|PM" for symbol in chosen}
    assert ui.materialized("core/tape_quotes") == set()
    files = {wave: list((ui.lake.tape("core", "trades") / f"wave={wave}").rglob("*.parquet")) for wave in WAVES}
    assert {path.parent.name for path in files.pop("PM")} == {f"symbol={name}" for name in premarket & set(chosen)}
    assert not any(files.values()), "another wave was fetched as well"

    # the figures of one partition
    for key in (min(premarket & set(chosen)), "PM"):
        page.locator(f'[data-tooltip="{key}"]').click()
    expect(page.get_by_text("No metadata entries")).to_have_count(0)
    expect(page.get_by_text("rows", exact=True).first).to_be_visible()
    screenshot(page, "ui-partitions.png")


def test_the_lineage_shows_every_asset(ui: WebUI, page: Page) -> None:
    page.goto(f"{ui.url}/asset-groups")
    groups = ("reference", "bars", "events", *PROFILES)
    expect(page.locator("[aria-label=unfold_more]")).to_have_count(len(groups))
    for group in groups:
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    page.get_by_text("Hide navigation").click()
    page.locator("[aria-label=panel_show_right]").last.click()
    page.keyboard.press("Alt+e")  # expand all groups
    page.wait_for_url("**expanded=**")
    page.locator("[aria-label=zoom_out]").click()

    nodes = page.locator("foreignObject")
    of_profiles = ("manifest", "tape_trades", "tape_quotes", "capture_ledger", "capture_report")
    times = dict.fromkeys(("universe", "minute_bars", "event_shards", "master_events"), 1)
    for name, number in (times | dict.fromkeys(of_profiles, len(PROFILES))).items():
        named = nodes.get_by_text(name, exact=True)
        expect(named).to_have_count(number)
        for node in named.all():
            expect(node).to_be_in_viewport()
    # the state of every asset is known, and what was materialized is green
    states = nodes.locator("[style*='--minimal-border: var(--color-accent-']")
    expect(states).to_have_count(len(times) + len(of_profiles) * len(PROFILES))
    expect(states.filter(has_text="universe").and_(page.locator(GREEN))).to_have_count(1)
    page.mouse.move(700, 880)
    screenshot(page, "ui-lineage.png")
