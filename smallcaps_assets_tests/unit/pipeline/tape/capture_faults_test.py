"""Captures under adverse conditions: concurrent runs, limited vendor plans, no trades, no disk, no lake."""

import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tables import QUOTES
from smallcaps_assets.domain.tape.budget import SizeBudget
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import ROWS_PER_PAGE, MarketDataClient
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.runtime.processes import process_identity
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, event, manifest_of, refusal
from smallcaps_assets_tests.scenarios import default_settings

PROFILES = default_settings().profiles
DAYS = ("2025-11-24", "2025-11-25", "2025-11-26")
# one window a day, from oldest to newest
DAILY = manifest_of(*(event(f"{day} 11:00", event_id=day, symbol="AVLO") for day in DAYS))
RTH = [("AVLO", "RTH")]


def captured(  # noqa: PLR0917
    lake: Lake,
    client: MarketDataClient,
    kind: TapeKind,
    manifest: pl.DataFrame = DAILY,
    pairs: list[tuple[str, str]] = RTH,
    profile: str = "core",
    **changes: Any,
) -> list[Outcome]:
    tape = TapeStore(lake, profile, PROFILES[profile], **changes)  # type: ignore[index]
    return list(Capture(kind, tape, client, 2, "abc", log=lambda line: None).run(manifest, pairs))  # noqa: ARG005


def states(lake: Lake, manifest: pl.DataFrame = DAILY) -> dict[str, str]:
    ledger = build_ledger(manifest, TapeStore(lake, "core", PROFILES["core"]))
    return dict(ledger.select("event_id", "state").iter_rows())


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


# ------------------------------------------------------------------------------------------------- vendor plans


def test_one_request_for_the_newest_span_shows_that_the_plan_excludes_the_data(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    gate.rule = lambda path, query: refusal(403, "not entitled")  # noqa: ARG005
    (outcome,) = captured(lake, client, "quotes")
    assert len(gate.requests) == 1
    assert int(gate.requests[0][1]["timestamp.gte"]) == ns("2025-11-26 15:56")
    assert len(outcome.problems) == 3
    assert all("Quotes require the plan" in problem for problem in outcome.problems)


def test_a_plan_with_limited_history_captures_what_it_includes(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    border = ns("2025-11-25 00:00")

    def rule(path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG001
        return refusal(403, "too old") if int(query["timestamp.gte"]) < border else None

    gate.rule = rule
    for kind in ("trades", "quotes"):
        captured(lake, client, kind)
    assert states(lake) == {"2025-11-24": "denied", "2025-11-25": "complete", "2025-11-26": "complete"}


# ------------------------------------------------------------------------------------------------- no repeated requests

# a Saturday has no tape: before the open, and during regular hours
SATURDAY = manifest_of(
    event("2025-11-29 08:00", event_id="early", symbol="AVLO", session="PM"),
    event("2025-11-29 11:00", event_id="late", symbol="AVLO"),
)
BOTH = [("AVLO", "PM"), ("AVLO", "RTH")]


def test_quotes_are_skipped_without_trades_outside_regular_hours(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    captured(lake, client, "trades", SATURDAY, BOTH)
    gate.requests.clear()
    captured(lake, client, "quotes", SATURDAY, BOTH)
    assert [int(query["timestamp.gte"]) for _, query in gate.requests] == [ns("2025-11-29 15:56")]
    ledger = build_ledger(SATURDAY, TapeStore(lake, "core", PROFILES["core"]))
    skipped = dict(ledger.select("event_id", "quotes_skipped").iter_rows())
    assert skipped == {"early": "no trades in the span, outside regular hours", "late": None}
    assert set(ledger["state"]) == {"empty"}
    assert ledger["quotes_requests"].to_list() == [0, 1]
    # with quotes_without_trades only these are requested
    gate.requests.clear()
    captured(lake, client, "quotes", SATURDAY, BOTH, quotes_without_trades=True)
    assert [int(query["timestamp.gte"]) for _, query in gate.requests] == [ns("2025-11-29 12:56")]


def test_quotes_are_requested_if_trades_are_unknown(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    captured(lake, client, "quotes", SATURDAY, BOTH)
    assert len(gate.requests) == 2


def test_trades_published_for_another_profile_cost_no_request(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    wide = manifest_of(*(event(f"{day} 11:00", event_id=day, symbol="AVLO") for day in DAYS), before=10, after=20)
    captured(lake, client, "trades", wide, profile="premium")
    alone = Lake(lake.root.with_name("alone"))
    alone.root.mkdir()
    captured(alone, client, "trades")
    gate.requests.clear()
    (outcome,) = captured(lake, client, "trades")
    assert gate.requests == []
    assert outcome.figures["requests"] == 0
    tape, other = (TapeStore(place, "core", PROFILES["core"]) for place in (lake, alone))
    published = tape.published("trades").sort("start")
    for path, expected in zip(published["path"], other.published("trades").sort("start")["path"], strict=True):
        assert_frame_equal(pl.read_parquet(path), pl.read_parquet(expected))
    ledger = build_ledger(DAILY, tape)
    assert ledger["trades_taken_from"].list.len().to_list() == [1, 1, 1]
    assert all(name.startswith("tape/premium/trades/") for names in ledger["trades_taken_from"] for name in names)
    assert capture_effort(tape)["requests"].sum() == 0
    # quotes with other thinning are not copied
    captured(lake, client, "quotes", wide, profile="premium")
    gate.requests.clear()
    captured(lake, client, "quotes")
    assert len(gate.requests) == 3


def test_a_file_with_fewer_columns_is_not_copied(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    captured(lake, client, "trades")
    gate.requests.clear()
    captured(lake, client, "trades", profile="premium")
    assert len(gate.requests) == 3


# ------------------------------------------------------------------------------------------------- concurrent runs


@pytest.mark.slow
def test_two_runs_over_the_same_windows_repeat_few_requests_and_damage_nothing(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    many = manifest_of(
        *(
            event(f"{day} {hour}:{minute}", event_id=f"{day} {hour}:{minute}", symbol=symbol)
            for symbol in ("AVLO", "CRVO", "BNRX", "DRFT")
            for day in DAYS
            for hour in range(10, 16)
            for minute in (10, 40)
        )
    )
    pairs = [(symbol, "RTH") for symbol in ("AVLO", "CRVO", "BNRX", "DRFT")]
    spans = many.height
    failed: list[str] = []

    def run() -> None:
        for outcome in captured(lake, client, "trades", many, pairs):
            failed.extend(outcome.problems)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    tape = TapeStore(lake, "core", PROFILES["core"])
    assert tape.missing_spans("trades", event_windows(many)).is_empty()
    assert not list(lake.root.rglob("*.part"))
    # in the same order, every span would have been requested twice
    assert spans <= len(gate.requests) < 1.5 * spans


def test_files_left_by_killed_writers_are_removed(lake: Lake, client: MarketDataClient) -> None:
    folder = lake.tape_wave("core", "trades", "RTH", "GONE")
    for place in (folder, lake.quarantine_path(folder)):
        place.mkdir(parents=True)
        (place / ".20251126T145700_20251126T151200.parquet.999999999-1.abc.part").touch()
        (place / f".mine.parquet.{process_identity()}.abc.part").touch()
    captured(lake, client, "trades")
    left = {path.name.split(".")[1] for path in lake.root.rglob("*.part")}
    assert left == {"mine"}


# ------------------------------------------------------------------------------------------------- pages


def test_a_full_last_page_without_next_url_ends_the_download(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    start = ns("2025-11-26 15:57")
    rows = ",".join(
        f'{{"sip_timestamp":{start + n * 1000},"participant_timestamp":{start},"sequence_number":{n},"price":5.0,'
        f'"size":1,"decimal_size":"1.0","exchange":4,"id":"{n}"}}'
        for n in range(ROWS_PER_PAGE)
    )
    full = Reply(200, {"Content-Type": "application/json"}, f'{{"results":[{rows}],"status":"OK"}}'.encode())
    gate.rule = lambda path, query: full  # noqa: ARG005
    today = DAILY.filter(pl.col("event_id") == "2025-11-26")
    captured(lake, client, "trades", today)
    assert len(gate.requests) == 1
    ledger = build_ledger(today, TapeStore(lake, "core", PROFILES["core"]))
    assert (ledger["trades_rows"][0], ledger["trades_pages"][0]) == (ROWS_PER_PAGE, 1)


# ------------------------------------------------------------------------------------------------- size budget


def test_quotes_of_an_event_above_the_budget_are_thinned_and_this_is_recorded(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    tight = SizeBudget(event_mb=0.004, steps_hz=[1.0, 0.5])
    today = DAILY.filter(pl.col("event_id") == "2025-11-26")
    for kind in ("trades", "quotes"):
        captured(lake, client, kind, today, budget=tight)
    whole = Lake(lake.root.with_name("whole"))
    whole.root.mkdir()
    captured(whole, client, "quotes", today)
    tape = TapeStore(lake, "core", PROFILES["core"])
    (path,) = tape.published("quotes")["path"]
    (expected,) = TapeStore(whole, "core", PROFILES["core"]).published("quotes")["path"]
    thinned, full = (pl.read_parquet(name, hive_partitioning=False) for name in (path, expected))
    # the event's minute is over: until then every quote stays
    known_at = datetime(2025, 11, 26, 16, 1, tzinfo=UTC)
    before = pl.col("timestamp") < known_at
    assert_frame_equal(thinned.filter(before), full.filter(before))
    after = thinned.filter(~before)
    assert 0 < after.height < full.filter(~before).height
    assert after.height <= 360 / 2 + 1
    ledger = build_ledger(today, tape).row(0, named=True)
    assert ledger["budget_hz"] == 0.5
    assert ledger["over_budget"] is (ledger["bytes"] > 4_000)
    assert thinned.schema == QUOTES
    # a larger budget requires the full quotes again, a smaller one does not
    gate.requests.clear()
    captured(lake, client, "quotes", today, budget=SizeBudget(event_mb=0.003, steps_hz=[1.0]))
    assert gate.requests == []
    captured(lake, client, "quotes", today, budget=SizeBudget(event_mb=50.0, steps_hz=[1.0, 0.5]))
    assert len(gate.requests) == 1
    assert build_ledger(today, tape).row(0, named=True)["budget_hz"] is None


# ------------------------------------------------------------------------------------------------- disk, lake, clock


def test_a_lake_that_vanishes_stops_the_capture_and_is_not_created_again(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    def taken_away(path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG001
        if len(gate.requests) == 2:
            # in one step, so that it does not interfere with files that the other thread publishes
            lake.root.rename(lake.root.with_name("elsewhere"))
        return None

    gate.rule = taken_away
    with pytest.raises(LakeError, match="the lake is gone"):
        captured(lake, client, "trades")
    assert not lake.root.exists()


def test_a_rejected_request_does_not_create_a_vanished_lake_again(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    lake.manifests("core").mkdir(parents=True)

    def taken_away(path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG001
        if len(gate.requests) == 2:
            # an unmounted disk leaves its mount point
            lake.root.rename(lake.root.with_name("elsewhere"))
            lake.root.mkdir()
            return refusal(404)
        return None

    gate.rule = taken_away
    with pytest.raises(LakeError, match="the lake is gone"):
        captured(lake, client, "trades")
    assert list(lake.root.iterdir()) == []


def test_effort_of_failed_attempts_is_recorded(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    today = DAILY.filter(pl.col("event_id") == "2025-11-26")
    gate.rule = lambda path, query: refusal(503)  # noqa: ARG005
    captured(lake, client, "trades", today)
    captured(lake, client, "trades", today)
    gate.rule = lambda path, query: None  # noqa: ARG005
    tape = TapeStore(lake, "core", PROFILES["core"])
    assert capture_effort(tape).row(0) == ("RTH", 4, 2, 0)
    captured(lake, client, "trades", today)
    assert capture_effort(tape).row(0) == ("RTH", 5, 2, 0)
    totals = client.totals()
    assert (totals.requests_sent, totals.retries) == (5, 2)


def test_a_damaged_file_is_named(lake: Lake, client: MarketDataClient) -> None:
    for kind in ("trades", "quotes"):
        captured(lake, client, kind)
    tape = TapeStore(lake, "core", PROFILES["core"])
    victim = Path(tape.published("trades")["path"][1])
    content = bytearray(victim.read_bytes())
    content[4:200] = bytes(196)
    victim.write_bytes(content)
    with pytest.raises(LakeError, match=victim.name):
        build_ledger(DAILY, tape)


def test_unknown_files_are_ignored(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    captured(lake, client, "trades")
    (path, *_) = TapeStore(lake, "core", PROFILES["core"]).published("trades")["path"]
    shutil.copy(path, path.replace(".parquet", " - Copy.parquet"))
    gate.requests.clear()
    captured(lake, client, "trades")
    assert gate.requests == []


def test_the_size_of_an_event_does_not_depend_on_the_order_of_captures(lake: Lake, client: MarketDataClient) -> None:
    today = DAILY.filter(pl.col("event_id") == "2025-11-26")
    tight = SizeBudget(event_mb=0.004, steps_hz=[1.0, 0.5])
    for kind in ("quotes", "trades"):
        captured(lake, client, kind, today, budget=tight)
    row = build_ledger(today, TapeStore(lake, "core", PROFILES["core"], tight)).row(0, named=True)
    assert row["over_budget"] is (row["bytes"] > 4_000)
    assert row["bytes"] > 4_000


def test_clocks_that_jump_change_certificates_only(lake: Lake, client: MarketDataClient) -> None:
    times = iter([datetime(2031, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)])
    tape = TapeStore(lake, "core", PROFILES["core"])
    capture = Capture("trades", tape, client, 1, "abc", lambda line: None, clock=lambda: next(times))  # noqa: ARG005
    (outcome,) = capture.run(DAILY, RTH)
    assert not outcome.problems
    assert sorted(moment.year for moment in tape.published("trades")["fetched_at"]) == [1999, 2026, 2031]
    assert captured(lake, client, "trades")[0].figures["requests"] == 0


FULL_DISK = textwrap.dedent("""
    import resource, signal, sys
    from pathlib import Path
    import polars as pl
    from smallcaps_assets.errors import LakeError
    from smallcaps_assets.lake.files.publish import publish_frame

    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    folder = Path(sys.argv[1])
    publish_frame(folder / "small.parquet", pl.DataFrame({"n": [1]}))
    try:
        publish_frame(folder / "large.parquet", pl.select(n=pl.int_range(200_000).hash()))
    except LakeError as error:
        print(error)
    print(sorted(path.name for path in folder.iterdir()))
""")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of file sizes")
def test_a_full_disk_is_reported_with_the_missing_space(lake: Lake) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(lake.root)], capture_output=True, text=True, timeout=60, check=True
    )
    message, left = done.stdout.splitlines()
    assert "large.parquet: cannot be written" in message
    assert "File too large" in message
    assert "The file needs up to 1.60 MB" in message
    assert "MB free" in message
    assert left == "['small.parquet']"


def test_the_provenance_of_a_download_is_complete(lake: Lake, client: MarketDataClient) -> None:
    began = datetime.now(UTC)
    captured(lake, client, "quotes", budget=SizeBudget(event_mb=50.0, steps_hz=[1.0]))
    (path, *_) = TapeStore(lake, "core", PROFILES["core"]).published("quotes")["path"]
    provenance = provenance_of(Path(path))
    assert provenance is not None
    assert provenance["kind"] == "quotes"
    assert provenance["profile"] == "core"
    assert (provenance["pages"], provenance["requests"], provenance["retries"], provenance["throttled"]) == (1, 1, 0, 0)
    assert provenance["received"] >= provenance["rows"] > 0
    assert len(provenance["request_ids"]) == 1
    assert (provenance["budget_mb"], provenance["budget_hz"], provenance["over_budget"]) == (50.0, [], [])
    assert began <= datetime.fromisoformat(provenance["fetched_at"]) <= began + timedelta(minutes=5)
