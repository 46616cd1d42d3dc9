"""Details of single symbols, one request each: stored in the lake and requested again when too old."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from threading import Event, Lock
from typing import Any, Final
from zlib import crc32

import polars as pl

from smallcaps_assets.domain.words import count_noun, estimate_duration
from smallcaps_assets.errors import (
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    NotFound,
    UnexpectedError,
    VendorUnavailable,
)
from smallcaps_assets.lake.universe import STORED_DETAILS, UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.pages import Download
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.progress import Progress
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors

# Answers published together: at most so many are requested again after a kill.
BATCH: Final = 25
# Failed symbols that are tolerated whatever their share.
FEW: Final = 5
_TENTH: Final = 10


@dataclass
class Unanswered:
    """Symbols without a usable answer: a few are treated as unknown, many are an error."""

    requested: int
    what: str = "type and market cap are unchanged or unknown, and are"
    symbols: list[str] = field(default_factory=list)
    _unavailable: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, symbol: str, error: MarketDataError | UnexpectedError) -> str:
        """Record a failed symbol, from any thread, and return a log line; raises `error` where too many failed."""
        with self._lock:
            self.symbols.append(symbol)
            self._unavailable += isinstance(error, VendorUnavailable)
            if self._unavailable > FEW or len(self.symbols) > max(FEW, self.requested // _TENTH):
                raise error
        return f"{symbol}: {self.what} requested again next time: {error}"


@dataclass(frozen=True)
class TickerDetails:
    """Requests missing and outdated details and stores them."""

    store: UniverseStore
    client: MarketDataClient
    source: str
    max_age: timedelta
    threads: int
    log: Callable[[str], None]
    unanswered: Callable[[str], None]  # receives what must be requested again
    unexpected: Callable[[UnexpectedError], None]  # receives errors that nobody foresaw

    def of(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """Details (STORED_DETAILS) of the symbols in `wanted`, each as of about the `day` beside it.

        Requests what is missing or too old, and publishes the answers in batches, so that an interrupted run resumes
        where it stopped. A symbol unknown to the vendor has a row of nulls. Where the answers of a few symbols are
        unusable, these keep their stored details and are requested again next time.

        Raises:
            MarketDataError: the key is unknown, or too many symbols failed; earlier answers are kept.
        """
        off = (pl.col("day") - pl.col("asked_for")).abs()
        with_age = wanted.with_columns(lasts=self._max_ages(wanted["symbol"]))
        outdated = with_age.join(self.store.details(), on="symbol", how="left").filter(
            (off <= pl.col("lasts")).fill_null(value=False).not_()
        )
        try:
            self._request(outdated.select("symbol", "day").sort("symbol"))
        except NotEntitled as error:
            self.log(f"types and market caps of {count_noun(outdated.height, 'symbol')} count as unknown: {error}")
            self.unanswered("types and market caps")
        return self.store.details().join(wanted, on="symbol", how="semi")

    def _max_ages(self, symbols: pl.Series) -> pl.Series:
        """How long each answer is valid: half to all of `max_age`, so that not all expire on one day."""
        days = self.max_age.days
        return pl.Series([timedelta(days=days - crc32(one.encode()) % (days // 2 + 1)) for one in symbols])

    def _request(self, outdated: pl.DataFrame) -> None:
        if outdated.is_empty():
            return
        self.log(self._announcement(outdated.height))
        stop = Event()
        client = self.client.until(stop)
        progress = Progress(outdated.height, "ticker details", self.log, self.client)
        answered: list[dict[str, Any]] = []
        answers = 0

        failed = Unanswered(outdated.height)

        request = partial(self._ask, client, failed, UnexpectedErrors(self.store.lake, "ticker details", client.clean))

        def width() -> int:
            # One request finds out whether the plan includes this data.
            return self.threads if answers else 1

        try:
            for answer, spent in in_threads(
                request, outdated.rows(), self.threads, width=width, tick=progress.tick, stop=stop
            ):
                if isinstance(answer, str):
                    self.log(answer)
                else:
                    answers += 1
                    answered.append(answer)
                if len(answered) >= BATCH:
                    self._publish(answered)
                is_failed = isinstance(answer, str)
                progress.add(failed=is_failed, retries=spent.retries, throttled=spent.throttled)
        finally:
            self._publish(answered)
        for symbol in failed.symbols:
            self.unanswered(f"type and market cap of {symbol}")

    def _ask(
        self, client: MarketDataClient, failed: Unanswered, unexpected: UnexpectedErrors, one: tuple[str, date]
    ) -> tuple[dict[str, Any] | str, Download | MarketDataError | UnexpectedError]:
        """An answer or what is logged instead, and what counts its requests."""
        try:
            found = unexpected.attempt(one[0], partial(_answer, client, *one))
        except (NotAuthenticated, NotEntitled):
            raise
        except MarketDataError as error:
            return failed.add(one[0], error), error
        if isinstance(found, UnexpectedError):
            self.unexpected(found)
            return failed.add(one[0], found), found
        return found

    def _announcement(self, symbols: int) -> str:
        budget = self.client.requests_per_minute
        duration = f", in {estimate_duration(60 * symbols / budget)} at {budget:g} a minute" if budget else ""
        return f"requesting type and market cap of {count_noun(symbols, 'symbol')}, one request each{duration}"

    def _publish(self, answered: list[dict[str, Any]]) -> None:
        """Publish answers and clear the list."""
        if answered:
            rows = pl.DataFrame(
                [[row.get(name) for name in STORED_DETAILS] for row in answered], schema=STORED_DETAILS, orient="row"
            )
            answered.clear()
            self.store.add_details(rows, self.source)


def _answer(client: MarketDataClient, symbol: str, day: date) -> tuple[dict[str, Any], Download | MarketDataError]:
    asked: dict[str, Any] = {"asked_for": day}
    try:
        found = client.reference.ticker_details(symbol, day)
    except NotFound as error:
        return {"symbol": symbol} | asked, error
    return found.frame.row(0, named=True) | asked, found
