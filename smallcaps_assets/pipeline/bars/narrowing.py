"""Asking for less where an answer is bad, so that a bad day does not take others along."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Final, Generic, NamedTuple, TypeVar

from smallcaps_assets.errors import BadPage

# Further requests for the parts of one bad answer: one bad session of a month takes 10, two take 18 at most.
MOST_FURTHER: Final = 24
# A whole, its halves and its quarters are bad: so are the rest.
HOPELESS: Final = 7

_T = TypeVar("_T")


class Served(NamedTuple, Generic[_T]):
    """Consecutive sessions, and the answer to a request for them."""

    sessions: list[date]
    answer: _T


class Unserved(NamedTuple):
    """Consecutive sessions whose answer is bad, and why."""

    sessions: list[date]
    error: BadPage


def narrow(
    sessions: Sequence[date], fetch: Callable[[list[date]], _T], most: int = MOST_FURTHER
) -> Iterator[Served[_T] | Unserved]:
    """Fetch sessions together; where the answer is bad, ask for their halves, down to single sessions.

    Larger parts come first. There are at most `most` further requests, and none once the first HOPELESS answers are
    bad. Every session is in one of the results.

    Raises:
        MarketDataError: of `fetch`, unless it is a BadPage.
    """
    parts, further, bad, is_served = deque([list(sessions)]), most, 0, False
    while parts:
        part = parts.popleft()
        try:
            result = fetch(part)
        except BadPage as error:
            bad += 1
            if bad >= HOPELESS and not is_served:
                yield Unserved(sorted([*part, *(day for other in parts for day in other)]), error)
                return
            if len(part) == 1 or further < 2:  # noqa: PLR2004 -- two halves
                yield Unserved(part, error)
            else:
                further -= 2
                parts += [part[: len(part) // 2], part[len(part) // 2 :]]
        else:
            is_served = True
            yield Served(part, result)
