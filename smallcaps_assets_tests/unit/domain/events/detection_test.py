"""Ids, cooldown, groups, score and tiers, worked out by hand."""

import hashlib
import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.events.cooldown import window_numbers
from smallcaps_assets.domain.events.detection import detect, event_ids
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.events.score import score, tier
from smallcaps_assets_tests.scenarios import Row, bars_from, default_settings, flat, sessions_of
from smallcaps_assets_tests.strategies.masters import lively_master


def test_event_id_has_its_golden_value() -> None:
    frame = pl.DataFrame(
        {
            "symbol": ["ATRA"],
            "event_type": ["vwap_break"],
            "timestamp": [datetime(2022, 10, 10, 13, 30, tzinfo=UTC)],
        }
    )
    assert event_ids(frame).to_list() == ["ATRA_vwap_break_20221010_133000_1ba26d93"]


def test_event_ids_hash_the_time_as_python_writes_it_with_and_without_fractions() -> None:
    times = [datetime(2022, 10, 10, 13, 30, microsecond=part, tzinfo=UTC) for part in (0, 250_000, 7)]
    frame = pl.DataFrame({"symbol": "ATRA", "event_type": "flush", "timestamp": times})
    keys = [f"ATRA|flush|{time.isoformat()}".encode() for time in times]
    digests = [hashlib.sha1(key, usedforsecurity=False).hexdigest()[:8] for key in keys]
    assert keys[0].endswith(b"13:30:00+00:00")
    assert keys[1].endswith(b"13:30:00.250000+00:00")
    assert event_ids(frame).to_list() == [f"ATRA_flush_20221010_133000_{digest}" for digest in digests]


def windows_at(*minutes: float) -> list[int]:
    rows = pl.DataFrame(
        {
            "group": ["a"] * len(minutes),
            "timestamp": [datetime(2025, 11, 5, 15, tzinfo=UTC) + timedelta(minutes=m) for m in minutes],
        }
    )
    return window_numbers(rows, ["group"], timedelta(minutes=10)).to_list()


def test_window_opens_at_first_event_after_the_previous_window() -> None:
    assert windows_at(0, 5, 9, 10, 14, 19, 20, 45) == [1, 1, 1, 2, 2, 2, 3, 4]


def test_window_is_not_extended_by_its_events() -> None:
    # 0 opens, 9 is inside, 18 is 9 after 9 but 18 after 0
    assert windows_at(0, 9, 18, 27) == [1, 1, 2, 2]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 200)), max_size=60))
def test_windows_equal_those_of_a_plain_loop(events: list[tuple[str, int]]) -> None:
    rows = pl.DataFrame(sorted(events), schema={"group": pl.String, "minute": pl.Int64}, orient="row").with_columns(
        timestamp=pl.datetime(2025, 11, 5) + pl.duration(minutes="minute")
    )
    expected, number, opened = [], 0, {}
    for group, minute in sorted(events):
        if group not in opened or minute >= opened[group] + 10:
            opened[group] = minute
            number += 1
        expected.append(number)
    assert window_numbers(rows, ["group"], timedelta(minutes=10)).to_list() == expected


def test_groups_have_separate_windows_whatever_their_dates() -> None:
    # the second group of a lies before its first, that of b begins inside the last window of a
    places = [
        ("a", 1, 100),
        ("a", 1, 109),
        ("a", 2, 3),
        ("a", 2, 12),
        ("a", 2, 13),
        ("b", 1, 14),
        ("b", 1, 14),
        ("b", 1, 24),
    ]
    rows = pl.DataFrame(places, schema={"symbol": pl.String, "day": pl.Int64, "minute": pl.Int64}, orient="row")
    timed = rows.with_columns(timestamp=pl.datetime(2025, 11, 5) + pl.duration(minutes="minute"))
    assert window_numbers(timed, ["symbol", "day"], timedelta(minutes=10)).to_list() == [1, 1, 2, 2, 3, 4, 4, 5]


def test_windows_after_long_gaps_and_windows_of_a_day() -> None:
    assert windows_at(0, 1, 500, 959, 1439, 1440) == [1, 1, 2, 3, 4, 4]
    rows = pl.DataFrame(
        {"group": ["a"] * 3, "timestamp": [datetime(2025, 11, 5, hour, tzinfo=UTC) for hour in (4, 12, 23)]}
    )
    assert window_numbers(rows, ["group"], timedelta(days=1)).to_list() == [1, 1, 1]


def one_event(**values: object) -> pl.DataFrame:
    base = {
        "spike_x": 50.0,
        "return_5": 0.10,
        "close": 10.5,
        "open": 10.0,
        "dollar_volume": 5_000_000.0,
        "green_run": 5,
        "red_run": 0,
        "vwap_session": 10.0,
        "direction": "up",
    }
    floats = ("spike_x", "return_5", "vwap_session")
    return pl.DataFrame([base | values], schema_overrides=dict.fromkeys(floats, pl.Float64))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 1.0),
        # each component beyond full counts as full
        ({"spike_x": 500.0, "return_5": -0.5, "dollar_volume": 1e9, "green_run": 9, "close": 20.0}, 1.0),
        # 0.30 x ln 5 / ln 50 + 0.70
        ({"spike_x": 5.0}, 0.30 * math.log(5) / math.log(50) + 0.70),
        # a spike below 1 counts 0, not less
        ({"spike_x": 0.5}, 0.70),
        ({"spike_x": None}, 0.70),
        # without return_5 the bar's own move counts: 0.5/10 = 5 % of a full 10 %
        ({"return_5": None}, 0.75 + 0.25 * 0.5),
        # 500,000 is one decade of two
        ({"dollar_volume": 500_000.0}, 0.80 + 0.20 * 0.5),
        # going down, the red run counts
        ({"direction": "down", "red_run": 2}, 0.85 + 0.15 * 0.4),
        ({"close": 10.1}, 0.90 + 0.10 * 0.2),
        ({"vwap_session": None}, 0.90),
    ],
)
def test_score_components(values: dict[str, object], expected: float) -> None:
    assert one_event(**values).select(score(default_settings().score)).item() == pytest.approx(expected, abs=1e-12)


def test_tiers_follow_the_profiles() -> None:
    frame = pl.DataFrame({"score": [0.6, 0.5999, 0.5, 0.4, 0.3999]})
    assert frame.select(tier([0.6, 0.5, 0.4])).to_series().to_list() == [1, 2, 2, 3, 4]


SPIKE: Row = (10.0, 10.2, 10.0, 10.2, 60_000.0, 40)


def directions_of(rows: list[Row]) -> set[str]:
    found = detect(bars_from("2025-11-05 10:00", rows), sessions_of("2025-11-05"), default_settings().detection)
    return set(found.events["direction"])


def test_up_event_needs_half_a_million_dollars_that_day() -> None:
    rise: Row = (10.0, 10.25, 10.0, 10.25, 44_000.0, 40)  # 451,000 $
    assert directions_of([*flat(7, volume=700.0), rise]) == {"up"}  # and 49,000 $
    assert directions_of([*flat(6, volume=700.0), *flat(1, volume=699.0), rise]) == set()


def test_down_event_needs_a_million_dollars_that_day() -> None:
    fall: list[Row] = [
        (10.0, 10.0, 9.9, 9.9, 1_000.0, 40),  # 9,900 $
        (9.9, 9.9, 9.75, 9.75, 80_000.0, 40),  # 780,000 $
    ]
    assert directions_of([*flat(1, volume=10.0), *flat(20, volume=1_050.0), *fall]) == {"down"}  # and 210,100 $
    assert directions_of([*flat(1, volume=9.0), *flat(20, volume=1_050.0), *fall]) == set()


def test_days_below_every_minimum_dollar_volume_are_skipped_and_counted() -> None:
    spike: Row = (10.0, 10.2, 10.0, 10.2, 30_000.0, 40)  # 306,000 $
    shares = {"2025-11-04": 323.0, "2025-11-05": 324.0, "2025-11-06": 10.0}  # of 60 minutes at 10 $ each
    days = [bars_from(f"{day} 10:00", [*flat(60, volume=each), spike]) for day, each in shares.items()]
    other = bars_from("2025-11-05 10:00", flat(3, volume=1.0), symbol="B")
    found = detect(pl.concat([*days, other]), sessions_of(*shares), default_settings().detection)
    assert found.daily["dollar_volume_day"].round().to_list() == [499_800, 500_400, 312_000, 30]
    assert set(found.events["date"]) == {"2025-11-05"}
    assert {symbol: counts["days_filtered"] for symbol, counts in found.by_symbol.items()} == {"AEMD": 2, "B": 1}
    assert found.counts["events_found"] > 0
    assert found.by_symbol["B"]["events_found"] == 0


def test_event_outside_the_price_limits_is_removed_and_counted() -> None:
    cheap: Row = (0.9, 0.918, 0.9, 0.918, 600_000.0, 40)
    settings = default_settings()
    found = detect(
        bars_from("2025-11-05 10:00", [*flat(30, price=0.9, volume=100_000.0), cheap]),
        sessions_of("2025-11-05"),
        settings.detection,
    )
    assert found.events.is_empty()
    assert found.counts["events_found"] == found.counts["events_filtered"] > 0


def test_master_keeps_one_row_per_event_and_prefers_up_on_a_tie() -> None:
    settings = default_settings()
    bars = bars_from("2025-11-05 10:00", [*flat(60), SPIKE])
    shard = detect(bars, sessions_of("2025-11-05"), settings.detection).events
    twin = shard.with_columns(direction=pl.lit("down"))
    worse = shard.with_columns(score=pl.col("score") - 0.1)
    master = build_master(pl.concat([worse, twin, shard, shard]), settings.cooldown)
    assert master.height == shard.height
    assert set(master["direction"]) == {"up"}
    assert_frame_equal(master.select("score"), shard.sort("symbol", "timestamp", "event_type").select("score"))


def master_by_hand(shards: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The expected MASTER of these rows, computed in a loop: id, score, direction, group."""
    best: dict[str, dict[str, Any]] = {}
    for row in shards:
        other = best.setdefault(row["event_id"], row)
        if (row["score"], row["direction"] == "up") > (other["score"], other["direction"] == "up"):
            best[row["event_id"]] = row
    opened: dict[tuple[str, str], datetime] = {}
    found = []
    for row in sorted(best.values(), key=lambda row: (row["symbol"], row["timestamp"], row["event_type"])):
        day = (row["symbol"], row["date"])
        if day not in opened or row["timestamp"] >= opened[day] + timedelta(minutes=5):
            opened[day] = row["timestamp"]
        group = f"{row['symbol']}_{opened[day]:%Y%m%d_%H%M%S}"
        found.append((row["event_id"], row["score"], row["direction"], group))
    return found


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(0, 60), st.randoms(use_true_random=False))
def test_master_is_independent_of_shard_order(seed: int, rows: int, chance: random.Random) -> None:
    once = lively_master(seed, rows).drop("event_group_id")
    again = once.filter(pl.Series([chance.random() < 0.4 for _ in range(once.height)], dtype=pl.Boolean)).with_columns(
        direction=pl.col("direction").replace_strict({"up": "down", "down": "up"}, return_dtype=pl.String),
        score=pl.col("score") + chance.choice([0.0, 0.0, 0.1, -0.1]),
    )
    shards = pl.concat([once, again])
    shards = shards[chance.sample(range(shards.height), shards.height)]
    master = build_master(shards, default_settings().cooldown)
    found = master.select("event_id", "score", "direction", "event_group_id").rows()
    assert found == master_by_hand(shards.to_dicts())


def test_groups_join_all_types_within_five_minutes_of_the_first() -> None:
    settings = default_settings()
    again: Row = (10.2, 10.6, 10.2, 10.6, 200_000.0, 400)
    shard = detect(
        bars_from("2025-11-05 10:00", [*flat(60), SPIKE, *flat(9, price=10.2), again]),
        sessions_of("2025-11-05"),
        settings.detection,
    ).events
    master = build_master(shard, settings.cooldown)
    groups = dict(master.group_by("event_group_id").agg(pl.col("timestamp").min()).iter_rows())
    assert groups == {
        "AEMD_20251105_160000": datetime(2025, 11, 5, 16, 0, tzinfo=UTC),
        "AEMD_20251105_161000": datetime(2025, 11, 5, 16, 10, tzinfo=UTC),
    }


def test_empty_result_has_every_column() -> None:
    settings = default_settings()
    found = detect(bars_from("2025-11-05 10:00", flat(30)), sessions_of("2025-11-05"), settings.detection)
    assert found.events.is_empty()
    assert build_master(found.events, settings.cooldown).is_empty()


def test_the_same_bars_give_the_same_bits() -> None:
    # sums of floats depend on their order, and threads have none: bits, not digits, are compared
    settings = default_settings()
    days = ["2025-11-03", "2025-11-04", "2025-11-05", "2025-11-06", "2025-11-07", "2025-11-10", "2025-11-11"]
    rows = [(10 + k / 7, 10.3 + k / 7, 9.9 + k / 7, 10.1 + k / 7, 1_000 / 3 * (k % 11 + 1), 50) for k in range(380)]
    bars = pl.concat(
        bars_from(f"{day} 09:30", rows, symbol=symbol) for symbol in ("AEMD", "BRK.B", "ZZRO") for day in days
    )
    found = [detect(bars, sessions_of(days[0], days[-1]), settings.detection).events for _ in range(12)]
    assert found[0].height
    assert all(events.equals(found[0]) for events in found)
