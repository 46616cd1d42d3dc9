"""Retries, answers with 429 and failures: the log of a run, the metadata it records and `smallcaps status` agree."""

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest

from smallcaps_assets.commands.console import plain_text
from smallcaps_assets.commands.inspecting.report import capture_report, profile_report
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.progress import Progress, show_progress
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import LATER, Gate, event, manifest_of, refusal
from smallcaps_assets_tests.scenarios import default_settings

SETTINGS = default_settings()
# one window of each symbol; what the exchange answers to its requests before it serves them
SCRIPT: Mapping[str, list[int]] = {"FINE": [], "BUSY": [429, 429], "SHAKY": [503], "BROKEN": [429, 503, 503]}
MANIFEST = manifest_of(*(event("2025-11-26 11:00", event_id=symbol, symbol=symbol) for symbol in SCRIPT))
PAIRS = [(symbol, "RTH") for symbol in SCRIPT]
# retries, answers with 429, failed windows: by hand. BROKEN is asked three times, the second and third after a fault
EXPECTED = {"FINE": (0, 0, 0), "BUSY": (2, 2, 0), "SHAKY": (1, 0, 0), "BROKEN": (2, 1, 1)}
PATIENCE_S = 60.0

Counts = tuple[int, int, int]


class LogLine:
    """What a line of progress would say at this moment."""

    text = ""

    def show(self, progress: Progress) -> None:
        self.text = ", ".join(progress.describe_figures())

    def counts(self) -> Counts:
        found = re.search(r"(\d+) retr(?:y|ies), (\d+) answers? with 429.*?, (\d+) failed", self.text)
        assert found
        return tuple(map(int, found.groups()))  # type: ignore[return-value]


def of_metadata(outcomes: list[Outcome]) -> Counts:
    figures = Counter[str]()
    for outcome in outcomes:
        figures.update({name: int(count) for name, count in outcome.figures.items()})
    return figures["retries"], figures["throttled"], figures["spans_failed"]


def of_status(lake: Lake, kind: str) -> Counts:
    row = re.search(rf"^  {kind} .*$", profile_report(lake, "core", SETTINGS, LATER), re.MULTILINE)
    assert row
    _, _, failed, _, _, retries, throttled, *_ = row[0].split()
    return int(retries), int(throttled), int(failed)


class Script:
    """A rule of the exchange: it answers by SCRIPT, and to a symbol's first request only once that is allowed."""

    def __init__(self) -> None:
        self.answers = {symbol: list(statuses) for symbol, statuses in SCRIPT.items()}
        self.begun: dict[str, bool] = defaultdict(bool)
        self.allowed = threading.Semaphore(0)

    def __call__(self, path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG002
        symbol = path.rpartition("/")[2]
        if not self.begun[symbol]:
            self.begun[symbol] = True
            assert self.allowed.acquire(timeout=PATIENCE_S)
        statuses = self.answers[symbol]
        return refusal(statuses.pop(0), headers={"Retry-After": "0"}) if statuses else None


@pytest.fixture
def frozen_lake(lake: Lake) -> Lake:
    ManifestStore.in_lake(lake, "core").freeze(
        Selection(MANIFEST, [], {}), config_hash="c", master_sha256="m", now=datetime(2025, 12, 2, tzinfo=UTC)
    )
    return lake


def capture(lake: Lake, client: MarketDataClient, lines: list[str]) -> Iterator[Outcome]:
    tape = TapeStore(lake, "core", SETTINGS.profiles["core"])
    return Capture("trades", tape, client, 1, "abc", log=lines.append).run(MANIFEST, PAIRS)


def test_log_metadata_and_status_count_the_same_at_every_moment(
    frozen_lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    script, log, lines = Script(), LogLine(), list[str]()
    gate.rule = script
    done: list[Outcome] = []
    with show_progress(log):
        outcomes = capture(frozen_lake, client, lines)
        for _ in SCRIPT:
            script.allowed.release()
            # the next request waits at the gate, so that nothing changes during the comparison
            done.append(next(outcomes))
            expected = [EXPECTED[outcome.partition[0]] for outcome in done]
            so_far = tuple(sum(column) for column in zip(*expected, strict=True))
            assert log.counts() == of_metadata(done) == of_status(frozen_lake, "trades") == so_far
        assert not list(outcomes)
    assert of_status(frozen_lake, "trades") == (5, 3, 1)
    assert "5 retries, 3 answers with 429, 1 failed" in lines[-1]
    # a second run has its own counts in its log; status has those of both, and the window is no longer failed
    lines.clear()
    again = list(capture(frozen_lake, client, lines))
    assert of_metadata(again) == (0, 0, 0)
    assert "0 retries, 0 answers with 429, 0 failed" in lines[-1]
    assert of_status(frozen_lake, "trades") == (5, 3, 0)


def test_windows_with_trades_whose_quotes_are_missing_are_shown_as_such(
    frozen_lake: Lake, client: MarketDataClient
) -> None:
    list(capture(frozen_lake, client, []))
    lines = profile_report(frozen_lake, "core", SETTINGS, LATER).splitlines()
    assert " ".join(lines[1].split()) == "wave windows complete empty partly failed quotes missing missing MB"
    assert lines[2].split()[:-1] == ["RTH", "4", "0", "0", "0", "0", "4", "0"]
    assert " ".join(lines[4].split()) == "kind published failed missing requests retries 429 MB last min"
    assert lines[5].split()[:7] == ["trades", "4", "0", "0", "4", "0", "0"]
    assert lines[6].split()[:7] == ["quotes", "0", "0", "4", "0", "0", "0"]
    tables = [line for line in lines if ":" not in line]
    assert len(tables) > 10
    assert max(map(len, tables)) <= 80


def test_a_time_left_is_shown_only_while_a_run_works(frozen_lake: Lake, client: MarketDataClient) -> None:
    tape = TapeStore(frozen_lake, "core", SETTINGS.profiles["core"])
    moments = iter([datetime(2025, 12, 2, 15, minute, tzinfo=UTC) for minute in (1, 2, 3, 4)])
    work = Capture("trades", tape, client, 1, "abc", log=lambda line: None, clock=lambda: next(moments))  # noqa: ARG005
    list(work.run(MANIFEST, PAIRS))
    now = datetime(2025, 12, 2, 15, 5, tzinfo=UTC)
    idle = plain_text(capture_report(frozen_lake, "core", SETTINGS, now).items)
    assert " left" not in idle
    assert "hours_left" not in idle
    # four windows in the four minutes since 15:01; the quotes of four are missing
    running = plain_text(capture_report(frozen_lake, "core", SETTINGS, now, is_running=True).items)
    assert "  about 4 min left for 4 windows of trades or quotes, at 1.0 a minute of late" in running.splitlines()
    assert "hours_left" in running
