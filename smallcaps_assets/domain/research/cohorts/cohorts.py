"""Cohorts of events by profile: which kinds of events paid, as it was known month by month (research spec., section 6).

Months are as-of dates: what a cohort shows at one is computed from labels that were over when the month began.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import polars.selectors as cs

from smallcaps_assets.domain.research.cohorts.figures import cohort_figures
from smallcaps_assets.domain.research.cohorts.judgement import judge_cohorts
from smallcaps_assets.domain.research.cohorts.levels import CohortInts, Levels, levels_of
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.samples import CohortSample, take_sample
from smallcaps_assets.domain.research.cohorts.selection_rows import select_rows
from smallcaps_assets.domain.research.cohorts.spec_rows import (
    GROUP_KEYS,
    SELECTIONS,
    SpecRows,
    number_events,
    spec_rows,
)
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_KEYS, COHORT_MEMBERS, COHORTS

TERCILE_NAMES: Final = ("1", "2", "3", "na")


class CohortTables(NamedTuple):
    """COHORTS and COHORT_MEMBERS, each sorted by its keys."""

    cohorts: pl.DataFrame
    members: pl.DataFrame


class _Names(NamedTuple):
    """Which cohorts there may be, and `level` and `cohort_id` of each by its number."""

    levels: Levels
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
        ValueError: an event lacks one of its keys, or one with a net return lacks what its label must have, or its
            label ends before it starts.
    """
    if events.is_empty():
        return CohortTables(COHORTS.to_frame(), COHORT_MEMBERS.to_frame())
    numbered = number_events(events)
    names = _names(numbered.groups)
    as_ofs = range(int(numbered.months[0]) + 1, int(numbered.months[-1]) + 2)
    # NumPy counts and sorts without the lock of the interpreter
    with ThreadPoolExecutor(len(SELECTIONS)) as pool:
        parts: list[Future[CohortTables]] = []
        specs = range(len(numbered.label_specs))
        # those of two at first, and of the next one before what is made of the present one, so that no thread waits
        rows = deque(pool.submit(spec_rows, numbered, number, names.levels) for number in specs[:2])
        for number, label_spec in enumerate(numbered.label_specs):
            own = rows.popleft().result()
            if number and number + 1 in specs:
                rows.append(pool.submit(spec_rows, numbered, number + 1, names.levels))

            def of_selection(selection: str, rows: SpecRows = own, label_spec: str = label_spec) -> CohortTables:
                keys = {"label_spec": pl.lit(label_spec), "selection": pl.lit(selection)}
                samples = _samples(rows, selection, names.levels, as_ofs, params)
                return _of_samples(samples, keys, names, events["event_id"], params)

            parts += [pool.submit(of_selection, selection) for selection in SELECTIONS]
        tables = [part.result() for part in parts]
    return CohortTables(
        pl.concat(table.cohorts for table in tables).sort(COHORT_KEYS),
        pl.concat(table.members for table in tables).sort("as_of", "label_spec", "selection", "cohort_id", "event_id"),
    )


def as_of_day(month: int) -> date:
    """The first day of a month that is counted from year 0."""
    return date(month // 12, month % 12 + 1, 1)


def _names(groups: pl.DataFrame) -> _Names:
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
    return _Names(levels_of(parent.to_numpy()), pl.concat(named))


def _samples(
    rows: SpecRows, selection: str, levels: Levels, as_ofs: range, params: CohortParams
) -> dict[int, CohortSample]:
    """The samples that have events before those of confirm, by as_of."""
    known = select_rows(rows, selection, levels)
    samples = {}
    for as_of in as_ofs:
        unknown = rows.unknown_at(as_of)
        own = select_rows(rows, selection, levels, unknown) if len(unknown) else known
        sample = take_sample(own, as_of, params)
        if len(sample.select_terciles):
            samples[as_of] = sample
    return samples


def _of_samples(
    samples: dict[int, CohortSample],
    keys: dict[str, pl.Expr],
    names: _Names,
    event_ids: pl.Series,
    params: CohortParams,
) -> CohortTables:
    """The cohorts of samples of one label_spec and selection, and their members.

    Args:
        samples: by as_of.
        keys: `label_spec` and `selection`.
        names: of the cohorts.
        event_ids: of all events.
        params: tests and what a winning cohort must show.
    """
    if not samples:
        return CohortTables(COHORTS.to_frame(), COHORT_MEMBERS.to_frame())
    judged = judge_cohorts(_figures(samples).with_columns(**keys), params)
    members = [COHORT_MEMBERS.to_frame()]
    for (month, as_of), own in judged.filter("winning").group_by("month", "as_of"):
        found = _members(samples[month], own["cohort"].to_numpy(), names)
        named = found.with_columns(event_ids.gather(found["row"]), **keys, as_of=pl.lit(as_of))
        members.append(named.select(*COHORT_MEMBERS).match_to_schema(COHORT_MEMBERS))
    cohorts = judged.with_columns(names.cohorts[judged["cohort"]]).select(*COHORTS).match_to_schema(COHORTS)
    return CohortTables(cohorts, pl.concat(members))


def _figures(samples: dict[int, CohortSample]) -> pl.DataFrame:
    """The figures of all samples, with `month` and `as_of`; numbers that are not defined are null."""
    parts = [cohort_figures(sample) for sample in samples.values()]
    figures = pl.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    of_samples = pl.DataFrame(
        {
            "month": list(samples),
            "as_of": [as_of_day(month) for month in samples],
            "flatness_b1": pl.Series(
                [sample.bounds and sample.bounds[0] for sample in samples.values()], dtype=pl.Float64
            ),
            "flatness_b2": pl.Series(
                [sample.bounds and sample.bounds[1] for sample in samples.values()], dtype=pl.Float64
            ),
        }
    )
    of_rows = of_samples[np.repeat(np.arange(len(parts)), [len(part["cohort"]) for part in parts])]
    return figures.with_columns(cs.float().fill_nan(None)).hstack(of_rows)


def _members(sample: CohortSample, winning: CohortInts, names: _Names) -> pl.DataFrame:
    """Row, cohort_id and part of the events of a sample that have a winning cohort: the finest."""
    is_winning = np.zeros(names.cohorts.height, np.bool_)
    is_winning[winning] = True
    finest = np.arange(names.levels.finest)
    levels = [finest, *names.levels.above(finest)]
    found = np.select([is_winning[level] for level in levels], levels, -1)
    parts = []
    for part, own, tercile in (
        ("select", sample.select, sample.select_terciles),
        ("confirm", sample.confirm, sample.confirm_terciles),
    ):
        cohort = found[sample.rows.code[own] + tercile]
        inside = np.flatnonzero(cohort >= 0)
        columns = {"row": sample.rows.row[own][inside], "cohort_id": names.cohorts["cohort_id"].gather(cohort[inside])}
        parts.append(pl.DataFrame(columns).with_columns(part=pl.lit(part)))
    return pl.concat(parts)
