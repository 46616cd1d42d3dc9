"""The assets of one profile: manifest, trades, quotes, ledger and report. Three profiles, one factory."""

from collections.abc import Iterator

import dagster as dg
import polars as pl
from pydantic import Field

from smallcaps_assets.defs.checks import KPI_CHECKS, kpi_checks
from smallcaps_assets.defs.metadata import (
    OWNERS,
    Metadata,
    column_schema,
    counts,
    record,
    score_quantiles,
    table,
)
from smallcaps_assets.defs.partitions import TAPE_PARTITIONS, tape_key, tape_pairs
from smallcaps_assets.defs.pictures import manifest_pictures
from smallcaps_assets.defs.pool import VENDOR_POOL
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource, now
from smallcaps_assets.domain.kpis import KPIS, LEDGER, capture_kpis, ledger_problems, state_counts, verdict
from smallcaps_assets.domain.manifests import profile_hash, select_events, trial
from smallcaps_assets.domain.quality import master_problems
from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.ledger import build_ledger, effort
from smallcaps_assets.lake.publish import sha256
from smallcaps_assets.lake.tape import SCHEMAS, Kind
from smallcaps_assets.pipeline.capture import Capture
from smallcaps_assets.pipeline.plan import Planner, require_room
from smallcaps_assets.settings import Profile, Settings


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
        sidecar = lake.manifests(profile).freeze(
            selection,
            config_hash=profile_hash(loaded.profiles[profile], loaded.ranking),
            master_sha256=sha256(lake.lake.master),
            now=now(),
        )
        rows = selection.manifest
        figures: Metadata = {
            "dagster/row_count": rows.height,
            "manifest_id": sidecar["manifest_id"],
            "config_hash": sidecar["config_hash"],
            "sha256": sidecar["sha256"],
            "symbols": sidecar["symbols"],
            "funnel": table(pl.DataFrame(selection.funnel)),
            **{f"funnel/{step['step']}": step["rows"] for step in selection.funnel},
            **{f"extension/{name}": value for name, value in selection.extension.items() if value is not None},
        }
        figures |= counts(rows, "event_type", "session", "direction", "tier", "time_bucket") | score_quantiles(rows)
        return dg.MaterializeResult(metadata=manifest_pictures(rows, selection.funnel) | figures)

    return manifest


class TapeConfig(dg.Config):
    """A trial before the real thing. The partitions of a trial are recorded as such: they are not whole."""

    best: int | None = Field(default=None, gt=0, description="Capture only so many of the best-ranked events.")
    one_per_symbol: bool = Field(default=False, description="Capture only the best-ranked event of each symbol.")


def _tape(profile: Profile, kind: Kind, settings: Settings) -> dg.AssetsDefinition:
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
        metadata=column_schema(SCHEMAS[kind, settings.profiles[profile].columns]),
        description=f"The {kind} in the window of every event of the manifest of {profile}. Windows that overlap are "
        "fetched once; what is published is never asked for again.",
    )
    def tape(
        context: dg.AssetExecutionContext,
        config: TapeConfig,
        settings: SettingsResource,
        lake: LakeResource,
        market_data: MarketDataResource,
    ) -> dg.MaterializeResult[None]:
        loaded = settings.load()
        store, pairs = lake.tape(profile, loaded), tape_pairs(context.partition_keys)
        manifest, sidecar = lake.manifests(profile).current()
        chosen = trial(manifest, config.best, config.one_per_symbol)
        planner = Planner(store, loaded.capture.assumptions, loaded.source.requests_per_minute)
        require_room(planner.plan(chosen, [kind], pairs), loaded.capture.free_disk)
        if sidecar["config_hash"] != profile_hash(loaded.profiles[profile], loaded.ranking):
            context.log.warning("%s was chosen with other settings than those in force.", sidecar["manifest_id"])
        capture = Capture(
            kind=kind,
            tape=store,
            client=market_data.client(lake, context.instance),
            threads=loaded.fetch_threads,
            config_hash=sidecar["config_hash"],
            log=context.log.info,
        )
        outcomes = capture.run(chosen, pairs, left_out=manifest.height - chosen.height)
        return record(context, outcomes, {pair: tape_key(*pair) for pair in pairs})

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
        manifest, sidecar = lake.manifests(profile).current()
        manifest_id = sidecar["manifest_id"]
        ledger = build_ledger(manifest, lake.tape(profile, settings.load()), manifest_id)
        figures: Metadata = {
            "dagster/row_count": ledger.height,
            "manifest_id": manifest_id,
            "windows": table(state_counts(ledger)),
            "bytes": int(ledger["bytes"].sum()),
            **counts(ledger, "state"),
        }
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
        check_specs=[dg.AssetCheckSpec(name, asset=[profile, "capture_report"]) for name in KPI_CHECKS],
        description=f"Is the capture of {profile} good enough to go on? Every figure with its target, per wave and in "
        "all; GO when all hold.",
    )
    def capture_report(
        ledger: pl.DataFrame, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[object] | dg.AssetCheckResult]:
        loaded = settings.load()
        manifest_id = lake.manifests(profile).sidecar()["manifest_id"]
        problems = ledger_problems(ledger, profile, manifest_id)
        if problems:
            raise LakeError(
                f"{lake.lake.ledger(profile)}: {'; '.join(problems)}. Materialize {profile}/capture_ledger."
            )
        spent = effort(lake.tape(profile, loaded))
        kpis = capture_kpis(ledger, spent, loaded.kpis)
        yield dg.MaterializeResult(value=kpis, metadata=report_metadata(ledger, spent, kpis))
        yield from kpi_checks(kpis)

    return capture_report


def report_metadata(ledger: pl.DataFrame, spent: pl.DataFrame, kpis: pl.DataFrame) -> Metadata:
    """What people see of a capture: windows by state, figures with their targets, GO or NO-GO and why."""
    go, reasons = verdict(kpis, ledger)
    return {
        "dagster/row_count": kpis.height,
        "windows": table(state_counts(ledger)),
        "kpis": table(kpis),
        "go": go,
        "why_not": "\n".join(reasons),
        "requests": int(spent["requests"].sum()),
        "throttled": int(spent["throttled"].sum()),
        **{
            f"{figure}/{wave}": value
            for wave, figure, value in kpis.select("wave", "figure", "value").iter_rows()
            if value is not None
        },
    }
