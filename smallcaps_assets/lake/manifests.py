"""Manifests: frozen selections. A new one never overwrites an old one; `current.json` points to one of them."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import polars as pl

from smallcaps_assets.domain.manifests.selection import UNIVERSE_ENTRY, Selection, session_distribution
from smallcaps_assets.domain.tables import FOLLOW_UP_MANIFEST, MANIFEST, match_columns
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.files.content_hash import seal_document
from smallcaps_assets.lake.files.documents import document_text, publish_document, read_document
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.publish import disk_errors, publish_frame, publish_text, sha256
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.selecting_cohorts import COHORTS_ENTRY, SelectingCohorts

# entries of the pointer and of a sidecar that readers need
_OF_POINTER: Final[Mapping[str, type]] = {"manifest_id": str}
_OF_SIDECAR: Final[Mapping[str, type]] = {
    **dict.fromkeys(("manifest_id", "profile", "config_hash", "sha256", "master_sha256"), str),
    **dict.fromkeys(("rows", "symbols"), int),
    "funnel": list,
}


class Current(NamedTuple):
    """A manifest (see `columns_of_manifest`), in rank order, and its sidecar."""

    rows: pl.DataFrame
    sidecar: dict[str, Any]


@dataclass(frozen=True)
class ManifestStore:
    """The manifests of one profile in one folder.

    Attributes:
        folder: the folder.
        profile: the profile.
        below: a folder that must exist: missing folders below it are created. By default none is created.
    """

    folder: Path
    profile: str
    below: Path | None = None

    @classmethod
    def in_lake(cls, lake: Lake, profile: str) -> Self:
        """The manifests of one profile in a lake."""
        return cls(lake.manifests(profile), profile, lake.root)

    @property
    def pointer(self) -> Path:
        """The file that names the current manifest."""
        return self.folder / "current.json"

    def freeze(  # noqa: PLR0913 -- all that a manifest is made of
        self,
        selection: Selection,
        *,
        config_hash: str,
        master_sha256: str,
        now: datetime,
        cohorts: SelectingCohorts | None = None,
        universe: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Publish a manifest, the cohorts that selected it, its sidecar and the pointer to it; returns the sidecar.

        If an unchanged manifest of the same settings, MASTER, cohorts and universe exists, it becomes the current one
        again instead. `universe` says which events were in the universe on their date, where that decided.
        """
        if cohorts is not None:
            cohorts.keep(self.folder, self.below)
        made_of = (config_hash, master_sha256, cohorts.identity if cohorts else None, (universe or {}).get("sha256"))
        same = self._find_same(made_of)
        if same:
            self._point_to(same["manifest_id"])
            return same
        now = now.astimezone(UTC)
        while (self.folder / f"{self.profile}_{now:%Y%m%d_%H%M%S}.parquet").exists():
            now += timedelta(seconds=1)
        manifest_id = f"{self.profile}_{now:%Y%m%d_%H%M%S}"
        path = self.folder / f"{manifest_id}.parquet"
        published = publish_frame(path, selection.manifest, below=self.below)
        facts = {
            "manifest_id": manifest_id,
            "profile": self.profile,
            "config_hash": config_hash,
            "sha256": published,
            "master_sha256": master_sha256,
            "rows": selection.manifest.height,
            "symbols": selection.manifest["symbol"].n_unique(),
            "funnel": selection.funnel,
            "session_distribution": session_distribution(selection.manifest),
            "extension": selection.extension,
            **({COHORTS_ENTRY: dict(cohorts.entry)} if cohorts else {}),
            **({UNIVERSE_ENTRY: dict(universe)} if universe else {}),
        }
        publish_document(path.with_suffix(".json"), facts, indent=2, below=self.below)
        self._point_to(manifest_id)
        return seal_document(facts)

    def sidecar(self) -> dict[str, Any]:
        """The sidecar of the current manifest.

        Raises:
            InputError: there is no manifest yet.
            LakeError: it or the pointer is damaged, or the pointer is missing.
        """
        found = self._sidecar()
        if found is None:
            raise InputError(
                f"{self.folder}: no manifest of profile {self.profile} yet. Materialize {self.profile}/manifest first."
            )
        return found

    def current_id(self) -> str | None:
        """The name of the current manifest; None if there is none yet.

        Raises:
            LakeError: the pointer or the sidecar is damaged, or the pointer is missing.
        """
        found = self._sidecar()
        return str(found["manifest_id"]) if found else None

    def load(self) -> pl.DataFrame:
        """The current manifest, in rank order; see `current`."""
        return self.current().rows

    def current(self) -> Current:
        """The current manifest and its sidecar. The hash is checked on the very bytes that are returned.

        Raises:
            InputError: there is no manifest yet.
            LakeError: the file is not the one its sidecar describes.
        """
        sidecar = self.sidecar()
        path = self.folder / f"{sidecar['manifest_id']}.parquet"
        with disk_errors("read", path):
            content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != sidecar["sha256"]:
            raise LakeError(
                f"{path}: SHA-256 is {found}, its sidecar says {sidecar['sha256']}. The manifest was changed after it "
                f"was frozen. {how_to_restore(path)}",
                path,
            )
        with disk_errors("read", path):
            columns = columns_of_manifest(sidecar)
            rows = match_columns(pl.read_parquet(BytesIO(content)).lazy(), columns, str(path)).collect()
        return Current(rows, sidecar)

    def damage(self) -> str | None:
        """Why there is no current manifest as it was frozen; None if there is one, or none yet."""
        try:
            if self._sidecar() is not None:
                self.current()
        except LakeError as error:
            return str(error)
        return None

    def is_begun(self) -> bool:
        """Whether there is a manifest, or what is left of one."""
        return self.pointer.exists() or bool(self._sidecars())

    def missing_pointer(self) -> LakeError | None:
        """What is wrong where manifests are frozen, but nothing names the current one; None where all is well."""
        if is_stored(self.pointer) or not (frozen := sorted(self._sidecars())):
            return None
        there_are = count_clause(len(frozen), "manifest is", "manifests are")
        return LakeError(
            f"{self.pointer}: is missing, although {there_are} in its folder, such as {frozen[-1].stem}: which one is "
            f"the current one is unknown. {how_to_restore(self.pointer)}",
            self.pointer,
        )

    def _sidecars(self) -> list[Path]:
        return list_paths(self.folder, f"{self.profile}_*.json")

    def cohorts_of(self, as_of: date, label_spec: str) -> dict[str, Any] | None:
        """What the sidecar of the last manifest that cohorts of an as_of and label spec selected says of these.

        The current manifest comes first, then the newest; damaged sidecars are passed over.
        """
        sidecars = sorted(self._sidecars(), reverse=True)
        with suppress(LakeError, InputError):
            sidecars.insert(0, self.folder / f"{self.sidecar()['manifest_id']}.json")
        for path in sidecars:
            with suppress(LakeError):
                entry = _read_sidecar(path).get(COHORTS_ENTRY)
                if entry and (entry["as_of"], entry["label_spec"]) == (as_of.isoformat(), label_spec):
                    return dict(entry)
        return None

    def _find_same(self, made_of: tuple[str | None, ...]) -> dict[str, Any] | None:
        for path in sorted(self._sidecars(), reverse=True):
            try:
                sidecar, chosen = _read_sidecar(path), path.with_suffix(".parquet")
                of_universe = sidecar.get(UNIVERSE_ENTRY, {}).get("sha256")
                others = (_identity_of_cohorts(sidecar), of_universe)
                alike = (sidecar["config_hash"], sidecar["master_sha256"], *others) == made_of
                if alike and chosen.is_file() and sha256(chosen) == sidecar["sha256"]:
                    return sidecar
            except LakeError:
                continue  # a damaged one stays as it is, and a new manifest comes beside it
        return None

    def _point_to(self, manifest_id: str) -> None:
        pointer = self.pointer
        text = document_text({"manifest_id": manifest_id})
        try:
            is_current = pointer.read_bytes() == text.encode()
        except OSError:  # one that cannot be read is replaced, as one that is missing
            is_current = False
        if not is_current:
            publish_text(pointer, text, below=self.below)

    def _sidecar(self) -> dict[str, Any] | None:
        pointer = self.pointer
        if not is_stored(pointer):
            if missing := self.missing_pointer():
                raise missing
            return None
        current = read_document(pointer, how_to_restore(pointer), _OF_POINTER)
        sidecar = _read_sidecar(self.folder / f"{current['manifest_id']}.json")
        if sidecar["profile"] != self.profile:
            raise LakeError(
                f"{pointer}: points to a manifest of profile {sidecar['profile']}, not of {self.profile}. "
                f"{how_to_restore(pointer)}",
                pointer,
            )
        return sidecar


def columns_of_manifest(sidecar: Mapping[str, Any]) -> pl.Schema:
    """MANIFEST, or FOLLOW_UP_MANIFEST where cohorts selected its events."""
    return FOLLOW_UP_MANIFEST if sidecar.get(COHORTS_ENTRY) else MANIFEST


def _identity_of_cohorts(sidecar: Mapping[str, Any]) -> str | None:
    entry = sidecar.get(COHORTS_ENTRY)
    return str(entry["sha256"]) if entry else None


def _read_sidecar(path: Path) -> dict[str, Any]:
    """The sidecar in a file.

    Raises:
        LakeError: it is damaged, or that of another manifest.
    """
    sidecar = read_document(path, how_to_restore(path), _OF_SIDECAR)
    if sidecar["manifest_id"] != path.stem:
        raise LakeError(f"{path}: is the sidecar of {sidecar['manifest_id']}. {how_to_restore(path)}", path)
    return sidecar
