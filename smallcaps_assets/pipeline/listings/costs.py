"""What listings cost: the requests for lists and for borders, stated before any is sent."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from smallcaps_assets.domain.listings.inference import Question
from smallcaps_assets.domain.listings.requests import days_of_lists, list_pages, most_requests
from smallcaps_assets.domain.words import count_clause, count_noun, estimate_duration
from smallcaps_assets.lake.listings import ASKED_ON, FIRST, LIST_ROWS, THROUGH, ListingStore

# Tickers in the vendor's list of delisted ones: an assumption until it is stored.
USUAL_DELISTED: Final = 25_000
# Tickers that the vendor lists on a day, as of 2025; once a list is stored its own number counts.
USUAL_TICKERS: Final = 12_000


class ListCosts(NamedTuple):
    """The lists of tickers that are missing, and what they cost.

    Attributes:
        days: the sessions of which the list is missing, in order.
        pages: the pages of one list, each a request.
    """

    days: list[date]
    pages: int

    @property
    def requests(self) -> int:
        """Requests for all of them."""
        return len(self.days) * self.pages

    def as_json(self) -> dict[str, Any]:
        """For a file or a table."""
        return {"lists_missing": len(self.days), "pages_per_list": self.pages, "requests_for_lists": self.requests}


def list_costs(store: ListingStore, sessions: Sequence[date]) -> ListCosts:
    """What the missing lists of the sessions of a history cost; reads only the lake."""
    stored = store.snapshot_days()
    rows = store.snapshot(stored[-1]).height if stored else USUAL_TICKERS
    missing = sorted({*days_of_lists(sessions)} - {*stored})
    return ListCosts(missing, list_pages(rows))


def describe_lists(costs: ListCosts, requests_per_minute: float | None) -> str:
    """A sentence on the missing lists, before they are asked for; there is one at least."""
    return (
        f"asking for {count_noun(len(costs.days), 'list')} of tickers, from {costs.days[0]} to {costs.days[-1]}: about "
        f"{count_noun(costs.requests, 'request')}{_duration(costs.requests, requests_per_minute)}"
    )


def describe_borders(questions: Collection[Question], pages: int, requests_per_minute: float | None) -> str:
    """A sentence on the questions, before they are asked; there is one at least."""
    most = most_requests(questions, pages)
    symbols = len({question.symbol for question in questions})
    return (
        f"asking on which sessions {count_noun(symbols, 'ticker')} changed between two lists: at most "
        f"{count_noun(most, 'request')}{_duration(most, requests_per_minute)}, if each changed once between them"
    )


def delisted_costs(store: ListingStore, sessions: Sequence[date]) -> int:
    """The requests for the list of delisted tickers; 0 where the stored one is enough. Reads only the lake.

    It is missing where it was not asked for in the month of the last session (the vendor adds tickers late), where it
    lacks earlier sessions, and where more than one session passed since nothing was left to ask: the lists of two
    sessions in a row show every change by themselves. A run that was interrupted after it had asked for the list leaves
    something to ask; until the next session, its list is as good as another.
    """
    known = store.delisted_inputs()
    if known is None:
        return list_pages(USUAL_DELISTED)
    first, asked_on = date.fromisoformat(known[FIRST]), date.fromisoformat(known[ASKED_ON])
    is_settled = THROUGH in known
    passed = sum(day > (date.fromisoformat(known[THROUGH]) if is_settled else asked_on) for day in sessions)
    is_later_month = (asked_on.year, asked_on.month) < (sessions[-1].year, sessions[-1].month)
    is_enough = first <= sessions[0] and passed <= int(is_settled) and not is_later_month
    return 0 if is_enough else list_pages(known[LIST_ROWS])


def describe_delisted(requests: int, requests_per_minute: float | None) -> str:
    """A sentence on the list of delisted tickers, before it is asked for."""
    return (
        "asking for the list of delisted tickers, which names listings that begin and end between two lists: about "
        f"{count_noun(requests, 'request')}{_duration(requests, requests_per_minute)}"
    )


def describe_hints(requests: int, requests_per_minute: float | None) -> str:
    """A sentence on the delistings that no listing confirms, before they are asked about; there is one at least."""
    return (
        f"asking about {count_clause(requests, 'delisted ticker', 'delisted tickers')} whose end no list shows: "
        f"{count_noun(requests, 'request')}{_duration(requests, requests_per_minute)}, then for the sessions of the "
        "changes that this shows"
    )


def _duration(requests: int, requests_per_minute: float | None) -> str:
    if requests_per_minute is None:
        return ""
    return f", in {estimate_duration(60 * requests / requests_per_minute)} at {requests_per_minute:g} a minute"
