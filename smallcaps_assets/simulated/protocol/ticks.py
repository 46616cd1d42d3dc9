"""Trades and quotes: time filters, order, and pages that never lose or repeat a row."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from smallcaps_assets.simulated.hours import NS_PER_SECOND, date_at_ns, midnight_ns, to_ns
from smallcaps_assets.simulated.protocol.wire import BAD_REQUEST, Refusal, ReplyPage, Request, parse_date
from smallcaps_assets.simulated.source import Market

_DEFAULT_LIMIT: Final = 1000
_MAX_LIMIT: Final = 50_000
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
# Rows without a number come first among those of one time.
_SEQUENCE: Final = pl.col("sequence_number").fill_null(-1)
_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")

Fetch = Callable[[str, int, int], pl.DataFrame]
Render = Callable[[pl.DataFrame], str]


@dataclass(frozen=True)
class _Place:
    """Position after the last row sent: its timestamp, its sequence number, and the number of sent rows with both."""

    at_ns: int
    sequence: int
    given: int


@dataclass(frozen=True)
class _Walk:
    """A range of rows to collect, its order, the position to start after, and the number wanted."""

    start_ns: int
    end_ns: int
    descending: bool
    place: _Place | None
    wanted: int


def ticks_page(request: Request, market: Market, symbol: str, fetch: Fetch, render: Render) -> ReplyPage:
    """A page of trades or quotes of a symbol; an unknown symbol has none. Newest first unless `order=asc`."""
    request.choice("sort", "timestamp")
    descending = request.choice("order", "desc", "asc") == "desc"
    limit = request.limit(_DEFAULT_LIMIT, _MAX_LIMIT)
    start, end = time_range(request)
    place = _place(request)
    if place is not None:
        start, end = (start, min(end, place.at_ns + 1)) if descending else (max(start, place.at_ns), end)
    rows = _collect(market, symbol, fetch, _Walk(start, end, descending, place, wanted=limit + 1))
    page = rows.head(limit)
    next_url = request.next_url(None, **_cursor(page, place)) if len(rows) > limit else None
    return ReplyPage(render(page), len(page), next_url=next_url)


def time_range(request: Request) -> tuple[int, int]:
    """The nanoseconds [start, end) that pass the `timestamp` filters, up to now; a date means a New York day."""
    start, end = 0, to_ns(request.now) + 1
    for operator in ("", ".gte", ".gt", ".lte", ".lt"):
        raw = request.text(f"timestamp{operator}")
        if raw is None:
            continue
        first, after = _moment(f"timestamp{operator}", raw)
        if operator in ("", ".gte"):
            start = max(start, first)
        if operator == ".gt":
            start = max(start, after)
        if operator in ("", ".lte"):
            end = min(end, after)
        if operator == ".lt":
            end = min(end, first)
    return start, end


def _moment(name: str, raw: str) -> tuple[int, int]:
    """The first nanosecond of the given instant or day, and the first one after it."""
    if raw.isdecimal() and len(raw) <= 19:  # noqa: PLR2004 -- digits of the largest 64-bit integer
        return int(raw), int(raw) + 1
    if _DATE.fullmatch(raw):
        day = parse_date(name, raw)
        return midnight_ns(day), midnight_ns(day + timedelta(days=1))
    match = _RFC3339.fullmatch(raw)
    if match is None:
        raise Refusal(BAD_REQUEST, f"could not parse '{name}': '{raw}' is neither YYYY-MM-DD nor Unix nanoseconds")
    seconds, fraction, zone = match.groups()
    try:
        whole = datetime.fromisoformat(seconds + zone)
    except ValueError as error:
        raise Refusal(BAD_REQUEST, f"could not parse '{name}': '{raw}'") from error
    at = int(whole.timestamp()) * NS_PER_SECOND + int((fraction or "0").ljust(9, "0"))
    return at, at + 1


def _collect(market: Market, symbol: str, fetch: Fetch, walk: _Walk) -> pl.DataFrame:
    """At least `wanted` rows, if available; read day by day, so that memory stays bounded."""
    found: list[pl.DataFrame] = []
    have = 0
    is_empty = walk.start_ns >= walk.end_ns
    days = [] if is_empty else market.days(symbol, date_at_ns(walk.start_ns), date_at_ns(walk.end_ns - 1))
    for day in reversed(days) if walk.descending else days:
        first, after = midnight_ns(day), midnight_ns(day + timedelta(days=1))
        rows = fetch(symbol, max(walk.start_ns, first), min(walk.end_ns, after))
        rows = _after(rows.reverse() if walk.descending else rows, walk.place, descending=walk.descending)
        found.append(rows)
        have += len(rows)
        if have >= walk.wanted:
            break
    return pl.concat(found) if found else fetch(symbol, 0, 0)


def _after(rows: pl.DataFrame, place: _Place | None, *, descending: bool) -> pl.DataFrame:
    if place is None:
        return rows
    at, sequence = pl.col("timestamp").dt.epoch("ns"), _SEQUENCE
    if descending:
        passed = (at > place.at_ns) | ((at == place.at_ns) & (sequence > place.sequence))
    else:
        passed = (at < place.at_ns) | ((at == place.at_ns) & (sequence < place.sequence))
    same = (at == place.at_ns) & (sequence == place.sequence)
    count, repeated = rows.select(passed.sum(), same.sum().alias("same")).row(0)
    return rows.slice(count + min(place.given, repeated))


def _cursor(page: pl.DataFrame, place: _Place | None) -> dict[str, int]:
    at, sequence = page.select(pl.col("timestamp").dt.epoch("ns"), _SEQUENCE).row(-1)
    is_last = (pl.col("timestamp").dt.epoch("ns") == at) & _SEQUENCE.eq(sequence)
    given = int(page.select(is_last.sum()).item())
    if place is not None and (place.at_ns, place.sequence) == (at, sequence):
        given += place.given
    return {"ap": sequence, "as": at, "an": given}


def _place(request: Request) -> _Place | None:
    raw = [request.text(name) for name in ("as", "ap", "an")]
    if raw[0] is None:
        return None
    try:
        at, sequence, given = (int(text or "") for text in raw)
    except ValueError as error:
        raise Refusal(BAD_REQUEST, "'cursor' is not valid") from error
    return _Place(at, sequence, given)
