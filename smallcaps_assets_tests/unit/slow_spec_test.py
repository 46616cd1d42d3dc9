"""The slow implementation against cases worked out by hand."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.tables import BARS, EVENTS, MANIFEST, QUOTES
from smallcaps_assets_tests.slow_spec import (
    DEFAULTS,
    altered,
    clean,
    detect,
    event_id,
    extension,
    features,
    in_force,
    in_session,
    manifest,
    master,
    spans,
    thin,
    xnys,
)
from smallcaps_assets_tests.slow_spec.events import _cooled
from smallcaps_assets_tests.slow_spec.manifest import percentile
from smallcaps_assets_tests.slow_spec.tape import BEST, SECOND, interval_of, nanoseconds
from smallcaps_assets_tests.strategies.bars import bars_frames, lively_bars
from smallcaps_assets_tests.strategies.masters import lively_master, masters
from smallcaps_assets_tests.strategies.quotes import quote_streams

PREMARKET = datetime(2025, 6, 2, 12, 0, tzinfo=UTC)  # 08:00 in New York
OPEN = datetime(2025, 6, 2, 13, 30, tzinfo=UTC)
ALL_KINDS = {
    *((kind, way) for kind in ("volume_spike", "vwap_break", "price_momentum") for way in ("up", "down")),
    *((kind, way) for kind in ("consolidation_break", "opening_range_break", "tape_speed") for way in ("up", "down")),
    ("flush", "down"),
}


def _bars(start: datetime, *bars: tuple[float, float, float], transactions: int | None = None) -> pl.DataFrame:
    """One bar a minute of (open, close, volume); high and low are those of open and close."""
    rows = [
        ("AA", start + timedelta(minutes=index), o, max(o, c), min(o, c), c, v, None, transactions)
        for index, (o, c, v) in enumerate(bars)
    ]
    return pl.DataFrame(rows, schema=BARS, orient="row")


def _events(bars: pl.DataFrame) -> list[tuple[str, str, datetime]]:
    return [(row["event_type"], row["direction"], row["timestamp"]) for row in detect(bars)]


def test_event_id_is_stable() -> None:
    moment = datetime(2022, 10, 10, 13, 30, tzinfo=UTC)
    assert event_id("ATRA", "vwap_break", moment) == "ATRA_vwap_break_20221010_133000_1ba26d93"


FLUSH = (*[(10.0, 10.0, 10_000.0)] * 6, (10.0, 9.7, 20_000.0), (9.7, 9.45, 30_000.0), (9.45, 9.15, 40_000.0))


def test_flush_fires_once_at_its_first_bar() -> None:
    # day high 10.00, 8.5 % below it, 40,000 shares on a median of 10,000, third red bar
    bars = _bars(PREMARKET, *FLUSH, (9.15, 8.9, 50_000.0))
    assert _events(bars) == [("flush", "down", PREMARKET + timedelta(minutes=8))]


def test_score_of_a_flush_worked_by_hand() -> None:
    (row,) = master(_bars(PREMARKET, *FLUSH, (9.15, 8.9, 50_000.0))).iter_rows(named=True)
    # 0.30 x 0.354366 + 0.25 x 0.85 + 0.20 x 0.432256 + 0.15 x 0.6 + 0.10 x 1 (5.5 % from a VWAP of 9.68)
    assert row["score"] == pytest.approx(0.595261, abs=1e-6)
    assert row["vwap_at_event"] == 9.68
    assert (row["tier"], row["event_bias"], row["close_vs_open"]) == (2, "bearish", "red")
    assert row["known_at"] == PREMARKET + timedelta(minutes=9)
    assert row["event_group_id"] == "AA_20250602_120800"
    assert row["dollar_volume_to_event"] == pytest.approx(600_000 + 194_000 + 283_500 + 366_000)


@pytest.mark.parametrize(("volume", "fires"), [(40_000.0, True), (39_999.0, False)])
def test_flush_threshold_is_inclusive(volume: float, *, fires: bool) -> None:
    bars = _bars(PREMARKET, *FLUSH[:-1], (9.45, 9.15, volume))
    assert bool(_events(bars)) is fires


@pytest.mark.parametrize(("opening_bars", "fires"), [(2, False), (3, True)])
def test_opening_range_needs_three_bars(opening_bars: int, *, fires: bool) -> None:
    opening = _bars(OPEN + timedelta(minutes=15 - opening_bars), *[(10.0, 10.0, 20_000.0)] * opening_bars)
    quiet = _bars(OPEN + timedelta(minutes=15), *[(10.0, 10.0, 20_000.0)] * 5)
    breaks = _bars(OPEN + timedelta(minutes=20), (10.0, 10.06, 36_000.0), (10.06, 10.07, 60_000.0))
    found = _events(pl.concat([opening, quiet, breaks]))
    assert found == ([("opening_range_break", "up", OPEN + timedelta(minutes=20))] if fires else [])


def test_a_vwap_run_continues_into_after_hours() -> None:
    start = OPEN + timedelta(hours=6, minutes=22)  # 15:52
    before = [*[(10.0, 10.0, 10_000.0)] * 6, (10.0, 9.9, 10_000.0)]
    run = [(10.2, 10.2, 10_000.0), (10.2, 10.2, 30_000.0), (10.2, 10.2, 40_000.0)]  # 15:59, 16:00, 16:01
    bars = _bars(start, *before, *run)
    found = [row for row in detect(bars) if row["event_type"] == "vwap_break"]
    assert [(row["direction"], row["session"], row["timestamp"]) for row in found] == [
        ("up", "AH", OPEN + timedelta(hours=6, minutes=30))
    ]


def test_cooldown_window_is_half_open() -> None:
    def row(minute: int, score: float) -> dict[str, object]:
        at = PREMARKET + timedelta(minutes=minute)
        return {"symbol": "AA", "date": "2025-06-02", "event_type": "flush", "timestamp": at, "score": score}

    kept = _cooled([row(0, 0.8), row(5, 0.73), row(9, 0.7), row(10, 0.3), row(19, 0.2)], DEFAULTS["cooldown"])
    assert [(event["timestamp"] - PREMARKET).seconds // 60 for event in kept] == [0, 5, 10]


def test_sessions_follow_daylight_saving_and_early_closes() -> None:
    moments = {
        datetime(2025, 3, 7, 14, 29, tzinfo=UTC): "PM",
        datetime(2025, 3, 7, 14, 30, tzinfo=UTC): "RTH",
        datetime(2025, 3, 10, 13, 30, tzinfo=UTC): "RTH",
        datetime(2025, 3, 10, 7, 59, tzinfo=UTC): None,  # 03:59 in New York
        datetime(2025, 11, 28, 17, 59, tzinfo=UTC): "RTH",
        datetime(2025, 11, 28, 18, 0, tzinfo=UTC): "AH",
        datetime(2025, 11, 28, 22, 0, tzinfo=UTC): None,
        datetime(2025, 11, 29, 15, 0, tzinfo=UTC): None,
        datetime(2025, 11, 27, 15, 0, tzinfo=UTC): None,
    }
    bars = pl.concat([_bars(moment, (10.0, 10.0, 100.0)) for moment in moments])
    found, dropped = in_session(bars)
    assert {row["timestamp"]: row["session"] for row in found} == {at: name for at, name in moments.items() if name}
    assert dropped == 4
    assert xnys(date(2024, 7, 3), date(2024, 7, 4)).keys() == {date(2024, 7, 3)}


def test_clean_keeps_the_first_good_row_of_a_repeat() -> None:
    bad = _bars(OPEN, (10.0, 10.0, 0.0))
    good = _bars(OPEN, (10.0, 10.0, 100.0))
    kept, quarantined = clean(pl.concat([bad, good, _bars(OPEN, (10.0, 11.0, 100.0))]))
    assert kept.equals(good)
    assert quarantined["volume"].to_list() == [0.0, 100.0]


def test_volume_baseline_needs_five_earlier_bars() -> None:
    found = features(_bars(OPEN, *[(10.0, 10.0, volume) for volume in (100.0, 200.0, 300.0, 400.0, 500.0, 900.0)]))
    assert found["spike_x"].to_list() == [None] * 5 + [3.0]
    assert found["return_5"].to_list() == [None] * 5 + [0.0]
    assert found["flatness"].null_count() == 6


@pytest.mark.parametrize(("rows", "extended"), [(3, 0), (4, 1), (7, 1), (8, 2)])
def test_extension_takes_at_most_a_quarter(rows: int, extended: int) -> None:
    base = lively_master(1, 200).unique("event_id", keep="first", maintain_order=True).head(rows)
    profile = {"min_event_score": 0.0, "max_per_symbol": 99, "max_per_symbol_day": 99}
    loose = {"bar": {"min_dollar_volume": 0, "min_volume": 0, "max_spread_pct": 900}, "day": {"min_dollar_volume": 0}}
    params = altered({"profiles": {"plus": {**profile, **loose}}})
    params["profiles"]["plus"]["day"]["min_rvol"] = 0
    table = base.with_columns(spike_x=pl.lit(50.0), event_group_id=pl.col("event_id"))
    found, funnel = manifest(table, "plus", params)
    assert [count for _, count in funnel] == [rows] * 8
    assert found["extended"].to_list() == [True] * extended + [False] * (rows - extended)
    recorded = extension(found, "plus", params)
    assert (recorded["triggered"], recorded["extended"]) == (rows, extended)


def test_percentile_interpolates_and_ignores_nulls() -> None:
    assert percentile([10, None, 20, 40], 75) == 30.0
    assert percentile([None], 90) is None


def test_windows_that_touch_are_one_span() -> None:
    row = (
        lively_master(3, 1).row(0, named=True) | dict.fromkeys(MANIFEST, None) | lively_master(3, 1).row(0, named=True)
    )
    at = datetime(2025, 11, 25, 15, 0, tzinfo=UTC)
    rows = [
        row | {"event_id": name, "session": "RTH", "timestamp": at + timedelta(minutes=minute)}
        | {"window_before_min": 5, "window_after_min": 15}
        for name, minute in (("a", 0), ("b", 20), ("c", 41))
    ]  # fmt: skip
    start = nanoseconds(at) - 300 * SECOND
    minute = 60 * SECOND
    assert [(span[2] - start, span[3] - start, span[4]) for span in spans(pl.DataFrame(rows, schema=MANIFEST))] == [
        (0, 40 * minute, ["a", "b"]),
        (41 * minute, 61 * minute, ["c"]),
    ]


@settings(deadline=None, max_examples=60)
@given(quotes=quote_streams(), by_change=st.booleans(), hz=st.sampled_from([0.5, 1, 5, 20, 50]))
def test_thinning_does_not_change_the_book_on_the_grid(quotes: pl.DataFrame, *, by_change: bool, hz: float) -> None:
    thinned = thin(quotes, by_change=by_change, hz=hz)
    times = quotes["timestamp"].to_physical().to_list()
    # nothing changes between two multiples without a quote: checking the multiple after each quote is enough
    for moment in {Fraction(interval_of(time, hz) + 1) * SECOND / Fraction(str(hz)) for time in times}:
        assert in_force(thinned, moment) == in_force(quotes, moment)
    assert thinned.height == 0 or thinned.row(0) == quotes.row(0)
    assert not by_change or _repeats(thinned) == 0


def _repeats(quotes: pl.DataFrame) -> int:
    best = quotes.select(*BEST).rows()
    return sum(before == after for before, after in pairwise(best))


def test_thinning_keeps_the_first_row_and_the_last_of_every_interval() -> None:
    rows = [(0, 1.0), (10, 2.0), (150, 3.0), (199, 2.0), (200, 2.0), (410, 3.0)]  # ms, bid; intervals of 200 ms
    quotes = pl.DataFrame(
        [{"timestamp": at * 1_000_000, "bid_price": bid, "sequence_number": at} for at, bid in rows],
        schema={**QUOTES, "timestamp": pl.Int64()},
        orient="row",
    ).cast(QUOTES)
    assert thin(quotes, by_change=True, hz=5)["sequence_number"].to_list() == [0, 199, 410]
    assert thin(quotes, by_change=False, hz=5)["sequence_number"].to_list() == [0, 199, 200, 410]


@pytest.mark.slow
def test_lively_bars_have_events_of_every_type() -> None:
    days = list(xnys(date(2025, 10, 27), date(2025, 11, 7)))
    for seed in range(4):
        found = Counter((row["event_type"], row["direction"]) for row in detect(lively_bars(seed, 4, days)))
        assert found.keys() == ALL_KINDS
        assert min(found.values()) >= 5


@settings(deadline=None, max_examples=5)
@given(bars=bars_frames())
def test_master_has_its_columns_and_unique_ids(bars: pl.DataFrame) -> None:
    found = master(bars)
    assert found.schema == EVENTS
    assert found["event_id"].is_unique().all()
    kept, quarantined = clean(bars)
    assert kept.height + quarantined.height == bars.height


@settings(deadline=None, max_examples=10)
@given(table=masters(), profile=st.sampled_from(["core", "plus", "premium"]))
def test_manifest_is_ranked_rows_of_master(table: pl.DataFrame, profile: str) -> None:
    found, funnel = manifest(table, profile)
    assert found.schema == MANIFEST
    assert found["rank"].to_list() == list(range(1, found.height + 1))
    assert funnel[-1][1] == found.height
    assert found["event_group_id"].is_unique().all()
