"""What listings and the shares outstanding of events cost, before it is paid for: from what the lake has."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from smallcaps_assets.commands.console import Line
from smallcaps_assets.domain.listings.inference import Question
from smallcaps_assets.domain.listings.requests import most_requests
from smallcaps_assets.domain.words import count_clause, count_noun, estimate_duration
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.listings.costs import ListCosts, delisted_costs, list_costs
from smallcaps_assets.pipeline.listings.counted import counted_tickers
from smallcaps_assets.pipeline.universe.share_costs import ShareCosts, share_costs
from smallcaps_assets.settings.settings import Settings

_USUAL_BORDERS: Final = 200
_BORDERS: Final = (
    "; then some 200 for the sessions of the changes of each month, about {:,} in all, stated before they are sent"
)
_DECISIVE: Final = "; then one for each date of events on which a number that changed within its quarter decides"


class ListingCosts(NamedTuple):
    """The requests that `listings` and `event_listings` would send.

    Attributes:
        lists: the missing lists of tickers.
        is_made: whether the lake has listings.
        delisted: requests for the list of delisted tickers.
        borders: changes between stored lists whose session is asked for.
        shares: shares outstanding; None where no events are known yet.
    """

    lists: ListCosts
    is_made: bool
    delisted: int
    borders: Sequence[Question]
    shares: ShareCosts | None

    def as_json(self) -> dict[str, Any]:
        """For JSON: figures of the lists, and requests for borders and shares outstanding."""
        return {
            **self.lists.as_json(),
            "requests_for_delisted": self.delisted,
            "requests_for_borders_at_most": most_requests(self.borders, self.lists.pages),
            "requests_for_shares": None if self.shares is None else self.shares.requests,
        }

    def describe_lists(self, settings: Settings) -> str | None:
        """What the missing lists of tickers cost; None if none is missing."""
        if not self.lists.days:
            return None
        exact = settings.universe.listing_borders == "exact"
        then = _BORDERS.format(_USUAL_BORDERS * len(self.lists.days)) if exact and not self.is_made else ""
        lists = count_clause(len(self.lists.days), "list of tickers is", "lists of tickers are")
        return f"{lists} missing, about {_requests(self.lists.requests, settings)}{then}"

    def describe_delisted(self, settings: Settings) -> str | None:
        """What the list of delisted tickers costs; None if it is not asked for."""
        if not self.delisted:
            return None
        requests = _requests(self.delisted, settings)
        return f"the list of delisted tickers is missing or not up to date, about {requests}"

    def describe_borders(self, settings: Settings) -> str | None:
        """What asking for the sessions of changes between stored lists costs at most; None without such changes."""
        if not self.borders:
            return None
        changed = count_noun(len({question.symbol for question in self.borders}), "ticker")
        most = _requests(most_requests(self.borders, self.lists.pages), settings)
        return f"{changed} changed between two lists on an unknown session, at most {most}"

    def describe_shares(self, settings: Settings) -> str | None:
        """What `event_listings` costs, where the market cap of events has a limit; None if nothing."""
        if self.shares is None:
            return "unknown until events are detected: one to two requests per symbol and quarter with events"
        if not self.shares.requests:
            return None
        bound, later = ("at most ", "") if self.shares.is_bound else ("", _DECISIVE)
        return f"event_listings sends {bound}{_requests(self.shares.requests, settings)} for shares outstanding{later}"


def listing_costs(lake: Lake, settings: Settings) -> ListingCosts:
    """What is missing of listings and shares outstanding; sends no request.

    Raises:
        LakeError: a table is damaged or cannot be read.
        InputError: the file of symbols cannot be used.
    """
    store = ListingStore(lake)
    sessions = completed_sessions(settings.history, settings.sessions, datetime.now(UTC))
    lists = list_costs(store, sessions) if sessions else ListCosts([], 1)
    exact = settings.universe.listing_borders == "exact"
    delisted = delisted_costs(store, sessions) if exact and sessions else 0
    borders = counted_tickers(settings).open_questions(store) if exact else []
    return ListingCosts(lists, store.covers() is not None, delisted, borders, share_costs(lake, settings.universe))


class PlannedListings(NamedTuple):
    """What a plan of something else says of listings.

    Attributes:
        costs: None where neither the settings nor the lake have a use for listings, or they cannot be known.
        problem: why they cannot be known.
    """

    costs: ListingCosts | None
    problem: str | None

    @property
    def document(self) -> dict[str, Any]:
        """For JSON: `listings`, null where `costs` is None, and `listings_problem`, null where there is none."""
        return {"listings": self.costs and self.costs.as_json(), "listings_problem": self.problem}

    def lines(self, settings: Settings) -> Iterator[Line]:
        """The same as text: a line for each kind of request, or one that none is needed."""
        if self.problem is not None:
            yield Line(f"  listings: {self.problem}", "bad", hanging=4)
        if self.costs is None:
            return
        costs = self.costs
        kinds = (costs.describe_lists(settings), costs.describe_delisted(settings), costs.describe_borders(settings))
        lines = [f"listings: {words}" for words in kinds if words] or ["listings: no request"]
        shares = self.costs.describe_shares(settings) or "no request"
        for words in (*lines, f"shares outstanding: {shares}"):
            yield Line(f"  {words}", hanging=4)


def plan_listings(lake: Lake, settings: Settings) -> PlannedListings:
    """What the requests for listings add to a plan; a damaged table is a problem that leaves the plan as it is."""
    try:
        if not settings.universe.judges_events and ListingStore(lake).covers() is None:
            return PlannedListings(None, None)
        return PlannedListings(listing_costs(lake, settings), None)
    except (LakeError, InputError) as error:
        return PlannedListings(None, str(error))


def _requests(count: int, settings: Settings) -> str:
    """A number of requests, and how long they take."""
    limit = settings.source.requests_per_minute
    # the numbers are estimates or bounds, which is said before them
    duration = estimate_duration(60 * count / limit).removeprefix("about ") if limit else ""
    return f"{count_noun(count, 'request')}" + (f", {duration} at {limit:g} a minute" if limit else "")
