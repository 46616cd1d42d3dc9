"""What the guard of the web UI passes on, and what it rejects."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message

from smallcaps_assets.commands.services.exposure import UNKNOWN_NAME
from smallcaps_assets.commands.services.request_guard import RequestGuard

OURS = "http://127.0.0.1:3000"
PROXY = "https://smallcaps.example.com"
ADDRESSES = [OURS, "http://localhost:3000", "http://[::1]:3000", PROXY]
OTHER = "http://other.example"
PASSED = 299
MUTATION = "/graphql?query=mutation%7BshutdownRepositoryLocation%7D"
JSON = {"content-type": "application/json"}


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str
    kinds: set[str]


def ask(method: str, target: str, headers: Mapping[str, str | list[str]], guard: RequestGuard | None = None) -> Answer:
    """The answer to a request, or to a WebSocket handshake where the method is WS; Host is ours unless given."""
    path, _, query = target.partition("?")
    listed = {"host": "127.0.0.1:3000", **headers}
    pairs = [(name, each) for name, value in listed.items() for each in ([value] if isinstance(value, str) else value)]
    scope: dict[str, Any] = {
        "type": "websocket" if method == "WS" else "http",
        "path": unquote(path),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in pairs],
    }
    if method != "WS":
        scope["method"] = method
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("the guard does not read")

    asyncio.run((guard or RequestGuard(PlainTextResponse("app", PASSED), ADDRESSES))(scope, receive, send))
    start, body = sent
    named = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], named, body["body"].decode(), {message["type"] for message in sent})


def fetched(site: str, mode: str, dest: str, **others: str) -> dict[str, str]:
    """The headers by which a browser says whose page is asking and what for."""
    return {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest, **others}


PAGE = ("navigate", "document")
HTML = {"accept": "text/html,*/*"}
PASSES: Mapping[str, tuple[str, str, Mapping[str, str | list[str]]]] = {
    "an address that was entered": ("GET", "/", fetched("none", *PAGE)),
    "a link on another site": ("GET", "/assets/minute_bars", fetched("cross-site", *PAGE)),
    "a link on a page of this machine": ("GET", "/runs", fetched("same-site", *PAGE)),
    "a script of our page": ("GET", "/static/js/main.js", fetched("same-origin", "no-cors", "script")),
    "a query of our page": ("POST", "/graphql", fetched("same-origin", "cors", "empty", origin=OURS) | JSON),
    "text of our page": ("POST", "/graphql", {"origin": OURS, "content-type": "text/plain"}),
    "our page under another name": ("POST", "/graphql", {"host": "localhost:3000", "origin": "http://localhost:3000"}),
    "IPv6": ("POST", "/graphql", {"host": "[::1]:3000", "origin": "http://[::1]:3000"}),
    "a name in capitals": ("GET", "/", {"host": "LOCALHOST:3000"}),
    "a proxy": ("POST", "/graphql", {"host": "smallcaps.example.com", "origin": PROXY}),
    "a proxy that names its port": ("POST", "/graphql", {"host": "smallcaps.example.com:443", "origin": PROXY}),
    "a proxy that sends our name": ("POST", "/graphql", {"origin": PROXY} | JSON),
    "a client that reads": ("GET", "/server_info", {"accept": "*/*"}),
    "a client with JSON": ("POST", "/graphql", JSON),
    "a client with UTF-8 JSON": ("POST", "/graphql", {"content-type": "Application/JSON; charset=utf-8"}),
    "a client with GraphQL": ("POST", "/graphql", {"content-type": "application/graphql"}),
    "a client that reports": ("POST", "/report_asset_materialization/minute_bars", JSON),
    "the editor of queries": ("GET", "/graphql", fetched("none", *PAGE) | HTML),
    "the editor reloaded": ("GET", "/graphql?query=%7Bversion%7D", fetched("same-origin", *PAGE) | HTML),
    "a WebSocket of our page": ("WS", "/graphql", {"origin": OURS}),
    "a WebSocket of a client": ("WS", "/graphql", {}),
}
REJECTED: Mapping[str, tuple[int, str, str, Mapping[str, str | list[str]]]] = {
    "another name (DNS rebinding)": (421, "GET", "/", {"host": "other.example:3000"}),
    "a name that begins like ours": (421, "GET", "/", {"host": "127.0.0.1:3000.other.example"}),
    "a name with a dot at its end": (421, "GET", "/", {"host": "localhost.:3000"}),
    "another port": (421, "GET", "/", {"host": "localhost:8080"}),
    "no port": (421, "GET", "/", {"host": "127.0.0.1"}),
    "the proxy's name with our port": (421, "GET", "/", {"host": "smallcaps.example.com:3000"}),
    "no name": (421, "GET", "/", {"host": []}),
    "two names": (421, "GET", "/", {"host": ["127.0.0.1:3000", "other.example"]}),
    "a rebound page": (421, "POST", "/graphql", {"host": "other.example:3000", "origin": "http://other.example:3000"}),
    "a rebound WebSocket": (421, "WS", "/graphql", {"host": "other.example", "origin": "http://other.example"}),
    "a fetch with JSON": (403, "POST", "/graphql", {"origin": OTHER} | JSON),
    "its preflight": (403, "OPTIONS", "/graphql", {"origin": OTHER, "access-control-request-method": "POST"}),
    "a fetch without CORS": (403, "POST", MUTATION, {"origin": OTHER, "content-type": "text/plain"}),
    "a form": (403, "POST", MUTATION, fetched("cross-site", *PAGE, origin=OTHER)),
    "a form of a page that hides its origin": (403, "POST", MUTATION, {"origin": "null"}),
    "a page on another port": (403, "POST", "/graphql", {"origin": "http://127.0.0.1:8080"} | JSON),
    "our name with another scheme": (403, "POST", "/graphql", {"origin": "https://127.0.0.1:3000"} | JSON),
    "the proxy without TLS": (403, "POST", "/graphql", {"origin": "http://smallcaps.example.com"} | JSON),
    "two origins": (403, "POST", "/graphql", {"origin": [OURS, OTHER]} | JSON),
    "a post of another site without its origin": (403, "POST", "/graphql", {"sec-fetch-site": "cross-site"} | JSON),
    "a post of a page of this machine": (403, "POST", "/graphql", {"sec-fetch-site": "same-site"} | JSON),
    "a report of another site": (403, "POST", "/report_asset_check/minute_bars", {"origin": OTHER} | JSON),
    "an image": (403, "GET", MUTATION, fetched("cross-site", "no-cors", "image")),
    "an image on a page of this machine": (403, "GET", MUTATION, fetched("same-site", "no-cors", "image")),
    "a fetch that reads": (403, "GET", "/logs/run/compute_logs/step.out", fetched("cross-site", "cors", "empty")),
    "an old browser's fetch that reads": (403, "GET", "/download_debug/run", {"origin": OTHER}),
    "a head": (403, "HEAD", "/", fetched("cross-site", "no-cors", "empty")),
    "a frame": (403, "GET", "/", fetched("cross-site", "navigate", "iframe")),
    "a link to a notebook": (403, "GET", "/notebook?path=Downloads/a.ipynb", fetched("cross-site", *PAGE) | HTML),
    "an old browser's link to a notebook": (403, "GET", "/dagit/notebook?path=a.ipynb", HTML),
    "a notebook with an encoded path": (403, "GET", "/note%62ook?path=a.ipynb", HTML),
    "a WebSocket": (403, "WS", "/graphql", {"origin": OTHER}),
    "a WebSocket of a page that hides its origin": (403, "WS", "/graphql", {"origin": "null"}),
    "a WebSocket of a page of this machine": (403, "WS", "/graphql", {"origin": "http://localhost:8080"}),
    "a mutation by GET": (405, "GET", MUTATION, {"accept": "*/*"}),
    "a mutation by GET of our page": (405, "GET", MUTATION, fetched("same-origin", "cors", "empty")),
    "an old browser's image": (405, "GET", MUTATION, {"accept": "image/png,*/*;q=0.8"}),
    "an encoded path": (405, "GET", MUTATION.replace("g", "%67", 1), {}),
    "a path with a prefix": (405, "GET", f"/prefix{MUTATION}", {}),
    "a link to the editor with a query": (405, "GET", MUTATION, fetched("cross-site", *PAGE) | HTML),
    "an old browser's text": (415, "POST", MUTATION, {"content-type": "text/plain"}),
    "text that names JSON": (415, "POST", "/graphql", {"content-type": "text/plain; application/json"}),
    "an old browser's form": (415, "POST", MUTATION, {"content-type": "application/x-www-form-urlencoded"}),
    "an old browser's upload": (415, "POST", MUTATION, {"content-type": "multipart/form-data; boundary=x"}),
    "a post without a type": (415, "POST", MUTATION, {}),
    "a report as text": (415, "POST", "/report_asset_observation/minute_bars", {"content-type": "text/plain"}),
}


@pytest.mark.parametrize("case", PASSES)
def test_our_pages_links_and_clients_are_passed_on(case: str) -> None:
    answer = ask(*PASSES[case])
    assert answer.status == PASSED, answer.text


@pytest.mark.parametrize("case", REJECTED)
def test_what_other_sites_send_is_rejected(case: str) -> None:
    expected, *request = REJECTED[case]
    answer = ask(*request)  # type: ignore[arg-type]
    assert answer.status == expected, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    websocket = request[0] == "WS"
    assert {kind.startswith("websocket.") for kind in answer.kinds} == {websocket}


def test_a_rejection_says_what_to_do() -> None:
    of_host = ask("GET", "/", {"host": "smallcaps.local"}).text
    assert of_host.startswith(f"The web UI is not known under the name 'smallcaps.local'. Open {OURS} instead.")
    assert "--url https://smallcaps.example.com" in of_host
    of_origin = ask("POST", "/graphql", {"origin": "https://smallcaps.local"} | JSON).text
    assert of_origin.startswith("A page of 'https://smallcaps.local' sent this request")
    assert "start the web UI with --url and that address" in of_origin
    assert "Content-Type: application/json" in ask("POST", "/graphql", {}).text
    assert len(ask("GET", "/", {"host": "x" * 5_000}).text) < 500


def test_no_other_site_shows_our_pages_in_a_frame() -> None:
    """Also where a browser does not say whose page is asking."""
    assert ask("GET", "/", {}).headers["x-frame-options"] == "SAMEORIGIN"


def test_each_reason_is_logged_once_and_not_without_end(caplog: pytest.LogCaptureFixture) -> None:
    guard = RequestGuard(PlainTextResponse("app", PASSED), ADDRESSES)
    with caplog.at_level(logging.WARNING):
        ask("GET", "/", {"host": UNKNOWN_NAME}, guard)  # the check at the start
        for number in range(100):
            for _ in range(2):
                ask("GET", "/", {"host": f"name-{number}\r\n"}, guard)
    assert len(caplog.messages) == len({*caplog.messages}) == 20
    assert r"'name-0\r\n'" in caplog.messages[0]


def test_the_start_of_the_server_is_passed_on() -> None:
    """The third kind of scope has no headers."""
    kinds = []

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
        kinds.append(scope["type"])

    async def unused() -> Message:
        raise AssertionError

    async def unsent(message: Message) -> None:
        raise AssertionError(message)

    asyncio.run(RequestGuard(app, ADDRESSES)({"type": "lifespan"}, unused, unsent))
    assert kinds == ["lifespan"]
