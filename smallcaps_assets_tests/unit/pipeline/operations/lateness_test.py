"""What must be there by when. The last days of November 2025: Thanksgiving on the 27th, a half day on the 28th."""

import os
from datetime import date, time

import pytest

from smallcaps_assets.domain.tables import BARS, SHARD
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.shards import ShardCoverage, ShardStore
from smallcaps_assets.pipeline.operations.lateness import Lateness, Watch, session_expected
from smallcaps_assets.settings.sections import HistoryParams
from smallcaps_assets_tests.scenarios import default_settings, new_york

SESSION = date(2025, 11, 28)


def history(last: date | None = None, first: date = date(2025, 10, 20)) -> HistoryParams:
    return HistoryParams(first_session=first, last_session=last, publication_delay_min=20)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2025-11-26 23:29", "2025-11-25"),
        ("2025-11-26 23:30", "2025-11-26"),
        ("2025-11-27 23:45", "2025-11-26"),  # a holiday
        ("2025-11-28 23:30", "2025-11-28"),
        ("2025-11-30 23:45", "2025-11-28"),  # a Sunday
        ("2025-12-01 09:00", "2025-11-28"),
        ("2025-11-02 12:00", "2025-10-31"),  # the clock was set back in the night
    ],
)
def test_days_without_a_session_expect_nothing_new(at: str, expected: str) -> None:
    found = session_expected(new_york(at), history(), default_settings().sessions, time(23, 30))
    assert f"{found}" == expected


def test_nothing_is_expected_beyond_the_history_that_is_followed() -> None:
    sessions = default_settings().sessions
    at, due = new_york("2025-12-05 23:45"), time(23, 30)
    assert session_expected(at, history(last=date(2025, 11, 27)), sessions, due) == date(2025, 11, 26)
    assert session_expected(at, history(first=date(2025, 12, 8)), sessions, due) is None
    assert session_expected(new_york("2025-10-20 12:00"), history(), sessions, due) is None


def fetch(lake: Lake, *symbols: str) -> None:
    for symbol in symbols:
        BarsStore(lake).add(symbol, SESSION.replace(day=1), [SESSION], BARS.to_frame(), BARS.to_frame())


def detect(lake: Lake, *symbols: str) -> None:
    for symbol in symbols:
        ShardStore(lake).replace(symbol, SHARD.to_frame(), ShardCoverage.of({}, [], {SESSION: "0-0"}, {}, 0))


def watch(lake: Lake, *symbols: str, session: date | None = SESSION) -> Watch:
    return Watch(BarsStore(lake), ShardStore(lake), symbols, session)


def test_bars_are_late_for_symbols_without_the_session(lake: Lake) -> None:
    fetch(lake, "AAA", "CCC")
    found = watch(lake, "AAA", "BBB", "CCC").of_bars()
    assert (found.symbols, found.is_late, found.is_wholly_late) == (["BBB"], True, False)
    assert found.told() == "The session of 2025-11-28 is late for 1 of 3 symbols: BBB."
    assert not watch(lake, "AAA", "CCC").of_bars().is_late
    assert watch(lake, "BBB").of_bars().is_wholly_late
    (lake.bars("AAA") / "2025-11.parquet").write_bytes(b"damaged")
    assert watch(lake, "AAA", "CCC").of_bars().symbols == ["AAA"]


def test_master_is_late_until_it_is_built_from_the_events_of_the_session(lake: Lake) -> None:
    both = watch(lake, "AAA", "BBB")
    assert "no MASTER yet" in both.of_master().told()
    detect(lake, "AAA")
    lake.master.write_bytes(b"a table")
    os.utime(lake.master, ns=(2**62, 2**62))  # newer than anything
    assert both.of_master().symbols == ["BBB"]
    detect(lake, "BBB")
    assert not both.of_master().is_late
    os.utime(lake.master, ns=(1, 1))
    found = both.of_master()
    assert found.is_wholly_late
    assert "after MASTER was built" in found.told()


def test_where_nothing_is_due_or_followed_nothing_is_late(lake: Lake) -> None:
    for found in (watch(lake, "AAA", session=None), watch(lake)):
        assert not found.of_bars().is_late
        assert not found.of_master().is_late
    assert watch(lake, session=None).of_bars().told() == "No session is due yet."
    assert watch(lake).of_master().told() == "No symbol is followed yet."


def test_of_many_late_symbols_some_are_named() -> None:
    names = [f"S{number:02d}" for number in range(60)]
    assert Lateness(SESSION, 100, names).told().endswith("S48, S49 and 10 more.")
