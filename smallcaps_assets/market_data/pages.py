"""Paginated downloads: pages are followed until one has no `next_url`, each parsed, checked and counted.

A download ends with an accepted page that has no `next_url`, or with an error; a part of it is never returned.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import quote, unquote, urlencode
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.symbols import check_symbol
from smallcaps_assets.domain.tape.repeats import WithoutRepeats
from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data.envelope import MS_PER_S, BadRow, ParsedPage
from smallcaps_assets.market_data.http.transport import RequestCounts, Transport
from smallcaps_assets.market_data.page_order import check_progress, join_pages, merge_pages

MAX_PAGES: Final = 1_000

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Download:
    """One complete download, and the requests it took."""

    frame: pl.DataFrame
    requests: int  # attempts sent, retries included
    retries: int
    throttled: int  # answers with 429
    waited_s: float  # for the rate limit and before retries
    pages: int
    request_ids: tuple[str, ...]  # the vendor's, one per page that has one
    repeats: int = 0  # rows removed because they repeat another exactly
    unserved: tuple[str, ...] = ()  # requested symbols whose answer is bad
    bad_rows: tuple[BadRow, ...] = ()  # left out of lists of reference data


@dataclass(frozen=True, kw_only=True)
class BarsDownload(Download):
    """A download of bars, one per minute; `conflicting` (BARS) are those of minutes whose bars differ."""

    conflicting: pl.DataFrame


@dataclass(frozen=True, kw_only=True)
class PagedRequest:
    """A request whose answer may have several pages."""

    path: str
    root: str  # the path that every later page must stay below
    query: Mapping[str, str]
    what: str  # the requested data, for messages


class Downloads:
    """Downloads through one transport; may be shared by threads."""

    def __init__(self, transport: Transport, stop: threading.Event | None = None) -> None:
        """Download through `transport`; once `stop` is set, downloads end with Stopped."""
        self._transport = transport
        self._stop = stop

    def pages(
        self, request: PagedRequest, parse: Callable[[bytes], ParsedPage], counts: RequestCounts
    ) -> list[pl.DataFrame]:
        """All pages that answer `request`, in the vendor's order.

        Any error carries the requests that the download took until then.

        Raises:
            MarketDataError: the vendor did not deliver.
        """
        try:
            return self._follow(request, parse, counts)
        except Exception as error:
            effort = {"requests": counts.requests, "retries": counts.retries, "throttled": counts.throttled}
            vars(error).update(effort)
            raise

    def merge(self, request: PagedRequest, pages: Sequence[pl.DataFrame], *keys: str) -> WithoutRepeats:
        """The rows of the pages that answer `request`; see `merge_pages`.

        Raises:
            BadPage: a page begins or ends before the one that it follows.
        """
        return self._check(request, partial(merge_pages, pages, *keys))

    def join(self, request: PagedRequest, pages: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """All rows of the pages that answer `request`, in the vendor's order; see `join_pages`.

        Raises:
            BadPage: a page begins or ends before the one that it follows.
        """
        return self._check(request, partial(join_pages, pages))

    def _follow(
        self, request: PagedRequest, parse: Callable[[bytes], ParsedPage], counts: RequestCounts
    ) -> list[pl.DataFrame]:
        frames: list[pl.DataFrame] = []
        seen: set[str] = set()
        target = f"{request.path}?{urlencode(request.query)}"
        parse_checked = partial(self._parse, request, parse)
        while len(frames) < MAX_PAGES:
            seen.add(target)
            answer = self._transport.get(target, request.what, parse_checked, counts, self._stop)
            page = answer.content
            self._check(request, partial(check_progress, frames, page.frame, is_last=page.next_url is None))
            frames.append(page.frame)
            counts.pages += 1
            counts.bad_rows += [row._replace(reason=self._transport.clean(row.reason)) for row in page.bad_rows]
            if request_id := page.request_id or answer.request_id:
                counts.request_ids.append(self._transport.clean(request_id))
            if page.next_url is None:
                return frames
            target = self._check(request, partial(self._next_target, request, page.next_url, seen))
        raise BadPage(f"GET {unquote(request.path)}: {MAX_PAGES} pages and no end. Nothing of it was kept.")

    def _parse(self, request: PagedRequest, parse: Callable[[bytes], ParsedPage], body: bytes) -> ParsedPage:
        return self._check(request, partial(parse, body))

    def _next_target(self, request: PagedRequest, next_url: str, seen: set[str]) -> str:
        try:
            target = self._transport.target_of(next_url)
        except ValueError as error:
            raise BadPage(f"`next_url` {next_url!r} is not a URL") from error
        path = unquote(target.partition("?")[0])
        root = unquote(request.root)
        if not (path == root or path.startswith(f"{root}/")) or ".." in path.split("/"):
            raise BadPage(f"`next_url` {next_url!r} leads away from {root}")
        if target in seen:
            raise BadPage(f"`next_url` {next_url!r} was followed before: the cursor loops")
        return target

    def _check(self, request: PagedRequest, step: Callable[[], _T]) -> _T:
        """The result of `step`; a BadPage of it is raised anew with the request, and without the key it may quote."""
        try:
            return step()
        except BadPage as error:
            reason = self._transport.clean(str(error))
        bad = BadPage(
            f"GET {unquote(request.path)} for {request.what}: {reason}. "
            "Nothing of it was kept; if it happens again, the vendor's contract has changed."
        )
        cause = f"an answer that cannot be used: {reason}"
        raise bad.with_facts(cause, http_status=HTTPStatus.OK.value, endpoint=unquote(request.path))


def complete_download(frame: pl.DataFrame, counts: RequestCounts, repeats: int = 0) -> Download:
    """The result of a download that is complete."""
    return Download(
        frame=frame,
        requests=counts.requests,
        retries=counts.retries,
        throttled=counts.throttled,
        waited_s=counts.waited_s,
        pages=counts.pages,
        request_ids=tuple(counts.request_ids),
        repeats=repeats,
        bad_rows=tuple(counts.bad_rows),
    )


def quote_symbol(symbol: str) -> str:
    """A symbol escaped for a path.

    Raises:
        InputError: `symbol` is not a valid symbol.
    """
    return quote(check_symbol(symbol), safe="")


def day_ms(day: date) -> int:
    """Midnight in New York at the start of `day`, Unix milliseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(NEW_YORK)).timestamp()) * MS_PER_S
