"""Bring the listings of a lake up to date: ask for missing lists, then for the sessions on which tickers changed."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from smallcaps_assets.domain.listings.inference import infer_listings
from smallcaps_assets.domain.listings.made import ListingTables, make_tables
from smallcaps_assets.domain.listings.requests import days_of_lists, list_pages, middle, plan_round
from smallcaps_assets.domain.listings.states import TickerHistory, decisive_observations, to_history
from smallcaps_assets.domain.symbols import ExchangeTestSymbols
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ANSWERS, DELISTED_ROWS, FIRST, LAST, LISTS, TICKER_EVENT_ROWS, ListingStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.listings.asking import ListingRequests
from smallcaps_assets.pipeline.listings.costs import describe_borders
from smallcaps_assets.pipeline.listings.counted import CountedTickers, counted_tickers, evidence_of, without
from smallcaps_assets.pipeline.listings.delisted_tickers import DelistedFound, DelistedTickers
from smallcaps_assets.pipeline.listings.ticker_changes import RenamesFound, TickerChanges
from smallcaps_assets.pipeline.source import source_identity
from smallcaps_assets.settings.settings import Settings


class ListingsMade(NamedTuple):
    """The listings, and what is to know about them.

    Attributes:
        tables: LISTINGS and LISTING_FACTS.
        lists: how many lists were asked for.
        open: changes whose session is not known, since they were not asked for or not answered.
        unserved: the newest session of which the plan has no list, or None; earlier ones are unknown.
        tests: test symbols of exchanges that are left out.
        unusable: tickers that cannot be followed, since they cannot name a folder.
        unclear: tickers of lists whose rows contradict each other or cannot be read, with the session and the reason.
        renames: what ticker events say of renames that no share class FIGI proves.
        delisted: what the list of delisted tickers says of the ends of listings.
    """

    tables: ListingTables
    lists: int
    open: int
    unserved: date | None
    tests: list[str]
    unusable: list[str]
    unclear: list[str]
    renames: RenamesFound
    delisted: DelistedFound


@dataclass(frozen=True, kw_only=True)
class ListingsUpdate:
    """Updates the listings of a lake from one vendor.

    Attributes:
        requests: what asks the vendor, and the store.
        tests: the test symbols of exchanges, which are left out.
        ticker_types: types of which the sessions of changes are asked for; None for all.
        named: tickers that count, of any type.
        only_named: whether no others count, as where a file or a list names the universe.
        is_exact: whether the sessions of changes are asked for; otherwise they are known to a month.
    """

    requests: ListingRequests
    tests: ExchangeTestSymbols
    ticker_types: Sequence[str] | None
    named: Collection[str]
    only_named: bool
    is_exact: bool

    @property
    def store(self) -> ListingStore:
        """The listings."""
        return self.requests.store

    @property
    def counted(self) -> CountedTickers:
        """The tickers whose changes count."""
        return CountedTickers(self.tests, self.ticker_types, self.named, self.only_named)

    def run(self, sessions: Sequence[date]) -> ListingsMade | None:
        """The listings as of the last one of `sessions`, stored; None where the plan has no list at all.

        Lists are kept of the first session of all and of every month, and of the last one. What is stored is not asked
        for again, so that a run that ends early is continued by the next one.

        Args:
            sessions: the completed sessions of the history, in order; there is one at least.

        Raises:
            InputError: the stored lists are of another source.
            MarketDataError: the vendor did not deliver; what it delivered before is kept.
        """
        requests = self.requests
        known = self.store.source()
        if known not in (None, requests.source):
            raise InputError(
                f"{self.store.lake.listing_snapshots}: has lists of tickers of another source, {known!r}, and the "
                f"settings name {requests.source!r}. Use a separate lake: lake.path in the settings."
            )
        asked, unserved = requests.lists(sessions)
        if not self.store.snapshot_days():
            return None
        lists = len(asked) + requests.short_lists_again(asked)
        ends, state = DelistedTickers(requests=requests, counted=self.counted), None
        if self.is_exact:
            state = ends.update(sessions)
            self._ask_borders(ends)
        evidence = evidence_of(self.store)
        history = to_history(evidence)
        tests, unusable = self.counted.left_out(history)
        inferred = infer_listings(without(history, [*tests, *unusable]))
        delisted = ends.settle(evidence, inferred.listings, state) if self.is_exact else DelistedFound()
        self._keep_what_decides(history)
        found = self._changes().find(inferred.listings, history.sessions, self.counted.counting(history))
        tables = make_tables(inferred.listings, history.sessions, self.store.table(), found.renames)
        provenance = {
            FIRST: f"{history.sessions[0]}",
            LAST: f"{history.sessions[-1]}",
            LISTS: [f"{day}" for day in self.store.snapshot_days()],
            ANSWERS: self.store.observations().height,
            TICKER_EVENT_ROWS: self.store.ticker_events().height,
            DELISTED_ROWS: self.store.delisted().height,
            "source": requests.source,
            **delisted.inputs(),
        }
        self.store.publish(tables.listings, tables.facts, provenance)
        still_open = len(inferred.questions)
        unclear = list(requests.unclear)
        return ListingsMade(tables, lists, still_open, unserved, tests, unusable, unclear, found, delisted)

    def _changes(self) -> TickerChanges:
        """What finds the renames; where changes are known to a month, no ticker events are asked for."""
        one = self.requests
        return TickerChanges(
            store=one.store, client=one.client, source=one.source, threads=one.threads, log=one.log, asks=self.is_exact
        )

    def _ask_borders(self, ends: DelistedTickers) -> None:
        """Ask for sessions between two observations that differ, until none is left that can be answered.

        Then for delisted tickers that no listing confirms, and again for what differs by their answers.
        """
        evidence, asked, is_first = evidence_of(self.store), set[tuple[str, date]](), True
        pages = list_pages(self.store.snapshot(evidence.days[-1]).height)
        sessions = evidence.sessions
        while True:
            history = to_history(evidence)
            left_out = [name for some in self.counted.left_out(history) for name in some]
            inferred = infer_listings(without(history, left_out))
            counting = self.counted.counting(history)
            questions = [
                question
                for question in inferred.questions
                if question.symbol in counting and (question.symbol, sessions[middle(question)]) not in asked
            ]
            if not questions:
                if not ends.ask(evidence, inferred.listings, asked):
                    return
                evidence, is_first = evidence._replace(observations=self.store.observations()), True
                continue
            if is_first:
                self.requests.log(describe_borders(questions, pages, self.requests.client.requests_per_minute))
            is_first = False
            planned = plan_round(questions, pages)
            days = [sessions[at] for at in planned.lists]
            singles = [(symbol, sessions[at]) for symbol, at in planned.singles]
            asked |= {(question.symbol, sessions[middle(question)]) for question in questions}
            self.requests.observe_lists(days, inferred.questions, sessions)
            self.requests.observe_tickers(singles)
            evidence = evidence._replace(observations=self.store.observations())

    def _keep_what_decides(self, history: TickerHistory) -> None:
        """Replace lists that are neither of the first session of a month nor the newest by what decides of them."""
        stored = self.store.snapshot_days()
        stay = set(days_of_lists(history.sessions))
        replaced = [day for day in stored if day not in stay]
        decisive = decisive_observations(history, [day for day in stored if day in stay])
        self.store.replace_observations(decisive, self.requests.source)
        for day in replaced:
            self.store.remove_snapshot(day)


def listings_update(
    lake: Lake, client: MarketDataClient, settings: Settings, log: Callable[[str], None]
) -> ListingsUpdate:
    """What updates the listings of a lake under its settings.

    Raises:
        InputError: the file of symbols cannot be used.
    """
    counted = counted_tickers(settings)
    requests = ListingRequests(
        store=ListingStore(lake),
        client=client,
        source=source_identity(settings.source),
        threads=settings.fetch_threads,
        log=log,
    )
    return ListingsUpdate(
        requests=requests,
        **counted._asdict(),
        is_exact=settings.universe.listing_borders == "exact",
    )
