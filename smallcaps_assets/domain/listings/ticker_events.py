"""What the vendor's ticker events say of a rename: when a security took a ticker, and which one it had before.

They are asked for where no share class FIGI proves that two listings are of one security. The vendor's events are not
complete, so that an answer without an event at the time of the rename decides nothing.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.inference import MOST_ABSENT_SESSIONS, ListingSpan
from smallcaps_assets.domain.listings.renames import Rename, doubtful_renames

# One row per event, oldest first; of an answer without any, and of an unknown security, one row without a ticker.
TICKER_EVENTS: Final = pl.Schema(
    {
        "asked_for": pl.String(),
        "asked_on": pl.Date(),
        "is_known": pl.Boolean(),
        "composite_figi": pl.String(),
        "cik": pl.String(),
        "date": pl.Date(),
        "ticker": pl.String(),
    }
)
# The vendor may write an event only weeks after the rename: an earlier answer that decides nothing is not the last one.
FINAL_AFTER: Final = timedelta(days=30)


class Timeline(NamedTuple):
    """The vendor's answer on one security.

    Attributes:
        asked_on: the last session when it was asked for.
        composite_figi: the security's, or None.
        cik: the company's, or None.
        changes: since when it has which ticker, oldest first.
    """

    asked_on: date
    composite_figi: str | None
    cik: str | None
    changes: tuple[tuple[date, str], ...]


class TickerVerdicts(NamedTuple):
    """What ticker events say of the renames in doubt, by the numbers of their listings.

    Attributes:
        doubtful: the possible renames that no share class FIGI proves.
        confirmed: those that an event shows.
        denied: those that an event contradicts.
        missing: what is still to ask for, in order, each once.
    """

    doubtful: list[Rename]
    confirmed: frozenset[Rename]
    denied: frozenset[Rename]
    missing: list[str]


def to_timelines(rows: pl.DataFrame) -> dict[str, Timeline]:
    """The answers (TICKER_EVENTS) by what was asked for."""
    found: dict[str, Timeline] = {}
    for asked_for, asked_on, _, figi, cik, day, ticker in rows.select(*TICKER_EVENTS).iter_rows():
        before = found.get(asked_for, Timeline(asked_on, figi, cik, ()))
        change = () if day is None or ticker is None else ((day, ticker),)
        found[asked_for] = before._replace(changes=(*before.changes, *change))
    return {asked_for: line._replace(changes=tuple(sorted(set(line.changes)))) for asked_for, line in found.items()}


def weigh_renames(
    spans: Sequence[ListingSpan],
    sessions: Sequence[date],
    timelines: Mapping[str, Timeline],
    counting: Collection[str],
) -> TickerVerdicts:
    """What is known of the renames in doubt from ticker events.

    Args:
        spans: the listings, by symbol and time.
        sessions: the sessions that their numbers mean.
        timelines: the answers so far.
        counting: the tickers that are asked for; a rename in which neither takes part is not missing.
    """
    doubtful = doubtful_renames(spans)
    asked_for = {pair: _identifier(spans, pair) for pair in doubtful}
    verdicts = {
        pair: judge_rename(spans[pair.former], spans[pair.next], timelines[name], sessions)
        for pair, name in asked_for.items()
        if name in timelines
    }
    open_pairs = [
        pair
        for pair in doubtful
        if verdicts.get(pair) is None and any(spans[number].symbol in counting for number in pair)
    ]
    missing = {
        asked_for[pair]
        for pair in open_pairs
        if _is_to_ask(timelines.get(asked_for[pair]), sessions[spans[pair.next].first], sessions[-1])
    }
    return TickerVerdicts(
        doubtful,
        frozenset(pair for pair, verdict in verdicts.items() if verdict),
        frozenset(pair for pair, verdict in verdicts.items() if verdict is False),
        sorted(missing),
    )


def judge_rename(former: ListingSpan, later: ListingSpan, line: Timeline, sessions: Sequence[date]) -> bool | None:
    """Whether the security of `later` had the ticker of `former` before, by its events; None where they do not say.

    An event within MOST_ABSENT_SESSIONS sessions of the border gives the security the later ticker. It confirms the
    rename where the event before it has the former ticker, and denies it where that has another one. Where there is no
    earlier event, the security had no ticker before: that denies what rests on the company's number alone. An answer
    about another security, or with two tickers on one day, says nothing.
    """
    if not _is_about(line, former, later) or any(one[0] == two[0] for one, two in pairwise(line.changes)):
        return None
    near = range(
        min(former.last, later.first) - MOST_ABSENT_SESSIONS, max(former.last, later.first) + MOST_ABSENT_SESSIONS + 1
    )
    before: str | None = None
    for day, ticker in _without_repeats(line.changes):
        if ticker == later.symbol and sessions[0] <= day <= sessions[-1] and bisect_left(sessions, day) in near:
            if before is not None:
                return before == former.symbol
            return None if former.identity.composite_figi and later.identity.composite_figi else False
        before = ticker
    return None


def _without_repeats(changes: Iterable[tuple[date, str]]) -> Iterable[tuple[date, str]]:
    """The changes after which the ticker is another one; the first of several that repeat it counts."""
    last = None
    for day, ticker in changes:
        if ticker != last:
            yield day, ticker
        last = ticker


def _is_about(line: Timeline, former: ListingSpan, later: ListingSpan) -> bool:
    """Whether an answer may be about the security of two listings: its FIGI, or else its CIK, is no other one."""
    figi = later.identity.composite_figi or former.identity.composite_figi
    if figi is not None and line.composite_figi is not None:
        return figi == line.composite_figi
    cik = later.identity.cik or former.identity.cik
    return cik is None or line.cik is None or cik.lstrip("0") == line.cik.lstrip("0")


def _identifier(spans: Sequence[ListingSpan], pair: Rename) -> str:
    """What the events are asked for by: the FIGI, which is of one security for ever, or else the later ticker."""
    former, later = spans[pair.former], spans[pair.next]
    return later.identity.composite_figi or former.identity.composite_figi or later.symbol


def _is_to_ask(line: Timeline | None, renamed: date, today: date) -> bool:
    """Whether a rename that no answer decides is to be asked for: not yet, or too early and now late enough."""
    return line is None or line.asked_on < renamed + FINAL_AFTER <= today
