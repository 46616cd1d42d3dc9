"""A service that ends is started again, but not for ever."""

import time

import pytest

from smallcaps_assets.commands.services.services import STARTS, Service, answers, free_port
from smallcaps_assets.errors import ServiceEnded


def test_a_service_that_never_stays_up_is_given_up_by_name() -> None:
    starts: list[float] = []
    service = Service("daemon", ["no_module_of_this_name"], before=lambda: starts.append(time.monotonic()))
    service.start()

    def keep_for_ever() -> None:
        while True:
            service.keep()

    with pytest.raises(ServiceEnded, match=f"the daemon ended {STARTS} times within 5 minutes"):
        keep_for_ever()
    service.reap()
    assert len(starts) == STARTS


def test_a_service_is_started_when_it_answers_and_again_when_it_has_ended() -> None:
    address = ("127.0.0.1", free_port())
    service = Service("server", ["http.server", str(address[1]), "--bind", address[0]], address)
    assert not answers(address)
    pids = []
    for _ in range(2):
        service.keep() if pids else service.start()
        assert answers(address)
        pids.append(service.pid)
        process = service._process
        assert process is not None
        service.keep()
        assert service.pid == pids[-1], "it was at work"
        process.kill()
        process.wait(20)
    assert pids[0] != pids[1]
