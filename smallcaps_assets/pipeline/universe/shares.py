"""Shares outstanding of symbols on days: one request each, stored in the lake, and never asked for again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from threading import Event
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.listings.as_of import SHARES
from smallcaps_assets.domain.listings.lookup import is_of_another_security
from smallcaps_assets.domain.listings.tables import IDENTITIES
from smallcaps_assets.domain.words import count_noun, estimate_duration
from smallcaps_assets.errors import MarketDataError, NotAuthenticated, NotEntitled, NotFound, UnexpectedError
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.reference_wire import TICKER_DETAILS
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.progress import Progress
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors
from smallcaps_assets.pipeline.universe.ticker_details import Unanswered

# Answers published together: at most so many are requested again after a kill.
_BATCH: Final = 100
# SHARES, with the numbers by which the vendor identifies the security
_GIVEN: Final = pl.Schema({**SHARES, **{name: TICKER_DETAILS[name] for name in IDENTITIES if name != "name"}})
_SHOWN: Final = 5
_AGAIN: Final = "shares outstanding are unknown, and are"


@dataclass(frozen=True)
class SharesUpdate:
    """Asks for shares outstanding that are not stored.

    Attributes:
        store: where they are stored.
        client: of the vendor.
        source: identity of the vendor, for the footers.
        threads: most concurrent requests.
        log: receives messages.
        listings: those of the lake (LISTINGS). Where an answer is on another security than was listed on the day, its
            figures count as unknown.
        denied: what the plan does not include, after `run`.
        of_others: symbol and day of the answers on another security, after `run`.
    """

    store: EventListingStore
    client: MarketDataClient
    source: str
    threads: int
    log: Callable[[str], None]
    listings: pl.DataFrame | None = None
    denied: list[str] = field(default_factory=list, init=False)
    of_others: list[str] = field(default_factory=list, init=False)

    def run(self, wanted: pl.DataFrame) -> int:
        """Ask for the days (`symbol`, `asked_for`) that are not stored; returns how many stay without an answer.

        Answers are published in batches, so that an interrupted run resumes where it stopped. Where the plan does not
        include them, nothing is stored: they are unknown. A ticker that the vendor did not know on the day has no
        shares, which is stored.

        Raises:
            MarketDataError: the key is unknown, or too many symbols failed; earlier answers are kept.
        """
        missing = self.missing(wanted)
        if missing.is_empty():
            return 0
        self.log(describe_requests(missing.height, self.client.requests_per_minute))
        failed = Unanswered(missing.height, _AGAIN)
        try:
            self._request(missing.rows(), failed)
        except NotEntitled as error:
            self.log(f"shares outstanding count as unknown: {error}")
            self.denied.append(f"{error}")
        return self.missing(wanted).height

    def missing(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """The days (`symbol`, `asked_for`) among `wanted` that are not stored."""
        return wanted.join(self.store.shares(), on=["symbol", "asked_for"], how="anti").sort("symbol", "asked_for")

    def _request(self, days: Sequence[tuple[Any, ...]], failed: Unanswered) -> None:
        stop = Event()
        client = self.client.until(stop)
        progress = Progress(len(days), "shares outstanding", self.log, self.client)
        unexpected = UnexpectedErrors(self.store.lake, "shares outstanding", client.clean)
        answered, answers = list[dict[str, Any]](), 0

        def ask(day: tuple[str, date]) -> dict[str, Any] | str:
            try:
                found = unexpected.attempt(day[0], partial(_answer, client, *day))
            except (NotAuthenticated, NotEntitled):
                raise
            except MarketDataError as error:
                return failed.add(day[0], error)
            return failed.add(day[0], found) if isinstance(found, UnexpectedError) else found

        def width() -> int:
            # one request finds out whether the plan includes this data
            return self.threads if answers else 1

        try:
            for answer in in_threads(ask, days, self.threads, width=width, tick=progress.tick, stop=stop):
                if isinstance(answer, str):
                    self.log(answer)
                else:
                    answers += 1
                    answered.append(answer)
                if len(answered) >= _BATCH:
                    self._publish(answered)
                progress.add(failed=isinstance(answer, str))
        finally:
            self._publish(answered)

    def _publish(self, answered: list[dict[str, Any]]) -> None:
        """Publish answers and clear the list."""
        if answered:
            rows = pl.DataFrame(answered, schema=_GIVEN)
            self.store.add_shares(self._without_others(rows).select(*SHARES), self.source)
            answered.clear()

    def _without_others(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The answers (_GIVEN), without the figures of those on another security than was listed on the day."""
        if self.listings is None:
            return rows
        is_other = is_of_another_security(rows, self.listings, "asked_for")
        days = rows.filter(is_other).select("symbol", "asked_for").sort("symbol", "asked_for")
        others = [f"{symbol} on {day}" for symbol, day in days.rows()]
        if others:
            self.of_others.extend(others)
            more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
            self.log(
                "shares outstanding count as unknown, since the vendor's details are of another security than the one "
                f"that was listed: {', '.join(others[:_SHOWN])}{more}"
            )
        figures = [name for name in SHARES if name not in {"symbol", "asked_for"}]
        return rows.with_columns(pl.when(~is_other).then(name).alias(name) for name in figures)


def describe_requests(requests: int, per_minute: float | None) -> str:
    """What asking for shares outstanding costs, in words."""
    duration = f", in {estimate_duration(60 * requests / per_minute)} at {per_minute:g} a minute" if per_minute else ""
    return f"requesting shares outstanding, one request per symbol and day: {count_noun(requests, 'request')}{duration}"


def _answer(client: MarketDataClient, symbol: str, day: date) -> dict[str, Any]:
    """An answer (a row of _GIVEN); without any figure of a ticker that the vendor did not know on the day."""
    asked: dict[str, Any] = {"symbol": symbol, "asked_for": day}
    try:
        found = client.reference.ticker_details(symbol, day).frame.row(0, named=True)
    except NotFound:
        found = {}
    return {name: asked.get(name, found.get(name)) for name in _GIVEN}
