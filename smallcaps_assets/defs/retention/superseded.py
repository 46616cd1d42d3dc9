"""Which records of partitions Dagster no longer needs to show what it shows.

Dagster derives the state of a partition from events: whether it is materialized, failed or missing, its metadata, and
whether what is made from it is stale. For the last of these it compares two records of the partition: its latest one,
and the latest one up to the record that its user names as its input.
"""

from typing import Final

import dagster as dg
import polars as pl

MADE: Final = dg.DagsterEventType.ASSET_MATERIALIZATION.value
PLANNED: Final = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value
OBSERVED: Final = dg.DagsterEventType.ASSET_OBSERVATION.value
FAILED: Final = dg.DagsterEventType.ASSET_FAILED_TO_MATERIALIZE.value
# the events by which Dagster knows the state of assets
RECORDS: Final = (MADE, PLANNED, OBSERVED, FAILED)
# a record: its number in the log, which only grows, its partition, the type of its event, and its data version
RECORD: Final = pl.Schema({"id": pl.Int64, "partition": pl.String, "type": pl.String, "version": pl.String})
# of each partition and type: the number and the data version of its latest record
LATEST: Final = RECORD


def superseded(old: pl.DataFrame, latest: pl.DataFrame) -> list[int]:
    """The numbers of those of the records `old` (RECORD) of one asset that change nothing of what Dagster shows.

    What stays of a partition: its latest materialization; a later plan, failure or observation, the latest of each; and
    of earlier materializations those where the answer changes to the question whether the content was the present one.

    Args:
        old: the records that may go, each with a partition; none of a run that is not finished.
        latest: LATEST, of all records.
    """
    latest_of = {kind: latest.filter(type=kind).select("partition", last="id") for kind in RECORDS}
    present = latest.filter(type=MADE).select("partition", last="id", last_version="version")
    return sorted([*_materializations(old, present), *_others(old, present, latest_of)])


def _materializations(old: pl.DataFrame, present: pl.DataFrame) -> list[int]:
    is_same = pl.col("version").eq_missing(pl.col("last_version"))
    # without any earlier record, Dagster compares with no version
    before = pl.col("is_same").shift().over("partition", order_by="id").fill_null(pl.col("last_version").is_null())
    found = (
        old.filter(type=MADE)
        .join(present, on="partition", how="inner")
        .with_columns(is_same=is_same)
        .with_columns(goes=(before == pl.col("is_same")) & (pl.col("id") != pl.col("last")))
    )
    return found.filter("goes")["id"].to_list()


def _others(old: pl.DataFrame, present: pl.DataFrame, latest_of: dict[str, pl.DataFrame]) -> list[int]:
    found = list[int]()
    for kind in (PLANNED, OBSERVED, FAILED):
        made = present.select("partition", made="last")
        rows = (
            old.filter(type=kind)
            .join(latest_of[kind], on="partition", how="left")
            .join(made, on="partition", how="left")
        )
        stays = (pl.col("id") == pl.col("last")) & (pl.col("id") > pl.col("made").fill_null(-1))
        found += rows.filter(~stays)["id"].to_list()
    return found
