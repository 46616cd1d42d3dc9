"""Differences between two sources of bars, counted by kind; a minute may differ in several."""

from datetime import date
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.bars.flat_checks import COMPARED_SESSIONS, flat_files_agree, flat_files_current
from smallcaps_assets.domain.bars.source_differences import (
    MINUTE_DIFFERENCES,
    count_by_day,
    count_kinds,
    describe_differences,
    find_differences,
)
from smallcaps_assets_tests.scenarios import bars_from, flat

BARS = bars_from("2025-11-05 09:30", flat(10, price=10.0, volume=1_000.0, transactions=5))


def other(**values: Any) -> pl.DataFrame:
    """The bars, the fourth of which has other values."""
    changed = BARS[3].with_columns(pl.lit(value, BARS.schema[name]).alias(name) for name, value in values.items())
    return pl.concat([BARS[:3], changed, BARS[4:]])


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, {}),
        ({"vwap": 3.0}, {}),
        ({"vwap": None}, {}),
        ({"close": 10.005}, {"prices": 1}),
        ({"volume": 1_001.0}, {"volume": 1}),
        ({"transactions": 6}, {"transactions": 1}),
        ({"transactions": None}, {"transactions": 1}),
        ({"high": 10.02, "volume": 900.0, "transactions": 4}, {"prices": 1, "volume": 1, "transactions": 1}),
        # 1e-9 of the volume, and a number of transactions that is not known on either side
        ({"volume": 1_000.000001}, {"rounding": 1}),
        ({"volume": 1_000.000001, "close": 10.005}, {"prices": 1}),
    ],
)
def test_a_changed_minute_is_counted_by_kind(changes: dict[str, Any], kinds: dict[str, int]) -> None:
    found = find_differences(BARS, other(**changes))
    assert found.schema == MINUTE_DIFFERENCES
    assert count_kinds(found) == kinds
    assert set(found["timestamp"]) <= {BARS["timestamp"][3]}


def test_unknown_numbers_of_transactions_are_equal() -> None:
    assert count_kinds(find_differences(other(transactions=0), other(transactions=None))) == {}


def test_minutes_of_one_source_only() -> None:
    """The first two only here, the last one only there."""
    found = find_differences(BARS[:9], BARS[2:].drop("vwap"))
    assert count_kinds(found) == {"only_first": 2, "only_second": 1}
    assert found.row(0)[3:] == ("open 10.0, high 10.01, low 9.99, close 10.0, volume 1000.0, transactions 5", None)
    assert found.row(2)[3] is None
    words = describe_differences(count_kinds(found), "REST", "the files")
    assert words == "2 minutes only in REST, 1 minute only in the files"


def test_an_empty_source_differs_in_every_minute() -> None:
    assert count_kinds(find_differences(BARS, BARS.clear())) == {"only_first": 10}
    assert count_kinds(find_differences(BARS.clear(), BARS)) == {"only_second": 10}


def test_counts_by_new_york_date() -> None:
    late = bars_from("2025-11-04 19:59", flat(1))
    assert count_by_day(find_differences(pl.concat([late, BARS]), BARS[1:])) == {
        date(2025, 11, 4): {"only_first": 1},
        date(2025, 11, 5): {"only_first": 1},
    }


def sessions(*rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, COMPARED_SESSIONS, orient="row")


DAY = date(2025, 11, 5)


def test_the_check_names_sessions_that_differ() -> None:
    found = flat_files_agree(
        sessions(
            ("A", DAY, "one", True, None, None),
            ("B", DAY, "one", False, None, None),
            ("C", DAY, "one", True, "prices", 3),
            ("C", DAY, "one", True, "volume", 1),
            ("D", DAY, "one", False, "rounding", 9),
        )
    )
    assert (found.holds, found.severe) == (False, False)
    assert found.examples.rows() == [("C", DAY, "prices", 3), ("C", DAY, "volume", 1)]
    figures = dict(found.figures)
    assert (figures["sessions_from_files"], figures["sessions_compared"], figures["sessions_differing"]) == (2, 3, 1)
    assert (figures["minutes_prices"], figures["minutes_volume"], figures["minutes_rounding"]) == (3, 1, 9)


def test_nothing_compared_is_not_judged() -> None:
    assert flat_files_agree(sessions(("A", DAY, "one", True, None, None))).unjudged
    assert flat_files_current(sessions(), pl.DataFrame(schema={"day": pl.Date, "etag": pl.String})).unjudged


def test_the_check_names_symbols_whose_file_was_replaced() -> None:
    files = pl.DataFrame([(DAY, "two"), (date(2025, 11, 6), "two")], ["day", "etag"], orient="row")
    stored = sessions(
        ("A", DAY, "one", True, None, None),
        ("A", DAY, "one", True, "prices", 1),
        ("B", DAY, "two", True, None, None),
        # compared with an earlier file, but not its bars; and a session whose file is gone
        ("C", DAY, "one", False, None, None),
        ("D", date(2025, 11, 7), "one", True, None, None),
    )
    found = flat_files_current(stored, files)
    assert (found.holds, found.examples["symbol"].to_list()) == (False, ["A"])
