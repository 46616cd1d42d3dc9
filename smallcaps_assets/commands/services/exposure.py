"""Who can reach a server of ours: this machine, or other machines if the user consents; and under which addresses."""

import http.client
import re
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from smallcaps_assets.commands.console import show
from smallcaps_assets.errors import InputError, ServiceEnded

# where to connect to a server that listens on every address
CONNECT_TO: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_ADDRESS: Final = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", re.IGNORECASE)
# the name under which `require_guarded` asks
UNKNOWN_NAME: Final = "unknown.invalid"
_ANSWERS_WITHIN_S: Final = 30.0


def add_consent_flag(parser: ArgumentParser) -> None:
    """Add the flag by which a user allows other machines to connect."""
    parser.add_argument(
        "--open-to-network",
        action="store_true",
        help="allow a --host that other machines can reach, although there is no login",
    )


def require_consent(what: str, danger: str, host: str, *, consented: bool) -> None:
    """Warn of a server that other machines can reach.

    Raises:
        InputError: they can, and the user did not consent.
    """
    if not _is_reachable(host):
        return
    fact = (
        f"--host {host}: other machines can reach this address, and {what} has no login: whoever reaches it can "
        f"{danger}"
    )
    if not consented:
        raise InputError(
            f"{fact}. Keep the default 127.0.0.1, with a proxy that asks for a login in front if others need it "
            "(docs/operations.md), or add --open-to-network."
        )
    show(f"warning: {fact}", file=sys.stderr)


def _is_reachable(host: str) -> bool:
    """Whether other machines can connect to what listens on a name or an address."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return not host  # listens on every address; an unknown name is the business of `require_port`
    return not all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def browser_address(text: str) -> str:
    """An address of the web UI as browsers write it in the header Origin.

    Raises:
        ArgumentTypeError: not an http or https address, or one with a path.
    """
    match = _ADDRESS.fullmatch(text)
    if not match or int(match[3] or 0) not in range(65_536):
        raise ArgumentTypeError(f"{text!r} is not an address without a path, such as https://smallcaps.example.com")
    scheme, host = match[1].lower(), match[2].lower()
    default = DEFAULT_PORTS[scheme]
    port = int(match[3] or default)
    return f"{scheme}://{host}" + (f":{port}" if port != default else "")


def http_address(host: str, port: int) -> str:
    """The address of a server as browsers write it."""
    address = host.partition("%")[0].lower()
    name = f"[{address}]" if ":" in address else address
    return f"http://{name}" + (f":{port}" if port != DEFAULT_PORTS["http"] else "")


def browser_addresses(host: str, port: int) -> list[str]:
    """Where browsers on this machine reach a server that listens on `host`; the address listened on comes first."""
    names = (CONNECT_TO.get(host, host), *_LOOPBACK_NAMES)
    return [*dict.fromkeys(http_address(name, port) for name in names)]


def require_guarded(host: str, port: int) -> None:
    """Make sure that a web server rejects requests under a name that is not ours.

    Raises:
        InputError: it answers them.
        ServiceEnded: it does not answer at all.
    """
    connection = http.client.HTTPConnection(CONNECT_TO.get(host, host), port, timeout=_ANSWERS_WITHIN_S)
    try:
        connection.request("GET", "/server_info", headers={"Host": UNKNOWN_NAME})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise ServiceEnded(f"the web server did not answer a first request ({error})") from error
    finally:
        connection.close()
    if status != HTTPStatus.MISDIRECTED_REQUEST:
        raise InputError(
            f"the web server answers to every name (status {status} for {UNKNOWN_NAME}), so other sites could use it: "
            "smallcaps cannot guard the installed dagster-webserver. Install the release that pyproject.toml names."
        )
