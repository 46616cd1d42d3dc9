"""Assets `event_bar_features`, `halts` and `market_state_day`: what bars and events say, symbol by symbol."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from smallcaps_assets.defs.group_recording import RESEARCH_PRIORITY, GroupRecorder, tolerated
from smallcaps_assets.defs.metadata import column_schema
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.recording import ContinueOnFailure
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
from smallcaps_assets.pipeline.progress import with_progress
from smallcaps_assets.pipeline.research.bars.by_symbol import SYMBOL_TABLES
from smallcaps_assets.settings.settings import Settings

# the step that makes all three
SYMBOL_RESEARCH: Final = "symbol_research"
_DESCRIPTIONS: Final = {
    "event_bar_features": "What minute bars say of each event when its minute is over: every MASTER row, and every "
    "candidate of the causal sample. No column is hindsight.",
    "halts": "Gaps of five minutes and more in busy regular hours, as minute bars show them.",
    "market_state_day": "Prior close, short sale restriction, halts and splits of each symbol and day with bars.",
}
_COLUMNS: Final = {
    "event_bar_features": (BAR_FEATURE_COLUMNS, BAR_TEXTS),
    "halts": (HALT_COLUMNS, HALT_TEXTS),
    "market_state_day": (MARKET_STATE_COLUMNS, MARKET_STATE_TEXTS),
}


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets, with `settings.partitions_per_run` symbols per run of a backfill."""

    @dg.multi_asset(
        name=SYMBOL_RESEARCH,
        specs=[_spec(table) for table in SYMBOL_TABLES],
        partitions_def=SYMBOLS,
        op_tags=RESEARCH_PRIORITY,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.partitions_per_run),
    )
    def symbol_research(
        context: dg.AssetExecutionContext, config: ContinueOnFailure, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        """One pass over bars and events makes all three; days of earlier months that stay as they are, are kept."""
        symbols = context.partition_keys
        recorder = GroupRecorder(context, list(SYMBOL_TABLES), symbols)
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
