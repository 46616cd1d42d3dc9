"""Ask for the vendor's list of delisted tickers, and for the listings in it that no list of a session shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.delisted import (
    Delisting,
    confirm_ends,
    keep_settled,
    session_to_ask,
    spans_by_symbol,
    to_delisted,
    to_delistings,
)
from smallcaps_assets.domain.listings.inference import ListingSpan
from smallcaps_assets.domain.listings.states import Evidence
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import NotEntitled
from smallcaps_assets.lake.listings import ASKED_ON, DOUBTFUL, FIRST, LIST_ROWS, SINCE, THROUGH, ListingStore
from smallcaps_assets.pipeline.listings.asking import ListingRequests
from smallcaps_assets.pipeline.listings.costs import delisted_costs, describe_delisted, describe_hints
from smallcaps_assets.pipeline.listings.counted import CountedTickers
from smallcaps_assets.pipeline.listings.ticker_changes import NOT_IN_PLAN


class DelistedFound(NamedTuple):
    """What the vendor's list of delisted tickers says of listings.

    Attributes:
        known: its rows of tickers that count, delisted within the time of the lists.
        confirmed: those of them with a listing of the security that ends then.
        unconfirmed: the others, each with ticker and day: what the vendor lists on the sessions beside that day does
            not show that the security ended.
        state: why the list is not known, where the plan has none; None otherwise.
        since: the first day of the delistings in it; None where it is not known.
        doubtful: the tickers of delistings that no listing confirms, of any type.
    """

    known: int = 0
    confirmed: int = 0
    unconfirmed: tuple[str, ...] = ()
    state: str | None = None
    since: str | None = None
    doubtful: tuple[str, ...] = ()

    def inputs(self) -> dict[str, Any]:
        """What is said of it in the footer of the listings."""
        return {} if self.since is None else {SINCE: self.since, DOUBTFUL: list(self.doubtful)}


class _Judged(NamedTuple):
    """The delistings that count, and what is known of each."""

    rows: pl.DataFrame  # DELISTED
    confirmed: list[bool]
    to_ask: list[int | None]  # the number of the session to ask for; None where nothing is left


@dataclass(frozen=True, kw_only=True)
class DelistedTickers:
    """Finds the listings that begin and end between two lists.

    Attributes:
        requests: what asks the vendor, and the store.
        counted: the tickers that count.
    """

    requests: ListingRequests
    counted: CountedTickers

    @property
    def store(self) -> ListingStore:
        """The listings."""
        return self.requests.store

    def update(self, sessions: Sequence[date]) -> str | None:
        """Ask for the list where it is missing or may lack something; returns why not, where the plan has none.

        See `delisted_costs` for when that is. Rows on which nothing is left to ask stay so.
        """
        requests = self.requests
        pages = delisted_costs(self.store, sessions)
        if not pages:
            return None
        requests.log(describe_delisted(pages, requests.client.requests_per_minute))
        try:
            found = requests.client.reference.tickers(market="stocks", active="false")
        except NotEntitled as error:
            requests.log(f"listings that begin and end between two lists are not known: {error}")
            return NOT_IN_PLAN
        for row in found.bad_rows:
            requests.unclear.append(f"{row.symbol} in the list of delisted tickers: {row.reason}")
            requests.log(f"a row of the list of delisted tickers is left out: {row.symbol}: {row.reason}")
        dated = found.frame.filter(~pl.col("active"))
        undated = dated["delisted_utc"].null_count()
        if undated:
            requests.log(f"{count_noun(undated, 'delisted ticker')} without a day of delisting: left out")
        rows = keep_settled(to_delisted(dated, sessions[0]), self.store.delisted())
        # the list answers for what the lists of sessions miss once its rows have been asked about, see `settle`
        asked_on = {FIRST: f"{sessions[0]}", ASKED_ON: f"{sessions[-1]}", LIST_ROWS: dated.height}
        self.store.replace_delisted(rows, {"source": requests.source, **asked_on})
        return None

    def ask(self, evidence: Evidence, listings: Sequence[ListingSpan], asked: set[tuple[str, date]]) -> bool:
        """Ask for the tickers of delistings that no listing confirms, one session each; whether there were any.

        Args:
            evidence: all that is stored.
            listings: the listings that it gives.
            asked: tickers and sessions that were asked for in this run; what is asked for is added.
        """
        judged = self._judge(evidence, listings)
        hints = zip(judged.rows["symbol"], judged.to_ask, strict=True)
        days = ((symbol, evidence.sessions[at]) for symbol, at in hints if at is not None)
        singles = [one for one in dict.fromkeys(days) if one not in asked]
        if singles:
            self.requests.log(describe_hints(len(singles), self.requests.client.requests_per_minute))
            asked.update(singles)
            self.requests.observe_tickers(singles)
        return bool(singles)

    def settle(self, evidence: Evidence, listings: Sequence[ListingSpan], state: str | None) -> DelistedFound:
        """What the list says in the end; of rows on which nothing is left to ask nothing is asked again.

        Args:
            evidence: all that is stored.
            listings: the listings that it gives.
            state: what `update` returned.
        """
        known = self.store.delisted_inputs()
        if known is None:
            return DelistedFound(state=state)
        judged = self._judge(evidence, listings)
        done = [ok or at is None for ok, at in zip(judged.confirmed, judged.to_ask, strict=True)]
        settled = judged.rows.with_columns(is_settled=pl.Series(done, dtype=pl.Boolean))
        through = {THROUGH: f"{evidence.sessions[-1]}"} if state is None else {}
        self.store.replace_delisted(keep_settled(self.store.delisted(), settled), known | through)
        pairs = zip(judged.rows.select("symbol", "delisted").iter_rows(), judged.confirmed, strict=True)
        unconfirmed = tuple(f"{symbol} on {day}" for (symbol, day), is_known in pairs if not is_known)
        found = DelistedFound(judged.rows.height, sum(judged.confirmed), unconfirmed, state)
        if state is not None:
            return found
        listed, every = spans_by_symbol(listings), to_delistings(self._inside(evidence), evidence.sessions)
        is_known = confirm_ends(every, listed)
        doubtful = sorted({one.symbol for one, known in zip(every, is_known, strict=True) if not known})
        return found._replace(since=known[FIRST], doubtful=tuple(doubtful))

    def _inside(self, evidence: Evidence) -> pl.DataFrame:
        """The delistings (DELISTED) within the time of the lists."""
        first, last = evidence.sessions[0], evidence.sessions[-1]
        return self.store.delisted().filter(pl.col("delisted").is_between(first, last, closed="right"))

    def _judge(self, evidence: Evidence, listings: Sequence[ListingSpan]) -> _Judged:
        """The delistings within the time of the lists, of the tickers that count."""
        sessions = evidence.sessions
        rows = self.counted.of_rows(self._inside(evidence), evidence.sightings)
        listed, delistings = spans_by_symbol(listings), to_delistings(rows, sessions)
        answered = _answered(evidence, delistings)
        confirmed = confirm_ends(delistings, listed)
        to_ask = [
            None if ok or is_settled else session_to_ask(one, listed, answered, len(sessions))
            for one, ok, is_settled in zip(delistings, confirmed, rows["is_settled"], strict=True)
        ]
        return _Judged(rows, confirmed, to_ask)


def _answered(evidence: Evidence, delistings: Sequence[Delisting]) -> set[tuple[str, int]]:
    """The tickers of delistings and the numbers of the sessions of which a list or an answer is known."""
    numbers = {day: number for number, day in enumerate(evidence.sessions)}
    symbols = {one.symbol for one in delistings}
    singles = evidence.observations.filter(pl.col("symbol").is_in(symbols)).select("symbol", "day").iter_rows()
    lists = {(symbol, numbers[day]) for symbol in symbols for day in evidence.days}
    return lists | {(symbol, numbers[day]) for symbol, day in singles if day in numbers}
