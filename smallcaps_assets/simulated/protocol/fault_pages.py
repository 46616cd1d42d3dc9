"""Answers changed as a faulty vendor would: rows missing, repeated or republished, cursors that never end."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self
from urllib.parse import unquote

from smallcaps_assets.simulated.protocol.wire import OK, Refusal, Reply, cursor_url, with_cursor

PAGE_FAULTS: Final = ("no_results", "loop", "endless", "repeat", "republish")
# Marks in the cursors of this module's own addresses.
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
# Above every number that a trading day reaches.
_FAR_SEQUENCE: Final = 1_000_000_000_000

_Row = dict[str, Any]


@dataclass(frozen=True)
class FaultRequest:
    """A request as these faults see it.

    Attributes:
        path: decoded.
        query: the parameters, those of the cursor among them, without marks.
        origin: scheme and host of the exchange, for `next_url`.
        mark: the fault whose `next_url` led here; empty for every other request.
        turn: how many pages of an endless cursor came before.
    """

    path: str
    query: Mapping[str, str]
    origin: str
    mark: str = ""
    turn: int = 0

    @classmethod
    def of(cls, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Self:
        """Read a request; one with a cursor that is none of the exchange's is left for the exchange to refuse."""
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
        """An address that asks the same again, with `more` laid over, marked as led to by `fault`."""
        return cursor_url(self.origin, path or self.path, with_cursor(self.query), {**(more or {}), _FAULT: fault})


def apply_page_fault(fault: str, reply: Reply, asked: FaultRequest, seed: int) -> Reply | None:
    """The answer under one of PAGE_FAULTS; None where the fault has nothing to take hold of.

    Answers other than 200 and those without `results` are left alone, by all but `no_results` also those whose
    `results` are no list, and by `repeat` those without rows.

    `repeat` gives the last five rows again, and then goes on to the true end. It gives the whole page again where
    there are no more than five rows, and outside trades, quotes and ascending aggregates.

    `republish` changes about one row in twenty of trades (`correction` 1) and quotes (a size 100 larger), removes one
    in forty and adds one in forty; which ones depends on `seed` and on what the row is.
    """
    page = json.loads(reply.body) if reply.status == OK else None
    if not isinstance(page, dict) or "results" not in page:
        return None
    rows = page["results"]
    changes: _Row = {}
    if fault == "no_results":
        del page["results"]
        return _rewritten(reply, page)
    if not isinstance(rows, list):
        return None
    if fault == "loop":
        changes = {"next_url": asked.marked_url("loop")}
    elif fault == "endless":
        changes = {"next_url": asked.marked_url("endless", more={_TURN: asked.turn + 1})}
    elif fault == "repeat" and rows:
        changes = {"next_url": _back_url(rows, asked)}
    elif fault == "republish" and asked.path.startswith(_TICKS):
        changes = {"results": list(_later_rows(rows, f"{seed}|{asked.path}"))}
    changed = {**page, **changes}
    return None if changed == page else _rewritten(reply, changed)


def _rewritten(reply: Reply, page: _Row) -> Reply:
    headers = {name: value for name, value in reply.headers.items() if name not in ("X-Item-Count", "Link")}
    if "results" in page:
        headers["X-Item-Count"] = str(len(page["results"]))
    if "next_url" in page:
        headers["Link"] = f'<{page["next_url"]}>; rel="next"'
    return replace(reply, headers=headers, body=json.dumps(page, separators=(",", ":")).encode())


def _back_url(rows: list[_Row], asked: FaultRequest) -> str:
    """Where the last rows of a page come again, or the whole page."""
    if len(rows) > _REPEATED and asked.path.startswith(_TICKS) and "sequence_number" in rows[-_REPEATED - 1]:
        return asked.marked_url("repeat", more=_place_of(rows[:-_REPEATED], asked))
    segments = asked.path.split("/")
    if len(rows) > _REPEATED and _RANGE.fullmatch(asked.path) and with_cursor(asked.query).get("sort") != "desc":
        segments[-2] = str(rows[-_REPEATED]["t"])
    return asked.marked_url("repeat", "/".join(segments))


def _place_of(given: list[_Row], asked: FaultRequest) -> dict[str, str | int]:
    """The exchange's own cursor after the last of the rows given, where rows may share all that orders them."""
    at, sequence = key = _key(given[-1])
    count = sum(_key(row) == key for row in given)
    before = with_cursor(asked.query)
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
        yield _changed(row) if lot in _CHANGED else row
        added = _between(row, following) if lot == _ADDED and following is not None else None
        if added is not None:
            yield added


def _changed(row: _Row) -> _Row:
    if "price" in row:
        return {**row, "correction": 1}
    side = "bid_size" if row.get("bid_size") else "ask_size"
    return {**row, side: row.get(side, 0) + _SIZE_STEP}


def _between(row: _Row, following: _Row) -> _Row | None:
    """A copy of `row` with a place strictly between both; None where there is no room for one."""
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
