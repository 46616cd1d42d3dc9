"""Sessions of a file of bars as text."""

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


def test_dollar_volumes_of_other_sessions_are_not_recorded() -> None:
    first, second = date(2025, 1, 2), date(2025, 1, 3)
    assert MonthCoverage.of(None, {first: "1-00"}, {first: 0.1 + 0.2, second: 1.0}).dollar_volumes() == {
        first: 0.1 + 0.2
    }
    assert MonthCoverage.of(None, {first: "1-00"}, {first: 0.1 + 0.2}).text == "2025-01-02 1-00 0.30000000000000004"
