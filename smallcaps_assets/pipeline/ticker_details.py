"""What the vendor says of single symbols, one request each: asked once, kept in the lake, asked again when too old."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from threading import Event
from typing import Any, Final

import polars as pl

from smallcaps_assets.errors import NotEntitled, NotFound
from smallcaps_assets.lake.universe import DETAILS, UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.in_flight import in_threads
from smallcaps_assets.pipeline.progress import Progress

# answers that are published together: at most so many are asked for again after a kill
BATCH: Final = 25


@dataclass(frozen=True)
class TickerDetails:
    """Everything that asking for details takes."""

    store: UniverseStore
    client: MarketDataClient
    source: str
    max_age: timedelta
    threads: int
    log: Callable[[str], None]

    def of(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """What is known (DETAILS) of the symbols in `wanted`, each on the `day` beside it, or not much off that day.

        Asks for what is missing or too old, and publishes the answers in batches, so that whoever is interrupted goes
        on where it stopped. A symbol that the vendor does not know has a row of nulls.

        Raises:
            MarketDataError: the vendor did not give what was asked; what came before is kept.
        """
        off = (pl.col("day") - pl.col("asked_for")).abs()
        due = wanted.join(self.store.details(), on="symbol", how="left").filter(
            (off <= self.max_age).fill_null(value=False).not_()
        )
        try:
            self._ask(due.select("symbol", "day").sort("symbol"))
        except NotEntitled as error:
            self.log(f"types and market caps of {due.height:,} symbols count as unknown: {error}")
        return self.store.details().join(wanted, on="symbol", how="semi")

    def _ask(self, due: pl.DataFrame) -> None:
        if due.is_empty():
            return
        self.log(self._announced(due.height))
        stop = Event()
        client = self.client.until(stop)
        progress = Progress(due.height, "ticker details", self.log, self.client)
        answered: list[dict[str, Any]] = []
        answers = 0

        def ask(one: tuple[str, date]) -> dict[str, Any]:
            symbol, day = one
            try:
                known = client.ticker_details(symbol, day).frame.row(0, named=True)
            except NotFound:
                known = {"symbol": symbol}
            return known | {"asked_for": day}

        def width() -> int:
            # a plan without this data costs one request
            return self.threads if answers else 1

        try:
            for answer in in_threads(ask, due.rows(), self.threads, width=width, tick=progress.tick, stop=stop):
                answers += 1
                answered.append(answer)
                if len(answered) >= BATCH:
                    self._keep(answered)
                progress.add()
        finally:
            self._keep(answered)

    def _announced(self, symbols: int) -> str:
        budget = self.client.requests_per_minute
        takes = f", about {timedelta(minutes=round(symbols / budget))} at {budget:g} a minute" if budget else ""
        return f"asking for the type and market cap of {symbols:,} symbols, one request each{takes}"

    def _keep(self, answered: list[dict[str, Any]]) -> None:
        """Publish answers and forget them here."""
        if answered:
            rows = pl.DataFrame([[row.get(name) for name in DETAILS] for row in answered], schema=DETAILS, orient="row")
            answered.clear()
            self.store.add_details(rows, self.source)
