"""Research tables that tape gives, day by day of each symbol (research specification, sections 1, 2 and 5.3)."""

from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.micro.days import WindowsAndTape, sort_rows, spans_by_day
from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.tables.bar_tables import BAR_RECONCILIATION
from smallcaps_assets.domain.research.tape.reading import TapeReading, read_trade_sets
from smallcaps_assets.domain.research.tape.reconciliation import reconcile_bars
from smallcaps_assets.domain.research.tape.tape_halts import tape_halts
from smallcaps_assets.pipeline.research.tape.event_tape import tape_of_windows


class TapeOfDays(NamedTuple):
    """The tape of whole days of some symbols, with their events and bars.

    Attributes:
        events: events with window_before_min and window_after_min.
        bars: usable bars (BARS), sorted.
        trades: TAPE_TRADES, without `correction` if it is not known, in any order; None: no file.
        quotes: TAPE_QUOTES, in any order; None: no file.
        spans: `symbol` and `day` of each day with tape.
    """

    events: pl.DataFrame
    bars: pl.DataFrame
    trades: pl.DataFrame | None
    quotes: pl.DataFrame | None
    spans: pl.DataFrame


class TapeTables(NamedTuple):
    """MICRO_FEATURES, BAR_RECONCILIATION and HALTS of confidence 2."""

    micro: pl.DataFrame
    reconciliation: pl.DataFrame
    halts: pl.DataFrame


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
    by_span = spans_by_day(tape.events, tape.trades, tape.quotes, params)
    by_span = by_span._replace(trades=read_trade_sets(by_span.trades, reading))
    micro = micro_features(*by_span, reading) if tape.events.height else MICRO_FEATURES.to_frame()
    with_quotes = tape.trades is not None and tape.quotes is not None
    halts = _halts(tape.events, by_span, reading, params) if with_quotes and tape.events.height else HALTS.to_frame()
    return TapeTables(micro, _reconcile(tape, reading, params), halts)


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


def _halts(events: pl.DataFrame, tape: WindowsAndTape, reading: TapeReading, params: ResearchParams) -> pl.DataFrame:
    own = tape_of_windows(events, tape, reading)
    return tape_halts(own.events, own.tape, reading.sessions, params)[0]
