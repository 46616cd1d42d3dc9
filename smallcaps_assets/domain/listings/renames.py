"""Which listings follow each other: one security that changes its ticker."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from smallcaps_assets.domain.listings.inference import MOST_ABSENT_SESSIONS, ListingSpan


class Rename(NamedTuple):
    """Two listings of one security, by their numbers."""

    former: int
    next: int


def find_renames(
    listings: Sequence[ListingSpan], confirmed: Collection[Rename] = (), denied: Collection[Rename] = ()
) -> list[Rename]:
    """The listings that follow each other under different tickers.

    One ends at most MOST_ABSENT_SESSIONS sessions before or after the other begins, and both have the same share class
    FIGI, or else the same composite FIGI. Without any, they have the same CIK and type, and are the only listings of
    that company that end and begin then.

    Args:
        listings: the listings, by symbol and time.
        confirmed: renames of `doubtful_renames` that are known to be true; they come before others.
        denied: those that are known to be false.
    """
    found = list(_nearest(_pairs(listings, _share_class, ()), listings))
    for key, is_unique in ((_composite, False), (_company, True)):
        found.extend(_nearest([pair for pair in _pairs(listings, key, found) if pair in confirmed], listings))
        pairs = [pair for pair in _pairs(listings, key, found) if pair not in denied]
        found.extend(_clear(pairs) if is_unique else _nearest(pairs, listings))
    return found


def doubtful_renames(listings: Sequence[ListingSpan]) -> list[Rename]:
    """The possible renames that no share class FIGI proves, in order.

    These are pairs of the same composite FIGI, or of the same CIK and type, of which neither has a rename by share
    class.
    """
    proved = list(_nearest(_pairs(listings, _share_class, ()), listings))
    pairs = {pair for key in (_composite, _company) for pair in _pairs(listings, key, proved)}
    return sorted(pairs)


def _pairs(
    listings: Sequence[ListingSpan], key: Callable[[ListingSpan], object], found: Collection[Rename]
) -> list[Rename]:
    """The listings with the same key that may follow each other, without those that a rename of `found` has."""
    ended, begun = {one.former for one in found}, {one.next for one in found}
    return [
        Rename(former, later)
        for group in _groups(listings, key)
        for former in group
        for later in group
        if former not in ended and later not in begun and _follows(listings[former], listings[later])
    ]


def _share_class(listing: ListingSpan) -> object:
    return listing.identity.share_class_figi


def _composite(listing: ListingSpan) -> object:
    return listing.identity.composite_figi


def _company(listing: ListingSpan) -> object:
    cik, ticker_type = listing.identity.cik, listing.facts[-1].ticker_type
    return None if cik is None or ticker_type is None else (cik, ticker_type)


def _groups(listings: Sequence[ListingSpan], key: Callable[[ListingSpan], object]) -> Iterable[list[int]]:
    """The numbers of the listings with the same key; those without one, and single ones, are in no group."""
    groups = defaultdict[object, list[int]](list)
    for number, listing in enumerate(listings):
        groups[key(listing)].append(number)
    return [group for value, group in groups.items() if value is not None and len(group) > 1]


def _follows(former: ListingSpan, later: ListingSpan) -> bool:
    """Whether a listing may go on under another ticker: nothing contradicts it, and it ends when the other begins."""
    if former.symbol == later.symbol or former.seen_after is None or later.seen_before is None:
        return False
    for mine, other in zip(former.identity[:2], later.identity[:2], strict=True):
        if mine is not None and other is not None and mine != other:
            return False
    # sessions on which neither of them was listed for certain
    apart = later.seen_before - former.seen_after + 1
    overlap = former.last - later.first + 1
    return former.first < later.first and max(apart, overlap) <= MOST_ABSENT_SESSIONS


def _nearest(pairs: Iterable[Rename], listings: Sequence[ListingSpan]) -> Iterator[Rename]:
    """The pairs that are closest to each other; each listing has one next and one former at most."""
    ended, begun = set[int](), set[int]()
    for pair in sorted(pairs, key=lambda one: abs(listings[one.next].first - listings[one.former].last - 1)):
        if pair.former not in ended and pair.next not in begun:
            ended.add(pair.former)
            begun.add(pair.next)
            yield pair


def _clear(pairs: Sequence[Rename]) -> Iterator[Rename]:
    """The pairs whose listings are in no other pair."""
    for pair in pairs:
        if sum(one.former == pair.former or one.next == pair.next for one in pairs) == 1:
            yield pair
