"""What listings cost: the requests for lists and for borders, stated before any is sent."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from smallcaps_assets.domain.listings.inference import Question
from smallcaps_assets.domain.listings.requests import days_of_lists, list_pages, most_requests
from smallcaps_assets.domain.words import count_noun, estimate_duration
from smallcaps_assets.lake.listings import ListingStore

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


def _duration(requests: int, requests_per_minute: float | None) -> str:
    if requests_per_minute is None:
        return ""
    return f", in {estimate_duration(60 * requests / requests_per_minute)} at {requests_per_minute:g} a minute"
