"""All research tables of anybody's files, in parts of bounded size."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.quality import clean_bars, reasons
from smallcaps_assets.domain.events.detection import DetectionParams
from smallcaps_assets.domain.research.bar_tables import BAR_FEATURES, BAR_RECONCILIATION, EVENT_SCORES
from smallcaps_assets.domain.research.event_scores import event_scores
from smallcaps_assets.domain.research.halts import HALTS
from smallcaps_assets.domain.research.market_state import MARKET_STATE
from smallcaps_assets.domain.research.micro.segments import SEGMENTS
from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.sessions import SessionParams, new_york_date, with_session
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.imports.bar_tables import in_batches
from smallcaps_assets.pipeline.research.batches import DayBatch, day_batches, on_all_cores, rows_per_day
from smallcaps_assets.pipeline.research.from_bars import BarRules, BarTables, tables_of_bars
from smallcaps_assets.pipeline.research.from_tape import TapeOfDays, TapeTables, tables_of_tape
from smallcaps_assets.pipeline.research.input_tables import InputTable, collect
from smallcaps_assets.pipeline.research.inputs import ResearchInputs

_FEATURES: Final = pl.Schema({**BAR_FEATURES, **EVENT_SCORES})
# The tables by the names of their files, in order.
RESEARCH_TABLES: Final[Mapping[str, pl.Schema]] = {
    "micro_features": MICRO_FEATURES,
    "bar_reconciliation": BAR_RECONCILIATION,
    "event_bar_features": _FEATURES,
    "market_state_day": MARKET_STATE,
    "halts": HALTS,
}
# rows of a batch, of which several are in memory at a time
_BARS_AT_ONCE: Final = 250_000
_TAPE_AT_ONCE: Final = 750_000
# bounds of the calendar
_FIRST_DATE, _LAST_DATE = date(1900, 1, 1), date(2199, 12, 31)
_DAY: Final = ("symbol", "day")


class ResearchSettings(NamedTuple):
    """Settings of the research tables, of the detection of candidates, and of the sessions."""

    params: ResearchParams
    detection: DetectionParams
    sessions: SessionParams


def research_tables(
    inputs: ResearchInputs, settings: ResearchSettings, log: Callable[[str], None]
) -> dict[str, pl.DataFrame]:
    """RESEARCH_TABLES, each with the schema and in the order of its rows; empty where an input is missing.

    Args:
        inputs: the tables.
        settings: of the computation.
        log: receives a line about rows that are not usable.

    Raises:
        InputError: a file cannot be read to its end.
    """
    work = _Work(inputs, settings)
    of_bars = list(on_all_cores(work.of_bars, work.bar_batches))
    of_bars.append(work.without_bars())
    of_tape = list(on_all_cores(work.of_tape, work.tape_batches))
    rejected = reasons(pl.concat(part.rejected for part in of_bars))
    for reason, count in rejected.items():
        log(f"--bars: {count:,} rows left out: {reason}")
    scored = pl.concat(part.scored for part in of_bars)
    features = pl.concat(part.features for part in of_bars)
    halts = pl.concat([*(part.halts for part in of_bars), *(part.halts for part in of_tape)])
    tables = {
        "micro_features": _all(MICRO_FEATURES, [part.micro for part in of_tape]).sort(
            "event_id", pl.col("segment").cast(pl.Enum(list(SEGMENTS)))
        ),
        "bar_reconciliation": _all(BAR_RECONCILIATION, [part.reconciliation for part in of_tape]).sort(
            "symbol", "timestamp"
        ),
        "event_bar_features": _with_scores(features, work.scores(scored)),
        "market_state_day": pl.concat(part.days for part in of_bars).sort("symbol", "date"),
        "halts": halts.sort("symbol", "start", "confidence", "event_id"),
    }
    return {name: tables[name].select(*schema).match_to_schema(schema) for name, schema in RESEARCH_TABLES.items()}


def _all(schema: pl.Schema, parts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([schema.to_frame(), *parts])


def _with_scores(features: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    ordered = features.sort("symbol", "timestamp", "event_type", maintain_order=True)
    return ordered.join(scores, on="event_id", how="left", maintain_order="left")


class _Work:
    """What is computed of the inputs, batch by batch."""

    def __init__(self, inputs: ResearchInputs, settings: ResearchSettings) -> None:
        self._inputs, self._settings = inputs, settings
        of_bars = _count_days(inputs.bars)
        tape = [table for table in (inputs.trades, inputs.quotes) if table is not None]
        of_tape = [_count_days(table) for table in tape]
        dated = inputs.events.with_columns(day=new_york_date(pl.col("timestamp")))
        of_events = dated.group_by(_DAY).agg(rows=pl.lit(0, pl.UInt32))
        days = pl.concat([of_bars, *of_tape, of_events])["day"]
        self._days = pl.concat([of_bars.clear(), *of_tape]).select(_DAY).unique().sort(_DAY)
        self._sessions = self._table_of_sessions(days)
        self._events = with_session(dated.rename({"session": "given"}), self._sessions).with_columns(
            session=pl.coalesce("given", pl.col("session").cast(pl.String)),
            date=pl.coalesce("date", dated["day"].dt.to_string("%Y-%m-%d")),
            day=dated["day"],
        )
        self._with_bars = of_bars["symbol"].unique()
        by_symbol = of_bars.group_by("symbol").agg(pl.col("rows").sum()).sort("symbol")
        batches = in_batches(zip(by_symbol["symbol"], by_symbol["rows"], strict=True), _BARS_AT_ONCE)
        self.bar_batches = [[symbol for symbol, _ in batch] for batch in batches]
        self.tape_batches = day_batches(pl.concat([*of_tape, of_events]), _TAPE_AT_ONCE) if tape else []

    def _table_of_sessions(self, days: pl.Series) -> pl.DataFrame:
        known = days.filter(days.is_between(_FIRST_DATE, _LAST_DATE))
        first, last = known.min() or _FIRST_DATE, known.max() or _FIRST_DATE
        earlier = self._settings.detection.features.rvol_sessions
        return sessions_and_earlier(first, last, earlier, self._settings.sessions)  # type: ignore[arg-type]  # dates

    @property
    def _rules(self) -> BarRules:
        return BarRules(self._sessions, self._settings.detection, self._settings.params)

    def of_bars(self, batch: list[str]) -> BarTables:
        """The tables of all bars of some symbols."""
        symbols = pl.col("symbol").is_in(batch)
        bars = collect(self._inputs.bars.files, self._inputs.bars.rows.filter(symbols))
        return tables_of_bars(bars, self._events.filter(symbols), self._rules)

    def without_bars(self) -> BarTables:
        """The tables of events whose symbols have no bars."""
        others = self._events.filter(~pl.col("symbol").is_in(self._with_bars.implode()))
        return tables_of_bars(BARS.to_frame(), others, self._rules)

    def of_tape(self, batch: DayBatch) -> TapeTables:
        """The tables of the tape of some days."""
        inputs, is_in = self._inputs, pl.col("symbol").is_in(list(batch.symbols))
        is_in &= pl.col("day").is_between(batch.first, batch.last)
        events = self._events.filter(is_in)
        quotes = trades = None
        if inputs.trades is not None:
            trades = collect(inputs.trades.files, batch.rows_of(inputs.trades.rows))
            trades = trades if "correction" in inputs.trades.present else trades.drop("correction")
        if inputs.quotes is not None:
            # quotes of other symbols than those of events are not needed
            own = batch._replace(symbols=tuple(events["symbol"].unique().sort()))
            quotes = collect(inputs.quotes.files, own.rows_of(inputs.quotes.rows))
        bars = BARS.to_frame()
        if trades is not None:
            bars = clean_bars(collect(inputs.bars.files, batch.rows_of(inputs.bars.rows))).good
        tape = TapeOfDays(events, bars, trades, quotes, self._days.filter(is_in))
        return tables_of_tape(tape, inputs.conditions, self._sessions, self._settings.params)

    def scores(self, scored: pl.DataFrame) -> pl.DataFrame:
        """EVENT_SCORES of the events that have a score."""
        if not self._inputs.scored:
            return EVENT_SCORES.to_frame()
        return event_scores(scored.filter(pl.col("score").is_not_null()), self._sessions, self._settings.params)


def _count_days(table: InputTable) -> pl.DataFrame:
    counts = collect(table.files, rows_per_day(table.rows))
    return counts.drop_nulls(_DAY)
