"""Prices in the units people store them in: dollars, cents, or whole numbers of a small part of a dollar."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, Self

import polars as pl

from smallcaps_assets.domain.bars.quality import PRICES
from smallcaps_assets.domain.bars.unknown import MOST_PRICE_USD
from smallcaps_assets.domain.bars.whole_prices import LEAST_WHOLE
from smallcaps_assets.domain.imports.columns import as_decimal
from smallcaps_assets.errors import InputError

# parts of a dollar in which vendors store prices as whole numbers
_SCALES: Final = ("0.01", "1e-3", "1e-4", "1e-6", "1e-8", "1e-9")
# a price of a small cap, from which a scale is guessed for a message; nothing is computed from it
_USUAL_USD: Final = 5.0
# what Databento writes where there is no price
_NO_NUMBER: Final = 2**63 - 1
# what a price may differ from another one of the same symbol and hour before both are in other units
MOST_TIMES: Final = 20.0


@dataclass(frozen=True)
class PriceScale:
    """How many dollars a price of 1 in a file stands for, as the user gave it; such as 1e-9."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """A scale from text.

        Raises:
            ValueError: not a number in (0, 1].
        """
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise ValueError(text) from None
        if not (value.is_finite() and 0 < value <= 1):
            raise ValueError(text)
        return cls(text)

    def in_dollars(self, prices: pl.Expr) -> pl.Expr:
        """`prices` (Float64) in dollars, rounded once: 4996300000 in 1e-9 is 4.9963."""
        value = Decimal(self.text)
        if value == 1:
            return prices
        parts = 1 / value
        if parts != parts.to_integral_value():
            return prices * float(value)
        # of a constant Polars multiplies with the reciprocal, which rounds twice: 4.996300000000001
        return prices / (prices * 0 + float(parts))

    def where_scaled(self, values: pl.Expr, prices: pl.Expr) -> pl.Expr:
        """`values` in dollars: some files have them so already, others in the unit of their `prices`.

        Both are as stored, and about equal in the same unit.
        """
        is_scaled = values / prices > math.sqrt(float(self.text))
        return pl.when(is_scaled).then(self.in_dollars(values)).otherwise(values)


def known_number(name: str, found: pl.DataType, scale: PriceScale | None = None) -> pl.Expr:
    """A column of numbers as Float64, in dollars if a scale is given; the largest integer, which means none, is null.

    Raises:
        InputError: the column is not numeric.
    """
    value = as_decimal(name, found)
    if found.is_integer():
        value = pl.when(pl.col(name).cast(pl.Int64, strict=False) != _NO_NUMBER).then(value)
    return value if scale is None else scale.in_dollars(value)


def require_fractions(table: pl.LazyFrame, names: Sequence[str], found: Mapping[str, pl.DataType]) -> None:
    """Require that columns of prices, whose unit was not given, have a type that holds fractions of a dollar.

    Args:
        table: the table as stored.
        names: its columns of prices.
        found: its columns and their types.

    Raises:
        InputError: they hold integers.
    """
    types = [found[name] for name in names]
    if not all(dtype.is_integer() or (isinstance(dtype, pl.Decimal) and dtype.scale == 0) for dtype in types):
        return
    values = table.select(pl.col(names[-1]).cast(pl.Float64).alias("price")).filter(pl.col("price") > 0).head(1_000)
    first, typical = values.select(first=pl.col("price").first(), typical=_typical(pl.col("price"))).collect().row(0)
    if first is not None:
        raise _whole_price_error(f"columns {', '.join(names)} ({types[-1]})", first, typical)


def scale_problems(bars: pl.LazyFrame, by: str, scale: PriceScale | None) -> dict[str, str]:
    """Groups of bars (BARS and the column `by`) whose prices cannot be dollars, each with the message.

    They are those of which most closes are above MOST_PRICE_USD, and, where no `scale` was given, those of at least
    LEAST_WHOLE bars that differ and have no fraction in any price.
    """
    close = pl.col("close")
    if scale is not None and not bars.select((close > MOST_PRICE_USD).any()).collect(engine="streaming").item():
        return {}
    is_whole = pl.all_horizontal(pl.col(name) == pl.col(name).round(0) for name in PRICES)
    groups = bars.filter(close.is_finite() & (close > 0)).group_by(by)
    counts = groups.agg(
        bars=pl.len(),
        high=(close > MOST_PRICE_USD).sum(),
        whole=is_whole.fill_null(value=False).sum(),
        differ=pl.col("low").min() < pl.col("high").max(),
        first=close.first(),
        typical=_typical(close),
    )
    is_high = 2 * pl.col("high") > pl.col("bars")
    is_asked = (pl.col("whole") == pl.col("bars")) & (pl.col("bars") >= LEAST_WHOLE) & pl.col("differ")
    is_found = is_high | is_asked if scale is None else is_high
    found = counts.filter(is_found).with_columns(is_high=is_high).sort(by).collect(engine="streaming")
    return {
        str(group): str((_high_price_error if high else _whole_price_error)("its prices", first, typical))
        for group, first, typical, high in found.select(by, "first", "typical", "is_high").iter_rows()
    }


def _high_price_error(what: str, first: float, typical: float) -> InputError:
    return InputError(
        f"{what}, such as {first:,.0f}, are implausible: no US stock trades above {MOST_PRICE_USD:,.0f} dollars. "
        f"{_remedy(first, typical)}. Nothing of it was read."
    )


def _whole_price_error(what: str, first: float, typical: float) -> InputError:
    return InputError(
        f"{what} are whole numbers, such as {first:,.0f}, as prices in parts of a dollar are. "
        f"{_remedy(first, typical)}; or --price-scale 1, if they are dollars. Nothing of it was read."
    )


def _typical(prices: pl.Expr) -> pl.Expr:
    """The geometric mean: a few expensive stocks among many do not move it."""
    return prices.log().mean().exp()


def other_price_problem(found: float, expected: float) -> str | None:
    """The message about a typical price `found` where about `expected` dollars are known; None where they agree."""
    if not (found > 0 and expected > 0) or 1 / MOST_TIMES < found / expected < MOST_TIMES:
        return None
    scale = min(_SCALES, key=lambda scale: abs(math.log(found * float(scale) / expected)))
    is_scale = 1 / MOST_TIMES < found * float(scale) / expected < MOST_TIMES
    remedy = _as_scale(found, scale) if is_scale else "Most likely they are adjusted for splits, or of another symbol"
    return f"its prices are about {found:,.6g}, but the event's bar closes at {expected:,.6g}. {remedy}"


def _remedy(example: float, typical: float) -> str:
    return _as_scale(example, min(_SCALES, key=lambda scale: abs(math.log(typical * float(scale) / _USUAL_USD))))


def _as_scale(example: float, scale: str) -> str:
    unit = "cents" if scale == "0.01" else f"whole numbers of {scale} dollars"
    return f"Most likely they are {unit} (then {example * float(scale):,.6g}): give --price-scale {scale}"
