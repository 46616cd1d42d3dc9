"""Counts and VWAPs that earlier releases stored as 0 or -1: read as null, and nothing is fetched because of them."""

import json
from collections.abc import Mapping

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS, REFERENCE
from smallcaps_assets.domain.tape.cost_estimate import expect_trades
from smallcaps_assets.lake.bar_files.month_files import DAY, fingerprint_sessions
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unknown_counts import NULL, TRUE, UNKNOWN, with_unknown

DAYS = sorted(set(TRUE.select(DAY).to_series()))
MONTH = DAYS[0].replace(day=1)
NOTHING = QUARANTINED_BARS.to_frame()


def stored(lake: Lake, bars: pl.DataFrame) -> BarsStore:
    """A lake with bars as they are, as earlier releases stored them."""
    store = BarsStore(lake)
    store.add("ABCD", MONTH, DAYS, bars, NOTHING)
    return store


@pytest.mark.parametrize("value", [0, -1])
def test_stored_values_that_mean_unknown_are_read_as_null(value: int, lake: Lake) -> None:
    store = stored(lake, with_unknown(value).with_columns(vwap=pl.lit(float(value))))
    expected = NULL.with_columns(vwap=pl.lit(None, pl.Float64))
    assert_frame_equal(store.read("ABCD"), expected)
    assert_frame_equal(store.scan(["ABCD"], tuple(BARS)).collect(), expected)
    assert_frame_equal(store.scan(["ABCD"], ("symbol", "volume")).collect(), TRUE.select("symbol", "volume"))


@pytest.mark.parametrize("value", [0, -1])
def test_files_and_fingerprints_stay_as_they_are(value: int, lake: Lake) -> None:
    raw = with_unknown(value)
    store = stored(lake, raw)
    (path,) = lake.bars("ABCD").glob("*.parquet")
    assert store.fingerprints("ABCD") == fingerprint_sessions(raw)
    # a day is fetched again: the others keep their values, so that their fingerprints remain true
    store.add("ABCD", MONTH, DAYS[4:], TRUE.filter(DAYS[4] == DAY), NOTHING)
    found = pl.read_parquet(path, hive_partitioning=True).select(*BARS)
    assert_frame_equal(found, pl.concat([raw[:1560], TRUE[1560:]]))
    assert store.fingerprints("ABCD") == fingerprint_sessions(found)


@pytest.mark.parametrize("value", [0, -1, None])
def test_stored_counts_that_mean_unknown_make_no_event(value: int | None, lake: Lake) -> None:
    store, settings = stored(lake, with_unknown(value)), default_settings()
    detector = Detector(store, ShardStore(lake), settings.detection, settings.sessions, REFERENCE.to_frame())
    (outcome,) = detector.run(["ABCD"])
    assert not outcome.problems
    assert (outcome.figures["sessions_detected"], outcome.figures["events_found"]) == (5, 0)


def test_stored_counts_that_mean_unknown_are_estimated_in_plans(lake: Lake) -> None:
    bars = stored(lake, with_unknown(-1)[:390]).scan(["ABCD"], ("symbol", "timestamp", "transactions")).collect()
    window = TRUE.select("symbol", start="timestamp", end=pl.col("timestamp").dt.offset_by("6m"))[:1]
    # one minute of 60 trades and five of which nothing is known, instead of 60 - 5
    assert expect_trades(window, bars, 100.0).select("bars", "trades").row(0) == (6, 560.0)


def answer(bars: pl.DataFrame) -> Reply:
    names = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "vwap": "vw", "transactions": "n"}
    rows = bars.select(t=pl.col("timestamp").dt.epoch("ms"), **{theirs: pl.col(ours) for ours, theirs in names.items()})
    document = {"ticker": "ABCD", "adjusted": False, "status": "OK", "request_id": "r", "queryCount": bars.height}
    document |= {"resultsCount": bars.height, "count": bars.height, "results": rows.to_dicts()}
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


@pytest.mark.parametrize("value", [0, -1])
def test_unknown_counts_of_the_vendor_are_null_and_counted(
    value: int, lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    sent = with_unknown(value).with_columns(vwap=pl.when(pl.int_range(pl.len()) == 7).then(0.0).otherwise("vwap"))

    def rule(path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG001
        first, last = path.split("/")[-2:]
        return answer(sent.filter(DAY.dt.to_string().is_between(pl.lit(first), pl.lit(last))))

    gate.rule = rule
    store = BarsStore(lake)
    (outcome,) = ingest_bars(["ABCD"], DAYS[1:4], client, store, 1)
    assert not outcome.problems
    figures = {"rows": 3 * 390, "rows_quarantined": 0, "transactions_unknown": 3 * 325, "vwap_unknown": 0}
    assert outcome.figures | figures == outcome.figures
    assert_frame_equal(store.read("ABCD"), NULL[390:1560])
    # of the two sessions that are missing: the three between them come along, and are not counted again
    (outcome,) = ingest_bars(["ABCD"], DAYS, client, store, 1)
    assert (outcome.figures["transactions_unknown"], outcome.figures["vwap_unknown"]) == (2 * 325, 1)
    assert store.read("ABCD")["transactions"].null_count() == UNKNOWN
    # nothing is fetched again for what is not known
    gate.requests.clear()
    (outcome,) = ingest_bars(["ABCD"], DAYS, client, store, 1)
    assert (gate.requests, outcome.figures["transactions_unknown"]) == ([], 0)


def test_nothing_of_an_earlier_release_is_fetched_again(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    stored(lake, with_unknown(-1))
    (outcome,) = ingest_bars(["ABCD"], DAYS, client, BarsStore(lake), 1)
    assert (gate.requests, outcome.figures["requests"], outcome.rows) == ([], 0, TRUE.height)
