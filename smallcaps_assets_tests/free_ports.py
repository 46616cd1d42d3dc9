"""Ports for servers that a test starts a moment later."""

import random
import socket
from contextlib import suppress
from typing import Final

HOST: Final = "127.0.0.1"
# below those that systems give to outgoing connections, one of which could take a free port before the server does
_PORTS: Final = range(15_000, 32_000)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    chance = random.SystemRandom()
    while True:
        port = chance.choice(_PORTS)
        with suppress(OSError):
            socket.create_server((HOST, port)).close()
            return port
