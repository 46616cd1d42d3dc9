"""Assets `<profile>/control_manifest` and `control_features`: minutes of earlier days to compare events with.

No schedule and no capture makes them: whoever materializes the control manifest agrees that the windows of its controls
are captured with those of the events, which costs requests; `smallcaps plan` shows how many. No edge of the lineage
leads from it to the tape: it is chosen by the ledger, which comes after the tape.
"""

import dagster as dg

from smallcaps_assets.defs.metadata.controls import choice_metadata, features_metadata
from smallcaps_assets.defs.metadata.entries import column_schema
from smallcaps_assets.defs.recording.completeness import require_complete
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.research.columns import describe_columns
from smallcaps_assets.domain.research.controls.features import (
    CONTROL_FEATURE_COLUMNS,
    CONTROL_FEATURE_TEXTS,
    CONTROL_FEATURES,
)
from smallcaps_assets.domain.research.controls.labels import (
    CONTROL_LABEL_COLUMNS,
    CONTROL_LABEL_TEXTS,
    CONTROL_LABELS,
)
from smallcaps_assets.domain.research.controls.outcomes import (
    CONTROL_OUTCOME_COLUMNS,
    CONTROL_OUTCOME_TEXTS,
    CONTROL_OUTCOMES,
    CONTROL_WAVE_COLUMNS,
    CONTROL_WAVE_TEXTS,
    CONTROL_WAVES,
)
from smallcaps_assets.domain.research.controls.tables import CONTROL_COLUMNS, CONTROL_MANIFEST, CONTROL_TEXTS
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.controls import CONTROL_MANIFEST_TABLE
from smallcaps_assets.pipeline.research.controls.features import (
    CONTROL_FEATURES_TABLE,
    CONTROL_LABELS_TABLE,
    CONTROL_OUTCOMES_TABLE,
    CONTROL_WAVES_TABLE,
)
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The assets of each profile."""
    return [asset for profile in PROFILES for asset in (_control_manifest(profile), _control_features(profile))]


def _control_manifest(profile: Profile) -> dg.AssetsDefinition:
    texts = describe_columns(CONTROL_COLUMNS.values(), CONTROL_TEXTS)

    @dg.asset(
        key=[profile, CONTROL_MANIFEST_TABLE],
        deps=[
            *(dg.AssetKey([profile, name]) for name in ("manifest", "capture_ledger")),
            *("master_events", "minute_bars", "splits"),
        ],
        metadata=column_schema(CONTROL_MANIFEST, texts, below=True),
        description=f"For up to a quarter of the events of {profile} with complete tape: the same minute of the day on "
        "an earlier day of the same symbol, without an event near it. Materializing it sends no request, but the next "
        "capture then fetches the windows of these controls as well: `smallcaps plan` shows the cost. No schedule "
        "makes it.",
    )
    def control_manifest(
        context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> dg.MaterializeResult[None]:
        chosen = lake.control_choice(profile, settings.load()).publish()
        metadata = choice_metadata(chosen, profile)
        context.log.info(str(metadata["verdict"]))
        if chosen.long_windows:
            context.log.warning(chosen.long_windows)
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(chosen.sha256))

    return control_manifest


def _control_features(profile: Profile) -> dg.AssetsDefinition:
    texts = describe_columns(CONTROL_FEATURE_COLUMNS.values(), CONTROL_FEATURE_TEXTS)
    after = {
        table: next(iter(column_schema(schema, describe_columns(columns.values(), words), below=True).values()))
        for table, schema, columns, words in (
            (CONTROL_LABELS_TABLE, CONTROL_LABELS, CONTROL_LABEL_COLUMNS, CONTROL_LABEL_TEXTS),
            (CONTROL_OUTCOMES_TABLE, CONTROL_OUTCOMES, CONTROL_OUTCOME_COLUMNS, CONTROL_OUTCOME_TEXTS),
            (CONTROL_WAVES_TABLE, CONTROL_WAVES, CONTROL_WAVE_COLUMNS, CONTROL_WAVE_TEXTS),
        )
    }

    @dg.asset(
        key=[profile, CONTROL_FEATURES_TABLE],
        deps=[
            dg.AssetKey([profile, CONTROL_MANIFEST_TABLE]),
            *(dg.AssetKey([profile, f"tape_{kind}"]) for kind in TAPE_KINDS),
            *("event_shards", "minute_bars", "splits"),
            # what events cost stands for controls without a cost of their own
            *("event_bar_features", dg.AssetKey([profile, "micro_features"])),
        ],
        metadata=column_schema(CONTROL_FEATURES, texts, below=True) | after,
        description=f"What was known of each control of {profile} when its minute was over, in one row: bars and tape "
        "before it, computed as those of events. Compare it with the event of the row (control_of); never mix it with "
        "events. What came after, in the direction of the event, lies beside it: control_labels with costs, "
        "control_outcomes and control_waves.",
    )
    def features(
        context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> dg.MaterializeResult[None]:
        made = lake.control_features(profile, settings.load(), context.log.info).publish()
        require_complete(
            made.problems, f"{count_noun(len(made.problems), 'part')} of the tape of controls", "Materialize it again."
        )
        return dg.MaterializeResult(
            metadata=features_metadata(made.rows, made.labels), data_version=dg.DataVersion(made.sha256)
        )

    return features
