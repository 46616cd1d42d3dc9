"""Research tables of each symbol of a lake that its bars and events give, kept up to date month by month.

No row of these tables depends on later bars. When bars change or are added, the rows of earlier months are therefore
kept, and the others are computed from the bars of these months and of the days that they look back to.

The file of `market_state_day` records what the rows of all tables of a symbol were computed from, and digests of
the rows of the others. It is published last: after a killed process the tables of that symbol are computed again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property, partial
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.bars.lengths import select_minutes
from smallcaps_assets.domain.events.detection import BARS_READ
from smallcaps_assets.domain.research.bars.bar_features import MarketData, event_bar_features
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.sample import research_events, with_causal_sample
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.sessions import NEW_YORK, midnight, with_session
from smallcaps_assets.domain.tables import EVENTS, UTC_US
from smallcaps_assets.domain.versions import rows_digest
from smallcaps_assets.errors import InputError, LakeError, UnexpectedError
from smallcaps_assets.lake.events.master import load_imported_events
from smallcaps_assets.lake.files.locks import symbol_lock
from smallcaps_assets.lake.files.remedies import asset_of_table
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.concurrency import in_threads
from smallcaps_assets.pipeline.events.detection import THREADS, Detector
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem
from smallcaps_assets.pipeline.research.bars.from_bars import BarRules, BarTables, tables_of_events
from smallcaps_assets.pipeline.research.bars.renewals import SETTINGS_OF, Renewal, RenewalPlanner, renewal_batches
from smallcaps_assets.pipeline.research.bars.symbol_tables import (
    MARKET_STATE_DAY,
    ROWS_DIGEST,
    SYMBOL_TABLES,
    RowsBySymbol,
    in_file_order,
    is_before,
    rows_by_symbol,
    rows_since,
)
from smallcaps_assets.pipeline.research.bars.table_settings import digests_of_settings
from smallcaps_assets.pipeline.unexpected import UNFORESEEN, UnexpectedErrors

# days with regular hours whose closes the first computed day looks back to
_CLOSES_BACK: Final = 2

# what was done for one symbol, by table
SymbolOutcome = Mapping[str, Outcome]


@dataclass(frozen=True)
class SymbolResearch:
    """Makes the tables of symbols from the bars and shards of a lake.

    Attributes:
        detector: bars, shards, and the settings of detection.
        params: settings of the tables.
        splits: SPLITS; None if they were never fetched.
    """

    detector: Detector
    params: ResearchParams
    splits: pl.DataFrame | None

    @cached_property
    def store(self) -> ResearchStore:
        """The research tables of the lake."""
        return ResearchStore(self.detector.bars.lake)

    def run(self, symbols: Sequence[str], tick: Callable[[], None] = lambda: None) -> Iterator[SymbolOutcome]:
        """Bring the tables of `symbols` up to date; one outcome per symbol, in order of completion.

        A symbol whose files cannot be read or written, or that meets an error that nobody foresaw, is reported with the
        cause; the others continue. `tick` is called at least once a second.

        Raises:
            UnexpectedError: many symbols in a row met errors that nobody foresaw.
        """
        batches = renewal_batches(map(self._attempt_plan, symbols))
        for outcomes in in_threads(self._renew_batch, batches, most=THREADS, tick=tick):
            yield from outcomes

    def behind(self, symbols: Sequence[str], table: str | None = None) -> list[str]:
        """Those of `symbols` whose tables are not up to date, or of which one is not.

        Footers of shards and of `market_state_day` are read.
        """
        return [symbol for symbol in symbols if self._planner.is_behind(symbol, table)]

    def as_known_then(self, events: pl.DataFrame) -> pl.DataFrame:
        """The rows (BAR_FEATURES) of events, each from the bars and candidates up to its minute alone.

        Args:
            events: `symbol`, `event_id` and `timestamp` of a sample: the bars of each are in memory by themselves.

        Raises:
            LakeError: a file cannot be read.
        """
        if events.is_empty():
            return BAR_FEATURES.to_frame()
        # computed together as if each event were of a symbol of its own
        asked = events.select("symbol", "event_id", "timestamp").unique(maintain_order=True)
        asked = asked.with_columns(name=pl.int_range(pl.len()).cast(pl.String).str.zfill(6))
        names, symbols = asked["name"].to_list(), asked["symbol"].unique(maintain_order=True).to_list()
        works, bars = self._bars_until(asked)
        known = _until(asked, self._candidates(works, names))
        sampled = with_causal_sample(known, self.detector.params.filters, self.params)
        detected = self._detected(symbols)
        given = pl.concat([detected, self._imported_beside(detected, symbols)])
        own = research_events(
            _renamed(asked, given, ["symbol", "event_id"]),
            sampled.join(asked, left_on=["symbol", "event_id"], right_on=["name", "event_id"], how="semi"),
        )
        splits = self._splits_of(symbols)
        splits = None if splits is None else _renamed(asked, splits, ["symbol"])
        of_names = dict(asked.select("name", "symbol").iter_rows())
        borders = self.detector.borders.renamed(of_names)
        market = MarketData(bars, self._calendar(works), sampled, splits, borders=borders)
        features = event_bar_features(own, market, self.detector.params.features, self.params)
        return features.with_columns(pl.col("symbol").replace_strict(of_names, return_dtype=pl.String))

    def markets(self, since: Mapping[str, date]) -> Iterator[MarketData]:
        """What the rows of symbols from a day of each on are computed from, some symbols at a time.

        Symbols without bars are left out.

        Raises:
            LakeError: a file cannot be read, or the bars are not those that the events were detected from.
        """
        for batch in renewal_batches(self._planner.from_day(symbol, since[symbol]) for symbol in sorted(since)):
            works = [work for work in batch if isinstance(work, Renewal) and work.bars]
            if works:
                yield self._market(works)[0]

    def _bars_until(self, asked: pl.DataFrame) -> tuple[list[Renewal], pl.DataFrame]:
        """Of each event, what is read of its symbol, and the bars up to its minute under the name of the event."""
        names = asked["name"].to_list()
        events = asked.select("symbol", "timestamp").iter_rows()
        works = [self._planner.from_day(symbol, _new_york_day(timestamp)) for symbol, timestamp in events]
        bars = _until(asked, self._bars(works, names))
        named = [replace(work, symbol=name) for work, name in zip(works, names, strict=True)]
        if short := _lack_closes(named, bars, self._calendar(works)):
            works = [work.whole() if name in short else work for work, name in zip(works, names, strict=True)]
            bars = _until(asked, self._bars(works, names))
        return works, bars

    @cached_property
    def _imported(self) -> pl.DataFrame:
        return load_imported_events(self.store.lake)

    @cached_property
    def _planner(self) -> RenewalPlanner:
        detector = self.detector
        digests = digests_of_settings(self.params, detector.params, detector.sessions)
        tables = tuple(SYMBOL_TABLES)
        of_tables = {table: digests[asset_of_table(table)] for table in tables}
        return RenewalPlanner(detector, self.store, self.params, self.splits, self._imported, tables, of_tables)

    @cached_property
    def _unexpected(self) -> UnexpectedErrors:
        return UnexpectedErrors(self.store.lake, "research tables of symbols")

    @cached_property
    def _unplanned(self) -> UnexpectedErrors:
        # apart: symbols that can be planned do not show that they can be computed
        return UnexpectedErrors(self.store.lake, "plan of research tables")

    def _attempt_plan(self, symbol: str) -> Renewal | SymbolOutcome:
        try:
            found = self._unplanned.attempt(symbol, partial(self._planner.plan, symbol))
        except LakeError as error:
            return _failed(symbol, error)
        if isinstance(found, UnexpectedError):
            return _failed(symbol, found)
        return found if isinstance(found, Renewal) else _unchanged(symbol, found)

    def _renew_batch(self, batch: Sequence[Renewal | SymbolOutcome]) -> list[SymbolOutcome]:
        """The outcomes of a batch; its symbols are computed together, or one by one if one cannot be read."""
        works = [one for one in batch if isinstance(one, Renewal)]
        outcomes = [one for one in batch if not isinstance(one, Renewal)]
        together = None
        if len(works) > 1:
            try:
                together = self._compute(works)
            except UNFORESEEN:  # of one of them, which is named when it is computed by itself
                together = None
        return [*outcomes, *(self._renew(work, together) for work in works)]

    def _renew(self, work: Renewal, together: "RowsBySymbol | None") -> SymbolOutcome:
        """Publish the tables of one symbol, computed with others or by itself."""

        def publish() -> SymbolOutcome:
            try:
                computed = together if together is not None else self._compute([work])
                return self._publish(work, computed)
            except (LakeError, InputError) as error:
                return _failed(work.symbol, error)

        found = self._unexpected.attempt(work.symbol, publish)
        return _failed(work.symbol, found) if isinstance(found, UnexpectedError) else found

    def _publish(self, work: Renewal, computed: "RowsBySymbol") -> SymbolOutcome:
        """Publish the rows that are kept and those computed; files whose rows stay as they are, are not written."""
        with symbol_lock(self.store.lake, f"research {work.symbol}"):
            replaced = self._planner.replaced(work) if work.keeps else None
            return self._publish_tables(work, computed) if replaced is None else _unchanged(work.symbol, replaced)

    def _publish_tables(self, work: Renewal, computed: RowsBySymbol) -> SymbolOutcome:
        digests, outcomes = dict[str, str](), dict[str, Outcome]()
        for table, schema in SYMBOL_TABLES.items():
            path = self.store.lake.research_symbol(table, work.symbol)
            rows = computed[table].get(work.symbol, schema.to_frame())
            if work.keeps:
                rows = pl.concat([self.store.read(path, schema).filter(is_before(table, work.since)), rows])
            rows = in_file_order(table, rows)
            digests[table] = rows_digest(rows)
            if table == MARKET_STATE_DAY or work.rows.get(table) != digests[table]:
                recorded = {**work.inputs, ROWS_DIGEST: digests[table]}
                of_all = {"tables": digests, SETTINGS_OF: dict(self._planner.settings_of)}
                self.store.publish(path, rows, recorded | (of_all if table == MARKET_STATE_DAY else {}))
            outcomes[table] = Outcome((work.symbol,), dict(work.figures), rows=rows.height, version=digests[table])
        return outcomes

    def _compute(self, works: Sequence[Renewal]) -> "RowsBySymbol":
        """The rows of the computed months of several symbols, by table and symbol."""
        works = sorted((work for work in works if work.bars), key=lambda work: work.symbol)
        if not works:
            return {table: {} for table in SYMBOL_TABLES}
        market, sampled = self._market(works)
        symbols = [work.symbol for work in works]
        detected = self._detected(symbols)
        imported = self._imported_beside(detected, symbols)
        given = rows_since(works, pl.concat([detected, imported]))
        is_imported = pl.col("event_id").is_in(imported["event_id"].implode())
        events = research_events(given, rows_since(works, sampled)).with_columns(pl.col("in_master") & ~is_imported)
        return rows_by_symbol(works, self._tables(events, market))

    def _market(self, works: Sequence[Renewal]) -> tuple[MarketData, pl.DataFrame]:
        """What rows of several symbols are computed from, and their candidates with `in_causal_sample`."""
        bars = self._bars(works)
        sessions = self._calendar(works)
        if short := _lack_closes(works, bars, sessions):
            # thin symbols: all of their bars
            works = [work.whole() if work.symbol in short else work for work in works]
            bars, sessions = self._bars(works), self._calendar(works)
        sampled = with_causal_sample(self._candidates(works), self.detector.params.filters, self.params)
        symbols = [work.symbol for work in works]
        borders = self.detector.borders.of_symbols(symbols)
        return MarketData(bars, sessions, sampled, self._splits_of(symbols), borders=borders), sampled

    def _tables(self, events: pl.DataFrame, market: MarketData) -> BarTables:
        return tables_of_events(events, market, BarRules(market.sessions, self.detector.params, self.params))

    def _calendar(self, works: Sequence[Renewal]) -> pl.DataFrame:
        first, last = min(work.calendar_from for work in works), max(work.last for work in works)
        return sessions_and_earlier(first, last, self._planner.look_back, self.detector.sessions)

    def _detected(self, symbols: Sequence[str]) -> pl.DataFrame:
        """The events (EVENTS) of the shards of several symbols; what they have in common is MASTER's to say."""
        rows = self.detector.shards.read_together(symbols)
        return rows.with_columns(event_group_id=pl.lit(None, pl.String)).select(*EVENTS)

    def _imported_beside(self, detected: pl.DataFrame, symbols: Sequence[str]) -> pl.DataFrame:
        """The imported events of several symbols that are not among the detected ones."""
        imported = self._imported.filter(pl.col("symbol").is_in(list(symbols)))
        return imported.filter(~pl.col("event_id").is_in(detected["event_id"].implode()))

    def _splits_of(self, symbols: Sequence[str]) -> pl.DataFrame | None:
        return None if self.splits is None else self.splits.filter(pl.col("symbol").is_in(symbols))

    def _bars(self, works: Sequence[Renewal], names: Sequence[str] | None = None) -> pl.DataFrame:
        """The usable bars of several symbols, each from the day on that its rows look back to.

        Args:
            works: what is read.
            names: of the symbols in the result; by default their own.

        Raises:
            LakeError: they are not those that the events were detected from.
        """
        parts = [self.detector.bars.read(work.symbol, work.calendar_from, work.last) for work in works]
        for work, part in zip(works, parts, strict=True):
            if part.height != work.bars:
                # rows without them would stay after the bars are back
                raise LakeError(
                    f"bars of {work.symbol}: the files contain {part.height:,} from {work.calendar_from} to "
                    f"{work.last}, not the {work.bars:,} that its events were detected from. Restore what is missing, "
                    f"or materialize minute_bars, event_shards and then event_bar_features of {work.symbol}."
                )
        minutes, _ = select_minutes(pl.concat(_named(parts, names)).select(BARS_READ))
        return minutes

    def _candidates(self, works: Sequence[Renewal], names: Sequence[str] | None = None) -> pl.DataFrame:
        """The candidates (CANDIDATES) of several symbols, each from the day on that its rows look back to."""
        parts, known = [], dict[str, pl.DataFrame]()
        for work in works:
            if work.symbol not in known:
                known[work.symbol] = self.detector.candidates_of(work.symbol)
            found = known[work.symbol]
            parts.append(found if work.is_whole else found.filter(pl.col("date") >= f"{work.read_from}"))
        return pl.concat(_named(parts, names))


def _named(parts: Sequence[pl.DataFrame], names: Sequence[str] | None) -> Sequence[pl.DataFrame]:
    if names is None:
        return parts
    return [part.with_columns(symbol=pl.lit(name)) for part, name in zip(parts, names, strict=True)]


def _until(asked: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of each name up to the minute of its event."""
    until = asked.select(symbol="name", until="timestamp")
    found = rows.join(until, on="symbol", how="left", maintain_order="left")
    return found.filter(pl.col("timestamp") <= pl.col("until")).drop("until")


def _renamed(asked: pl.DataFrame, rows: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
    """The rows of each event, or of its symbol, under its name."""
    found = rows.join(asked.select(*on, "name"), on=on, how="inner", maintain_order="left")
    return found.with_columns(symbol=pl.col("name")).drop("name")


def _lack_closes(works: Sequence[Renewal], bars: pl.DataFrame, sessions: pl.DataFrame) -> set[str]:
    """Symbols whose bars before the computed months do not reach back far enough to their last closes."""
    kept = {work.symbol: midnight(work.since) for work in works if work.keeps and not work.is_whole}
    if not kept:
        return set()
    start = pl.col("symbol").replace_strict(kept, default=None, return_dtype=UTC_US)
    earlier = with_session(bars.filter(pl.col("timestamp") < start), sessions).filter(pl.col("session") == "RTH")
    closes = dict(earlier.group_by("symbol").agg(pl.col("day").n_unique()).iter_rows())
    return {symbol for symbol in kept if closes.get(symbol, 0) < _CLOSES_BACK}


def _new_york_day(timestamp: datetime) -> date:
    return timestamp.astimezone(ZoneInfo(NEW_YORK)).date()


def _unchanged(symbol: str, rows: Mapping[str, Any]) -> SymbolOutcome:
    """The outcome of a symbol whose tables are up to date."""
    figures: dict[str, int | float] = {"sessions_computed": 0}
    return {table: Outcome((symbol,), figures, version=rows.get(table)) for table in SYMBOL_TABLES}


def _failed(symbol: str, error: Exception) -> SymbolOutcome:
    problem = Problem.of(symbol, error, symbol=symbol)
    return {table: Outcome((symbol,), {}, (problem,)) for table in SYMBOL_TABLES}
