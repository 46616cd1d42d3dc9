"""The audit fetches published spans again: changes are counted, and the lake stays unchanged."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
import yaml

from smallcaps_assets.cli import main
from smallcaps_assets.domain.manifests.selection import ProfileParams, Selection
from smallcaps_assets.domain.tables import QUOTES
from smallcaps_assets.domain.tape.budget import SizeBudget, thin_after
from smallcaps_assets.domain.tape.nbbo import thin_frame
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.domain.tape.tables import AUDIT
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.errors import InputError, NotAuthenticated, NotEntitled
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.identity import give_identity
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UNIVERSE, UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.tape.audit import MANIFEST_DAMAGED, WINDOWS_UNKNOWN, Audit
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.pipeline.tape.download import download_tape
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import LATER, Gate, event, files_below, manifest_of, refusal
from smallcaps_assets_tests.listings import publish_untyped
from smallcaps_assets_tests.scenarios import default_settings

MANIFEST = manifest_of(
    event("2025-11-26 10:00", event_id="a1", symbol="AVLO"),
    event("2025-11-26 10:05", event_id="a2", symbol="AVLO"),
    event("2025-11-26 11:00", event_id="c1", symbol="CRVO"),
)
PAIRS = [("AVLO", "RTH"), ("CRVO", "RTH")]
PARAMS = default_settings().profiles["core"]
EVERY_QUOTE = {"quotes": {"by_change_only": False, "max_hz": 1000}, "columns": "all"}
# start of the span of CRVO
START_NS = int(datetime(2025, 11, 26, 15, 57, tzinfo=UTC).timestamp()) * 10**9


def tape(lake: Lake, **changes: Any) -> TapeStore:
    return TapeStore(lake, "core", ProfileParams.model_validate(PARAMS.model_dump() | changes))


def fill(store: TapeStore, client: MarketDataClient) -> None:
    """Capture everything that is missing."""
    for kind in TAPE_KINDS:
        capture = Capture(
            kind,
            store,
            client,
            threads=2,
            config_hash="abc",
            log=lambda line: None,  # noqa: ARG005
            clock=lambda: LATER,
        )
        assert not [problem for outcome in capture.run(MANIFEST, PAIRS) for problem in outcome.problems]


def freeze(lake: Lake, manifest: pl.DataFrame = MANIFEST) -> None:
    ManifestStore.in_lake(lake, "core").freeze(
        Selection(manifest, [], {}), config_hash=str(manifest.height), master_sha256="m", now=LATER
    )


@pytest.fixture
def logged() -> list[str]:
    """The lines that an audit logged."""
    return []


@pytest.fixture
def audit(lake: Lake, client: MarketDataClient, gate: Gate, logged: list[str]) -> Callable[..., pl.DataFrame]:
    """Audit a lake, which must stay unchanged."""

    def run(sample: int = 100, seed: int = 1, **changes: Any) -> pl.DataFrame:
        gate.requests.clear()
        before = files_below(lake.root)
        found = Audit(tape(lake, **changes), client, 2, logged.append).run(sample, seed)
        assert files_below(lake.root) == before
        assert found.schema == AUDIT
        return found

    return run


def changed(found: pl.DataFrame) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Added, removed and altered rows by kind and symbol, where there are any."""
    rows = found.filter(pl.sum_horizontal("added", "removed", "altered") > 0)
    return {(row[0], row[1]): row[2:] for row in rows.select(*AUDIT.names()[:2], *AUDIT.names()[7:10]).iter_rows()}


def alter(gate: Gate, path: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the rows of every page of a path."""

    def rule(requested: str, query: Mapping[str, str]) -> Reply | None:
        if requested != path:
            return None
        reply = gate.exchange.reply(requested, query, {"authorization": "Bearer a-key-of-tests"})
        body = json.loads(reply.body)
        change(body["results"])
        return Reply(reply.status, {"Content-Type": "application/json"}, json.dumps(body).encode())

    gate.rule = rule


def test_unchanged_tape_has_no_differences(
    lake: Lake, client: MarketDataClient, gate: Gate, audit: Callable[..., pl.DataFrame], logged: list[str]
) -> None:
    fill(tape(lake), client)
    found = audit()
    assert len(gate.requests) == 4
    assert changed(found) == {}
    assert found["cause"].null_count() == 4
    assert set(found["fetched_at"]) == {LATER}
    files = [path for kind in TAPE_KINDS for path in sorted(lake.tape("core", kind).rglob("*.parquet"))]
    rows = {(path.parts[-4], path.parent.name[7:]): pl.read_parquet(path).height for path in files}
    assert {(kind, symbol): count for kind, symbol, count in found.select("kind", "symbol", "rows").iter_rows()} == rows
    assert logged == ["4 of 4 published spans are fetched again (sample seed 1): about 4 requests"]


def test_added_removed_and_altered_trades_are_counted(
    lake: Lake, client: MarketDataClient, gate: Gate, audit: Callable[..., pl.DataFrame], logged: list[str]
) -> None:
    fill(tape(lake), client)

    def change(rows: list[dict[str, Any]]) -> None:
        rows[3]["price"] += 1
        rows[5]["conditions"] = [52, 53]
        del rows[7:10]
        rows.append(rows[-1] | {"sequence_number": 999_999_999, "id": "late"})

    alter(gate, "/v3/trades/AVLO", change)
    assert changed(audit()) == {("trades", "AVLO"): (1, 3, 2)}
    assert any("altered" in line and "price" in line and "->" in line for line in logged)
    assert any("added" in line and "#999999999" in line for line in logged)


@pytest.mark.parametrize("columns", ["minimal", "all"])
def test_added_removed_and_altered_quotes_are_counted(
    lake: Lake, client: MarketDataClient, gate: Gate, audit: Callable[..., pl.DataFrame], columns: str
) -> None:
    every = EVERY_QUOTE | {"columns": columns}
    fill(tape(lake, **every), client)

    def change(rows: list[dict[str, Any]]) -> None:
        # many intervals apart, so that none hides another; of the rows before the span, which come first, one is kept
        first = next(place for place, row in enumerate(rows) if row["sip_timestamp"] >= START_NS)
        rows[first + 10]["bid_size"] = 77_777
        del rows[first + 20]
        rows[-1]["ask_exchange"] = 99
        rows[-1]["participant_timestamp"] -= 1

    alter(gate, "/v3/quotes/CRVO", change)
    (counts,) = changed(audit(**every)).values()
    assert counts == (0, 1, 2)


def test_quotes_are_thinned_like_the_tape_file(
    lake: Lake, client: MarketDataClient, audit: Callable[..., pl.DataFrame]
) -> None:
    fill(tape(lake, quotes={"by_change_only": True, "max_hz": 5}), client)
    # the profile requires less now; the tape files keep their thinning
    found = audit(quotes={"by_change_only": True, "max_hz": 1})
    assert found.height == 4
    assert changed(found) == {}


@pytest.mark.parametrize("known", [True, False])
def test_quotes_thinned_to_the_budget_are_compared_if_their_windows_are_known(
    lake: Lake, client: MarketDataClient, gate: Gate, audit: Callable[..., pl.DataFrame], known: bool
) -> None:
    budget = SizeBudget(event_mb=0.006, steps_hz=[1.0, 0.5])
    fill(TapeStore(lake, "core", PARAMS, budget), client)
    thinned = tape(lake).published("quotes").filter(pl.col("budget_hz").list.len() > 0)
    assert thinned.height > 0
    freeze(lake, MANIFEST if known else manifest_of(event("2025-11-26 12:00", event_id="other")))
    found = audit()
    causes = found.filter(pl.col("cause").is_not_null())
    assert changed(found) == {}
    assert causes.height == (0 if known else thinned.height)
    assert set(causes["cause"]) <= {WINDOWS_UNKNOWN}
    assert len(gate.requests) == 4 - causes.height


def test_quotes_that_release_0_1_thinned_from_the_events_minute_on_are_compared_as_they_are(
    lake: Lake, client: MarketDataClient, audit: Callable[..., pl.DataFrame]
) -> None:
    fill(TapeStore(lake, "core", PARAMS, SizeBudget(event_mb=0.006, steps_hz=[1.0, 0.5])), client)
    published = tape(lake).published("quotes").filter(pl.col("budget_hz").list.len() > 0).row(0, named=True)
    span = Span(*(published[name] for name in ("symbol", "wave", "start", "end")), tuple(published["events_merged"]))
    kept = thin_frame(download_tape(client, "quotes", span, QUOTES).frame, PARAMS.quotes)
    windows = event_windows(MANIFEST).with_columns(known_at=MANIFEST["timestamp"])
    of_span = windows.filter(pl.col("event_id").is_in(span.events_merged))
    rates = dict(zip(published["budget_events"], published["budget_hz"], strict=True))
    rows = thin_after(kept, of_span, rates, PARAMS.quotes).collect()
    assert rows.height < published["rows"]
    facts = {name: published[name] for name in ("budget_mb", "budget_events", "budget_hz", "over_budget", "received")}
    tape(lake).publish("quotes", span, rows, facts | {"fetched_at": f"{published['fetched_at']:%Y-%m-%dT%H:%M:%S%z}"})
    freeze(lake, MANIFEST)
    assert changed(audit()) == {}


def test_windows_of_other_spans_are_not_used(
    lake: Lake, client: MarketDataClient, audit: Callable[..., pl.DataFrame]
) -> None:
    fill(TapeStore(lake, "core", PARAMS, SizeBudget(event_mb=0.006, steps_hz=[1.0, 0.5])), client)
    freeze(lake, MANIFEST.with_columns(window_after_min=pl.lit(20, pl.Int64)))
    assert WINDOWS_UNKNOWN in set(audit()["cause"])


def test_imported_quotes_which_have_no_opening_book_are_compared_without_it(
    lake: Lake, client: MarketDataClient, audit: Callable[..., pl.DataFrame]
) -> None:
    """As an import stores them: its first quote is the first row of thinning."""
    fill(tape(lake), client)
    first = tape(lake).published("quotes").filter(opening_book=1).row(0, named=True)
    span = Span(*(first[name] for name in ("symbol", "wave", "start", "end")), tuple(first["events_merged"]))
    full = download_tape(client, "quotes", span, QUOTES).frame
    rows = thin_frame(full.filter(pl.col("timestamp") >= span.start), PARAMS.quotes)
    tape(lake).publish("quotes", span, rows, {"received": full.height, "adopted_from": ["mine_quotes.parquet"]})
    assert tape(lake).published("quotes").filter(symbol=span.symbol, start=span.start)["opening_book"].item() == 0
    found = audit()
    assert (changed(found), found["cause"].null_count()) == ({}, 4)


def test_a_damaged_manifest_is_named_and_stops_only_what_needs_it(
    lake: Lake, client: MarketDataClient, logged: list[str]
) -> None:
    fill(TapeStore(lake, "core", PARAMS, SizeBudget(event_mb=0.006, steps_hz=[1.0, 0.5])), client)
    thinned = tape(lake).published("quotes").filter(pl.col("budget_hz").list.len() > 0).height
    freeze(lake)
    (path,) = lake.manifests("core").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    one = Audit(tape(lake), client, 2, logged.append)
    causes = one.run(4, 1)["cause"].drop_nulls()
    assert thinned > 0
    assert causes.to_list() == [MANIFEST_DAMAGED] * thinned
    (error,) = one.damaged
    assert str(error).startswith(f"{path}: SHA-256 is ")
    assert f"damaged: {error}" in logged


def test_a_sample_depends_on_the_seed_only(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    fill(tape(lake), client)
    one = Audit(tape(lake), client, 2, lambda line: None)  # noqa: ARG005
    samples = {seed: one.sample(2, seed).spans["path"].to_list() for seed in range(20)}
    assert {len(set(paths)) for paths in samples.values()} == {2}
    assert len({tuple(paths) for paths in samples.values()}) == 6
    assert one.sample(2, 3).spans["path"].to_list() == samples[3]
    assert one.sample(2, 3)[1:] == (4, 2)
    gate.requests.clear()
    assert one.run(3, 5).height == len(gate.requests) == 3


def test_skipped_quotes_are_not_sampled(
    lake: Lake, client: MarketDataClient, audit: Callable[..., pl.DataFrame]
) -> None:
    saturday = manifest_of(event("2025-11-29 08:00", symbol="AVLO", session="PM"))
    for kind in TAPE_KINDS:
        capture = Capture(kind, tape(lake), client, 2, "abc", lambda line: None)  # noqa: ARG005
        list(capture.run(saturday, [("AVLO", "PM")]))
    found = audit()
    assert found.select("kind", "rows", "added").rows() == [("trades", 0, 0)]


def test_an_audit_without_tape_is_empty(lake: Lake, client: MarketDataClient) -> None:
    with pytest.raises(InputError, match="no tape of profile core yet"):
        Audit(tape(lake), client, 2, print).run(1, 1)


def test_a_failed_span_is_reported_and_stops_no_other(
    lake: Lake, client: MarketDataClient, gate: Gate, audit: Callable[..., pl.DataFrame]
) -> None:
    fill(tape(lake), client)
    gate.rule = lambda path, query: refusal(503, "out of order") if path == "/v3/trades/AVLO" else None  # noqa: ARG005
    found = audit()
    (cause,) = found["cause"].drop_nulls()
    assert "out of order" in cause
    assert found.filter(pl.col("cause").is_not_null())["added"].to_list() == [None]


def test_an_unreadable_file_is_reported(
    lake: Lake, client: MarketDataClient, audit: Callable[..., pl.DataFrame]
) -> None:
    fill(tape(lake), client)
    path = next(lake.tape("core", "trades").rglob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    (cause,) = audit()["cause"].drop_nulls()
    assert str(path) in cause


@pytest.mark.parametrize(("status", "error"), [(401, NotAuthenticated), (403, NotEntitled)])
def test_a_denied_request_ends_the_audit(
    lake: Lake, client: MarketDataClient, gate: Gate, status: int, error: type[Exception]
) -> None:
    fill(tape(lake), client)
    gate.rule = lambda path, query: refusal(status, "not you")  # noqa: ARG005
    with pytest.raises(error, match="not you"):
        Audit(tape(lake), client, 2, lambda line: None).run(4, 1)  # noqa: ARG005


# --------------------------------------------------------------------------------------------- command


@pytest.fixture
def command(lake: Lake, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command, with the gate as vendor."""
    source = {"kind": "vendor", "base_url": gate.base_url, "max_retries": 1, "requests_per_minute": None}
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    config = lake.root.parent / "config.yaml"
    document = default_settings().model_dump(mode="json")
    document["source"] |= source
    config.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("MASSIVE_API_KEY", "a-key-of-tests")
    return lambda *flags: main(["audit", "--config", str(config), "--lake", str(lake.root), *flags])


def test_the_command_prints_the_changes(
    lake: Lake,
    client: MarketDataClient,
    gate: Gate,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(tape(lake), client)
    alter(gate, "/v3/trades/AVLO", lambda rows: rows.pop())
    # a lake has it from the first time its state is opened
    give_identity(lake)
    before = files_below(lake.root)
    assert command("--sample", "4", "--sample-seed", "9") == 0
    output = capsys.readouterr().out
    for words in (
        "4 of 4 published spans are fetched again (sample seed 9): about 4 requests",
        "1 of 4 spans compared changed (25.0 %)",
        "0 added, 1 removed, 0 altered; 4 requests",
        "fetched between 2026-01-05 12:00 and 2026-01-05 12:00 UTC",
    ):
        assert words in output
    assert command("--sample", "4", "--json") == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["changed"], document["removed"], document["requests"]) == (1, 1, 4)
    assert len(document["spans"]) == 4
    assert "about 4 requests" in printed.err
    assert files_below(lake.root) == before


def test_the_command_rejects_another_source_and_an_empty_lake(
    lake: Lake, gate: Gate, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command() == 2
    assert "no tape of profile core yet" in capsys.readouterr().err
    UniverseStore(lake).replace(UNIVERSE.to_frame(), {"source": "simulated market, seed 3"})
    assert command() == 2
    assert "holds data of another source" in capsys.readouterr().err
    assert gate.requests == []


def test_the_command_rejects_a_universe_above_the_limits(
    lake: Lake, gate: Gate, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    publish_untyped(lake, 20)
    assert command() == 2
    error = capsys.readouterr().err
    for words in ("20 of 20 symbols (100.0 %) are of unknown type", "max_unknown_type_share allows 5 %"):
        assert words in error
    assert gate.requests == []


def test_an_unknown_time_is_printed_as_unknown(
    lake: Lake, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    store = tape(lake)
    folder = lake.tape_wave("core", "trades", "RTH", "AVLO")
    publish_frame(
        folder / f"{datetime(2025, 11, 29, 15, tzinfo=UTC):%Y%m%dT%H%M%S}_20251129T151000.parquet",
        store.schema("trades").to_frame(),
        {"columns": "minimal", "rows": 0},
        below=lake.root,
    )
    assert command() == 0
    assert "fetched between unknown and unknown" in capsys.readouterr().out
