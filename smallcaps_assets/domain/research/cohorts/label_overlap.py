"""How much the labels of cohorts overlap: sums of their uniqueness (research specification, 4.6 and 6.3).

Uniqueness is the mean of 1/c over the minutes of a label, c labels of its cohort and symbol holding a minute. Summed
over labels, each stretch between two ends adds its minutes over c, for every label in it divided by the label's length.
A label that meets no other one adds 1. Labels end on the date of their event: what the cohorts of levels 2 and 1 have
of a date does not depend on the sample, and is computed once. Should labels of two dates meet all the same, these are
counted for each sample.
"""

from typing import NamedTuple

import numpy as np

from smallcaps_assets.domain.research.cohorts.levels import (
    TERCILES,
    CohortFloats,
    CohortInts,
    Flags,
    Terciles,
    sorted_by,
    weighted,
)


class Labels(NamedTuple):
    """Labels, by date.

    Attributes:
        day: number of the date, ascending.
        symbol: number of the symbol.
        start: minute in which it starts.
        end: minute at which it ends, rounded up.
    """

    day: CohortInts
    symbol: CohortInts
    start: CohortInts
    end: CohortInts


class Ends(NamedTuple):
    """Starts and ends of labels, sorted by group, symbol and time, ends first.

    Attributes:
        rows: of the labels.
        group: of the labels.
        minutes: since some minute.
        sign: 1 of a start, -1 of an end.
        weight: `sign` over the length of the label in minutes.
    """

    rows: CohortInts
    group: CohortInts
    minutes: CohortInts
    sign: CohortInts
    weight: CohortFloats


class Meetings(NamedTuple):
    """Labels of the groups of a level that meet others.

    Attributes:
        groups: how many groups there are.
        single: labels that meet no other one of their group and symbol.
        daily: ends of the labels that meet others of their own date only; by date first.
        crossing: ends of labels that meet labels which meet those of another date.
    """

    groups: int
    single: Flags
    daily: Ends
    crossing: Ends


class Overlap(NamedTuple):
    """Labels of a selection in the groups of a level.

    Attributes:
        groups: how many groups there are.
        ends: of the labels that meet others of their own date only; by date first.
        first: the first of `ends` of each date, and their number.
        by_date: sum of the uniqueness of a date's labels by date and group, but for those of `crossing`.
        crossing: of labels that meet labels which meet those of another date.
    """

    groups: int
    ends: Ends
    first: CohortInts
    by_date: CohortFloats
    crossing: Ends


def find_meetings(labels: Labels, group: CohortInts, groups: int, wider: Meetings | None = None) -> Meetings:
    """Which labels meet others of their group and symbol.

    Args:
        labels: of a label_spec.
        group: of each.
        groups: how many groups there are.
        wider: meetings in groups of which these are parts; who meets nobody there meets nobody here.
    """
    symbols, dates = int(labels.symbol.max(initial=0)) + 1, int(labels.day.max(initial=0)) + 1
    began = labels.start.min(initial=np.iinfo(np.int64).max)
    span = int(labels.end.max(initial=0) - began) + 1 if len(group) else 1
    order = sorted_by((group, groups), (labels.symbol, symbols), (labels.start - began, span))
    if wider is not None:
        order = order[~wider.single[order]]
    # a chain: labels of which each meets one before it
    chain = np.flatnonzero(~_meets_the_one_before(labels, group, order, span))
    length = np.diff(np.append(chain, len(order)))
    day = labels.day[order]
    crosses = np.zeros(len(chain), np.bool_)
    if len(chain):
        crosses = np.minimum.reduceat(day, chain) != np.maximum.reduceat(day, chain)
    single, daily, crossing = (np.repeat(kind, length) for kind in (length == 1, (length > 1) & ~crosses, crosses))
    is_single = np.ones(len(group), np.bool_)
    is_single[order[~single]] = False
    keys = (group, groups), (labels.symbol, symbols)
    return Meetings(
        groups,
        is_single,
        _ends(labels, group, order[daily], ((labels.day, dates), *keys)),
        _ends(labels, group, order[crossing], keys),
    )


def select_overlap(meetings: Meetings, inside: Flags, day: CohortInts, dates: int, group: CohortInts) -> Overlap:
    """The labels of a selection.

    Args:
        meetings: of all labels of the label_spec.
        inside: which of these are in the selection.
        day: number of the date of each label of the selection.
        dates: how many dates there are.
        group: of each label of the selection.
    """
    number = np.cumsum(inside) - 1
    ends, crossing = (_some(of, inside[of.rows]) for of in (meetings.daily, meetings.crossing))
    ends, crossing = (of._replace(rows=number[of.rows]) for of in (ends, crossing))
    single, groups = meetings.single[inside], meetings.groups
    of_day = day[ends.rows]
    stretches = weighted(of_day[:-1] * groups + ends.group[:-1], _stretches(ends), dates * groups)
    singles = np.bincount(day[single] * groups + group[single], minlength=dates * groups)
    first = of_day.searchsorted(np.arange(dates + 1))
    return Overlap(groups, ends, first, (stretches + singles).reshape(dates, groups), crossing)


def effective_n(overlap: Overlap, dates: slice, rows: slice) -> CohortFloats:
    """Sum of the uniqueness of the labels of some dates by group.

    Args:
        overlap: of the labels of all dates.
        dates: some of them.
        rows: the labels of these.
    """
    total: CohortFloats = overlap.by_date[dates].sum(axis=0)
    if len(overlap.crossing.rows):
        total = total + _sums(_of_rows(overlap.crossing, rows), overlap.groups)
    return total


def finest_effective_n(overlap: Overlap, dates: slice, rows: slice, tercile: Terciles, n: CohortInts) -> CohortFloats:
    """Sum of the uniqueness of the labels of some dates by cohort of level 3.

    Args:
        overlap: of level 2.
        dates: some.
        rows: the labels of these.
        tercile: of these labels.
        n: how many of them each cohort has.
    """
    daily = slice(*overlap.first[[dates.start, dates.stop]])
    total, single = np.zeros(len(n)), n
    for ends in (_some(overlap.ends, daily), _of_rows(overlap.crossing, rows)):
        if len(ends.rows):
            of_end = tercile[ends.rows - rows.start]
            # terciles one after the other, in each by group, symbol and time as before
            order = np.argsort(of_end, kind="stable")
            sorted_ends = _some(ends, order)
            cohort = sorted_ends.group * TERCILES + of_end[order]
            total += _sums(sorted_ends._replace(group=cohort), len(total))
            single = single - np.bincount(cohort, minlength=len(n)) // 2  # a label has two ends
    return single + total


def _some(ends: Ends, which: Flags | CohortInts | slice) -> Ends:
    return Ends(ends.rows[which], ends.group[which], ends.minutes[which], ends.sign[which], ends.weight[which])


def _of_rows(ends: Ends, rows: slice) -> Ends:
    return _some(ends, (ends.rows >= rows.start) & (ends.rows < rows.stop))


def _sums(ends: Ends, groups: int) -> CohortFloats:
    return weighted(ends.group[:-1], _stretches(ends), groups)


def _stretches(ends: Ends) -> CohortFloats:
    """What the minutes from each end to the next one add to the sum of uniqueness.

    From one symbol or group to the next c is 0: all labels have ended.
    """
    count = np.cumsum(ends.sign)[:-1]
    between = np.diff(ends.minutes) * np.cumsum(ends.weight)[:-1]
    return np.divide(between, count, out=np.zeros(len(count)), where=count > 0)


def _meets_the_one_before(labels: Labels, group: CohortInts, order: CohortInts, span: int) -> Flags:
    """Whether each label starts before the latest end of those before it of its group and symbol."""
    symbol, start = labels.symbol[order], labels.start[order]
    same = np.zeros(len(order), np.bool_)
    same[1:] = (np.diff(group[order]) == 0) & (np.diff(symbol) == 0)
    # ends of one group and symbol are less than a span apart
    block = np.cumsum(~same) * span
    latest = np.maximum.accumulate(labels.end[order] + block)
    same[1:] &= latest[:-1] > start[1:] + block[1:]
    return same


def _ends(labels: Labels, group: CohortInts, rows: CohortInts, keys: tuple[tuple[CohortInts, int], ...]) -> Ends:
    """The ends of some labels, sorted by keys of all labels, then by time, ends before starts."""
    start, end = labels.start[rows], labels.end[rows]
    both, minutes = np.concatenate((rows, rows)), np.concatenate((start, end))
    if len(rows):
        minutes = minutes - start.min()
    sign = np.repeat(np.array([1, -1]), len(rows))
    length = end - start
    weight = sign / np.concatenate((length, length))
    span = int(minutes.max(initial=0)) + 1
    order = sorted_by(*((values[both], size) for values, size in keys), (minutes, span), (np.maximum(sign, 0), 2))
    rows = both[order]
    return Ends(rows, group[rows], minutes[order], sign[order], weight[order])
