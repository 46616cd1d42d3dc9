"""Sessions that are present, empty, missing or beyond what is expected, and holes of several."""

from datetime import date

from smallcaps_assets.domain.bars.coverage import (
    HOLES,
    by_symbol,
    coverage_table,
    holes,
    session_states,
    symbols_to_report,
)
from smallcaps_assets_tests.unit.pipeline.bars.coverage.covered import (
    EXPECTED,
    NOVEMBER,
    OCTOBER,
    counted,
    counts_of,
    here,
    listed,
    states_of,
)


def test_sessions_are_counted_by_symbol_and_month() -> None:
    months = counted(listed(("AAA", True, None, None)), here(AAA="ebe.b.bebe."))
    first, second = months["AAA", OCTOBER], months["AAA", NOVEMBER]
    # the first session is empty before any bar; the third lies between sessions with bars
    assert counts_of(first) == (5, 4, 2, 2, 1, 1, 0)
    assert first["first_missing"] == first["last_missing"] == date(2025, 10, 30)
    assert first["bars"] == 14
    # in the second month the empty session at the end is not between bars, and the last is missing
    assert counts_of(second) == (6, 4, 2, 2, 1, 2, 0)
    assert (second["first_missing"], second["last_missing"]) == (date(2025, 11, 3), date(2025, 11, 10))
    assert set(months) == {("AAA", OCTOBER), ("AAA", NOVEMBER)}


def test_nothing_is_expected_before_the_listing_or_after_the_last_day() -> None:
    new = counted(listed(("NEW", True, date(2025, 11, 4), None)), here(NEW="eeeeeebbb.b"))
    assert set(new) == {("NEW", NOVEMBER)}, "a month in which nothing is expected, and nothing is, has no row"
    assert counts_of(new["NEW", NOVEMBER]) == (5, 4, 4, 0, 0, 1, 0)
    assert new["NEW", NOVEMBER]["listed"] == date(2025, 11, 4)
    gone = counted(listed(("OLD", True, None, date(2025, 10, 29))), here(OLD="bb........."))
    assert {key: counts_of(row) for key, row in gone.items()} == {("OLD", OCTOBER): (3, 2, 2, 0, 0, 1, 0)}
    # the vendor's date may be wrong: earlier bars are counted and reported
    early = counted(listed(("EARLY", True, date(2025, 11, 6), None)), here(EARLY="bb......bbb"))
    assert counts_of(early["EARLY", OCTOBER]) == (0, 0, 0, 0, 0, 0, 2)
    assert early["EARLY", OCTOBER]["bars"] == 14


def test_symbols_without_sessions_and_unfollowed_symbols_are_shown() -> None:
    universe = listed(("AAA", True, None, None), ("LEFT", False, None, None), ("NEVER", False, None, None))
    months = counted(universe, here(LEFT="..b.be.....", OWN="..........b"))
    assert counts_of(months["AAA", OCTOBER]) == (5, 0, 0, 0, 0, 5, 0)
    # an unfollowed symbol misses only sessions between its first and last bar
    assert counts_of(months["LEFT", OCTOBER]) == (3, 2, 2, 0, 0, 1, 0)
    assert counts_of(months["OWN", NOVEMBER]) == (1, 1, 1, 0, 0, 0, 0)
    assert not months["OWN", NOVEMBER]["active"]
    assert {symbol for symbol, _ in months} == {"AAA", "LEFT", "OWN"}


def test_an_empty_lake_covers_nothing() -> None:
    stock, states = states_of(listed(), here())
    assert coverage_table(states, stock).is_empty()
    assert holes(states, EXPECTED).is_empty()


def test_holes_are_consecutive_sessions() -> None:
    universe = listed(("AAA", True, None, None), ("BBB", True, None, None))
    _, states = states_of(universe, here(AAA="b..ee..b.b.", BBB="bbbbbbbbbbb"))
    found = holes(states, EXPECTED)
    assert found.schema == HOLES
    # Friday and Monday are consecutive; missing and empty sessions are separate holes
    assert found.rows() == [
        ("AAA", "missing", date(2025, 10, 28), date(2025, 10, 29), 2),
        ("AAA", "empty", date(2025, 10, 30), date(2025, 10, 31), 2),
        ("AAA", "missing", date(2025, 11, 3), date(2025, 11, 4), 2),
        ("AAA", "missing", date(2025, 11, 6), date(2025, 11, 6), 1),
        ("AAA", "missing", date(2025, 11, 10), date(2025, 11, 10), 1),
    ]


def test_sessions_between_bars_are_expected_before_the_history() -> None:
    universe = listed(
        ("AAA", True, None, None),
        ("EARLY", True, None, None),
        ("LATE", True, None, None),
        ("NEW", True, date(2025, 10, 29), None),
        ("OLD", True, None, date(2025, 10, 29)),
    )
    sessions = here(
        AAA="b.be.b....b",
        EARLY=".b.b.......",
        LATE="e....bbbbbb",
        NEW="b.b.bbbbbbb",
        OLD="b...b......",
        OWN="b.b..b.....",
    )
    stock = symbols_to_report(universe, sessions)
    # the history begins in November
    states = session_states(stock, sessions, EXPECTED[5:], EXPECTED, NOVEMBER)
    rows = coverage_table(states, stock).to_dicts()
    assert {(row["symbol"], row["month"]): counts_of(row) for row in rows} == {
        ("AAA", OCTOBER): (5, 3, 2, 1, 1, 2, 0),
        ("AAA", NOVEMBER): (6, 2, 2, 0, 0, 4, 0),
        # from its first bar to its last, and the whole history
        ("EARLY", OCTOBER): (3, 2, 2, 0, 0, 1, 0),
        ("EARLY", NOVEMBER): (6, 0, 0, 0, 0, 6, 0),
        # no earlier bars, and nothing expected
        ("LATE", NOVEMBER): (6, 6, 6, 0, 0, 0, 0),
        # listing dates limit it like the history
        ("NEW", OCTOBER): (3, 2, 2, 0, 0, 1, 1),
        ("NEW", NOVEMBER): (6, 6, 6, 0, 0, 0, 0),
        ("OLD", OCTOBER): (3, 1, 1, 0, 0, 2, 1),
        ("OWN", OCTOBER): (5, 2, 2, 0, 0, 3, 0),
        ("OWN", NOVEMBER): (1, 1, 1, 0, 0, 0, 0),
    }
    # the Friday in October and the Monday in November are consecutive
    missing = holes(states, EXPECTED).filter(symbol="EARLY").select("first", "last", "sessions").rows()
    assert missing == [(date(2025, 10, 29), date(2025, 10, 29), 1), (date(2025, 11, 3), date(2025, 11, 10), 6)]
    assert holes(states, EXPECTED).filter(symbol="AAA")["sessions"].to_list() == [1, 1, 1, 4]


def test_without_expected_sessions_nothing_is_complete() -> None:
    universe = listed(("GONE", True, None, date(2020, 1, 2)))
    stock, states = states_of(universe, here(GONE="bb........."))
    symbols = by_symbol(coverage_table(states, stock))
    assert symbols.select("symbol", "state", "sessions_beyond").rows() == [("GONE", "beyond", 2)]


def test_a_symbol_is_complete_or_has_holes_or_has_no_bars() -> None:
    universe = listed(*((symbol, True, None, None) for symbol in ("FULL", "GAP", "MANY", "NONE", "QUIET")))
    sessions = here(FULL="b" * 11, GAP="bbbbb.bbbbb", MANY="b.........b", NONE="eeeee......", QUIET="bbbbbebbbbb")
    stock, states = states_of(universe, sessions)
    symbols = by_symbol(coverage_table(states, stock))
    assert symbols.select("symbol", "state", "sessions_lost").rows() == [
        ("MANY", "holes", 9),
        ("NONE", "without", 6),
        ("GAP", "holes", 1),
        ("QUIET", "holes", 1),
        ("FULL", "complete", 0),
    ]
