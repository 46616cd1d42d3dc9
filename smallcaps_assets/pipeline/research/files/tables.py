"""All research tables of anybody's files, in parts of bounded size."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.quality import clean_bars, reasons
from smallcaps_assets.domain.events.detection import DetectionParams
from smallcaps_assets.domain.manifests.selection import RankingParams
from smallcaps_assets.domain.research.bars.event_scores import event_scores
from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.bars.market_state import MARKET_STATE
from smallcaps_assets.domain.research.cohorts.cohorts import cohort_tables
from smallcaps_assets.domain.research.cohorts.events import LABEL_FACTS, OUTCOME_FACTS, PRE_FACTS, cohort_events
from smallcaps_assets.domain.research.micro.days import sort_rows
from smallcaps_assets.domain.research.micro.segments import SEGMENTS
from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.outcomes.barriers import LABEL_SPECS
from smallcaps_assets.domain.research.outcomes.event_costs import OWN_COSTS, event_costs, net_outcomes
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.tables.bar_tables import (
    BAR_FEATURES,
    BAR_RECONCILIATION,
    EVENT_RECONCILIATION,
    EVENT_SCORES,
)
from smallcaps_assets.domain.research.tables.cohort_tables import COHORTS
from smallcaps_assets.domain.research.tables.enriched_table import (
    ENRICHED,
    WITH_WAVES,
    EnrichedParts,
    enrich_events,
    events_with_waves,
)
from smallcaps_assets.domain.research.tables.label_tables import EVENT_LABELS, LABELS_WITH_COSTS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_WAVES
from smallcaps_assets.domain.research.tape.tape_halts import EVENT_TAPE_STATE
from smallcaps_assets.domain.sessions import SessionParams, new_york_date, with_session
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.imports.bar_tables import in_batches
from smallcaps_assets.pipeline.research.bars.from_bars import BarRules, BarTables, tables_of_bars
from smallcaps_assets.pipeline.research.batches import DayBatch, at_once, day_batches, on_all_cores
from smallcaps_assets.pipeline.research.files.from_tape import TapeOfDays, tables_of_tape, with_default_windows
from smallcaps_assets.pipeline.research.files.inputs import ResearchInputs
from smallcaps_assets.pipeline.research.table_parts import OrderedTable, TableParts, ordered_frame

_FEATURES: Final = pl.Schema({**BAR_FEATURES, **EVENT_SCORES})
# The tables by the names of their files, in order.
RESEARCH_TABLES: Final[Mapping[str, pl.Schema]] = {
    "micro_features": MICRO_FEATURES,
    "bar_reconciliation": BAR_RECONCILIATION,
    "event_bar_features": _FEATURES,
    "event_waves": EVENT_WAVES,
    "event_labels": LABELS_WITH_COSTS,
    "market_state_day": MARKET_STATE,
    "halts": HALTS,
    "cohorts": COHORTS,
    "events_with_waves_enriched": ENRICHED,
}
# what cohorts are made of
_COHORT_PARTS: Final = ("event_labels", "events_with_waves_enriched", "event_bar_features")
_LEGS: Final = ("event_id", "leg")
# the order of rows of micro_features
SEGMENT_ORDER: Final = ("event_id", pl.col("segment").cast(pl.Enum(list(SEGMENTS))))
# that of event_labels
LABEL_ORDER: Final = ("event_id", pl.col("label_spec").cast(pl.Enum([spec.name for spec in LABEL_SPECS])))
# rows of all batches that are in memory at a time, and events whose rows are merged at a time
BARS_AT_ONCE: Final = 500_000
TAPE_AT_ONCE: Final = 1_000_000
EVENTS_AT_ONCE: Final = 10_000
# bounds of the calendar
_FIRST_DATE, _LAST_DATE = date(1900, 1, 1), date(2199, 12, 31)
_DAY: Final = ("symbol", "day")
# of tape
_ORDER: Final = ("symbol", "timestamp", "sequence_number")


class ResearchSettings(NamedTuple):
    """Settings of the research tables, of the detection of candidates, of the sessions, and of the time buckets."""

    params: ResearchParams
    detection: DetectionParams
    sessions: SessionParams
    ranking: RankingParams


def research_tables(
    inputs: ResearchInputs, settings: ResearchSettings, folder: Path, log: Callable[[str], None]
) -> dict[str, OrderedTable]:
    """RESEARCH_TABLES, each with the schema and in the order of its rows; empty where an input is missing.

    Args:
        inputs: the tables.
        settings: of the computation.
        folder: an existing folder for parts of the tables, which are read when the tables are.
        log: receives a line about rows that are not usable.

    Raises:
        InputError: a file cannot be read to its end.
    """
    work = _Work(inputs, settings, folder)
    of_bars = [*on_all_cores(work.of_bars, enumerate(work.bar_batches)), work.without_bars()]
    bar_halts = pl.concat(part.halts for part in of_bars)
    work.prepare_tape(pl.concat(part.others for part in of_bars), bar_halts)
    of_tape = list(on_all_cores(work.of_tape, enumerate(work.tape_batches)))
    for name in ("trades", "quotes"):
        repeated = sum(part.repeated.get(name, 0) for part in of_tape)
        if repeated:
            log(f"--{name}: {repeated:,} rows repeat {', '.join(_ORDER)} of another one; they count as well")
    for reason, count in reasons(pl.concat(part.rejected for part in of_bars)).items():
        log(f"--bars: {count:,} rows left out: {reason}")
    halts = pl.concat([bar_halts, *(part.halts for part in of_tape)])
    scored = pl.concat(part.scored for part in of_bars)
    scores = work.scores(scored)
    costs = work.costs(pl.concat(part.costed for part in of_bars), [part.costs for part in of_tape])
    parts = work.parts
    labels = _with_costs(
        parts["event_labels"].merged("event_id", costs["event_id"].sort(), EVENTS_AT_ONCE, LABEL_ORDER), costs
    )
    return {
        "micro_features": parts["micro_features"].merged(
            "event_id", inputs.events["event_id"], EVENTS_AT_ONCE, SEGMENT_ORDER
        ),
        "bar_reconciliation": parts["bar_reconciliation"].one_after_another(),
        "event_bar_features": _with_scores(parts["event_bar_features"].one_after_another(), scores),
        "event_waves": parts["event_waves"].merged("event_id", scored["event_id"].sort(), EVENTS_AT_ONCE, _LEGS),
        "event_labels": labels,
        "market_state_day": parts["market_state_day"].one_after_another(),
        "halts": ordered_frame(halts.sort("symbol", "start", "confidence", "event_id").match_to_schema(HALTS)),
        "cohorts": ordered_frame(work.cohorts(costs)),
        "events_with_waves_enriched": _enriched(
            parts["events_with_waves_enriched"].one_after_another(),
            EnrichedParts(
                scores,
                pl.concat([EVENT_RECONCILIATION.to_frame(), *(part.of_events for part in of_tape)]),
                pl.concat([EVENT_TAPE_STATE.to_frame(), *(part.states for part in of_tape)]),
            ),
        ),
    }


def _with_scores(features: OrderedTable, scores: pl.DataFrame) -> OrderedTable:
    def frames() -> Iterator[pl.DataFrame]:
        for part in features.frames():
            yield part.join(scores, on="event_id", how="left", maintain_order="left").match_to_schema(_FEATURES)

    return OrderedTable(_FEATURES, features.height, frames)


def _columns_of(table: OrderedTable, names: Sequence[str]) -> pl.DataFrame:
    return pl.concat([table.schema.to_frame().select(names), *(part.select(names) for part in table.frames())])


def _enriched(outcomes: OrderedTable, parts: EnrichedParts) -> OrderedTable:
    def frames() -> Iterator[pl.DataFrame]:
        return (enrich_events(part, parts) for part in outcomes.frames())

    return OrderedTable(ENRICHED, outcomes.height, frames)


def _with_costs(labels: OrderedTable, costs: pl.DataFrame) -> OrderedTable:
    def frames() -> Iterator[pl.DataFrame]:
        for part in labels.frames():
            first, last = (pl.lit(bound, pl.String) for bound in (part["event_id"].min(), part["event_id"].max()))
            own = costs.filter(pl.col("event_id").is_between(first, last))
            net = net_outcomes(part, own).drop("event_id", "label_spec")
            yield part.hstack(net).match_to_schema(LABELS_WITH_COSTS)

    return OrderedTable(LABELS_WITH_COSTS, labels.height, frames)


def _count_repeated(rows: pl.DataFrame) -> int:
    """How many rows, sorted, have the key of the row before; a row without a number repeats none."""
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in _ORDER)
    return int(rows.select(same.sum()).item())


class _OfBars(NamedTuple):
    """What of a batch of bars is kept in memory; see BarTables. `others`: events that are not in the file of events."""

    scored: pl.DataFrame
    costed: pl.DataFrame
    halts: pl.DataFrame
    rejected: pl.DataFrame
    others: pl.DataFrame


class _OfTape(NamedTuple):
    """What of a batch of tape is kept in memory; see TapeTables.

    Attributes:
        halts: HALTS of confidence 2.
        of_events: EVENT_RECONCILIATION.
        states: EVENT_TAPE_STATE.
        costs: OWN_COSTS.
        repeated: how many rows of trades and quotes repeat another one.
    """

    halts: pl.DataFrame
    of_events: pl.DataFrame
    states: pl.DataFrame
    costs: pl.DataFrame
    repeated: Mapping[str, int]


class _Work:
    """What is computed of the inputs, batch by batch; most of it is put into `parts`."""

    def __init__(self, inputs: ResearchInputs, settings: ResearchSettings, folder: Path) -> None:
        self._inputs, self._settings = inputs, settings
        of_bars = inputs.bars.per_day
        of_tape = [index.per_day for index in (inputs.trades, inputs.quotes) if index is not None]
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
        batches = in_batches(zip(by_symbol["symbol"], by_symbol["rows"], strict=True), at_once(BARS_AT_ONCE))
        self.bar_batches = [[symbol for symbol, _ in batch] for batch in batches]
        self.tape_batches = day_batches(pl.concat([*of_tape, of_events]), at_once(TAPE_AT_ONCE)) if of_tape else []
        schemas = {
            **RESEARCH_TABLES,
            "event_bar_features": BAR_FEATURES,
            "event_labels": EVENT_LABELS,
            "events_with_waves_enriched": WITH_WAVES,
        }
        self.parts = {name: TableParts(folder, name, schema) for name, schema in schemas.items()}

    def _table_of_sessions(self, days: pl.Series) -> pl.DataFrame:
        known = days.filter(days.is_between(_FIRST_DATE, _LAST_DATE))
        first, last = known.min() or _FIRST_DATE, known.max() or _FIRST_DATE
        earlier = self._settings.detection.features.rvol_sessions
        return sessions_and_earlier(first, last, earlier, self._settings.sessions)  # type: ignore[arg-type]  # dates

    @property
    def _rules(self) -> BarRules:
        return BarRules(self._sessions, self._settings.detection, self._settings.params)

    def of_bars(self, batch: tuple[int, list[str]]) -> _OfBars:
        """The tables of all bars of some symbols."""
        number, symbols = batch
        own = self._events.filter(pl.col("symbol").is_in(symbols))
        found = tables_of_bars(self._inputs.bars.read_symbols(symbols), own, self._rules)
        features = found.features.sort("symbol", "timestamp", "event_type", maintain_order=True)
        self.parts["event_bar_features"].add(number, features)
        self.parts["event_labels"].add(number, found.labels)
        self.parts["event_waves"].add(number, found.waves.sort(_LEGS))
        self.parts["events_with_waves_enriched"].add(number, events_with_waves(found.events, found.outcomes))
        self.parts["market_state_day"].add(number, found.days.sort("symbol", "date"))
        return self._kept(found)

    def without_bars(self) -> _OfBars:
        """What the events whose symbols have no bars give."""
        others = self._events.filter(~pl.col("symbol").is_in(self._with_bars.implode()))
        found = tables_of_bars(BARS.to_frame(), others, self._rules)
        return self._kept(found)

    def _kept(self, found: BarTables) -> _OfBars:
        others = found.events.filter(~pl.col("event_id").is_in(self._events["event_id"].implode()))
        return _OfBars(found.scored, found.costed, found.halts, found.rejected, with_default_windows(others))

    def prepare_tape(self, others: pl.DataFrame, bar_halts: pl.DataFrame) -> None:
        """Set what tape is read for besides the events of the file, before `of_tape`.

        Args:
            others: the causal candidates that are not among these, WINDOW_EVENT.
            bar_halts: HALTS that bars show.
        """
        dated = others.with_columns(day=new_york_date(pl.col("timestamp")))
        self._others = dated.join(self._days, on=_DAY, how="semi", maintain_order="left")
        self._bar_halts = bar_halts

    def of_tape(self, numbered: tuple[int, DayBatch]) -> _OfTape:
        """The tables of the tape of some days."""
        number, batch = numbered
        inputs, is_in = self._inputs, batch.holds("symbol", "day")
        events, others = self._events.filter(is_in), self._others.filter(is_in)
        trades = quotes = None
        bars = BARS.to_frame()
        if inputs.trades is not None:
            trades = sort_rows(inputs.trades.read(batch), _ORDER)
            trades = trades if "correction" in inputs.trades.table.present else trades.drop("correction")
            bars = clean_bars(inputs.bars.read(batch)).good
        if inputs.quotes is not None:
            # quotes of other symbols than those of events are not needed
            own = batch._replace(symbols=tuple(pl.concat([events["symbol"], others["symbol"]]).unique().sort()))
            quotes = sort_rows(inputs.quotes.read(own), _ORDER)
        bar_halts = self._bar_halts.filter(pl.col("symbol").is_in(list(batch.symbols)))
        tape = TapeOfDays(events, others, bars, bar_halts, trades, quotes, self._days.filter(is_in))
        found = tables_of_tape(tape, inputs.conditions, self._sessions, self._settings.params)
        self.parts["micro_features"].add(number, found.micro)
        self.parts["bar_reconciliation"].add(number, found.reconciliation)
        given = {"trades": trades, "quotes": quotes}
        costs = found.micro.filter(pl.col("segment") == "bar").select(*OWN_COSTS)
        repeated = {name: _count_repeated(rows) for name, rows in given.items() if rows is not None}
        return _OfTape(found.halts, found.of_events, found.states, costs, repeated)

    def scores(self, scored: pl.DataFrame) -> pl.DataFrame:
        """EVENT_SCORES of the events that have a score."""
        if not self._inputs.scored:
            return EVENT_SCORES.to_frame()
        return event_scores(scored.filter(pl.col("score").is_not_null()), self._sessions, self._settings.params)

    def costs(self, costed: pl.DataFrame, own: list[pl.DataFrame]) -> pl.DataFrame:
        """What `event_costs` gives for the events that have a bar, from the OWN_COSTS of all batches."""
        return event_costs(costed, pl.concat([OWN_COSTS.to_frame(), *own]), self._sessions, self._settings.params)

    def cohorts(self, costs: pl.DataFrame) -> pl.DataFrame:
        """COHORTS of all labels with their costs (EVENT_COSTS)."""
        in_parts = {name: self.parts[name].one_after_another() for name in _COHORT_PARTS}
        events = cohort_events(
            _columns_of(_with_costs(in_parts["event_labels"], costs), LABEL_FACTS),
            _columns_of(in_parts["events_with_waves_enriched"], OUTCOME_FACTS),
            _columns_of(in_parts["event_bar_features"], PRE_FACTS),
            self._settings.ranking,
        )
        return cohort_tables(events, self._settings.params).cohorts
