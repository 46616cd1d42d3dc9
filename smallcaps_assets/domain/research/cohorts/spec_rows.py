"""The events that cohorts are made of as arrays, with numbers for their texts: those of one label_spec at a time."""

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.cohorts.label_overlap import Labels, Meetings, find_meetings
from smallcaps_assets.domain.research.cohorts.levels import CohortFloats, CohortInts, Flags, Levels
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tables import UTC_US

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
GROUP_KEYS: Final = ("event_type", "direction", "time_bucket")
_TEXTS: Final = ("label_spec", "symbol", "date", *GROUP_KEYS)
# columns without which an event with a net return cannot be in a sample
_REQUIRED: Final = ("entry_at", "t1", "tie", "label", "cost_bps")
_LABEL_FACTS: Final = ("net_return", "mfe_15_bps", "flatness_score", "halt_in_label", *_REQUIRED, *SELECTIONS.values())
# The facts of a row in one number: win, label + 1, tie, halt (2: null), and whether its greatest move is known.
_FACTS: Final = (2, 3, 2, 3, 2)
ROW_FACTS: Final = np.stack(np.unravel_index(np.arange(np.prod(_FACTS)), _FACTS))
_US_PER_MIN: Final = 60_000_000
# what an event of a selection counts as: it has a net return, a label without a cost, or no entry
_NEITHER: Final = 0
_LABELED: Final = 1
_UNCOSTED: Final = 2
_NO_ENTRY: Final = 3


class NumberedEvents(NamedTuple):
    """Events of all label specs.

    Attributes:
        rows: `spec`, `symbol`, `group` and `date` (numbers), `kind` (_LABELED, _UNCOSTED, _NO_ENTRY; _NEITHER if it is
            in no selection, or has neither a label nor a reason), and the columns of COHORT_EVENTS that are not texts.
        label_specs: ascending; their places are their numbers.
        groups: GROUP_KEYS, ascending; their places are their numbers.
        months: of each date by its number, counted from year 0.
        midnights: starts of the months from the first of `months` on, to two months after the last, in us.
    """

    rows: pl.DataFrame
    label_specs: list[str]
    groups: pl.DataFrame
    months: CohortInts
    midnights: CohortInts


class SpecRows(NamedTuple):
    """Events of one label_spec that have a net return, by date, and those that had no entry or have no cost.

    Attributes:
        row: number among all events.
        group: number of type, direction and time bucket.
        symbol: number of the symbol.
        day: number of the date.
        months: of each date by its number, counted from year 0.
        late: rows whose label is not over when the month after their date begins.
        known_from: first as_of, as a month, at which date and label of each row of `late` are over.
        flatness: NaN where it is null.
        facts: index to ROW_FACTS.
        net: net return.
        cost: in bps.
        mfe: greatest move in bps, 0 where it is not known.
        net_order: order of the net returns.
        cost_order: order of the costs.
        flatness_order: order of the rows whose flatness is known.
        parents_meetings: labels of type and direction that meet.
        groups_meetings: labels of a group that meet.
        selections: which rows each selection has.
        no_entry: events without an entry.
        uncosted: labels without a cost.
    """

    row: CohortInts
    group: CohortInts
    symbol: CohortInts
    day: CohortInts
    months: CohortInts
    late: CohortInts
    known_from: CohortInts
    flatness: CohortFloats
    facts: CohortInts
    net: CohortFloats
    cost: CohortFloats
    mfe: CohortFloats
    net_order: CohortInts
    cost_order: CohortInts
    flatness_order: CohortInts
    parents_meetings: Meetings
    groups_meetings: Meetings
    selections: dict[str, Flags]
    no_entry: "NoEntry"
    uncosted: "Uncosted"

    def unknown_at(self, as_of: int) -> CohortInts:
        """Rows of dates before `as_of`, a month, whose label is not over then."""
        return self.late[(self.months[self.day[self.late]] < as_of) & (self.known_from > as_of)]


class NoEntry(NamedTuple):
    """Events without an entry: numbers of their groups and dates, flatness (NaN where it is null), selections."""

    group: CohortInts
    day: CohortInts
    flatness: CohortFloats
    selections: dict[str, Flags]


class Uncosted(NamedTuple):
    """Labels without a cost, in the order of their months: numbers of groups, flatness (NaN where null), selections.

    Attributes:
        group: number of the group.
        month: of the date, counted from year 0, ascending.
        known_from: first as_of, as a month, at which date and label are over.
        flatness: NaN where it is null.
        selections: which of them each selection has.
    """

    group: CohortInts
    month: CohortInts
    known_from: CohortInts
    flatness: CohortFloats
    selections: dict[str, Flags]


def number_events(events: pl.DataFrame) -> NumberedEvents:
    """Numbers for the texts of COHORT_EVENTS.

    Raises:
        ValueError: an event lacks its symbol, date, label_spec, or one of GROUP_KEYS.
    """
    for name in _TEXTS:
        if missing := events[name].null_count():
            raise ValueError(f"{missing:,} events have no {name}: compute their labels again")
    distinct = events.select(pl.col(_TEXTS).unique().sort().implode())
    texts = {name: distinct[name].item() for name in _TEXTS}
    numbers = {name: pl.col(name).cast(pl.Enum(found)).to_physical() for name, found in texts.items()}
    combined = pl.lit(0, pl.Int64)
    for name in GROUP_KEYS:
        combined = combined * len(texts[name]) + numbers[name].cast(pl.Int64)
    group = events.select(combined).to_series().to_numpy()
    is_present = np.bincount(group) > 0
    present = np.flatnonzero(is_present)
    places = np.unravel_index(present, [len(texts[name]) for name in GROUP_KEYS])
    groups = {name: texts[name].gather(place) for name, place in zip(GROUP_KEYS, places, strict=True)}
    selected, costed = pl.col("in_causal_sample") | pl.col("in_master"), pl.col("net_return").is_not_null()
    kinds = (
        (_NO_ENTRY, selected & (pl.col("state") == "no_entry")),
        (_LABELED, selected & (pl.col("state") == "ok") & costed),
        (_UNCOSTED, selected & (pl.col("state") == "ok") & ~costed),
    )
    days = texts["date"].str.to_date("%Y-%m-%d")
    months = month_number(days).to_numpy()
    rows = events.select(
        *_LABEL_FACTS,
        spec=numbers["label_spec"],
        symbol=numbers["symbol"],
        group=pl.Series((np.cumsum(is_present, dtype=np.uint32) - 1)[group]),
        date=numbers["date"],
        kind=pl.coalesce(*(pl.when(of_kind).then(pl.lit(kind, pl.UInt8)) for kind, of_kind in kinds), _NEITHER),
    )
    return NumberedEvents(
        rows,
        texts["label_spec"].to_list(),
        pl.DataFrame(groups),
        months,
        _midnights(range(int(months[0]), int(months[-1]) + 3)),
    )


def spec_rows(events: NumberedEvents, label_spec: int, levels: Levels) -> SpecRows:
    """The rows of a label_spec by its number.

    Args:
        events: of all label specs.
        label_spec: number of one.
        levels: of the cohorts.

    Raises:
        ValueError: an event with a net return lacks what its label must have, or its label ends before it starts.
    """
    spec, kind, date = (events.rows[name].to_numpy() for name in ("spec", "kind", "date"))
    of_spec = np.flatnonzero(spec == label_spec)
    labeled, others, uncosted = (of_spec[kind[of_spec] == one] for one in (_LABELED, _NO_ENTRY, _UNCOSTED))
    # short numbers are sorted in linear time
    short = date[labeled].astype(np.uint16 if len(events.months) <= np.iinfo(np.uint16).max else np.uint64)
    row = labeled[np.argsort(short, kind="stable")]
    rows = events.rows[row]
    for name in _REQUIRED:
        if missing := rows[name].null_count():
            raise ValueError(f"{missing:,} events with a net return have no {name}: compute their labels again")
    if backwards := rows.filter(pl.col("t1") <= pl.col("entry_at")).height:
        raise ValueError(f"{backwards:,} events have a t1 that is not after entry_at: compute their labels again")
    columns = rows.select(
        *_numbers("group", "symbol", "date"),
        *("net_return", "cost_bps", _flatness(), _facts()),
        pl.col("mfe_15_bps").fill_null(0),
        *(pl.col(name).dt.epoch("us") for name in ("entry_at", "t1")),
        **_flags(),
    )
    by_date = {column.name: column.to_numpy() for column in columns}
    day, group, symbol, t1 = (by_date[name] for name in ("date", "group", "symbol", "t1"))
    next_month = events.months - events.months[0] + 1
    late = np.flatnonzero(t1 >= events.midnights[next_month][day])
    labels = Labels(day, symbol, by_date["entry_at"] // _US_PER_MIN, -(-t1 // _US_PER_MIN))
    parents_meetings = find_meetings(labels, levels.parent[group], levels.parents)
    known = np.flatnonzero(~np.isnan(by_date["flatness"]))
    of_others = events.rows[others].select(*_numbers("group", "date"), _flatness(), **_flags())
    return SpecRows(
        row=row,
        group=group,
        symbol=symbol,
        day=day,
        months=events.months,
        late=late,
        known_from=events.midnights.searchsorted(t1[late], side="right") + events.months[0],
        flatness=by_date["flatness"],
        facts=by_date["facts"],
        net=by_date["net_return"],
        cost=by_date["cost_bps"],
        mfe=by_date["mfe_15_bps"],
        net_order=np.argsort(by_date["net_return"]),
        cost_order=np.argsort(by_date["cost_bps"]),
        flatness_order=known[np.argsort(by_date["flatness"][known])],
        parents_meetings=parents_meetings,
        groups_meetings=find_meetings(labels, group, levels.groups, parents_meetings),
        selections={name: by_date[name] for name in SELECTIONS},
        no_entry=NoEntry(
            of_others["group"].to_numpy(),
            of_others["date"].to_numpy(),
            of_others["flatness"].to_numpy(),
            {name: of_others[name].to_numpy() for name in SELECTIONS},
        ),
        uncosted=_uncosted(events.rows[uncosted], events),
    )


def _uncosted(rows: pl.DataFrame, events: NumberedEvents) -> Uncosted:
    ended = pl.col("t1").dt.epoch("us").fill_null(0)
    by_date = rows.sort("date").select(*_numbers("group", "date"), _flatness(), t1=ended, **_flags())
    month = events.months[by_date["date"].to_numpy()]
    over = events.midnights.searchsorted(by_date["t1"].to_numpy(), side="right") + events.months[0]
    return Uncosted(
        by_date["group"].to_numpy(),
        month,
        np.maximum(month + 1, over),
        by_date["flatness"].to_numpy(),
        {name: by_date[name].to_numpy() for name in SELECTIONS},
    )


def month_number(days: pl.Series) -> pl.Series:
    """Months since January of year 0."""
    return (days.dt.year().cast(pl.Int64) * 12 + days.dt.month() - 1).cast(pl.Int64)


def _midnights(months: range) -> CohortInts:
    """When months begin in New York, in us since 1970."""
    number = pl.int_range(months.start, months.stop)
    first = pl.select(pl.date(number // 12, number % 12 + 1, 1))
    local = first.to_series().cast(pl.Datetime("us")).dt.replace_time_zone(NEW_YORK)
    return local.dt.epoch("us").to_numpy()


def _numbers(*names: str) -> list[pl.Expr]:
    return [pl.col(name).cast(pl.Int64) for name in names]


def _flatness() -> pl.Expr:
    return pl.col("flatness_score").fill_null(float("nan")).alias("flatness")


def _flags() -> dict[str, pl.Expr]:
    return {name: pl.col(flag).fill_null(value=False) for name, flag in SELECTIONS.items()}


def _facts() -> pl.Expr:
    halt = pl.col("halt_in_label").cast(pl.Int64).fill_null(2)
    parts = (pl.col("net_return") > 0, pl.col("label") + 1, pl.col("tie"), halt, pl.col("mfe_15_bps").is_not_null())
    number = pl.lit(0, pl.Int64)
    for part, size in zip(parts, _FACTS, strict=True):
        number = number * size + part.cast(pl.Int64)
    return number.alias("facts")
