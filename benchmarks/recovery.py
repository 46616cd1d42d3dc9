"""How long faults go unnoticed and work stands still, with the intervals of the repository's dagster.yaml.

python benchmarks/recovery.py [--faults NAME ...]

`smallcaps ui` on a separate lake fetches minute bars from an exchange that holds requests up; then something is
killed, hangs or is cancelled, and the exchange answers again. Where the web UI ends with a service it is started again
at once, as a service manager does after its delay. Measured is the time until the fault is noticed (the run is marked
as failed, or the web UI has ended) and until work continues (the next request arrives). Prints a table in markdown; the
last line is one JSON object; the exit code is 1 if anything is lost.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg
import psutil

from smallcaps_assets.runtime.processes import is_running, wait_until_gone
from smallcaps_assets_tests.recovery.platform import MONTHS, PER_RUN, SYMBOLS, HoldRequests, Platform
from smallcaps_assets_tests.web_server import RUNS_S

SUCCESS, FAILURE, CANCELED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED
MAX_RUNTIME_S = 20
# what a request takes where the run must not be done before the fault
SLOW_S = 2.0


@dataclass
class Result:
    """What became of one fault: seconds, and counts of requests and of months of bars."""

    fault: str
    noticed_s: float
    continues_s: float
    published_fetched_again: int
    under_way_fetched_again: int
    months_lost: int


class Scene:
    """A run, or a backfill, that waits for an answer, and the clock that starts with the fault."""

    def __init__(self, platform: Platform, *, backfill: bool = False, **tags: str) -> None:
        self.platform = platform
        platform.reset()
        self.hold: HoldRequests = platform.hold()
        self.months = (SYMBOLS if backfill else PER_RUN) * MONTHS
        self.id = platform.backfill() if backfill else platform.launch(0, PER_RUN - 1, **tags)
        platform.wait_until_it_waits(self.hold)
        self.requests = len(platform.gate.requests)
        self.began = time.monotonic()

    def fault(self, *killed: psutil.Process) -> None:
        """Kill processes; the clock starts, and the exchange answers again."""
        for process in killed:
            process.kill()
        wait_until_gone(killed, 20)
        self.began = time.monotonic()
        self.hold.release()

    def until(self, condition: Callable[[], object]) -> float:
        """Seconds since the fault when the condition holds.

        Raises:
            TimeoutError: it does not come to hold.
        """
        while not condition():
            if time.monotonic() - self.began > 2 * RUNS_S:
                raise TimeoutError(f"still not so after {2 * RUNS_S} s")
            time.sleep(0.05)
        return round(time.monotonic() - self.began, 1)

    def until_web_ui_ended(self) -> float:
        """Seconds since the fault when `smallcaps ui` has ended by itself."""
        return self.until(lambda: self.platform.ui.process.poll() is not None)

    def asks(self) -> bool:
        """Whether a request has come since the fault."""
        return len(self.platform.gate.requests) > self.requests

    def whole(self) -> bool:
        """Whether all bars are there."""
        return self.platform.months() == self.months

    def result(self, fault: str, noticed_s: float, continues_s: float, *, unfinished: bool = False) -> Result:
        """Wait until all is fetched, then count."""
        if not unfinished:
            self.until(self.whole)
        under_way = {*self.hold.waiting}
        again = self.platform.requested_twice()
        return Result(
            fault,
            noticed_s,
            continues_s,
            published_fetched_again=len([path for path in again if path not in under_way]),
            under_way_fetched_again=len([path for path in again if path in under_way]),
            months_lost=0 if unfinished else self.months - self.platform.months(),
        )


def run_killed(platform: Platform) -> Result:
    scene = Scene(platform)
    scene.fault(platform.worker(scene.id))
    noticed = scene.until(lambda: platform.run(scene.id).status == FAILURE)
    return scene.result("the process of a run is killed", noticed, scene.until(scene.asks))


def code_server_killed(platform: Platform) -> Result:
    scene = Scene(platform)
    scene.fault(*platform.services("grpc"))
    noticed = scene.until_web_ui_ended()
    platform.start()
    scene.until(lambda: platform.run(scene.id).status == SUCCESS)
    scene.requests = len(platform.gate.requests)
    launched: list[str] = []

    def launches() -> bool:
        with suppress(AssertionError, KeyError):
            launched.append(platform.launch(PER_RUN, 2 * PER_RUN - 1))
        return bool(launched)

    scene.until(launches)
    scene.months += PER_RUN * MONTHS
    return scene.result("the code server is killed", noticed, scene.until(scene.asks))


def daemon_killed(platform: Platform) -> Result:
    scene = Scene(platform, backfill=True)
    scene.fault(*platform.services("dagster._daemon"))
    noticed = scene.until_web_ui_ended()
    platform.start()
    # one run is under way and one is launched: they continue without it, the third needs it
    continues = scene.until(lambda: len(platform.gate.requests) > 2 * PER_RUN * MONTHS)
    return scene.result("the daemon is killed in a backfill", noticed, continues)


def everything_killed(platform: Platform) -> Result:
    scene = Scene(platform, backfill=True)
    under_way = next(run for run in platform.runs(dg.DagsterRunStatus.STARTED))
    scene.fault(*platform.ui.processes())
    platform.start()
    noticed = scene.until(lambda: platform.run(under_way.run_id).status == FAILURE)
    return scene.result("everything is killed in a backfill, and started again", noticed, scene.until(scene.asks))


def told_to_end(platform: Platform) -> Result:
    scene = Scene(platform)
    platform.ui.process.terminate()
    scene.hold.latency_s = SLOW_S
    scene.fault()
    platform.ui.require_end()
    noticed = scene.until(lambda: platform.run(scene.id).status == FAILURE)
    scene.began = time.monotonic()
    scene.hold.latency_s = 0.0
    platform.start()
    return scene.result("Ctrl-C during a run, and started again", noticed, scene.until(scene.asks))


def hangs(platform: Platform) -> Result:
    scene = Scene(platform, **{"dagster/max_runtime": str(MAX_RUNTIME_S)})
    started = platform.started_at(scene.id)
    scene.began = time.monotonic() - (time.time() - started) + MAX_RUNTIME_S
    noticed = scene.until(lambda: platform.run(scene.id).status == FAILURE)
    scene.hold.release()
    return scene.result("a run hangs (counted from max_runtime on)", noticed, scene.until(scene.asks))


def cancelled(platform: Platform) -> Result:
    scene = Scene(platform)
    worker = platform.worker(scene.id)
    scene.hold.latency_s = SLOW_S
    scene.fault()
    platform.cancel(scene.id)
    noticed = scene.until(lambda: not is_running(worker) and platform.run(scene.id).status == CANCELED)
    continues = scene.until(lambda: platform.slots_taken() == 0)
    return scene.result("a run is cancelled in the web UI (its slot is free)", noticed, continues, unfinished=True)


FAULTS: dict[str, Callable[[Platform], Result]] = {
    fault.__name__: fault
    for fault in (run_killed, code_server_killed, daemon_killed, everything_killed, told_to_end, hangs, cancelled)
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="NAME")
    chosen = parser.parse_args().faults
    results = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Platform.running(Path(folder), intervals={}) as platform,
    ):
        for name in chosen:
            results.append(FAULTS[name](platform))
            print(results[-1], flush=True)
    print(
        "| fault | noticed after | work continues after | fetched again, published | fetched again, under way | lost |"
    )
    print("|---|---|---|---|---|---|")
    for found in results:
        print(
            f"| {found.fault} | {found.noticed_s} s | {found.continues_s} s | {found.published_fetched_again} | "
            f"{found.under_way_fetched_again} | {found.months_lost} |"
        )
    print(json.dumps({name: asdict(found) for name, found in zip(chosen, results, strict=True)}))
    return int(any(found.published_fetched_again or found.months_lost for found in results))


if __name__ == "__main__":
    raise SystemExit(main())
