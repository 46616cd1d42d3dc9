"""Assets by symbol: what bars say of each event when it is known, what came after it, and the state of each day."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from smallcaps_assets.defs.metadata.entries import column_schema
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.recording.group_recorder import RESEARCH_PRIORITY, GroupRecorder, tolerated
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.research.columns import describe_columns
from smallcaps_assets.domain.research.tables.bar_descriptions import (
    BAR_TEXTS,
    HALT_COLUMNS,
    HALT_TEXTS,
    MARKET_STATE_COLUMNS,
    MARKET_STATE_TEXTS,
)
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURE_COLUMNS, schema_of
from smallcaps_assets.domain.research.tables.label_tables import LABEL_COLUMNS, LABEL_TEXTS
from smallcaps_assets.domain.research.tables.wave_descriptions import EVENT_WAVE_TEXTS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_WAVE_COLUMNS
from smallcaps_assets.pipeline.progress import with_progress
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_ASSETS
from smallcaps_assets.settings.settings import Settings

# the step that makes all of them
SYMBOL_RESEARCH: Final = "symbol_research"
_DESCRIPTIONS: Final = {
    "event_bar_features": "What minute bars say of each event when its minute is over: every MASTER row, and every "
    "candidate of the causal sample. No column is hindsight.",
    "halts": "Gaps of five minutes and more in busy regular hours, as minute bars show them.",
    "event_waves": "Hindsight: the legs of the price after each event, up to an hour. Figures of each event, such as "
    "excursions and outcome, lie beside it in event_outcomes.",
    "event_labels": "Hindsight: entry, barriers, exit and gross return of each event, one row per label spec; "
    "costs are those of a profile.",
    "market_state_day": "Prior close, short sale restriction, halts and splits of each symbol and day with bars.",
}
_COLUMNS: Final = {
    "event_bar_features": (BAR_FEATURE_COLUMNS, BAR_TEXTS),
    "halts": (HALT_COLUMNS, HALT_TEXTS),
    "event_waves": (EVENT_WAVE_COLUMNS, EVENT_WAVE_TEXTS),
    "event_labels": (LABEL_COLUMNS, LABEL_TEXTS),
    "market_state_day": (MARKET_STATE_COLUMNS, MARKET_STATE_TEXTS),
}


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets, with `settings.partitions_per_run` symbols per run of a backfill."""

    @dg.multi_asset(
        name=SYMBOL_RESEARCH,
        specs=[_spec(table) for table in SYMBOL_ASSETS],
        partitions_def=SYMBOLS,
        op_tags=RESEARCH_PRIORITY,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.partitions_per_run),
    )
    def symbol_research(
        context: dg.AssetExecutionContext, config: ContinueOnFailure, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        """One pass over bars and events makes all of them; days of earlier months that stay as they are, are kept."""
        symbols = context.partition_keys
        recorder = GroupRecorder(context, list(SYMBOL_ASSETS), symbols)
        with tolerated(context, continue_on_failure=config.go_on):
            outcomes = lake.symbol_research(settings.load()).run(symbols, recorder.tick)
            outcomes = with_progress(outcomes, len(symbols), "symbols computed", context.log.info)
            recorder.record(outcomes, continue_on_failure=config.go_on)
        yield from recorder.results()

    return [symbol_research]


def _spec(table: str) -> dg.AssetSpec:
    columns, texts = _COLUMNS[table]
    return dg.AssetSpec(
        table,
        deps=["minute_bars", "event_shards", "splits"],
        description=_DESCRIPTIONS[table],
        metadata=column_schema(schema_of(columns), describe_columns(columns.values(), texts)),
    )
