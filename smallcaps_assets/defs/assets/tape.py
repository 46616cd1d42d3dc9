"""Assets `<profile>/tape_trades`, `tape_quotes`, `capture_ledger` and `capture_report`: the tape, and its certificates.

The jobs that capture wave after wave (`defs/jobs.py`) fetch with the same `TapeStep` and make the same tables.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
import polars as pl
from pydantic import Field

from smallcaps_assets.defs.checks.asset_checks import capture_checks, capture_specs
from smallcaps_assets.defs.metadata.capture import ledger_metadata, report_metadata
from smallcaps_assets.defs.metadata.entries import Metadata, column_schema
from smallcaps_assets.defs.partitions import TAPE_PARTITIONS, tape_key, tape_pairs
from smallcaps_assets.defs.recording.partition_recorder import PartitionRecorder
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.manifests.selection import profile_hash, trial
from smallcaps_assets.domain.research.controls.figures import control_figures, describe_controls
from smallcaps_assets.domain.research.controls.tables import with_controls
from smallcaps_assets.domain.tape.kpis import capture_kpis, ledger_problems
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TAPE_SCHEMAS, TapeKind
from smallcaps_assets.domain.tape.tables import KPIS, LEDGER
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.content_hash import content_sha256
from smallcaps_assets.lake.files.publish import DerivedTable
from smallcaps_assets.lake.ledger import LEDGER_OF_REPORT, build_control_ledger, build_ledger, capture_effort
from smallcaps_assets.lake.tape.files import describe_damage
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.research.tape.reconciled import reconciled_windows
from smallcaps_assets.pipeline.tape.capture import Capture, Pair
from smallcaps_assets.pipeline.tape.checks import require_whole_ledger
from smallcaps_assets.pipeline.tape.cost_estimate import Planner, require_room
from smallcaps_assets.pipeline.tape.request_budget import Allowance
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

# what `TapeStore.listing` returns
TapeListing = Mapping[TapeKind, pl.DataFrame]


class TapeConfig(dg.Config):
    """A trial: capture part of the manifest only. Its partitions are recorded as incomplete."""

    best: int | None = Field(default=None, gt=0, description="Capture only this many of the best-ranked events.")
    one_per_symbol: bool = Field(default=False, description="Capture only the best-ranked event of each symbol.")
    upgrade: bool = Field(
        default=False,
        description="Fetch stale windows again as well: those published before the profile's tape had all its columns. "
        "It spends requests; `smallcaps plan --upgrade` shows how many.",
    )
    retry_empty: bool = Field(
        default=False,
        description="Ask again for published windows as well that are empty although bars, or trades beside empty "
        "quotes, show trading. It spends requests; `smallcaps plan --retry-empty` shows how many.",
    )


@dataclass(frozen=True)
class TapeStep:
    """A step that fetches tape of one profile; `tick` is called at least once a second."""

    profile: Profile
    context: dg.OpExecutionContext
    settings: SettingsResource
    lake: LakeResource
    market_data: MarketDataResource
    tick: Callable[[], None] = lambda: None

    def outcomes(
        self, kind: TapeKind, pairs: Sequence[Pair], config: TapeConfig, allowance: Allowance | None = None
    ) -> Iterator[Outcome]:
        """Fetch the missing spans of `pairs`; yields one outcome per pair.

        Raises:
            LakeError: the disk has no room for them, or the manifest was edited; nothing was requested.
        """
        loaded, log = self.settings.load(), self.context.log
        store = self.lake.tape(self.profile, loaded)
        manifest, sidecar = current = self.lake.manifests(self.profile).current()
        events = trial(manifest, config.best, config.one_per_symbol)
        controls = self.lake.controls(self.profile).find(current)
        if controls.outdated:
            log.warning("%s.", controls.outdated)
        if controls.problem:
            log.warning("controls: %s", controls.problem)
        chosen = with_controls(events, controls.rows)
        planner = Planner(store, loaded.capture.assumptions, loaded.source.requests_per_minute)
        plan = planner.plan(chosen, [kind], pairs, upgrade=config.upgrade, retry_empty=config.retry_empty)
        if plan.problem:
            log.warning("bars: %s", plan.problem)
        require_room(plan, loaded.capture.free_disk)
        if sidecar["config_hash"] != profile_hash(loaded.profiles[self.profile], loaded.ranking):
            log.warning("%s was selected with settings other than those in force.", sidecar["manifest_id"])
        capture = Capture(
            kind=kind,
            tape=store,
            client=self.market_data.client(self.lake, self.context.instance),
            threads=loaded.fetch_threads,
            config_hash=sidecar["config_hash"],
            log=log.info,
            tick=self.tick,
        )
        left_out = manifest.height - events.height
        yield from capture.run(chosen, pairs, left_out=left_out, allowance=allowance, backlog=plan.backlogs[kind])


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Trades, quotes, ledger and report of each profile."""
    return [
        asset
        for profile in PROFILES
        for asset in (*(_tape(profile, kind, settings) for kind in TAPE_KINDS), _ledger(profile), _report(profile))
    ]


def _tape(profile: Profile, kind: TapeKind, settings: Settings) -> dg.AssetsDefinition:
    @dg.asset(
        key=[profile, f"tape_{kind}"],
        partitions_def=TAPE_PARTITIONS,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.partitions_per_run),
        deps=[dg.AssetDep(dg.AssetKey([profile, "manifest"]), partition_mapping=dg.AllPartitionMapping())],
        pool=VENDOR_POOL,
        # in one run, trades come before quotes: quotes of a window without trades may not be requested
        op_tags={"dagster/priority": "1" if kind == "trades" else "0"},
        metadata=column_schema(TAPE_SCHEMAS[kind, settings.profiles[profile].columns]),
        description=f"The {kind} in the window of every event of the manifest of {profile}. Windows that overlap are "
        "fetched once; published spans are never requested again.",
    )
    def tape(
        context: dg.AssetExecutionContext,
        config: TapeConfig,
        settings: SettingsResource,
        lake: LakeResource,
        market_data: MarketDataResource,
    ) -> Iterator[dg.MaterializeResult[None]]:
        pairs = tape_pairs(context.partition_keys)
        recorder = PartitionRecorder.of(context, {pair: tape_key(*pair) for pair in pairs})
        step = TapeStep(profile, context.op_execution_context, settings, lake, market_data, recorder.tick)
        yield from recorder.run(step.outcomes(kind, pairs, config))

    return tape


def _ledger(profile: Profile) -> dg.AssetsDefinition:
    @dg.asset(
        key=[profile, "capture_ledger"],
        deps=[dg.AssetKey([profile, f"tape_{kind}"]) for kind in TAPE_KINDS],
        io_manager_key="lake_tables",
        metadata=column_schema(LEDGER, below=True),
        description=f"The certificate of every event of the manifest of {profile}: whether its tape is complete, "
        "empty, failed or missing and why, its span, rows, pages, requests, bytes and hashes.",
    )
    def capture_ledger(
        context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[object]]:
        ledger, figures = make_ledger(profile, settings, lake)
        if "damaged" in figures:
            context.log.warning("damaged: %s", figures["damaged"])
        yield dg.MaterializeResult(value=ledger, metadata=figures)

    return capture_ledger


def _report(profile: Profile) -> dg.AssetsDefinition:
    @dg.asset(
        key=[profile, "capture_report"],
        ins={"ledger": dg.AssetIn(dg.AssetKey([profile, "capture_ledger"]))},
        io_manager_key="lake_tables",
        metadata=column_schema(KPIS, below=True),
        check_specs=capture_specs(dg.AssetKey([profile, "capture_report"])),
        description=f"Is the capture of {profile} good enough for a wider profile? Every figure with its target, per "
        "wave and in total; GO when all targets are met.",
    )
    def capture_report(
        ledger: pl.DataFrame, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[object] | dg.AssetCheckResult]:
        made, figures = make_report(profile, ledger, settings, lake)
        yield dg.MaterializeResult(value=made, metadata=figures)
        yield from capture_checks(made.rows, ledger)

    return capture_report


def make_ledger(
    profile: Profile, settings: SettingsResource, lake: LakeResource, published: TapeListing | None = None
) -> tuple[pl.DataFrame, Metadata]:
    """The ledger (LEDGER) of the current manifest, and its metadata; that of its controls is published beside it.

    Where the control manifest is damaged, the ledger of the controls stays as it is.

    `published` is what `TapeStore.listing` returned.
    """
    manifest, sidecar = current = lake.manifests(profile).current()
    manifest_id = sidecar["manifest_id"]
    tape = lake.tape(profile, settings.load())
    listing = published or tape.listing()
    altered = list[LakeError]()
    compared = reconciled_windows(lake.tape_research(profile, settings.load()), manifest, listing)
    ledger = build_ledger(manifest, tape, manifest_id, published=listing, damaged=altered, reconciled=compared.events)
    require_whole_ledger(ledger, manifest)
    store = lake.controls(profile)
    found = store.find(current)
    controls = build_control_ledger(found.rows, tape, manifest_id, published=listing, damaged=altered)
    if found.damage is None:
        # first: a ledger of events that is there has that of its controls beside it
        store.publish_ledger(controls)
    of_controls: Metadata = {"controls": describe_controls(controls)} if controls.height else {}
    of_tape = describe_damage([*tape.all_damaged(listing), *altered])
    of_others = {"controls": found.problem, "research": compared.problem}
    others = (f"{name}: {problem}" for name, problem in of_others.items() if problem)
    damage = "; ".join([*([of_tape] if of_tape else []), *others])
    figures = ledger_metadata(ledger, manifest_id) | of_controls | _counted_rows(listing)
    return ledger, figures | ({"damaged": damage} if damage else {})


def make_report(
    profile: Profile,
    ledger: pl.DataFrame,
    settings: SettingsResource,
    lake: LakeResource,
    published: TapeListing | None = None,
) -> tuple[DerivedTable, Metadata]:
    """The figures of a capture (KPIS) with the hash of their ledger, and their metadata.

    `published` is what `TapeStore.listing` returned.

    Raises:
        LakeError: the ledger belongs to another manifest than the current one.
    """
    loaded = settings.load()
    problems = ledger_problems(ledger, profile, lake.manifests(profile).sidecar()["manifest_id"])
    if problems:
        file = lake.lake.ledger(profile)
        raise LakeError(f"{file}: {'; '.join(problems)}. Materialize {profile}/capture_ledger.", file)
    tape = lake.tape(profile, loaded)
    listing = published or tape.listing()
    spent = capture_effort(tape, listing)
    manifest = lake.manifests(profile).load()
    compared = reconciled_windows(lake.tape_research(profile, loaded), manifest, listing)
    kpis = capture_kpis(ledger, spent, loaded.kpis, compared.minutes)
    controls = lake.controls(profile).load_ledger()
    of_controls = control_figures(controls, capture_effort(tape, listing, of_controls=True))
    made_from = {LEDGER_OF_REPORT: content_sha256(lake.lake.ledger(profile))}
    figures = report_metadata(ledger, spent, kpis) | _counted_rows(listing)
    of_tape, of_research = describe_damage(tape.all_damaged(listing)), compared.problem
    damage = "; ".join(filter(None, (of_tape, of_research and f"research: {of_research}")))
    if controls.height:
        figures["controls"] = describe_controls(controls)
    return DerivedTable(pl.concat([kpis, of_controls]), made_from), figures | ({"damaged": damage} if damage else {})


def _counted_rows(published: TapeListing) -> Metadata:
    """How many rows were removed because they repeat another exactly, and how many set aside; those that are not 0."""
    counts = {
        f"{words}, {kind}": int(spans[name].sum())
        for name, words in {"repeats": "repeats removed", "rejected": "rows rejected"}.items()
        for kind, spans in published.items()
    }
    return {words: rows for words, rows in counts.items() if rows}
