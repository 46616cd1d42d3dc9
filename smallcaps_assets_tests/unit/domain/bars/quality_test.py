"""Which bars are accepted, and the reasons for rejecting others."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import (
    QUARANTINED_BARS,
    bar_problems,
    clean_bars,
    master_problems,
    reasons,
    shard_problems,
)
from smallcaps_assets.domain.symbols import check_symbol, symbol_is_safe
from smallcaps_assets.domain.tables import BARS, EVENTS, SHARD
from smallcaps_assets.errors import InputError
from smallcaps_assets_tests.conftest import event
from smallcaps_assets_tests.strategies.bars import lively_bars, spoiled

NINE = datetime(2025, 11, 5, 14, 30, tzinfo=UTC)
PRICE = "a price is missing or not positive"
RANGE = "high or low contradicts open and close"
VOLUME = "volume is missing or not positive"
REPEAT = "repeats the minute of an earlier row"
SYMBOL = "symbol is not usable as a name"


def bar(minute: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "symbol": "AEMD",
        "timestamp": NINE + timedelta(minutes=minute),
        "open": 10.0,
        "high": 10.2,
        "low": 9.9,
        "close": 10.1,
        "volume": 100.0,
        "vwap": 10.05,
        "transactions": 7,
    } | values


def bars(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=BARS, orient="row")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        *(({name: value}, PRICE) for name in ("open", "high", "low", "close") for value in (None, 0.0, -1.0)),
        *(({name: float(word)}, PRICE) for name in ("open", "close") for word in ("nan", "inf", "-inf")),
        ({"high": 10.09}, RANGE),
        ({"low": 10.01}, RANGE),
        # the close is the lower of the two
        ({"close": 9.89}, RANGE),
        ({"open": 10.21}, RANGE),
        ({"high": 9.0, "low": 11.0}, RANGE),
        *(({"volume": value}, VOLUME) for value in (None, 0.0, -5.0, float("nan"), float("inf"))),
        ({"timestamp": None}, "timestamp is missing or implausible"),
        *(({"symbol": name}, SYMBOL) for name in (None, "", "../x", "A|B", "A%", ".A", "X" * 25, "a b")),
        # several faults: one row, one reason
        ({"open": None, "volume": 0.0}, PRICE),
    ],
)
def test_a_bad_bar_is_set_aside_with_its_reason(values: dict[str, Any], reason: str) -> None:
    clean = clean_bars(bars(bar(0), bar(1, **values), bar(2)))
    assert clean.good["timestamp"].to_list() == [NINE, NINE + timedelta(minutes=2)]
    assert clean.quarantined["reason"].to_list() == [reason]


@pytest.mark.parametrize(
    "values",
    [
        # a price that never moved
        {"open": 10.0, "high": 10.0, "low": 10.0, "close": 10.0},
        # fractional shares, sent since 2026
        {"volume": 0.25},
        {"transactions": None},
        {"vwap": None},
        {"symbol": "BRK.B"},
        {"symbol": "KIMpL"},
        {"symbol": "X" * 24},
        {"symbol": "CONN"},
    ],
)
def test_unusual_bars_are_accepted(values: dict[str, Any]) -> None:
    clean = clean_bars(bars(bar(**values)))
    assert_frame_equal(clean.good, bars(bar(**values)))
    assert clean.quarantined.is_empty()


@pytest.mark.parametrize("word", ["nan", "inf", "-inf"])
def test_a_vwap_that_is_no_number_becomes_null(word: str) -> None:
    assert clean_bars(bars(bar(vwap=float(word)))).good["vwap"].to_list() == [None]


def test_a_price_that_is_no_number_is_null_in_the_quarantine() -> None:
    assert clean_bars(bars(bar(open=float("nan")))).quarantined["open"].to_list() == [None]


def test_of_a_repeated_minute_the_first_usable_row_stays() -> None:
    clean = clean_bars(bars(bar(volume=0.0), bar(volume=2.0), bar(volume=3.0), bar(close=None), bar(volume=2.0)))
    assert clean.good["volume"].to_list() == [2.0]
    assert sorted(clean.quarantined["reason"]) == sorted([VOLUME, REPEAT, PRICE, REPEAT])


def test_a_minute_is_repeated_only_within_its_symbol() -> None:
    assert clean_bars(bars(bar(), bar(symbol="B"))).good["symbol"].to_list() == ["AEMD", "B"]


def test_the_first_row_in_the_file_stays_also_when_the_file_is_not_sorted() -> None:
    clean = clean_bars(bars(bar(5, volume=1.0), bar(0), bar(5, volume=2.0)))
    assert clean.good["volume"].to_list() == [100.0, 1.0]
    assert clean.quarantined["volume"].to_list() == [2.0]


def test_nothing_in_gives_nothing_out_with_every_column() -> None:
    clean = clean_bars(bars())
    assert clean.good.schema == BARS
    assert clean.quarantined.schema == QUARANTINED_BARS
    assert reasons(clean.quarantined) == {}


@pytest.mark.parametrize("seed", range(4))
def test_every_row_is_in_exactly_one_place(seed: int) -> None:
    mixed = spoiled(seed, lively_bars(seed, 2, [date(2025, 11, 26), date(2025, 11, 28)]))
    clean = clean_bars(mixed)
    assert clean.good.height + clean.quarantined.height == mixed.height
    assert clean.good.unique(["symbol", "timestamp"]).height == clean.good.height
    assert clean.good.equals(clean.good.sort("symbol", "timestamp"))
    # what is clean stays as it is
    again = clean_bars(clean.good)
    assert_frame_equal(again.good, clean.good)
    assert again.quarantined.is_empty()


def test_reasons_are_counted_the_most_frequent_first() -> None:
    clean = clean_bars(bars(bar(0, volume=0.0), bar(1, open=None), bar(2, volume=None)))
    assert list(reasons(clean.quarantined).items()) == [(VOLUME, 2), (PRICE, 1)]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="bars: no column vwap, transactions"):
        clean_bars(bars(bar()).drop("vwap", "transactions"))


@pytest.mark.parametrize(
    "symbol",
    [
        "AEMD",
        "BRK.B",
        "KIMpL",
        "A+",
        "9X",
        "AEMD\n",
        "CON",
        "con",
        "COM1.x",
        "A.",
        "",
        " A",
        "ä",
        "A/B",
        "A\\B",
        "X" * 25,
    ],
)
def test_a_symbol_is_judged_alike_one_by_one_and_in_a_table(symbol: str) -> None:
    in_table = pl.select(symbol_is_safe(pl.lit(symbol))).item()
    try:
        one_by_one = check_symbol(symbol) == symbol
    except InputError:
        one_by_one = False
    assert one_by_one == in_table


def test_invalid_rows_of_master_are_reported() -> None:
    row = dict.fromkeys(EVENTS) | {"event_type": "gap_up", "session": "XX", "score": float("nan"), "date": "x"}
    problems = "; ".join(master_problems(pl.DataFrame([row], schema=EVENTS)))
    for words in (
        "null symbol in 1 row",
        "NaN score in 1 row",
        "'gap_up' is not one of",
        "'XX' is not one of",
        "date 'x'",
    ):
        assert words in problems
    assert master_problems(EVENTS.to_frame()) == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (bar(1), ""),
        (bar(1, vwap=None, transactions=None), ""),
        (bar(0), "1 bar not after the bar before"),
        (bar(-1), "1 bar not after the bar before"),
        (bar(1, symbol="B"), "1 bar of another symbol than AEMD"),
        (bar(1, timestamp=None), "1 bar without timestamp"),
        *((bar(1, **{name: 0.0}), "missing or not positive") for name in ("open", "high", "low", "close", "volume")),
        *((bar(1, close=value), "missing or not positive") for value in (None, float("nan"), float("inf"), -1.0)),
    ],
)
def test_invalid_bars_are_reported(row: dict[str, Any], words: str) -> None:
    problems = "; ".join(bar_problems(bars(bar(0), row), "AEMD"))
    assert words in problems
    assert bool(problems) == bool(words)


def shard(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{name: row[name] for name in SHARD} for row in rows], schema=SHARD, orient="row")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], ""),
        ([event(), event("2025-11-05 10:30")], ""),
        # of one minute the events come by type, and up before down
        ([event(event_type="flush"), event(event_id="x"), event(event_id="x", direction="down")], ""),
        ([event("2025-11-05 10:30"), event()], "not sorted"),
        ([event(), event(event_type="flush")], "not sorted"),
        ([event(direction="down"), event(event_id="x")], "not sorted"),
        ([event(), event()], "repeated event_id and direction in 2 rows"),
        ([event(symbol="B")], "events of B among those of AEMD"),
        ([event(score=float("nan"))], "NaN score in 1 row"),
        ([event(event_id=None)], "null event_id in 1 row"),
        ([event(session="XX")], "'XX' is not one of"),
        ([event(date="5 Nov")], "'5 Nov' is not YYYY-MM-DD"),
    ],
)
def test_invalid_shards_are_reported(rows: list[dict[str, Any]], words: str) -> None:
    problems = "; ".join(shard_problems(shard(*rows), ["AEMD"]))
    assert words in problems
    assert bool(problems) == bool(words)
