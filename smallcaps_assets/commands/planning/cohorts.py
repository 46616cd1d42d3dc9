"""What a plan says of the cohorts that selected its events, and whether these have changed since."""

from typing import Any

from smallcaps_assets.commands.console import Line, Printable
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.selecting_cohorts import COHORTS_ENTRY, describe_selecting
from smallcaps_assets.pipeline.manifests.selecting import changes_of_kept
from smallcaps_assets.settings.settings import Profile


def document_of_cohorts(sidecar: dict[str, Any], changed: str | None) -> dict[str, Any]:
    """What JSON says of the cohorts that selected the events; nothing where none did."""
    return {"cohorts": sidecar[COHORTS_ENTRY], "changed_cohorts": changed} if COHORTS_ENTRY in sidecar else {}


def lines_of_cohorts(sidecar: dict[str, Any], changed: str | None) -> list[Printable]:
    """The same as text."""
    if COHORTS_ENTRY not in sidecar:
        return []
    selected = Line(f"  {describe_selecting(sidecar[COHORTS_ENTRY])}", hanging=4)
    return [selected, *([Line(f"  {changed}", "note", hanging=4)] if changed else [])]


def changed_cohorts(lake: Lake, profile: Profile, sidecar: dict[str, Any], damaged: list[str]) -> str | None:
    """That the cohorts which selected the events have changed since; `damaged` receives why that cannot be said."""
    try:
        return changes_of_kept(lake, profile, sidecar)
    except LakeError as error:
        damaged.append(f"  cohorts: {error}")
        return None
