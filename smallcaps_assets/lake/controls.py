"""The controls of a profile in the lake: their manifest, which belongs to one manifest of events, and their ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.controls.tables import CONTROL_LEDGER, CONTROL_MANIFEST
from smallcaps_assets.domain.tape.tables import LEDGER_ADDED
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import Current
from smallcaps_assets.lake.research import ResearchStore

CONTROL_MANIFEST_TABLE: Final = "control_manifest"
# Key of what the control manifest was computed from: the manifest of the events.
MANIFEST_OF_CONTROLS: Final = "manifest_id"


class ControlsFound(NamedTuple):
    """The controls of a manifest, for work that continues without them.

    Attributes:
        rows: the controls (CONTROL_MANIFEST); none where their file is damaged.
        outdated: that they were chosen for another manifest, as a clause.
        damage: what is wrong with their file, with its remedy.
    """

    rows: pl.DataFrame
    outdated: str | None = None
    damage: LakeError | None = None

    @property
    def problem(self) -> str | None:
        """That no control is known although there is a file of them, as a clause; None where all is well."""
        return None if self.damage is None else f"unknown, and not captured: {self.damage}"


@dataclass(frozen=True)
class ControlStore:
    """The controls of one profile."""

    lake: Lake
    profile: str

    @property
    def path(self) -> Path:
        """The control manifest."""
        return self.lake.research_table(CONTROL_MANIFEST_TABLE, self.profile)

    @property
    def ledger_path(self) -> Path:
        """The ledger of the controls."""
        return self.lake.control_ledger(self.profile)

    def publish(self, controls: pl.DataFrame, made_from: Mapping[str, Any]) -> str:
        """Publish the control manifest (CONTROL_MANIFEST) with what it was made from; returns the file's SHA-256.

        Raises:
            LakeError: it cannot be written.
        """
        return ResearchStore(self.lake).publish(self.path, controls, made_from)

    def set_aside_damaged(self) -> None:
        """Move a damaged control manifest to the quarantine; there are then no controls until others are chosen.

        Raises:
            LakeError: the disk refuses.
        """
        ResearchStore(self.lake).computed_from(self.path)

    def manifest_id(self) -> str | None:
        """The manifest of events that the control manifest was made for; None if there is none.

        Raises:
            LakeError: it cannot be read.
        """
        recorded = ResearchStore(self.lake).recorded(self.path)
        return None if recorded is None else str(recorded.get(MANIFEST_OF_CONTROLS))

    def load(self, manifest: pl.DataFrame) -> pl.DataFrame:
        """The controls (CONTROL_MANIFEST) of the events of a manifest (MANIFEST); no rows where none were chosen.

        They may have been chosen for an earlier manifest: controls of events that are in this one as well stay.

        Raises:
            LakeError: the file is damaged, that of another profile, or cannot be read.
        """
        controls = ResearchStore(self.lake).read(self.path, CONTROL_MANIFEST)
        return controls.filter(pl.col("control_of").is_in(manifest["event_id"].implode()))

    def find(self, current: Current) -> ControlsFound:
        """The controls of the events of the current manifest, for work that continues without them; raises nothing."""
        try:
            return ControlsFound(self.load(current.rows), self.outdated(current))
        except LakeError as error:
            return ControlsFound(CONTROL_MANIFEST.to_frame(), damage=error)

    def outdated(self, current: Current) -> str | None:
        """That the controls were chosen for another manifest than the current one, as a clause; None where not.

        Raises:
            LakeError: the file is damaged or cannot be read.
        """
        if not is_stored(self.path) or (found := self.manifest_id()) == current.sidecar["manifest_id"]:
            return None
        all_rows, kept = read_table(self.path, CONTROL_MANIFEST).height, self.load(current.rows).height
        return (
            f"the controls were chosen for {found}: {kept:,} of {count_clause(all_rows, 'is', 'are')} of events of the "
            f"current manifest, and only these are captured; {self.profile}/{CONTROL_MANIFEST_TABLE} chooses anew"
        )

    def load_ledger(self) -> pl.DataFrame:
        """The ledger of the controls (CONTROL_LEDGER); no rows where there is none.

        Raises:
            LakeError: the file is damaged or cannot be read.
        """
        path = self.ledger_path
        return read_table(path, CONTROL_LEDGER, LEDGER_ADDED) if is_stored(path) else CONTROL_LEDGER.to_frame()

    def publish_ledger(self, ledger: pl.DataFrame) -> None:
        """Publish the ledger of the controls (CONTROL_LEDGER); where there are none, remove it.

        Raises:
            LakeError: it cannot be written.
        """
        if ledger.is_empty():
            ResearchStore(self.lake).remove(self.ledger_path)
        else:
            publish_frame(self.ledger_path, ledger, below=self.lake.root)
