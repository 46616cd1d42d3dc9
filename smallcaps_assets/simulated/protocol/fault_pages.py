"""Faulty answers: rows missing, repeated, republished or impossible, cursors that never end."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self
from urllib.parse import unquote

from smallcaps_assets.simulated.protocol.wire import OK, Refusal, Reply, cursor_url, with_cursor

PAGE_FAULTS: Final = ("no_results", "loop", "endless", "repeat", "republish", "bad_row", "impossible")
# Parameters in the cursors that this module creates.
_FAULT: Final = "fault"
_TURN: Final = "turn"
_REPEATED: Final = 5
_TICKS: Final = ("/v3/trades/", "/v3/quotes/")
_RANGE: Final = re.compile(r"/v2/aggs/ticker/.+/range/[^/]+/[^/]+/[^/]+/[^/]+")
_LOTS: Final = 40
_REMOVED: Final = 0
_ADDED: Final = 1
_CHANGED: Final = (2, 3)
_SIZE_STEP: Final = 100
# Above every sequence number of a trading day.
_FAR_SEQUENCE: Final = 1_000_000_000_000

_Row = dict[str, Any]


@dataclass(frozen=True)
class FaultRequest:
    """A request, and the fault whose cursor led to it.

    Attributes:
        path: decoded.
        query: the parameters, including those of the cursor, without `mark` and `turn`.
        origin: scheme and host of the exchange, for `next_url`.
        mark: the fault whose `next_url` led here; empty for every other request.
        turn: the number of pages of an endless cursor so far.
    """

    path: str
    query: Mapping[str, str]
    origin: str
    mark: str = ""
    turn: int = 0

    @classmethod
    def of(cls, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Self:
        """Parse a request; an invalid cursor is left for the exchange to reject."""
        hosts = [value for name, value in headers.items() if name.lower() == "host"]
        origin = f"http://{hosts[0]}" if hosts else "https://api.massive.com"
        try:
            whole = with_cursor(query)
        except Refusal:
            return cls(unquote(path), dict(query), origin)
        mark, turn = whole.pop(_FAULT, ""), whole.pop(_TURN, "")
        if not mark:
            return cls(unquote(path), dict(query), origin)
        whole.pop("cursor", None)
        return cls(unquote(path), whole, origin, mark, int(turn) if turn.isdecimal() else 0)

    def marked_url(self, fault: str, path: str | None = None, more: Mapping[str, str | int] | None = None) -> str:
        """A URL that repeats the request with the parameters `more` overridden, and names `fault` in its cursor."""
        return cursor_url(self.origin, path or self.path, with_cursor(self.query), {**(more or {}), _FAULT: fault})


def apply_page_fault(fault: str, reply: Reply, request: FaultRequest, seed: int) -> Reply | None:
    """The answer under one of PAGE_FAULTS; None where the fault does not apply.

    No fault applies to answers other than 200 and without `results`; only `no_results` applies where `results` is not a
    list; `repeat` applies only to pages with rows.

    `repeat` returns the last five rows again, and then continues to the true end. It returns the whole page again where
    there are at most five rows, and for requests other than trades, quotes and ascending aggregates.

    `republish` changes about one row in twenty of trades (`correction` 1) and quotes (a size 100 larger), removes one
    in forty and adds one in forty; the choice depends on `seed` and on the row.

    `impossible` gives each trade, and the bid of each quote, a price of -1; `bad_row` only the middle one of a page.
    """
    page = json.loads(reply.body) if reply.status == OK else None
    if not isinstance(page, dict) or "results" not in page:
        return None
    rows = page["results"]
    changes: _Row = {}
    if fault == "no_results":
        del page["results"]
        return _rewrite(reply, page)
    if not isinstance(rows, list):
        return None
    if fault == "loop":
        changes = {"next_url": request.marked_url("loop")}
    elif fault == "endless":
        changes = {"next_url": request.marked_url("endless", more={_TURN: request.turn + 1})}
    elif fault == "repeat" and rows:
        changes = {"next_url": _back_url(rows, request)}
    elif fault == "republish" and request.path.startswith(_TICKS):
        changes = {"results": list(_later_rows(rows, f"{seed}|{request.path}"))}
    elif fault in ("bad_row", "impossible") and request.path.startswith(_TICKS):
        is_all, middle = fault == "impossible", len(rows) // 2
        changes = {"results": [_spoil(row) if is_all or place == middle else row for place, row in enumerate(rows)]}
    changed = {**page, **changes}
    return None if changed == page else _rewrite(reply, changed)


def _rewrite(reply: Reply, page: _Row) -> Reply:
    headers = {name: value for name, value in reply.headers.items() if name not in ("X-Item-Count", "Link")}
    if "results" in page:
        headers["X-Item-Count"] = str(len(page["results"]))
    if "next_url" in page:
        headers["Link"] = f'<{page["next_url"]}>; rel="next"'
    return replace(reply, headers=headers, body=json.dumps(page, separators=(",", ":")).encode())


def _back_url(rows: list[_Row], request: FaultRequest) -> str:
    """The URL of a page that repeats the last rows, or the whole page."""
    if len(rows) > _REPEATED and request.path.startswith(_TICKS) and "sequence_number" in rows[-_REPEATED - 1]:
        return request.marked_url("repeat", more=_place_of(rows[:-_REPEATED], request))
    segments = request.path.split("/")
    if len(rows) > _REPEATED and _RANGE.fullmatch(request.path) and with_cursor(request.query).get("sort") != "desc":
        segments[-2] = str(rows[-_REPEATED]["t"])
    return request.marked_url("repeat", "/".join(segments))


def _place_of(given: list[_Row], request: FaultRequest) -> dict[str, str | int]:
    """The exchange's cursor after the last of the rows given; rows may have equal sort keys."""
    at, sequence = key = _key(given[-1])
    count = sum(_key(row) == key for row in given)
    before = with_cursor(request.query)
    if (before.get("as"), before.get("ap")) == (str(at), str(sequence)):
        count += int(before.get("an", "0"))
    return {"as": at, "ap": sequence, "an": count}


def _key(row: _Row) -> tuple[int, int]:
    return row["sip_timestamp"], row.get("sequence_number", 0)


def _later_rows(rows: list[_Row], salt: str) -> Iterator[_Row]:
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        at, sequence = _key(row)
        digest = hashlib.sha256(f"{salt}|{at}|{sequence}".encode()).digest()
        lot = int.from_bytes(digest[:8], "big") % _LOTS
        if lot == _REMOVED:
            continue
        yield _change(row) if lot in _CHANGED else row
        added = _insert_between(row, following) if lot == _ADDED and following is not None else None
        if added is not None:
            yield added


def _change(row: _Row) -> _Row:
    if "price" in row:
        return {**row, "correction": 1}
    side = "bid_size" if row.get("bid_size") else "ask_size"
    return {**row, side: row.get(side, 0) + _SIZE_STEP}


def _spoil(row: _Row) -> _Row:
    return {**row, "price" if "price" in row else "bid_price": -1}


def _insert_between(row: _Row, following: _Row) -> _Row | None:
    """A copy of `row` that sorts strictly between both; None where there is no room for one."""
    (at, sequence), (next_at, next_sequence) = _key(row), _key(following)
    new_at, new_sequence = (at + next_at) // 2, (sequence + next_sequence) // 2
    free_time, free_sequence = abs(at - next_at) > 1, abs(sequence - next_sequence) > 1
    if not free_time and not (at == next_at and free_sequence):
        return None
    if not free_sequence:
        new_sequence = _FAR_SEQUENCE + sequence
    times = ("sip_timestamp", "participant_timestamp", "trf_timestamp")
    moved = {name: row[name] + new_at - at for name in times if name in row}
    named = {"id": f"{row['id']}R"} if "id" in row else {}
    return {**row, **moved, **named, "sequence_number": new_sequence}
