"""The assets as Dagster shows them, materialized on a small universe."""

import base64
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from pyarrow import parquet

from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.checks.texts import EMPTY_WINDOWS, KPI_CHECKS
from smallcaps_assets.defs.metadata.entries import COLUMNS_ABOVE, COLUMNS_BELOW
from smallcaps_assets.defs.partitions import SYMBOLS, tape_key
from smallcaps_assets.domain.bars.coverage import COVERAGE
from smallcaps_assets.domain.listings.tables import LISTINGS
from smallcaps_assets.domain.research.bars.market_state import SPLITS
from smallcaps_assets.domain.research.tape.pinned_conditions import CONDITION_TABLE
from smallcaps_assets.domain.tables import (
    BARS,
    EVENTS,
    MANIFEST,
    QUOTES,
    QUOTES_ALL,
    SESSIONS,
    SHARD,
    TRADES,
    TRADES_ALL,
    WAVES,
)
from smallcaps_assets.domain.tape.kpis import ledger_problems
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.domain.tape.tables import KPIS, LEDGER
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.symbol_paths import symbol_name
from smallcaps_assets.lake.universe import UNIVERSE
from smallcaps_assets.pipeline.operations.nightly import BEHIND
from smallcaps_assets.pipeline.research.tape.tape_parts import ASSET_TABLES
from smallcaps_assets.pipeline.sketches import INLINE_CHARACTERS
from smallcaps_assets.settings.settings import PROFILES, load_settings
from smallcaps_assets.simulated.corporate.market import CorporateMarket
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import LATER, Gate, close_client, files_below, refusal
from smallcaps_assets_tests.other_tools import TOOLS, rows_by_symbol

BEGAN = datetime.now(UTC)
SYMBOLS_OF_MARKET = ["AVLO", "BNRX", "CRVO", "DRFT"]
TAPES = [dg.AssetKey([profile, f"tape_{kind}"]) for profile in PROFILES for kind in ("trades", "quotes")]
RESEARCH_OF_SYMBOLS = ("event_bar_features", "halts", "event_waves", "event_labels", "market_state_day")
RESEARCH_OF_PROFILES = (
    "research_table",
    "event_costs",
    "research_labels",
    "cohorts",
    "control_manifest",
    "control_features",
)
PICTURES = {"days", "clock", "scores"}
CORE_TAPES = [key for key in TAPES if key.path[0] == "core"]


@lru_cache(maxsize=8)
def _definitions(overrides: str) -> dg.Definitions:
    return build_defs(load_settings(overrides=json.loads(overrides)))


def state_in(folder: Path) -> dg.DagsterInstance:
    """Dagster's state in a folder, which may be a copy; one database for the events of all runs, not one for each."""
    one_file = {
        "module": "dagster._core.storage.event_log",
        "class": "ConsolidatedSqliteEventLogStorage",
        "config": {"base_dir": str(folder)},
    }
    return dg.DagsterInstance.local_temp(str(folder), {"telemetry": {"enabled": False}, "event_log_storage": one_file})


@dataclass
class Platform:
    """A lake, its definitions and Dagster's state, with a gate in front of the vendor."""

    gate: Gate
    root: Path
    instance: dg.DagsterInstance
    overrides: dict[str, Any]
    stages: dict[str, dg.ExecuteInProcessResult] = field(default_factory=dict)
    first_requests: list[str] = field(default_factory=list)

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    @property
    def definitions(self) -> dg.Definitions:
        """The definitions with the present overrides; built once for equal ones, since building takes half a second."""
        return _definitions(json.dumps(self.overrides))

    def run(
        self,
        *assets: str | Sequence[str],
        first: str | None = None,
        last: str | None = None,
        fails: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets, over the partitions from `first` to `last` if they have any; `config` by step."""
        tags = {}
        if first and last:
            tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        job = self.definitions.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey([name] if isinstance(name, str) else list(name)) for name in assets]
        result = job.execute_in_process(
            run_config={"ops": {step: {"config": given} for step, given in (config or {}).items()}},
            instance=self.instance,
            asset_selection=keys,
            tags=tags,
            raise_on_error=False,
        )
        assert result.success != fails
        return result

    def everything(self) -> None:
        """All assets of all symbols; of profile core only."""
        first, last = SYMBOLS_OF_MARKET[0], SYMBOLS_OF_MARKET[-1]
        self.stages["universe"] = self.run("universe")
        self.stages["bars"] = self.run("minute_bars", first=first, last=last)
        self.stages["shards"] = self.run("event_shards", first=first, last=last)
        self.stages["tables"] = self.run("master_events", *([profile, "manifest"] for profile in PROFILES))
        for wave in WAVES:
            keys = tape_key(first, wave), tape_key(last, wave)
            self.stages[wave] = self.run(*(key.path for key in CORE_TAPES), first=keys[0], last=keys[1])
        self.stages["ledger"] = self.run(["core", "capture_ledger"], ["core", "capture_report"])

    def materialized(self, key: dg.AssetKey) -> set[str]:
        return set(self.instance.get_materialized_partitions(key))


def opened(folder: Path, market: SimulatedMarket | CorporateMarket, state: Path | None = None) -> Iterator[Platform]:
    """A platform with Dagster's state in a folder, as sensors and schedules need it, or in memory if none is given."""
    gate = Gate(Exchange(market, clock=lambda: LATER))
    if state:
        state.mkdir(parents=True)
    kept = state_in(state) if state else dg.DagsterInstance.ephemeral()
    with pytest.MonkeyPatch.context() as patch, serve(gate) as server, kept as instance:  # type: ignore[arg-type]
        gate.base_url = server.base_url
        patch.setenv("MASSIVE_API_KEY", "a-key-of-tests")
        overrides: dict[str, Any] = {
            "lake": {"path": str(folder / "lake")},
            "source": {"kind": "vendor", "base_url": gate.base_url, "max_retries": 0},
            "history": {"first_session": "2025-11-24", "last_session": "2025-12-01"},
            "fetch_threads": 2,
        }
        yield Platform(gate, folder / "lake", instance, overrides)
        close_client(load_settings(overrides=overrides).source)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, small_market: SimulatedMarket) -> Iterator[Platform]:
    """Everything materialized once; tests may only read it."""
    for made in opened(tmp_path_factory.mktemp("platform"), small_market):
        made.everything()
        made.first_requests = [path for path, _ in made.gate.requests]
        yield made


@pytest.fixture
def fresh(tmp_path: Path, small_market: SimulatedMarket) -> Iterator[Platform]:
    """An empty lake."""
    yield from opened(tmp_path, small_market)


def metadata_of(result: dg.ExecuteInProcessResult, *path: str) -> dict[str | None, Mapping[str, dg.MetadataValue[Any]]]:
    """Metadata of an asset's materializations in a run, by partition."""
    found = [
        event.step_materialization_data.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(path)
    ]
    return {materialization.partition: materialization.metadata for materialization in found}


def records_of(shown: dg.MetadataValue[Any]) -> list[dict[str, Any]]:
    """The rows of a metadata table."""
    assert isinstance(shown, dg.TableMetadataValue)
    return [{column.name: row.data[column.name] for column in shown.schema.columns} for row in shown.records]


def rows_of(shown: dg.MetadataValue[Any]) -> list[tuple[Any, ...]]:
    """The rows of a metadata table, as tuples."""
    return [tuple(row.values()) for row in records_of(shown)]


# ------------------------------------------------------------------------------------------------- results


def test_every_table_is_at_its_path(platform: Platform) -> None:
    lake = platform.lake
    assert pl.read_parquet_schema(lake.universe) == UNIVERSE
    assert pl.read_parquet_schema(lake.master) == EVENTS
    assert pl.read_parquet_schema(lake.ledger("core")) == LEDGER
    assert [path.name for path in sorted((lake.root / "bars" / "minute").iterdir())] == [
        symbol_name(symbol) for symbol in SYMBOLS_OF_MARKET
    ]
    assert [path.name for path in sorted(lake.shards.iterdir())] == [
        f"{symbol_name(symbol)}.parquet" for symbol in SYMBOLS_OF_MARKET
    ]
    for profile in PROFILES:
        assert ManifestStore.in_lake(lake, profile).load().schema == MANIFEST
    assert not list(lake.root.rglob("*.part"))
    # Thanksgiving is not a session
    assert len(BarsStore(lake).covered("AVLO")) == 5


def counted(files: Iterable[Path]) -> dict[str, int]:
    """The rows of each symbol of files in folders `symbol=X`, from their footers."""
    rows = Counter[str]()
    for file in files:
        rows[unquote(file.parent.name.removeprefix("symbol="))] += parquet.read_metadata(file).num_rows
    return {symbol: count for symbol, count in rows.items() if count}


@pytest.mark.parametrize("tool", TOOLS)
def test_other_tools_read_every_table(tool: str, platform: Platform) -> None:
    """Tables of many files by folder, the others by file."""
    lake = platform.lake
    folders = [lake.minute_bars, *(lake.tape("core", kind) for kind in TAPE_KINDS)]
    for folder in folders:
        expected = counted(folder.rglob("*.parquet"))
        assert expected
        assert rows_by_symbol(tool, folder) == expected, folder
    assert rows_by_symbol(tool, lake.shards) == {
        symbol: rows for symbol in SYMBOLS_OF_MARKET if (rows := ShardStore(lake).read(symbol).height)
    }
    one_file = [path for path in lake.root.rglob("*.parquet") if not path.parent.name.startswith("symbol=")]
    one_file = [path for path in one_file if path.parent != lake.shards]
    of_symbols = [path for path in one_file if "symbol" in pl.read_parquet_schema(path)]
    assert {lake.master, lake.ledger("core"), lake.universe} < set(of_symbols)
    for path in of_symbols:
        assert sum(rows_by_symbol(tool, path).values()) == parquet.read_metadata(path).num_rows, path


def test_core_is_part_of_plus_and_plus_of_premium_below_their_limits(platform: Platform) -> None:
    rows = [ManifestStore.in_lake(platform.lake, profile).load().height for profile in PROFILES]
    assert 0 < rows[0] <= rows[1] <= rows[2]


def test_the_api_key_is_in_no_file_and_no_event(platform: Platform) -> None:
    for name, (_, content) in files_below(platform.root).items():
        assert b"a-key-of-tests" not in content, name
    for run in platform.instance.get_runs():
        assert "a-key-of-tests" not in json.dumps(run.run_config)
        for event in platform.instance.all_logs(run.run_id):
            assert "a-key-of-tests" not in str(event)


def test_every_partition_is_recorded(platform: Platform) -> None:
    for name in ("minute_bars", "event_shards"):
        assert platform.materialized(dg.AssetKey(name)) == set(SYMBOLS_OF_MARKET)
    expected = {str(tape_key(symbol, wave)) for symbol in SYMBOLS_OF_MARKET for wave in WAVES}
    for key in CORE_TAPES:
        assert platform.materialized(key) == expected


def test_the_universe_makes_the_partitions(platform: Platform) -> None:
    assert list(platform.instance.get_dynamic_partitions("symbols")) == SYMBOLS_OF_MARKET
    (metadata,) = metadata_of(platform.stages["universe"], "universe").values()
    assert metadata["dagster/row_count"].value == 4
    assert metadata["symbols_active"].value == 4


def test_each_partition_records_figures(platform: Platform) -> None:
    bars = metadata_of(platform.stages["bars"], "minute_bars")
    assert set(bars) == set(SYMBOLS_OF_MARKET)
    store = BarsStore(platform.lake)
    for symbol, metadata in bars.items():
        assert metadata["rows"].value == store.read(str(symbol)).height > 1000
        assert metadata["sessions_fetched"].value == 5
        # November and December
        assert metadata["requests"].value == 2
    shards = metadata_of(platform.stages["shards"], "event_shards")
    master = pl.read_parquet(platform.lake.master)
    assert sum(metadata["events"].value for metadata in shards.values()) == master.height
    assert len({metadata["rows"].value for metadata in bars.values()}) > 1


def test_tape_partitions_record_what_was_fetched(platform: Platform) -> None:
    manifest = ManifestStore.in_lake(platform.lake, "core").load()
    for kind in ("trades", "quotes"):
        windows = 0
        for wave in WAVES:
            found = metadata_of(platform.stages[wave], "core", f"tape_{kind}")
            assert set(found) == {str(tape_key(symbol, wave)) for symbol in SYMBOLS_OF_MARKET}
            for key, metadata in found.items():
                symbol = str(key).split("|")[0]
                mine = manifest.filter(symbol=symbol, session=wave).height
                assert metadata["windows"].value == mine, key
                assert (metadata["spans_fetched"].value > 0) == (mine > 0)
                windows += mine
        assert windows == manifest.height


def test_master_is_checked_and_described(platform: Platform) -> None:
    (metadata,) = metadata_of(platform.stages["tables"], "master_events").values()
    master = pl.read_parquet(platform.lake.master)
    assert metadata["dagster/row_count"].value == master.height > 10
    counted = master.group_by("event_type", "session").len().rows()
    shown = {(row["event"], session): row[session] for row in records_of(metadata["by_type"]) for session in SESSIONS}
    assert {key: rows for key, rows in shown.items() if rows} == {
        (name.replace("_", " "), session): rows for name, session, rows in counted
    }
    assert {row["event"]: row["all"] for row in records_of(metadata["by_type"])} == {
        name.replace("_", " "): rows for name, rows in master.group_by("event_type").len().iter_rows()
    }
    assert metadata["median_score"].value == float(f"{master['score'].median():.4g}")
    assert metadata["up_pct"].value == float(f"{100 * master.filter(direction='up').height / master.height:.4g}")
    first = master.row(0, named=True)
    assert records_of(metadata["first_rows"])[0] == {
        "symbol": first["symbol"],
        "New York": f"{first['timestamp'].astimezone(ZoneInfo('America/New_York')):%Y-%m-%d %H:%M}",
        "event": first["event_type"].replace("_", " "),
        "score": float(f"{first['score']:.4g}"),
    }
    # random rows and statistics of every column would be another megabyte of the event log each time; columns are part
    # of the definition
    assert not metadata.keys() & {"table", "stats", "dagster/column_schema"}
    checks = {check.check_name: check for check in platform.stages["tables"].get_asset_check_evaluations()}
    assert {check.asset_key.path[-1] for check in checks.values()} == {"master_events", "manifest"}
    assert all(check.passed for check in checks.values())


@pytest.mark.parametrize("profile", PROFILES)
def test_a_manifest_shows_its_funnel(platform: Platform, profile: str) -> None:
    (metadata,) = metadata_of(platform.stages["tables"], profile, "manifest").values()
    sidecar = ManifestStore.in_lake(platform.lake, profile).sidecar()
    assert metadata["manifest_id"].value == sidecar["manifest_id"]
    assert metadata["dagster/row_count"].value == sidecar["rows"]
    steps = {row["step"]: row["events"] for row in records_of(metadata["funnel"])}
    assert steps == {step["step"].replace("_", " "): step["rows"] for step in sidecar["funnel"]}
    assert len(steps) == 8
    assert sum(row["events"] for row in records_of(metadata["by_bucket"])) == sidecar["rows"]


def test_the_ledger_certifies_every_event(platform: Platform) -> None:
    (metadata,) = metadata_of(platform.stages["ledger"], "core", "capture_ledger").values()
    ledger = pl.read_parquet(platform.lake.ledger("core"))
    store = ManifestStore.in_lake(platform.lake, "core")
    assert ledger["event_id"].to_list() == store.load()["event_id"].to_list()
    assert set(ledger["state"]) == {"complete"}
    windows = {row["state"]: row for row in records_of(metadata["windows"])}
    assert windows["windows"]["all"] == windows["complete"]["all"] == ledger.height
    tape_mb = ledger["bytes"].sum() / 1e6
    assert 0.1 < tape_mb < 10
    assert (windows["tape, MB"]["all"], metadata["tape_mb"].value) == (round(tape_mb, 2), float(f"{tape_mb:.4g}"))
    assert ledger_problems(ledger, "core", store.sidecar()["manifest_id"]) == []
    for kind in ("trades", "quotes"):
        certain = ledger.select(pl.col(f"^{kind}_(pages|requests|received)$"), pl.col(f"{kind}_request_ids").list.len())
        assert certain.select(pl.all_horizontal(pl.all() > 0).all()).item()
        assert ledger[f"{kind}_fetched_at"].is_between(BEGAN, datetime.now(UTC)).all()
    assert set(ledger["package_version"].explode()) == {version("smallcaps-assets")}
    assert set(ledger["config_hash"].explode()) == {store.sidecar()["config_hash"]}


def test_the_report_has_a_verdict(platform: Platform) -> None:
    (metadata,) = metadata_of(platform.stages["ledger"], "core", "capture_report").values()
    assert next(iter(metadata)) == "verdict"
    assert metadata["verdict"].value == "**GO: every figure meets its target**"
    assert metadata["go"].value is True
    figures = [(row["figure"], row["target"], row["all"]) for row in records_of(metadata["kpis"])]
    assert [row[:2] for row in figures] == [
        ("success %", "≥ 95"),
        ("MB per event, p90", "< 40"),
        ("retries %", "< 2"),
        ("429s %", "< 0.5"),
        ("session drift, pp", "±2, ±1"),
        # not judged before the research tables are made
        ("minutes as in bars %", "≥ 95"),
    ]
    assert (figures[0][2], figures[-1][2]) == ("100", "-")
    speed = {row["figure"]: row["all"] for row in records_of(metadata["speed"])}
    assert (speed["requests per window"], speed["hours left"]) == ("2", "0")
    tapes = [path for path in platform.first_requests if path.startswith(("/v3/trades", "/v3/quotes"))]
    assert metadata["requests"].value == len(tapes) > 0
    checks = {check.check_name: check.passed for check in platform.stages["ledger"].get_asset_check_evaluations()}
    assert checks == dict.fromkeys((*KPI_CHECKS, EMPTY_WINDOWS), True)
    assert pl.read_parquet(platform.lake.ledger("core").with_name("report.parquet")).schema == KPIS


def test_one_run_requests_trades_before_quotes(platform: Platform) -> None:
    tapes = [path.split("/")[2] for path in platform.first_requests if path.startswith("/v3/")]
    waves = [kind for kind, _ in groupby(tape for tape in tapes if tape in ("trades", "quotes"))]
    assert waves == ["trades", "quotes"] * (len(waves) // 2)


def test_metadata_fits_a_screen_and_figures_are_short(platform: Platform) -> None:
    for stage, *path in (
        ("universe", "universe"),
        ("tables", "master_events"),
        ("tables", "core", "manifest"),
        ("ledger", "core", "capture_ledger"),
        ("ledger", "core", "capture_report"),
    ):
        (metadata,) = metadata_of(platform.stages[stage], *path).values()
        plotted = [name for name, value in metadata.items() if isinstance(value.value, int | float)]
        assert len(plotted) <= 14, path
        for name, value in metadata.items():
            if isinstance(value, dg.FloatMetadataValue):
                assert value.value == float(f"{value.value:.4g}"), (path, name)
            if isinstance(value, dg.TableMetadataValue):
                assert pixels(value) <= 360, (path, name)


def pixels(shown: dg.TableMetadataValue) -> float:
    """The least width of a table in the web UI: its longest words, and headers, which do not wrap."""
    width = 0.0
    for column in shown.schema.columns:
        cells = ["" if row.data[column.name] is None else f"{row.data[column.name]:}" for row in shown.records]
        longest = max((len(word) for cell in cells for word in re.split(r"[ -]", cell)), default=0)
        width += 16 + max(8.4 * longest, 7.2 * len(column.name))
    return width


def test_pictures_are_recorded_with_the_figures(platform: Platform) -> None:
    for path, names in ((["master_events"], PICTURES), (["core", "manifest"], {*PICTURES, "funnel"})):
        (metadata,) = metadata_of(platform.stages["tables"], *path).values()
        found = {str(name): value for name, value in metadata.items() if str(name).startswith("picture/")}
        assert set(found) == {f"picture/{name}" for name in names}
        # one is small enough to be shown without a click
        assert len(str(metadata["clock"].value)) < INLINE_CHARACTERS
        order = list(metadata)
        assert order.index("clock") < min(order.index(name) for name in found)
        for value in found.values():
            assert isinstance(value, dg.MarkdownMetadataValue)
            image = re.fullmatch(r"!\[[^]]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", str(value.value))
            assert image
            assert base64.b64decode(image[1]).startswith(b"\x89PNG")
            assert len(image[1]) < 16_000


# ------------------------------------------------------------------------------------------------- definitions


@cache
def graph() -> AssetGraph:
    return build_defs(load_settings(overrides={})).resolve_asset_graph()


def columns_of(asset: str) -> list[dg.TableColumn]:
    """The columns that the page of an asset describes, above its metadata or in a dialog below."""
    metadata = graph().get(dg.AssetKey.from_user_string(asset)).metadata
    (schema,) = (metadata[name] for name in (COLUMNS_ABOVE, COLUMNS_BELOW) if name in metadata)
    assert isinstance(schema, dg.TableSchema)
    return list(schema.columns)


def all_keys() -> set[dg.AssetKey]:
    return {node.key for node in graph().asset_nodes}


@pytest.mark.parametrize(
    ("asset", "upstream"),
    [
        ("listings", set()),
        ("universe", set()),
        ("trade_conditions", set()),
        ("splits", set()),
        ("minute_bars", {"universe"}),
        ("event_shards", {"minute_bars"}),
        ("master_events", {"event_shards"}),
        ("coverage", {"minute_bars"}),
        *((table, {"minute_bars", "event_shards", "splits"}) for table in RESEARCH_OF_SYMBOLS),
        ("event_scores", {"master_events", "event_shards", "event_bar_features"}),
        (
            "events_with_waves_enriched",
            {"master_events", "event_shards", "event_waves", "event_scores"}
            | {f"{profile}/{table}" for profile in PROFILES for table in ("bar_reconciliation", "event_tape_state")},
        ),
        ("core/event_costs", {"event_labels", "event_bar_features", "core/micro_features"}),
        (
            "core/cohorts",
            # of no tape of another profile, whose manifest may depend on these cohorts
            {"core/event_costs", "event_labels", "event_bar_features", "event_waves", "event_shards", "master_events"},
        ),
        ("core/research_labels", {"event_labels", "core/manifest", "core/micro_features", "core/event_costs"}),
        ("nightly_report", {f"{profile}/manifest" for profile in PROFILES}),
        *((f"{profile}/manifest", {"master_events"}) for profile in PROFILES),
        *((f"{profile}/tape_trades", {f"{profile}/manifest"}) for profile in PROFILES),
        *((f"{profile}/tape_quotes", {f"{profile}/manifest"}) for profile in PROFILES),
        *((f"{profile}/capture_ledger", {f"{profile}/tape_trades", f"{profile}/tape_quotes"}) for profile in PROFILES),
        *((f"{profile}/capture_report", {f"{profile}/capture_ledger"}) for profile in PROFILES),
        *((f"{profile}/review_sheet", {f"{profile}/manifest", "minute_bars"}) for profile in PROFILES),
    ],
)
def test_the_upstream_assets(asset: str, upstream: set[str]) -> None:
    node = graph().get(dg.AssetKey.from_user_string(asset))
    assert {key.to_user_string() for key in node.parent_keys} == upstream


def test_every_symbol_and_wave_depends_on_the_whole_manifest() -> None:
    for key in TAPES:
        mapping = graph().get(key).partition_mappings[dg.AssetKey([key.path[0], "manifest"])]
        assert isinstance(mapping, dg.AllPartitionMapping)


def test_groups_owners_and_kinds() -> None:
    groups = {key.to_user_string(): graph().get(key).group_name for key in all_keys()}
    assert groups["universe"] == groups["listings"] == groups["trade_conditions"] == groups["splits"] == "reference"
    assert groups["minute_bars"] == groups["coverage"] == "bars"
    assert groups["event_shards"] == groups["master_events"] == "events"
    assert groups["nightly_report"] == "nightly"
    after = {"event_waves", "event_labels", "events_with_waves_enriched"}
    assert {groups[name] for name in after} == {"outcomes"}
    assert {groups[name] for name in {*RESEARCH_OF_SYMBOLS, "event_scores"} - after} == {"research"}
    for name, group in groups.items():
        profile, _, table = name.rpartition("/")
        if table.startswith("control_"):
            assert group == f"controls_{profile}"
        elif profile:
            assert group == (f"research_{profile}" if table in {*RESEARCH_OF_PROFILES, *ASSET_TABLES} else profile)
    for key in all_keys():
        node = graph().get(key)
        assert node.owners == ["team:data"], key
        assert {"html" if key.path[-1] == "review_sheet" else "parquet"} <= set(node.kinds), key
        assert node.description, key


def test_partitions_and_backfill_policies() -> None:
    for key in all_keys():
        node, name = graph().get(key), key.path[-1]
        if name in ("minute_bars", "event_shards", *RESEARCH_OF_SYMBOLS):
            assert node.partitions_def == SYMBOLS
            assert node.backfill_policy == dg.BackfillPolicy.multi_run(200)
        elif name in ("tape_trades", "tape_quotes", *ASSET_TABLES):
            assert isinstance(node.partitions_def, dg.MultiPartitionsDefinition)
            assert node.partitions_def.partition_dimension_names == ["symbol", "wave"]
            assert node.backfill_policy == dg.BackfillPolicy.multi_run(200)
        else:
            assert node.partitions_def is None, key
    cut = build_defs(load_settings(overrides={"partitions_per_run": 7})).resolve_asset_graph()
    assert cut.get(dg.AssetKey("minute_bars")).backfill_policy == dg.BackfillPolicy.multi_run(7)


def test_paid_steps_are_in_the_vendor_pool() -> None:
    definitions = build_defs(load_settings(overrides={}))
    for key in all_keys():
        reference = ("listings", "universe", "trade_conditions", "splits")
        talks = key.path[-1] in (*reference, "minute_bars", "tape_trades", "tape_quotes")
        op = definitions.resolve_assets_def(key).op
        assert op.pool == ("vendor" if talks else None), key


@pytest.mark.parametrize(
    ("asset", "schema"),
    [
        ("universe", UNIVERSE),
        ("listings", LISTINGS),
        ("minute_bars", BARS),
        ("event_shards", SHARD),
        ("master_events", EVENTS),
        ("core/manifest", MANIFEST),
        ("core/tape_trades", TRADES),
        ("core/tape_quotes", QUOTES),
        ("premium/tape_trades", TRADES_ALL),
        ("premium/tape_quotes", QUOTES_ALL),
        ("plus/capture_ledger", LEDGER),
        ("plus/capture_report", KPIS),
        ("nightly_report", BEHIND),
        ("coverage", COVERAGE),
        ("trade_conditions", CONDITION_TABLE),
        ("splits", SPLITS),
    ],
)
def test_the_catalog_describes_every_column(asset: str, schema: pl.Schema) -> None:
    columns = columns_of(asset)
    # the page never wraps a type: a long one squeezes the descriptions
    short = {str(pl.Datetime(unit, "UTC")): f"Datetime[{unit}, UTC]" for unit in ("us", "ns")}
    types = [short.get(str(dtype), str(dtype)) for dtype in schema.values()]
    assert [(column.name, column.type) for column in columns] == [*zip(schema, types, strict=True)]
    assert [column.name for column in columns if not column.description] == []


def test_the_catalog_labels_hindsight_columns() -> None:
    columns = columns_of("master_events")
    text_by_column = {column.name: (column.description or "").lower() for column in columns}
    assert {name for name, text in text_by_column.items() if "hindsight" in text} == {"dollar_volume_day", "rvol_day"}


# ------------------------------------------------------------------------------------------------- repetition


def test_a_second_materialization_requests_nothing_and_changes_no_byte(platform: Platform) -> None:
    before = {name: content for name, (_, content) in files_below(platform.root).items()}
    platform.gate.requests.clear()
    Platform(platform.gate, platform.root, platform.instance, platform.overrides).everything()
    assert platform.gate.requests == []
    assert {name: content for name, (_, content) in files_below(platform.root).items()} == before


def by_path(platform: Platform, words: str, status: int = 503) -> None:
    platform.gate.rule = lambda path, query: refusal(status, "out of order") if words in path else None  # noqa: ARG005


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    assert error is not None
    while error.cause:
        error = error.cause
    return f"{error.cls_name}: {error.message}"


def recorded_by(platform: Platform, result: dg.ExecuteInProcessResult, *path: str) -> set[str | None]:
    """The partitions of an asset that a run recorded as materialized."""
    logs = platform.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    made = [log.asset_materialization for log in logs if log.asset_materialization]
    return {one.partition for one in made if one.asset_key == dg.AssetKey(path)}


def test_only_the_symbol_that_the_vendor_rejects_fails(fresh: Platform) -> None:
    fresh.run("universe")
    by_path(fresh, "ticker/BNRX")
    result = fresh.run("minute_bars", first="AVLO", last="DRFT", fails=True)
    error = failure(result)
    for words in ("CaptureIncomplete", "1 of 4 partitions", "BNRX, 2025-12", "out of order"):
        assert words in error
    assert recorded_by(fresh, result, "minute_bars") == {"AVLO", "CRVO", "DRFT"}
    recorded = fresh.instance.fetch_materializations(dg.AssetKey("minute_bars"), limit=10).records
    figures = {
        record.partition_key: record.asset_materialization.metadata["sessions_fetched"].value
        for record in recorded
        if record.asset_materialization
    }
    assert figures == {"AVLO": 5, "BNRX": 0, "CRVO": 5, "DRFT": 5}
    status = fresh.instance.get_status_by_partition(dg.AssetKey("minute_bars"), SYMBOLS_OF_MARKET, SYMBOLS)
    assert status is not None
    assert {symbol for symbol, state in status.items() if str(state).endswith("FAILED")} == {"BNRX"}
    # repaired: the whole range again, and only what is missing is requested
    fresh.gate.rule = lambda path, query: None  # noqa: ARG005
    fresh.gate.requests.clear()
    fresh.run("minute_bars", first="AVLO", last="DRFT")
    assert {path.split("/")[4] for path, _ in fresh.gate.requests} == {"BNRX"}
    assert fresh.materialized(dg.AssetKey("minute_bars")) == set(SYMBOLS_OF_MARKET)


def test_a_rejected_tape_request_fails_its_partition_only(planned: Platform) -> None:
    fresh = planned
    manifest = ManifestStore.in_lake(fresh.lake, "premium").load().filter(session="RTH")
    victim, *others = manifest["symbol"].unique(maintain_order=True).to_list()
    assert others, "two symbols at least, or this test shows nothing"
    by_path(fresh, f"quotes/{victim}")
    first, last = tape_key("AVLO", "RTH"), tape_key("DRFT", "RTH")
    result = fresh.run(["premium", "tape_trades"], ["premium", "tape_quotes"], first=first, last=last, fails=True)
    assert f"/v3/quotes/{victim}" in failure(result)
    everyone = {str(tape_key(symbol, "RTH")) for symbol in SYMBOLS_OF_MARKET}
    assert fresh.materialized(dg.AssetKey(["premium", "tape_trades"])) == everyone
    assert recorded_by(fresh, result, "premium", "tape_quotes") == everyone - {str(tape_key(victim, "RTH"))}
    fresh.run(["premium", "capture_ledger"])
    ledger = pl.read_parquet(fresh.lake.ledger("premium")).filter(pl.col("wave") == "RTH")
    states = dict(ledger.group_by("symbol").agg(pl.col("state").unique().sort().str.join(",")).iter_rows())
    assert states.pop(victim) == "failed"
    assert set(states.values()) <= {"complete", "trades_only", "empty"}


@pytest.fixture
def planned(fresh: Platform) -> Platform:
    """A manifest of premium, and no tape yet."""
    fresh.overrides |= {"history": {"first_session": "2025-11-26", "last_session": "2025-11-28"}}
    fresh.run("universe")
    fresh.run("minute_bars", first="AVLO", last="DRFT")
    fresh.run("event_shards", first="AVLO", last="DRFT")
    fresh.run("master_events", ["premium", "manifest"])
    fresh.gate.requests.clear()
    return fresh


WHOLE_RTH = {"first": tape_key("AVLO", "RTH"), "last": tape_key("DRFT", "RTH")}


def test_a_trial_captures_the_best_events_and_records_what_it_leaves_out(planned: Platform) -> None:
    manifest = ManifestStore.in_lake(planned.lake, "premium").load()
    best = manifest.filter(pl.col("session") == "RTH").unique("symbol", keep="first", maintain_order=True)
    trial = {"one_per_symbol": True}
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH, config={"premium__tape_trades": trial})
    assert len(planned.gate.requests) <= best.height < manifest.height
    figures = metadata_of(result, "premium", "tape_trades").values()
    chosen = manifest.unique("symbol", keep="first").height
    assert {metadata["trial_leaves_out"].value for metadata in figures} == {manifest.height - chosen}
    planned.gate.requests.clear()
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    assert planned.gate.requests
    assert not any(
        "trial_leaves_out" in metadata for metadata in metadata_of(result, "premium", "tape_trades").values()
    )


def test_stale_windows_are_shown_and_fetched_again_only_with_upgrade(planned: Platform) -> None:
    planned.overrides["profiles"] = {"premium": {"columns": "minimal"}}
    planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    fetched = len(planned.gate.requests)
    assert fetched
    planned.gate.requests.clear()

    planned.overrides["profiles"] = {"premium": {"columns": "all"}}
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    assert planned.gate.requests == []
    figures = metadata_of(result, "premium", "tape_trades").values()
    manifest = ManifestStore.in_lake(planned.lake, "premium").load().filter(pl.col("session") == "RTH")
    assert (
        sum(metadata["stale_windows"].value for metadata in figures if "stale_windows" in metadata) == manifest.height
    )
    (ledger,) = metadata_of(planned.run(["premium", "capture_ledger"]), "premium", "capture_ledger").values()
    missing = "tape, trf_id, trf_timestamp"
    assert ledger["stale/trades"].value == f"{manifest.height} windows lack columns {missing}"

    config = {"premium__tape_trades": {"upgrade": True}}
    planned.run(["premium", "tape_trades"], **WHOLE_RTH, config=config)
    assert len(planned.gate.requests) == fetched
    (ledger,) = metadata_of(planned.run(["premium", "capture_ledger"]), "premium", "capture_ledger").values()
    assert not [name for name in ledger if name.startswith("stale")]


def test_empty_windows_that_bars_contradict_are_shown_and_asked_for_again_only_with_retry_empty(
    planned: Platform,
) -> None:
    nothing = Reply(200, {"Content-Type": "application/json"}, b'{"results":[],"status":"OK"}')
    planned.gate.rule = lambda path, query: nothing if path.startswith("/v3/") else None  # noqa: ARG005
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    manifest = ManifestStore(planned.lake.manifests("premium"), "premium").load()
    windows = manifest.filter(pl.col("session") == "RTH").height
    figures = metadata_of(result, "premium", "tape_trades").values()
    # the bars of every event's minute have volume
    assert sum(row["contradicted_windows"].value for row in figures if "contradicted_windows" in row) == windows
    planned.run(["premium", "tape_quotes"], **WHOLE_RTH)
    spent = len(planned.gate.requests)
    (ledger,) = metadata_of(planned.run(["premium", "capture_ledger"]), "premium", "capture_ledger").values()
    assert (ledger["contradicted trades"].value, ledger["contradicted quotes"].value) == (windows, windows)
    report = planned.run(["premium", "capture_report"])
    checks = {check.check_name: check for check in report.get_asset_check_evaluations()}
    assert (checks[EMPTY_WINDOWS].passed, checks[EMPTY_WINDOWS].severity) == (False, dg.AssetCheckSeverity.WARN)

    planned.gate.rule = lambda path, query: None  # noqa: ARG005
    planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    assert len(planned.gate.requests) == spent
    for kind in ("trades", "quotes"):
        config = {f"premium__tape_{kind}": {"retry_empty": True}}
        planned.run(["premium", f"tape_{kind}"], **WHOLE_RTH, config=config)
    assert len(planned.gate.requests) == 2 * spent
    (ledger,) = metadata_of(planned.run(["premium", "capture_ledger"]), "premium", "capture_ledger").values()
    assert not [name for name in ledger if name.startswith("contradicted")]


def test_no_tape_is_fetched_that_does_not_fit_on_the_disk(planned: Platform) -> None:
    planned.overrides["capture"] = {"free_disk": {"check": True, "keep_gb": 1e6}}
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH, fails=True)
    for words in ("LakeError", "not enough disk", "keeps 1,000,000.0 GB free", "capture.free_disk.check: false"):
        assert words in failure(result)
    assert planned.gate.requests == []
    planned.overrides["capture"] = {"free_disk": {"check": False, "keep_gb": 1e6}}
    planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    assert planned.gate.requests


def test_an_edited_manifest_is_not_captured(planned: Platform) -> None:
    store = ManifestStore.in_lake(planned.lake, "premium")
    path = store.folder / f"{store.sidecar()['manifest_id']}.parquet"
    pl.read_parquet(path).with_columns(window_after_min=pl.lit(500, pl.Int64)).write_parquet(path)
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH, fails=True)
    assert "The manifest was changed after it was frozen" in failure(result)
    assert planned.gate.requests == []
    # frozen anew beside it, and named
    for damaged in (True, False):
        figures = metadata_of(planned.run(["premium", "manifest"]), "premium", "manifest")[None]
        assert ("damaged" in figures) == damaged
        if damaged:
            assert str(figures["damaged"].value).startswith(f"{path}: SHA-256 is ")
    assert store.current().rows["window_after_min"].max() < 500
    assert path.is_file()


def test_a_ledger_of_another_profile_is_rejected_by_the_report(platform: Platform, fresh: Platform) -> None:
    shutil.copytree(platform.root, fresh.root)
    fresh.lake.ledger("plus").parent.mkdir()
    shutil.copy(fresh.lake.ledger("core"), fresh.lake.ledger("plus"))
    result = fresh.run(["plus", "capture_report"], fails=True)
    for words in ("is of profile core, not of plus", "Materialize plus/capture_ledger"):
        assert words in failure(result)


def test_a_vendor_plan_without_quotes_costs_one_extra_request(planned: Platform) -> None:
    def rule(path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG001
        return refusal(403, "not entitled") if "/quotes/" in path else None

    planned.gate.rule = rule
    result = planned.run(["premium", "tape_trades"], ["premium", "tape_quotes"], **WHOLE_RTH, fails=True)
    assert "Quotes require the plan Stocks Advanced or above" in failure(result)
    assert len([path for path, _ in planned.gate.requests if "/quotes/" in path]) == 1
    everyone = {str(tape_key(symbol, "RTH")) for symbol in SYMBOLS_OF_MARKET}
    assert planned.materialized(dg.AssetKey(["premium", "tape_trades"])) == everyone
    planned.run(["premium", "capture_ledger"], ["premium", "capture_report"])
    ledger = pl.read_parquet(planned.lake.ledger("premium")).filter(pl.col("wave") == "RTH")
    assert set(ledger["state"]) == {"denied"}
    assert ledger["trades_rows"].sum() > 0


def test_a_symbol_that_leaves_keeps_its_partition_and_its_data(fresh: Platform) -> None:
    fresh.overrides |= {"history": {"first_session": "2025-12-01", "last_session": "2025-12-01"}}
    fresh.overrides["universe"] = {"symbols": ["AVLO", "CRVO"]}
    fresh.run("universe")
    fresh.run("minute_bars", first="AVLO", last="CRVO")
    fresh.overrides["universe"] = {"symbols": ["CRVO", "DRFT"]}
    result = fresh.run("universe")
    assert list(fresh.instance.get_dynamic_partitions("symbols")) == ["AVLO", "CRVO", "DRFT"]
    assert BarsStore(fresh.lake).read("AVLO").height > 0
    (metadata,) = metadata_of(result, "universe").values()
    assert (metadata["symbols_active"].value, metadata["symbols_inactive"].value) == (2, 1)


def test_tape_without_a_manifest_names_the_remedy(fresh: Platform) -> None:
    fresh.instance.add_dynamic_partitions("symbols", ["AVLO"])
    key = tape_key("AVLO", "RTH")
    result = fresh.run(["core", "tape_trades"], first=key, last=key, fails=True)
    assert "InputError" in failure(result)
    assert "Materialize core/manifest first" in failure(result)


def test_a_master_without_events_is_an_empty_table(fresh: Platform) -> None:
    fresh.run("master_events", ["core", "manifest"])
    assert pl.read_parquet(fresh.lake.master).is_empty()
    assert ManifestStore.in_lake(fresh.lake, "core").load().is_empty()
    fresh.run(["core", "capture_ledger"])
    assert pl.read_parquet(fresh.lake.ledger("core")).is_empty()


def test_bad_shards_are_not_published_as_master_and_stop_the_manifest(fresh: Platform) -> None:
    from smallcaps_assets_tests.conftest import event  # noqa: PLC0415

    # a shard of another program: our code rejects such rows before publishing
    row = event("2025-11-05 08:00", event_type="gap_up", spike_x=float("nan"))
    fresh.lake.shards.mkdir(parents=True)
    shard = pl.DataFrame([{name: row[name] for name in SHARD}], schema=SHARD, orient="row")
    shard.write_parquet(fresh.lake.shard("AEMD"))
    error = failure(fresh.run("master_events", ["core", "manifest"], fails=True))
    for words in ("NaN spike_x in 1 row", "'gap_up' is not one of", "session_clock", "Remove these shards"):
        assert words in error
    assert not fresh.lake.master.exists()
    assert not (fresh.lake.manifests("core") / "current.json").exists()
