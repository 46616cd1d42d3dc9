"""Waves after events: the worked example, rules at their bounds, and against slow rules on bars of any form."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.outcome_params import OutcomeParams
from smallcaps_assets.domain.research.outcomes.bars_after import bars_after
from smallcaps_assets.domain.research.outcomes.waves import WaveTables, event_waves
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES, EVENT_WAVES
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets_tests.scenarios import new_york, sessions_of
from smallcaps_assets_tests.slow_spec.bars import EASTERN
from smallcaps_assets_tests.slow_spec.outcomes_waves import outcome_of

# the end of daylight saving time lies between the first two; a half day
DAYS = ("2025-10-31", "2025-11-03", "2025-11-28")
SESSIONS = sessions_of(*DAYS)
CLOSES = dict(SESSIONS.select(pl.col("date").dt.to_string("%Y-%m-%d"), "afterhours_close").iter_rows())
# open, high, low, close
Ohlc = tuple[float, float, float, float]


class Event(NamedTuple):
    at: datetime
    direction: str = "up"
    bar_atr: float | None = None
    symbol: str = "AEMD"

    @property
    def event_id(self) -> str:
        return f"{self.symbol}_{self.at:%d_%H%M}_{self.direction}"


def bars_at(start: str, by_minute: dict[int, Ohlc], symbol: str = "AEMD") -> pl.DataFrame:
    """Bars of some minutes from a New York time on; a bar of minute m has 100 + m shares."""
    first = new_york(start)
    rows = [
        (symbol, first + timedelta(minutes=minute), *ohlc, 100.0 + minute, None, None)
        for minute, ohlc in by_minute.items()
    ]
    return pl.DataFrame(rows, schema=BARS, orient="row")


def compute(bars: pl.DataFrame, events: Sequence[Event], horizon_min: int = 60) -> WaveTables:
    frame = pl.DataFrame(
        [(one.event_id, one.symbol, one.at, "flush", one.direction, True, one.bar_atr, 0.5, -0.25) for one in events],
        schema={
            "event_id": pl.String(),
            "symbol": pl.String(),
            "timestamp": BARS["timestamp"],
            "event_type": pl.String(),
            "direction": pl.String(),
            "in_master": pl.Boolean(),
            "bar_atr": pl.Float64(),
            "velocity_pre_5": pl.Float64(),
            "acceleration_pre_5": pl.Float64(),
        },
        orient="row",
    )
    labeled = with_session(bars, SESSIONS).filter(pl.col("day").is_not_null())
    after = bars_after(frame, labeled, SESSIONS)
    return event_waves(after, frame.reverse(), OutcomeParams(wave_horizon_min=horizon_min))


# ----------------------------------------------------------- the worked example F (research specification, section 13)

EXAMPLE = {
    0: (4.90, 5.00, 4.90, 5.00),
    1: (5.02, 5.10, 5.00, 5.08),
    2: (5.08, 5.22, 5.06, 5.20),
    3: (5.20, 5.21, 5.04, 5.05),
    4: (5.05, 5.12, 5.01, 5.11),
    6: (5.11, 5.30, 5.10, 5.28),
    7: (5.28, 5.29, 5.10, 5.12),
}
AT = new_york("2025-11-03 10:00")


def minute(number: int) -> datetime:
    return (AT + timedelta(minutes=number)).astimezone(UTC)


def test_the_worked_example() -> None:
    found = compute(bars_at("2025-11-03 10:00", EXAMPLE), [Event(AT)])
    columns = ("leg", "direction", "start_at", "start_price", "end_at", "end_price", "confirmed_at")
    # a bar ends one minute after its number; minute 5 has no bar
    assert found.waves.select(columns).rows() == [
        (1, "up", minute(1), 5.00, minute(3), 5.22, minute(4)),
        (2, "down", minute(3), 5.22, minute(5), 5.01, minute(5)),
        (3, "up", minute(5), 5.01, minute(7), 5.30, minute(8)),
        (4, "down", minute(7), 5.30, minute(8), 5.10, None),
    ]
    assert found.waves["return"].to_list() == pytest.approx([0.044, -0.040230, 0.057884, -0.037736], abs=5e-7)
    assert found.waves["retracement"].to_list()[0] is None
    assert found.waves["retracement"].to_list()[1:] == pytest.approx([0.954545, 1.380952, 0.689655], abs=5e-7)
    assert found.waves["duration_s"].to_list() == [120.0, 120.0, 120.0, 60.0]
    # bars 1 and 2; 3 and 4; 6; 7
    assert found.waves["volume"].to_list() == [203.0, 207.0, 106.0, 107.0]
    row = found.outcomes.to_dicts()[0]
    assert row["outcome"] == "continuation"
    assert (row["mfe_15_bps"], row["mae_15_bps"]) == pytest.approx((557.7689, -39.8406), abs=5e-5)
    # up to 5.22 in minute 2, the low of 5.00 in minute 1; at 5.30 in minute 6
    assert row["mfe_5_bps"] == pytest.approx(1e4 * (5.22 / 5.02 - 1))
    assert (row["minutes_to_mfe_5"], row["minutes_to_mae_5"], row["mfe_before_mae_5"]) == (2.0, 1.0, False)
    assert (row["minutes_to_mfe_15"], row["minutes_to_mae_15"]) == (6.0, 1.0)
    assert (row["theta"], row["theta_default"], row["wave_horizon_s"]) == (0.02, True, 3600.0)
    assert (row["legs"], row["confirmed_legs"], row["first_leg_direction"], row["first_leg_s"]) == (4, 3, "up", 120.0)
    assert row["first_pullback"] == pytest.approx(0.954545, abs=5e-7)
    # all six are at least 2 % high: bar 1 exactly, from 5.00 to 5.10
    assert row["path_ambiguous_bars"] == 6
    # C(1) = 5.08, C(5) = 5.11 and C(10) = 5.12
    assert row["velocity_1_bps_per_min"] == pytest.approx(1e4 * math.log(5.08 / 5.00))
    v5 = 1e4 * math.log(5.11 / 5.00) / 5
    assert row["velocity_5_bps_per_min"] == pytest.approx(v5)
    assert row["acceleration_10_bps_per_min2"] == pytest.approx((1e4 * math.log(5.12 / 5.11) / 5 - v5) / 5)
    assert (row["velocity_pre_5"], row["acceleration_pre_5"]) == (0.5, -0.25)


def test_the_example_of_a_down_event() -> None:
    row = compute(bars_at("2025-11-03 10:00", EXAMPLE), [Event(AT, "down")]).outcomes.to_dicts()[0]
    # entry 5.02: least 5.00, greatest 5.30; what goes up is adverse
    assert row["outcome"] == "reversal"
    assert (row["mfe_15_bps"], row["mae_15_bps"]) == pytest.approx((39.8406, -557.7689), abs=5e-5)
    assert (row["mfe_before_mae_15"], row["first_leg_direction"]) == (True, "up")
    assert row["velocity_1_bps_per_min"] == pytest.approx(-1e4 * math.log(5.08 / 5.00))


# ------------------------------------------------------------------------------------------------------ rules at bounds


def path(*bars: Ohlc, start: int = 1, event: Event | None = None, horizon_min: int = 60) -> tuple[pl.DataFrame, Any]:
    """Waves and outcome of an event at 10:00 at 5.00, whose theta is 2 %, and of bars of successive minutes."""
    by_minute = {0: (5.0, 5.0, 5.0, 5.0), **{start + number: bar for number, bar in enumerate(bars)}}
    found = compute(bars_at("2025-11-03 10:00", by_minute), [event or Event(AT)], horizon_min)
    return found.waves, found.outcomes.to_dicts()[0]


def at(price: float) -> Ohlc:
    return (price, price, price, price)


def test_a_leg_begins_at_theta_itself() -> None:
    # 5.00 x 1.02 = 5.10, one ten-thousandth less is none
    assert path(at(5.10))[1]["legs"] == 1
    assert path(at(5.0999))[1]["legs"] == 0
    assert path(at(4.90))[1]["first_leg_direction"] == "down"
    # 5.25 x 0.98 = 5.145 ends the leg
    assert path(at(5.25), at(5.145))[1]["confirmed_legs"] == 1
    assert path(at(5.25), at(5.1451))[1]["confirmed_legs"] == 0


def test_the_first_of_equal_extremes_stays() -> None:
    waves, row = path(at(5.20), at(5.15), at(5.20), at(5.00), at(5.00))
    assert waves["end_at"].to_list() == [minute(2), minute(5)]
    assert waves["volume"].to_list() == [101.0, 102.0 + 103.0 + 104.0]
    assert (row["minutes_to_mfe_5"], row["minutes_to_mae_5"]) == (1.0, 4.0)


def test_a_falling_bar_has_its_high_before_its_low() -> None:
    # up to 5.15 first, then down to 4.95; rising: down to 4.85 first, then up to 5.15; a doji rises
    assert path((5.05, 5.15, 4.95, 5.00))[0]["direction"].to_list() == ["up", "down"]
    assert path((5.00, 5.15, 4.85, 5.05))[0]["direction"].to_list() == ["down", "up"]
    assert path((5.06, 5.15, 4.85, 5.06))[0]["direction"].to_list() == ["down", "up"]
    falling, rising = path((5.05, 5.15, 4.95, 5.00))[1], path((5.00, 5.15, 4.85, 5.05))[1]
    assert (falling["mfe_before_mae_5"], rising["mfe_before_mae_5"]) == (True, False)
    assert falling["minutes_to_mfe_5"] == falling["minutes_to_mae_5"] == 1.0


def test_legs_within_one_bar_have_no_volume_of_their_own() -> None:
    waves, _ = path((5.05, 5.15, 4.95, 5.00))
    assert waves["volume"].to_list() == [101.0, 0.0]
    assert waves["duration_s"].to_list() == [60.0, 0.0]
    assert waves["confirmed_at"].to_list() == [minute(2), None]


def test_excursions_are_from_the_entry_and_null_without_one() -> None:
    # P0 is 5.00, the entry 5.20
    row = path((5.20, 5.20, 5.20, 5.20), at(5.20))[1]
    assert [row[f"{kind}_{h}_bps"] for kind in ("mfe", "mae") for h in (5, 15, 30, 60)] == [0.0] * 8
    assert row["mfe_before_mae_5"] is None
    # the fifth minute after K is the last of an entry
    assert path(at(5.10), start=5)[1]["mfe_5_bps"] == 0.0
    late = path(at(5.10), start=6)[1]
    assert [name for name in late if ("mfe" in name or "mae" in name) and late[name] is not None] == []
    assert (late["legs"], late["outcome"]) == (1, "continuation")


def test_the_horizon_is_excluded() -> None:
    # K + 60 min is minute 61; that bar is no point, nor one of the excursions
    row = path(at(5.02), *[at(5.0)] * 58, at(5.2), at(5.4))[1]
    assert (row["legs"], row["first_leg_return"]) == (1, pytest.approx(0.04))
    assert row["mfe_60_bps"] == pytest.approx(1e4 * (5.2 / 5.02 - 1))
    row = path(at(5.02), *[at(5.0)] * 58, at(5.05), at(5.4))[1]
    assert row["legs"] == 0


def test_the_setting_bounds_the_waves_and_nothing_else() -> None:
    bars = [at(5.0)] * 9 + [at(5.2)] + [at(5.0)]
    waves, row = path(*bars, horizon_min=9)
    assert (waves.height, row["legs"], row["wave_horizon_s"]) == (0, 0, 540.0)
    assert (row["outcome"], row["mfe_15_bps"]) == ("failed_continuation", pytest.approx(400.0))
    assert path(*bars, horizon_min=10)[1]["legs"] == 1
    assert path(*bars, horizon_min=11)[1]["confirmed_legs"] == 1


def test_momentum_is_null_without_a_bar_in_time() -> None:
    row = path(at(5.1), start=6)[1]
    assert row["velocity_1_bps_per_min"] is row["velocity_5_bps_per_min"] is None
    assert row["velocity_10_bps_per_min"] == pytest.approx(1e4 * math.log(5.1 / 5.0) / 10)
    assert row["acceleration_10_bps_per_min2"] is None


def test_the_outcome_is_that_of_15_minutes() -> None:
    flat = [at(5.0)] * 14
    # minute 15 ends at K + 15 min, minute 16 after it
    assert path(*flat, at(5.2))[1]["outcome"] == "continuation"
    assert path(*flat, at(5.0), at(5.2))[1]["outcome"] == "stall"
    assert path(*flat, at(4.8))[1]["outcome"] == "reversal"
    # C(15) is that of minute 15: at P0 it has failed, whatever follows
    assert path(at(5.2), *flat, at(5.2))[1]["outcome"] == "failed_continuation"
    assert path(at(5.2), *flat[1:], at(5.01), at(4.0))[1]["outcome"] == "continuation"


@pytest.mark.parametrize(
    ("bar_atr", "theta"), [(0.001, 0.01), (1 / 300, 0.01), (0.005, 0.015), (0.04, 0.10), (None, 0.02)]
)
def test_theta_lies_within_its_bounds(bar_atr: float | None, theta: float) -> None:
    row = path(event=Event(AT, "up", bar_atr))[1]
    assert row["theta"] == pytest.approx(theta, rel=1e-15)
    assert row["theta_default"] == (bar_atr is None)


def test_the_end_of_after_hours_ends_the_path() -> None:
    bars = bars_at("2025-11-28 16:44", {number: at(5.0) for number in range(16)})
    end = new_york("2025-11-28 17:00")
    events = [Event(end - timedelta(minutes=back)) for back in (1, 2, 16)]
    last, before, early = compute(bars, events).outcomes.to_dicts()
    assert (last["wave_horizon_s"], last["legs"], last["velocity_1_bps_per_min"]) == (0.0, 0, None)
    assert last["mfe_5_bps"] is last["outcome"] is None
    assert (before["wave_horizon_s"], before["velocity_1_bps_per_min"], before["mfe_60_bps"]) == (60.0, 0.0, 0.0)
    assert before["velocity_5_bps_per_min"] is before["acceleration_10_bps_per_min2"] is None
    # K + 15 min is the end itself
    assert (early["wave_horizon_s"], early["outcome"], early["velocity_10_bps_per_min"]) == (900.0, "stall", 0.0)


def test_prices_of_a_million_dollars_do_not_overflow() -> None:
    big = {0: at(1e6), 1: (1e6, 1e6, 0.01, 0.01), 2: at(1e6)}
    waves = compute(bars_at("2025-11-03 10:00", big), [Event(AT)]).waves
    assert waves["direction"].to_list() == ["down", "up"]
    assert waves["end_price"].to_list() == [0.01, 1e6]


def test_nothing_is_computed_of_no_events() -> None:
    found = compute(bars_at("2025-11-03 10:00", EXAMPLE), [])
    assert (found.waves.schema, found.outcomes.schema) == (EVENT_WAVES, EVENT_OUTCOMES)
    assert found.waves.height == found.outcomes.height == 0


# --------------------------------------------------------------------------------------------------- against slow rules

BAR = st.tuples(
    st.sampled_from([1, 1, 1, 1, 1, 2, 5, 6, 14, 30]),  # minutes since the bar before
    st.integers(-3, 3),  # ticks from close to open
    st.integers(-4, 4),  # from open to close
    st.integers(0, 4),  # above both
    st.integers(0, 4),  # below both
    st.sampled_from([1.0, 100.0, 1234.5]),
)
STARTS = ("04:00", "09:25", "12:40", "15:30", "16:20", "16:45", "18:50", "19:40")


@st.composite
def days(draw: st.DrawFn) -> pl.DataFrame:
    """Bars of two symbols, of one on two days, with ticks of whole per cents and of less."""
    parts = []
    for symbol, day in (("AEMD", DAYS[0]), ("AEMD", draw(st.sampled_from(DAYS[1:]))), ("ZZ", DAYS[0])):
        tick, level = draw(st.sampled_from([(0.01, 100), (0.01, 250), (0.0001, 5_000), (0.0001, 97)]))
        minutes, close = 0, level
        rows: dict[int, Ohlc] = {}
        volumes = []
        for gap, opens, moves, above, below, volume in draw(st.lists(BAR, min_size=1, max_size=40)):
            minutes += gap
            opened = max(close + opens, 10)
            close = max(opened + moves, 10)
            ticks = (opened, max(opened, close) + above, min(opened, close) - below, close)
            rows[minutes] = tuple(number * tick for number in ticks)  # type: ignore[assignment]  # four of them
            volumes.append(volume)
        part = bars_at(f"{day} {draw(st.sampled_from(STARTS))}", rows, symbol)
        parts.append(part.with_columns(volume=pl.Series(volumes)))
    return pl.concat(parts).sort("symbol", "timestamp")


ATRS = (None, 0.001, 1 / 300, 0.004, 0.02 / 3, 0.05)


@settings(max_examples=60, deadline=None)
@given(days(), st.sampled_from([60, 60, 60, 7, 240]), st.integers(0, 11))
def test_any_bars_equal_the_slow_rules(bars: pl.DataFrame, horizon_min: int, shift: int) -> None:
    labeled = with_session(bars, SESSIONS).filter(pl.col("day").is_not_null())
    by_day: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in labeled.rows(named=True):
        day = f"{row['timestamp'].astimezone(EASTERN):%Y-%m-%d}"
        by_day.setdefault((row["symbol"], day), []).append(row)
    events, waves, rows = [], [], []
    for number, row in enumerate(labeled.rows(named=True)):
        kind = number * 7 + shift
        one = Event(row["timestamp"], ("up", "down")[kind % 2], ATRS[kind % len(ATRS)], row["symbol"])
        day = f"{row['timestamp'].astimezone(EASTERN):%Y-%m-%d}"
        given_event = {"event_id": one.event_id, "timestamp": one.at} | {
            "direction": one.direction,
            "bar_atr": one.bar_atr,
        }
        legs, outcome = outcome_of(given_event, by_day[row["symbol"], day], CLOSES[day], horizon_min)
        events.append(one)
        waves += legs
        keys = {"symbol": one.symbol, "timestamp": one.at, "event_type": "flush", "in_master": True}
        rows.append({**outcome, **keys, "velocity_pre_5": 0.5, "acceleration_pre_5": -0.25})
    found = compute(bars, events, horizon_min)
    assert_frame_equal(found.waves, pl.DataFrame(waves, schema=EVENT_WAVES), rel_tol=1e-12, abs_tol=1e-12)
    assert_frame_equal(found.outcomes, pl.DataFrame(rows, schema=EVENT_OUTCOMES), rel_tol=1e-9, abs_tol=1e-9)
