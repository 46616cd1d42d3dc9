"""The events of one label_spec and selection, with all that does not depend on the as_of."""

from typing import NamedTuple

import numpy as np

from smallcaps_assets.domain.research.cohorts.label_overlap import Overlap, select_overlap
from smallcaps_assets.domain.research.cohorts.levels import TERCILES, CohortFloats, CohortInts, Levels, weighted
from smallcaps_assets.domain.research.cohorts.ranks import Ranked, WindowRanks, rank_values, rank_windows
from smallcaps_assets.domain.research.cohorts.spec_rows import ROW_FACTS, SpecRows


class SelectionRows(NamedTuple):
    """Events of a selection that have a net return, by date, so that a sample is a slice of them.

    A cell is the number of a bucket that events are counted in; that of an event of tercile 0, to which the others add.

    Attributes:
        levels: of the cohorts.
        row: number among all events.
        months: of each date with events, counted from year 0, ascending.
        first: first row of each date, and the number of rows.
        code: group x TERCILES, the number of the first cohort of level 3.
        fact_cell: code and index to ROW_FACTS.
        date_cell: number of the date and code.
        net: net return.
        mfe: greatest move in bps, 0 where it is not known.
        flatness: its order.
        returns: order of the net returns.
        costs: order of the costs.
        pairs: of groups and symbols.
        by_date: events and sum of net returns of each date, by cohort of level 2, then of level 1.
        parents_overlap: of labels in the cohorts of level 1.
        groups_overlap: of labels in the cohorts of level 2.
        no_entry: events without an entry on these dates.
        uncosted: labels without a cost, on any date.
    """

    levels: Levels
    row: CohortInts
    months: CohortInts
    first: CohortInts
    code: CohortInts
    fact_cell: CohortInts
    date_cell: CohortInts
    net: CohortFloats
    mfe: CohortFloats
    flatness: WindowRanks
    returns: Ranked
    costs: Ranked
    pairs: "Pairs"
    by_date: tuple[CohortInts, CohortFloats]
    parents_overlap: Overlap
    groups_overlap: Overlap
    no_entry: "NoEntryRows"
    uncosted: "UncostedRows"


class Pairs(NamedTuple):
    """Groups with a symbol that they have events of, ascending.

    Attributes:
        pair: of each row.
        of_parents: the pair of parent and symbol that each pair is part of; these are ascending too.
        starts: of level 3, 2 and 1: the first pair of each cohort that has pairs, and the numbers of these cohorts. Of
            level 3 all pairs of tercile 0 come first, then those of 1, 2 and 3.
    """

    pair: CohortInts
    of_parents: CohortInts
    starts: tuple[tuple[CohortInts, CohortInts], ...]


class NoEntryRows(NamedTuple):
    """Events without an entry, by date: their code and flatness, and the first of each date, and how many there are."""

    code: CohortInts
    flatness: CohortFloats
    first: CohortInts


class UncostedRows(NamedTuple):
    """Labels without a cost, by month: their code and flatness, month of the date, and first as_of they are over at."""

    code: CohortInts
    flatness: CohortFloats
    month: CohortInts
    known_from: CohortInts


def select_rows(rows: SpecRows, selection: str, levels: Levels, unknown: CohortInts | None = None) -> SelectionRows:
    """The rows of a selection.

    Args:
        rows: of the label_spec.
        selection: key of SELECTIONS.
        levels: of the cohorts.
        unknown: rows that are left out, if any.
    """
    inside = rows.selections[selection].copy()
    if unknown is not None:
        inside[unknown] = False
    own = np.flatnonzero(inside)
    group, symbol = rows.group[own], rows.symbol[own]
    day = rows.day[own]
    is_present = np.bincount(day, minlength=len(rows.months)) > 0
    present = np.flatnonzero(is_present)
    dates = len(present)
    day = (np.cumsum(is_present) - 1)[day]
    code = group * TERCILES
    number = np.cumsum(inside) - 1
    net_order, cost_order, flatness_order = (
        number[order[inside[order]]] for order in (rows.net_order, rows.cost_order, rows.flatness_order)
    )
    net = rows.net[own]
    group_cell, parent_cell = day * levels.groups + group, day * levels.parents + levels.parent[group]
    counts = [
        np.bincount(cell, minlength=dates * of_level).reshape(dates, of_level)
        for cell, of_level in ((group_cell, levels.groups), (parent_cell, levels.parents))
    ]
    totals = [
        weighted(cell, net, dates * of_level).reshape(dates, of_level)
        for cell, of_level in ((group_cell, levels.groups), (parent_cell, levels.parents))
    ]
    return SelectionRows(
        levels=levels,
        row=rows.row[own],
        months=rows.months[present],
        first=day.searchsorted(np.arange(dates + 1)),
        code=code,
        fact_cell=code * ROW_FACTS.shape[1] + rows.facts[own],
        date_cell=day * levels.finest + code,
        net=net,
        mfe=rows.mfe[own],
        flatness=rank_windows(rows.flatness[own], flatness_order, day, dates),
        returns=rank_values(net, net_order, code),
        costs=rank_values(rows.cost[own], cost_order, code),
        pairs=_pairs(levels, group, symbol),
        by_date=(np.concatenate(counts, axis=1), np.concatenate(totals, axis=1)),
        parents_overlap=select_overlap(rows.parents_meetings, inside, day, dates, levels.parent[group]),
        groups_overlap=select_overlap(rows.groups_meetings, inside, day, dates, group),
        no_entry=_no_entry(rows, selection, present),
        uncosted=_uncosted(rows, selection),
    )


def _pairs(levels: Levels, group: CohortInts, symbol: CohortInts) -> Pairs:
    symbols = int(symbol.max(initial=0)) + 1
    cell = group * symbols + symbol
    counts = np.bincount(cell, minlength=levels.groups * symbols)
    pairs = np.flatnonzero(counts)
    pair = (np.cumsum(counts > 0) - 1)[cell]
    of_pair = pairs // symbols
    groups, first = np.unique(of_pair, return_index=True)
    of_parents, which = np.unique(levels.parent[of_pair] * symbols + pairs % symbols, return_inverse=True)
    parents, first_of_parents = np.unique(of_parents // symbols, return_index=True)
    tercile = np.arange(TERCILES)[:, None]
    starts = (
        ((first + tercile * len(pairs)).ravel(), (groups * TERCILES + tercile).ravel()),
        (first, groups + levels.finest),
        (first_of_parents, parents + levels.finest + levels.groups),
    )
    return Pairs(pair, which, starts)


def _no_entry(rows: SpecRows, selection: str, present: CohortInts) -> NoEntryRows:
    """Those of dates on which the selection has events with a net return."""
    others = rows.no_entry
    place = np.minimum(present.searchsorted(others.day), max(len(present) - 1, 0))
    inside = others.selections[selection] & np.isin(others.day, present)
    own = np.flatnonzero(inside)
    own = own[np.argsort(place[own], kind="stable")]
    first = place[own].searchsorted(np.arange(len(present) + 1))
    return NoEntryRows(others.group[own] * TERCILES, others.flatness[own], first)


def _uncosted(rows: SpecRows, selection: str) -> UncostedRows:
    others = rows.uncosted
    own = np.flatnonzero(others.selections[selection])
    return UncostedRows(others.group[own] * TERCILES, others.flatness[own], others.month[own], others.known_from[own])
