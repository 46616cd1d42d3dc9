"""The selection of a manifest, with the cohorts that select its events where the profile has them.

Cohorts are taken from core once for each as_of and label spec, and kept with the manifests: what becomes known later
changes cohorts of the past, and would change what is captured. Whether they have changed is said, never acted upon.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.manifests.follow_up import CohortSelection
from smallcaps_assets.domain.manifests.selection import ProfileParams, RankingParams, Selection, select_events
from smallcaps_assets.domain.research.cohorts.selecting import admit_events, cohorts_at, differences_of_cohorts
from smallcaps_assets.domain.versions import code_version, digest
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.cohorts import COHORTS_TABLE, code_of_cohorts, load_cohort_members, load_cohorts
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.selecting_cohorts import SelectingCohorts, load_kept
from smallcaps_assets.pipeline.research.joined_cohorts import COHORTS_VERSION, settings_of_cohorts
from smallcaps_assets.settings.settings import COHORTS_FROM, Profile, Settings

RENEW: Final = "renew_cohorts"


@dataclass(frozen=True)
class ChosenCohorts:
    """The cohorts that select the events of a profile.

    Attributes:
        cohorts: they themselves.
        changes: what has become of them since they were kept, in words.
    """

    cohorts: SelectingCohorts
    changes: Sequence[str] = field(default=())

    def notice(self, profile: str) -> str | None:
        """That the cohorts have changed since, and the remedy; None where they have not."""
        return describe_changes(self.cohorts.entry, self.changes, profile) if self.changes else None


def select_manifest(
    master: pl.DataFrame,
    profile: ProfileParams,
    ranking: RankingParams,
    cohorts: SelectingCohorts | None,
    at_event: pl.DataFrame | None = None,
) -> Selection:
    """Select the events of a profile from MASTER (EVENTS); by `cohorts` where the profile has them.

    With `at_event` (EVENT_LISTINGS of MASTER), only those whose symbol was in the universe on their date.

    Raises:
        ValueError: the profile has them and they are not given, or the other way round.
    """
    if cohorts is None or profile.cohorts is None:
        return select_events(master, profile, ranking, at_event=at_event)
    admit = partial(
        admit_events,
        cohorts=cohorts.rows,
        choice=profile.cohorts,
        max_per_symbol=profile.max_per_symbol,
        ranking=ranking,
    )
    return select_events(master, profile, ranking, admit, at_event)


def choose_cohorts(
    lake: Lake, settings: Settings, profile: Profile, today: date, *, renew: bool = False
) -> ChosenCohorts | None:
    """The cohorts that select the events of a profile; None where none do.

    They are those that are kept from the last selection of the same as_of and label spec. Otherwise, or with `renew`,
    they are the cohorts of core as they are now.

    Args:
        lake: the lake.
        settings: those in force.
        profile: whose events.
        today: the date in New York.
        renew: whether to select anew where cohorts are kept.

    Raises:
        InputError: there are no such cohorts, or not yet.
        LakeError: a file is damaged or cannot be read.
    """
    params = settings.profiles[profile]
    if params.cohorts is None:
        return None
    limits = limits_of(params, settings.ranking)
    store = ManifestStore.in_lake(lake, profile)
    kept = None if renew else store.cohorts_of(params.cohorts.as_of, params.cohorts.label_spec)
    if kept is None:
        require_begun(params.cohorts, profile, today)
        return ChosenCohorts(SelectingCohorts.of(_published(lake, settings, params.cohorts, profile), limits))
    if kept["time_buckets"] != limits["time_buckets"]:
        raise InputError(
            f"profiles.{profile}.cohorts: ranking.time_buckets has changed since the cohorts at {kept['as_of']} first "
            f"selected events, so that they have other keys. {_how_to_renew(profile)}"
        )
    entry = {**kept, **limits}
    try:
        rows = load_kept(store.folder, kept)
    except LakeError:
        # as they are now they may be the same
        now = SelectingCohorts.of(_published(lake, settings, params.cohorts, profile), limits)
        if now.identity != kept["sha256"]:
            raise
        return ChosenCohorts(now)
    return ChosenCohorts(SelectingCohorts(rows, entry), _changes(lake, rows, kept))


def limits_of(params: ProfileParams, ranking: RankingParams, profile: str = COHORTS_FROM) -> dict[str, Any]:
    """What the sidecar says of a selection by cohorts apart from the cohorts; `profile` is whose cohorts they are."""
    assert params.cohorts is not None  # noqa: S101 -- asked of profiles with cohorts
    buckets = ranking.model_dump_json(include={"time_buckets"})
    return {
        "profile": profile,
        **params.cohorts.model_dump(mode="json"),
        "max_per_symbol_per_month": params.max_per_symbol,
        "time_buckets": digest([buckets]),
    }


def require_begun(choice: CohortSelection, profile: str, today: date) -> None:
    """Make sure that the labels of the cohorts are over.

    Raises:
        InputError: `as_of` has not come yet.
    """
    if choice.as_of > today:
        raise InputError(
            f"profiles.{profile}.cohorts: as_of {choice.as_of} has not come yet (it is {today} in New York): labels of "
            f"its sample are still to come. Give {today.replace(day=1)} or an earlier month."
        )


def require_cohorts(rows: pl.DataFrame, cohorts: pl.DataFrame, choice: CohortSelection, what: str) -> pl.DataFrame:
    """The cohorts (SELECTING_COHORTS) that were chosen from `cohorts` (COHORTS), if there are any.

    Raises:
        InputError: this as_of and label spec have no cohorts; names those that have, and `what` was asked.
    """
    if not rows.is_empty():
        return rows
    causal = cohorts.filter(selection="causal")
    if causal.is_empty():
        raise InputError(
            f"{what}: has no cohorts of the causal sample yet, and only these select events. Labels with costs of "
            "events that are candidates must be over when a month begins: capture core, or set "
            "research.cost_bps_default, and materialize core/cohorts again."
        )
    days = causal["as_of"].unique().sort()
    of_spec = causal.filter(label_spec=choice.label_spec)["as_of"].unique().sort()
    there_are = f"{days[0]} to {days[-1]}" if of_spec.is_empty() else f"{of_spec[0]} to {of_spec[-1]}"
    specs = ", ".join(causal["label_spec"].unique().sort())
    raise InputError(
        f"{what}: has no cohorts as of {choice.as_of} of label spec {choice.label_spec}. There are those of "
        f"{there_are}, the first day of each month, of {specs}. Correct as_of or label_spec of the profile's cohorts."
    )


def changes_of_kept(lake: Lake, profile: Profile, sidecar: dict[str, Any]) -> str | None:
    """That the cohorts which selected a manifest have changed since, and the remedy; None where they have not.

    Args:
        lake: the lake.
        profile: whose manifest.
        sidecar: that of the manifest.

    Raises:
        LakeError: the kept cohorts are damaged or cannot be read.
    """
    entry = sidecar.get("cohorts")
    if not entry:
        return None
    changes = _changes(lake, load_kept(ManifestStore.in_lake(lake, profile).folder, entry), entry)
    return describe_changes(entry, changes, profile) if changes else None


def describe_changes(entry: Any, changes: Sequence[str], profile: str) -> str:  # noqa: ANN401 -- of a sidecar
    """Cohorts that have changed since they were kept, as a sentence with the remedy."""
    return (
        f"The cohorts of {entry['profile']} at {entry['as_of']} ({entry['label_spec']}) have changed since they first "
        f"selected the events of {profile}: {'; '.join(changes)}. The kept ones still select. {_how_to_renew(profile)}"
    )


def _how_to_renew(profile: str) -> str:
    return (
        f"To select anew by the cohorts as they are now, materialize {profile}/manifest with the run config "
        f"{{{RENEW}: true}}; tape that is published stays."
    )


def _changes(lake: Lake, kept: pl.DataFrame, entry: Any) -> list[str]:  # noqa: ANN401 -- of a sidecar
    try:
        now = _of_lake(lake, date.fromisoformat(entry["as_of"]), entry["label_spec"])[0]
    except LakeError as error:
        return [f"whether they have is unknown: {error}"]
    return differences_of_cohorts(kept, now)


def _of_lake(lake: Lake, as_of: date, label_spec: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The cohorts of core at an as_of (SELECTING_COHORTS), and all of them (COHORTS)."""
    cohorts = load_cohorts(lake, COHORTS_FROM)
    return cohorts_at(cohorts, load_cohort_members(lake, COHORTS_FROM), as_of, label_spec), cohorts


def _published(lake: Lake, settings: Settings, choice: CohortSelection, profile: str) -> pl.DataFrame:
    """The cohorts of core that were chosen (SELECTING_COHORTS), as they are now."""
    rows, cohorts = _of_lake(lake, choice.as_of, choice.label_spec)
    expected = code_version(COHORTS_VERSION, *settings_of_cohorts(settings.research.params, settings.ranking))
    if code_of_cohorts(lake, COHORTS_FROM) != expected:
        raise InputError(
            f"profiles.{profile}.cohorts: {COHORTS_FROM}/{COHORTS_TABLE} were made with other settings or code. "
            f"Materialize {COHORTS_FROM}/{COHORTS_TABLE} first."
        )
    return require_cohorts(rows, cohorts, choice, f"{lake.research_table(COHORTS_TABLE, COHORTS_FROM)}")
