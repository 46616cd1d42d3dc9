"""The vendor's list of delisted tickers: where it names listings that the lists of two sessions cannot show.

A listing that begins and ends between two lists is in neither of them. The list of delisted tickers names it, with the
day of its delisting. That day is a hint, not a border: it may be the last session or the day after it, and the border
is known from what the vendor lists on the sessions beside it.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.identity import Identity, is_same_security
from smallcaps_assets.domain.listings.inference import MOST_ABSENT_SESSIONS, ListingSpan
from smallcaps_assets.domain.listings.tables import IDENTITIES, SNAPSHOT

_TEXTS: Final = [name for name in SNAPSHOT if name != "is_clear"]
_DAY_LENGTH: Final = 10
# One row per ticker, security and day of delisting. `is_settled` is true once nothing is left to ask about it.
DELISTED: Final = pl.Schema(
    {**{name: SNAPSHOT[name] for name in _TEXTS}, "delisted": pl.Date(), "is_settled": pl.Boolean()}
)
_KEY: Final = [name for name in DELISTED if name != "is_settled"]


class Delisting(NamedTuple):
    """A row of the vendor's list of delisted tickers.

    Attributes:
        symbol: the ticker.
        identity: what the vendor gives of the security.
        at: the number of the first session on the day of delisting or after it.
    """

    symbol: str
    identity: Identity
    at: int


def to_delisted(frame: pl.DataFrame, since: date) -> pl.DataFrame:
    """The rows (DELISTED) of the vendor's list that were delisted after a day, none of them settled.

    A row without a day of delisting says nothing and is left out.

    Args:
        frame: the columns of `ReferenceData.tickers`.
        since: the first session of the history.
    """
    days = pl.col("delisted_utc").str.slice(0, _DAY_LENGTH).str.to_date("%Y-%m-%d", strict=False)
    rows = frame.rename({"type": "ticker_type"}).with_columns(delisted=days, is_settled=pl.lit(value=False))
    return rows.filter(pl.col("delisted") > since).select(*DELISTED).unique().sort("symbol", "delisted", *_TEXTS[1:])


def keep_settled(rows: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """`rows` (DELISTED), of which those are settled that are settled in `before`."""
    settled = before.filter("is_settled").select(*_KEY, was_settled="is_settled")
    joined = rows.join(settled, on=_KEY, how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(is_settled=pl.col("was_settled").fill_null(value=False)).select(*DELISTED)


def to_delistings(rows: pl.DataFrame, sessions: Sequence[date]) -> list[Delisting]:
    """The rows (DELISTED) in their order, by number of session.

    Raises:
        ValueError: a day is not after the first and at most on the last of `sessions`.
    """
    found = []
    for symbol, delisted, *identity in rows.select("symbol", "delisted", *IDENTITIES).iter_rows():
        if not sessions[0] < delisted <= sessions[-1]:
            raise ValueError(f"{symbol}: {delisted} is not between {sessions[0]} and {sessions[-1]}")
        found.append(Delisting(symbol, Identity(*identity), bisect_left(sessions, delisted)))
    return found


def spans_by_symbol(listings: Sequence[ListingSpan]) -> dict[str, list[ListingSpan]]:
    """The listings of each ticker."""
    found: dict[str, list[ListingSpan]] = {}
    for span in listings:
        found.setdefault(span.symbol, []).append(span)
    return found


def confirm_ends(delistings: Sequence[Delisting], listings: Mapping[str, Sequence[ListingSpan]]) -> list[bool]:
    """Of each delisting whether a listing of the ticker and the security ends then.

    That is on the day of delisting or the session before; or at most MOST_ABSENT_SESSIONS sessions from it, if no other
    delisting is of that listing.

    Args:
        delistings: the delistings.
        listings: the listings of each ticker.
    """
    ends = [[span for span in _of_security(one, listings) if span.seen_after is not None] for one in delistings]
    exact = [_within(one, spans, 0) for one, spans in zip(delistings, ends, strict=True)]
    taken = {(span.symbol, span.first) for span in exact if span is not None}
    confirmed = [span is not None for span in exact]
    for number, (one, spans) in enumerate(zip(delistings, ends, strict=True)):
        if confirmed[number]:
            continue
        free = [span for span in spans if (span.symbol, span.first) not in taken]
        if (near := _within(one, free, MOST_ABSENT_SESSIONS)) is not None:
            taken.add((near.symbol, near.first))
            confirmed[number] = True
    return confirmed


def _within(one: Delisting, spans: Sequence[ListingSpan], sessions: int) -> ListingSpan | None:
    """The listing whose end is at most so many sessions from the delisting."""
    ended = ((span, span.last if span.seen_after is None else span.seen_after) for span in spans)
    return next((span for span, gone in ended if span.last - sessions <= one.at <= gone + sessions), None)


def session_to_ask(
    one: Delisting,
    listings: Mapping[str, Sequence[ListingSpan]],
    answered: Collection[tuple[str, int]],
    sessions: int,
) -> int | None:
    """The number of the session to ask for the ticker of an unconfirmed delisting; None if none is left.

    The session before the day of delisting is asked for first. Where the security was not listed then, the day itself,
    in case it was the last session. Where it was listed on either, the session after: it may have been absent between
    two lists that both have it.

    Args:
        one: the delisting.
        listings: the listings of each ticker.
        answered: tickers and numbers of sessions of which the vendor's answer is known.
        sessions: how many sessions there are.
    """

    def is_open(at: int) -> bool:
        return at < sessions and (one.symbol, at) not in answered

    spans = list(_of_security(one, listings))
    for at in (one.at - 1, one.at):
        if is_open(at):
            return at
        if any(span.first <= at <= span.last for span in spans):
            return one.at + 1 if is_open(one.at + 1) else None
    return None


def _of_security(one: Delisting, listings: Mapping[str, Sequence[ListingSpan]]) -> Sequence[ListingSpan]:
    return [
        span for span in listings.get(one.symbol, ()) if is_same_security(span.identity, one.identity, was_absent=True)
    ]
