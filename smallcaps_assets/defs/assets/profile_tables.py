"""Assets `<profile>/event_costs`, `research_labels`, `cohorts` and `research_table`: research tables of a profile.

They are over all symbols. One step of each profile makes those that are selected, one after another: a night then has
fewer steps to schedule and to read.
"""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from smallcaps_assets.defs.joined_tables import make_table, upstream_of
from smallcaps_assets.defs.metadata.drawn import reused_pictures
from smallcaps_assets.defs.metadata.entries import column_schema
from smallcaps_assets.defs.recording.completeness import require_complete
from smallcaps_assets.defs.recording.events import RECORDED
from smallcaps_assets.defs.recording.group_recorder import RESEARCH_PRIORITY, AssetFailures
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.defs.wave_research import PartsStep
from smallcaps_assets.domain.research.columns import describe_columns
from smallcaps_assets.domain.research.tables.bar_tables import schema_of
from smallcaps_assets.domain.research.tables.table_registry import TABLE_REGISTRY
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.pipeline.research.joined import RESEARCH_TABLE_NAME
from smallcaps_assets.pipeline.research.joined_outcomes import (
    EVENT_COSTS_TABLE,
    JOINED_OF_PROFILES,
    RESEARCH_LABELS_TABLE,
)
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

_DESCRIPTIONS: Final = {
    EVENT_COSTS_TABLE: "Hindsight: cost and net return of every event and label spec. The cost is the spread of the "
    "event's minute in the tape of {profile}, else the median of recent events like it, else the default.",
    COHORTS_TABLE: "Hindsight: which kinds of events paid after costs in {profile}, as known when each month began, "
    "with errors clustered by date and corrected for the number of cohorts tested together. Beside it, "
    "cohort_members has the events of winning cohorts.",
    RESEARCH_LABELS_TABLE: "Hindsight: labels with net returns of the events of {profile}, beside its research table, "
    "with the times that purging needs.",
    RESEARCH_TABLE_NAME: "What was known of each event of {profile} when its minute was over, in one row: bars, scores "
    "and tape before it. No column is hindsight, so the table is the one to model on.",
}
# of parts that failed
_AGAIN: Final = "Materialize it again: only what is missing is computed."


def step_of(profile: Profile) -> str:
    """The name of the step that makes the tables of a profile."""
    return f"{profile}__joined_tables"


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets, one step per profile."""
    return [_tables(profile, settings) for profile in PROFILES]


def _tables(profile: Profile, of: Settings) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=step_of(profile),
        specs=[_spec(name, profile, of) for name in JOINED_OF_PROFILES],
        op_tags=RESEARCH_PRIORITY,
        can_subset=True,
        description=f"Makes the tables of {profile} that are selected, each from those before it; what fails stops no "
        "other. With research_table, the research tables of tape are brought up to date first.",
    )
    def joined_tables(
        context: dg.AssetExecutionContext, config: ContinueOnFailure, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        loaded, problems = settings.load(), list[str]()
        chosen = {key.path[-1] for key in context.selected_asset_keys}
        failures = AssetFailures(context, continue_on_failure=config.go_on)
        if RESEARCH_TABLE_NAME in chosen and loaded.research.enabled:
            problems = PartsStep(profile, context.op_execution_context, settings, lake).all_waves()
        for name in (table for table in JOINED_OF_PROFILES if table in chosen):
            asset = dg.AssetKey([profile, name])
            result: dg.MaterializeResult[None] | None = None
            with failures.of(asset), reused_pictures(context.instance, asset):
                made = make_table(name, profile, loaded, lake, context.log.info)
                version = dg.DataVersion(made.sha256)
                result = dg.MaterializeResult(asset_key=asset, metadata=made.metadata, data_version=version)
            if problems and name == RESEARCH_TABLE_NAME:
                with failures.of(asset):
                    parts = count_noun(len(problems), "part")
                    require_complete(problems, f"{parts} of the research of tape", _AGAIN)
                result = result if config.go_on else None
            if result is not None:
                yield result
            elif config.go_on:
                yield dg.MaterializeResult(asset_key=asset, metadata=RECORDED)
        failures.raise_them()

    return joined_tables


def _spec(name: str, profile: Profile, settings: Settings) -> dg.AssetSpec:
    described = TABLE_REGISTRY[name]
    texts = describe_columns(described.columns.values(), described.texts)
    return dg.AssetSpec(
        [profile, name],
        deps=[dg.AssetKey(key) for key in upstream_of(name, profile, settings)],
        metadata=column_schema(schema_of(dict(described.columns)), texts, below=True),
        description=_DESCRIPTIONS[name].format(profile=profile),
    )
