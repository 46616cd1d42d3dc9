"""Assets `events_with_waves_enriched`, and of each profile costs, labels and cohorts: what came after events.

All of it is hindsight, in files of its own.
"""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from smallcaps_assets.defs.group_recording import OUTCOME_PRIORITY, tolerated
from smallcaps_assets.defs.metadata import column_schema
from smallcaps_assets.defs.outcome_metadata import OUTCOME_TABLES, upstream_of
from smallcaps_assets.defs.recording import RECORDED, ContinueOnFailure
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.research.columns import describe_columns
from smallcaps_assets.domain.research.tables.bar_tables import schema_of
from smallcaps_assets.domain.research.tables.table_registry import TABLE_REGISTRY
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.pipeline.research.joined_enriched import ENRICHED_TABLE
from smallcaps_assets.pipeline.research.joined_outcomes import EVENT_COSTS_TABLE, RESEARCH_LABELS_TABLE
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

_DESCRIPTIONS: Final = {
    ENRICHED_TABLE: "Hindsight: every event in one row with what followed it, its score, and how well bars and tape "
    "agree. Columns of tape are those of the first profile that has the event: core, plus, premium.",
    EVENT_COSTS_TABLE: "Hindsight: cost and net return of every event and label spec. The cost is the spread of the "
    "event's minute in the tape of {profile}, else the median of recent events like it, else the default.",
    COHORTS_TABLE: "Hindsight: which kinds of events paid after costs in {profile}, as known when each month began, "
    "with errors clustered by date and corrected for the number of cohorts tested together. Beside it, "
    "cohort_members has the events of winning cohorts.",
    RESEARCH_LABELS_TABLE: "Hindsight: labels with net returns of the events of {profile}, beside its research table, "
    "with the times that purging needs.",
}


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The assets."""
    of_profiles = [
        _table(name, profile)
        for profile in PROFILES
        for name in (EVENT_COSTS_TABLE, RESEARCH_LABELS_TABLE, COHORTS_TABLE)
    ]
    return [_table(ENRICHED_TABLE), *of_profiles]


def _table(name: str, profile: Profile | None = None) -> dg.AssetsDefinition:
    described = TABLE_REGISTRY[name]
    texts = describe_columns(described.columns.values(), described.texts)

    @dg.asset(
        key=[*([profile] if profile else []), name],
        deps=[dg.AssetKey(key) for key in upstream_of(name, profile)],
        op_tags=OUTCOME_PRIORITY,
        metadata=column_schema(schema_of(dict(described.columns)), texts, below=True),
        description=_DESCRIPTIONS[name].format(profile=profile),
    )
    def table(
        context: dg.AssetExecutionContext, config: ContinueOnFailure, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        result: dg.MaterializeResult[None] = dg.MaterializeResult(metadata=RECORDED)
        with tolerated(context, continue_on_failure=config.go_on):
            made = OUTCOME_TABLES[name](lake.joined_outcomes(settings.load()), profile)
            result = dg.MaterializeResult(metadata=made.metadata, data_version=dg.DataVersion(made.sha256))
        yield result

    return table
