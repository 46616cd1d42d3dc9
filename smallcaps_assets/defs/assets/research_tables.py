"""Assets `event_scores` and `<profile>/research_table`: research tables over all symbols."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from smallcaps_assets.defs.group_recording import RESEARCH_PRIORITY, tolerated
from smallcaps_assets.defs.metadata import column_schema
from smallcaps_assets.defs.recording import RECORDED, ContinueOnFailure, require_complete
from smallcaps_assets.defs.research_metadata import scores_metadata, table_metadata
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.defs.wave_research import PartsStep
from smallcaps_assets.domain.research.columns import describe_columns
from smallcaps_assets.domain.research.tables.bar_descriptions import SCORE_TEXTS
from smallcaps_assets.domain.research.tables.bar_tables import EVENT_SCORE_COLUMNS, EVENT_SCORES
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE, RESEARCH_TABLE_COLUMNS
from smallcaps_assets.domain.research.tables.table_descriptions import TABLE_TEXTS
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.pipeline.research.joined import EVENT_SCORES_TABLE, RESEARCH_TABLE_NAME
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

# of parts that failed
_AGAIN: Final = "Materialize it again: only what is missing is computed."
_Result = Iterator[dg.MaterializeResult[None]]


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The assets."""
    return [scores, *(_table(profile) for profile in PROFILES)]


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
        metadata = scores_metadata(made, research.market_by_month())
        result = dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(made.sha256))
    yield result


def _table(profile: Profile) -> dg.AssetsDefinition:
    texts = describe_columns(RESEARCH_TABLE_COLUMNS.values(), TABLE_TEXTS)

    @dg.asset(
        key=[profile, RESEARCH_TABLE_NAME],
        deps=[
            *(
                dg.AssetKey([profile, name])
                for name in ("manifest", "micro_features", "event_tape_state", COHORTS_TABLE)
            ),
            "event_bar_features",
            EVENT_SCORES_TABLE,
        ],
        op_tags=RESEARCH_PRIORITY,
        metadata=column_schema(RESEARCH_TABLE, texts, below=True),
        description=f"What was known of each event of {profile} when its minute was over, in one row: bars, scores "
        "and tape before it. No column is hindsight, so the table is the one to model on.",
    )
    def table(
        context: dg.AssetExecutionContext, config: ContinueOnFailure, settings: SettingsResource, lake: LakeResource
    ) -> _Result:
        loaded, problems = settings.load(), list[str]()
        result: dg.MaterializeResult[None] = dg.MaterializeResult(metadata=RECORDED)
        with tolerated(context, continue_on_failure=config.go_on):
            if loaded.research.enabled:
                problems = PartsStep(profile, context.op_execution_context, settings, lake).all_waves()
            made = lake.joined_research(loaded).table(profile, loaded.ranking)
            around = lake.around_events(profile, loaded, made.rows, context.log.info)
            result = dg.MaterializeResult(
                metadata=table_metadata(made, around), data_version=dg.DataVersion(made.sha256)
            )
            parts = count_noun(len(problems), "part")
            require_complete(problems, f"{parts} of the research of tape", _AGAIN)
        yield result

    return table
