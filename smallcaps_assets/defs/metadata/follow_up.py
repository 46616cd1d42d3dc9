"""Metadata of a manifest whose events cohorts selected: which ones, and how many events of each."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from smallcaps_assets.defs.metadata.entries import FIRST_ROWS, Metadata, table
from smallcaps_assets.domain.research.cohorts.ranking import MIN_COSTED
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.lake.selecting_cohorts import SelectingCohorts

_UNCHANGED: Final = "They are as they were when they first selected events."


def cohort_metadata(manifest: pl.DataFrame, cohorts: SelectingCohorts, notice: str | None) -> Metadata:
    """What the web UI shows of the cohorts that selected a manifest (FOLLOW_UP_MANIFEST).

    Args:
        manifest: the manifest.
        cohorts: those that selected it.
        notice: that they have changed since they first did, if they have.
    """
    entry = cohorts.entry
    winning = count_clause(len(entry["winning"]), "cohort is", "cohorts are")
    proof = manifest.filter(~pl.col("in_selection_sample"), pl.col("date") >= entry["as_of"]).height
    return {
        "verdict": f"Selected by the cohorts of {entry['profile']} at {entry['as_of']} ({entry['label_spec']}): "
        f"{winning} winning of {entry['tested'] or 0:,} tested together.{_without_costs(entry)} {manifest.height:,} of "
        "their events are "
        f"selected; {proof:,} of these are not before {entry['as_of']}, and only they prove a cohort.",
        "winning_cohorts": table(_of_winning(manifest, cohorts.rows)),
        "cohorts": notice or _UNCHANGED,
        "cohorts_sha256": cohorts.identity,
        "events in selection sample": int(manifest["in_selection_sample"].sum()),
        "events from as_of on": proof,
    }


def _without_costs(entry: Mapping[str, Any]) -> str:
    count = len(entry.get("withheld", []))
    clause = count_clause(count, "of these selects no event", "of these select no event")
    return f" {clause}, because costs are known of too few labels ({MIN_COSTED})." if count else ""


def _of_winning(manifest: pl.DataFrame, cohorts: pl.DataFrame) -> pl.DataFrame:
    selected = manifest.group_by("cohort_id").agg(selected=pl.len().cast(pl.Int64))
    winning = cohorts.filter("winning").sort("mean", "cohort_id", descending=[True, False]).head(FIRST_ROWS)
    rows = winning.join(selected, on="cohort_id", how="left", maintain_order="left")
    return rows.select(
        "cohort_id",
        pl.col("selected").fill_null(0),
        "n",
        costed_pct=(100 * pl.col("costed_share")).floor(),
        mean_bps=(pl.col("mean") * BPS).round(1),
        q=pl.col("q_value").round(3),
        confirm_bps=(pl.col("confirm_mean") * BPS).round(1),
    )
