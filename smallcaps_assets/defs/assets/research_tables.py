"""Assets `event_scores` and `events_with_waves_enriched`: research tables of all events, of no profile."""

from collections.abc import Iterator

import dagster as dg

from smallcaps_assets.defs.joined_tables import make_table
from smallcaps_assets.defs.metadata.drawn import reused_pictures
from smallcaps_assets.defs.metadata.entries import column_schema
from smallcaps_assets.defs.metadata.outcomes import upstream_of_outcomes
from smallcaps_assets.defs.metadata.research import scores_metadata
from smallcaps_assets.defs.recording.events import RECORDED
from smallcaps_assets.defs.recording.group_recorder import OUTCOME_PRIORITY, RESEARCH_PRIORITY, tolerated
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.research.columns import describe_columns
from smallcaps_assets.domain.research.tables.bar_descriptions import SCORE_TEXTS
from smallcaps_assets.domain.research.tables.bar_tables import EVENT_SCORE_COLUMNS, EVENT_SCORES
from smallcaps_assets.domain.research.tables.enriched_table import ENRICHED
from smallcaps_assets.domain.research.tables.table_registry import TABLE_REGISTRY
from smallcaps_assets.pipeline.research.joined import EVENT_SCORES_TABLE
from smallcaps_assets.pipeline.research.joined_enriched import ENRICHED_TABLE
from smallcaps_assets.settings.settings import Settings

_Result = Iterator[dg.MaterializeResult[None]]


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The assets."""
    return [scores, _enriched()]


@dg.asset(
    name=EVENT_SCORES_TABLE,
    # event_bar_features makes candidates that an earlier release did not keep
    deps=["master_events", "event_shards", "event_bar_features"],
    op_tags=RESEARCH_PRIORITY,
    metadata=column_schema(EVENT_SCORES, describe_columns(EVENT_SCORE_COLUMNS.values(), SCORE_TEXTS), below=True),
)
def scores(
    context: dg.AssetExecutionContext, config: ContinueOnFailure, settings: SettingsResource, lake: LakeResource
) -> _Result:
    """Where the score of each event lies among those of recent events of its type and session.

    The reference are the MASTER events of the 60 trading days before, never later ones.
    """
    result: dg.MaterializeResult[None] = dg.MaterializeResult(metadata=RECORDED)
    with tolerated(context, continue_on_failure=config.go_on):
        research = lake.joined_research(settings.load())
        made = research.scores()
        with reused_pictures(context.instance, context.asset_key):
            metadata = scores_metadata(made, research.market_by_month())
        result = dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(made.sha256))
    yield result


def _enriched() -> dg.AssetsDefinition:
    described = TABLE_REGISTRY[ENRICHED_TABLE]
    texts = describe_columns(described.columns.values(), described.texts)

    @dg.asset(
        name=ENRICHED_TABLE,
        deps=[dg.AssetKey(key) for key in upstream_of_outcomes(ENRICHED_TABLE, None)],
        op_tags=OUTCOME_PRIORITY,
        metadata=column_schema(ENRICHED, texts, below=True),
    )
    def enriched(
        context: dg.AssetExecutionContext, config: ContinueOnFailure, settings: SettingsResource, lake: LakeResource
    ) -> _Result:
        """Hindsight: every event in one row with what followed it, its score, and how well bars and tape agree.

        Columns of tape are those of the first profile that has the event: core, plus, premium.
        """
        result: dg.MaterializeResult[None] = dg.MaterializeResult(metadata=RECORDED)
        with tolerated(context, continue_on_failure=config.go_on):
            made = make_table(ENRICHED_TABLE, None, settings.load(), lake, context.log.info)
            result = dg.MaterializeResult(metadata=made.metadata, data_version=dg.DataVersion(made.sha256))
        yield result

    return enriched
