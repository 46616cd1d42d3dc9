"""Features of events from bars: against slow rules, by hand, and under another future."""

import random
from datetime import UTC, date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.bars.bar_features import BarFeatureParams, MarketData, event_bar_features
from smallcaps_assets.domain.research.bars.event_scores import ScoreNormParams, event_scores
from smallcaps_assets.domain.research.bars.halts import HALTS, HaltParams, bar_halts, bar_runs
from smallcaps_assets.domain.research.bars.market_state import (
    MARKET_STATE,
    SPLITS,
    MarketStateParams,
    day_states,
    market_state_day,
)
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURE_COLUMNS, BAR_FEATURES, EVENT_SCORES
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets_tests.scenarios import bars_from, default_settings, new_york
from smallcaps_assets_tests.slow_spec import research_bars as slow
from smallcaps_assets_tests.unit.domain.research.bars.bar_scenes import Scene, scene, scene_of

SPLIT_DAYS = {"ATRA": [(date(2025, 11, 12), 10.0, 1.0), (date(2025, 11, 22), 1.0, 3.0)]}
SPLITS_FRAME = pl.DataFrame(
    [(symbol, *split) for symbol, of_symbol in SPLIT_DAYS.items() for split in of_symbol], schema=SPLITS, orient="row"
)


def state_of(made: Scene, splits: pl.DataFrame | None = None) -> pl.DataFrame:
    labeled = with_session(made.bars, made.sessions).filter(pl.col("day").is_not_null())
    states = day_states(labeled, made.sessions, splits, MarketStateParams())
    return market_state_day(states, bar_runs(labeled, made.sessions, HaltParams()))


@pytest.mark.slow
@pytest.mark.parametrize("with_splits", [False, True])
def test_market_state_equals_the_slow_rules(with_splits: bool) -> None:
    made = scene(5)
    expected = slow.market_state(slow.symbols_of(made.bars, SPLIT_DAYS if with_splits else None))
    found = state_of(made, SPLITS_FRAME if with_splits else None)
    assert_frame_equal(found, pl.DataFrame(expected, schema=MARKET_STATE), rel_tol=1e-12)
    assert found["ssr_triggered"].n_unique() == 3
    assert found["halts"].sum() > 0
    assert not found["halts_known"].all()


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "with_splits"), [(5, True), (8, False)])
def test_features_equal_the_slow_rules(seed: int, with_splits: bool) -> None:
    made = scene(seed, 1)
    symbols = slow.symbols_of(made.bars, SPLIT_DAYS if with_splits else None)
    candidates = made.candidates.rows(named=True)
    keys = ("symbol", "event_type", "timestamp", "in_causal_sample")
    expected = [
        {**slow.bar_features(event, symbols[event["symbol"]], candidates), **{key: event[key] for key in keys}}
        for event in made.events.rows(named=True)
    ]
    found = made.features(SPLITS_FRAME if with_splits else None)
    as_expected = pl.DataFrame(expected, schema=BAR_FEATURES)
    spread = "edge_spread_bps_60"
    assert_frame_equal(found.drop(spread), as_expected.drop(spread), rel_tol=1e-9, abs_tol=1e-12)
    # where the true spread is 0 both are roots of rounding errors
    assert_frame_equal(found.select(spread), as_expected.select(spread), rel_tol=1e-9, abs_tol=1e-4)
    assert_frame_equal(found, found.sort("symbol", "timestamp", "event_type"))
    never = {"float_turnover"} if with_splits else {"float_turnover", "split_on_date", "days_since_split"}
    never |= set() if with_splits else {"split_ratio", "reverse_split"}
    assert {name for name in found.columns if found[name].null_count() == found.height} == never


def changed(made: Scene, moment: pl.Expr, seed: int) -> pl.DataFrame:
    """The bars with another future from `moment` on."""
    rng = random.Random(seed)  # noqa: S311
    later = made.bars.filter(pl.col("timestamp") >= moment)
    if seed % 2:
        later = later.filter(pl.Series([rng.random() < 0.7 for _ in range(later.height)], dtype=pl.Boolean))
    factors = pl.Series([rng.choice([0.4, 0.9, 1.0, 1.2, 3.0]) for _ in range(later.height)], dtype=pl.Float64)
    shown = later.with_columns(
        pl.col("open", "high", "low", "close") * factors,
        volume=pl.col("volume") * factors,
        transactions=pl.when(factors > 1).then("transactions"),
    )
    return pl.concat([made.bars.filter(pl.col("timestamp") < moment), shown]).sort("symbol", "timestamp")


@pytest.mark.parametrize("seed", range(12))
def test_what_comes_after_an_event_changes_none_of_its_features(seed: int) -> None:
    made = scene(5)
    rng = random.Random(seed)  # noqa: S311
    event = made.master.row(rng.randrange(made.master.height), named=True)
    cut = pl.lit(event["known_at"])
    bars = made.bars.filter(pl.col("timestamp") < cut) if seed % 3 == 0 else changed(made, cut, seed)
    other = scene_of(bars, made.master)
    key = pl.col("event_id") == event["event_id"]
    now, then = made.features().filter(key), other.features().filter(key)
    assert now.height == 1
    assert_frame_equal(then, now, check_exact=True)


def test_a_feature_that_peeks_is_caught_by_such_a_test() -> None:
    """The close of the next bar, as if it were known."""
    made = scene(5)
    event = made.master.row(20, named=True)
    other = changed(made, pl.lit(event["known_at"]), 2)

    def peek(bars: pl.DataFrame) -> float:
        shifted = bars.with_columns(pl.col("close").shift(-1).over("symbol"))
        return float(shifted.filter(symbol=event["symbol"], timestamp=event["timestamp"])["close"].item())

    assert peek(made.bars) != peek(other)


def test_the_registry_is_complete() -> None:
    assert {column.availability for column in BAR_FEATURE_COLUMNS.values()} == {"key", "pre"}
    assert made_columns() == list(BAR_FEATURE_COLUMNS)


def made_columns() -> list[str]:
    return scene(5).features().columns


def day_of(prices: list[float], transactions: int | None, day: str = "2025-11-05") -> pl.DataFrame:
    """RTH bars from the open on, a minute each; a price of 0 is a minute without a bar."""
    rows = [(price, price, price, price, 1_000.0, transactions) for price in prices]
    bars = bars_from(f"{day} 09:30", [row if row[0] else (1.0, 1.0, 1.0, 1.0, 1.0, None) for row in rows])
    return bars.filter(pl.Series([price > 0 for price in prices]))


def runs_of(bars: pl.DataFrame) -> pl.DataFrame:
    sessions = scene(5).sessions
    return bar_runs(with_session(bars, sessions), sessions, HaltParams())


MINUTES = [5.0] * 20 + [0.0] * 5 + [5.0] * 365


def test_five_minutes_without_a_bar_after_fifty_transactions_are_a_halt() -> None:
    halts = bar_halts(runs_of(day_of(MINUTES, 10)))
    assert halts.schema == HALTS
    start, end = new_york("2025-11-05 09:50"), new_york("2025-11-05 09:55")
    assert halts.rows() == [("AEMD", 1, None, start, "2025-11-05", end, 300.0, 50)]


@pytest.mark.parametrize(
    ("minute", "transactions", "is_halt", "undecided"),
    [(19, 9, False, False), (17, None, False, True), (14, None, True, False), (15, None, False, True)],
)
def test_transactions_decide_whether_quiet_minutes_are_a_halt(
    minute: int, transactions: int | None, is_halt: bool, undecided: bool
) -> None:
    at = pl.col("timestamp") == (new_york("2025-11-05 09:30") + timedelta(minutes=minute)).astimezone(UTC)
    bars = day_of(MINUTES, 10).with_columns(
        transactions=pl.when(at).then(pl.lit(transactions, pl.Int64)).otherwise("transactions")
    )
    run = runs_of(bars).row(0, named=True)
    assert (run["is_halt"], run["undecided"]) == (is_halt, undecided)


def test_four_minutes_are_no_run_and_the_close_ends_one() -> None:
    assert runs_of(day_of([5.0] * 20 + [0.0] * 4 + [5.0] * 366, 10)).is_empty()
    last = runs_of(day_of([5.0] * 385 + [0.0] * 5, 10)).row(0, named=True)
    assert (last["start"], last["end"]) == (new_york("2025-11-05 15:55"), new_york("2025-11-05 16:00"))


@pytest.mark.parametrize(("low", "triggered"), [(4.50, True), (4.501, False)])
def test_ssr_is_triggered_by_a_fall_of_a_tenth(low: float, triggered: bool) -> None:
    today = day_of([5.0, 4.8, 4.9], 10, "2025-11-06")
    fallen = pl.when(pl.col("close") == 4.8).then(low).otherwise("low")
    bars = pl.concat([day_of([4.0, 5.0], 10), today.with_columns(low=fallen)])
    made = scene_of(bars.match_to_schema(BARS))
    found = state_of(made)
    assert found["prior_close"].to_list() == [None, 5.0]
    assert found["ssr_triggered"].to_list() == [None, triggered]


def test_prior_close_is_adjusted_by_the_splits_since() -> None:
    """1-for-10 on a day without bars, 3-for-1 on the day: 5.00 x 10 / 3."""
    bars = pl.concat([day_of([4.0, 5.0], 10), day_of([17.0], 10, "2025-11-10"), day_of([17.5], 10, "2025-11-11")])
    splits = pl.DataFrame(
        [
            ("AEMD", date(2025, 11, 5), 2.0, 1.0),
            ("AEMD", date(2025, 11, 7), 10.0, 1.0),
            ("AEMD", date(2025, 11, 10), 1.0, 3.0),
            ("GME", date(2025, 11, 10), 1.0, 7.0),
        ],
        schema=SPLITS,
        orient="row",
    )
    found = state_of(scene_of(bars), splits)
    assert found["prior_close"].to_list() == pytest.approx([None, 50 / 3, 17.0])
    assert found["split_on_date"].to_list() == [True, True, False]
    assert found["days_since_split"].to_list() == [0, 0, 1]
    assert found["split_ratio"].to_list() == [0.5, 3.0, 3.0]
    assert found["reverse_split"].to_list() == [True, False, False]


def test_float_turnover_uses_a_float_that_was_known() -> None:
    made = scene(5)
    event = made.master.row(30, named=True)
    day, symbol = date.fromisoformat(event["date"]), event["symbol"]
    floats = pl.DataFrame(
        {
            "symbol": symbol,
            "known_from": [day - timedelta(days=9), day, day + timedelta(days=1)],
            "float_shares": [1e6, 4e6, 7e6],
        }
    )
    market = MarketData(made.bars, made.sessions, made.candidates, None, floats)
    found = event_bar_features(made.events, market, default_settings().features, BarFeatureParams())
    row = found.filter(event_id=event["event_id"]).row(0, named=True)
    so_far = with_session(made.bars, made.sessions).filter(
        (pl.col("symbol") == symbol) & (pl.col("day") == day) & (pl.col("timestamp") <= event["timestamp"])
    )
    assert row["float_turnover"] == pytest.approx(so_far["volume"].sum() / 4e6, rel=1e-12)


def test_events_without_a_bar_or_without_candidates() -> None:
    made = scene(5)
    lost = made.events.row(3, named=True)
    bars = made.bars.filter(~((pl.col("symbol") == lost["symbol"]) & (pl.col("timestamp") == lost["timestamp"])))
    market = MarketData(bars, made.sessions)
    found = event_bar_features(made.events, market, default_settings().features, BarFeatureParams())
    assert lost["event_id"] not in found["event_id"]
    history = ("event_number_in_day", "minutes_since_last_event", "events_last_5min", "days_since_last_event")
    assert all(found[name].null_count() == found.height for name in history)


def test_no_bars_and_no_events() -> None:
    made = scene_of(BARS.to_frame())
    assert made.features().schema == BAR_FEATURES
    assert state_of(made).schema == MARKET_STATE
    assert event_scores(made.events, made.sessions, ScoreNormParams()).schema == EVENT_SCORES


def test_scores_equal_the_slow_rules() -> None:
    made = scene(5)
    repeated = made.events.with_columns(score=pl.col("score").round(1))
    sessions = made.sessions["date"].to_list()
    expected = slow.event_scores(repeated.rows(named=True), repeated.filter("in_master").rows(named=True), sessions)
    low = ScoreNormParams(score_min_events=50)
    found = event_scores(repeated, made.sessions, low)
    assert_frame_equal(found, pl.DataFrame(expected, schema=EVENT_SCORES), rel_tol=1e-12)
