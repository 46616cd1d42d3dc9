"""Research tables that tape gives, day by day of each symbol (research specification, sections 1, 2 and 5.3)."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.micro.days import WindowsAndTape, sort_rows, spans_by_day
from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.tables.bar_tables import BAR_RECONCILIATION
from smallcaps_assets.domain.research.tape.pinned_conditions import pinned_conditions
from smallcaps_assets.domain.research.tape.reading import TapeReading, read_trade_sets
from smallcaps_assets.domain.research.tape.reconciliation import reconcile_bars, reconcile_events
from smallcaps_assets.domain.research.tape.tape_halts import (
    EVENT_TAPE_STATE,
    event_tape_state,
    find_ssr_ids,
    tape_halts,
)
from smallcaps_assets.domain.sessions import NEW_YORK, new_york_date
from smallcaps_assets.pipeline.research.tape.event_tape import tape_of_windows

# of an event's window
WINDOW_EVENT: Final = ("event_id", "symbol", "timestamp", "direction", "window_before_min", "window_after_min")

_WINDOW_MIN: Final = {"window_before_min": 3, "window_after_min": 7}


def with_default_windows(events: pl.DataFrame) -> pl.DataFrame:
    """WINDOW_EVENT of events that no file gives a window."""
    return events.with_columns(**{name: pl.lit(value, pl.Int64) for name, value in _WINDOW_MIN.items()}).select(
        WINDOW_EVENT
    )


class TapeOfDays(NamedTuple):
    """The tape of whole days of some symbols, with their events and bars.

    Attributes:
        events: events with window_before_min and window_after_min.
        others: the causal candidates that are not among them, WINDOW_EVENT.
        bars: usable bars (BARS), sorted.
        bar_halts: HALTS of confidence 1 of these symbols.
        trades: TAPE_TRADES, without `correction` if it is not known, in any order; None: no file.
        quotes: TAPE_QUOTES, in any order; None: no file.
        spans: `symbol` and `day` of each day with tape.
    """

    events: pl.DataFrame
    others: pl.DataFrame
    bars: pl.DataFrame
    bar_halts: pl.DataFrame
    trades: pl.DataFrame | None
    quotes: pl.DataFrame | None
    spans: pl.DataFrame


class TapeTables(NamedTuple):
    """The tables of some days.

    Attributes:
        micro: MICRO_FEATURES of the events.
        reconciliation: BAR_RECONCILIATION.
        halts: HALTS of confidence 2 of the events.
        of_events: EVENT_RECONCILIATION of events and others on days with tape.
        states: EVENT_TAPE_STATE of events and others on days with tape.
    """

    micro: pl.DataFrame
    reconciliation: pl.DataFrame
    halts: pl.DataFrame
    of_events: pl.DataFrame
    states: pl.DataFrame


def tables_of_tape(
    tape: TapeOfDays, conditions: pl.DataFrame, sessions: pl.DataFrame, params: ResearchParams
) -> TapeTables:
    """The tables of some days.

    Args:
        tape: tape, events and bars of these days.
        conditions: CONDITION_RULES.
        sessions: SESSION_TABLE that covers them.
        params: settings.
    """
    reading = TapeReading(conditions, sessions, params)
    events = pl.concat([tape.events.select(WINDOW_EVENT), tape.others.select(WINDOW_EVENT)])
    by_span = spans_by_day(events, tape.trades, tape.quotes, params)
    by_span = by_span._replace(trades=read_trade_sets(by_span.trades, reading))
    of_file = pl.col("event_id").is_in(tape.events["event_id"].implode())
    micro = MICRO_FEATURES.to_frame()
    if tape.events.height:
        micro = micro_features(by_span.windows.filter(of_file), by_span.trades, by_span.quotes, reading)
    minutes = _reconcile(tape, reading, params)
    dated = events.with_columns(day=new_york_date(pl.col("timestamp")))
    covered = dated.join(tape.spans, on=["symbol", "day"], how="semi", maintain_order="left")
    halts, states = _states(covered, by_span, tape, reading, params)
    return TapeTables(micro, minutes, halts.filter(of_file), _reconcile_events(covered, minutes), states)


def _reconcile(tape: TapeOfDays, reading: TapeReading, params: ResearchParams) -> pl.DataFrame:
    if tape.trades is None:
        return BAR_RECONCILIATION.to_frame()
    bounds = reading.sessions.select("date", start="premarket_open", end="afterhours_close")
    spans = tape.spans.join(bounds, left_on="day", right_on="date", how="inner").select("symbol", "start", "end")
    ordered = sort_rows(tape.trades, ("symbol", "timestamp", "sequence_number"))
    return reconcile_bars(
        ordered,
        tape.bars,
        spans.sort("symbol", "start"),
        sessions=reading.sessions,
        conditions=reading.rules,
        params=params,
    )


def _reconcile_events(events: pl.DataFrame, minutes: pl.DataFrame) -> pl.DataFrame:
    """How well tape and bars agree in the window of each event, as far as it is of the event's day."""
    day, end = pl.col("day"), pl.col("day").dt.offset_by("1d")
    start, until = (
        date.cast(pl.Datetime("us")).dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC") for date in (day, end)
    )
    windows = events.with_columns(
        window_start=pl.max_horizontal(pl.col("timestamp") - pl.duration(minutes="window_before_min"), start),
        window_end=pl.min_horizontal(pl.col("timestamp") + pl.duration(minutes="window_after_min"), until),
    )
    return reconcile_events(windows, minutes)


def _states(
    events: pl.DataFrame, by_span: WindowsAndTape, tape: TapeOfDays, reading: TapeReading, params: ResearchParams
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Halts (HALTS) that the tape of each window shows, and EVENT_TAPE_STATE."""
    if events.is_empty():
        return HALTS.to_frame(), EVENT_TAPE_STATE.to_frame()
    windows = by_span.windows.filter(pl.col("event_id").is_in(events["event_id"].implode()))
    own = tape_of_windows(events, by_span._replace(windows=windows), reading)
    both = tape.trades is not None and tape.quotes is not None
    known = own.tape if both else own.tape._replace(quotes=None)
    halts, ended = tape_halts(own.events, known, reading.sessions, params)
    # rules that are given have no names
    ssr_ids = find_ssr_ids(pinned_conditions())
    tape_or_none = None if tape.trades is None else known
    return halts, event_tape_state(own.events, tape_or_none, (halts, ended), tape.bar_halts, ssr_ids)
