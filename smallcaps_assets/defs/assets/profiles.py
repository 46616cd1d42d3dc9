"""The assets of one profile: manifest, trades, quotes, ledger and report. Three profiles, one factory."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from smallcaps_assets.defs.asset_checks import kpi_checks, kpi_specs
from smallcaps_assets.defs.assets.tape import TapeConfig, TapeStep, ledger_of, report_of
from smallcaps_assets.defs.charts import manifest_pictures
from smallcaps_assets.defs.partitions import TAPE_PARTITIONS, tape_key, tape_pairs
from smallcaps_assets.defs.recording import (
    OWNERS,
    Metadata,
    column_schema,
    counts,
    record,
    score_quantiles,
    table,
)
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.bars.quality import master_problems
from smallcaps_assets.domain.manifests.selection import profile_hash, select_events
from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets.domain.tape.kpis import KPIS, LEDGER
from smallcaps_assets.domain.tape.schemas import TAPE_SCHEMAS, TapeKind
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.publish import sha256
from smallcaps_assets.pipeline.checks import require_sound_manifest
from smallcaps_assets.settings.settings import Profile, Settings


def profile_assets(profile: Profile, settings: Settings) -> list[dg.AssetsDefinition]:
    """Manifest, trades, quotes, ledger and report of a profile."""
    manifest = _manifest(profile)
    tapes = [_tape(profile, "trades", settings), _tape(profile, "quotes", settings)]
    return [manifest, *tapes, _ledger(profile), _report(profile)]


def _manifest(profile: Profile) -> dg.AssetsDefinition:
    @dg.asset(
        key=[profile, "manifest"],
        group_name=profile,
        kinds={"polars", "parquet"},
        owners=OWNERS,
        metadata=column_schema(MANIFEST),
        description=f"The events that profile {profile} captures, ranked, with the window of each. Frozen: a new one "
        "never overwrites an old one.",
    )
    def manifest(
        master_events: pl.DataFrame, settings: SettingsResource, lake: LakeResource
    ) -> dg.MaterializeResult[None]:
        loaded = settings.load()
        problems = master_problems(master_events)
        if problems:
            raise LakeError(f"{lake.lake.master}: {'; '.join(problems)}. Materialize master_events again.")
        selection = select_events(master_events, loaded.profiles[profile], loaded.ranking)
        require_sound_manifest(selection.manifest, loaded.profiles[profile], loaded.ranking)
        store = lake.manifests(profile)
        before = store.current_id()
        sidecar = store.freeze(
            selection,
            config_hash=profile_hash(loaded.profiles[profile], loaded.ranking),
            master_sha256=sha256(lake.lake.master),
            now=settings.now(),
        )
        rows = selection.manifest
        figures: Metadata = {
            "dagster/row_count": rows.height,
            "manifest_id": sidecar["manifest_id"],
            "unchanged": sidecar["manifest_id"] == before,
            "config_hash": sidecar["config_hash"],
            "sha256": sidecar["sha256"],
            "symbols": sidecar["symbols"],
            "funnel": table(pl.DataFrame(selection.funnel)),
            **{f"funnel/{step['step']}": step["rows"] for step in selection.funnel},
            **{f"extension/{name}": value for name, value in selection.extension.items() if value is not None},
            **{f"session_pct/{name}": mix["percentage"] for name, mix in sidecar["session_distribution"].items()},
        }
        figures |= counts(rows, "event_type", "session", "direction", "tier", "time_bucket") | score_quantiles(rows)
        return dg.MaterializeResult(
            metadata=manifest_pictures(rows, selection.funnel) | figures, data_version=dg.DataVersion(sidecar["sha256"])
        )

    return manifest


def _tape(profile: Profile, kind: TapeKind, settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=[profile, f"tape_{kind}"],
        partitions_def=TAPE_PARTITIONS,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.partitions_per_run),
        deps=[dg.AssetDep(dg.AssetKey([profile, "manifest"]), partition_mapping=dg.AllPartitionMapping())],
        group_name=profile,
        kinds={"polars", "parquet"},
        owners=OWNERS,
        pool=VENDOR_POOL,
        # of one run's trades and quotes the trades come first: where there are none, quotes may not be asked for
        op_tags={"dagster/priority": "1" if kind == "trades" else "0"},
        metadata=column_schema(TAPE_SCHEMAS[kind, settings.profiles[profile].columns]),
        description=f"The {kind} in the window of every event of the manifest of {profile}. Windows that overlap are "
        "fetched once; what is published is never asked for again.",
    )
    def tape(
        context: dg.AssetExecutionContext,
        config: TapeConfig,
        settings: SettingsResource,
        lake: LakeResource,
        market_data: MarketDataResource,
    ) -> Iterator[dg.MaterializeResult[None]]:
        pairs = tape_pairs(context.partition_keys)
        step = TapeStep(profile, context.op_execution_context, settings, lake, market_data)
        keys: dict[tuple[str, ...], str] = {pair: tape_key(*pair) for pair in pairs}
        yield from record(context, step.outcomes(kind, pairs, config), keys)

    return tape


def _ledger(profile: Profile) -> dg.AssetsDefinition:
    @dg.asset(
        key=[profile, "capture_ledger"],
        deps=[dg.AssetKey([profile, f"tape_{kind}"]) for kind in ("trades", "quotes")],
        group_name=profile,
        kinds={"polars", "parquet"},
        owners=OWNERS,
        io_manager_key="lake_tables",
        metadata=column_schema(LEDGER),
        description=f"The certificate of every event of the manifest of {profile}: whether its tape is complete, "
        "empty, failed or missing and why, its span, rows, pages, requests, bytes and hashes.",
    )
    def capture_ledger(settings: SettingsResource, lake: LakeResource) -> Iterator[dg.MaterializeResult[object]]:
        ledger, figures = ledger_of(profile, settings, lake)
        yield dg.MaterializeResult(value=ledger, metadata=figures)

    return capture_ledger


def _report(profile: Profile) -> dg.AssetsDefinition:
    @dg.asset(
        key=[profile, "capture_report"],
        ins={"ledger": dg.AssetIn(dg.AssetKey([profile, "capture_ledger"]))},
        group_name=profile,
        kinds={"polars", "parquet"},
        owners=OWNERS,
        io_manager_key="lake_tables",
        metadata=column_schema(KPIS),
        check_specs=kpi_specs(dg.AssetKey([profile, "capture_report"])),
        description=f"Is the capture of {profile} good enough to go on? Every figure with its target, per wave and in "
        "all; GO when all hold.",
    )
    def capture_report(
        ledger: pl.DataFrame, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[object] | dg.AssetCheckResult]:
        kpis, figures = report_of(profile, ledger, settings, lake)
        yield dg.MaterializeResult(value=kpis, metadata=figures)
        yield from kpi_checks(kpis, ledger.filter(state="missing").height)

    return capture_report
