"""Matched controls (research specification, section 7), event by event and day by day."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from math import floor
from typing import Any

from smallcaps_assets_tests.slow_spec.bars import EASTERN, Row, eastern, session_of, xnys
from smallcaps_assets_tests.slow_spec.events import event_id

Split = tuple[str, date]
Moment = tuple[str, datetime]
_FULL_RTH = timedelta(hours=6.5)


def controls(
    manifest: Sequence[Row],
    complete: Collection[str],
    master: Sequence[Moment],
    splits: Sequence[Split],
    bars: Sequence[Moment],
    *,
    share: float = 0.25,
    max_per_symbol: int = 3,
) -> list[Row]:
    """The rows of the control manifest."""
    chosen = list[Row]()
    taken = Counter[str]()
    limit = floor(share * len(manifest) + 1e-9)
    for event in sorted(manifest, key=lambda row: row["rank"]):
        if len(chosen) >= limit:
            break
        if event["event_id"] not in complete or taken[event["symbol"]] >= max_per_symbol:
            continue
        days = passing_days(event, master, splits, bars)
        if not days:
            continue
        first = min(days, key=lambda day: hashlib.sha1(f"{event['event_id']}|{day}".encode()).hexdigest())  # noqa: S324
        taken[event["symbol"]] += 1
        chosen.append(_row(event, days[first], first))
    return chosen


def passing_days(
    event: Row, master: Sequence[Moment], splits: Sequence[Split], bars: Sequence[Moment]
) -> Mapping[date, datetime]:
    """The days that can hold the control of an event, and the minute on each."""
    local = event["timestamp"].astimezone(EASTERN)
    calendar = xnys(local.date() - timedelta(days=70), local.date())
    earlier = sorted(day for day in calendar if day < local.date())[-20:]
    others = [at for symbol, at in master if symbol == event["symbol"]]
    own = [at for symbol, at in bars if symbol == event["symbol"]]
    found = {}
    for day in earlier:
        then = eastern(day, local.time())
        start = then - timedelta(minutes=event["window_before_min"])
        end = then + timedelta(minutes=event["window_after_min"])
        inside = [at for at in own if start <= at < end]
        if (
            session_of(then, day, calendar) == event["session"]
            and _is_early(calendar[day]) == _is_early(calendar[local.date()])
            and not any(then - timedelta(minutes=30) <= at < then + timedelta(minutes=30) for at in others)
            and not any(symbol == event["symbol"] and day < on <= local.date() for symbol, on in splits)
            and len(inside) >= 3
        ):
            found[day] = then
    return found


def _is_early(hours: tuple[datetime, datetime]) -> bool:
    return hours[1] - hours[0] < _FULL_RTH


def _row(event: Row, then: datetime, day: date) -> dict[str, Any]:
    copied = ("symbol", "session", "direction", "window_before_min", "window_after_min", "extended", "rank")
    return {
        **{name: event[name] for name in copied},
        "control_id": event_id(event["symbol"], "control", then),
        "event_type": "control",
        "timestamp": then.astimezone(UTC),
        "date": f"{day}",
        "control_of": event["event_id"],
    }
