"""The assets of one profile: its manifest, its trades and quotes, its ledger. Three profiles, one factory."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from smallcaps_assets.defs.metadata import (
    OWNERS,
    VENDOR_POOL,
    Metadata,
    column_schema,
    counts,
    record,
    score_quantiles,
    table,
)
from smallcaps_assets.defs.partitions import TAPE_PARTITIONS, tape_key, tape_pairs
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource, now
from smallcaps_assets.domain.kpis import LEDGER, capture_kpis, state_counts, verdict
from smallcaps_assets.domain.manifests import profile_hash, select_events
from smallcaps_assets.domain.quality import master_problems
from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.ledger import build_ledger, effort
from smallcaps_assets.lake.publish import sha256
from smallcaps_assets.lake.tape import SCHEMAS, Kind
from smallcaps_assets.pipeline.capture import Capture
from smallcaps_assets.settings import Profile, Settings


def profile_assets(profile: Profile, settings: Settings) -> list[dg.AssetsDefinition]:
    """Manifest, trades, quotes and ledger of a profile."""
    manifest = _manifest(profile)
    tapes = [_tape(profile, "trades", settings), _tape(profile, "quotes", settings)]
    return [manifest, *tapes, _ledger(profile)]


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
        return dg.MaterializeResult(metadata=figures)

    return manifest


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
        metadata=column_schema(SCHEMAS[kind, settings.profiles[profile].columns]),
        description=f"The {kind} in the window of every event of the manifest of {profile}. Windows that overlap are "
        "fetched once; what is published is never asked for again.",
    )
    def tape(
        context: dg.AssetExecutionContext,
        settings: SettingsResource,
        lake: LakeResource,
        market_data: MarketDataResource,
    ) -> dg.MaterializeResult[None]:
        loaded, manifests = settings.load(), lake.manifests(profile)
        capture = Capture(
            kind=kind,
            tape=lake.tape(profile, loaded),
            client=market_data.client(lake),
            threads=loaded.fetch_threads,
            config_hash=manifests.sidecar()["config_hash"],
            log=context.log.info,
        )
        pairs = tape_pairs(context.partition_keys)
        outcomes = capture.run(manifests.load(), pairs)
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
        description=f"One row per event of the manifest of {profile}: whether its tape is complete, empty, failed or "
        "missing, its rows, bytes and hashes.",
    )
    def capture_ledger(settings: SettingsResource, lake: LakeResource) -> Iterator[dg.MaterializeResult[object]]:
        loaded = settings.load()
        tape = lake.tape(profile, loaded)
        ledger = build_ledger(lake.manifests(profile).load(), tape)
        yield dg.MaterializeResult(value=ledger, metadata=ledger_metadata(ledger, effort(tape), loaded))

    return capture_ledger


def ledger_metadata(ledger: pl.DataFrame, spent: pl.DataFrame, settings: Settings) -> Metadata:
    """What people see of a ledger: windows by state, the KPIs with their targets, GO or NO-GO and why."""
    kpis = capture_kpis(ledger, spent, settings.kpis)
    go, reasons = verdict(kpis)
    return {
        "dagster/row_count": ledger.height,
        "windows": table(state_counts(ledger)),
        "kpis": table(kpis),
        "go": go,
        "why_not": "\n".join(reasons),
        "bytes": int(ledger["bytes"].sum()),
        "requests": int(spent["requests"].sum()),
        **counts(ledger, "state"),
    }
