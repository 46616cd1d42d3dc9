"""Another web site in the user's browser: the ways in which its pages can send a mutation, and what arrives of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final
from urllib.parse import urlencode

from playwright.sync_api import Page

from smallcaps_assets_tests.free_ports import HOST
from smallcaps_assets_tests.web_server import _LAUNCH, _selector

# Each returns when the browser is done. TARGET is the address of /graphql with a mutation in its query, BODY the
# mutation as JSON, SOCKET the address of its WebSocket, START what starts the mutation there.
WAYS: Final = {
    "image": "new Promise(done => { const it = new Image(); it.onload = it.onerror = done; it.src = TARGET })",
    "script": """new Promise(done => {
        const it = document.createElement("script"); it.onload = it.onerror = done; it.src = TARGET;
        document.body.append(it) })""",
    "frame": """new Promise(done => {
        const it = document.createElement("iframe"); it.onload = done; it.src = TARGET; document.body.append(it) })""",
    "form": """new Promise(done => {
        const frame = document.createElement("iframe"), it = document.createElement("form");
        frame.name = `answer${document.forms.length}`; document.body.append(frame, it);
        Object.assign(it, {method: "POST", action: TARGET, target: frame.name}); frame.onload = done; it.submit() })""",
    "get": "fetch(TARGET, {mode: 'no-cors'}).catch(() => 0)",
    "post": "fetch(TARGET, {mode: 'no-cors', method: 'POST', body: BODY}).catch(() => 0)",
    "post as text": """fetch(TARGET, {mode: "no-cors", method: "POST", body: BODY,
        headers: {"Content-Type": "text/plain; application/json"}}).catch(() => 0)""",
    "post as JSON": """fetch(TARGET, {method: "POST", body: BODY,
        headers: {"Content-Type": "application/json"}}).catch(() => 0)""",
    "websocket": """new Promise(done => {
        const it = new WebSocket(SOCKET, "graphql-ws"); it.onerror = () => done("closed");
        it.onopen = () => it.send(START); it.onmessage = () => done("answered") })""",
}


@dataclass
class OtherSite:
    """A server of another origin, and every request that reached it, as `METHOD kind`."""

    url: str
    open_target: str
    arrived: list[str] = field(default_factory=list)

    def send(self, page: Page, target: str, way: str) -> str:
        """Send a mutation that launches a run, in one of `WAYS`, from a page to a server; what the page learns."""
        variables = {"params": {"selector": _selector(["universe"]), "mode": "default"}}
        mutation = {"query": _LAUNCH, "variables": variables}
        values = {
            "TARGET": f"{target}/graphql?" + urlencode({"query": _LAUNCH, "variables": json.dumps(variables)}),
            "BODY": json.dumps(mutation),
            "SOCKET": f"{target.replace('http', 'ws', 1)}/graphql",
            "START": json.dumps({"id": "1", "type": "start", "payload": mutation}),
        }
        named = "".join(f"const {name} = {json.dumps(value)}; " for name, value in values.items())
        result: str = page.evaluate(f"async () => {{ {named} return String(await {WAYS[way]}) }}")
        return result


@contextmanager
def other_site() -> Iterator[OtherSite]:
    """Serve its pages, and record what arrives."""
    site = OtherSite("", "")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            site.arrived.append(f"{self.command} {self.headers.get('Upgrade', self.path.partition('?')[0])}")
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>another site</title><body></body>")

        do_GET = do_POST = do_OPTIONS = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        # another site than that of HOST
        site.url = f"http://localhost:{server.server_port}"
        site.open_target = f"http://{HOST}:{server.server_port}"
        yield site
        server.shutdown()
