"""The cohorts that select the events of manifests, kept beside these: one file for each content, never overwritten."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import polars as pl

from smallcaps_assets.domain.research.cohorts.ranking import withheld_cohorts
from smallcaps_assets.domain.research.cohorts.selecting import describe_winning, identity_of_cohorts
from smallcaps_assets.domain.research.tables.cohort_tables import BEYOND_SPECIFICATION, SELECTING_COHORTS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table

# Entry of the sidecar of a manifest whose events cohorts selected.
COHORTS_ENTRY: Final = "cohorts"
_DIGITS: Final = 16


@dataclass(frozen=True)
class SelectingCohorts:
    """The cohorts by which the events of a manifest are selected.

    Attributes:
        rows: SELECTING_COHORTS of one as_of and label spec.
        entry: what the sidecar says of them: `profile`, `as_of`, `label_spec`, `file`, `sha256` of their values,
            `cohorts`, `tested`, `winning`, `withheld` (winning ones that select no event because costs are known of
            too few of their labels, if there are any), `time_buckets` (a digest of the settings) and the limits of the
            selection.
    """

    rows: pl.DataFrame
    entry: Mapping[str, Any]

    @classmethod
    def of(cls, rows: pl.DataFrame, entry: Mapping[str, Any]) -> Self:
        """Cohorts that select for the first time: `entry` without what the rows say."""
        sha256 = identity_of_cohorts(rows)
        as_of = str(entry["as_of"]).replace("-", "")
        winning = rows.filter("winning")["cohort_id"].to_list()
        withheld = withheld_cohorts(rows)["cohort_id"].sort().to_list()
        return cls(
            rows,
            {
                **entry,
                "sha256": sha256,
                "file": f"cohorts_{as_of}_{sha256[:_DIGITS]}.parquet",
                "cohorts": rows.height,
                "tested": rows["tested"].max(),
                "winning": winning,
                **({"withheld": withheld} if withheld else {}),
                "best": describe_winning(rows),
            },
        )

    @property
    def identity(self) -> str:
        """The SHA-256 of their values."""
        return str(self.entry["sha256"])

    def keep(self, folder: Path, below: Path | None) -> None:
        """Write them into a folder of manifests, unless they are there undamaged.

        Raises:
            LakeError: the disk refuses.
        """
        path = folder / str(self.entry["file"])
        if is_stored(path):
            with suppress(LakeError):
                load_kept(folder, self.entry)
                return
        publish_frame(path, self.rows, below=below)


def describe_selecting(entry: Mapping[str, Any]) -> str:
    """The cohorts that selected a manifest, from the entry of its sidecar, in a line."""
    return (
        f"cohorts: selected by those of {entry['profile']} at {entry['as_of']} ({entry['label_spec']}), "
        f"{count_winning(entry)}, at most {entry['top_n_per_month']:,} events a month: {entry['best']}"
    )


def count_winning(entry: Mapping[str, Any]) -> str:
    """How many of the cohorts in the entry of a sidecar won, and how many of these select, in words."""
    winning, tested = len(entry["winning"]), entry["tested"] or 0
    withheld = len(entry.get("withheld", []))
    without = f" ({withheld:,} of them without enough costs to select)" if withheld else ""
    return f"{winning:,} winning of {tested:,} tested{without}"


def load_kept(folder: Path, entry: Mapping[str, Any]) -> pl.DataFrame:
    """The kept cohorts (SELECTING_COHORTS) that the sidecar of a manifest names.

    Raises:
        LakeError: the file is missing, damaged, cannot be read or is another one.
    """
    path = folder / str(entry["file"])
    rows = read_table(path, SELECTING_COHORTS, BEYOND_SPECIFICATION)
    if (found := identity_of_cohorts(rows)) != entry["sha256"]:
        raise LakeError(
            f"{path}: SHA-256 of its values is {found}, the sidecar of the manifest says {entry['sha256']}. The "
            f"cohorts were changed after they selected events. {how_to_restore(path)}",
            path,
        )
    return rows
