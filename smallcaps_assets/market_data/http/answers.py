"""What an HTTP answer of the vendor means: a body to parse, a failure worth a retry, or a final error."""

import io
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, Generic, TypeVar

from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import BadPage, MarketDataError, NotAuthenticated, NotEntitled, NotFound, RequestRejected
from smallcaps_assets.market_data.http.api_key import KEY_VARIABLES, BearerKey

# Plans of the vendor's price list of 2025 that include the data: https://massive.com/pricing
_REQUIRED_PLANS: Final = {
    "trades": "Trades require the plan Stocks Developer or above (see https://massive.com/pricing). ",
    "quotes": "Quotes require the plan Stocks Advanced or above (see https://massive.com/pricing). ",
}
_RETRY_AFTER_CAP_S: Final = 300.0
_MAX_ERROR_BODY_BYTES: Final = 65_536
_INFLATED_AT_ONCE: Final = 1 << 14  # compressed bytes, of which at most 17 MB are made
_GZIP_WINDOW_BITS: Final = 31  # zlib's code for a gzip stream with a checksum
_CUT_SHORT: Final = "a body cut short"

# Longest body of an answer, as sent and decompressed: 3.6 times a full page of the widest rows, which are 50,000 quotes
# with every field at its longest, 355 bytes each (17.8 MB).
MAX_BODY_BYTES: Final = 64_000_000
_SHORT_BODY_BYTES: Final = 65_536

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
    """An HTTP answer, its body still compressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    is_cut: bool = False  # the body is too long, and only its beginning was received


class _UnreadableBody(Exception):  # noqa: N818 -- never leaves this module
    """A body is not one whole gzip stream; the text says what it is instead."""


def parse_success(
    raw: RawAnswer, parse: Callable[[bytes], _T], route: str, what: str, max_body_bytes: int = MAX_BODY_BYTES
) -> Answer[_T] | RetryableFailure:
    """Decompress and parse the body of an answer with status 200; errors of `parse` propagate.

    Args:
        raw: the answer.
        parse: parses the decompressed body.
        route: path of the request, for messages.
        what: the requested data, for messages.
        max_body_bytes: a body that becomes longer is not decompressed to its end.

    Raises:
        BadPage: the body is too long. A repetition would be too, so that nothing is retried.
    """
    try:
        body = _decompress(raw, max_body_bytes)
    except _UnreadableBody as error:
        return RetryableFailure(
            reason=f"{error} after {count_noun(len(raw.body), 'byte')}", cause=str(error), status=raw.status
        )
    if body is None:
        cause = f"a body of more than {max_body_bytes / 1e6:.0f} MB, which no page of data needs"
        too_long = BadPage(
            f"GET {route} for {what} was answered with {cause} ({count_noun(len(raw.body), 'byte')} arrived). "
            f"It was not read "
            "to its end, and nothing of it was kept; if it happens again, ask the vendor."
        )
        raise too_long.with_facts(cause, http_status=raw.status, endpoint=route)
    if _is_truncated(body):
        return RetryableFailure(
            reason=f"{_CUT_SHORT} after {count_noun(len(raw.body), 'byte')}", cause=_CUT_SHORT, status=raw.status
        )
    return Answer(content=parse(body), request_id=raw.headers.get("X-Request-Id"))


def is_short(raw: RawAnswer) -> bool:
    """Whether the body is so short, decompressed, that reading many of them at once takes no memory worth bounding."""
    try:
        return len(raw.body) <= _SHORT_BODY_BYTES and _decompress(raw, _SHORT_BODY_BYTES) is not None
    except _UnreadableBody:
        return True


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
        return NotAuthenticated(f"{happened}. The vendor does not know the API key: correct {KEY_VARIABLES}.")
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
    try:
        document = json.loads(_decompress(raw, _MAX_ERROR_BODY_BYTES) or b"")
    except (_UnreadableBody, ValueError, RecursionError):
        document = None
    document = document if isinstance(document, dict) else {}
    message = key.clean(str(document.get("error") or document.get("message") or "")) or "nothing"
    request_id = key.clean(str(document.get("request_id") or raw.headers.get("X-Request-Id") or "none"))
    return message, request_id


def _decompress(raw: RawAnswer, max_bytes: int) -> bytes | None:
    """The decompressed body; None where it is longer than `max_bytes`.

    The length that a gzip stream states at its end is the sender's word and not used: memory grows with the content.

    Raises:
        _UnreadableBody: it is not one whole gzip stream.
    """
    if raw.is_cut or len(raw.body) > max_bytes:
        return None
    if raw.headers.get("Content-Encoding", "").lower() not in ("gzip", "x-gzip"):
        return raw.body
    stream = zlib.decompressobj(_GZIP_WINDOW_BITS)
    content = io.BytesIO()
    compressed = memoryview(raw.body)
    for start in range(0, len(compressed), _INFLATED_AT_ONCE):
        try:
            content.write(stream.decompress(compressed[start : start + _INFLATED_AT_ONCE], max_bytes + 1))
        except zlib.error as error:
            raise _UnreadableBody(f"a damaged body ({error})") from error
        if content.tell() > max_bytes:
            return None
        if stream.unused_data:
            raise _UnreadableBody("a compressed body with other bytes behind its end")
    if not stream.eof:
        raise _UnreadableBody(_CUT_SHORT)
    return content.getvalue()


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
