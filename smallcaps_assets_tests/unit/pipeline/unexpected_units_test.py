"""One window, month, symbol or file that meets an error nobody foresaw fails, is kept for a report, and stops no other.

The errors come in through seams: what waits before a retry, the calendar of a far year.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime

import polars as pl
import pytest

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.errors import UnexpectedError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.tape.audit import Audit
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.pipeline.unexpected import MOST_IN_A_ROW
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, event, manifest_of, refusal
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat

CORE = default_settings().profiles["core"]
DAYS = ("2025-11-24", "2025-11-25", "2025-11-26")
DAILY = manifest_of(*(event(f"{day} 11:00", event_id=day, symbol="AVLO") for day in DAYS))
RTH = [("AVLO", "RTH")]
UNIT = "AVLO RTH 20251125T155700_20251125T160700"


@pytest.fixture
def defective(gate: Gate) -> Iterator[MarketDataClient]:
    """A client that ends with an error of nobody's where it would wait before a retry."""
    transport = Transport(
        gate.base_url, "a-key-of-tests", bucket=TokenBucket(None), max_retries=1, jitter=lambda: 1 / len("")
    )
    with closing(MarketDataClient(transport)) as client:
        yield client


def fails_on(gate: Gate, day: str) -> None:
    """Have the exchange answer requests for windows of a day with 503."""

    def rule(path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG001
        since = query.get("timestamp.gte")
        when = f"{datetime.fromtimestamp(int(since) // 10**9, UTC):%Y-%m-%d}" if since else ""
        return refusal(503, "out of order") if when == day else None

    gate.rule = rule


def captured(lake: Lake, client: MarketDataClient, manifest: pl.DataFrame = DAILY) -> Outcome:
    tape = TapeStore(lake, "core", CORE)
    capture = Capture("trades", tape, client, 2, "abc", log=lambda line: None)  # noqa: ARG005
    (outcome,) = capture.run(manifest, RTH)
    return outcome


def test_one_window_fails_and_the_others_are_captured(
    lake: Lake, gate: Gate, defective: MarketDataClient, client: MarketDataClient
) -> None:
    fails_on(gate, "2025-11-25")
    outcome = captured(lake, defective)
    file = lake.unexpected / f"core trades {UNIT}.txt"
    cause = "unexpected ZeroDivisionError: division by zero"
    (problem,) = outcome.problems
    assert problem == (f"{UNIT}: {cause}. Report it as a defect of this program; the stack trace is in {file}.")
    assert "in _backoff_s" in file.read_text(encoding="utf-8")
    assert (outcome.figures["spans_fetched"], outcome.figures["spans_failed"], outcome.figures["requests"]) == (2, 1, 3)
    tape = TapeStore(lake, "core", CORE)
    ledger = build_ledger(DAILY, tape)
    assert dict(ledger.select("event_id", "state").iter_rows()) == {
        day: "failed" if day == "2025-11-25" else "missing" for day in DAYS
    }
    assert ledger.filter(event_id="2025-11-25")["cause"][0].startswith(cause)
    assert capture_effort(tape)["requests"].sum() == 3
    gate.rule = lambda path, query: None  # noqa: ARG005
    gate.requests.clear()
    assert not captured(lake, client).problems
    assert len(gate.requests) == 1
    assert not file.exists()
    assert not tape.failures("trades")


def test_a_defect_that_every_window_meets_ends_the_step(lake: Lake, gate: Gate, defective: MarketDataClient) -> None:
    gate.rule = lambda path, query: refusal(503)  # noqa: ARG005
    times = [
        f"2025-11-{day} {hour}:{minute}" for day in (24, 25, 26) for hour in (10, 11, 12, 13) for minute in (15, 45)
    ]
    many = manifest_of(*(event(at, event_id=at, symbol="AVLO") for at in times))
    with pytest.raises(UnexpectedError, match=f"{MOST_IN_A_ROW} units of core trades in a row"):
        captured(lake, defective, many)
    assert MOST_IN_A_ROW <= len(gate.requests) < MOST_IN_A_ROW + 2 < len(times)


def test_one_month_of_bars_fails_and_the_others_are_fetched(
    lake: Lake, gate: Gate, defective: MarketDataClient
) -> None:
    gate.rule = lambda path, query: refusal(503) if "/2025-10-" in path else None  # noqa: ARG005
    due = [date(2025, 9, 10), date(2025, 10, 9), date(2025, 11, 11)]
    (outcome,) = ingest_bars(["AVLO"], due, defective, BarsStore(lake), 1)
    (problem,) = outcome.problems
    assert problem.startswith("AVLO, 2025-10: unexpected ZeroDivisionError: division by zero.")
    assert BarsStore(lake).covered("AVLO") == {due[0], due[2]}
    assert outcome.figures["requests"] == 3
    assert (lake.unexpected / "minute_bars AVLO 2025-10.txt").is_file()


def test_a_defect_that_every_month_meets_ends_the_step(lake: Lake, gate: Gate, defective: MarketDataClient) -> None:
    gate.rule = lambda path, query: refusal(503)  # noqa: ARG005
    symbols = [f"S{number:02}" for number in range(MOST_IN_A_ROW + 5)]
    with pytest.raises(UnexpectedError, match=f"{MOST_IN_A_ROW} units of minute_bars in a row"):
        list(ingest_bars(symbols, [date(2025, 11, 11)], defective, BarsStore(lake), 2))
    assert len(gate.requests) < MOST_IN_A_ROW + 2


def store_bars(lake: Lake, symbol: str, day: str) -> None:
    session = date.fromisoformat(day)
    bars = bars_from(f"{day} 10:00", flat(30), symbol)
    BarsStore(lake).add(symbol, session.replace(day=1), [session], bars, QUARANTINED_BARS.to_frame())


def test_one_symbol_that_cannot_be_detected_stops_no_other(lake: Lake) -> None:
    # the trading calendar does not reach so far
    for symbol, day in (("AEMD", "2025-11-05"), ("FAR", "2270-11-05"), ("BRTX", "2025-11-05")):
        store_bars(lake, symbol, day)
    settings = default_settings()
    shards = ShardStore(lake)
    detector = Detector(BarsStore(lake), shards, settings.detection, settings.sessions, REFERENCE.to_frame())
    outcomes = {outcome.partition[0]: outcome for outcome in detector.run(["AEMD", "FAR", "BRTX"])}
    assert not outcomes["AEMD"].problems
    assert not outcomes["BRTX"].problems
    assert shards.symbols() == ["AEMD", "BRTX"]
    (problem,) = outcomes["FAR"].problems
    assert problem.startswith("FAR: unexpected ")
    assert (lake.unexpected / "event_shards FAR.txt").is_file()


def test_an_audit_reports_the_span_and_compares_the_others(
    lake: Lake, gate: Gate, defective: MarketDataClient, client: MarketDataClient
) -> None:
    captured(lake, client)
    fails_on(gate, "2025-11-25")
    found = Audit(TapeStore(lake, "core", CORE), defective, 2, lambda line: None).run(3, 1)  # noqa: ARG005
    causes = found.sort("start")["cause"].to_list()
    assert causes[0] is None
    assert causes[1].startswith("unexpected ZeroDivisionError: division by zero.")
    assert causes[2] is None
