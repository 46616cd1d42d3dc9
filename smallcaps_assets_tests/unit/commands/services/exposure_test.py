"""Who can reach a server of ours, and under which addresses."""

from argparse import ArgumentTypeError

import pytest

from smallcaps_assets.commands.services.exposure import (
    browser_address,
    browser_addresses,
    require_consent,
    require_guarded,
)
from smallcaps_assets.commands.services.services import _free_port
from smallcaps_assets.errors import InputError, ServiceEnded
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve

REACHABLE = ["0.0.0.0", "::", "", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"]  # noqa: S104


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_no_consent_is_needed_for_this_machine_alone(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    require_consent("the web UI", "read its logs", host, consented=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("host", REACHABLE)
def test_a_server_that_others_can_reach_needs_consent_and_warns(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    fact = (
        f"--host {host}: other machines can reach this address, and the web UI has no login: whoever reaches it can "
        "read its logs"
    )
    with pytest.raises(InputError) as caught:
        require_consent("the web UI", "read its logs", host, consented=False)
    assert str(caught.value).startswith(fact)
    assert str(caught.value).endswith("or add --open-to-network.")
    require_consent("the web UI", "read its logs", host, consented=True)
    assert capsys.readouterr() == ("", f"warning: {fact}\n")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://smallcaps.example.com", "https://smallcaps.example.com"),
        ("HTTPS://Smallcaps.Example.com:443/", "https://smallcaps.example.com"),
        ("http://smallcaps:80", "http://smallcaps"),
        ("https://smallcaps:80", "https://smallcaps:80"),
        ("http://localhost:08080", "http://localhost:8080"),
        ("http://[2001:DB8::1]:3000", "http://[2001:db8::1]:3000"),
    ],
)
def test_an_address_is_written_as_browsers_do(text: str, address: str) -> None:
    assert browser_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["smallcaps", "https://", "https://a/b", "https://a?b", "https://u:p@a", "ftp://a", "http://a:65536", "*"],
)
def test_what_is_no_address_is_rejected(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not an address without a path, such as"):
        browser_address(text)


@pytest.mark.parametrize(
    ("host", "first", "number"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000", 3),
        ("localhost", "http://localhost:3000", 3),
        ("0.0.0.0", "http://127.0.0.1:3000", 3),  # noqa: S104
        ("::", "http://[::1]:3000", 3),
        ("192.0.2.1", "http://192.0.2.1:3000", 4),
        ("Server.Example", "http://server.example:3000", 4),
    ],
)
def test_a_server_is_known_under_the_names_of_this_machine_and_its_own(host: str, first: str, number: int) -> None:
    addresses = browser_addresses(host, 3000)
    assert addresses[0] == first
    assert len(addresses) == number
    assert {"http://127.0.0.1:3000", "http://localhost:3000", "http://[::1]:3000"} <= {*addresses}
    assert browser_addresses("127.0.0.1", 80)[0] == "http://127.0.0.1"


def test_a_web_server_without_a_guard_is_not_left_running() -> None:
    with serve(Exchange(SimulatedMarket(seed=7, symbols=1))) as unguarded:
        port = int(unguarded.base_url.rpartition(":")[2])
        with pytest.raises(InputError, match=r"^the web server answers to every name \(status \d+ for"):
            require_guarded("127.0.0.1", port)
    with pytest.raises(ServiceEnded, match="did not answer a first request"):
        require_guarded("127.0.0.1", _free_port())
