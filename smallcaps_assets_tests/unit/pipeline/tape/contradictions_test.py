"""Windows that came back empty although there was trading: how they are found, shown, and asked for again."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.commands.inspecting.report import profile_report
from smallcaps_assets.defs.checks.asset_checks import capture_checks
from smallcaps_assets.defs.checks.texts import EMPTY_WINDOWS
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.tape.contradictions import whole_minutes, with_volume
from smallcaps_assets.domain.tape.kpis import capture_kpis, state_counts
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.contradictions import add_contradicted
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeBacklog, TapeStore
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.pipeline.tape.cost_estimate import Planner
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import LATER, Gate, event, files_below, manifest_of
from smallcaps_assets_tests.scenarios import default_settings

SETTINGS = default_settings()
CORE = SETTINGS.profiles["core"]
# windows [10:57, 11:07) and [11:02, 11:12) in New York, which are one span, and [08:57, 09:07) before the open
ONE = event("2025-11-26 11:00", event_id="one", symbol="AVLO")
NEAR = event("2025-11-26 11:05", event_id="near", symbol="AVLO")
EARLY = event("2025-11-26 09:00", event_id="early", symbol="AVLO", session="PM")
ELEVEN = datetime(2025, 11, 26, 16, tzinfo=UTC)
NOTHING = Reply(200, {"Content-Type": "application/json"}, b'{"results":[],"status":"OK"}')


def store(lake: Lake) -> TapeStore:
    return TapeStore(lake, "core", CORE)


def put_bars(lake: Lake, *moments: datetime) -> None:
    """Publish the session's bars of AVLO: one at each moment."""
    figures = {"open": 5.0, "high": 5.0, "low": 5.0, "close": 5.0, "volume": 100.0, "vwap": None, "transactions": None}
    rows = [{"symbol": "AVLO", "timestamp": moment, **figures} for moment in moments]
    bars = pl.DataFrame(rows, schema=BARS)
    BarsStore(lake).add("AVLO", date(2025, 11, 1), [date(2025, 11, 26)], bars, QUARANTINED_BARS.to_frame())


def captured(
    lake: Lake, client: MarketDataClient, kind: TapeKind, manifest: pl.DataFrame, *, retry_empty: bool = False
) -> tuple[list[Outcome], list[str]]:
    lines: list[str] = []
    backlog: TapeBacklog = store(lake).backlog(kind, event_windows(manifest))
    if retry_empty:
        backlog = add_contradicted(store(lake), kind, backlog)
    pairs = list(manifest.select("symbol", "session").unique(maintain_order=True).iter_rows())
    work = Capture(kind, store(lake), client, 1, "abc", log=lines.append)
    outcomes = list(work.run(manifest, pairs, backlog=backlog))
    assert not [problem for outcome in outcomes for problem in outcome.problems]
    return outcomes, lines


def empty(*kinds: TapeKind) -> Any:
    """A rule of the exchange: nothing of these kinds."""

    def rule(path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG001
        return NOTHING if any(path.startswith(f"/v3/{kind}/") for kind in kinds) else None

    return rule


def certified(lake: Lake, manifest: pl.DataFrame) -> list[tuple[str, str, str | None]]:
    ledger = build_ledger(manifest, store(lake), hashes=False)
    return list(ledger.select("event_id", "state", "cause").iter_rows())


BY_BARS = "contradicted by the bars"
BY_TRADES = "contradicted by the trades"


@pytest.mark.parametrize(
    ("kinds", "minutes", "expected"),
    [
        (["trades", "quotes"], [0], ("empty", BY_BARS)),
        (["trades", "quotes"], [-3], ("empty", BY_BARS)),
        (["trades", "quotes"], [6], ("empty", BY_BARS)),
        # bars of the minutes before and after the window, and no bars at all
        (["trades", "quotes"], [-4, 7], ("empty", None)),
        (["trades", "quotes"], [], ("empty", None)),
        (["trades"], [0], ("quotes_only", BY_BARS)),
        (["trades"], [], ("quotes_only", None)),
        (["quotes"], [0], ("trades_only", BY_BARS)),
        (["quotes"], [], ("trades_only", BY_TRADES)),
        ([], [0], ("complete", None)),
    ],
)
def test_the_ledger_names_what_contradicts_an_empty_window(  # noqa: PLR0917
    lake: Lake,
    client: MarketDataClient,
    gate: Gate,
    kinds: list[TapeKind],
    minutes: list[int],
    expected: tuple[str, str | None],
) -> None:
    manifest = manifest_of(ONE)
    gate.rule = empty(*kinds)
    captured(lake, client, "trades", manifest)
    captured(lake, client, "quotes", manifest)
    if minutes:
        put_bars(lake, *(ELEVEN + timedelta(minutes=minute) for minute in minutes))
    assert certified(lake, manifest) == [("one", *expected)]


def test_damaged_bars_do_not_stop_a_capture_of_empty_windows(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    put_bars(lake, ELEVEN)
    month = lake.bars("AVLO") / "2025-11.parquet"
    month.write_bytes(month.read_bytes()[:-20])
    gate.rule = empty("trades")
    (outcome,), lines = captured(lake, client, "trades", manifest_of(ONE))
    assert outcome.figures["spans_fetched"] == 1
    (line,) = (line for line in lines if "could not be compared" in line)
    assert line.startswith("trades of AVLO RTH: empty windows could not be compared with the bars.")
    assert "2025-11.parquet" in line


def test_an_empty_answer_is_asked_for_again_only_on_request_and_replaced_in_its_place(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    manifest = manifest_of(ONE)
    put_bars(lake, ELEVEN)
    gate.rule = empty("trades", "quotes")
    for kind in ("trades", "quotes"):
        (outcome,), lines = captured(lake, client, kind, manifest)
        assert outcome.figures["contradicted_windows"] == 1
        assert "1 window came back empty although bars of the same minutes have volume" in lines[-1]
    before = files_below(lake.root / "tape")
    gate.rule = empty()
    gate.requests.clear()
    # an ordinary run asks for nothing
    captured(lake, client, "trades", manifest)
    assert gate.requests == []
    assert files_below(lake.root / "tape") == before

    for kind in ("trades", "quotes"):
        (outcome,), lines = captured(lake, client, kind, manifest, retry_empty=True)
        assert "0 to fetch in 0 spans; asking again for 1 empty span" in lines[0]
        assert (outcome.figures["requests"], outcome.figures["spans_fetched"]) == (1, 1)
    assert len(gate.requests) == 2
    assert files_below(lake.root / "tape").keys() == before.keys()
    assert certified(lake, manifest) == [("one", "complete", None)]
    # nothing is left to ask for
    captured(lake, client, "trades", manifest, retry_empty=True)
    assert len(gate.requests) == 2


def test_an_answer_that_stays_empty_costs_one_request_per_retry(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    manifest = manifest_of(ONE)
    put_bars(lake, ELEVEN)
    gate.rule = empty("trades")
    for asked, retry_empty in enumerate([False, True, True], start=1):
        (outcome,), _ = captured(lake, client, "trades", manifest, retry_empty=retry_empty)
        assert (len(gate.requests), outcome.figures["contradicted_windows"]) == (asked, 1)


def test_the_empty_window_of_a_span_with_trades_is_found_and_the_span_asked_for_again(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    manifest = manifest_of(ONE, NEAR)
    put_bars(lake, *(ELEVEN + timedelta(minutes=minute) for minute in (-2, 9)))
    for kind in ("trades", "quotes"):
        captured(lake, client, kind, manifest)
    # only the trades of the first three minutes are left, which the second window does not cover
    (path,) = lake.tape("core", "trades").rglob("*.parquet")
    few = pl.col("timestamp") < ELEVEN
    rows = pl.read_parquet(path, hive_partitioning=False).filter(few)
    backlog = store(lake).backlog("trades", event_windows(manifest))
    (whole,) = backlog.published.select("symbol", "wave", "start", "end").rows()
    store(lake).publish("trades", Span(*whole, ("one", "near")), rows, {"requests": 1, "received": rows.height})
    assert certified(lake, manifest) == [("one", "complete", None), ("near", "quotes_only", BY_BARS)]
    gate.requests.clear()
    captured(lake, client, "trades", manifest, retry_empty=True)
    ((_, query),) = gate.requests
    assert int(query["timestamp.gte"]) == int((ELEVEN - timedelta(minutes=3)).timestamp()) * 10**9
    assert certified(lake, manifest) == [("one", "complete", None), ("near", "complete", None)]


def test_quotes_left_out_beside_contradicted_trades_are_asked_for_on_request(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    manifest = manifest_of(EARLY)
    put_bars(lake, ELEVEN - timedelta(hours=2))
    gate.rule = empty("trades")
    captured(lake, client, "trades", manifest)
    captured(lake, client, "quotes", manifest)
    assert len(gate.requests) == 1
    captured(lake, client, "quotes", manifest, retry_empty=True)
    assert [path for path, _ in gate.requests] == ["/v3/trades/AVLO", "/v3/quotes/AVLO"]
    assert certified(lake, manifest) == [("early", "quotes_only", BY_BARS)]


def test_a_wave_is_not_asked_for_again_with_another(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    put_bars(lake, ELEVEN, ELEVEN - timedelta(hours=2))
    gate.rule = empty("trades")
    captured(lake, client, "trades", manifest_of(ONE, EARLY))
    gate.requests.clear()
    captured(lake, client, "trades", manifest_of(EARLY), retry_empty=True)
    assert len(gate.requests) == 1


def test_plan_status_report_and_verification_show_it(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    manifest = manifest_of(ONE)
    manifests = ManifestStore.in_lake(lake, "core")
    manifests.freeze(Selection(manifest, [], {}), config_hash="c", master_sha256="m", now=LATER)
    put_bars(lake, ELEVEN)
    gate.rule = empty("trades", "quotes")
    for kind in ("trades", "quotes"):
        captured(lake, client, kind, manifest)
    planner = Planner(store(lake), SETTINGS.capture.assumptions, None)
    plan = planner.plan(manifest)
    assert (plan.spans, planner.count_contradicted(plan)) == (0, {"trades": 1, "quotes": 1})
    again = planner.plan(manifest, retry_empty=True)
    assert (again.spans, int(again.table["requests"][-1])) == (2, 2)

    ledger = build_ledger(manifest, store(lake), manifests.current_id())
    counts = state_counts(ledger).filter(wave="all").row(0, named=True)
    # counted apart, and still empty
    assert (counts["empty"], counts["contradicted"]) == (1, 1)
    text = profile_report(lake, "core", SETTINGS, LATER)
    assert (
        "contradicted: trades of 1 window and quotes of 1 window empty although bars or trades of the same minutes "
        "show trading, such as one (contradicted by the bars); `smallcaps plan --profile core --retry-empty`"
    ) in text
    kpis = capture_kpis(ledger, capture_effort(store(lake)), SETTINGS.kpis)
    found = {check.check_name: check for check in capture_checks(kpis, ledger)}[EMPTY_WINDOWS]
    assert (found.passed, found.severity.value) == (False, "WARN")
    assert (found.metadata["empty_trades"].value, found.metadata["empty_quotes"].value) == (1, 1)

    # a ledger of an earlier release has no cause
    ledger.with_columns(cause=pl.lit(None, pl.String)).write_parquet(lake.ledger("core"))
    result = verify(store(lake))
    assert (result.contradicted, result.findings) == (("one",), ())


def test_only_minutes_that_lie_entirely_in_a_window_count() -> None:
    start = ELEVEN + timedelta(seconds=30)
    windows = pl.DataFrame(
        [("a", "X", start, start + timedelta(minutes=2)), ("b", "X", start, start + timedelta(seconds=40))],
        schema={"event_id": pl.String, "symbol": pl.String, "start": BARS["timestamp"], "end": BARS["timestamp"]},
        orient="row",
    )
    assert whole_minutes(windows).rows() == [("a", "X", ELEVEN + timedelta(minutes=1))]
    bars = pl.DataFrame({"symbol": ["X"] * 3, "timestamp": [ELEVEN + timedelta(minutes=minute) for minute in range(3)]})
    bars = bars.cast({"timestamp": BARS["timestamp"]})
    assert with_volume(whole_minutes(windows), bars.with_columns(volume=pl.Series([9.0, 0.0, 9.0]))) == set()
    assert with_volume(whole_minutes(windows), bars.with_columns(volume=pl.Series([0.0, 1.0, 0.0]))) == {"a"}
