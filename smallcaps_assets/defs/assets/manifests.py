"""Asset `<profile>/manifest`: the events that a profile captures, ranked and frozen."""

from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
from pydantic import Field

from smallcaps_assets.defs.metadata.drawn import reused_pictures
from smallcaps_assets.defs.metadata.entries import Metadata, column_schema
from smallcaps_assets.defs.metadata.events import manifest_metadata
from smallcaps_assets.defs.metadata.follow_up import cohort_metadata
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.bars.quality import master_problems
from smallcaps_assets.domain.manifests.selection import profile_hash
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tables import FOLLOW_UP_MANIFEST, MANIFEST
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.lake.files.proven_files import prove_once
from smallcaps_assets.pipeline.manifests.checks import require_sound_manifest
from smallcaps_assets.pipeline.manifests.selecting import choose_cohorts, select_manifest
from smallcaps_assets.pipeline.universe.as_of import NO_LISTINGS, EventJudge, describe_universe
from smallcaps_assets.settings.settings import COHORTS_FROM, PROFILES, Profile, Settings

_EVENT_LISTINGS: Final = "event_listings"
_BY_COHORTS = (
    f" Its events are those whose cohort of {COHORTS_FROM} was winning at profiles.{{profile}}.cohorts.as_of; the "
    "cohorts are kept, and select until others are asked for."
)


class ManifestConfig(dg.Config):
    """How the events are selected."""

    renew_cohorts: bool = Field(
        default=False,
        description="Select by the cohorts as they are now, not by those that are kept from an earlier selection. "
        "Without effect where no cohorts select.",
    )


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The manifest of each profile."""
    return [_manifest(profile, settings) for profile in PROFILES]


def selected_from(profile: Profile, settings: Settings) -> list[Sequence[str]]:
    """The keys of the assets that a manifest is made from, apart from MASTER."""
    by_cohorts = settings.profiles[profile].cohorts is not None
    return [[_EVENT_LISTINGS], *([[COHORTS_FROM, COHORTS_TABLE]] if by_cohorts else [])]


def _manifest(profile: Profile, settings: Settings) -> dg.AssetsDefinition:
    by_cohorts = settings.profiles[profile].cohorts is not None

    @dg.asset(
        key=[profile, "manifest"],
        deps=[dg.AssetKey(key) for key in selected_from(profile, settings)],
        metadata=column_schema(FOLLOW_UP_MANIFEST if by_cohorts else MANIFEST, below=True),
        description=f"The events that profile {profile} captures, ranked, with the window of each. Frozen: a new "
        f"manifest never overwrites an old one.{_BY_COHORTS.format(profile=profile) * by_cohorts}",
    )
    def manifest(
        context: dg.AssetExecutionContext,
        config: ManifestConfig,
        master_events: pl.DataFrame,
        settings: SettingsResource,
        lake: LakeResource,
    ) -> dg.MaterializeResult[None]:
        renew = config.renew_cohorts
        with reused_pictures(context.instance, context.asset_key):
            version, figures = make_manifest(profile, master_events, settings, lake, renew_cohorts=renew)
        return dg.MaterializeResult(metadata=figures, data_version=dg.DataVersion(version))

    return manifest


def make_manifest(
    profile: Profile,
    master_events: pl.DataFrame,
    settings: SettingsResource,
    lake: LakeResource,
    *,
    renew_cohorts: bool = False,
) -> tuple[str, Metadata]:
    """Select and freeze the manifest of a profile; returns its data version and its metadata.

    Raises:
        InputError: the cohorts that are to select its events do not exist.
        LakeError: MASTER is invalid, the selection breaks its own limits, or the cohorts that select are damaged.
    """
    loaded = settings.load()
    problems = master_problems(master_events)
    if problems:
        master = lake.lake.master
        raise LakeError(f"{master}: {'; '.join(problems)}. Materialize master_events again.", master)
    today = settings.now().astimezone(ZoneInfo(NEW_YORK)).date()
    chosen = choose_cohorts(lake.lake, loaded, profile, today, renew=renew_cohorts)
    cohorts = chosen.cohorts if chosen else None
    judge = EventJudge.in_force(lake.lake, loaded.universe)
    at_event = None if judge is None else judge.judge(master_events)
    selection = select_manifest(master_events, loaded.profiles[profile], loaded.ranking, cohorts, at_event)
    require_sound_manifest(selection.manifest, loaded.profiles[profile], loaded.ranking)
    store = lake.manifests(profile)
    damage = store.damage()
    before = None if damage else store.current_id()
    if damage:
        dg.get_dagster_logger().warning("%s This selection takes its place.", damage)
    sidecar = store.freeze(
        selection,
        config_hash=profile_hash(loaded.profiles[profile], loaded.ranking),
        master_sha256=prove_once(lake.lake.master),
        now=settings.now(),
        cohorts=cohorts,
        universe=None if at_event is None else describe_universe(at_event, loaded.universe),
    )
    if notice := chosen.notice(profile) if chosen else None:
        dg.get_dagster_logger().warning(notice)
    if judge is None and loaded.universe.judges_events:
        dg.get_dagster_logger().info(NO_LISTINGS)
    figures = manifest_metadata(selection, sidecar, unchanged=sidecar["manifest_id"] == before)
    figures |= cohort_metadata(selection.manifest, cohorts, notice) if cohorts else {}
    return sidecar["sha256"], figures | ({"damaged": damage} if damage else {})
