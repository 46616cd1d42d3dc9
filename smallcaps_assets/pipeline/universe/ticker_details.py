"""What the vendor says of single symbols, one request each: asked once, kept in the lake, asked again when too old."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from threading import Event, Lock
from typing import Any, Final
from zlib import crc32

import polars as pl

from smallcaps_assets.errors import MarketDataError, NotAuthenticated, NotEntitled, NotFound, VendorUnavailable
from smallcaps_assets.lake.universe import STORED_DETAILS, UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.progress import Progress

# answers that are published together: at most so many are asked for again after a kill
BATCH: Final = 25
# symbols that may go unanswered whatever the share of them
FEW: Final = 5
_TENTH: Final = 10


@dataclass
class _Unanswered:
    """Symbols that got no usable answer: a few go on as unknown, many are an error."""

    due: int
    symbols: list[str] = field(default_factory=list)
    _unavailable: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, symbol: str, error: MarketDataError) -> str:
        """Note a symbol, from any thread, and tell what becomes of it; raises `error` where too many went before."""
        with self._lock:
            self.symbols.append(symbol)
            self._unavailable += isinstance(error, VendorUnavailable)
            if self._unavailable > FEW or len(self.symbols) > max(FEW, self.due // _TENTH):
                raise error
        return f"{symbol}: type and market cap stay as they were, or unknown, and are asked for next time: {error}"


@dataclass(frozen=True)
class TickerDetails:
    """Everything that asking for details takes."""

    store: UniverseStore
    client: MarketDataClient
    source: str
    max_age: timedelta
    threads: int
    log: Callable[[str], None]
    unanswered: Callable[[str], None]  # told what is to be asked for again

    def of(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """What is known (DETAILS) of the symbols in `wanted`, each on the `day` beside it, or not much off that day.

        Asks for what is missing or too old, and publishes the answers in batches, so that whoever is interrupted goes
        on where it stopped. A symbol that the vendor does not know has a row of nulls; one of the few whose answer
        cannot be used keeps what was known of it, and is due again.

        Raises:
            MarketDataError: the key is unknown, or the vendor did not give what was asked of many symbols; what came
            before is kept.
        """
        off = (pl.col("day") - pl.col("asked_for")).abs()
        aging = wanted.with_columns(lasts=self._lasts(wanted["symbol"]))
        due = aging.join(self.store.details(), on="symbol", how="left").filter(
            (off <= pl.col("lasts")).fill_null(value=False).not_()
        )
        try:
            self._ask(due.select("symbol", "day").sort("symbol"))
        except NotEntitled as error:
            self.log(f"types and market caps of {due.height:,} symbols count as unknown: {error}")
            self.unanswered("types and market caps")
        return self.store.details().join(wanted, on="symbol", how="semi")

    def _lasts(self, symbols: pl.Series) -> pl.Series:
        """How long an answer lasts, half to all of `max_age`: what came on one day is not due again on one day."""
        days = self.max_age.days
        return pl.Series([timedelta(days=days - crc32(one.encode()) % (days // 2 + 1)) for one in symbols])

    def _ask(self, due: pl.DataFrame) -> None:
        if due.is_empty():
            return
        self.log(self._announced(due.height))
        stop = Event()
        client = self.client.until(stop)
        progress = Progress(due.height, "ticker details", self.log, self.client)
        answered: list[dict[str, Any]] = []
        answers = 0

        failed = _Unanswered(due.height)

        def ask(one: tuple[str, date]) -> dict[str, Any] | str:
            try:
                return _answer(client, *one)
            except (NotAuthenticated, NotEntitled):
                raise
            except MarketDataError as error:
                return failed.add(one[0], error)

        def width() -> int:
            # a plan without this data costs one request
            return self.threads if answers else 1

        try:
            for answer in in_threads(ask, due.rows(), self.threads, width=width, tick=progress.tick, stop=stop):
                if isinstance(answer, str):
                    self.log(answer)
                else:
                    answers += 1
                    answered.append(answer)
                if len(answered) >= BATCH:
                    self._keep(answered)
                progress.add(failed=isinstance(answer, str))
        finally:
            self._keep(answered)
        for symbol in failed.symbols:
            self.unanswered(f"type and market cap of {symbol}")

    def _announced(self, symbols: int) -> str:
        budget = self.client.requests_per_minute
        takes = f", about {timedelta(minutes=round(symbols / budget))} at {budget:g} a minute" if budget else ""
        return f"asking for the type and market cap of {symbols:,} symbols, one request each{takes}"

    def _keep(self, answered: list[dict[str, Any]]) -> None:
        """Publish answers and forget them here."""
        if answered:
            rows = pl.DataFrame(
                [[row.get(name) for name in STORED_DETAILS] for row in answered], schema=STORED_DETAILS, orient="row"
            )
            answered.clear()
            self.store.add_details(rows, self.source)


def _answer(client: MarketDataClient, symbol: str, day: date) -> dict[str, Any]:
    try:
        known = client.reference.ticker_details(symbol, day).frame.row(0, named=True)
    except NotFound:
        known = {"symbol": symbol}
    return known | {"asked_for": day}
