"""Fetching tape and bars from the simulated exchange, with faults from a gate in front of it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.manifests.selection import ProfileParams
from smallcaps_assets.domain.tables import QUOTES, TRADES
from smallcaps_assets.domain.tape.nbbo import thin
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.errors import LakeError, NotAuthenticated, NotEntitled
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, event, files_below, manifest_of, refusal
from smallcaps_assets_tests.scenarios import default_settings

# two windows of AVLO that form one span, one of CRVO, and one of AVLO before the open
MANIFEST = manifest_of(
    event("2025-11-26 10:00", event_id="a1", symbol="AVLO"),
    event("2025-11-26 10:05", event_id="a2", symbol="AVLO"),
    event("2025-11-26 11:00", event_id="c1", symbol="CRVO"),
    event("2025-11-26 08:00", event_id="a0", symbol="AVLO", session="PM"),
)
PAIRS = [("AVLO", "RTH"), ("CRVO", "RTH"), ("AVLO", "PM"), ("CRVO", "PM")]
PARAMS = default_settings().profiles["core"]


def capture(lake: Lake, client: MarketDataClient, kind: TapeKind, **changes: Any) -> Capture:
    params = ProfileParams.model_validate(PARAMS.model_dump() | changes)
    return Capture(
        kind=kind,
        tape=TapeStore(lake, "core", params),
        client=client,
        threads=2,
        config_hash="abc",
        log=lambda line: None,  # noqa: ARG005
    )


def run(
    lake: Lake, client: MarketDataClient, kind: TapeKind = "trades", **changes: Any
) -> dict[tuple[str, ...], Outcome]:
    outcomes = list(capture(lake, client, kind, **changes).run(MANIFEST, PAIRS))
    assert sorted(outcome.partition for outcome in outcomes) == sorted(PAIRS)
    return {outcome.partition: outcome for outcome in outcomes}


def ns(hour: int, minute: int) -> int:
    """A time of 26 November 2025, UTC."""
    return int(datetime(2025, 11, 26, hour, minute, tzinfo=UTC).timestamp()) * 10**9


# bounds of the spans: -3 to +7 minutes around their events, UTC
A_RTH = (ns(14, 57), ns(15, 12))
C_RTH = (ns(15, 57), ns(16, 7))
MINUTE = 60 * 10**9
A_PM = (ns(12, 57), ns(13, 7))


def requested(gate: Gate) -> set[tuple[str, int, int]]:
    return {(path, int(query["timestamp.gte"]), int(query["timestamp.lt"])) for path, query in gate.requests}


def test_every_span_is_requested_once(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    outcomes = run(lake, client)
    assert len(gate.requests) == 3
    assert requested(gate) == {("/v3/trades/AVLO", *A_RTH), ("/v3/trades/CRVO", *C_RTH), ("/v3/trades/AVLO", *A_PM)}
    figures = outcomes["AVLO", "RTH"].figures
    assert (figures["windows"], figures["spans_fetched"], figures["requests"]) == (2, 1, 1)
    assert outcomes["CRVO", "PM"].figures == dict.fromkeys(figures, 0)
    assert not any(outcome.problems for outcome in outcomes.values())


def as_sent(rows: pl.DataFrame) -> pl.DataFrame:
    """The vendor omits empty lists from its answers."""
    lists = [pl.col(name) for name, dtype in rows.schema.items() if isinstance(dtype, pl.List)]
    return rows.with_columns(pl.when(column.list.len() > 0).then(column) for column in lists)


def test_published_tape_equals_the_tape_of_the_market(
    lake: Lake, client: MarketDataClient, small_market: SimulatedMarket
) -> None:
    outcomes = run(lake, client)
    run(lake, client, "quotes")
    trades, quotes = (
        pl.read_parquet(
            lake.tape_wave("core", kind, "RTH", "AVLO") / "20251126T145700_20251126T151200.parquet",
            hive_partitioning=False,
        )
        for kind in ("trades", "quotes")
    )
    assert_frame_equal(trades, as_sent(small_market.trades("AVLO", *A_RTH).select(*TRADES)))
    every = as_sent(small_market.quotes("AVLO", A_RTH[0] - MINUTE, A_RTH[1]).select(*QUOTES))
    before = every.filter(pl.col("timestamp").dt.epoch("ns") < A_RTH[0]).height
    assert before > 1
    # the first row is the book in force when the span begins
    assert_frame_equal(quotes, thin(every.slice(before - 1).lazy(), PARAMS.quotes).collect())
    assert 0 < quotes.height < every.height
    assert outcomes["AVLO", "RTH"].figures["rows"] == trades.height > 0


def test_a_tape_file_records_its_provenance(lake: Lake, client: MarketDataClient) -> None:
    run(lake, client, "quotes")
    path = lake.tape_wave("core", "quotes", "RTH", "AVLO") / "20251126T145700_20251126T151200.parquet"
    provenance = provenance_of(path)
    assert provenance is not None
    expected = {
        "kind": "quotes",
        "events_merged": ["a1", "a2"],
        "config_hash": "abc",
        "columns": "minimal",
        "thinning": {"by_change_only": True, "max_hz": 5},
        "opening_book": 1,
        "quote_size_unit": "shares",
        "quote_sizes_in_shares_from": None,
        "requests": 1,
        "retries": 0,
        "throttled": 0,
    }
    assert provenance | expected == provenance


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_a_second_run_sends_no_request_and_changes_no_file(
    lake: Lake, client: MarketDataClient, gate: Gate, kind: TapeKind
) -> None:
    run(lake, client, kind)
    before = files_below(lake.root)
    gate.requests.clear()
    outcomes = run(lake, client, kind)
    assert gate.requests == []
    assert files_below(lake.root) == before
    assert {outcome.figures["windows"] for outcome in outcomes.values()} == {0, 1, 2}
    assert {outcome.figures["spans_fetched"] for outcome in outcomes.values()} == {0}


def test_one_lost_file_is_one_request_for_exactly_its_span(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    run(lake, client, "trades")
    run(lake, client, "quotes")
    before = files_below(lake.root)
    lost = lake.tape_wave("core", "quotes", "RTH", "CRVO") / "20251126T155700_20251126T160700.parquet"
    lost.unlink()
    gate.requests.clear()
    run(lake, client, "trades")
    run(lake, client, "quotes")
    assert [path for path, _ in gate.requests] == ["/v3/quotes/CRVO"]
    # quotes from a minute before: the last of them is the opening book
    assert requested(gate) == {("/v3/quotes/CRVO", C_RTH[0] - MINUTE, C_RTH[1])}
    after = files_below(lake.root)
    name = lost.relative_to(lake.root).as_posix()
    # the same tape; only fetch time and request id differ
    assert_frame_equal(pl.read_parquet(after[name][1]), pl.read_parquet(before[name][1]))
    assert {key: value for key, value in after.items() if key != name} == {
        key: value for key, value in before.items() if key != name
    }


def test_only_the_selected_partitions_are_fetched(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    (outcome,) = capture(lake, client, "trades").run(MANIFEST, [("AVLO", "PM")])
    assert requested(gate) == {("/v3/trades/AVLO", *A_PM)}
    assert outcome.partition == ("AVLO", "PM")
    assert list(capture(lake, client, "trades").run(MANIFEST.clear(), [])) == []


def reject(gate: Gate, tape: str, status: int, words: str = "no") -> None:
    def rule(path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG001
        return refusal(status, words) if path.endswith(tape) else None

    gate.rule = rule


def test_a_failed_span_is_reported_and_stops_no_other(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    reject(gate, "trades/CRVO", 503, "out of order")
    outcomes = run(lake, client)
    (problem,) = outcomes["CRVO", "RTH"].problems
    for words in ("CRVO RTH", "20251126T155700", "503", "out of order"):
        assert words in problem
    assert outcomes["CRVO", "RTH"].figures["spans_failed"] == 1
    assert not outcomes["AVLO", "RTH"].problems
    assert not outcomes["AVLO", "PM"].problems
    # two attempts of one span, one of each of the others
    assert len(gate.requests) == 4
    run(lake, client, "quotes")
    ledger = build_ledger(MANIFEST, capture(lake, client, "trades").tape)
    states = dict(ledger.select("event_id", "state").iter_rows())
    assert states == {"a1": "complete", "a2": "complete", "c1": "failed", "a0": "complete"}
    cause = ledger.filter(pl.col("event_id") == "c1")["cause"].item()
    assert "out of order" in cause
    # once the vendor answers again, only missing tape is requested, and earlier failures are removed
    gate.rule = lambda path, query: None  # noqa: ARG005
    gate.requests.clear()
    assert not any(outcome.problems for outcome in run(lake, client).values())
    assert requested(gate) == {("/v3/trades/CRVO", *C_RTH)}
    assert set(build_ledger(MANIFEST, capture(lake, client, "trades").tape)["state"]) == {"complete"}


def test_requests_of_a_span_that_failed_count_as_effort(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    """The ratio of retries to requests must include failed spans."""
    reject(gate, "trades/CRVO", 503, "too much")
    run(lake, client)
    spent = capture_effort(capture(lake, client, "trades").tape)
    totals = client.totals()
    assert (totals.requests_sent, totals.retries, totals.throttled) == (4, 1, 0)
    assert spent.select(pl.col("requests", "retries", "throttled").sum()).row(0) == (4, 1, 0)


def test_a_storm_of_429_fails_no_window(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    storm = iter([refusal(429, "too many")] * 1500)
    gate.rule = lambda path, query: next(storm, None)  # noqa: ARG005
    assert not any(outcome.problems for outcome in run(lake, client).values())
    spent = capture_effort(capture(lake, client, "trades").tape)
    assert spent.select(pl.col("requests", "retries", "throttled").sum()).row(0) == (1503, 1500, 1500)


def test_no_more_requests_are_sent_if_the_plan_excludes_the_data(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    gate.rule = lambda path, query: refusal(403, "not entitled")  # noqa: ARG005
    many = manifest_of(
        *(event(f"2025-11-26 {hour}:{minute}", symbol="AVLO") for hour in range(10, 16) for minute in (10, 30, 50))
    )
    (outcome,) = capture(lake, client, "trades").run(many, [("AVLO", "RTH")])
    # two threads may both have sent a request before the first answer
    assert 1 <= len(gate.requests) <= 2
    assert len(outcome.problems) == outcome.figures["spans_failed"] == 18
    ledger = build_ledger(many, capture(lake, client, "trades").tape)
    assert set(ledger["state"]) == {"denied"}
    assert "not entitled" in ledger["cause"][0]


def test_a_wrong_key_stops_the_capture(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    gate.rule = lambda path, query: refusal(401, "unknown key")  # noqa: ARG005
    with pytest.raises(NotAuthenticated, match="unknown key"):
        run(lake, client)
    assert not files_below(lake.root)


def test_a_disk_error_is_reported_as_such(lake: Lake, client: MarketDataClient) -> None:
    lake.root.mkdir(exist_ok=True)
    (lake.root / "tape").write_text("in the way")
    with pytest.raises(LakeError, match="tape: is a file, where a folder belongs: move the file away"):
        run(lake, client)


def test_a_throttled_request_waits_and_is_counted(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    replies = iter([refusal(429, "slow down", {"Retry-After": "1"})])
    gate.rule = lambda path, query: next(replies, None)  # noqa: ARG005
    outcomes = run(lake, client)
    assert not any(outcome.problems for outcome in outcomes.values())
    assert sum(outcome.figures["requests"] for outcome in outcomes.values()) == 4
    spent = capture_effort(capture(lake, client, "trades").tape)
    assert spent.select(pl.col("requests", "retries", "throttled").sum()).row(0) == (4, 1, 1)


def test_an_empty_answer_is_published_and_not_requested_again(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    # a Saturday has no tape
    saturday = manifest_of(event("2025-11-29 10:00", symbol="AVLO"))
    for kind in ("trades", "quotes"):
        list(capture(lake, client, kind).run(saturday, [("AVLO", "RTH")]))
    assert len(gate.requests) == 2
    assert build_ledger(saturday, capture(lake, client, "trades").tape)["state"].to_list() == ["empty"]
    list(capture(lake, client, "trades").run(saturday, [("AVLO", "RTH")]))
    assert len(gate.requests) == 2


def test_a_higher_resolution_is_fetched_again_and_a_lower_one_is_not(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    run(lake, client, "quotes")
    gate.requests.clear()
    run(lake, client, "quotes", quotes={"by_change_only": True, "max_hz": 1})
    assert gate.requests == []
    run(lake, client, "quotes", quotes={"by_change_only": False, "max_hz": 20})
    assert len(gate.requests) == 3


# ------------------------------------------------------------------------------------------------- minute bars

MON, TUE, WED, FRI = (date(2025, 11, day) for day in (24, 25, 26, 28))
DECEMBER = date(2025, 12, 1)


def ingest(lake: Lake, client: MarketDataClient, symbols: list[str], days: list[date]) -> dict[str, Outcome]:
    return {outcome.partition[0]: outcome for outcome in ingest_bars(symbols, days, client, BarsStore(lake), 2)}


def test_bars_of_every_expected_session_take_one_request_per_month(
    lake: Lake, client: MarketDataClient, gate: Gate, small_market: SimulatedMarket
) -> None:
    outcome = ingest(lake, client, ["AVLO"], [WED, FRI, DECEMBER])["AVLO"]
    assert [path for path, _ in gate.requests] == [
        "/v2/aggs/ticker/AVLO/range/1/minute/2025-12-01/2025-12-01",
        "/v2/aggs/ticker/AVLO/range/1/minute/2025-11-26/2025-11-28",
    ]
    assert {query["adjusted"] for _, query in gate.requests} == {"false"}
    bars = BarsStore(lake).read("AVLO")
    assert_frame_equal(bars, small_market.bars("AVLO", WED, DECEMBER))
    assert outcome.figures | {"sessions_fetched": 3, "rows": bars.height, "requests": 2} == outcome.figures
    assert not outcome.problems


def test_only_sessions_that_are_missing_are_fetched(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    ingest(lake, client, ["AVLO"], [TUE])
    before = BarsStore(lake).fingerprints("AVLO")
    gate.requests.clear()
    # Tuesday lies between the two and is fetched too, but stays unchanged
    outcome = ingest(lake, client, ["AVLO"], [MON, TUE, WED])["AVLO"]
    assert len(gate.requests) == 1
    assert outcome.figures["sessions_fetched"] == 2
    assert outcome.figures["rows_on_other_days"] > 0
    assert BarsStore(lake).covered("AVLO") == {MON, TUE, WED}
    assert BarsStore(lake).fingerprints("AVLO")[TUE] == before[TUE]
    untouched = files_below(lake.root)
    gate.requests.clear()
    assert ingest(lake, client, ["AVLO"], [MON, TUE, WED])["AVLO"].figures["requests"] == 0
    assert gate.requests == []
    assert files_below(lake.root) == untouched


def test_a_rejected_symbol_keeps_its_bars_and_stops_no_other(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    gate.rule = lambda path, query: refusal(400, "bad") if "AVLO" in path and "2025-12" in path else None  # noqa: ARG005
    outcomes = ingest(lake, client, ["AVLO", "CRVO"], [FRI, DECEMBER])
    assert not outcomes["CRVO"].problems
    (problem,) = outcomes["AVLO"].problems
    assert "AVLO, 2025-12" in problem
    assert "bad" in problem
    # November was complete before December failed
    assert BarsStore(lake).covered("AVLO") == {FRI}
    assert BarsStore(lake).covered("CRVO") == {FRI, DECEMBER}


def test_a_symbol_unknown_to_the_vendor_is_covered_without_bars(lake: Lake, client: MarketDataClient) -> None:
    outcome = ingest(lake, client, ["ZZZZ"], [FRI])["ZZZZ"]
    assert not outcome.problems
    assert BarsStore(lake).covered("ZZZZ") == {FRI}
    assert BarsStore(lake).read("ZZZZ").is_empty()


def test_no_request_is_sent_for_a_symbol_that_is_not_followed(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    ingest(lake, client, ["AVLO", "CRVO"], [WED])
    gate.requests.clear()
    again = ingest_bars(["AVLO", "CRVO"], [WED, FRI], client, BarsStore(lake), 2, followed={"AVLO": date.max})
    assert {outcome.partition[0]: outcome.figures["requests"] for outcome in again} == {"AVLO": 1, "CRVO": 0}
    assert {path.split("/")[4] for path, _ in gate.requests} == {"AVLO"}
    assert BarsStore(lake).covered("CRVO") == {WED}


def test_a_delisted_symbol_is_fetched_up_to_its_last_day(lake: Lake, client: MarketDataClient) -> None:
    done = list(ingest_bars(["AVLO"], [TUE, WED, FRI], client, BarsStore(lake), 2, followed={"AVLO": WED}))
    assert done[0].figures["sessions_due"] == 2
    assert BarsStore(lake).covered("AVLO") == {TUE, WED}


def test_a_month_outside_the_plan_is_reported_and_stops_no_other(
    lake: Lake, gate: Gate, client: MarketDataClient
) -> None:
    october = date(2025, 10, 30)

    def old_is_denied(path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG001
        return refusal(403) if "/AVLO/" in path and "/2025-10-" in path else None

    gate.rule = old_is_denied
    found = ingest(lake, client, ["AVLO", "CRVO"], [october, TUE])
    assert [problem.split(":")[0] for problem in found["AVLO"].problems] == ["AVLO, 2025-10 and before"]
    assert "history.first_session" in found["AVLO"].problems[0]
    assert BarsStore(lake).covered("AVLO") == {TUE}
    assert found["CRVO"].problems == ()


def test_a_plan_without_bars_is_recognized_after_a_few_requests(
    lake: Lake, gate: Gate, client: MarketDataClient
) -> None:
    gate.rule = lambda path, query: refusal(403)  # noqa: ARG005
    with pytest.raises(NotEntitled):
        list(ingest_bars(["AVLO", "BNRX", "CRVO", "DRFT"] * 5, [TUE], client, BarsStore(lake), 1))
    assert len(gate.requests) == 3


def test_a_month_that_fails_does_not_hide_the_others(lake: Lake, gate: Gate, client: MarketDataClient) -> None:
    gate.rule = lambda path, query: Reply(200, {}, b"{}") if "/2025-11-" in path else None  # noqa: ARG005
    (outcome,) = ingest(lake, client, ["AVLO"], [date(2025, 10, 30), TUE, date(2025, 12, 1)]).values()
    assert len(outcome.problems) == 1
    assert outcome.problems[0].startswith("AVLO, 2025-11: ")
    assert BarsStore(lake).covered("AVLO") == {date(2025, 10, 30), date(2025, 12, 1)}
