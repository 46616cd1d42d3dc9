"""Checks of a manifest, before and after it is frozen."""

from collections.abc import Callable

import polars as pl

from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.manifests import checks as manifest_checks
from smallcaps_assets.domain.manifests.selection import ProfileParams, RankingParams, profile_hash
from smallcaps_assets.domain.tables import match_columns
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import disk_errors, sha256
from smallcaps_assets.lake.manifests import ManifestStore, columns_of_manifest
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.settings.settings import Profile, Settings


def require_sound_manifest(manifest: pl.DataFrame, profile: ProfileParams, ranking: RankingParams) -> None:
    """Check a selection against its limits before it is frozen.

    Raises:
        LakeError: it breaks them; names what is wrong.
    """
    findings = [
        manifest_checks.caps(manifest, profile),
        manifest_checks.ranks(manifest, ranking),
        manifest_checks.windows(manifest, profile),
    ]
    broken = [str(finding) for finding in findings if not finding.holds]
    if broken:
        raise LakeError(
            f"the selection breaks its own limits: {'; '.join(broken)}. Nothing was frozen. Check that MASTER has one "
            "row per event (materialize master_events again), then select again."
        )


def checks_of_manifest(  # noqa: PLR0913 -- what a manifest is compared with
    store: ManifestStore,
    profile: Profile,
    settings: Settings,
    master_sha256: str | None,
    *,
    stale_symbols: Callable[[], int] = lambda: 0,
    universe: Callable[[], str | None] = lambda: None,
) -> Checks:
    """The checks of the current manifest of a profile.

    They use the settings in force. If the manifest was selected with others, broken limits are only a warning.
    `stale_symbols` counts the symbols whose events in MASTER were not detected with them; `universe` returns the digest
    of which of its events were in the universe on their date, None where that does not decide.

    Raises:
        InputError: there is no manifest yet.
    """
    sidecar = store.sidecar()
    path = store.folder / f"{sidecar['manifest_id']}.parquet"
    params, ranking = settings.profiles[profile], settings.ranking
    config_hash = profile_hash(params, ranking)
    with disk_errors("read", path):
        columns = columns_of_manifest(sidecar)
        rows = match_columns(pl.scan_parquet(path, hive_partitioning=False, glob=False), columns, str(path)).collect()

    def grade(finding: Finding) -> Finding:
        graded = finding._replace(severe=sidecar["config_hash"] == config_hash)
        return graded.unjudged_if(rows.is_empty(), "the manifest has no events")

    return {
        "profile_limits": lambda: grade(manifest_checks.caps(rows, params)),
        "time_buckets": lambda: grade(manifest_checks.buckets(rows, sidecar, params, ranking)),
        "ranks": lambda: grade(manifest_checks.ranks(rows, ranking)),
        "windows": lambda: grade(manifest_checks.windows(rows, params)),
        "file_unchanged": lambda: manifest_checks.unchanged(sidecar, sha256(path), rows.height),
        "up_to_date": lambda: manifest_checks.up_to_date(
            sidecar, master_sha256 or "no MASTER", config_hash, stale_symbols(), universe()
        ),
    }
