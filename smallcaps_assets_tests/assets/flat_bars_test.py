"""Flat files as Dagster shows them: one partition per session, bars of symbols from them, and the nights."""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.defs.flat_files import session_partitions
from smallcaps_assets.defs.jobs import nightly_config
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.market_data.flat_files.keys import remote_key
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets.simulated.bucket.faults import replaced_file
from smallcaps_assets.simulated.bucket.files import GivenFiles, MarketFiles
from smallcaps_assets.simulated.bucket.service import EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.assets.nightly_test import night, report_of
from smallcaps_assets_tests.assets.platform import (
    SYMBOLS_OF_MARKET,
    Platform,
    Sites,
    failure,
    metadata_of,
    recorded_by,
)
from smallcaps_assets_tests.conftest import LATER, refusal

PREFIX = "us_stocks_sip/minute_aggs_v1"
DAYS = ["2025-11-20", "2025-11-21", "2025-11-24", "2025-11-25"]
LAST, NEXT = "2025-11-26", "2025-11-28"
ALL = {"first": SYMBOLS_OF_MARKET[0], "last": SYMBOLS_OF_MARKET[-1]}
ASSET = dg.AssetKey("flat_minute_bars")


def key(day: str) -> str:
    return remote_key(PREFIX, date.fromisoformat(day))


class Bucket:
    """The files that the vendor has."""

    def __init__(self, platform: Platform, market: SimulatedMarket) -> None:
        self.market = MarketFiles(market, clock=lambda: LATER)
        self.files = GivenFiles({key(LAST): None, key(NEXT): None}, beside=self.market)
        platform.gate.exchange.files.bucket = self.files

    def replace(self, day: str) -> None:
        body = self.market.read(key(day))
        assert body is not None
        self.files.files[key(day)] = replaced_file(body)


@pytest.fixture
def platform(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setenv("MASSIVE_S3_ACCESS_KEY", EMBEDDED_ACCESS_KEY)
    monkeypatch.setenv("MASSIVE_S3_SECRET_KEY", EMBEDDED_SECRET_KEY)
    for made in sites.opened():
        made.overrides["source"] |= {"bars": "both", "flat_files": {"endpoint": made.gate.base_url}}
        made.overrides["history"] = {"first_session": DAYS[0], "last_session": LAST}
        made.overrides["research"] = {"enabled": False}
        yield made


@pytest.fixture
def bucket(platform: Platform, small_market: SimulatedMarket) -> Bucket:
    return Bucket(platform, small_market)


def rest_requests(platform: Platform) -> int:
    return sum("/range/1/minute/" in path for path, _ in platform.gate.requests)


def checks_of(platform: Platform, *names: str) -> dict[str, bool]:
    """The last result of checks of minute_bars."""
    keys = [dg.AssetCheckKey(dg.AssetKey("minute_bars"), name) for name in names]
    found = platform.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    results = {one.name: found[one].event for one in keys if one in found}
    return {name: bool(event.asset_check_evaluation.passed) for name, event in results.items() if event}  # type: ignore[union-attr]


def test_files_bars_and_nights(platform: Platform, bucket: Bucket) -> None:
    platform.run("universe")
    result = platform.run("flat_minute_bars", first=DAYS[0], last=DAYS[-1])
    found = metadata_of(result, "flat_minute_bars")
    assert sorted(map(str, found)) == DAYS
    store, bars = FlatBarsStore(platform.lake), BarsStore(platform.lake)
    files = {f"{day}": file for day, file in store.files().files.items()}
    assert {day: found[day]["dagster/partition_row_count"].value for day in DAYS} == {
        day: file.bars for day, file in files.items()
    }
    assert platform.instance.get_materialized_partitions(ASSET) == set(DAYS)
    table = pl.read_parquet(platform.lake.flat_bars / "*.parquet")
    assert table.columns == ["symbol", "timestamp", "open", "high", "low", "close", "volume", "transactions"]
    assert table["symbol"].unique().sort().to_list() == SYMBOLS_OF_MARKET
    # the session without a file yet comes over REST: one request for each symbol
    platform.gate.requests.clear()
    result = platform.run("minute_bars", **ALL)
    assert rest_requests(platform) == len(SYMBOLS_OF_MARKET)
    for symbol in SYMBOLS_OF_MARKET:
        figures = metadata_of(result, "minute_bars")[symbol]
        assert (figures["sessions_fetched"].value, figures["sessions_from_files"].value) == (5, 4)
    last = bars.read(SYMBOLS_OF_MARKET[0], date.fromisoformat(LAST))
    # the next night: the file of the last session is there, and that of another day was replaced
    bucket.files.files.pop(key(LAST))
    bucket.replace(DAYS[1])
    before = {symbol: bars.fingerprints(symbol) for symbol in SYMBOLS_OF_MARKET}
    platform.overrides["history"] = {"first_session": DAYS[0], "last_session": NEXT}
    platform.gate.requests.clear()
    result = platform.run("minute_bars", **ALL, config={"minute_bars": {"take_flat_files": True}})
    assert recorded_by(platform, result, "flat_minute_bars") == {DAYS[1], LAST}
    assert rest_requests(platform) == len(SYMBOLS_OF_MARKET)
    night_figures = metadata_of(result, "minute_bars")
    for symbol in SYMBOLS_OF_MARKET:
        now, figures = bars.fingerprints(symbol), night_figures[symbol]
        assert (figures["sessions_replaced"].value, figures["sessions_compared"].value) == (1, 1)
        assert figures["sessions_differing"].value == 0
        changed = {f"{day}" for day, mark in now.items() if before[symbol].get(day) != mark}
        assert changed == {DAYS[1], NEXT}
    assert_frame_equal(bars.read(SYMBOLS_OF_MARKET[0], date.fromisoformat(LAST), date.fromisoformat(LAST)), last)
    # a file that is replaced between the nights: the check of minute_bars says which symbols wait
    bucket.replace(DAYS[2])
    result = platform.run("flat_minute_bars", first=DAYS[2], last=DAYS[2])
    (figures,) = metadata_of(result, "flat_minute_bars").values()
    assert figures["files_replaced"].value == 1
    assert figures["symbols_changed"].value == len(SYMBOLS_OF_MARKET)
    assert {"minutes_only_first", "minutes_prices", "minutes_volume"} <= figures.keys()
    assert checks_of(platform, "flat_files_current") == {"flat_files_current": False}
    result = platform.run("minute_bars", **ALL)
    assert {one["sessions_replaced"].value for one in metadata_of(result, "minute_bars").values()} == {1}
    job = platform.definitions.resolve_implicit_global_asset_job_def()
    asked = {dg.AssetCheckKey(dg.AssetKey("minute_bars"), name) for name in ("flat_files_agree", "flat_files_current")}
    assert job.get_subset(asset_check_selection=asked).execute_in_process(instance=platform.instance).success
    assert checks_of(platform, "flat_files_agree", "flat_files_current") == {
        "flat_files_agree": True,
        "flat_files_current": True,
    }


@pytest.mark.long
def test_a_night_takes_the_files_that_are_new(platform: Platform, bucket: Bucket) -> None:
    platform.run("universe")
    platform.run("flat_minute_bars", first=DAYS[0], last=DAYS[2])
    bucket.files.files.pop(key(LAST))
    result = night(platform, NEXT)
    assert recorded_by(platform, result, "flat_minute_bars") == {DAYS[3], LAST}
    assert rest_requests(platform) == len(SYMBOLS_OF_MARKET)
    assert report_of(result)["symbols_behind"] == 0
    report = report_of(result)
    assert report["symbol_sessions"] == 6 * len(SYMBOLS_OF_MARKET)
    assert (report["flat_files"], report["sessions_without_file"]) == (2, 1)
    assert report["flat_file_rows"] == sum(
        FlatBarsStore(platform.lake).files().files[date.fromisoformat(day)].bars for day in (DAYS[3], LAST)
    )
    assert f"1 session has no file in the lake yet: {NEXT}" in report["flat files"]


def test_the_config_of_a_night_takes_files_and_fits_its_job(platform: Platform) -> None:
    config = nightly_config(load_settings(overrides=platform.overrides))
    assert config["ops"]["minute_bars"]["config"] == {"go_on": True, "take_flat_files": True}
    assert dg.validate_run_config(platform.definitions.resolve_job_def("nightly"), config)
    platform.overrides["source"] |= {"bars": "rest"}
    config = nightly_config(load_settings(overrides=platform.overrides))
    assert config["ops"]["minute_bars"]["config"] == {"go_on": True}


def test_sessions_whose_file_cannot_be_had_wait_and_others_do_not(platform: Platform, bucket: Bucket) -> None:
    """As in a night: files are taken first, and recent sessions come over REST."""
    platform.run("universe")
    platform.run("flat_minute_bars", first=DAYS[0], last=DAYS[2])
    platform.gate.requests.clear()
    bucket.files.files[key(DAYS[-1])] = b"<html>"
    config = {"minute_bars": {"take_flat_files": True}}
    result = platform.run("minute_bars", **ALL, config=config, fails=True)
    stored = {symbol: BarsStore(platform.lake).covered(symbol) for symbol in SYMBOLS_OF_MARKET}
    assert {f"{day}" for days in stored.values() for day in days} == {*DAYS[:3], LAST}
    assert rest_requests(platform) == len(SYMBOLS_OF_MARKET)
    words = failure(result)
    assert "1 session has a flat file that is not in the lake" in words
    assert "cannot be used: it is not whole" in words
    assert f"materialize flat_minute_bars of {DAYS[-1]} to {DAYS[-1]}" in words


def test_a_bucket_that_does_not_list_makes_no_history_come_over_rest(platform: Platform, bucket: Bucket) -> None:
    """The lake has no file: but for the last week, REST would take a request for each symbol and month."""
    assert bucket.files
    platform.overrides["history"] = {"first_session": "2025-10-01", "last_session": LAST}
    platform.gate.rule = lambda path, query: refusal(403) if "list-type" in query else None  # noqa: ARG005
    platform.run("universe")
    result = platform.run("minute_bars", **ALL, fails=True)
    stored = {f"{day}" for symbol in SYMBOLS_OF_MARKET for day in BarsStore(platform.lake).covered(symbol)}
    assert stored == {*DAYS, LAST}
    assert rest_requests(platform) == len(SYMBOLS_OF_MARKET)
    said = failure(result)
    assert "materialize flat_minute_bars of 2025-10-01 to 2025-11-19, then minute_bars again" in said
    assert "HTTP 403" in said


def test_partitions_are_sessions(platform: Platform) -> None:
    """Thanksgiving and weekends have none; Friday's is there on Saturday, when the vendor publishes its file."""
    found = session_partitions(load_settings(overrides=platform.overrides))
    assert found.get_partition_keys() == [*DAYS, LAST]
    platform.overrides["history"] = {"first_session": "2025-12-22", "last_session": None}
    keys = session_partitions(load_settings(overrides=platform.overrides)).get_partition_keys()
    assert keys[:6] == ["2025-12-22", "2025-12-23", "2025-12-24", "2025-12-26", "2025-12-29", "2025-12-30"]


def test_without_flat_files_nothing_is_different(platform: Platform) -> None:
    platform.overrides["source"] |= {"bars": "rest"}
    graph = platform.definitions.resolve_asset_graph()
    assert ASSET not in graph.get_all_asset_keys()
    assert graph.get(dg.AssetKey("minute_bars")).parent_keys == {dg.AssetKey("universe")}
    assert not [one for one in graph.asset_check_keys if one.name.startswith("flat_files")]
