"""Every planted event is an event on the served bars, under every seed, and there are enough of each kind."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from smallcaps_assets.simulated.hours import NS_PER_SECOND, RTH_OPEN, trading_day
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.source import TRUTH
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at
from smallcaps_assets_tests.unit.simulated.market.evaluator import Day, day_of, is_event, score

pytestmark = pytest.mark.slow

EXPECTED = {
    (event_type, direction, session)
    for event_type, directions, sessions in (
        ("volume_spike", ("up", "down"), ("PM", "RTH", "AH")),
        ("price_momentum", ("up", "down"), ("PM", "RTH", "AH")),
        ("consolidation_break", ("up", "down"), ("PM", "RTH", "AH")),
        ("tape_speed", ("up", "down"), ("PM", "RTH", "AH")),
        ("flush", ("down",), ("PM", "RTH", "AH")),
        ("vwap_break", ("up", "down"), ("RTH", "AH")),
        ("opening_range_break", ("up", "down"), ("RTH",)),
    )
    for direction in directions
    for session in sessions
}


def judged(market, first, last):
    """The truth with a verdict, the session, the score and the bar's range over VWAP for each planted event."""
    rows = []
    for (symbol, text), planted in market.truth(first, last).group_by("symbol", "date"):
        day = bars_of(market, symbol, date.fromisoformat(text))
        for event in planted.iter_rows(named=True):
            i = day.at(event["timestamp"])
            assert i is not None, event
            spread = (day[i]["high"] - day[i]["low"]) / day.vwap_session(i)
            verdict = is_event(day, i, event["event_type"], event["direction"])
            rows.append(
                {
                    **event,
                    "is_event": verdict,
                    "session": day.session(i),
                    "spread": spread,
                    "score": score(day, i, event["direction"]),
                }
            )
    return pl.DataFrame(rows)


def bars_of(market, symbol, day) -> Day:
    session = trading_day(day)
    opens, closes = (
        datetime.fromtimestamp(session.start_ns // NS_PER_SECOND + minute * 60, UTC)
        for minute in (RTH_OPEN, session.close)
    )
    return day_of(market.bars(symbol, day, day), opens, closes)


@pytest.fixture(scope="module")
def verdicts(market, month):
    return judged(market, *month)


def test_every_planted_event_is_one_on_the_served_bars(verdicts):
    assert verdicts.filter(~pl.col("is_event")).is_empty()


def test_every_type_direction_and_session_is_planted_several_times(verdicts):
    groups = verdicts.group_by("event_type", "direction", "session").len()
    counts = {(row["event_type"], row["direction"], row["session"]): row["len"] for row in groups.to_dicts()}
    assert set(counts) == EXPECTED
    assert min(counts.values()) >= 3


def test_many_are_strong_and_liquid_and_others_are_weak(verdicts):
    assert 0.5 < (verdicts["score"] >= 0.6).mean() < 0.9
    liquid = verdicts.filter(pl.col("score") >= 0.6, pl.col("spread") <= 0.05)
    assert len(liquid) > 0.4 * len(verdicts)
    assert set(liquid["session"]) == {"PM", "RTH", "AH"}
    assert (verdicts["score"] < 0.5).sum() > 30


def test_many_days_are_quiet(market, month):
    planted = market.truth(*month).select("symbol", "date").unique()
    assert 0.35 < 1 - len(planted) / (30 * 11) < 0.6
    assert "ZZRO" not in planted["symbol"]


@pytest.mark.parametrize(
    ("seed", "symbols", "first", "last"),
    [
        (1, 40, date(2025, 11, 26), date(2025, 12, 1)),  # an early close
        (99, 60, date(2023, 3, 10), date(2023, 3, 14)),  # clocks change in between
        (123, 60, date(2024, 7, 1), date(2024, 7, 5)),
    ],
)
def test_the_truth_holds_under_other_seeds_and_dates(seed, symbols, first, last):
    verdicts = judged(SimulatedMarket(seed, symbols, at(LATER)), first, last)
    assert len(verdicts) > 100
    assert verdicts.filter(~pl.col("is_event")).is_empty()


def test_the_truth_has_its_schema_also_when_empty(market):
    weekend = date(2025, 11, 15)
    assert market.truth(weekend, weekend).schema == TRUTH
    assert market.truth(date(2025, 11, 12), date(2025, 11, 12)).schema == TRUTH
