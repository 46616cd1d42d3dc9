"""The first clicks of the README, in its order, on the lake that a demo left."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pytest
from playwright.sync_api import Page, expect

from smallcaps_assets.commands.services.state_folder import name_of_state
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets_tests.browser.web_ui import RED, AssetPage
from smallcaps_assets_tests.demo.conftest import FLAGS, Home, demo
from smallcaps_assets_tests.web_server import RUNS_S, WebUI, until

__all__ = ["demo"]

pytestmark = pytest.mark.browser
# with DRILL
SYMBOLS = int(FLAGS[1]) + 1
NEXT = date(2025, 12, 2)


@dataclass
class FirstDay:
    """The web UI, and what the demo named as left: a symbol, a partition with a failed window, windows by wave."""

    ui: WebUI
    symbol: str
    failed: tuple[str, str]
    missing: dict[str, int]


@pytest.fixture(scope="module")
def first_day(demo: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirstDay]:
    folder = tmp_path_factory.mktemp("first_day")
    # its name identifies the processes and the state of this lake
    lake = folder / f"lake-{os.getpid()}-{folder.name}"
    home = Home.make(folder / "home")
    shutil.copytree(demo.lake.root, lake)
    shutil.copytree(demo.folder / ".dagster", home.folder / ".dagster" / "lakes" / name_of_state(lake))
    output = demo.output
    symbol = re.findall(r"^ +one symbol +(\S+) has no bars", output, re.MULTILINE)
    failed = re.findall(r"^ +one failure +premium/tape_quotes of (\S+), wave (\w+):", output, re.MULTILINE)
    missing = re.findall(rf"\b({'|'.join(WAVES)}) (\d+)\b", output.partition("one wave")[2].partition("\n")[0])
    ui = WebUI(lake, *FLAGS, home=home.folder)
    try:
        ui.wait_until_it_answers()
        yield FirstDay(ui, symbol[0], failed[0], {wave: int(number) for wave, number in missing})
    finally:
        ui.stop()


@pytest.mark.long
def test_the_symbol_that_is_left_turns_green(first_day: FirstDay, page: Page) -> None:
    for asset in ("minute_bars", "event_shards"):
        shown = AssetPage(page, first_day.ui, asset)
        shown.expect_counts(materialized=SYMBOLS - 1, missing=1)
        expect(shown.dots(first_day.symbol)).to_have_count(0)
        shown.materialize_partitions([first_day.symbol])
        shown.expect_counts(materialized=SYMBOLS, missing=0)
        expect(shown.dots(first_day.symbol)).to_have_count(1)


@pytest.mark.long
def test_the_failed_window_is_red_and_mended(first_day: FirstDay, page: Page) -> None:
    symbol, wave = first_day.failed
    shown = AssetPage(page, first_day.ui, "premium/tape_quotes")
    shown.expect_counts(materialized=0, missing=3 * SYMBOLS - 1, failed=1)
    for key in (symbol, wave):
        expect(shown.dots(key, RED)).to_have_count(1)
        page.locator(f'[data-tooltip="{key}"]').click()
    # the dialog is filled in with what is selected
    shown.materialize_partitions()
    shown.expect_counts(materialized=1, missing=3 * SYMBOLS - 1)


@pytest.mark.long
def test_a_wave_of_premium_is_captured(first_day: FirstDay, page: Page) -> None:
    (_, wave), tape = first_day.failed, first_day.ui.lake.tape("premium", "quotes")
    before = len(list(tape.rglob("*.parquet")))
    for kind in ("trades", "quotes"):
        shown = AssetPage(page, first_day.ui, f"premium/tape_{kind}")
        shown.materialize_partitions(None, [wave])
        shown.expect_counts(materialized=SYMBOLS, missing=2 * SYMBOLS)
    assert 0 < len(list(tape.rglob("*.parquet"))) - before <= first_day.missing[wave]


@pytest.mark.long
def test_a_night_brings_the_next_session(first_day: FirstDay, page: Page) -> None:
    bars, symbols = BarsStore(first_day.ui.lake), first_day.ui.symbols()
    assert not any(bars.covers(symbol, NEXT) for symbol in symbols)
    page.goto(f"{first_day.ui.url}/locations/smallcaps_assets/schedules/nightly")
    page.get_by_role("button", name="Preview tick result").click()
    dialog = page.get_by_role("dialog").filter(has_text="Preview tick result")
    dialog.get_by_role("button").filter(has_text="UTC").click()
    page.locator("[role=menuitem]").first.click()
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_text("1 run requests")).to_be_visible()
    dialog.get_by_role("button", name="Launch all").click()
    expect(page.get_by_text("Launched 1 runs")).to_be_visible()
    until("the night is over", lambda: all(bars.covers(symbol, NEXT) for symbol in symbols), RUNS_S)
    until("its run has ended", lambda: first_day.ui.last_run() == "SUCCESS", RUNS_S)
    page.goto(f"{first_day.ui.url}/assets/nightly_report")
    expect(page.get_by_text(f"{NEXT}", exact=True).first).to_be_attached()
