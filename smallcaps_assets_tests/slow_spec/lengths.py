"""Bars of another length than a minute (section 1), session by session, in whole numbers."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EASTERN = ZoneInfo("America/New_York")
MINUTE_US = 60_000_000


class Session(NamedTuple):
    """The bars of a symbol on an ET date, in one file; None where they come from no file."""

    file: str | None
    symbol: str
    day: date


def other_lengths(rows: Iterable[tuple[str | None, str, datetime]]) -> dict[Session, int]:
    """The length in seconds of each session that is of another length; `rows` are file, symbol and timestamp."""
    moments: dict[Session, list[int]] = defaultdict(list)
    for file, symbol, moment in rows:
        at = (moment - EPOCH).days * 86_400_000_000 + (moment - EPOCH).seconds * 1_000_000
        at += (moment - EPOCH).microseconds
        moments[Session(file, symbol, moment.astimezone(EASTERN).date())].append(at)
    return _longer(moments) | _shorter(moments)


def _groups(sessions: Iterable[Session]) -> list[list[Session]]:
    """The sessions of each symbol, of each file, and of each symbol in a file."""
    groups: dict[Any, list[Session]] = defaultdict(list)
    for session in sessions:
        groups["symbol", session.symbol].append(session)
        if session.file is not None:
            groups["file", session.file].append(session)
            groups[session.file, session.symbol].append(session)
    return list(groups.values())


def _longer(moments: Mapping[Session, list[int]]) -> dict[Session, int]:
    minutes = {
        session: sorted({at // MINUTE_US for at in ats if at % MINUTE_US == 0}) for session, ats in moments.items()
    }
    minutes = {session: some for session, some in minutes.items() if some}
    gaps = {session: [b - a for a, b in pairwise(some)] for session, some in minutes.items()}
    found: dict[Session, int] = {}

    def judge(sessions: list[Session], multiple: dict[Session, int]) -> None:
        if sum(len(minutes[session]) for session in sessions) >= 20:
            for session in sessions:
                found[session] = min(found.get(session, math.inf), 60 * multiple[session])  # type: ignore[assignment]

    for group in _groups(minutes):
        alone = {session: math.gcd(*gaps[session]) for session in group if _is_improbable(gaps[session])}
        judge(list(alone), alone)
        together = [gap for session in group for gap in gaps[session]]
        if _is_improbable(together):
            judge(group, dict.fromkeys(group, math.gcd(*together)))
        if len({session.symbol for session in group}) == 1 and _are_days(group, minutes):
            judge(group, dict.fromkeys(group, 1440))
    return found


def _are_days(group: list[Session], minutes: Mapping[Session, list[int]]) -> bool:
    """Whether a symbol has one bar a session in 20 or more, 9 of 10 at the same time in New York, or in UTC."""
    stamps = [EPOCH + timedelta(minutes=minute) for session in group for minute in minutes[session]]
    return (
        all(len(minutes[session]) == 1 for session in group)
        and len({session.day for session in group}) >= 20
        and any(
            10 * max(Counter(stamp.astimezone(zone).time() for stamp in stamps).values()) >= 9 * len(stamps)
            for zone in (EASTERN, UTC)
        )
    )


def _is_improbable(gaps: list[int]) -> bool:
    """Whether n random gaps would hardly all be multiples of some k: k to the minus n, at most that of 19 even gaps."""
    multiple = math.gcd(*gaps)
    return multiple >= 2 and multiple ** len(gaps) >= 2**19


def _shorter(moments: Mapping[Session, list[int]]) -> dict[Session, int]:
    mostly_off = [session for session, ats in moments.items() if 2 * sum(at % MINUTE_US != 0 for at in ats) > len(ats)]
    found: dict[Session, int] = {}
    for group in _groups(mostly_off):
        ats = [at for session in group for at in moments[session]]
        seconds = sorted({at % MINUTE_US for at in ats} - {0})
        if len(ats) >= 20 and len(seconds) > 1:
            step = math.gcd(*(b - a for a, b in zip(seconds, [*seconds[1:], MINUTE_US], strict=True)))
            length = step // 1_000_000 if step % 1_000_000 == 0 else 0
            for session in group:
                found[session] = min(found.get(session, length), length)
    return found
