"""Which symbols are followed: from settings or the vendor's list, with reference data where the plan has it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from smallcaps_assets.domain.tables import REFERENCE, symbol_is_safe
from smallcaps_assets.errors import InputError, NotEntitled
from smallcaps_assets.lake.universe import UNIVERSE, UniverseStore
from smallcaps_assets.market_data.client import Fetched, MarketDataClient
from smallcaps_assets.pipeline.source import identity, require_same_source
from smallcaps_assets.settings import SourceParams, UniverseParams


@dataclass(frozen=True)
class UniverseBuilder:
    """Everything that making the universe takes."""

    store: UniverseStore
    client: MarketDataClient
    params: UniverseParams
    source: SourceParams
    log: Callable[[str], None]

    def run(self, as_of: date) -> pl.DataFrame:
        """The universe (UNIVERSE) as of a session; asks the vendor only where the stored one answers another question.

        A symbol that left stays, inactive and with the reason.

        Raises:
            InputError: no symbol is usable; two differ only in case, which one folder cannot hold on every system; or
            the lake holds data of another source.
        """
        before, asked = self.store.read(), self.store.asked()
        question = {"as_of": f"{as_of}", "settings": self._settings_hash(), "source": identity(self.source)}
        if asked == question:
            return before
        require_same_source(self.store, self.source)
        universe = self._with_reference(_judged(self._listed()))
        gone = before.join(universe, on="symbol", how="anti").with_columns(
            active=pl.lit(value=False), reason=pl.lit("no longer listed or no longer asked for")
        )
        everything = pl.concat([universe, gone]).sort("symbol")
        if not everything["active"].any():
            raise InputError("no usable symbol: name some in universe.symbols, or widen universe.ticker_types.")
        self.store.replace(everything, question)
        return everything

    def _settings_hash(self) -> str:
        text = self.params.model_dump_json() + self.source.embedded.model_dump_json()
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _listed(self) -> pl.DataFrame:
        names = ("name", "ticker_type", "primary_exchange")
        if self.params.symbols is not None:
            listed = pl.DataFrame({"symbol": self.params.symbols}, schema={"symbol": pl.String})
            return listed.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in names)
        fetched = [self.client.tickers(market="stocks", type=kind).frame for kind in self.params.ticker_types]
        return pl.concat(fetched).select("symbol", "name", pl.col("type").alias("ticker_type"), "primary_exchange")

    def _with_reference(self, listed: pl.DataFrame) -> pl.DataFrame:
        symbols = listed.filter("active")["symbol"].to_list()
        free = self._asked(self.client.float_shares, symbols, "float_shares")
        short = self._asked(self.client.short_interest, symbols, "short_interest_shares", "days_to_cover")
        return (
            listed.join(free, on="symbol", how="left")
            .join(short, on="symbol", how="left")
            .select(*UNIVERSE)
            .match_to_schema(UNIVERSE)
        )

    def _asked(self, ask: Callable[[Sequence[str]], Fetched], symbols: Sequence[str], *columns: str) -> pl.DataFrame:
        """What the vendor knows of `symbols`; nothing where it is not wanted or the plan does not include it."""
        unknown = REFERENCE.to_frame().select("symbol", *columns)
        if not self.params.reference_data or not symbols:
            return unknown
        try:
            return ask(symbols).frame.select(unknown.columns).unique("symbol")
        except NotEntitled as error:
            self.log(f"{' and '.join(columns)} count as unknown: {error}")
            return unknown


def _judged(listed: pl.DataFrame) -> pl.DataFrame:
    """`listed` without repeats, with `active` and the `reason` where a symbol cannot be followed."""
    usable = symbol_is_safe(pl.col("symbol"))
    judged = listed.unique("symbol", maintain_order=True).with_columns(
        active=usable, reason=pl.when(~usable).then(pl.lit("cannot name a folder on every system"))
    )
    folded = pl.col("symbol").str.to_lowercase()
    clashes = judged.filter("active").filter(folded.is_duplicated())["symbol"].sort().to_list()
    if clashes:
        raise InputError(
            f"symbols {', '.join(clashes)} differ only in case: folders of some systems cannot tell them apart. "
            "Name the ones to follow in universe.symbols."
        )
    return judged
