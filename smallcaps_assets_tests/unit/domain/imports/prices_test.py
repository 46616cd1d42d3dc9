"""Prices in parts of a dollar: converted exactly where the unit is given, asked about where it is not."""

from decimal import Decimal

import polars as pl
import pytest

from smallcaps_assets.domain.imports.prices import (
    PriceScale,
    known_number,
    other_price_problem,
    require_fractions,
    scale_problems,
)
from smallcaps_assets.errors import InputError
from smallcaps_assets_tests.scenarios import Row, bars_from

# prices of a small cap, with a fraction of a cent
DOLLARS = [4.9963, 5.01, 4.99, 5.0]
TWENTY: list[Row] = [(price, price, price, price, 100.0, 1) for price in DOLLARS * 5]


def in_units(rows: list[Row], per_dollar: int) -> pl.DataFrame:
    """Bars whose prices are whole numbers of a part of a dollar, as floats."""
    prices = [(pl.col(name) * per_dollar).round(0) for name in ("open", "high", "low", "close")]
    return bars_from("2025-11-03 09:30", rows).with_columns(prices, file=pl.lit("x"))


def problem(bars: pl.DataFrame, scale: PriceScale | None = None) -> str | None:
    return scale_problems(bars.lazy(), "file", scale).get("x")


@pytest.mark.parametrize(
    ("scale", "stored"),
    [
        ("1e-9", pl.Series([4_996_300_000, 10_000_000, 999_999_990_000_000], dtype=pl.Int64)),
        ("1E-9", pl.Series([4_996_300_000.0, 1e7, 999_999_990_000_000.0])),
        ("0.0001", pl.Series([49_963, 100, 9_999_999_900], dtype=pl.UInt64)),
        ("1e-4", pl.Series([Decimal(49_963), Decimal(100), Decimal(9_999_999_900)], dtype=pl.Decimal(18, 0))),
    ],
)
def test_a_scale_gives_the_same_numbers_as_decimals_would(scale: str, stored: pl.Series) -> None:
    """To the last bit: a product with 1e-9 would give 4.996300000000001."""
    frame = stored.alias("close").to_frame()
    found = frame.select(known_number("close", stored.dtype, PriceScale.parse(scale)))["close"].to_list()
    assert found == [4.9963, 0.01, 999_999.99]


def test_what_is_in_dollars_already_stays() -> None:
    """Some files have a vwap in dollars beside prices in parts of a dollar."""
    frame = pl.DataFrame({"vwap": [4.9971, 4_997_100_000.0, None], "close": [4_996_300_000.0] * 3})
    vwap, close = pl.col("vwap"), pl.col("close")
    assert frame.select(PriceScale("1e-9").where_scaled(vwap, close))["vwap"].to_list() == [4.9971, 4.9971, None]
    frame = pl.DataFrame({"vwap": [5.1, 510.0], "close": [500.0, 500.0]})
    assert frame.select(PriceScale("0.01").where_scaled(vwap, close))["vwap"].to_list() == [5.1, 5.1]
    assert frame.select(PriceScale("1").where_scaled(vwap, close))["vwap"].to_list() == [5.1, 510.0]


def test_a_decimal_with_fractions_is_read_as_it_is() -> None:
    frame = pl.DataFrame({"close": pl.Series([Decimal("4.9963")], dtype=pl.Decimal(12, 4))})
    assert frame.select(known_number("close", frame.schema["close"])).item() == 4.9963
    require_fractions(frame.lazy(), ["close"], frame.schema)


def test_the_largest_integer_is_no_price() -> None:
    """Databento writes it where there is none."""
    frame = pl.DataFrame({"bid_price": [2**63 - 1, 5_000_000_000]})
    found = frame.select(known_number("bid_price", pl.Int64(), PriceScale("1e-9")))
    assert found["bid_price"].to_list() == [None, 5.0]


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "10", "nan", "inf"])
def test_what_is_no_scale_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text or "^$"):
        PriceScale.parse(text)


@pytest.mark.parametrize(
    ("per_dollar", "scale"), [(10**9, "1e-9"), (10**8, "1e-8"), (10**6, "1e-6"), (10**4, "1e-4"), (100, "0.01")]
)
def test_whole_prices_are_asked_about_with_the_likely_scale(per_dollar: int, scale: str) -> None:
    message = problem(in_units(TWENTY, per_dollar))
    assert message is not None
    assert f"give --price-scale {scale}" in message
    assert "(then 4.9963)" in message or per_dollar == 100
    # said to be so: nothing is asked
    of_dollars = in_units(TWENTY, per_dollar).with_columns(pl.col("open", "high", "low", "close") / per_dollar)
    assert problem(of_dollars, PriceScale(scale)) is None


def test_prices_above_a_million_dollars_are_implausible_even_with_fractions() -> None:
    message = problem(in_units(TWENTY[:3], 10**9).with_columns(pl.col("close") + 0.5))
    assert message is not None
    assert message.startswith(
        "its prices, such as 4,996,300,000, are implausible: no US stock trades above 1,000,000 dollars"
    )
    assert "whole numbers of 1e-9 dollars (then 4.9963): give --price-scale 1e-9" in message


def test_a_scale_that_is_too_large_is_seen() -> None:
    scale = PriceScale("0.01")
    message = problem(in_units(TWENTY, 10**7).with_columns(pl.col("close") * 1.0), scale)
    assert message is not None
    assert "implausible" in message


@pytest.mark.parametrize(
    "rows",
    [
        TWENTY,
        [(812_345.5, 812_500.0, 812_000.0, 812_345.0, 100.0, 1)] * 20,  # BRK.A
        [(10.0, 10.0, 10.0, 10.0, 100.0, 1)] * 50,  # a price that never moves
        [(price, price, price, price, 1.0, 1) for price in (9.0, 10.0, 11.0)] * 6,  # so few may be whole by chance
        [*([(10.0, 11.0, 9.0, 10.0, 1.0, 1)] * 19), (10.0, 11.0, 9.99, 11.0, 1.0, 1)],
        [*TWENTY, (2e6, 2e6, 2e6, 2e6, 1.0, 1)],  # one bad print
    ],
)
def test_prices_of_markets_pass(rows: list[Row]) -> None:
    assert (
        problem(in_units(rows, 1).with_columns(bars_from("2025-11-03 09:30", rows)["open", "high", "low", "close"]))
        is None
    )


def test_columns_of_integers_are_asked_about_whatever_their_number() -> None:
    frame = pl.DataFrame({name: [49_963] for name in ("o", "h", "l", "c")})
    with pytest.raises(
        InputError, match=r"columns o, h, l, c \(Int64\) are whole numbers, such as 49,963.*scale 1e-4; or"
    ):
        require_fractions(frame.lazy(), ["o", "h", "l", "c"], frame.schema)
    decimals = frame.cast(pl.Decimal(12, 0))
    with pytest.raises(InputError, match="--price-scale 1e-4"):
        require_fractions(decimals.lazy(), ["o", "h", "l", "c"], decimals.schema)
    require_fractions(frame.cast({"l": pl.Float64}).lazy(), ["o", "h", "l", "c"], frame.cast({"l": pl.Float64}).schema)


def test_a_few_expensive_stocks_do_not_move_the_likely_scale() -> None:
    """Of a file of many symbols in 1e-4, the first bar may be of one that costs 1,500 dollars."""
    dear: list[Row] = [(1_500.0, 1_500.0, 1_500.0, 1_500.0, 1.0, 1)]
    message = problem(in_units([*dear, *TWENTY], 10_000))
    assert message is not None
    assert "such as 15,000,000" in message
    assert "(then 1,500): give --price-scale 1e-4" in message


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (5.1, None),
        (0.3, None),
        (99.0, None),
        (500.0, "its prices are about 500, but the event's bar closes at 5. Most likely they are cents (then 5)"),
        (49_963.0, "give --price-scale 1e-4"),
        (5e9, "give --price-scale 1e-9"),
        (0.1, "adjusted for splits, or of another symbol"),
    ],
)
def test_prices_of_tape_are_compared_with_the_events(found: float, words: str | None) -> None:
    message = other_price_problem(found, 5.0)
    assert message is None if words is None else words in (message or "")
