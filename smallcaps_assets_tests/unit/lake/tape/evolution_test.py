"""A lake of release 0.1, whose tape lacks columns and the opening book, under the present code."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.commands.inspecting.report import profile_report
from smallcaps_assets.domain.tables import QUOTES, QUOTES_ALL, TRADES, TRADES_ALL
from smallcaps_assets.domain.tape.schemas import (
    TAPE_KINDS,
    TAPE_SCHEMA_NUMBER,
    TAPE_SCHEMAS,
    UNRECORDED_COLUMNS,
    TapeKind,
    describe_stale,
    missing_columns,
    recorded_schema,
)
from smallcaps_assets.domain.tape.tables import LEDGER, LEDGER_ADDED
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import provenance_of, publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.pipeline.tape.cost_estimate import Planner
from smallcaps_assets_tests.conftest import Gate, event, files_below, manifest_of
from smallcaps_assets_tests.scenarios import default_settings

RELEASE_0_1 = Path(__file__).parents[3] / "data" / "release_0_1"
SETTINGS = default_settings()
NOW = datetime(2026, 11, 28, 13, tzinfo=UTC)
# of the manifest of that lake
PAIRS = [(symbol, "RTH") for symbol in ("AVLO", "BNRX", "CRVO", "DRFT")]
ADDED = {"trades": ["participant_timestamp", "correction"], "quotes": ["participant_timestamp", "opening_book"]}
OF_TEN = {
    "trades": "10 windows lack columns correction, participant_timestamp",
    "quotes": "10 windows lack columns opening_book, participant_timestamp",
}


@pytest.fixture
def old(tmp_path: Path) -> TapeStore:
    """The tape of a copy of the lake of release 0.1."""
    shutil.copytree(RELEASE_0_1, tmp_path / "old")
    return TapeStore(Lake(tmp_path / "old"), "core", SETTINGS.profiles["core"], SETTINGS.capture.size_budget)


def manifest_of_lake(tape: TapeStore) -> pl.DataFrame:
    return ManifestStore.in_lake(tape.lake, "core").load()


def stored_ledger(tape: TapeStore) -> pl.DataFrame:
    return pl.read_parquet(tape.lake.ledger("core"), hive_partitioning=False)


def captured(tape: TapeStore, client: MarketDataClient, *, upgrade: bool = False) -> list[str]:
    """Capture what is missing of both kinds; the lines that were logged."""
    lines: list[str] = []
    manifest = manifest_of_lake(tape)
    for kind in TAPE_KINDS:
        capture = Capture(kind, tape, client, threads=1, config_hash="c", log=lines.append)
        backlog = tape.backlog(kind, event_windows(manifest), upgrade=upgrade)
        for outcome in capture.run(manifest, PAIRS, backlog=backlog):
            assert not outcome.problems
            assert outcome.version is not None
    return lines


# ------------------------------------------------------------------------------------------ the present code


def test_a_lake_of_release_0_1_is_complete_and_nothing_of_it_is_fetched_again(
    old: TapeStore, client: MarketDataClient, gate: Gate
) -> None:
    before = files_below(old.lake.root)
    captured(old, client)
    assert gate.requests == []
    assert files_below(old.lake.root) == before
    assert len([name for name in before if name.startswith("tape/core/trades/")]) == 10


def test_a_lake_of_release_0_1_is_read(old: TapeStore) -> None:
    windows = event_windows(manifest_of_lake(old))
    assert windows.height == 10
    for kind, read in (("trades", old.trades), ("quotes", old.quotes)):
        for row in windows.to_dicts():
            files = sorted(old.lake.tape("core", kind).rglob(f"symbol={row['symbol']}/*.parquet"))
            stored = pl.concat(pl.read_parquet(file, hive_partitioning=False) for file in files)
            inside = stored.filter(pl.col("timestamp") >= row["start"], pl.col("timestamp") < row["end"])
            found = read(row["event_id"])
            assert_frame_equal(found.select(stored.columns), inside.sort("timestamp", "sequence_number"))
            assert inside.height


def test_a_lake_of_release_0_1_is_verified_by_its_ledger_of_then(old: TapeStore) -> None:
    result = verify(old)
    assert result.findings == ()
    assert (result.files, len(result.stale), result.uncertified) == (20, 20, ())
    assert result.states == {"complete": 10}
    assert not set(stored_ledger(old).columns) & set(LEDGER_ADDED)


def test_the_ledger_of_a_lake_of_release_0_1_is_unchanged(old: TapeStore) -> None:
    manifest_id = ManifestStore.in_lake(old.lake, "core").current_id()
    ledger = build_ledger(manifest_of_lake(old), old, manifest_id)
    assert_frame_equal(ledger.drop(LEDGER_ADDED), stored_ledger(old))
    counts = (None, None)  # of repeats and rejected rows
    trades, quotes = (sorted(ADDED[kind]) for kind in TAPE_KINDS)
    assert ledger.select(LEDGER_ADDED).rows() == [(trades, *counts, quotes, *counts, None, None)] * 10


def test_a_lake_of_release_0_1_is_extended(old: TapeStore, client: MarketDataClient, gate: Gate) -> None:
    before = files_below(old.lake.root)
    manifest = pl.concat(
        [manifest_of_lake(old), manifest_of(event("2025-11-26 11:00", event_id="more", symbol="AVLO"))]
    )
    for kind in TAPE_KINDS:
        list(Capture(kind, old, client, threads=1, config_hash="c", log=lambda line: None).run(manifest, PAIRS))  # noqa: ARG005
    assert len(gate.requests) == 2
    after = files_below(old.lake.root)
    assert {name: after[name] for name in before} == before
    added = sorted(set(after) - set(before))
    span = "wave=RTH/symbol=AVLO/20251126T155700_20251126T160700.parquet"
    assert added == [f"tape/core/quotes/{span}", f"tape/core/trades/{span}"]
    footer = provenance_of(old.lake.root / f"tape/core/trades/{span}")
    assert footer is not None
    assert footer["schema_number"] == TAPE_SCHEMA_NUMBER
    assert footer["schema"][:2] == [["timestamp", "Datetime(time_unit='ns', time_zone='UTC')"], ["price", "Float64"]]
    assert [name for name, _ in footer["schema"]] == TRADES.names()
    ledger = build_ledger(manifest, old, "m")
    assert ledger["state"].to_list() == ["complete"] * 11


# ------------------------------------------------------------------------------------------ one more column


@pytest.mark.parametrize("kind", TAPE_KINDS)
def test_files_without_a_new_column_are_stale_and_fetched_again_only_on_upgrade(old: TapeStore, kind: TapeKind) -> None:
    windows = event_windows(manifest_of_lake(old))
    backlog = old.backlog(kind, windows)
    assert backlog.spans.is_empty()
    assert backlog.stale["event_id"].sort().equals(windows["event_id"].sort())
    assert describe_stale(backlog.stale["missing_columns"]) == OF_TEN[kind]
    upgrade = old.backlog(kind, windows, upgrade=True)
    assert upgrade.spans["events_merged"].list.len().sum() == 10
    assert upgrade.stale.is_empty()


def test_a_reader_returns_null_for_a_column_that_a_file_lacks(old: TapeStore) -> None:
    manifest = manifest_of_lake(old)
    rows = old.trades(manifest["event_id"][0])
    assert rows.schema == TRADES
    assert rows.height == rows["participant_timestamp"].null_count() > 0
    scanned = old.scan("trades", manifest["event_id"]).collect()
    assert scanned["participant_timestamp"].null_count() == scanned.height > rows.height


def test_the_unit_of_quote_sizes_is_not_recorded(old: TapeStore) -> None:
    assert old.published("quotes")["quote_size_unit"].to_list() == [None] * 10


def test_a_reader_finds_no_opening_book_where_none_was_requested(old: TapeStore) -> None:
    for event_id in manifest_of_lake(old)["event_id"]:
        assert old.quotes(event_id, opening_book=True).equals(old.quotes(event_id))


def test_ledger_report_and_verify_show_stale_files(old: TapeStore) -> None:
    ledger = build_ledger(manifest_of_lake(old), old)
    assert ledger["state"].to_list() == ["complete"] * 10
    for kind in TAPE_KINDS:
        assert ledger[f"{kind}_missing_columns"].to_list() == [sorted(ADDED[kind])] * 10
    assert ledger.schema == LEDGER
    report = profile_report(old.lake, "core", SETTINGS, NOW)
    for kind in TAPE_KINDS:
        assert f"{kind} of {OF_TEN[kind]}" in report
    assert "They are read with nulls there; `smallcaps plan --profile core" in report
    result = verify(old)
    assert result.findings == ()
    tape = [name for name in files_below(old.lake.root) if name.startswith("tape/core/") and "wave=" in name]
    assert result.stale == {name: ADDED[name.split("/")[2]] for name in tape}


def test_a_plan_has_the_cost_of_an_upgrade(old: TapeStore) -> None:
    planner = Planner(old, SETTINGS.capture.assumptions, 100.0)
    plan, upgrade = (planner.plan(manifest_of_lake(old), upgrade=upgrade) for upgrade in (False, True))
    assert (plan.spans, plan.backlogs["trades"].stale.height) == (0, 10)
    assert (upgrade.spans, upgrade.table["requests"][-1], upgrade.backlogs["trades"].stale.height) == (20, 20, 0)


def test_an_upgrade_replaces_stale_files_and_no_other(old: TapeStore, client: MarketDataClient, gate: Gate) -> None:
    before = files_below(old.lake.root)
    lines = captured(old, client)
    assert gate.requests == []
    assert files_below(old.lake.root) == before
    assert f"; stale: {OF_TEN['trades']}; the run config `upgrade: true` fetches them again" in lines[0]

    captured(old, client, upgrade=True)
    assert len(gate.requests) == 20
    after = files_below(old.lake.root)
    assert set(after) == set(before)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {name for name in before if name.startswith("tape/core/") and "wave=" in name}
    manifest = manifest_of_lake(old)
    for kind in TAPE_KINDS:
        rows = old.scan(kind, manifest["event_id"]).collect()
        assert rows["participant_timestamp"].null_count() == 0
        assert old.backlog(kind, event_windows(manifest)).stale.is_empty()
    # after another upgrade nothing is left to fetch
    captured(old, client, upgrade=True)
    assert len(gate.requests) == 20
    assert verify(old).stale == {}


def test_where_a_stale_and_a_current_file_hold_a_window_the_current_one_is_read(old: TapeStore) -> None:
    manifest = manifest_of_lake(old).head(1)
    window = event_windows(manifest).row(0, named=True)
    (span,) = old.backlog("trades", event_windows(manifest), upgrade=True).spans.to_dicts()
    stale = old.trades(window["event_id"])
    # a span of another manifest that ends later: of two files without this difference the stale one would be read
    longer = Span(window["symbol"], "AH", span["start"], span["end"] + timedelta(minutes=1), ())
    old.publish("trades", longer, stale.with_columns(participant_timestamp=pl.col("timestamp")), {})
    assert old.trades(window["event_id"])["participant_timestamp"].null_count() == 0
    assert old.backlog("trades", event_windows(manifest)).stale.is_empty()


# ------------------------------------------------------------------------------------------ schemas


def test_an_answer_without_rows_lacks_no_column() -> None:
    for kind, schema in (("trades", TRADES), ("quotes", QUOTES)):
        assert missing_columns(kind, schema.names(), {"columns": "minimal", "rows": 0}) == []
        assert missing_columns(kind, schema.names(), {"columns": "minimal", "rows": 1}) == ADDED[kind]
    assert missing_columns("trades", TRADES.names(), {"columns": "all", "rows": 1}) == []
    assert missing_columns("quotes", QUOTES.names(), {"columns": "all", "rows": 1}) == ["opening_book"]


def test_how_many_windows_are_stale_in_words() -> None:
    lists = pl.List(pl.String())
    assert describe_stale(pl.Series([None, [], []], dtype=lists)) is None
    words = describe_stale(pl.Series([["y"], None, ["x", "y"], []], dtype=lists))
    assert words == "2 windows lack columns x, y"


@pytest.mark.parametrize(
    ("kind", "columns", "schema"),
    [
        ("trades", "minimal", TRADES),
        ("trades", "all", TRADES_ALL),
        ("quotes", "minimal", QUOTES),
        ("quotes", "all", QUOTES_ALL),
    ],
)
def test_columns_are_only_ever_added(kind: str, columns: str, schema: pl.Schema) -> None:
    assert TAPE_SCHEMAS[kind, columns] == schema
    first = UNRECORDED_COLUMNS[kind, columns]
    assert [name for name in schema.names() if name in first] == list(first)
    recorded = recorded_schema(kind, {"columns": columns})
    assert recorded == {name: str(schema[name]) for name in first}
    # where this fails, columns were added: raise TAPE_SCHEMA_NUMBER, then the numbers here
    added = {("trades", "minimal"): 2, ("quotes", "minimal"): 1}.get((kind, columns), 0)
    assert (TAPE_SCHEMA_NUMBER, len(schema)) == (2, len(first) + added)


@pytest.mark.parametrize(
    "provenance", [{"columns": "foo"}, {"schema": "garbage"}, {"schema": [["timestamp"]]}, {"schema": 7}]
)
def test_a_footer_that_describes_no_columns_makes_its_own_file_unusable_and_no_other(
    old: TapeStore, provenance: dict[str, object]
) -> None:
    with pytest.raises(LakeError, match="its footer records no"):
        missing_columns("trades", ["timestamp"], provenance)
    files = sorted((old.lake.tape("core", "trades")).rglob("*.parquet"))
    before = old.published("trades").height
    footer = provenance_of(files[0])
    assert footer is not None
    publish_frame(files[0], pl.read_parquet(files[0], hive_partitioning=False), footer | provenance)
    assert old.published("trades").height == before - 1
