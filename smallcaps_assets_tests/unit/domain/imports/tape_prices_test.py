"""Tape with prices in parts of a dollar: told by the close of the event's bar, read where the unit is given."""

from decimal import Decimal

import polars as pl
import pytest

from smallcaps_assets.domain.imports.prices import PriceScale
from smallcaps_assets.domain.imports.tape import require_dollars, typed_tape
from smallcaps_assets.domain.tables import QUOTES, TRADES
from smallcaps_assets.errors import InputError
from smallcaps_assets_tests.conftest import quotes_at, trades_at
from smallcaps_assets_tests.scenarios import new_york

MOMENTS = [new_york("2025-11-05 10:00"), new_york("2025-11-05 10:01"), new_york("2025-11-05 10:02")]
TRADED = trades_at(*MOMENTS).with_columns(exchange=pl.lit(4, pl.Int64), trade_id=pl.lit("t"))
QUOTED = quotes_at(*MOMENTS)
TEN = [10.0, 10.01, 10.02]


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Decimal(30, 0), pl.Float64])
def test_trades_are_in_dollars_if_the_scale_is_given(dtype: pl.DataType | type[pl.DataType]) -> None:
    stored = TRADED.with_columns((pl.col("price") * 10**9).round(0).cast(pl.Int64).cast(dtype))
    typed = typed_tape(stored, "trades", TRADES, None, PriceScale("1e-9")).rows
    assert typed["price"].to_list() == TEN
    require_dollars(typed, "trades", 10.0)
    unscaled = typed_tape(stored, "trades", TRADES, None).rows
    with pytest.raises(InputError, match=r"its prices are about 1\.001e\+10, .* closes at 10\. .*--price-scale 1e-9"):
        require_dollars(unscaled, "trades", 10.0)


def test_quotes_are_in_dollars_if_the_scale_is_given() -> None:
    """Databento writes the largest integer where a side of the book is empty."""
    asks = [11 * 10**9, 2**63 - 1, 11_020_000_000]
    stored = QUOTED.with_columns(
        (pl.col("bid_price") * 10**9).round(0).cast(pl.Int64), ask_price=pl.Series(asks, dtype=pl.Int64)
    )
    typed = typed_tape(stored, "quotes", QUOTES, None, PriceScale("1e-9")).rows
    assert typed["bid_price"].to_list() == TEN
    assert typed["ask_price"].to_list() == [11.0, None, 11.02]


@pytest.mark.parametrize(("per_dollar", "scale"), [(100, "0.01"), (10_000, "1e-4")])
def test_other_units_are_told_by_the_close(per_dollar: int, scale: str) -> None:
    for kind, rows in (("trades", TRADED), ("quotes", QUOTED)):
        prices = [name for name in rows.columns if name.endswith("price")]
        with pytest.raises(InputError, match=f"give --price-scale {scale}"):
            require_dollars(rows.with_columns(pl.col(prices) * per_dollar), kind, 10.0)
        require_dollars(rows, kind, 10.0)


def test_one_side_of_the_book_may_be_far_away() -> None:
    """As of quotes outside regular hours: 0.01 bid, or 199,999 asked."""
    require_dollars(QUOTED.with_columns(ask_price=pl.lit(199_999.99)), "quotes", 10.0)
    require_dollars(QUOTED.with_columns(bid_price=pl.lit(0.01)), "quotes", 10.0)
    require_dollars(QUOTED.with_columns(bid_price=pl.lit(0.0), ask_price=pl.lit(0.0)), "quotes", 10.0)


def test_an_empty_tape_has_no_price() -> None:
    require_dollars(TRADED.clear(), "trades", 10.0)


def test_adjusted_prices_are_told() -> None:
    with pytest.raises(InputError, match="Most likely they are adjusted for splits, or of another symbol"):
        require_dollars(TRADED.with_columns(price=pl.lit(0.1)), "trades", 10.0)


def test_decimals_of_dollars_are_read_as_they_are() -> None:
    stored = TRADED.with_columns(pl.col("price").cast(pl.Decimal(12, 4)))
    assert stored["price"][1] == Decimal("10.01")
    assert typed_tape(stored, "trades", TRADES, None).rows["price"].to_list() == TEN
