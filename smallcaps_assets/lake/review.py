"""Review sheets: the page, its sample, and the imported label files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.review.labels import LabelFile, latest_labels, parse_labels
from smallcaps_assets.domain.review.sample import SAMPLE, STRATUM
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.files.documents import publish_document, read_document
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.publish import disk_errors, publish_text
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake

# Key of a sample: the SHA-256 of its page.
PAGE_KEY: Final = "page_sha256"

DAMAGED_LABELS: Final = "is damaged: its content is not what was imported (the digest in its name)"

# Columns of a sampled event that the precision of its label is estimated from.
SAMPLED_EVENTS: Final = pl.Schema({name: SAMPLE[name] for name in ("event_id", *STRATUM, "stratum_events")})


class Sheet(NamedTuple):
    """A published sheet: its manifest, its sample and the sampled events (SAMPLED_EVENTS)."""

    manifest_id: str
    sample_id: str
    events: pl.DataFrame


def label_digest(content: bytes) -> str:
    """The digest of a label file that ends its name."""
    return hashlib.sha256(content).hexdigest()[:16]


@dataclass(frozen=True)
class ReviewStore:
    """The review sheets of one profile.

    Label files are stored unchanged and merged when read: none is overwritten, and a file that is imported twice is
    stored once.
    """

    lake: Lake
    profile: str

    def publish(self, sheet: Sheet, page: str) -> Path:
        """Publish the page, then its sample; returns the page's path."""
        path = self.lake.review_sheet(self.profile, sheet.manifest_id)
        publish_text(path, page, below=self.lake.root)
        document = {
            "manifest_id": sheet.manifest_id,
            "profile": self.profile,
            "sample_id": sheet.sample_id,
            "events": sheet.events.select(*SAMPLED_EVENTS).to_dicts(),
            PAGE_KEY: hashlib.sha256(page.encode()).hexdigest(),
        }
        publish_document(path.with_suffix(".json"), document, indent=1, below=self.lake.root)
        return path

    def sheets(self) -> Sequence[str]:
        """Ids of the manifests that have a sheet, oldest first."""
        return sorted(path.stem for path in list_paths(self.lake.review(self.profile), f"{self.profile}_*.json"))

    def sheet(self, manifest_id: str) -> Sheet:
        """The sheet of a manifest.

        Raises:
            InputError: it has none.
            LakeError: its sample cannot be read.
        """
        path = self.lake.review_sheet(self.profile, manifest_id).with_suffix(".json")
        if not is_stored(path):
            known = ", ".join(self.sheets()) or "none"
            raise InputError(
                f"{path.parent}: no review sheet of manifest {manifest_id}; found: {known}. Give the --lake that it "
                f"came from, or materialize {self.profile}/review_sheet and label that one."
            )
        document = read_document(path, how_to_restore(path), {"events": list, "sample_id": str})
        try:
            events = pl.DataFrame(document["events"], schema=SAMPLED_EVENTS)
            return Sheet(manifest_id, str(document["sample_id"]), events)
        except (KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise LakeError(
                f"{path}: is not the sample of a review sheet ({reason}). {how_to_restore(path)}", path
            ) from error

    def latest_sheet(self) -> Sheet | None:
        """The newest sheet with labels, else the newest sheet; None where there is none."""
        sheets = [self.sheet(manifest_id) for manifest_id in reversed(self.sheets())]
        return next((sheet for sheet in sheets if self._files(sheet)), next(iter(sheets), None))

    def add(self, labels: LabelFile) -> Path:
        """Store a label file; returns its path."""
        text = labels.model_dump_json(indent=1) + "\n"
        digest = label_digest(text.encode())
        path = self.lake.review_labels(self.profile, labels.manifest_id) / f"{labels.sample_id}-{digest}.json"
        publish_text(path, text, below=self.lake.root)
        return path

    def labels(self, sheet: Sheet) -> pl.DataFrame:
        """The labels of a sheet: `event_id` and `good`; see `latest_labels`.

        Raises:
            LakeError: a label file is damaged or cannot be read.
        """
        return latest_labels(map(_read_labels, self._files(sheet)))

    def _files(self, sheet: Sheet) -> list[Path]:
        return sorted(list_paths(self.lake.review_labels(self.profile, sheet.manifest_id), f"{sheet.sample_id}-*.json"))


def _read_labels(path: Path) -> pl.DataFrame:
    """The labels (LABELS) of a stored file, which the digest in its name proves.

    Raises:
        LakeError: it is damaged or cannot be read.
    """
    with disk_errors("read", path):
        content = path.read_bytes()
    if path.stem.rpartition("-")[2] != label_digest(content):
        raise LakeError(f"{path}: {DAMAGED_LABELS}. {how_to_restore(path)}", path).with_facts(DAMAGED_LABELS)
    return parse_labels(content.decode(), str(path)).frame()
