"""Sessions of a file of bars as a text."""

import json
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.lake.months import FileState, MonthCoverage

MARKS = st.dictionaries(
    st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.from_regex(r"[0-9]{1,3}-[0-9a-f]{16}", fullmatch=True)
)
DOLLARS = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@given(
    marks=MARKS,
    usd=st.lists(DOLLARS, max_size=5),
    stamp=st.none() | st.builds(FileState, st.integers(0), st.integers(0)),
)
def test_sessions_come_back_as_they_went(marks: dict[date, str], usd: list[float], stamp: FileState | None) -> None:
    traded = dict(zip(marks, usd, strict=False))
    month = MonthCoverage.from_json(json.loads(json.dumps(MonthCoverage.of(stamp, marks, traded).as_json())))
    assert month.fingerprints() == marks
    assert list(month.fingerprints()) == sorted(marks)
    assert month.dollar_volumes() == traded
    assert (len(month), month.state) == (len(marks), stamp)
    assert month.last == (f"{max(marks)}" if marks else "")


def test_dollar_volumes_of_other_sessions_are_not_told() -> None:
    first, second = date(2025, 1, 2), date(2025, 1, 3)
    assert MonthCoverage.of(None, {first: "1-00"}, {first: 0.1 + 0.2, second: 1.0}).dollar_volumes() == {
        first: 0.1 + 0.2
    }
    assert MonthCoverage.of(None, {first: "1-00"}, {first: 0.1 + 0.2}).text == "2025-01-02 1-00 0.30000000000000004"
