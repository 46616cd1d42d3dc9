"""Assets `<profile>/micro_features`, `bar_reconciliation` and `event_tape_state`: what the captured tape says.

One step of each profile makes all three from one reading of the tape, of those that are selected.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import dagster as dg

from smallcaps_assets.defs.metadata.entries import column_schema
from smallcaps_assets.defs.partitions import TAPE_PARTITIONS, tape_key, tape_pairs
from smallcaps_assets.defs.recording.group_recorder import GroupRecorder
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.research.columns import ResearchColumn, describe_columns
from smallcaps_assets.domain.research.micro.tables import MICRO_COLUMNS
from smallcaps_assets.domain.research.tables.bar_tables import EVENT_RECONCILIATION_COLUMNS, RECONCILIATION_COLUMNS
from smallcaps_assets.domain.research.tables.tape_columns import TAPE_HALT_COLUMNS, TAPE_STATE_COLUMNS
from smallcaps_assets.domain.research.tables.tape_descriptions import (
    EVENT_RECONCILIATION_TEXTS,
    MICRO_TEXTS,
    RECONCILIATION_TEXTS,
    TAPE_HALT_TEXTS,
    TAPE_STATE_TEXTS,
)
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.pipeline.progress import with_progress
from smallcaps_assets.pipeline.research.tape.tape_parts import ASSET_TABLES
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

_Described = tuple[Mapping[str, ResearchColumn], Mapping[str, str]]
# the columns of each asset, and those of the table that is published beside it
_COLUMNS: Final[Mapping[str, _Described]] = {
    "micro_features": ({column.name: column for column in MICRO_COLUMNS}, MICRO_TEXTS),
    "bar_reconciliation": (RECONCILIATION_COLUMNS, RECONCILIATION_TEXTS),
    "event_tape_state": (TAPE_STATE_COLUMNS, TAPE_STATE_TEXTS),
}
_BESIDE: Final[Mapping[str, tuple[str, _Described]]] = {
    "bar_reconciliation": ("event_reconciliation", (EVENT_RECONCILIATION_COLUMNS, EVENT_RECONCILIATION_TEXTS)),
    "event_tape_state": ("tape_halts", (TAPE_HALT_COLUMNS, TAPE_HALT_TEXTS)),
}
_DESCRIPTIONS: Final = {
    "micro_features": "Spreads, depth, signs, imbalance, speed and costs of every captured event, before, in and after "
    "its minute: one row per segment of its window, with the time at which its numbers are known.",
    "bar_reconciliation": "Stored minute bars against bars rebuilt from the trades, minute by minute, and of every "
    "event the share of its minutes that agree (event_reconciliation).",
    "event_tape_state": "Whether a halt or the short sale restriction was in force around every captured event, and "
    "the halts that its tape shows (tape_halts).",
}


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets of each profile, with `settings.partitions_per_run` partitions per run of a backfill."""
    return [_tape_research(profile, settings) for profile in PROFILES]


def _tape_research(profile: Profile, settings: Settings) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"{profile}__tape_research",
        specs=[_spec(profile, asset) for asset in ASSET_TABLES],
        partitions_def=TAPE_PARTITIONS,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.partitions_per_run),
        can_subset=True,
    )
    def tape_research(
        context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        """Blocks of tape that did not change are kept; the others are computed from one reading of their tape."""
        pairs = tape_pairs(context.partition_keys)
        chosen = {key.path[-1] for key in context.selected_asset_keys}
        assets = [asset for asset in ASSET_TABLES if asset in chosen]
        keys: dict[tuple[str, ...], str] = {pair: tape_key(*pair) for pair in pairs}
        recorder = GroupRecorder(context, assets, keys, prefix=(profile,))
        step = lake.tape_research(profile, settings.load(), context.log.info, recorder.tick)
        made = (result.outcomes for result in step.run(lake.manifests(profile).load(), pairs, assets))
        outcomes = with_progress(made, len(pairs), "partitions computed", context.log.info)
        recorder.record(outcomes, continue_on_failure=False)
        yield from recorder.results()

    return tape_research


def _spec(profile: Profile, asset: str) -> dg.AssetSpec:
    columns, texts = _COLUMNS[asset]
    beside = {}
    if asset in _BESIDE:
        name, (others, texts_of_others) = _BESIDE[asset]
        schema = {column: found.dtype for column, found in others.items()}
        described = column_schema(schema, describe_columns(others.values(), texts_of_others), below=True)
        beside = {name: next(iter(described.values()))}
    schema = {name: column.dtype for name, column in columns.items()}
    return dg.AssetSpec(
        [profile, asset],
        deps=[
            *(dg.AssetKey([profile, f"tape_{kind}"]) for kind in TAPE_KINDS),
            dg.AssetDep(dg.AssetKey([profile, "manifest"]), partition_mapping=dg.AllPartitionMapping()),
        ],
        description=_DESCRIPTIONS[asset],
        metadata=column_schema(schema, describe_columns(columns.values(), texts)) | beside,
    )
