"""What an HTTP answer of the vendor means: a body to parse, a failure worth a retry, or a final error."""

import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, Generic, TypeVar

from smallcaps_assets.errors import BadPage, MarketDataError, NotAuthenticated, NotEntitled, NotFound, RequestRejected
from smallcaps_assets.market_data.api_key import KEY_VARIABLES, BearerKey

# Plans of the vendor's price list of 2025 that include the data: https://massive.com/pricing
_REQUIRED_PLANS: Final = {
    "trades": "Trades require the plan Stocks Developer or above (see https://massive.com/pricing). ",
    "quotes": "Quotes require the plan Stocks Advanced or above (see https://massive.com/pricing). ",
}
_RETRY_AFTER_CAP_S: Final = 300.0
_MAX_ERROR_BODY_BYTES: Final = 65_536
_MAX_PREALLOCATED_BYTES: Final = 1 << 28
_GZIP_WINDOW_BITS: Final = 31  # zlib's code for a gzip stream with a checksum

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Answer(Generic[_T]):
    """The parsed body of an answer with status 200."""

    content: _T
    request_id: str | None


@dataclass(frozen=True, kw_only=True)
class RetryableFailure:
    """A failed attempt that may succeed when repeated; `cause` is its reason without what differs between requests."""

    reason: str
    cause: str
    status: int | None = None
    retry_after_s: float | None = None
    throttled: bool = False


@dataclass(frozen=True, kw_only=True)
class RawAnswer:
    """A complete HTTP answer, its body still compressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def parse_success(raw: RawAnswer, parse: Callable[[bytes], _T]) -> Answer[_T] | RetryableFailure:
    """Decompress and parse the body of an answer with status 200; errors of `parse` propagate."""
    body = _decompress(raw)
    if body is None or _is_truncated(body):
        return RetryableFailure(
            reason=f"a body cut short after {len(raw.body)} bytes", cause="a body cut short", status=raw.status
        )
    return Answer(content=parse(body), request_id=raw.headers.get("X-Request-Id"))


def classify_failure(raw: RawAnswer, route: str, what: str, key: BearerKey) -> RetryableFailure:
    """The retryable failure (429 or 5xx) that an answer without status 200 is.

    Args:
        raw: the answer.
        route: path of the request, for messages.
        what: the requested data, for messages.
        key: removes itself from the vendor's text.

    Raises:
        NotAuthenticated: 401.
        NotEntitled: 403.
        NotFound: 404.
        RequestRejected: any other 4xx, or a redirect.
        BadPage: another status below 300 than 200.
    """
    message, request_id = _vendor_text(raw, key)
    text = f" (the vendor says: {message}; request id: {request_id})"
    throttled = raw.status == HTTPStatus.TOO_MANY_REQUESTS
    if throttled or raw.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return RetryableFailure(
            reason=f"HTTP {raw.status}{text}",
            status=raw.status,
            cause=f"HTTP {raw.status}, the vendor says: {message}",
            retry_after_s=_retry_after_s(raw.headers),
            throttled=throttled,
        )
    error = _final_error(raw.status, f"GET {route} for {what} was answered with HTTP {raw.status}{text}", what)
    raise error.with_facts(f"HTTP {raw.status}, the vendor says: {message}", http_status=raw.status, endpoint=route)


def required_plan(what: str) -> str:
    """A sentence, and a space after it, about the vendor's plans that include some data; empty if all do."""
    return _REQUIRED_PLANS.get(what, "")


def _final_error(status: int, happened: str, what: str) -> MarketDataError:
    if status == HTTPStatus.UNAUTHORIZED:
        return NotAuthenticated(f"{happened}. The API key is missing or unknown: set {KEY_VARIABLES}.")
    if status == HTTPStatus.FORBIDDEN:
        return NotEntitled(
            f"{happened}. The plan behind the key does not include {what} of these dates: bars, trades and quotes are "
            f"separate entitlements, and each plan reaches back only so many years. {required_plan(what)}"
            "Change the plan, or leave this data out."
        )
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return RequestRejected(f"{happened}. Redirects are not followed: set base_url to the address that answers.")
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return BadPage(f"{happened}, which is not a page of data.")
    error = NotFound if status == HTTPStatus.NOT_FOUND else RequestRejected
    return error(f"{happened}. Repeating the request changes nothing: correct it.")


def _vendor_text(raw: RawAnswer, key: BearerKey) -> tuple[str, str]:
    """The vendor's error text and request id."""
    body = _decompress(raw) or b""
    try:
        document = json.loads(body[:_MAX_ERROR_BODY_BYTES])
    except (ValueError, RecursionError):
        document = None
    document = document if isinstance(document, dict) else {}
    message = key.clean(str(document.get("error") or document.get("message") or "")) or "nothing"
    request_id = key.clean(str(document.get("request_id") or raw.headers.get("X-Request-Id") or "none"))
    return message, request_id


def _decompress(raw: RawAnswer) -> bytes | None:
    """The decompressed body; None where the gzip stream is invalid or truncated."""
    if raw.headers.get("Content-Encoding", "").lower() not in ("gzip", "x-gzip"):
        return raw.body
    # A gzip stream ends with the length of its content: the buffer is allocated once.
    length = int.from_bytes(raw.body[-4:], "little")
    try:
        return zlib.decompress(raw.body, wbits=_GZIP_WINDOW_BITS, bufsize=max(1, min(length, _MAX_PREALLOCATED_BYTES)))
    except zlib.error:
        return None


def _is_truncated(body: bytes) -> bool:
    """Whether a body is empty, or a JSON object without its closing brace."""
    text = body.strip()
    return not text or (text.startswith(b"{") and not text.endswith(b"}"))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait according to `Retry-After`, at most 300; None where it is absent, invalid or in the past.

    A date is compared with the server's `Date` header, so that a wrong clock of this machine has no effect.
    """
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        seconds = float(value)
    else:
        retry_at = _parse_http_date(value)
        if retry_at is None:
            return None
        seconds = (retry_at - (_parse_http_date(headers.get("Date", "")) or datetime.now(UTC))).total_seconds()
    return min(seconds, _RETRY_AFTER_CAP_S) if seconds > 0 else None


def _parse_http_date(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year that no date can have
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
