"""Keeps other web sites out of the web server: Dagster's own answers every page of a browser, under every name.

A browser sends what any open page asks for, also to this machine. Its headers Host, Origin and Sec-Fetch-Site, which no
page can change, say under which name the server was reached and whose page is asking.
"""

import logging
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from smallcaps_assets.commands.services.exposure import DEFAULT_PORTS, UNKNOWN_NAME

_log = logging.getLogger(__name__)

_READS: Final = frozenset({"GET", "HEAD"})
# Sec-Fetch-Site of our own pages, and of addresses that a person entered
_OURS: Final = frozenset({"same-origin", "none"})
# a browser sends these for another site only after a preflight, which we do not answer
_PREFLIGHTED: Final = frozenset({"application/json", "application/graphql"})
# Dagster shows any notebook below the working folder, and its scripts run as ours; no asset of ours has one
_NOTEBOOKS: Final = frozenset({"/notebook", "/dagit/notebook"})
_LONGEST_QUOTE: Final = 100
_LOGGED_REASONS: Final = 20


class RequestRejection(NamedTuple):
    """The answer to a request that is not passed on: its status, and the reason with the remedy."""

    status: HTTPStatus
    reason: str


class RequestGuard:
    """ASGI middleware that passes on what our own pages and command-line clients send.

    Args:
        app: the application behind it.
        addresses: where browsers reach it, such as `http://127.0.0.1:3000`; the first is named in answers.
    """

    def __init__(self, app: ASGIApp, addresses: Sequence[str]) -> None:
        self._app = app
        self._first = addresses[0]
        self._origins = frozenset(addresses)
        self._hosts = frozenset(host for address in addresses for host in _hosts(address))
        # what `require_guarded` causes at every start is not news
        self._logged = {self._of_host(UNKNOWN_NAME)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a WebSocket handshake, or pass it on."""
        rejection = self.rejection(scope) if scope["type"] in ("http", "websocket") else None
        if rejection is None:
            await self._app(scope, receive, _unframed(send))
            return
        self._log_once(rejection.reason)
        answer = PlainTextResponse(f"{rejection.reason}\n", rejection.status, {"X-Content-Type-Options": "nosniff"})
        await answer(scope, receive, send)

    def rejection(self, scope: Scope) -> RequestRejection | None:
        """Why a request or a WebSocket handshake is not passed on; None if it is."""
        headers = Headers(scope=scope)
        hosts, unknown = headers.getlist("host"), [*filter(self._is_unknown, headers.getlist("origin"))]
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return RequestRejection(HTTPStatus.MISDIRECTED_REQUEST, self._of_host(", ".join(hosts)))
        if unknown:
            return RequestRejection(HTTPStatus.FORBIDDEN, _of_origin(unknown[0]))
        reads = scope["type"] == "http" and scope["method"] in _READS
        from_elsewhere = headers.get("sec-fetch-site", "none") not in _OURS
        if from_elsewhere and not (reads and _opens_page(headers)):
            return RequestRejection(
                HTTPStatus.FORBIDDEN, "A page of another web site sent this request. Others may only link to our pages."
            )
        if reads:
            return _of_read(scope, headers, from_elsewhere=from_elsewhere)
        if scope["type"] == "http" and "origin" not in headers and not _is_preflighted(headers):
            return RequestRejection(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "A request that is not sent by our own pages needs the header Content-Type: application/json.",
            )
        return None

    def _is_unknown(self, origin: str) -> bool:
        return origin.lower() not in self._origins

    def _of_host(self, host: str) -> str:
        return (
            f"The web UI is not known under the name {_quoted(host)}. Open {self._first} instead. If a proxy or a "
            "forwarded port uses this name, start the web UI with --url and the address in the browser, such as "
            "--url https://smallcaps.example.com."
        )

    def _log_once(self, reason: str) -> None:
        """Log a reason the first time; what a page sends cannot fill the log."""
        if reason not in self._logged and len(self._logged) <= _LOGGED_REASONS:
            self._logged.add(reason)
            _log.warning("web UI: a request was rejected: %s", reason)


def _hosts(address: str) -> Iterator[str]:
    """The Host headers that a browser sends for an address."""
    scheme, _, authority = address.partition("://")
    yield authority
    if ":" not in authority.rpartition("]")[2]:
        yield f"{authority}:{DEFAULT_PORTS[scheme]}"


def _of_origin(origin: str) -> str:
    return (
        f"A page of {_quoted(origin)} sent this request, and only our own pages may. If that is the address of the web "
        "UI behind a proxy, start the web UI with --url and that address."
    )


def _of_read(scope: Scope, headers: Headers, *, from_elsewhere: bool) -> RequestRejection | None:
    """Why a GET of our pages, of a link or of a client is not passed on.

    Dagster executes what a GET of /graphql asks for, unless it accepts HTML: then it answers with its editor.
    """
    if scope["path"] in _NOTEBOOKS:
        return RequestRejection(
            HTTPStatus.FORBIDDEN, "Notebooks are not shown, since a script in one could launch runs. Use Jupyter."
        )
    is_prefilled = from_elsewhere and bool(scope["query_string"])
    if not scope["path"].endswith("/graphql") or ("text/html" in headers.get("accept", "") and not is_prefilled):
        return None
    return RequestRejection(HTTPStatus.METHOD_NOT_ALLOWED, "GraphQL is answered to POST with JSON only.")


def _opens_page(headers: Headers) -> bool:
    """Whether a link was followed, in a window and not in a frame."""
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")


def _is_preflighted(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() in _PREFLIGHTED


def _unframed(send: Send) -> Send:
    """`send` that forbids other sites to show our pages in a frame, where a click could be stolen."""

    async def send_unframed(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Frame-Options"] = "SAMEORIGIN"
        await send(message)

    return send_unframed


def _quoted(text: str) -> str:
    return repr(text[:_LONGEST_QUOTE])
