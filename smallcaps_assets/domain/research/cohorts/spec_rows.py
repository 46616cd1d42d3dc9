"""The events of one label_spec as arrays, with the order of their values.

Figures are computed for each as_of. The order of returns, costs and times does not depend on it, so it is made once.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tables import UTC_US

CohortInts = npt.NDArray[np.int64]
CohortFloats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.uint32]

# What cohorts are made of: one row per (event_id, label_spec).
COHORT_EVENTS: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "label_spec": pl.String(),
        "symbol": pl.String(),
        "event_type": pl.String(),
        "direction": pl.String(),
        "date": pl.String(),
        "time_bucket": pl.String(),
        "flatness_score": pl.Float64(),
        "in_master": pl.Boolean(),
        "in_causal_sample": pl.Boolean(),
        "state": pl.String(),
        "entry_at": UTC_US,
        "t1": UTC_US,
        "tie": pl.Boolean(),
        "label": pl.Int64(),
        "halt_in_label": pl.Boolean(),
        "cost_bps": pl.Float64(),
        "net_return": pl.Float64(),
        "mfe_15_bps": pl.Float64(),
    }
)
SELECTIONS: Final = {"causal": "in_causal_sample", "master": "in_master"}
# columns without which an event with a net return cannot be in a sample
_REQUIRED: Final = ("symbol", "entry_at", "t1", "tie", "label", "cost_bps")
TERCILES: Final = 4  # 1, 2, 3 and `na`
UNKNOWN_TERCILE: Final = 3
# The facts of a row in one number: win, label, tie, halt, and whether its greatest move is known.
ROW_FACTS: Final = np.stack(np.unravel_index(np.arange(2 * 3 * 2 * 3 * 2), (2, 3, 2, 3, 2)))
_US_PER_MIN: Final = 60_000_000


class Ranked(NamedTuple):
    """Values in ascending order, and the place that each row has among them."""

    place: CohortInts
    values: CohortFloats


class Ends(NamedTuple):
    """Starts and ends of the labels that may overlap, by group, symbol and time, ends first.

    Attributes:
        rows: of the labels.
        group: of the level.
        minutes: since 1970.
        sign: 1 of a start, -1 of an end.
        weight: `sign` over the length of the label in minutes.
    """

    rows: Places
    group: CohortInts
    minutes: CohortInts
    sign: npt.NDArray[np.int8]
    weight: CohortFloats


class SpecRows(NamedTuple):
    """Events of one label_spec that have a net return, sorted by date, and those that had no entry.

    Attributes:
        event_ids: of the rows.
        group: number of type, direction and time bucket.
        parent: number of type and direction, by group.
        dates: number of distinct dates of all rows.
        months: month of each distinct date, counted from year 0.
        day: number of the date.
        known_from: first as_of, as a month, at which date and label are over.
        flatness: NaN where it is null.
        facts: index to ROW_FACTS.
        net: net return.
        mfe: greatest move in bps, 0 where it is not known.
        selections: which rows each selection has.
        by_flatness: rows with a flatness, in its order.
        returns: net returns.
        costs: costs.
        symbol: number of the symbol, below `symbols`.
        symbols: how many there may be.
        ends: by level (1: of parents, 2: of groups).
        overlapping: rows of `ends`.
        no_entry: group, day, flatness and selections of events without an entry.
    """

    event_ids: pl.Series
    group: CohortInts
    parent: CohortInts
    dates: int
    months: CohortInts
    day: CohortInts
    known_from: CohortInts
    flatness: CohortFloats
    facts: CohortInts
    net: CohortFloats
    mfe: CohortFloats
    selections: dict[str, Flags]
    by_flatness: Places
    returns: Ranked
    costs: Ranked
    symbol: CohortInts
    symbols: int
    ends: dict[int, Ends]
    overlapping: Flags
    no_entry: "NoEntry"


class NoEntry(NamedTuple):
    """Events without an entry."""

    group: CohortInts
    day: CohortInts
    flatness: CohortFloats
    selections: dict[str, Flags]


def spec_rows(events: pl.DataFrame, parent: CohortInts) -> SpecRows:
    """The rows of one label_spec.

    Args:
        events: COHORT_EVENTS of the label_spec with `group`, `symbol_number` (Int64) and `day` (Date).
        parent: number of type and direction, by group.

    Raises:
        ValueError: an event with a net return lacks what its label must have, or its label ends before it starts.
    """
    labeled = (pl.col("state") == "ok") & pl.col("net_return").is_not_null()
    selected = pl.col("in_causal_sample") | pl.col("in_master")
    rows = events.filter(labeled & selected).sort("day", maintain_order=True)
    for name in _REQUIRED:
        if missing := rows[name].null_count():
            raise ValueError(f"{missing:,} events with a net return have no {name}: compute their labels again")
    if backwards := rows.filter(pl.col("t1") <= pl.col("entry_at")).height:
        raise ValueError(f"{backwards:,} events have a t1 that is not after entry_at: compute their labels again")
    others = events.filter((pl.col("state") == "no_entry") & selected)
    days = pl.concat([rows["day"], others["day"]]).unique().sort()
    group = rows["group"].to_numpy()
    level_groups = {1: parent[group], 2: group}
    flatness = _floats(rows, "flatness_score")
    ends, overlapping = _ends(rows, level_groups)
    symbol = rows["symbol_number"].to_numpy()
    return SpecRows(
        event_ids=rows["event_id"],
        group=group,
        parent=parent,
        dates=len(days),
        months=month_number(days).to_numpy(),
        day=_places(rows["day"], days),
        known_from=_known_from(rows),
        flatness=flatness,
        facts=_facts(rows),
        net=rows["net_return"].to_numpy(),
        mfe=rows["mfe_15_bps"].fill_null(0).to_numpy(),
        selections=_selections(rows),
        by_flatness=rows["flatness_score"].arg_sort(nulls_last=True).head(rows["flatness_score"].count()).to_numpy(),
        returns=_ranked(rows["net_return"]),
        costs=_ranked(rows["cost_bps"]),
        symbol=symbol,
        symbols=int(symbol.max(initial=0)) + 1,
        ends=ends,
        overlapping=overlapping,
        no_entry=NoEntry(
            others["group"].to_numpy(),
            _places(others["day"], days),
            _floats(others, "flatness_score"),
            _selections(others),
        ),
    )


def month_number(days: pl.Series) -> pl.Series:
    """Months since January of year 0."""
    return (days.dt.year().cast(pl.Int64) * 12 + days.dt.month() - 1).cast(pl.Int64)


def terciles(flatness: CohortFloats, bounds: tuple[float, float] | None) -> npt.NDArray[np.uint8]:
    """0, 1 or 2 by the bounds, which belong to the lower tercile; UNKNOWN_TERCILE of NaN, or where there are none."""
    if bounds is None:
        return np.full(len(flatness), UNKNOWN_TERCILE, np.uint8)
    found = (flatness > bounds[0]).view(np.uint8) + (flatness > bounds[1]).view(np.uint8)
    found[np.isnan(flatness)] = UNKNOWN_TERCILE
    return found


def _known_from(rows: pl.DataFrame) -> CohortInts:
    ended = month_number(rows["t1"].dt.convert_time_zone(NEW_YORK).dt.date())
    known_from: CohortInts = np.maximum(month_number(rows["day"]).to_numpy(), ended.to_numpy()) + 1
    return known_from


def _floats(rows: pl.DataFrame, name: str) -> CohortFloats:
    return rows[name].fill_null(float("nan")).to_numpy()


def _places(days: pl.Series, distinct: pl.Series) -> CohortInts:
    return distinct.search_sorted(days).cast(pl.Int64).to_numpy()


def _selections(rows: pl.DataFrame) -> dict[str, Flags]:
    return {name: rows[flag].fill_null(value=False).to_numpy() for name, flag in SELECTIONS.items()}


def _facts(rows: pl.DataFrame) -> CohortInts:
    halt = pl.col("halt_in_label").cast(pl.Int64).fill_null(2)
    parts = (pl.col("net_return") > 0, pl.col("label") + 1, pl.col("tie"), halt, pl.col("mfe_15_bps").is_not_null())
    columns = (part.cast(pl.Int64).alias(str(number)) for number, part in enumerate(parts))
    win, label, tie, halts, has_mfe = rows.select(*columns).get_columns()
    return ((((win * 3 + label) * 2 + tie) * 3 + halts) * 2 + has_mfe).to_numpy()


def _ranked(values: pl.Series) -> Ranked:
    order = values.arg_sort().to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return Ranked(place, values.to_numpy()[order])


def _ends(rows: pl.DataFrame, level_groups: dict[int, CohortInts]) -> tuple[dict[int, Ends], Flags]:
    """Starts and ends of labels that meet one of the same symbol, type and direction; others overlap in no cohort."""
    symbol = rows["symbol_number"].to_numpy()
    start = rows["entry_at"].dt.epoch("us").to_numpy() // _US_PER_MIN
    end = -(-rows["t1"].dt.epoch("us").to_numpy() // _US_PER_MIN)
    order = np.lexsort((start, symbol, level_groups[1]))
    same = np.diff(level_groups[1][order]) == 0
    same &= np.diff(symbol[order]) == 0
    # per symbol, type and direction the latest end so far
    block = np.concatenate(([0], np.cumsum(~same))) if len(order) else np.zeros(0, np.int64)
    span = np.int64(end.max() - start.min() + 1) if len(order) else np.int64(1)
    latest = np.maximum.accumulate(end[order] + block * span)
    meets = np.zeros(len(order), np.bool_)
    following = same & (latest[:-1] > start[order][1:] + block[1:] * span)
    meets[1:] |= following
    # a label that the next one meets; with those between them it is in one chain
    meets[:-1] |= following
    overlapping = np.zeros(len(order), np.bool_)
    overlapping[order[meets]] = True
    own = np.flatnonzero(overlapping)
    length = end[own] - start[own]
    both, minutes = np.concatenate((own, own)), np.concatenate((start[own], end[own]))
    sign = np.repeat(np.array([1, -1], np.int8), len(own))
    weight = sign / np.concatenate((length, length))
    found = {}
    for level, groups in level_groups.items():
        order = np.lexsort((sign, minutes, symbol[both], groups[both]))
        found[level] = Ends(
            both[order].astype(np.uint32), groups[both[order]], minutes[order], sign[order], weight[order]
        )
    return found, overlapping
