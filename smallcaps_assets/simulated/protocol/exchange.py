"""The simulated exchange: a function from a request to a reply, over any market."""

import hashlib
import math
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import count
from threading import Lock
from typing import Final
from urllib.parse import unquote

from smallcaps_assets.errors import SmallcapsError
from smallcaps_assets.simulated.bucket.faults import FaultyFiles, ScriptedFileFault
from smallcaps_assets.simulated.bucket.files import Bucket, MarketFiles
from smallcaps_assets.simulated.bucket.service import BucketService, is_bucket_path
from smallcaps_assets.simulated.hours import NEW_YORK_ZONE, utc_now
from smallcaps_assets.simulated.protocol.aggregates import aggregates_page, grouped_page, open_close_body, previous_page
from smallcaps_assets.simulated.protocol.catalogue import (
    CONDITIONS_LIST,
    FLOATS_LIST,
    SHORT_INTEREST_LIST,
    catalogue_page,
    splits_page,
    splits_v3_page,
    ticker_events,
    tickers_page,
)
from smallcaps_assets.simulated.protocol.rendering import quotes_json, trades_json
from smallcaps_assets.simulated.protocol.status import condition_rows, exchange_rows, market_status, upcoming
from smallcaps_assets.simulated.protocol.ticks import ticks_page
from smallcaps_assets.simulated.protocol.wire import (
    FORBIDDEN,
    NOT_ENTITLED,
    NOT_FOUND,
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    Refusal,
    Reply,
    ReplyPage,
    Request,
    json_reply,
    page_reply,
    parse_date,
    refusal_reply,
    with_cursor,
)
from smallcaps_assets.simulated.source import Market

_MINUTE: Final = timedelta(minutes=1)
_TOO_MANY: Final = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue."
)
_RANGE: Final = "v2/aggs/ticker/*/range/*/*/*/*"
_PREVIOUS: Final = "v2/aggs/ticker/*/prev"
_OPEN_CLOSE: Final = "v1/open-close/*/*"
_TICKER_EVENTS: Final = "vX/reference/tickers/*/events"
_GROUPED: Final = "v2/aggs/grouped/locale/us/market/stocks/*"
BUCKET_FILES: Final = "flat_files"
# What a plan may not include of the REST protocol, and the routes of it.
ENDPOINTS: Final[Mapping[str, tuple[str, ...]]] = {
    "minute_bars": (_RANGE, _PREVIOUS, _OPEN_CLOSE),
    "daily_bars": (_GROUPED,),
    "trades": ("v3/trades/*",),
    "quotes": ("v3/quotes/*",),
    "tickers": ("v3/reference/tickers",),
    "ticker_details": ("v3/reference/tickers/*",),
    "ticker_events": (_TICKER_EVENTS,),
    "float": ("stocks/vX/float",),
    "short_interest": ("stocks/v1/short-interest",),
    "conditions": ("v3/reference/conditions",),
    # asked for in this order
    "splits": ("stocks/v1/splits", "v3/reference/splits"),
}
# What a plan may not include: the endpoints, and GET of the bucket's files, whose LIST is answered.
PLAN_PARTS: Final = (*ENDPOINTS, BUCKET_FILES)

Handler = Callable[[Request, list[str]], Reply]


class Exchange:
    """Answers requests as the vendor does, with the data of a market.

    Args:
        market: a `SimulatedMarket` or a `ReplayMarket`.
        api_key: the accepted key; None accepts any key that is not empty.
        requests_per_minute: requests accepted in any 60 seconds, None for no limit. Rejected ones do not count.
        retry_after: whether a 429 has a `Retry-After` header with the seconds to wait.
        clock: the current time, for the limit and for open-ended requests; give the market the same clock.
        denied: names of PLAN_PARTS that the plan behind the key does not include; they are answered with 403.
        files: the flat files; those of the market if not given. `self.files` answers for them, also while it is served.
        file_keys: secret keys by access key of the flat files; those of the embedded exchange if not given.
        file_faults: faults of the flat files, see `FaultyFiles`.
        fault_seed: selects the flat files that are hit at the same rates.
    """

    def __init__(  # noqa: PLR0913
        self,
        market: Market,
        api_key: str | None = None,
        requests_per_minute: int | None = None,
        retry_after: bool = False,  # noqa: FBT001, FBT002 -- the signature that callers rely on
        clock: Callable[[], datetime] = utc_now,
        *,
        denied: Collection[str] = (),
        files: Bucket | None = None,
        file_keys: Mapping[str, str] | None = None,
        file_faults: Sequence[ScriptedFileFault] = (),
        fault_seed: int = 0,
    ) -> None:
        self._market = market
        self._api_key = api_key
        self._requests_per_minute = requests_per_minute
        self._retry_after = retry_after
        self._clock = clock
        self._accepted: deque[datetime] = deque()
        self._lock = Lock()
        self._numbers = count(1)
        self._denied = {tuple(route.split("/")) for name in denied for route in ENDPOINTS.get(name, ())}
        self._routes = self._all_routes()
        files = MarketFiles(market, clock) if files is None else files
        if file_faults:
            files = FaultyFiles(files, file_faults, fault_seed)
        self.files = BucketService(files, file_keys, denies_files=BUCKET_FILES in denied)

    def reply(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """Answer a GET. `path` may be percent-encoded, `query` is decoded, header names are of any case.

        Requests for the bucket of flat files are signed instead of having the key, and do not count for the limit.
        """
        request_id = hashlib.sha256(str(next(self._numbers)).encode()).hexdigest()[:32]
        headers = {name.lower(): value for name, value in headers.items()}
        try:
            if is_bucket_path(path):
                return self.files.reply(request_id, path, query, headers)
            self._check_key(query, headers)
            self._check_rate()
            request = Request(
                path=unquote(path),
                query=with_cursor(query),
                origin=f"http://{headers['host']}" if "host" in headers else "https://api.massive.com",
                id=request_id,
                now=self._clock(),
            )
            handler, wildcards = self._route(path)
            return handler(request, wildcards)
        except Refusal as refusal:
            return refusal_reply(request_id, refusal)
        except SmallcapsError as error:
            return refusal_reply(request_id, Refusal(SERVER_ERROR, str(error)))

    def _check_key(self, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        key = bearer.strip() if scheme.lower() == "bearer" else ""
        key = key or query.get("apiKey", "")
        if not key:
            raise Refusal(UNAUTHORIZED, "API Key was not provided")
        if self._api_key not in (None, key):
            raise Refusal(UNAUTHORIZED, "Unknown API Key")

    def _check_rate(self) -> None:
        if self._requests_per_minute is None:
            return
        now = self._clock()
        with self._lock:
            while self._accepted and now - self._accepted[0] >= _MINUTE:
                self._accepted.popleft()
            if len(self._accepted) < self._requests_per_minute:
                self._accepted.append(now)
                return
            wait = math.ceil((self._accepted[0] + _MINUTE - now).total_seconds()) if self._accepted else 60
        headers = {"Retry-After": str(max(wait, 1))} if self._retry_after else {}
        raise Refusal(TOO_MANY_REQUESTS, _TOO_MANY, headers)

    def _route(self, path: str) -> tuple[Handler, list[str]]:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        for pattern, handler in self._routes:
            if len(pattern) == len(parts) and all(one in ("*", part) for one, part in zip(pattern, parts, strict=True)):
                if tuple(pattern) in self._denied:
                    raise Refusal(FORBIDDEN, NOT_ENTITLED)
                return handler, [part for one, part in zip(pattern, parts, strict=True) if one == "*"]
        raise Refusal(NOT_FOUND, "page not found")

    def _all_routes(self) -> list[tuple[list[str], Handler]]:
        market = self._market
        routes: dict[str, Handler] = {
            _RANGE: _paged(lambda request, parts: aggregates_page(request, market, parts)),
            _GROUPED: _paged(lambda request, parts: grouped_page(request, market, parts[0])),
            _PREVIOUS: _paged(lambda request, parts: previous_page(request, market, parts[0])),
            _OPEN_CLOSE: lambda request, parts: json_reply(request.id, open_close_body(request, market, *parts)),
            "v3/trades/*": _paged(
                lambda request, parts: ticks_page(request, market, parts[0], market.trades, trades_json)
            ),
            "v3/quotes/*": _paged(
                lambda request, parts: ticks_page(request, market, parts[0], market.quotes, quotes_json)
            ),
            "v3/reference/tickers": _paged(lambda request, _: tickers_page(request, market)),
            "v3/reference/tickers/*": self._details,
            _TICKER_EVENTS: self._ticker_events,
            "v3/reference/splits": _paged(lambda request, _: splits_v3_page(request, market)),
            "v3/reference/conditions": _paged(
                lambda request, _: catalogue_page(request, CONDITIONS_LIST, condition_rows(request.text("data_type")))
            ),
            "v3/reference/exchanges": lambda request, _: json_reply(
                request.id, {"request_id": request.id, "results": exchange_rows(), "status": "OK"}
            ),
            "stocks/v1/splits": _paged(lambda request, _: splits_page(request, market)),
            "stocks/v1/short-interest": _paged(
                lambda request, _: catalogue_page(request, SHORT_INTEREST_LIST, market.short_interest())
            ),
            "stocks/vX/float": _paged(lambda request, _: catalogue_page(request, FLOATS_LIST, market.floats())),
            "v1/marketstatus/upcoming": lambda request, _: json_reply(request.id, upcoming(request.now)),
            "v1/marketstatus/now": lambda request, _: json_reply(request.id, market_status(request.now)),
        }
        return [(pattern.split("/"), handler) for pattern, handler in routes.items()]

    def _details(self, request: Request, parts: list[str]) -> Reply:
        raw = request.text("date")
        day: date = request.now.astimezone(NEW_YORK_ZONE).date() if raw is None else parse_date("date", raw)
        row = self._market.details(parts[0], day)
        if row is None:
            raise Refusal(NOT_FOUND, "Ticker not found.")
        return json_reply(request.id, {"request_id": request.id, "results": row, "status": "OK"})

    def _ticker_events(self, request: Request, parts: list[str]) -> Reply:
        row = ticker_events(self._market, parts[0], request.now.astimezone(NEW_YORK_ZONE).date())
        if row is None:
            raise Refusal(NOT_FOUND, "Ticker not found.")
        return json_reply(request.id, {"request_id": request.id, "results": row, "status": "OK"})


def _paged(page: Callable[[Request, list[str]], ReplyPage]) -> Handler:
    return lambda request, parts: page_reply(request, page(request, parts))
