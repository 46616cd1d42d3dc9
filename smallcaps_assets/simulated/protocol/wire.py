"""Requests with their parameters, replies, refusals and cursors."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Protocol
from urllib.parse import parse_qsl, quote, urlencode

from smallcaps_assets.simulated.source import Row

OK: Final = 200
BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
TOO_MANY_REQUESTS: Final = 429
SERVER_ERROR: Final = 500
NOT_ENTITLED: Final = "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing"
_CURSOR: Final = "cursor"
# The vendor's words for a status; its text is then in `message` instead of `error`.
_STATUS_WORDS: Final = {FORBIDDEN: "NOT_AUTHORIZED", NOT_FOUND: "NOT_FOUND"}
# Nanoseconds of these dates fit into 64 bits.
_EARLIEST: Final = date(1970, 1, 1)
_LATEST: Final = date(2200, 12, 31)


@dataclass(frozen=True)
class Delivery:
    """Faults in the delivery of an answer; `reset` and `truncated_gzip` exclude each other.

    Attributes:
        latency: seconds before the first byte.
        drip: seconds over which the body is spread, in small pieces.
        reset: the connection is reset after half of the body.
        truncated_gzip: the body is compressed and cut in half, under a Content-Length of what is left of it.
    """

    latency: float = 0.0
    drip: float = 0.0
    reset: bool = False
    truncated_gzip: bool = False


@dataclass(frozen=True)
class Reply:
    """An HTTP answer. The body is not compressed; it is JSON in UTF-8 unless the headers say otherwise."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    delivery: Delivery | None = None


class Answering(Protocol):
    """Something that answers requests: an exchange, or a wrapper of one."""

    def reply(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """Answer a GET. `path` may be percent-encoded, `query` is decoded, header names are of any case."""
        ...


class Refusal(Exception):  # noqa: N818 -- becomes a reply
    """The exchange rejects this request, with an HTTP status and the message of the vendor's body."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


@dataclass(frozen=True)
class Request:
    """One GET. `query` includes the parameters of the cursor; `origin` is the scheme and host of the exchange."""

    path: str
    query: Mapping[str, str]
    origin: str
    id: str
    now: datetime

    def text(self, name: str) -> str | None:
        """A parameter, or None where it is absent or empty."""
        return self.query.get(name) or None

    def limit(self, default: int, most: int) -> int:
        """The page size. Raises Refusal 400 unless it is 1 to `most`."""
        raw = self.text("limit")
        if raw is None:
            return default
        if not raw.isdecimal() or not 1 <= int(raw) <= most:
            raise Refusal(BAD_REQUEST, f"'limit' must be a number between 1 and {most}, got '{raw}'")
        return int(raw)

    def choice(self, name: str, default: str, *allowed: str) -> str:
        """One of a few words. Raises Refusal 400 for any other."""
        raw = self.text(name) or default
        if raw not in (default, *allowed):
            raise Refusal(BAD_REQUEST, f"'{name}' must be one of {', '.join(sorted({default, *allowed}))}, got '{raw}'")
        return raw

    def flag(self, name: str, *, default: bool) -> bool:
        """A Boolean parameter: `true` or `false`. Raises Refusal 400 for anything else."""
        return self.choice(name, str(default).lower(), "true", "false") == "true"

    def next_url(self, path: str | None = None, **cursor: int) -> str:
        """The URL of the next page: `path` (or the same) with a cursor that repeats the query, without the key."""
        return cursor_url(self.origin, path or self.path, self.query, cursor)


@dataclass(frozen=True)
class ReplyPage:
    """One page of an answer: envelope entries in the vendor's order, with `rows` as JSON text under `results`."""

    rows: str | None
    count: int
    entries: Row = field(default_factory=dict)
    next_url: str | None = None


def cursor_url(origin: str, path: str, query: Mapping[str, str], more: Mapping[str, str | int]) -> str:
    """A URL whose cursor holds `query`, without the key, and `more`."""
    kept: dict[str, str | int] = {name: value for name, value in query.items() if name not in (_CURSOR, "apiKey")}
    opaque = base64.urlsafe_b64encode(urlencode({**kept, **more}).encode()).decode().rstrip("=")
    return f"{origin}{quote(path)}?{_CURSOR}={opaque}"


def with_cursor(query: Mapping[str, str]) -> dict[str, str]:
    """The query, overridden by the parameters of its cursor. Raises Refusal 400 for an invalid cursor."""
    cursor = query.get(_CURSOR)
    if not cursor:
        return dict(query)
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Refusal(BAD_REQUEST, f"'cursor' is not valid: '{cursor}'") from error
    return {**query, **dict(parse_qsl(text, keep_blank_values=True))}


def parse_date(name: str, raw: str) -> date:
    """A `YYYY-MM-DD` parameter, clipped to 1970 to 2200. Raises Refusal 400 for anything else."""
    try:
        day = datetime.strptime(raw, "%Y-%m-%d").date()  # noqa: DTZ007 -- a date has no zone
    except ValueError as error:
        raise Refusal(BAD_REQUEST, f"could not parse '{name}': '{raw}' is not a date of the form YYYY-MM-DD") from error
    return min(max(day, _EARLIEST), _LATEST)


def page_reply(request: Request, page: ReplyPage) -> Reply:
    """A page as the vendor sends it: no `results` key where `rows` is None, no `next_url` on the last page."""
    parts = [] if page.rows is None else [f'"results":[{page.rows}]']
    tail: Row = {**page.entries, "status": "OK", "request_id": request.id}
    headers = {"X-Item-Count": str(page.count)}
    if page.next_url is not None:
        tail["next_url"] = page.next_url
        headers["Link"] = f'<{page.next_url}>; rel="next"'
    parts.append(json.dumps(tail)[1:-1])
    return Reply(OK, {**common_headers(request.id), **headers}, ("{" + ",".join(parts) + "}").encode())


def json_reply(request_id: str, body: object, status: int = OK, headers: Mapping[str, str] | None = None) -> Reply:
    """Any JSON value as an answer."""
    return Reply(status, {**common_headers(request_id), **(headers or {})}, json.dumps(body).encode())


def refusal_reply(request_id: str, refusal: Refusal) -> Reply:
    """An error in the vendor's shape: `error`, or for 403 and 404 `message`."""
    words = _STATUS_WORDS.get(refusal.status)
    text = {"error": refusal.message} if words is None else {"message": refusal.message}
    body: Row = {"status": words or "ERROR", "request_id": request_id, **text}
    return json_reply(request_id, body, refusal.status, refusal.headers)


def common_headers(request_id: str) -> dict[str, str]:
    """Headers of every answer."""
    return {"Content-Type": "application/json", "Vary": "Accept-Encoding", "X-Request-Id": request_id}
