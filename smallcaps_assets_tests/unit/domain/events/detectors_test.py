"""Each detector on handwritten bars. All days trade far more than the global filters require."""

import re
from collections.abc import Sequence

import polars as pl
import pytest

from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.detectors import EVENT_TYPES, require_distinct_features, signals
from smallcaps_assets.pipeline.review.page import MEANINGS
from smallcaps_assets_tests.scenarios import NEW_YORK, Row, bars_from, default_settings, flat, sessions_of

DAY = "2025-11-05"


def found(
    rows: Sequence[Row], event_type: str, start: str = f"{DAY} 10:00", bars: pl.DataFrame | None = None
) -> list[tuple[str, str]]:
    """(New York time, direction) of the events of one type, before the cooldown."""
    frame = bars_from(start, rows) if bars is None else bars
    settings = default_settings()
    loose = settings.detection.model_copy(
        update={"cooldown": settings.cooldown.model_copy(update={"keep_share_of_best": 0.0})}
    )
    days = frame["timestamp"].dt.convert_time_zone(str(NEW_YORK)).dt.date().unique().sort()
    events = detect(frame, sessions_of(str(days[0]), str(days[-1])), loose).events
    wanted = events.filter(pl.col("event_type") == event_type)
    clock = wanted["timestamp"].dt.convert_time_zone(str(NEW_YORK)).dt.strftime("%H:%M")
    return list(zip(clock, wanted["direction"], strict=True))


# 60 minutes x 100,000 $: the day passes the filters of both directions
BASE = flat(60)
# closes 2 % up on exactly six times the median volume of 10,000
SPIKE_UP: Row = (10.0, 10.2, 10.0, 10.2, 60_000.0, 40)


def test_volume_spike_at_exactly_six_times_the_median() -> None:
    assert found([*BASE, SPIKE_UP], "volume_spike") == [("11:00", "up")]


def test_volume_spike_needs_its_range() -> None:
    # (10.14 - 10) / 10 = 0.014 < 0.015
    assert found([*BASE, (10.0, 10.14, 10.0, 10.14, 60_000.0, 40)], "volume_spike") == []


def test_volume_spike_that_lasts_is_one_event() -> None:
    # the baseline is a median of 20: two spiking bars do not move it
    again: Row = (10.2, 10.4, 10.2, 10.4, 60_000.0, 40)
    assert found([*BASE, SPIKE_UP, again], "volume_spike") == [("11:00", "up")]


def test_volume_spike_needs_more_outside_regular_hours() -> None:
    assert found([*BASE, SPIKE_UP], "volume_spike", start=f"{DAY} 06:00") == []
    stronger: Row = (10.0, 10.2, 10.0, 10.2, 80_000.0, 40)
    assert found([*BASE, stronger], "volume_spike", start=f"{DAY} 06:00") == [("07:00", "up")]


def test_volume_spike_down_needs_a_second_red_bar_below_the_high() -> None:
    first: Row = (10.0, 10.0, 9.95, 9.95, 10_000.0, 40)
    second: Row = (9.95, 9.95, 9.78, 9.78, 60_000.0, 40)  # 2.3 % below the high of 10.01
    assert found([*BASE, second], "volume_spike") == []
    assert found([*BASE, first, second], "volume_spike") == [("11:01", "down")]


def test_the_first_bars_of_a_day_have_no_baseline() -> None:
    today = bars_from(f"{DAY} 09:30", [*flat(4), SPIKE_UP, *BASE])
    assert found([], "volume_spike", bars=today) == []
    with_five = bars_from(f"{DAY} 09:30", [*flat(5), SPIKE_UP, *BASE])
    assert found([], "volume_spike", bars=with_five) == [("09:35", "up")]


def test_condition_of_the_previous_day_starts_again() -> None:
    yesterday = bars_from("2025-11-04 10:00", [*BASE, SPIKE_UP])
    # five quiet minutes make a baseline of the new day alone: the old day's 60,000 is not in it
    today = bars_from(f"{DAY} 10:00", [*flat(5, volume=1_000.0), (10.0, 10.2, 10.0, 10.2, 10_000.0, 40), *BASE])
    assert found([], "volume_spike", bars=pl.concat([yesterday, today])) == [("11:00", "up"), ("10:05", "up")]


def vwap_morning() -> list[Row]:
    """Opens at 10 and falls to 9.8 for ten minutes: VWAP is near 9.9, closes are below it."""
    return [*flat(30), *flat(30, price=9.8)]


def test_vwap_reclaim_is_one_event_at_the_second_bar_of_its_run() -> None:
    # VWAP of 30 minutes at 10 and 30 at 9.8 is 9.9; 9.99 is more than 0.6 % above it; volume 2 x 10,000
    above: Row = (9.99, 9.99, 9.99, 9.99, 20_000.0, 40)
    assert found([*vwap_morning(), above, above, above], "vwap_break", start=f"{DAY} 09:30") == [("10:31", "up")]


def test_vwap_reclaim_needs_a_close_below_before_the_run() -> None:
    above: Row = (10.2, 10.2, 10.2, 10.2, 20_000.0, 40)
    assert found([*BASE, above, above, above], "vwap_break", start=f"{DAY} 09:30") == []


def test_vwap_run_continues_after_hours_as_one_event() -> None:
    quiet, loud = (9.99, 9.99, 9.99, 9.99, 10_000.0, 40), (9.99, 9.99, 9.99, 9.99, 20_000.0, 40)
    # 15:00 to 15:59 as above, then the run: its first two minutes 15:58 and 15:59 are not loud, the third is 16:00
    rows = [*flat(28), *flat(30, price=9.8), quiet, quiet, loud, loud]
    assert found(rows, "vwap_break", start=f"{DAY} 15:00") == [("16:00", "up")]


def test_vwap_rejection_needs_a_failed_reclaim() -> None:
    # VWAP stays near 10; 9.9 is more than 0.8 % below it; volume 2.5 x 10,000
    below: Row = (9.9, 9.9, 9.9, 9.9, 25_000.0, 40)
    touch: Row = (9.95, 10.01, 9.95, 9.99, 10_000.0, 40)  # trades above VWAP, closes below
    flat_at_vwap: list[Row] = [(10.0, 10.0, 10.0, 10.0, 10_000.0, 40)] * 60
    assert found([*flat_at_vwap, below, below, below], "vwap_break", start=f"{DAY} 09:30") == []
    rows = [*flat_at_vwap, touch, below, below, below]
    assert found(rows, "vwap_break", start=f"{DAY} 09:30") == [("10:33", "down")]


def test_premarket_has_no_regular_vwap() -> None:
    above: Row = (9.99, 9.99, 9.99, 9.99, 20_000.0, 40)
    assert found([*vwap_morning(), above, above, above], "vwap_break", start=f"{DAY} 06:00") == []


def test_price_momentum_up_at_three_per_cent_over_five_bars() -> None:
    push: Row = (10.0, 10.31, 10.0, 10.31, 20_000.0, 40)
    assert found([*BASE, push], "price_momentum") == [("11:00", "up")]
    short: Row = (10.0, 10.29, 10.0, 10.29, 20_000.0, 40)
    assert found([*BASE, short], "price_momentum") == []


def test_price_momentum_down_must_accelerate() -> None:
    # -3.6 % over five bars against 0 % before: |-0.036| / max(0, 0.001) = 36
    drop: Row = (10.0, 10.0, 9.64, 9.64, 5_000.0, 40)  # a fall needs no volume
    assert found([*BASE, drop], "price_momentum") == [("11:00", "down")]
    # five bars earlier the return was -3.6 % already: 0.0415 / 0.036 = 1.15 < 1.2
    earlier = [*BASE, (10.0, 10.0, 9.64, 9.64, 10_000.0, 40), *flat(4, price=9.64)]
    later: Row = (9.64, 9.64, 9.24, 9.24, 20_000.0, 40)
    assert found([*earlier, later], "price_momentum") == [("11:00", "down")]


def coil() -> list[Row]:
    """Thirty flat minutes: bar_atr = 0.02/10, range 0.02: flatness = 0.002 / (0.002 x sqrt(30)) = 0.18."""
    return flat(60)


def test_consolidation_break_of_a_flat_base_both_ways() -> None:
    # 10.01 x 1.010 = 10.1101 and 9.99 x 0.990 = 9.8901
    assert found([*coil(), (10.0, 10.12, 10.0, 10.12, 20_000.0, 40)], "consolidation_break") == [("11:00", "up")]
    assert found([*coil(), (10.0, 10.0, 9.89, 9.89, 20_000.0, 40)], "consolidation_break") == [("11:00", "down")]
    assert found([*coil(), (10.0, 10.11, 10.0, 10.11, 20_000.0, 40)], "consolidation_break") == []


def test_consolidation_needs_thirty_bars_of_the_same_day() -> None:
    breaks: Row = (10.0, 10.12, 10.0, 10.12, 20_000.0, 40)
    assert found([*flat(29), breaks, *flat(40)], "consolidation_break") == []
    assert found([*flat(30), breaks, *flat(40)], "consolidation_break") == [("10:30", "up")]


def test_trend_is_not_a_consolidation() -> None:
    # each minute ranges 2 cents and the base rises 1 cent a minute: range 0.31 / 10.3 / (0.002 x 5.48) = 2.7
    trend: list[Row] = [(10 + k / 100, 10.01 + k / 100, 9.99 + k / 100, 10 + k / 100, 10_000.0, 40) for k in range(60)]
    assert found([*trend, (10.6, 10.8, 10.6, 10.8, 20_000.0, 40)], "consolidation_break") == []


def test_opening_range_break_is_the_first_of_each_direction() -> None:
    # range 9.99 to 10.01 until 09:45; 10.01 x 1.005 = 10.06005
    up: Row = (10.0, 10.07, 10.0, 10.07, 18_000.0, 40)
    down: Row = (10.0, 10.0, 9.93, 9.93, 18_000.0, 40)
    rows = [*flat(20), up, *flat(5), up, down, *flat(40), down]
    assert found(rows, "opening_range_break", start=f"{DAY} 09:30") == [("09:50", "up"), ("09:57", "down")]


def test_opening_range_ends_after_fifteen_minutes_of_clock_time() -> None:
    inside: Row = (10.0, 10.07, 10.0, 10.07, 18_000.0, 40)
    assert found([*flat(14), inside, *flat(60)], "opening_range_break", start=f"{DAY} 09:30") == []
    # the range now ends at 10.01 again, and 09:45 is the first minute after it
    assert found([*flat(15), inside, *flat(60)], "opening_range_break", start=f"{DAY} 09:30") == [("09:45", "up")]


def test_opening_range_needs_three_bars() -> None:
    breaks = [*flat(20), (10.0, 10.07, 10.0, 10.07, 18_000.0, 40), *flat(60)]
    late = bars_from(f"{DAY} 09:43", breaks)  # two bars before 09:45
    assert found([], "opening_range_break", bars=late) == []
    early = bars_from(f"{DAY} 09:42", breaks)
    assert found([], "opening_range_break", bars=early) == [("10:02", "up")]


@pytest.mark.parametrize(
    ("day", "utc_offset"), [("2025-03-07", 5), ("2025-03-10", 4), ("2025-10-31", 4), ("2025-11-03", 5)]
)
def test_opening_range_follows_new_york_time_across_daylight_saving(day: str, utc_offset: int) -> None:
    frame = bars_from(f"{day} 09:30", [*flat(20), (10.0, 10.07, 10.0, 10.07, 18_000.0, 40), *flat(60)])
    assert frame["timestamp"][0].hour == 9 + utc_offset
    assert found([], "opening_range_break", bars=frame) == [("09:50", "up")]


def test_tape_speed_is_relative_to_known_trade_counts() -> None:
    burst: Row = (10.0, 10.05, 10.0, 10.05, 10_000.0, 120)
    assert found([*BASE, burst], "tape_speed") == [("11:00", "up")]
    # mean of the known ones is 50: 120 / 50 < 3
    gaps: list[Row] = [(10.0, 10.01, 9.99, 10.0, 10_000.0, None if k % 2 else 50) for k in range(60)]
    assert found([*gaps, burst], "tape_speed") == []
    assert found([*gaps, (10.0, 10.05, 10.0, 9.95, 10_000.0, 150)], "tape_speed") == [("11:00", "down")]


def test_tape_speed_needs_fifty_trades_and_a_known_number() -> None:
    slow = flat(60, transactions=10)
    assert found([*slow, (10.0, 10.05, 10.0, 10.05, 10_000.0, 49)], "tape_speed") == []
    assert found([*slow, (10.0, 10.05, 10.0, 10.05, 10_000.0, 50)], "tape_speed") == [("11:00", "up")]
    assert found([*slow, (10.0, 10.05, 10.0, 10.05, 10_000.0, None)], "tape_speed") == []


def test_flush_needs_three_red_bars_eight_per_cent_below_the_high() -> None:
    first: Row = (10.0, 10.0, 9.8, 9.8, 10_000.0, 40)
    second: Row = (9.8, 9.8, 9.5, 9.5, 10_000.0, 40)
    third: Row = (9.5, 9.5, 9.2, 9.2, 40_000.0, 40)  # (10.01 - 9.2) / 10.01 = 8.09 %
    assert found([*BASE, first, second, third], "flush") == [("11:02", "down")]
    assert found([*BASE, second, third], "flush") == []
    assert found([*BASE, first, second, (9.5, 9.5, 9.22, 9.22, 40_000.0, 40)], "flush") == []


def test_half_day_ends_regular_hours_at_one() -> None:
    # on 2025-11-28 12:59 is regular, 13:00 is after-hours, 17:00 is nothing
    rows = [*flat(55), SPIKE_UP, *flat(4)]
    assert found(rows, "volume_spike", start="2025-11-28 12:04") == [("12:59", "up")]
    later = bars_from("2025-11-28 12:05", rows)
    assert found([], "volume_spike", bars=later) == []  # 13:00: after-hours asks for eight times
    strong = bars_from("2025-11-28 12:05", [*flat(55), (10.0, 10.2, 10.0, 10.2, 80_000.0, 40), *flat(4)])
    assert found([], "volume_spike", bars=strong) == [("13:00", "up")]
    outside = bars_from("2025-11-28 16:05", [*flat(55), (10.0, 10.2, 10.0, 10.2, 80_000.0, 40), *flat(4)])
    assert found([], "volume_spike", bars=outside) == []


# ----------------------------------------------------------------------------------------------- all detectors together


def test_two_detectors_with_the_same_feature_are_rejected() -> None:
    by_type = dict(signals(default_settings().detectors))
    assert by_type["vwap_break"].features.keys() == {"run_above", "run_below"}
    by_type["tape_speed"] = by_type["tape_speed"]._replace(features={"run_above": pl.lit(1)})
    expected = "detectors vwap_break and tape_speed both define the feature 'run_above'. Rename one of them."
    with pytest.raises(ValueError, match=re.escape(expected)):
        require_distinct_features(by_type)


def test_a_feature_and_a_window_of_two_detectors_with_the_same_name_are_rejected() -> None:
    by_type = dict(signals(default_settings().detectors))
    assert by_type["flush"].windows.keys() == {"lowest_close"}
    by_type["volume_spike"] = by_type["volume_spike"]._replace(features={"lowest_close": pl.lit(1)})
    with pytest.raises(ValueError, match="detectors volume_spike and flush both define the feature 'lowest_close'"):
        require_distinct_features(by_type)


def test_a_detector_without_parameters_is_rejected() -> None:
    by_type = dict(signals(default_settings().detectors))
    with pytest.raises(ValueError, match="event types gap_up: each needs a field of DetectorParams"):
        require_distinct_features({**by_type, "gap_up": by_type["flush"]})


def test_every_list_of_event_types_follows_the_detectors() -> None:
    settings = default_settings()
    assert tuple(signals(settings.detectors)) == EVENT_TYPES
    assert set(settings.ranking.type_weights) == set(MEANINGS) == set(EVENT_TYPES)
