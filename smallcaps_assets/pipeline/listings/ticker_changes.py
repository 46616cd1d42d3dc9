"""Ask for ticker events of the renames that no share class FIGI proves, and say which of them are renames."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from threading import Event
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.inference import ListingSpan
from smallcaps_assets.domain.listings.renames import Rename, find_renames
from smallcaps_assets.domain.listings.ticker_events import (
    TICKER_EVENTS,
    TickerVerdicts,
    to_timelines,
    weigh_renames,
)
from smallcaps_assets.domain.words import count_clause, count_noun, estimate_duration
from smallcaps_assets.errors import MarketDataError, NotAuthenticated, NotEntitled, NotFound
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.listings.asking import most_failed
from smallcaps_assets.pipeline.progress import Progress

# What is said where the plan has no ticker events.
NOT_IN_PLAN: Final = "not in the plan"
# Answers published together: at most so many are asked for again after a kill.
_TOGETHER: Final = 100


class RenamesFound(NamedTuple):
    """The renames, and what ticker events say of those in doubt.

    Attributes:
        renames: the listings that follow each other.
        doubtful: possible renames that no share class FIGI proves.
        confirmed: those of them that ticker events show.
        denied: those that ticker events contradict, which are therefore no renames.
        state: why ticker events are not known, where the plan has none; None otherwise.
    """

    renames: list[Rename]
    doubtful: int = 0
    confirmed: int = 0
    denied: int = 0
    state: str | None = None

    @property
    def undecided(self) -> int:
        """Possible renames of which ticker events say nothing; they are judged by FIGI, or by CIK and type."""
        return self.doubtful - self.confirmed - self.denied


@dataclass(frozen=True, kw_only=True)
class TickerChanges:
    """Finds the renames among listings.

    Attributes:
        store: where answers are kept.
        client: client of the vendor.
        source: identity of the vendor, for the footers.
        threads: most requests in flight.
        log: receives messages.
        asks: whether ticker events are asked for; stored ones count in any case.
    """

    store: ListingStore
    client: MarketDataClient
    source: str
    threads: int
    log: Callable[[str], None]
    asks: bool

    def find(self, spans: Sequence[ListingSpan], sessions: Sequence[date], counting: Collection[str]) -> RenamesFound:
        """The renames, after asking for the missing ticker events of those in doubt.

        Args:
            spans: the listings, by symbol and time.
            sessions: the sessions that their numbers mean.
            counting: the tickers whose changes are asked for.

        Raises:
            MarketDataError: the key is unknown, or too many answers failed; earlier answers are kept.
        """
        state, verdicts = None, self._weigh(spans, sessions, counting)
        if self.asks and verdicts.missing:
            state = self._ask(verdicts.missing, sessions[-1])
            verdicts = self._weigh(spans, sessions, counting)
        renames = find_renames(spans, verdicts.confirmed, verdicts.denied)
        counts = (len(verdicts.doubtful), len(verdicts.confirmed), len(verdicts.denied))
        return RenamesFound(renames, *counts, state)

    def _weigh(
        self, spans: Sequence[ListingSpan], sessions: Sequence[date], counting: Collection[str]
    ) -> TickerVerdicts:
        return weigh_renames(spans, sessions, to_timelines(self.store.ticker_events()), counting)

    def _ask(self, identifiers: Sequence[str], today: date) -> str | None:
        """Ask for the events of securities; returns why not, where the plan has none."""
        self.log(describe_ticker_events(len(identifiers), self.client.requests_per_minute))
        stop = Event()
        client = self.client.until(stop)
        progress = Progress(len(identifiers), "ticker events", self.log, self.client)
        answers: list[pl.DataFrame] = []
        answered = failed = 0

        def ask(identifier: str) -> tuple[str, pl.DataFrame | MarketDataError]:
            try:
                return identifier, ask_ticker_events(client, identifier, today)
            except (NotAuthenticated, NotEntitled):
                raise
            except MarketDataError as error:
                return identifier, error

        def width() -> int:
            # one request finds out whether the plan includes this data
            return self.threads if answered else 1

        try:
            for identifier, answer in in_threads(ask, identifiers, self.threads, width=width, stop=stop):
                if isinstance(answer, MarketDataError):
                    failed += 1
                    if failed > most_failed(len(identifiers)):
                        raise answer
                    self.log(f"ticker events of {identifier}: unknown, and asked for again next time: {answer}")
                else:
                    answered += 1
                    answers.append(answer)
                if len(answers) >= _TOGETHER:
                    self._publish(answers)
                progress.add(failed=isinstance(answer, MarketDataError))
        except NotEntitled as error:
            self.log(f"ticker events count as unknown, and renames are inferred without them: {error}")
            return NOT_IN_PLAN
        finally:
            self._publish(answers)
        return None

    def _publish(self, answers: list[pl.DataFrame]) -> None:
        """Publish answers and clear the list."""
        if answers:
            self.store.add_ticker_events(pl.concat(answers), self.source)
            answers.clear()


def ask_ticker_events(client: MarketDataClient, identifier: str, today: date) -> pl.DataFrame:
    """The vendor's answer (TICKER_EVENTS) on one security; one row without a ticker where it does not know it.

    Raises:
        MarketDataError: the vendor did not deliver.
    """
    try:
        rows = client.reference.ticker_events(identifier).frame.with_columns(is_known=pl.lit(value=True))
    except NotFound:
        rows = pl.DataFrame({"is_known": [False]})
    asked = rows.with_columns(asked_for=pl.lit(identifier), asked_on=pl.lit(today))
    return asked.match_to_schema(TICKER_EVENTS, missing_columns="insert")


def describe_ticker_events(securities: int, requests_per_minute: float | None) -> str:
    """A sentence on the ticker events, before they are asked for; there is one at least."""
    minutes = ""
    if requests_per_minute is not None:
        minutes = f", in {estimate_duration(60 * securities / requests_per_minute)} at {requests_per_minute:g} a minute"
    return (
        f"asking for the ticker events of {count_clause(securities, 'security', 'securities')} whose change of ticker "
        f"no share class FIGI proves: {count_noun(securities, 'request')}{minutes}"
    )
