"""Cohorts of events by profile: which kinds of events paid, as it was known month by month (research spec., section 6).

Months are as-of dates: what a cohort shows at one is computed from labels that were over when the month began.
"""

from datetime import date
from itertools import product
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from smallcaps_assets.domain.research.cohorts.figures import cohort_figures
from smallcaps_assets.domain.research.cohorts.judgement import judge_cohorts
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.samples import CohortSample, take_sample
from smallcaps_assets.domain.research.cohorts.spec_rows import (
    COHORT_EVENTS,
    SELECTIONS,
    TERCILES,
    CohortInts,
    SpecRows,
    month_number,
    spec_rows,
)
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_KEYS, COHORT_MEMBERS, COHORTS

GROUP_KEYS: Final = ("event_type", "direction", "time_bucket")
TERCILE_NAMES: Final = ("1", "2", "3", "na")


class CohortTables(NamedTuple):
    """COHORTS and COHORT_MEMBERS, each sorted by its keys."""

    cohorts: pl.DataFrame
    members: pl.DataFrame


class _Names(NamedTuple):
    """The number of each group's parent, and level and cohort_id of every cohort by its number (see figures)."""

    parent: CohortInts
    cohorts: pl.DataFrame


def cohort_tables(events: pl.DataFrame, params: CohortParams) -> CohortTables:
    """The cohorts of every as_of, label_spec and selection, and the events of those that are winning.

    as_of is the first day of a month, from the month after the first event to the month after the last. Without
    candidates (`in_causal_sample` null) all cohorts are of the selection `master`. `part` of a member is `select` or
    `confirm`.

    Args:
        events: COHORT_EVENTS and perhaps more columns, in any order; (event_id, label_spec) is unique.
        params: sample, tests and what a winning cohort must show.

    Raises:
        ValueError: an event with a net return lacks what its label must have, or its label ends before it starts.
    """
    if events.is_empty():
        return CohortTables(COHORTS.to_frame(), COHORT_MEMBERS.to_frame())
    names = _names(events)
    prepared = _prepared(events)
    months = month_number(prepared["day"])
    as_ofs = range(int(months.min()) + 1, int(months.max()) + 2)  # type: ignore[arg-type]  # numbers
    tables: list[CohortTables] = []
    for label_spec in sorted(prepared["label_spec"].unique()):
        rows = spec_rows(prepared.filter(label_spec=label_spec), names.parent)
        tables.append(_of_spec(rows, names, as_ofs, label_spec, params))
    return CohortTables(
        pl.concat(table.cohorts for table in tables).sort(COHORT_KEYS),
        pl.concat(table.members for table in tables).sort("as_of", "label_spec", "selection", "cohort_id", "event_id"),
    )


def as_of_day(month: int) -> date:
    """The first day of a month that is counted from year 0."""
    return date(month // 12, month % 12 + 1, 1)


def _names(events: pl.DataFrame) -> _Names:
    groups = events.select(GROUP_KEYS).unique().sort(GROUP_KEYS)
    parent = groups.select(pl.struct("event_type", "direction").rle_id().cast(pl.Int64)).to_series()
    keys = pl.concat_str(GROUP_KEYS, separator="|")
    finest = groups.join(pl.DataFrame({"tercile": TERCILE_NAMES}), how="cross", maintain_order="left_right")
    levels = (
        ("L3", finest, pl.concat_str(keys, "tercile", separator="|")),
        ("L2", groups, keys),
        (
            "L1",
            groups.unique(["event_type", "direction"], maintain_order=True),
            pl.concat_str(GROUP_KEYS[:2], separator="|"),
        ),
    )
    named = [
        of.select(level=pl.lit(level), cohort_id=pl.concat_str(pl.lit(level), name, separator="|"))
        for level, of, name in levels
    ]
    return _Names(parent.to_numpy(), pl.concat(named))


def _prepared(events: pl.DataFrame) -> pl.DataFrame:
    """The columns that are needed, with numbers for texts."""
    groups = events.select(GROUP_KEYS).unique().sort(GROUP_KEYS).with_row_index("group")
    return (
        events.select(*COHORT_EVENTS)
        .join(groups, on=GROUP_KEYS, how="left", maintain_order="left")
        .with_columns(
            pl.col("group").cast(pl.Int64),
            symbol_number=pl.col("symbol").rank("dense").cast(pl.Int64),
            day=pl.col("date").str.to_date("%Y-%m-%d"),
        )
        .drop(*GROUP_KEYS, "date")
    )


def _of_spec(rows: SpecRows, names: _Names, as_ofs: range, label_spec: str, params: CohortParams) -> CohortTables:
    figures = pl.DataFrame(_figures(rows, as_ofs, params))
    if figures.is_empty():
        return CohortTables(COHORTS.to_frame(), COHORT_MEMBERS.to_frame())
    days = pl.DataFrame({"month": as_ofs, "as_of": [as_of_day(month) for month in as_ofs]})
    figures = figures.join(days, on="month", how="left", maintain_order="left").with_columns(
        cs.float().fill_nan(None), label_spec=pl.lit(label_spec)
    )
    judged = judge_cohorts(figures, params).with_columns(names.cohorts[figures["cohort"]])
    members = [COHORT_MEMBERS.to_frame()]
    for (selection, month), own in judged.filter("winning").group_by("selection", "month"):
        sample = take_sample(rows, str(selection), month, params)
        member_of = _members(rows, sample, own["cohort"].to_numpy(), names)
        keys = own.select("as_of", "label_spec", "selection").head(1)
        members.append(member_of.join(keys, how="cross").select(*COHORT_MEMBERS).match_to_schema(COHORT_MEMBERS))
    return CohortTables(judged.select(*COHORTS).match_to_schema(COHORTS), pl.concat(members))


def _figures(rows: SpecRows, as_ofs: range, params: CohortParams) -> dict[str, npt.NDArray[np.generic]]:
    """The figures of all samples; numbers that are not defined are NaN."""
    parts = []
    for selection, as_of in product(SELECTIONS, as_ofs):
        sample = take_sample(rows, selection, as_of, params)
        if not len(sample.select):
            continue
        figures = cohort_figures(rows, sample, selection)
        low, high = sample.bounds or (np.nan, np.nan)
        of_sample = {"month": as_of, "selection": selection, "flatness_b1": low, "flatness_b2": high}
        parts.append(figures | {name: np.full(len(figures["cohort"]), value) for name, value in of_sample.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def _members(rows: SpecRows, sample: CohortSample, winning: CohortInts, names: _Names) -> pl.DataFrame:
    """event_id, cohort_id and part of the events of a sample that have a winning cohort: the finest."""
    is_winning = np.zeros(names.cohorts.height, np.bool_)
    is_winning[winning] = True
    parts = []
    for part, own, tercile in (
        ("select", sample.select, sample.select_terciles),
        ("confirm", sample.confirm, sample.confirm_terciles),
    ):
        group = rows.group[own]
        finest, groups = len(names.parent) * TERCILES, len(names.parent)
        levels = (group * TERCILES + tercile, finest + group, finest + groups + names.parent[group])
        cohort = np.select([is_winning[level] for level in levels], levels, -1)
        found = np.flatnonzero(cohort >= 0)
        columns = {"event_id": rows.event_ids[own[found]], "cohort_id": names.cohorts["cohort_id"][cohort[found]]}
        parts.append(pl.DataFrame(columns).with_columns(part=pl.lit(part)))
    return pl.concat(parts)
