"""The ledger: what the lake holds of every event of a manifest, told by the artefacts themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.kpis import EFFORT, LEDGER
from smallcaps_assets.domain.tables import UTC_NS
from smallcaps_assets.domain.windows import event_windows, pieces, uncovered
from smallcaps_assets.lake.publish import disk_errors, provenance_of, sha256
from smallcaps_assets.lake.tape import KINDS, Kind, TapeStore

_FACTS: Final = pl.Schema(
    {"path": pl.String(), "file": pl.String(), "sha256": pl.String(), "size": pl.Int64(), "height": pl.Int64()}
)
_COUNTS: Final = pl.Schema(
    {"event_id": pl.String(), "path": pl.String(), "rows": pl.Int64(), "first": UTC_NS, "last": UTC_NS}
)


def build_ledger(manifest: pl.DataFrame, tape: TapeStore) -> pl.DataFrame:
    """One row per event of `manifest` (LEDGER), in rank order.

    `bytes` is the event's share of its files, by rows. An event without both artefacts is `denied` or `failed` where
    the cause is known, else `missing`.
    """
    windows = event_windows(manifest)
    trades, quotes = (_holdings(windows, tape, kind) for kind in KINDS)
    has_trades, has_quotes = pl.col("trades_rows") > 0, pl.col("quotes_rows") > 0
    there = pl.col("trades_rows").is_not_null() & pl.col("quotes_rows").is_not_null()

    def of_what_is_missing(what: str) -> pl.Expr:
        missing = (pl.when(pl.col(f"{kind}_rows").is_null()).then(f"{kind}_{what}") for kind in KINDS)
        return pl.coalesce(*missing)

    state = (
        pl.when(~there)
        .then(of_what_is_missing("state").fill_null("missing"))
        .when(has_trades & has_quotes)
        .then(pl.lit("complete"))
        .when(has_trades)
        .then(pl.lit("trades_only"))
        .when(has_quotes)
        .then(pl.lit("quotes_only"))
        .otherwise(pl.lit("empty"))
    )
    return (
        windows.join(trades, on="event_id", how="left", maintain_order="left")
        .join(quotes, on="event_id", how="left", maintain_order="left")
        .with_columns(
            state=state,
            cause=of_what_is_missing("cause"),
            bytes=pl.sum_horizontal("trades_bytes", "quotes_bytes"),
        )
        .select(*LEDGER)
        .match_to_schema(LEDGER)
    )


def effort(tape: TapeStore) -> pl.DataFrame:
    """Requests, retries and throttled answers (EFFORT) behind everything published or refused, by wave."""
    artefacts = pl.concat(tape.published(kind) for kind in KINDS)
    said = [
        (provenance_of(Path(path)) or {}) | {"wave": wave} for path, wave in artefacts.select("path", "wave").rows()
    ]
    refused = [record for kind in KINDS for record in tape.refusals(kind)]
    return pl.DataFrame(said + refused, schema=EFFORT).group_by("wave").sum()


def _holdings(windows: pl.DataFrame, tape: TapeStore, kind: Kind) -> pl.DataFrame:
    """Rows, bounds, bytes, files and hashes of each window that is covered, and why others are not; names by `kind`."""
    published = tape.published(kind)
    lacking = uncovered(windows, published).select("event_id")
    where = pieces(windows.join(lacking, on="event_id", how="anti"), published)
    held = (
        where.select("event_id", "path")
        .unique(maintain_order=True)
        .join(_counts(kind, where, tape), on=["event_id", "path"], how="left", maintain_order="left")
        .join(_facts(where["path"].unique().sort(), tape.lake.root), on="path", how="left", maintain_order="left")
        .with_columns(pl.col("rows").fill_null(0))
        .group_by("event_id", maintain_order=True)
        .agg(
            pl.col("rows").sum().alias(f"{kind}_rows"),
            pl.col("first").min().alias(f"{kind}_first"),
            pl.col("last").max().alias(f"{kind}_last"),
            (pl.col("size") * pl.col("rows") / pl.col("height").clip(1)).sum().alias(f"{kind}_bytes"),
            pl.col("file").alias(f"{kind}_files"),
            pl.col("sha256").alias(f"{kind}_sha256"),
        )
    )
    refusals = pl.DataFrame(
        [(event_id, said["state"], said["cause"]) for said in tape.refusals(kind) for event_id in said["events"]],
        schema={"event_id": pl.String, f"{kind}_state": pl.String, f"{kind}_cause": pl.String},
        orient="row",
    ).unique("event_id", keep="last")
    return windows.select("event_id").join(held, on="event_id", how="left").join(refusals, on="event_id", how="left")


def _counts(kind: Kind, where: pl.DataFrame, tape: TapeStore) -> pl.DataFrame:
    """Rows of each event in each of its files, with the first and last timestamp; streamed, whatever their size."""
    if where.is_empty():
        return _COUNTS.to_frame()
    counted = (
        tape.scan_pieces(kind, where)
        .group_by("event_id", "path")
        .agg(rows=pl.len().cast(pl.Int64), first=pl.col("timestamp").min(), last=pl.col("timestamp").max())
    )
    with disk_errors("read", tape.lake.tape(tape.profile, kind)):
        return counted.collect(engine="streaming").match_to_schema(_COUNTS)


def _facts(paths: Sequence[str] | pl.Series, root: Path) -> pl.DataFrame:
    """What each file is called within the lake, its hash, size in bytes and number of rows."""
    rows = [
        (
            str(path),
            path.relative_to(root).as_posix(),
            sha256(path),
            path.stat().st_size,
            pl.scan_parquet(path, hive_partitioning=False).select(pl.len()).collect().item(),
        )
        for path in map(Path, paths)
    ]
    return pl.DataFrame(rows, schema=_FACTS, orient="row")
