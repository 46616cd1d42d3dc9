"""Review sheets: the page, the sample that it shows, and every file of marks that was taken in."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.review.marks import MarksFile, latest, parse_marks
from smallcaps_assets.domain.review.sample import SAMPLE, STRATUM
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import disk_errors, publish_text, read_json

# Of each event of a sample, what reckoning with its mark takes.
DRAWN: Final = pl.Schema({name: SAMPLE[name] for name in ("event_id", *STRATUM, "stratum_events")})


class Sheet(NamedTuple):
    """A published sheet: of which manifest, with which events (DRAWN)."""

    manifest_id: str
    sample_id: str
    events: pl.DataFrame


@dataclass(frozen=True)
class ReviewStore:
    """The review sheets of one profile.

    Files of marks are kept as they came, one each, and merged on reading: nothing is overwritten, and a file that is
    taken in twice is there once.
    """

    lake: Lake
    profile: str

    def publish(self, sheet: Sheet, page: str) -> Path:
        """Publish the page, then its sample; returns the page's path."""
        path = self.lake.review_sheet(self.profile, sheet.manifest_id)
        publish_text(path, page)
        document = {
            "manifest_id": sheet.manifest_id,
            "profile": self.profile,
            "sample_id": sheet.sample_id,
            "events": sheet.events.select(*DRAWN).to_dicts(),
        }
        publish_text(path.with_suffix(".json"), json.dumps(document, indent=1) + "\n")
        return path

    def sheets(self) -> Sequence[str]:
        """The manifests that have a sheet, oldest first."""
        return sorted(path.stem for path in self.lake.review(self.profile).glob(f"{self.profile}_*.json"))

    def sheet(self, manifest_id: str) -> Sheet:
        """The sheet of a manifest.

        Raises:
            InputError: it has none.
            LakeError: its sample cannot be read.
        """
        path = self.lake.review_sheet(self.profile, manifest_id).with_suffix(".json")
        if not path.is_file():
            known = ", ".join(self.sheets()) or "none"
            raise InputError(
                f"{path.parent}: no review sheet of manifest {manifest_id}; there is: {known}. Give the --lake that it "
                f"came from, or materialize {self.profile}/review_sheet and mark that one."
            )
        document = read_json(path)
        try:
            events = pl.DataFrame(document["events"], schema=DRAWN)
            return Sheet(manifest_id, str(document["sample_id"]), events)
        except (KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise LakeError(
                f"{path}: is not the sample of a sheet ({error}). Materialize {self.profile}/review_sheet again."
            ) from error

    def latest_sheet(self) -> Sheet | None:
        """The newest sheet that has marks, else the newest; None where there is no sheet."""
        sheets = [self.sheet(manifest_id) for manifest_id in reversed(self.sheets())]
        return next((sheet for sheet in sheets if self._files(sheet)), next(iter(sheets), None))

    def add(self, marks: MarksFile) -> Path:
        """Keep a file of marks."""
        text = marks.model_dump_json(indent=1) + "\n"
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = self.lake.review_marks(self.profile, marks.manifest_id) / f"{marks.sample_id}-{digest}.json"
        publish_text(path, text)
        return path

    def marks(self, sheet: Sheet) -> pl.DataFrame:
        """The marks on a sheet that stand: `event_id` and `good`; see `latest`."""
        files = self._files(sheet)
        with disk_errors("read", self.lake.review_marks(self.profile, sheet.manifest_id)):
            texts = {path: path.read_text(encoding="utf-8") for path in files}
        return latest(parse_marks(text, str(path)).frame() for path, text in texts.items())

    def _files(self, sheet: Sheet) -> list[Path]:
        return sorted(self.lake.review_marks(self.profile, sheet.manifest_id).glob(f"{sheet.sample_id}-*.json"))
