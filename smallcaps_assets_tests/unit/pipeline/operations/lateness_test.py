"""The session expected at a time, in late November 2025: Thanksgiving on the 27th, a half day on the 28th."""

import os
from datetime import date, time

import pytest

from smallcaps_assets.domain.tables import BARS, EVENTS, SHARD
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.master import SHARDS_OF_MASTER
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.operations.lateness import Lateness, LatenessCheck, expected_session
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
        ("2025-11-02 12:00", "2025-10-31"),  # DST ended in the night
    ],
)
def test_no_new_session_is_expected_on_days_without_one(at: str, expected: str) -> None:
    found = expected_session(new_york(at), history(), default_settings().sessions, time(23, 30))
    assert f"{found}" == expected


def test_nothing_is_expected_outside_the_followed_history() -> None:
    sessions = default_settings().sessions
    at, deadline = new_york("2025-12-05 23:45"), time(23, 30)
    assert expected_session(at, history(last=date(2025, 11, 27)), sessions, deadline) == date(2025, 11, 26)
    assert expected_session(at, history(first=date(2025, 12, 8)), sessions, deadline) is None
    assert expected_session(new_york("2025-10-20 12:00"), history(), sessions, deadline) is None


def fetch(lake: Lake, *symbols: str) -> None:
    for symbol in symbols:
        BarsStore(lake).add(symbol, SESSION.replace(day=1), [SESSION], BARS.to_frame(), BARS.to_frame())


def detect(lake: Lake, *symbols: str) -> None:
    for symbol in symbols:
        ShardStore(lake).replace(symbol, SHARD.to_frame(), ShardCoverage.of({}, [], {SESSION: "0-0"}, {}, 0))


def build_of(lake: Lake, *symbols: str) -> None:
    """A MASTER without events that was built from the shards of `symbols`."""
    contents = ShardStore(lake).contents()
    publish_frame(lake.master, EVENTS.to_frame(), {SHARDS_OF_MASTER: {symbol: contents[symbol] for symbol in symbols}})


def check(lake: Lake, *symbols: str, session: date | None = SESSION) -> LatenessCheck:
    return LatenessCheck(BarsStore(lake), ShardStore(lake), symbols, session)


def test_bars_are_late_for_symbols_without_the_session(lake: Lake) -> None:
    fetch(lake, "AAA", "CCC")
    found = check(lake, "AAA", "BBB", "CCC").check_bars()
    assert (found.symbols, found.is_late, found.is_wholly_late) == (["BBB"], True, False)
    assert found.sentence() == "The session of 2025-11-28 is late for 1 of 3 symbols: BBB."
    assert not check(lake, "AAA", "CCC").check_bars().is_late
    assert check(lake, "BBB").check_bars().is_wholly_late
    (lake.bars("AAA") / "2025-11.parquet").write_bytes(b"damaged")
    assert check(lake, "AAA", "CCC").check_bars().symbols == ["AAA"]


def test_master_is_late_until_it_is_built_from_the_events_of_the_session(lake: Lake) -> None:
    both = check(lake, "AAA", "BBB")
    assert "no MASTER yet" in both.check_master().sentence()
    detect(lake, "AAA")
    build_of(lake, "AAA")
    assert both.check_master().symbols == ["BBB"]
    detect(lake, "BBB")
    found = both.check_master()
    assert found.is_wholly_late
    assert "MASTER was built from other events" in found.sentence()
    build_of(lake, "AAA", "BBB")
    os.utime(lake.master, ns=(1, 1))  # times of files do not matter
    assert not both.check_master().is_late


def test_nothing_is_late_without_expected_sessions_or_followed_symbols(lake: Lake) -> None:
    for found in (check(lake, "AAA", session=None), check(lake)):
        assert not found.check_bars().is_late
        assert not found.check_master().is_late
    assert check(lake, session=None).check_bars().sentence() == "No session is expected yet."
    assert check(lake).check_master().sentence() == "No symbol is followed yet."


def test_only_the_first_of_many_late_symbols_are_named() -> None:
    names = [f"S{number:02d}" for number in range(60)]
    assert Lateness(SESSION, 100, names).sentence().endswith("S48, S49 and 10 more.")
