"""Comparison of two tables of events, counted by hand."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.events.comparison import Changes, SelectionComparison, SelectionSettings
from smallcaps_assets.domain.manifests.selection import select_events
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.masters import lively_master

SPIKE = event("2025-10-31 10:00", score=0.5)
FLUSH = event("2025-11-05 10:00", event_type="flush", direction="down", score=0.7)
EARLY = event("2025-11-05 08:00", session="PM", score=0.4)
LATE = event("2025-11-06 17:00", session="AH", score=0.9)
OTHERS = event("2025-11-06 10:00", symbol="ATRA", score=0.2)
# SPIKE and FLUSH stay, FLUSH changed; EARLY goes; LATE and OTHERS come
BEFORE = master_of(SPIKE, FLUSH, EARLY)
AFTER = master_of(SPIKE, FLUSH | {"score": 0.71, "tier": 2}, LATE, OTHERS)


def changes(before: pl.DataFrame, after: pl.DataFrame) -> Changes:
    found = Changes()
    found.add(before, after)
    return found


def rows(table: pl.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    return table.select(*columns).rows()


def test_gained_lost_and_common_events_are_counted() -> None:
    assert changes(BEFORE, AFTER).totals() == {
        "before": 3, "after": 4, "gained": 2, "lost": 1, "same": 2, "rescored": 1, "retiered": 1, "turned": 0
    }  # fmt: skip


def test_gained_and_lost_events_are_returned() -> None:
    gained, lost = Changes().add(BEFORE, AFTER)
    assert_frame_equal(gained, master_of(LATE, OTHERS))
    assert_frame_equal(lost, master_of(EARLY))


def test_counts_by_type_session_and_month() -> None:
    found = changes(BEFORE, AFTER)
    figures = ("before", "after", "difference", "gained", "lost")
    assert rows(found.count_by("event_type", "direction"), "event_type", "direction", *figures) == [
        ("volume_spike", "up", 2, 3, 1, 2, 1),
        ("flush", "down", 1, 1, 0, 0, 0),
    ]
    assert rows(found.count_by("session"), "session", *figures) == [
        ("PM", 1, 0, -1, 0, 1),
        ("RTH", 2, 3, 1, 1, 0),
        ("AH", 0, 1, 1, 1, 0),
    ]
    assert rows(found.count_by("month"), "month", *figures) == [("2025-10", 1, 1, 0, 0, 0), ("2025-11", 2, 3, 1, 2, 1)]
    # of one before, none is left; of two before there are three; of none there is no share
    assert found.count_by("session")["percent"].to_list() == [-100.0, 50.0, None]


def test_event_with_changed_direction_counts_in_both_and_is_not_gained() -> None:
    found = changes(master_of(SPIKE), master_of(SPIKE | {"direction": "down"}))
    assert found.totals()["turned"] == 1
    assert rows(found.count_by("direction"), "direction", "before", "after", "gained", "lost") == [
        ("up", 1, 0, 0, 0),
        ("down", 0, 1, 0, 0),
    ]


def test_last_digits_of_a_score_are_not_a_change() -> None:
    assert changes(master_of(SPIKE), master_of(SPIKE | {"score": 0.5 + 1e-12})).totals()["rescored"] == 0
    assert changes(master_of(SPIKE), master_of(SPIKE | {"score": 0.5 + 1e-6})).totals()["rescored"] == 1


def test_scores_by_quantile() -> None:
    scores = changes(BEFORE, AFTER).score_quantiles()
    # 0.4, 0.5, 0.7 and 0.2, 0.5, 0.71, 0.9: linear between the two values around
    assert scores["before"] == pytest.approx({"p10": 0.42, "p25": 0.45, "p50": 0.5, "p75": 0.6, "p90": 0.66})
    assert scores["after"]["p50"] == pytest.approx(0.605)
    assert scores["lost"]["p10"] == pytest.approx(0.4)
    assert set(changes(BEFORE, BEFORE).score_quantiles()["gained"].values()) == {None}


def test_the_strongest_come_first() -> None:
    many = master_of(*(event(f"2025-11-05 10:{minute:02}", score=minute / 100) for minute in range(20)))
    found = Changes()
    for part in (many[:7], many[7:]):
        found.add(part.clear(), part)
    assert found.strongest("gained")["score"].to_list() == [0.19, 0.18, 0.17, 0.16, 0.15]
    assert found.strongest("lost").is_empty()


def test_parts_add_up() -> None:
    before, after = lively_master(3, 700), lively_master(3, 900).sample(fraction=0.8, seed=1)
    whole, parts = changes(before, after), Changes()
    for symbol in pl.concat([before, after])["symbol"].unique().sort():
        parts.add(before.filter(symbol=symbol), after.filter(symbol=symbol))
    assert whole.totals() == parts.totals()
    assert whole.totals()["lost"] > 0
    assert_frame_equal(whole.count_by("month", "session"), parts.count_by("month", "session"))
    assert whole.score_quantiles() == parts.score_quantiles()
    assert_frame_equal(whole.strongest("gained"), parts.strongest("gained"))


def test_selection_by_parts_equals_selection_of_the_whole() -> None:
    """With limits that take effect: per time bucket, per symbol, and per symbol and day."""
    limits = {"max_events": 40, "max_per_symbol": 8, "max_per_symbol_day": 2, "min_event_score": 0.1}
    tight = load_settings(overrides={"profiles": {"premium": limits}})
    before, after = lively_master(5, 900), lively_master(7, 900)
    stricter = {"premium": tight.profiles["premium"]}
    theirs = {"premium": default_settings().profiles["premium"]}
    chosen = SelectionComparison(
        SelectionSettings(theirs, default_settings().ranking), SelectionSettings(stricter, tight.ranking)
    )
    for symbol in pl.concat([before, after])["symbol"].unique().sort():
        chosen.add(before.filter(symbol=symbol), after.filter(symbol=symbol))
    first = select_events(before, theirs["premium"], default_settings().ranking).manifest
    second = select_events(after, stricter["premium"], tight.ranking).manifest
    assert second.height == 40
    assert chosen.rows() == {
        "premium": {
            "before": first.height,
            "after": second.height,
            "same": first.join(second, on="event_id").height,
        }
    }
