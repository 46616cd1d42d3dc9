"""Asset `<profile>/manifest`: the events that a profile captures, ranked and frozen."""

import dagster as dg
import polars as pl

from smallcaps_assets.defs.metadata.entries import Metadata, column_schema
from smallcaps_assets.defs.metadata.events import manifest_metadata
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.bars.quality import master_problems
from smallcaps_assets.domain.manifests.selection import profile_hash, select_events
from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.proven_files import prove_once
from smallcaps_assets.pipeline.manifests.checks import require_sound_manifest
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The manifest of each profile."""
    return [_manifest(profile) for profile in PROFILES]


def _manifest(profile: Profile) -> dg.AssetsDefinition:
    @dg.asset(
        key=[profile, "manifest"],
        metadata=column_schema(MANIFEST, below=True),
        description=f"The events that profile {profile} captures, ranked, with the window of each. Frozen: a new "
        "manifest never overwrites an old one.",
    )
    def manifest(
        master_events: pl.DataFrame, settings: SettingsResource, lake: LakeResource
    ) -> dg.MaterializeResult[None]:
        version, figures = make_manifest(profile, master_events, settings, lake)
        return dg.MaterializeResult(metadata=figures, data_version=dg.DataVersion(version))

    return manifest


def make_manifest(
    profile: Profile, master_events: pl.DataFrame, settings: SettingsResource, lake: LakeResource
) -> tuple[str, Metadata]:
    """Select and freeze the manifest of a profile; returns its data version and its metadata.

    Raises:
        LakeError: MASTER is invalid, or the selection breaks its own limits.
    """
    loaded = settings.load()
    problems = master_problems(master_events)
    if problems:
        master = lake.lake.master
        raise LakeError(f"{master}: {'; '.join(problems)}. Materialize master_events again.", master)
    selection = select_events(master_events, loaded.profiles[profile], loaded.ranking)
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
    )
    figures = manifest_metadata(selection, sidecar, unchanged=sidecar["manifest_id"] == before)
    return sidecar["sha256"], figures | ({"damaged": damage} if damage else {})
