"""How a download is followed to its end: pages until one has no `next_url`, each read, checked and counted.

A download ends with an accepted page that has no `next_url`, or with an error; nothing in between is ever returned.
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Final, Self, TypeVar
from urllib.parse import quote, unquote, urlencode
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.symbols import check_symbol
from smallcaps_assets.errors import BadPage, MarketDataError
from smallcaps_assets.market_data import wire
from smallcaps_assets.market_data.pacing import TokenBucket
from smallcaps_assets.market_data.transport import ClientTotals, RequestCounts, Transport

MAX_PAGES: Final = 1_000

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Download:
    """One complete download: only a page without `next_url` ended it."""

    frame: pl.DataFrame
    requests: int  # attempts sent, retries included
    retries: int
    throttled: int  # answers with 429
    waited_s: float  # for the budget, and before retries
    pages: int
    request_ids: tuple[str, ...]  # the vendor's, one per page that has one


@dataclass(frozen=True, kw_only=True)
class PagedRequest:
    """What is asked of the vendor."""

    path: str
    root: str  # the path that every later page must stay below
    query: Mapping[str, str]
    what: str


class Downloads:
    """Downloads from one vendor; may be shared by threads."""

    def __init__(  # noqa: PLR0913 -- the seams that tests need are arguments
        self,
        base_url: str,
        api_key: str,
        *,
        bucket: TokenBucket,
        timeout_s: float = 30.0,
        deadline_s: float = 300.0,
        max_retries: int = 5,
        sleep: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare to talk to the vendor; nothing is sent yet.

        Args:
            base_url: http or https, host, perhaps a port and a path prefix.
            api_key: sent as a header with every request, and to no other host.
            bucket: the request budget; every attempt takes one reservation of it.
            timeout_s: longest silence while connecting and between two pieces of an answer, positive.
            deadline_s: longest time from a request to the end of its answer, positive.
            max_retries: attempts after the first, 0 or more; those that end in a 429 do not count.
            sleep: waits so many seconds; by default in a way that `until` interrupts.
            jitter: a random number in [0, 1), the share of a backoff that is waited.

        Raises:
            NotAuthenticated: the key is empty.
            SettingsError: the key or the address cannot be used.
        """
        self._transport = Transport(
            base_url,
            api_key,
            bucket=bucket,
            timeout_s=timeout_s,
            deadline_s=deadline_s,
            max_retries=max_retries,
            sleep=sleep,
            jitter=jitter,
        )
        self._stop: threading.Event | None = None
        self.requests_per_minute = bucket.requests_per_minute

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, of all threads; nothing can be asked afterwards."""
        self._transport.close()

    def until(self, stop: threading.Event) -> Self:
        """This client, budget and connections, for work that ends with Stopped once `stop` is set."""
        client = copy(self)
        client._stop = stop  # noqa: SLF001 -- our own copy
        return client

    def totals(self) -> ClientTotals:
        """Requests sent, retries and answers with 429 so far, over all threads and failed downloads."""
        return self._transport.totals()

    def _pages(
        self, question: PagedRequest, read: Callable[[bytes], wire.ParsedPage], tally: RequestCounts
    ) -> list[pl.DataFrame]:
        """All pages that answer `question`, in the vendor's order; an error tells what the download took until then."""
        try:
            return self._followed(question, read, tally)
        except MarketDataError as error:
            error.requests, error.retries, error.throttled = tally.requests, tally.retries, tally.throttled
            raise

    def _followed(
        self, question: PagedRequest, read: Callable[[bytes], wire.ParsedPage], tally: RequestCounts
    ) -> list[pl.DataFrame]:
        """Pages until one has no `next_url`."""
        frames: list[pl.DataFrame] = []
        seen: set[str] = set()
        target = f"{question.path}?{urlencode(question.query)}"
        while len(frames) < MAX_PAGES:
            seen.add(target)
            answer = self._transport.get(target, question.what, partial(self._read, question, read), tally, self._stop)
            page = answer.content
            self._checked(question, partial(wire.check_progress, frames, page.frame))
            frames.append(page.frame)
            tally.pages += 1
            if request_id := page.request_id or answer.request_id:
                tally.request_ids.append(self._transport.clean(request_id))
            if page.next_url is None:
                return frames
            target = self._checked(question, partial(self._next_target, question, page.next_url, seen))
        raise BadPage(f"GET {unquote(question.path)}: {MAX_PAGES} pages and no end. Nothing was kept of it.")

    def _read(self, question: PagedRequest, read: Callable[[bytes], wire.ParsedPage], body: bytes) -> wire.ParsedPage:
        return self._checked(question, partial(read, body))

    def _next_target(self, question: PagedRequest, next_url: str, seen: set[str]) -> str:
        try:
            target = self._transport.target_of(next_url)
        except ValueError as error:
            raise BadPage(f"`next_url` {next_url!r} is no URL") from error
        path = unquote(target.partition("?")[0])
        root = unquote(question.root)
        if not (path == root or path.startswith(f"{root}/")) or ".." in path.split("/"):
            raise BadPage(f"`next_url` {next_url!r} leads away from {root}")
        if target in seen:
            raise BadPage(f"`next_url` {next_url!r} was followed before: the cursor goes round in a circle")
        return target

    def _merged(self, question: PagedRequest, pages: Sequence[pl.DataFrame], *keys: str) -> pl.DataFrame:
        return self._checked(question, partial(wire.merge_pages, pages, *keys))

    def _checked(self, question: PagedRequest, step: Callable[[], _T]) -> _T:
        """What `step` returns; a BadPage of it is raised anew with its place, and without the key that it may quote."""
        try:
            return step()
        except BadPage as fault:
            reason = self._transport.clean(str(fault))
        raise BadPage(
            f"GET {unquote(question.path)} for {question.what}: {reason}. "
            "Nothing was kept of it; if it comes again, the vendor's contract has changed."
        )


def complete_download(frame: pl.DataFrame, tally: RequestCounts) -> Download:
    """A download that is complete, with what it took."""
    return Download(
        frame=frame,
        requests=tally.requests,
        retries=tally.retries,
        throttled=tally.throttled,
        waited_s=tally.waited_s,
        pages=tally.pages,
        request_ids=tuple(tally.request_ids),
    )


def quote_symbol(symbol: str) -> str:
    """A symbol as it stands in a path.

    Raises:
        InputError: `symbol` cannot be one.
    """
    return quote(check_symbol(symbol), safe="")


def day_ms(day: date) -> int:
    """Midnight in New York at the start of `day`, Unix milliseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(NEW_YORK)).timestamp()) * wire.MS_PER_S
