"""Whether what is said to be known when an event is, depends on later tape (research specification, section 0.2)."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.micro.tables import MICRO_COLUMNS
from smallcaps_assets.domain.research.tables.tape_columns import TAPE_STATE_COLUMNS
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.pipeline.research.tape.block_tables import TAPE_TABLES, BlockBatch, tables_of_blocks
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch

# segments of a window that are over when the event is known
KNOWN_SEGMENTS: Final = ("pre3", "pre_all", "bar")
_PRE: Final = {
    "micro_features": [column.name for column in MICRO_COLUMNS if column.availability == "seg"],
    "event_tape_state": [name for name, column in TAPE_STATE_COLUMNS.items() if column.availability == "pre"],
}


def find_peeking(
    research: TapeResearch, manifest: pl.DataFrame, events: Sequence[str], known: Sequence[str] = KNOWN_SEGMENTS
) -> pl.DataFrame:
    """`event_id` and `column` of each value known at the event that changes when all later tape and bars are deleted.

    Args:
        research: the tape, and how it is read.
        manifest: the events (MANIFEST).
        events: ids of those to try; those without published tape are left out.
        known: the segments of micro_features whose figures are known at the event.

    Raises:
        LakeError: a file of tape is damaged or cannot be read.
    """
    tried = manifest.filter(pl.col("event_id").is_in(list(events)))
    pairs = [*tried.select("symbol", "session").unique(maintain_order=True).iter_rows()]
    plan = research.plan(manifest, pairs)
    own = plan.events.filter(pl.col("event_id").is_in(list(events))).with_row_index("own")
    if own.is_empty():
        return pl.DataFrame(schema={"event_id": pl.String, "column": pl.String})
    days = tried.select(new_york_date(pl.col("timestamp"))).to_series()
    rules = research.rules(days.min(), days.max())  # type: ignore[arg-type] # dates
    found = []
    for is_cut in (False, True):
        end = pl.min_horizontal("tile_end", "known_at") if is_cut else pl.col("tile_end")
        pieces = {
            kind: own.select("span", "known_at", "own")
            .join(plan.pieces[kind], on="span", how="inner", maintain_order="left")
            .with_columns(span=pl.col("own").cast(pl.Int64), tile_end=end)
            .drop("own")
            .filter(pl.col("tile_start") < pl.col("tile_end"))
            for kind in TAPE_KINDS
        }
        tape = {kind: research.read(kind, pieces[kind]["path"].unique().to_list()) for kind in TAPE_KINDS}
        single = own.with_columns(span=pl.col("own").cast(pl.Int64))
        batch = BlockBatch(single, pieces, tape, plan.files.clear(), BARS.to_frame())
        found.append(tables_of_blocks(batch, rules, frozenset(_PRE)))
    changed = []
    for table, columns in _PRE.items():
        key = ["event_id", "segment"] if table == "micro_features" else ["event_id"]
        whole, cut = (pl.concat([TAPE_TABLES[table].to_frame(), *made[table].values()]) for made in found)
        if table == "micro_features":
            whole, cut = (rows.filter(pl.col("segment").is_in(list(known))) for rows in (whole, cut))
        both = whole.select(*key, *columns).join(cut.select(*key, *columns), on=key, how="full", suffix=" cut")
        changed += [
            both.filter(pl.col(name).ne_missing(pl.col(f"{name} cut"))).select("event_id", column=pl.lit(name))
            for name in columns
        ]
    return pl.concat(changed).unique(maintain_order=True)
