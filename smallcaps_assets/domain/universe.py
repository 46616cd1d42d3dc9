"""Which of the symbols that are listed, or named, are followed: each is active, or has a reason why it is not."""

from collections.abc import Iterator
from datetime import date
from typing import Final, Literal, NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.symbols import check_symbol, symbol_is_safe
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.errors import InputError

# What the source of symbols says of each, before anything is judged; null where it does not know.
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
# why the source of symbols itself says that one is not to be followed; a column beside LISTED
SOURCE_REJECTION: Final = "refused"
_EXAMPLES: Final = 10
_BILLION: Final = 1e9


class UniverseLimits(Params):
    """When a universe is not one of small caps: everything that pays then refuses to begin."""

    from_symbols: int = Field(ge=1)
    large_cap_usd: float = Field(gt=0)
    max_large_cap_share: float = Field(ge=0, le=1)
    max_unknown_type_share: float = Field(ge=0, le=1)
    max_unknown_market_cap_share: float = Field(ge=0, le=1)


class UniverseParams(Params):
    """Where symbols come from, and which of the vendor's list are followed."""

    file: str | None = Field(min_length=1)
    symbols: list[str] | None = Field(min_length=1)
    ticker_types: list[str] | None = Field(min_length=1)
    exchanges: list[str] | None = Field(min_length=1)
    include_delisted: bool
    min_price_usd: float | None = Field(gt=0)
    max_price_usd: float | None = Field(gt=0)
    max_market_cap_usd: float | None = Field(gt=0)
    unknown_market_cap: Literal["pass", "exclude"]
    market_cap_max_age_days: int = Field(ge=0)
    reference_data: bool
    limits: UniverseLimits

    @property
    def is_named(self) -> bool:
        """Whether a person named the symbols: they are then followed as they stand, whatever the filters say."""
        return self.file is not None or self.symbols is not None

    @property
    def filters_price(self) -> bool:
        """Whether a price filter of the vendor's list is on."""
        return not self.is_named and (self.min_price_usd is not None or self.max_price_usd is not None)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.file is not None and self.symbols is not None:
            raise ValueError("file and symbols both say which symbols to follow: set one of them to null")
        if self.min_price_usd and self.max_price_usd and self.max_price_usd < self.min_price_usd:
            raise ValueError(f"max_price_usd {self.max_price_usd:g} is below min_price_usd {self.min_price_usd:g}")
        for symbol in self.symbols or []:
            try:
                check_symbol(symbol)
            except InputError as error:
                raise ValueError(str(error)) from error
        return self


class _Verdict(NamedTuple):
    """One way to be excluded: its name, whom it concerns and what to tell of them."""

    by: str
    concerns: pl.Expr
    reason: pl.Expr


def judge_listings(listed: pl.DataFrame, params: UniverseParams, first_session: date) -> pl.DataFrame:
    """`listed` (LISTED and REFUSED, one row per symbol) with active, excluded_by and reason.

    A symbol is excluded by the first filter that concerns it. What a person named is not filtered. `first_session` is
    where history begins: who was delisted before it has none.
    """
    verdicts = list(_verdicts(params, first_session))
    excluded = pl.coalesce(pl.when(one.concerns).then(pl.lit(one.by)) for one in verdicts)
    reasons = pl.coalesce(pl.when(one.concerns).then(one.reason) for one in verdicts)
    return listed.with_columns(active=excluded.is_null(), excluded_by=excluded, reason=reasons)


def require_distinct(rows: pl.DataFrame) -> None:
    """Make sure that no two symbols to follow differ only in case.

    Raises:
        InputError: some do.
    """
    folded = pl.col("symbol").str.to_lowercase()
    clashes = rows.filter("active").filter(folded.is_duplicated())["symbol"].sort().to_list()
    if clashes:
        raise InputError(
            f"symbols {', '.join(clashes)} differ only in case: folders of some systems cannot tell them apart. "
            "Name the ones to follow in universe.symbols or universe.file."
        )


def _verdicts(params: UniverseParams, first_session: date) -> Iterator[_Verdict]:
    """The filters that are on, in the order in which they are told."""
    unusable = ~symbol_is_safe(pl.col("symbol"))
    yield _Verdict("symbol", unusable, pl.lit("cannot name a folder on every system"))
    yield _Verdict("source", pl.col(SOURCE_REJECTION).is_not_null(), pl.col(SOURCE_REJECTION))
    if params.is_named:
        return
    before = pl.col("delisted") < first_session
    yield _Verdict("delisted", before, pl.format("delisted {}, before history begins", pl.col("delisted")))
    for by, column, wanted in (
        ("type", "ticker_type", params.ticker_types),
        ("exchange", "primary_exchange", params.exchanges),
    ):
        if wanted is not None:
            other = ~pl.col(column).is_in(wanted).fill_null(value=False)
            yield _Verdict(by, other, pl.format(f"{by} {{}}", pl.col(column).fill_null("unknown")))
    yield from _verdicts_on_price(params)
    if params.max_market_cap_usd is not None:
        yield _verdict_on_market_cap(params.max_market_cap_usd, params.unknown_market_cap)


def _verdicts_on_price(params: UniverseParams) -> Iterator[_Verdict]:
    price = pl.col("price_usd")
    if params.min_price_usd is not None:
        below = pl.format(f"price {{}} below {params.min_price_usd:g}", price)
        yield _Verdict("price", price < params.min_price_usd, below)
    if params.max_price_usd is not None:
        above = pl.format(f"price {{}} above {params.max_price_usd:g}", price)
        yield _Verdict("price", price > params.max_price_usd, above)


def _verdict_on_market_cap(most: float, unknown: Literal["pass", "exclude"]) -> _Verdict:
    cap = pl.col("market_cap_usd")
    told = pl.format(f"market cap {{}} above {most / _BILLION:g} B", _billions(cap))
    concerns = cap > most if unknown == "pass" else (cap > most).fill_null(value=True)
    return _Verdict("market_cap", concerns, pl.coalesce(told, pl.lit("market cap unknown")))


def _billions(usd: pl.Expr) -> pl.Expr:
    return pl.format("{} B", (usd / _BILLION).round_sig_figs(4).cast(pl.String).str.strip_suffix(".0"))


class Composition(NamedTuple):
    """What the symbols that are followed are made of."""

    symbols: int
    large_caps: int
    unknown_types: int
    unknown_market_caps: int
    largest: tuple[str, ...]  # large caps with their market cap, the largest first; EXAMPLES at most
    untyped: tuple[str, ...]  # symbols of unknown type; EXAMPLES at most
    unvalued: tuple[str, ...]  # symbols of unknown market cap; EXAMPLES at most

    @property
    def large_cap_share(self) -> float:
        """Large caps among the symbols that are followed."""
        return self.large_caps / self.symbols if self.symbols else 0.0

    @property
    def unknown_type_share(self) -> float:
        """Symbols of unknown type among those that are followed."""
        return self.unknown_types / self.symbols if self.symbols else 0.0

    @property
    def unknown_market_cap_share(self) -> float:
        """Symbols of unknown market cap among those that are followed."""
        return self.unknown_market_caps / self.symbols if self.symbols else 0.0

    def problems(self, limits: UniverseLimits) -> list[str]:
        """What is above its limit, in words; nothing for few symbols, of which each is a large share."""
        if self.symbols < limits.from_symbols:
            return []
        told = (
            (self.large_cap_share, self.large_caps, "max_large_cap_share", limits.max_large_cap_share,
             f"have a market cap of {limits.large_cap_usd / _BILLION:g} B and more", self.largest),
            (self.unknown_type_share, self.unknown_types, "max_unknown_type_share", limits.max_unknown_type_share,
             "are of unknown type", self.untyped),
            (self.unknown_market_cap_share, self.unknown_market_caps, "max_unknown_market_cap_share",
             limits.max_unknown_market_cap_share, "are of unknown market cap", self.unvalued),
        )  # fmt: skip
        return [
            f"{count:,} of {self.symbols:,} symbols ({100 * share:.1f} %) {what}, universe.limits.{name} allows "
            f"{100 * most:g} %; such as {', '.join(examples)}"
            for share, count, name, most, what, examples in told
            if share > most
        ]


def measure_composition(universe: pl.DataFrame, limits: UniverseLimits) -> Composition:
    """What the active symbols of a universe (UNIVERSE) are made of."""
    active = universe.filter("active")
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
