"""Labels of events by what their bars did afterwards (research specification, section 4); hindsight, and gross."""

from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.arrays import BoolArray, IntArray
from smallcaps_assets.domain.research.outcomes.barriers import (
    LABEL_SPECS,
    Barriers,
    LabelSpec,
    barrier_exits,
    scale_millionths,
)
from smallcaps_assets.domain.research.outcomes.bars_after import BarsAfter
from smallcaps_assets.domain.research.outcomes.horizons import horizon_columns
from smallcaps_assets.domain.research.outcomes.nulls import nullable
from smallcaps_assets.domain.research.outcomes.overlap import OVERLAP, overlap
from smallcaps_assets.domain.research.prices import MICRO
from smallcaps_assets.domain.research.tables.label_tables import EVENT_LABELS
from smallcaps_assets.domain.tables import UTC_US

OK, NO_ENTRY, NO_SCALE = "ok", "no_entry", "no_scale"
_DAY: Final = ("symbol", "day")


def event_labels(after: BarsAfter, bar_atr: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """One row (EVENT_LABELS) per event with a bar and label spec, sorted by event_id, and in the order of LABEL_SPECS.

    Args:
        after: usable bars; and events: `event_id` and `in_master` besides what BarsAfter needs.
        bar_atr: `event_id` and `bar_atr` (BAR_FEATURES). Events without a row, or with null, have no barriers.
        runs: BAR_RUNS of the same bars.
    """
    atr = after.events.select("event_id").join(
        bar_atr.select("event_id", "bar_atr").unique("event_id"), on="event_id", how="left", maintain_order="left"
    )["bar_atr"]
    entries = after.entries
    own = after.bars.select(*_DAY)[after.own]
    common = {
        "event_id": after.events["event_id"],
        "date": own["day"].dt.to_string("%Y-%m-%d"),
        "t0": _time(after.known_at),
        "entry_at": nullable("", entries.at, entries.exists).cast(UTC_US),
        "entry": nullable("", after.bars["open"].to_numpy()[np.maximum(entries.position, 0)], entries.exists),
        **horizon_columns(after),
    }
    halts = _halts_after(own.with_columns(common["entry_at"].alias("entry_at")), runs)
    scaled = atr.fill_null(float("nan")).to_numpy()
    parts = [pl.DataFrame({**common, **_by_barriers(after, spec, scaled, halts)}) for spec in LABEL_SPECS]
    return _with_overlap(pl.concat(parts), after)


def _by_barriers(after: BarsAfter, spec: LabelSpec, bar_atr: np.ndarray, halts: pl.DataFrame) -> dict[str, pl.Series]:
    z = scale_millionths(bar_atr, spec.minutes)
    until = after.until(spec.minutes)
    exits = barrier_exits(after, after.entries, Barriers(until, spec.profit * z, spec.stop * z))
    has_scale = ~np.isnan(bar_atr)
    ok = exits.exists & has_scale
    state = np.where(exits.exists, np.where(has_scale, OK, NO_SCALE), NO_ENTRY)
    entry = after.bars["open"].to_numpy()[np.maximum(after.entries.position, 0)]
    t1 = np.where(exits.label == 0, until, exits.bar_end)
    halt_start = halts["halt_start"].dt.epoch("us")
    met = (halt_start < pl.Series(t1)).fill_null(value=False).to_numpy()
    figures = {
        "scale": z / MICRO,
        "label": exits.label,
        "exit_price": exits.price,
        "tie": exits.tie,
        "gap": exits.gap,
        "gross_return": after.sign * (exits.price / entry - 1),
        "crosses_session": _crosses(after, t1),
    }
    return {
        "label_spec": pl.Series([spec.name]).new_from_index(0, len(after)),
        "state": pl.Series(state, dtype=pl.String),
        "exit_bar_end": nullable("", exits.bar_end, ok).cast(UTC_US),
        "t1": nullable("", t1, ok).cast(UTC_US),
        "halt_in_label": nullable("", met, ok & halts["known"].to_numpy()),
        **{name: nullable("", values, ok) for name, values in figures.items()},
    }


def _crosses(after: BarsAfter, t1: IntArray) -> BoolArray:
    """Whether the open or the close of regular hours lies between entry and `t1`."""
    entry_at = after.entries.at
    inside = [(entry_at < bound) & (bound < t1) for bound in (after.regular_open, after.regular_close)]
    crosses: BoolArray = inside[0] | inside[1]
    return crosses


def _halts_after(entries: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Of each entry, the start of the first halt of its day that ends after it, and whether all halts are `known`.

    Args:
        entries: `symbol`, `day` and `entry_at` (null without an entry).
        runs: BAR_RUNS.
    """
    unsure = runs.filter("undecided").select(_DAY).unique().with_columns(known=pl.lit(value=False))
    ends = runs.filter("is_halt").select(*_DAY, halt_start="start", halt_end="end").sort("halt_end")
    return (
        entries.with_row_index("order")
        .sort("entry_at", nulls_last=False)
        .join_asof(
            ends,
            left_on="entry_at",
            right_on="halt_end",
            by=_DAY,
            strategy="forward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .join(unsure, on=_DAY, how="left")
        .sort("order")
        .select("halt_start", known=pl.col("known").fill_null(value=True))
    )


def _with_overlap(rows: pl.DataFrame, after: BarsAfter) -> pl.DataFrame:
    """EVENT_LABELS of the rows of each spec, one after another, in the order of `after`."""
    count = len(LABEL_SPECS)
    counted = (pl.Series(rows["state"]) == OK) & pl.concat([after.events["in_master"]] * count)
    among = pl.concat([after.events.select("symbol")] * count).hstack(rows.select("label_spec", "entry_at", "t1"))
    found = overlap(among.filter(counted))
    place = counted.cast(pl.Int64).cum_sum() - 1
    unique = found[place.set(~counted, None)] if found.height else None
    order = after.events["event_id"].arg_sort().to_numpy()
    by_event = (order[:, None] + len(after) * np.arange(count)).ravel()
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in OVERLAP.items()]
    full = rows.with_columns(missing) if unique is None else rows.hstack(unique)
    return full[by_event].select(*EVENT_LABELS).match_to_schema(EVENT_LABELS)


def _time(us: IntArray) -> pl.Series:
    return pl.Series(us).cast(UTC_US)
