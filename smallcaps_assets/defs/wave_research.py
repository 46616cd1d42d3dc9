"""The research tables of tape in jobs: after each wave of a capture and after its report, and in a night.

What fails here is named at the end of the run and takes nothing from the capture or from the rest of the night.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dagster as dg

from smallcaps_assets.defs.checks.asset_checks import check_evaluation, report_findings
from smallcaps_assets.defs.joined_tables import make_table, upstream_of
from smallcaps_assets.defs.metadata.drawn import reused_pictures
from smallcaps_assets.defs.partitions import SYMBOLS, TAPE_PARTITIONS, tape_key
from smallcaps_assets.defs.recording.events import log_materializations, record_failures
from smallcaps_assets.defs.recording.last_records import LastRecords
from smallcaps_assets.defs.recording.provenance import data_version_tags, provenance_of_asset
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.errors import SmallcapsError
from smallcaps_assets.pipeline.checks import Checks, run_checks
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.research.cohort_checks import checks_of_joined
from smallcaps_assets.pipeline.research.joined_enriched import ENRICHED_TABLE
from smallcaps_assets.pipeline.research.joined_outcomes import JOINED_OF_PROFILES
from smallcaps_assets.pipeline.research.tape.tape_checks import checks_of_tape_research
from smallcaps_assets.pipeline.research.tape.tape_parts import ASSET_TABLES
from smallcaps_assets.pipeline.tape.capture import Pair
from smallcaps_assets.pipeline.unexpected import UNFORESEEN
from smallcaps_assets.settings.settings import Profile


@dataclass(frozen=True)
class PartsStep:
    """A step that brings research tables of the tape of one profile up to date; `tick` is called after each batch."""

    profile: Profile
    context: dg.OpExecutionContext
    settings: SettingsResource
    lake: LakeResource
    tick: Callable[[], None] = lambda: None

    def wave(self, wave: str, symbols: Sequence[str]) -> list[str]:
        """Bring the research tables of the tape of a wave up to date and record them; returns what failed, and why.

        Partitions without events are neither computed nor recorded, unless there is a file of them. One of which no row
        changes is recorded again where its record names another manifest or former tape: else the web UI shows it as
        stale.
        """
        return self._attempt(
            f"research of wave {wave}", lambda: self._compute(self._pairs(wave, symbols), is_captured=True)
        )

    def all_waves(self) -> list[str]:
        """The same of all partitions of which there is tape or a file.

        One of which no row changes is not recorded: its tape is stale under another manifest as well, until a capture.
        """
        return self._attempt(
            f"research of the tape of {self.profile}", lambda: self._compute(self._present_pairs(), is_captured=False)
        )

    def _attempt(self, what: str, compute: Callable[[], list[str]]) -> list[str]:
        try:
            return compute()
        except UNFORESEEN as error:
            _log_failure(self.context, what, error)
            return [f"{what}: {error}"]

    def _compute(self, pairs: Sequence[Pair], *, is_captured: bool) -> list[str]:
        context, profile, loaded = self.context, self.profile, self.settings.load()
        if not pairs:
            return []
        manifest = self.lake.manifests(profile).load()
        keys = [tape_key(*pair) for pair in pairs]
        assets = {asset: dg.AssetKey([profile, asset]) for asset in ASSET_TABLES}
        upstream = [[profile, "manifest"], *([profile, f"tape_{kind}"] for kind in TAPE_KINDS)]
        provenance = {asset: provenance_of_asset(context, loaded, key, upstream) for asset, key in assets.items()}
        known = {asset: materialized_keys(context.instance, key, keys) for asset, key in assets.items()}
        made_from = [dg.AssetKey(path) for path in upstream]
        before = {
            asset: LastRecords(context.instance, key, made_from, provenance[asset])
            for asset, key in (assets if is_captured else {}).items()
        }
        failed, kept = ({asset: dict[str, Outcome]() for asset in assets} for _ in range(2))
        problems = dict[str, None]()
        for result in self.lake.tape_research(profile, loaded, context.log.info, self.tick).run(manifest, pairs):
            partition = tape_key(*result.pair)
            for asset, outcome in result.outcomes.items():
                if outcome.problems:
                    failed[asset][partition] = outcome
                    problems |= dict.fromkeys(outcome.problems)
                elif asset in result.written or partition not in known[asset]:
                    log_materializations(context, assets[asset], {partition: outcome}, provenance[asset])
                else:
                    kept[asset][partition] = outcome
        for asset, records in before.items():
            same = records.unchanged(kept[asset])
            changed = {partition: outcome for partition, outcome in kept[asset].items() if partition not in same}
            log_materializations(context, assets[asset], changed, provenance[asset])
        for asset, outcomes in failed.items():
            record_failures(context, assets[asset], outcomes, provenance[asset])
        return list(problems)

    def _pairs(self, wave: str, symbols: Sequence[str]) -> list[Pair]:
        """The symbols with events in a wave, and those of which there is a file."""
        listed = set(self.lake.manifests(self.profile).load().filter(session=wave)["symbol"])
        place = self.lake.lake.research_wave
        return [
            (symbol, wave)
            for symbol in symbols
            if symbol in listed or any(place(self.profile, table, wave, symbol).is_file() for table in ASSET_TABLES)
        ]

    def _present_pairs(self) -> list[Pair]:
        """The partitions of all waves of which there is tape or a file."""
        research = self.lake.tape_research(self.profile, self.settings.load(), self.context.log.info)
        known = set(self.context.instance.get_dynamic_partitions(SYMBOLS.name or ""))
        pairs = research.present_pairs(self.lake.manifests(self.profile).load())
        return [pair for pair in pairs if pair[0] in known]


def _log_failure(context: dg.OpExecutionContext, what: str, error: BaseException) -> None:
    """Log why something failed, with the stack trace of an error that nobody foresaw."""
    why = str(error) if isinstance(error, SmallcapsError) else "".join(["\n", *traceback.format_exception(error)])
    context.log.warning("%s failed: %s", what, why)


def materialized_keys(instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Sequence[str]) -> set[str]:
    """Partitions of tape that are materialized and have not failed since."""
    known = instance.get_status_by_partition(asset, keys, TAPE_PARTITIONS) or {}
    return {key for key, status in known.items() if status is not None and status.name == "MATERIALIZED"}


def refresh_tables(
    context: dg.OpExecutionContext, profile: Profile, settings: SettingsResource, lake: LakeResource
) -> list[str]:
    """Bring the tables of a profile, and the events of the lake with waves, up to date and record them.

    Returns why that failed; what fails does not keep the others from it.
    """
    problems = list[str]()
    tables: dict[str, Profile | None] = {**dict.fromkeys(JOINED_OF_PROFILES, profile), ENRICHED_TABLE: None}
    for name, of_profile in tables.items():
        asset = dg.AssetKey([*([of_profile] if of_profile else []), name])
        try:
            loaded = settings.load()
            upstream = upstream_of(name, of_profile, loaded)
            provenance = provenance_of_asset(context, loaded, asset, upstream)
            with reused_pictures(context.instance, asset):
                made = make_table(name, of_profile, loaded, lake, context.log.info)
            tags = provenance | data_version_tags(made.sha256)
            context.log_event(dg.AssetMaterialization(asset, metadata=made.metadata, tags=tags))
        except UNFORESEEN as error:
            _log_failure(context, name, error)
            problems.append(f"{name}: {error}")
    return problems


def log_research_checks(
    context: dg.OpExecutionContext, profile: Profile, settings: SettingsResource, lake: LakeResource
) -> list[str]:
    """Run the checks of the research tables of a profile and record their results; returns what failed, and why.

    A check that finds something is no failure.
    """
    loaded, problems = settings.load(), list[str]()
    tape = lake.tape_research(profile, loaded, context.log.info)

    def checks_of(name: str) -> Checks:
        if name in JOINED_OF_PROFILES:
            return checks_of_joined(name, profile, lake.symbol_research(loaded), lake.joined_outcomes(loaded))
        return checks_of_tape_research(tape, lake.manifests(profile).load(), name)

    for name in (*ASSET_TABLES, *JOINED_OF_PROFILES):
        asset = dg.AssetKey([profile, name])
        try:
            checks = checks_of(name)
            for check in report_findings(asset, run_checks(checks, checks.keys())):
                # works, although its annotation does not list it
                context.log_event(check_evaluation(asset, check))  # type: ignore[arg-type]
        except UNFORESEEN as error:
            _log_failure(context, f"checks of {name}", error)
            problems.append(f"checks of {name}: {error}")
    return problems
