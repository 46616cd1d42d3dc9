"""Borders of listings: the days on which a ticker changes its owner. No figure looks back over one.

A ticker that two companies used one after the other has two listings. Where there is no such ticker, or no listings are
known, there is no border, and every figure is what it is without this module.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

# What is read of listings: `active_to` is null while one is listed.
LISTED_DAYS: Final = pl.Schema({"symbol": pl.String(), "active_from": pl.Date(), "active_to": pl.Date()})
# Between a symbol and the number of its owner, in place of the symbol: no symbol has this character, and it sorts
# before all others, so that rows in order of symbol and day stay in order.
_SEPARATOR: Final = "\x00"
_OWNER_DIGITS: Final = 3
_ONE_DAY: Final = timedelta(days=1)
# more than the days of any date
_DAY_BITS: Final = 22


@dataclass(frozen=True)
class ListingBorders:
    """The first day of each owner of a ticker after its first one.

    Attributes:
        by_symbol: the days of each symbol with a border, in order.
    """

    by_symbol: Mapping[str, tuple[date, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, listings: pl.DataFrame | None) -> Self:
        """The borders between the listings (LISTED_DAYS) of each symbol; none where listings are not known.

        A listing begins at a border, and so does the time after its end that belongs to no listing. Before the first
        listing and after the last one there is none: a symbol with one listing has no border.
        """
        if listings is None:
            return cls()
        ordered = listings.select(*LISTED_DAYS).sort("symbol", "active_from")
        later = ordered.filter(pl.int_range(pl.len()).over("symbol") > 0).select("symbol", day="active_from")
        more = pl.int_range(pl.len()).over("symbol") < pl.len().over("symbol") - 1
        ended = ordered.filter(more).select("symbol", day=pl.col("active_to") + _ONE_DAY)
        days = pl.concat([later, ended]).drop_nulls().group_by("symbol").agg(pl.col("day").unique().sort())
        return cls({symbol: tuple(found) for symbol, found in days.sort("symbol").iter_rows()})

    def __bool__(self) -> bool:
        """Whether any symbol has a border."""
        return bool(self.by_symbol)

    def text(self, symbol: str) -> str:
        """The borders of a symbol as text, for versions; empty where it has none."""
        return ",".join(map(str, self.by_symbol.get(symbol, ())))

    def of_symbols(self, symbols: Collection[str]) -> Self:
        """The borders of some symbols."""
        return type(self)({symbol: self.by_symbol[symbol] for symbol in symbols if symbol in self.by_symbol})

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The borders of symbols under other names, which `names` gives by the new name."""
        return type(self)({name: self.by_symbol[own] for name, own in names.items() if own in self.by_symbol})

    def owners(self, rows: pl.DataFrame, day: str | pl.Expr = "day") -> npt.NDArray[np.int64]:
        """The number of the owner of each row's symbol on its day: the borders up to and on that day.

        Args:
            rows: with `symbol`.
            day: the ET date (Date), a column or an expression of one.
        """
        if not self:
            return np.zeros(rows.height, np.int64)
        place = rows.select(pl.col("symbol").replace_strict(self._places, default=None, return_dtype=pl.Int64))
        known = rows.select(pl.col(day) if isinstance(day, str) else day).to_series().to_physical().cast(pl.Int64)
        places = place.to_series()
        numbers: npt.NDArray[np.int64] = places.fill_null(0).to_numpy()
        keys = (numbers << _DAY_BITS) + known.fill_null(0).to_numpy()
        before = self._keys.searchsorted(keys, side="right") - self._keys.searchsorted(numbers << _DAY_BITS, "left")
        return np.where(places.is_null().to_numpy(), 0, before)

    def by_owner(self, rows: pl.DataFrame, day: str | pl.Expr = "day") -> pl.DataFrame:
        """`rows` in which each later owner of a ticker has a symbol of its own, so that nothing joins two of them.

        Rows that are sorted by symbol and day stay so. `by_symbol_again` gives the symbols back.

        Args:
            rows: with `symbol`.
            day: see `owners`.
        """
        if not self:
            return rows
        owner = pl.Series("owner", self.owners(rows, day))
        number = owner.cast(pl.String).str.zfill(_OWNER_DIGITS)
        own = pl.concat_str("symbol", pl.lit(_SEPARATOR), number)
        return rows.with_columns(symbol=pl.when(owner > 0).then(own).otherwise("symbol"))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {symbol: place for place, symbol in enumerate(self.by_symbol)}

    @cached_property
    def _keys(self) -> npt.NDArray[np.int64]:
        """One number per border, in order of symbol and day."""
        epoch = date(1970, 1, 1)
        days = [
            (self._places[symbol] << _DAY_BITS) + (day - epoch).days
            for symbol, found in self.by_symbol.items()
            for day in found
        ]
        return np.array(days, np.int64)


NO_BORDERS: Final = ListingBorders()


def by_symbol_again(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` of `ListingBorders.by_owner`, or computed from them, with the symbols that they had before."""
    if "symbol" not in rows.columns:
        return rows
    return rows.with_columns(pl.col("symbol").str.extract(f"^([^{_SEPARATOR}]*)"))
