"""The universe: which listed or named symbols are followed, and why the others are not."""

from collections.abc import Collection, Iterable, Iterator
from datetime import date
from typing import Annotated, Final, Literal, NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator

from smallcaps_assets.domain.bars.unknown import TOO_LARGE
from smallcaps_assets.domain.params import Params, PathText
from smallcaps_assets.domain.symbols import KNOWN_TEST_SYMBOLS, ExchangeTestSymbols, check_symbol, symbol_is_safe
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError

# Symbols as their source lists them, before any filter; null where a value is unknown.
LISTED: Final = pl.Schema(
    {
        **REFERENCE,
        "name": pl.String(),
        "ticker_type": pl.String(),
        "primary_exchange": pl.String(),
        "market_cap_usd": pl.Float64(),
        "market_cap_date": pl.Date(),
        "price_usd": pl.Float64(),
        "listed": pl.Date(),
        "delisted": pl.Date(),
    }
)
UNIVERSE: Final = pl.Schema(
    {
        **LISTED,
        "active": pl.Boolean(),
        "excluded_by": pl.String(),
        "reason": pl.String(),
        "first_seen": pl.Date(),
        "last_seen": pl.Date(),
    }
)
# Figures, and whether 0 is a value: no shares may be sold short, but no company has no shares or is worth nothing. A 0
# that is no value means that the source does not know, and so does a number below 0 or above TOO_LARGE.
_MAY_BE_ZERO: Final = {
    "float_shares": False,
    "market_cap_usd": False,
    "price_usd": False,
    "short_interest_shares": True,
    "days_to_cover": True,
}
# Column beside LISTED: why the source itself excludes a symbol.
SOURCE_REJECTION: Final = "source_rejection"
_EXAMPLES: Final = 10
_BILLION: Final = 1e9


# Settings of the universe that do not change its table: others use them.
WITHOUT_EFFECT: Final = {"limits", "test_symbols", "as_of", "listing_borders"}


class UniverseLimits(Params):
    """Limits beyond which a universe is not one of small caps, and paid work is rejected."""

    from_symbols: int = Field(ge=1)
    large_cap_usd: float = Field(gt=0)
    max_large_cap_share: float = Field(ge=0, le=1)
    max_unknown_type_share: float = Field(ge=0, le=1)
    max_unknown_market_cap_share: float = Field(ge=0, le=1)


class UniverseParams(Params):
    """Source of the symbols, and filters of the vendor's list."""

    file: PathText | None
    symbols: list[str] | None = Field(min_length=1)
    ticker_types: list[str] | None = Field(min_length=1)
    exchanges: list[str] | None = Field(min_length=1)
    include_delisted: bool
    min_price_usd: float | None = Field(gt=0)
    max_price_usd: float | None = Field(gt=0)
    max_market_cap_usd: float | None = Field(gt=0)
    unknown_market_cap: Literal["pass", "exclude"]
    market_cap_max_age_days: int = Field(ge=0, le=36_500)
    reference_data: bool
    # of configurations that were written before this setting
    test_symbols: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=lambda: list(KNOWN_TEST_SYMBOLS))
    as_of: Literal["event", "today"] = "event"
    listing_borders: Literal["exact", "monthly"] = "exact"
    limits: UniverseLimits

    @property
    def is_named(self) -> bool:
        """Whether the symbols are named in a file or in the settings; filters do not apply to them."""
        return self.file is not None or self.symbols is not None

    @property
    def judges_events(self) -> bool:
        """Whether the vendor's list is filtered on the date of each event, where listings are known."""
        return not self.is_named and self.as_of == "event"

    @property
    def filters_price(self) -> bool:
        """Whether the vendor's list is filtered by price."""
        return not self.is_named and (self.min_price_usd is not None or self.max_price_usd is not None)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.file is not None and self.symbols is not None:
            raise ValueError("file and symbols both name the symbols to follow: set one of them to null")
        if self.min_price_usd and self.max_price_usd and self.max_price_usd < self.min_price_usd:
            raise ValueError(f"max_price_usd {self.max_price_usd:g} is below min_price_usd {self.min_price_usd:g}")
        for symbol in self.symbols or []:
            try:
                check_symbol(symbol)
            except InputError as error:
                raise ValueError(str(error)) from error
        return self


class _Filter(NamedTuple):
    """One filter: its name, the condition that excludes a symbol, and the reason to report."""

    by: str
    excludes: pl.Expr
    reason: pl.Expr


def known_reference(names: Collection[str]) -> list[pl.Expr]:
    """The figures of LISTED among `names`, null where their value means that the source does not know."""
    return [
        pl.when(pl.col(name).is_between(0, TOO_LARGE, closed="both" if may_be_zero else "right")).then(name)
        for name, may_be_zero in _MAY_BE_ZERO.items()
        if name in names
    ]


def judge_listings(listed: pl.DataFrame, params: UniverseParams, first_session: date) -> pl.DataFrame:
    """`listed` (LISTED and REFUSED, one row per symbol) with active, excluded_by and reason.

    A symbol is excluded by the first filter that matches it; named symbols are only checked for usable names.
    Symbols delisted before `first_session`, where history begins, are excluded.
    """
    filters = list(_filters(params, first_session, listed["symbol"]))
    excluded = pl.coalesce(pl.when(one.excludes).then(pl.lit(one.by)) for one in filters)
    reasons = pl.coalesce(pl.when(one.excludes).then(one.reason) for one in filters)
    return listed.with_columns(active=excluded.is_null(), excluded_by=excluded, reason=reasons)


def _filters(params: UniverseParams, first_session: date, symbols: Iterable[str]) -> Iterator[_Filter]:
    """The active filters, in the order in which they apply."""
    unusable = ~symbol_is_safe(pl.col("symbol"))
    yield _Filter("symbol", unusable, pl.lit("not usable as a name"))
    yield _Filter("source", pl.col(SOURCE_REJECTION).is_not_null(), pl.col(SOURCE_REJECTION))
    if params.is_named:
        return
    tests = ExchangeTestSymbols(params.test_symbols).among(symbols)
    yield _Filter("test_symbol", pl.col("symbol").is_in(tests), pl.lit("test symbol of an exchange"))
    is_early = pl.col("delisted") < first_session
    yield _Filter("delisted", is_early, pl.format("delisted {}, before history begins", pl.col("delisted")))
    for by, column, wanted in (
        ("type", "ticker_type", params.ticker_types),
        ("exchange", "primary_exchange", params.exchanges),
    ):
        if wanted is not None:
            other = ~pl.col(column).is_in(wanted).fill_null(value=False)
            yield _Filter(by, other, pl.format(f"{by} {{}}", pl.col(column).fill_null("unknown")))
    yield from _price_filters(params)
    if params.max_market_cap_usd is not None:
        yield _market_cap_filter(params.max_market_cap_usd, params.unknown_market_cap)


def _price_filters(params: UniverseParams) -> Iterator[_Filter]:
    price = pl.col("price_usd")
    if params.min_price_usd is not None:
        below = pl.format(f"price {{}} below {params.min_price_usd:g}", price)
        yield _Filter("price", price < params.min_price_usd, below)
    if params.max_price_usd is not None:
        above = pl.format(f"price {{}} above {params.max_price_usd:g}", price)
        yield _Filter("price", price > params.max_price_usd, above)


def _market_cap_filter(most: float, unknown: Literal["pass", "exclude"]) -> _Filter:
    cap = pl.col("market_cap_usd")
    above = pl.format(f"market cap {{}} above {most / _BILLION:g} B", _billions(cap))
    excludes = cap > most if unknown == "pass" else (cap > most).fill_null(value=True)
    return _Filter("market_cap", excludes, pl.coalesce(above, pl.lit("market cap unknown")))


def _billions(usd: pl.Expr) -> pl.Expr:
    return pl.format("{} B", (usd / _BILLION).round_sig_figs(4).cast(pl.String).str.strip_suffix(".0"))


class Composition(NamedTuple):
    """Shares of large caps and of unknown values among the active symbols."""

    symbols: int
    large_caps: int
    unknown_types: int
    unknown_market_caps: int
    largest: tuple[str, ...]  # large caps with their market cap, largest first; at most _EXAMPLES
    untyped: tuple[str, ...]  # symbols of unknown type; at most _EXAMPLES
    unvalued: tuple[str, ...]  # symbols of unknown market cap; at most _EXAMPLES

    @property
    def large_cap_share(self) -> float:
        """Share of large caps among the active symbols."""
        return self.large_caps / self.symbols if self.symbols else 0.0

    @property
    def unknown_type_share(self) -> float:
        """Share of symbols of unknown type among the active ones."""
        return self.unknown_types / self.symbols if self.symbols else 0.0

    @property
    def unknown_market_cap_share(self) -> float:
        """Share of symbols of unknown market cap among the active ones."""
        return self.unknown_market_caps / self.symbols if self.symbols else 0.0

    def problems(self, limits: UniverseLimits) -> list[str]:
        """A sentence for each share above its limit; none below `from_symbols`, where each symbol is a large share."""
        if self.symbols < limits.from_symbols:
            return []
        shares = (
            (self.large_cap_share, self.large_caps, "max_large_cap_share", limits.max_large_cap_share,
             f"have a market cap of {limits.large_cap_usd / _BILLION:g} B and more", self.largest),
            (self.unknown_type_share, self.unknown_types, "max_unknown_type_share", limits.max_unknown_type_share,
             "are of unknown type", self.untyped),
            (self.unknown_market_cap_share, self.unknown_market_caps, "max_unknown_market_cap_share",
             limits.max_unknown_market_cap_share, "are of unknown market cap", self.unvalued),
        )  # fmt: skip
        return [
            f"{count:,} of {count_noun(self.symbols, 'symbol')} ({100 * share:.1f} %) {what}, "
            f"universe.limits.{name} allows "
            f"{100 * most:g} %; such as {', '.join(examples)}"
            for share, count, name, most, what, examples in shares
            if share > most
        ]


def measure_composition(universe: pl.DataFrame, limits: UniverseLimits) -> Composition:
    """The composition of the active symbols of a universe (UNIVERSE) that no filter excludes."""
    # those that a filter of today excludes are followed for their earlier events only
    followed = universe.filter(pl.col("active"), pl.col("excluded_by").is_null())
    active = followed.with_columns(known_reference(universe.columns))
    large = active.filter(pl.col("market_cap_usd") >= limits.large_cap_usd).sort(
        "market_cap_usd", "symbol", descending=[True, False]
    )
    untyped = active.filter(pl.col("ticker_type").is_null()).sort("symbol")
    unvalued = active.filter(pl.col("market_cap_usd").is_null()).sort("symbol")
    largest = large.head(_EXAMPLES).select(pl.format("{} ({})", "symbol", _billions(pl.col("market_cap_usd"))))
    return Composition(
        active.height,
        large.height,
        untyped.height,
        unvalued.height,
        tuple(largest.to_series()),
        tuple(untyped["symbol"].head(_EXAMPLES)),
        tuple(unvalued["symbol"].head(_EXAMPLES)),
    )
