"""Asking for less where an answer is bad, so that one bad part does not take the others along."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from smallcaps_assets.errors import BadPage

# Further requests for the parts of one bad answer: one bad session of a month takes 10, two take 18 at most.
MOST_FURTHER: Final = 24
# A whole, its halves and its quarters are bad: so are the rest.
HOPELESS: Final = 7

_P = TypeVar("_P")
_T = TypeVar("_T")


class Served(NamedTuple, Generic[_P, _T]):
    """Consecutive parts, such as sessions, and the answer to a request for them."""

    parts: list[_P]
    answer: _T


class Unserved(NamedTuple, Generic[_P]):
    """Consecutive parts whose answer is bad, and why."""

    parts: list[_P]
    error: BadPage


def narrow(
    parts: Sequence[_P], fetch: Callable[[list[_P]], _T], most: int = MOST_FURTHER
) -> Iterator[Served[_P, _T] | Unserved[_P]]:
    """Fetch parts together; where the answer is bad, ask for their halves, down to single parts.

    Larger groups come first. There are at most `most` further requests, and none once the first HOPELESS answers are
    bad. Every part is in one of the results.

    Raises:
        MarketDataError: of `fetch`, unless it is a BadPage.
    """
    groups, further, bad, is_served = deque([list(parts)]), most, 0, False
    while groups:
        group = groups.popleft()
        try:
            answer = fetch(group)
        except BadPage as error:
            bad += 1
            if bad >= HOPELESS and not is_served:
                left = {*group, *(part for other in groups for part in other)}
                yield Unserved([part for part in parts if part in left], error)
                return
            if len(group) == 1 or further < 2:  # noqa: PLR2004 -- two halves
                yield Unserved(group, error)
            else:
                further -= 2
                groups += [group[: len(group) // 2], group[len(group) // 2 :]]
        else:
            is_served = True
            yield Served(group, answer)
