"""Symbols with which exchanges test their systems, by the patterns of the settings."""

import pytest

from smallcaps_assets.domain.symbols import ExchangeTestSymbols, describe_test_symbols
from smallcaps_assets_tests.scenarios import default_settings

# from the symbol directories and test plans of Nasdaq, NYSE, Cboe and IEX
TESTS = (
    *("ZVZZT", "ZWZZT", "ZXZZT", "ZJZZT", "ZAZZT", "ZBZZT", "ZCZZT", "ZVZZC", "ZXYZ.A", "ZTEST", "ZTST", "ZBZX"),
    *("NTEST", "NTEST.A", "NTEST.Z", "ATEST", "ATEST.C", "CTEST", "CTEST.V", "PTEST", "PTEST.Y", "MTEST", "NTEST-A"),
    *("CBO", "CBX", "IBO", "IGZ", "ZVV", "ZZK", "ZEXIT", "ZIEXT", "ZXIET"),
)
# companies, and a fund that has the name of a former test symbol
LISTED = ("ABCD", "AEHR", "TEST", "ZTSTF", "ATESTS", "ZZZ", "CBOE", "NTST", "ATST", "BCPC", "ZVZZ", "PTESTX", "TZZT")


def of_defaults(*wanted: str) -> ExchangeTestSymbols:
    return ExchangeTestSymbols(default_settings().universe.test_symbols, frozenset(wanted))


@pytest.mark.parametrize("symbol", TESTS)
def test_test_symbols_are_left_out_unless_asked_for(symbol: str) -> None:
    assert symbol in of_defaults("ABCD")
    assert symbol not in of_defaults(symbol)


def test_listed_symbols_are_none() -> None:
    assert of_defaults().among((*LISTED, "ZVZZT", "ZTST", "ZVZZT")) == ["ZTST", "ZVZZT"]


def test_no_patterns_leave_nothing_out() -> None:
    assert ExchangeTestSymbols().among(TESTS) == []


def test_many_are_counted() -> None:
    assert describe_test_symbols(["ZVZZT"]).startswith(
        "1 test symbol of exchanges (ZVZZT): no events are made of them,"
    )
    assert "(0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more)" in describe_test_symbols([str(number) for number in range(12)])
