"""A Redis server of the tests' own, started from what the system has installed."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

import pytest

from smallcaps_assets_tests.free_ports import HOST, free_port
from smallcaps_assets_tests.web_server import until

# CI installs a server: there it is a failure that none is found
REQUIRED: Final = "SMALLCAPS_REQUIRE_REDIS"
PASSWORD: Final = "of-redis-and-of-no-log"  # noqa: S105 -- of a server of the tests
_STARTS_S: Final = 30


@contextmanager
def redis_server() -> Iterator[str]:
    """The address of an empty server, with its password; skips where no server or client is installed."""
    program = shutil.which("redis-server")
    if program is None or find_spec("redis") is None or find_spec("dagster_celery") is None:
        assert REQUIRED not in os.environ, "no server of Redis, or not the extra cluster"
        pytest.skip("needs a server of Redis and the extra cluster")
    port = free_port()
    options = f'port {port}\nbind {HOST}\nrequirepass {PASSWORD}\nsave ""\nappendonly no\n'
    with subprocess.Popen([program, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdin
            server.stdin.write(options)
            server.stdin.close()
            until("Redis answers", lambda: _answers(port), _STARTS_S)
            yield f"redis://:{PASSWORD}@{HOST}:{port}/0"
        finally:
            server.kill()


def _answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
