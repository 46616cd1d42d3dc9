"""Sessions of a file of bars as text."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.lake.bar_files.month_files import combine_fingerprints
from smallcaps_assets.lake.bar_files.months import FileState, MonthCoverage
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage

MARKS = st.dictionaries(
    st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.from_regex(r"[0-9]{1,3}-[0-9a-f]{16}", fullmatch=True)
)
DOLLARS = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@given(
    fingerprints=MARKS,
    usd=st.lists(DOLLARS, max_size=5),
    state=st.none() | st.builds(FileState, st.integers(0), st.integers(0)),
)
def test_sessions_round_trip(fingerprints: dict[date, str], usd: list[float], state: FileState | None) -> None:
    traded = dict(zip(fingerprints, usd, strict=False))
    month = MonthCoverage.from_json(json.loads(json.dumps(MonthCoverage.of(state, fingerprints, traded).as_json())))
    assert month.fingerprints() == fingerprints
    assert list(month.fingerprints()) == sorted(fingerprints)
    assert month.dollar_volumes() == traded
    assert (len(month), month.state) == (len(fingerprints), state)
    assert month.last == (f"{max(fingerprints)}" if fingerprints else "")
    assert month.marks() == [f"{day} {fingerprints[day]}" for day in sorted(fingerprints)]
    assert month.can_be_read()


def test_dollar_volumes_of_other_sessions_are_not_recorded() -> None:
    first, second = date(2025, 1, 2), date(2025, 1, 3)
    assert MonthCoverage.of(None, {first: "1-00"}, {first: 0.1 + 0.2, second: 1.0}).dollar_volumes() == {
        first: 0.1 + 0.2
    }
    assert MonthCoverage.of(None, {first: "1-00"}, {first: 0.1 + 0.2}).text == "2025-01-02 1-00 0.30000000000000004"


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-30 1-00",  # no such day
        "2025-01-03 1-00;2025-01-02 1-00",  # not in order
        "2025-01-02 1-00;2025-01-02 1-00",  # twice
        "2025-01-02 1-00 much",  # no number of dollars
        "2025-01-02 1-00 1.0 2.0",
        "2025-01-02 1-0G",
        "2025-01-02",
        "2025-01-02 1-00;",
        ";",
    ],
)
def test_a_damaged_text_is_not_read(text: str) -> None:
    assert not MonthCoverage(None, text).can_be_read()


@given(months=st.lists(st.tuples(MARKS, st.booleans()), max_size=3))
def test_the_fingerprint_of_a_coverage_is_that_of_its_sessions(months: list[tuple[dict[date, str], bool]]) -> None:
    # a session that two files name counts once, as in the last of them
    covered = {
        f"{number}": MonthCoverage.of(None, marks, dict.fromkeys(marks, 1.5) if traded else {})
        for number, (marks, traded) in enumerate(months)
    }
    coverage = ShardCoverage({}, [], covered, 0)
    assert coverage.fingerprint == combine_fingerprints(coverage.sessions)


@given(months=st.lists(MARKS, max_size=3), usd=st.lists(DOLLARS, max_size=5))
def test_months_together_are_judged_as_each_of_them(months: list[dict[date, str]], usd: list[float]) -> None:
    # their sessions may be in no order from one month to the next
    covered = [MonthCoverage.of(None, marks, dict(zip(sorted(marks), usd, strict=False))) for marks in months]
    assert MonthCoverage.are_json([month.as_json() | {"stamp": [1, 2]} for month in covered])
    assert MonthCoverage.together(covered).marks() == [mark for month in covered for mark in month.marks()]
    damaged = MonthCoverage(None, "2025-01-03 1-00;2025-01-02 1-00")
    assert not MonthCoverage.are_json([month.as_json() for month in (*covered, damaged)])
    assert not MonthCoverage.are_json([*(month.as_json() for month in covered), {"stamp": [1.5, 2], "sessions": ""}])
