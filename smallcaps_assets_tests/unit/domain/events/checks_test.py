"""Each check of MASTER passes a valid table and fails a table that is wrong in exactly one way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.events.checks import (
    MasterCheckParams,
    complete_rows,
    cooldown,
    events_per_session,
    session_clock,
    type_shares,
    unique_events,
)
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.scenarios import default_settings, sessions_of

Rows = list[dict[str, Any]]
NAN = float("nan")
SESSIONS = sessions_of("2025-10-31", "2025-11-28")
COOLDOWN = default_settings().cooldown
# five types are at most 60 % each; two events of a session, of one or two sessions
PARAMS = MasterCheckParams.model_validate(
    {
        "max_type_share_pct": 60.0,
        "min_events_for_shares": 5,
        "max_events_per_symbol_session": 3,
        "mean_events_per_symbol_session": {"min": 0.5, "max": 2.0},
    }
)
CHECKS: dict[str, Callable[[pl.LazyFrame], Finding]] = {
    "unique_events": unique_events,
    "complete_rows": complete_rows,
    "session_clock": lambda master: session_clock(master, SESSIONS),
    "type_shares": lambda master: type_shares(master, PARAMS),
    "events_per_session": lambda master: events_per_session(master, 4, PARAMS),
    "cooldown": lambda master: cooldown(master, COOLDOWN),
}


def broken(*rows: dict[str, Any]) -> list[str]:
    """The names of the checks that fail."""
    found = {name: check(master_of(*rows).lazy()) for name, check in CHECKS.items()}
    assert [one.name for one in found.values()] == list(found)
    return [name for name, one in found.items() if not one.holds]


def spikes(*scores: float, apart: int = 3, at: str = "2025-11-05 10:00") -> Rows:
    """Events of one symbol and type at the given distances in minutes."""
    start = int(at[-5:-3]) * 60 + int(at[-2:])
    minutes = [start + number * apart for number in range(len(scores))]
    clocks = [f"{at[:10]} {minute // 60:02}:{minute % 60:02}" for minute in minutes]
    return [event(clock, score=score) for clock, score in zip(clocks, scores, strict=True)]


GOOD = [
    event(),
    event(event_type="flush"),
    event("2025-11-05 09:29", session="PM", event_type="flush"),
    event("2025-11-05 16:00", session="AH", symbol="B"),
]


def test_valid_table_passes_every_check() -> None:
    assert broken(*GOOD) == []


def test_table_without_events_fails_only_the_mean() -> None:
    assert broken() == ["events_per_session"]
    assert events_per_session(master_of().lazy(), 0, PARAMS).holds, "nothing was detected, so nothing is too few"


@pytest.mark.parametrize(
    ("bad", "check"),
    [
        ([event(event_id="x"), event("2025-11-06 10:00", event_id="x")], "unique_events"),
        *(([event(**{name: None})], "complete_rows") for name in ("event_id", "score", "symbol", "event_group_id")),
        *(([event(**{name: NAN})], "complete_rows") for name in ("score", "close", "rvol_day", "spike_x")),
        ([event(dollar_volume=float("inf"))], "complete_rows"),
        # the UTC clock says 14:30 of a regular open, which a label of the wrong clock takes for the afternoon
        ([event("2025-11-06 09:29", session="RTH")], "session_clock"),
        ([event("2025-11-06 09:30", session="PM")], "session_clock"),
        ([event("2025-11-06 15:59", session="AH")], "session_clock"),
        ([event("2025-11-06 16:00", session="RTH")], "session_clock"),
        # the day after Thanksgiving closes at 13:00, after-hours end at 17:00
        ([event("2025-11-28 13:00", session="RTH")], "session_clock"),
        ([event("2025-11-28 17:00", session="AH")], "session_clock"),
        # Thanksgiving, and a Saturday
        ([event("2025-11-27 10:00")], "session_clock"),
        ([event("2025-11-08 10:00")], "session_clock"),
        ([event(date="2025-11-06")], "session_clock"),
        ([event(is_premarket=True)], "session_clock"),
        ([event(is_afterhours=None)], "session_clock"),
    ],
)
def test_table_wrong_in_one_way_fails_only_that_check(bad: Rows, check: str) -> None:
    # as many events as the mean needs
    assert broken(*bad, event("2025-11-07 10:00"), event("2025-11-10 10:00", event_type="flush")) == [check]


@pytest.mark.parametrize(
    "row",
    [
        event("2025-11-28 12:59"),
        event("2025-11-28 13:00", session="AH"),
        event("2025-11-28 16:59", session="AH"),
        # the last day of daylight saving time and the first without it
        event("2025-10-31 09:30"),
        event("2025-11-03 09:30"),
        event("2025-11-03 04:00", session="PM"),
        event("2025-11-03 19:59", session="AH"),
    ],
)
def test_sessions_follow_new_york_and_the_calendar(row: dict[str, Any]) -> None:
    assert session_clock(master_of(row).lazy(), SESSIONS).holds


def test_events_in_a_wrong_session_are_listed() -> None:
    found = session_clock(master_of(event("2025-11-06 16:00", event_id="late")).lazy(), SESSIONS)
    assert found.examples.select("event_id", "session_published", "session").row(0) == ("late", "RTH", "AH")
    assert "session_clock" in str(found)
    assert "late" in str(found)


@pytest.mark.parametrize(("of_one", "of_another", "holds"), [(3, 2, True), (4, 2, False), (4, 0, True), (5, 0, False)])
def test_event_type_may_not_exceed_its_share(of_one: int, of_another: int, holds: bool) -> None:
    rows = [event(event_id=f"{number}") for number in range(of_one)]
    rows += [event(event_id=f"f{number}", event_type="flush") for number in range(of_another)]
    found = type_shares(master_of(*rows).lazy(), PARAMS)
    # 3 of 5 are 60 %; four events alone are too few to tell
    assert found.holds == holds
    assert not found.severe
    assert found.figures["pct/volume_spike"] == round(100 * of_one / (of_one + of_another), 2)


@pytest.mark.parametrize(
    ("on_one_day", "sessions", "holds"),
    [(3, 2, True), (4, 2, False), (2, 1, True), (3, 1, False), (1, 2, True), (1, 3, False)],
)
def test_events_per_symbol_and_session_have_bounds(on_one_day: int, sessions: int, holds: bool) -> None:
    rows = [event(event_id=f"{number}") for number in range(on_one_day)]
    found = events_per_session(master_of(*rows).lazy(), sessions, PARAMS)
    assert found.holds == holds
    assert found.figures["mean"] == on_one_day / sessions


@pytest.mark.parametrize(
    ("rows", "holds"),
    [
        (spikes(0.8, 0.72, 0.79), True),
        # 0.6 beside 0.8 on both sides: a window would have to begin and end within six minutes
        (spikes(0.8, 0.6, 0.8), False),
        (spikes(0.6, 0.8, 0.6), False),
        # five minutes apart: one window may end after the first, and the next, 10 minutes later, before the third
        (spikes(0.8, 0.6, 0.8, apart=5), False),
        (spikes(0.8, 0.6, 0.8, apart=6), True),
        (spikes(0.8, 0.6, 0.8, apart=10), True),
        # one end of a window is always possible: what opened it may have been taken by the cooldown
        (spikes(0.6, 0.8), True),
        (spikes(0.6, 0.6, 0.8, 0.8, apart=2), True),
        # the pairs that do not go together need not be neighbours
        (spikes(0.6, 0.8, 0.8, 0.6, apart=2), False),
        # other days, types and symbols have separate windows
        ([*spikes(0.8, 0.6), *spikes(0.8, at="2025-11-06 10:06")], True),
        ([*spikes(0.8, 0.6), *(row | {"event_type": "flush"} for row in spikes(0.8, at="2025-11-05 10:06"))], True),
        ([*spikes(0.8, 0.6), *(row | {"symbol": "B"} for row in spikes(0.8, at="2025-11-05 10:06"))], True),
    ],
)
def test_cooldown_check_holds_wherever_the_windows_lie(rows: Rows, holds: bool) -> None:
    assert cooldown(master_of(*rows).lazy(), COOLDOWN).holds == holds
    assert cooldown(master_of(*reversed(rows)).lazy(), COOLDOWN).holds == holds


def test_scanned_file_is_checked_like_a_table(tmp_path: Path) -> None:
    file = tmp_path / "master.parquet"
    master_of(*spikes(0.8, 0.6, 0.8)).write_parquet(file)
    assert [name for name, check in CHECKS.items() if not check(pl.scan_parquet(file)).holds] == ["cooldown"]
