"""What to compute again of the research tables of a symbol, from what its files say they were computed from."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any, Final, Self, TypeVar

import polars as pl

from smallcaps_assets.domain.research.bars.bar_features import BarFeatureParams
from smallcaps_assets.domain.research.outcome_params import CostParams, OutcomeParams
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.sample import SampleParams
from smallcaps_assets.domain.versions import code_version, digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.month_files import count_bars
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.files.remedies import asset_of_table
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.reference_tables import SPLITS_INPUT, SPLITS_UNKNOWN
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.calendar import calendar_days, sessions_between
from smallcaps_assets.pipeline.events.detection import Detector

# Raised with every code change that changes rows: they are then computed again.
SYMBOLS_VERSION: Final = "2"
# The same of symbols with imported events alone.
_IMPORTED_VERSION: Final = "2"
# trading days back to the latest candidate
_EVENT_DAYS_BACK: Final = 20
# bars and symbols that are computed together, which bounds memory
_BARS_AT_ONCE: Final = 250_000
_SYMBOLS_AT_ONCE: Final = 100
# costs are those of profiles
_OF_OUTCOMES: Final = OutcomeParams.model_fields.keys() - CostParams.model_fields.keys()
_MONTHS: Final = "months"
# Key of the footer that records what all tables were computed from: of each a digest of the settings that it reads.
SETTINGS_OF: Final = "settings_of"
# of symbols with imported events only
_IMPORTED: Final = "imported"

_Settled = TypeVar("_Settled")


@dataclass(frozen=True)
class Renewal:
    """The rows of a symbol to compute, and those to keep.

    Attributes:
        symbol: the symbol.
        inputs: what all rows are then computed from, for the footers.
        since: the rows from this day on are computed; `date.min`: all.
        read_from: the day from which bars are read, since rows look back; `date.min`: all.
        first: the first day with bars.
        last: the last day with bars.
        bars: how many bars are read, as the shard knows them.
        all_bars: how many there are.
        rows: digests of the rows of the published tables; a table without one is written.
        figures: for the metadata.
    """

    symbol: str
    inputs: Mapping[str, Any]
    since: date
    read_from: date
    first: date
    last: date
    bars: int
    all_bars: int
    rows: Mapping[str, str]
    figures: Mapping[str, int]

    @property
    def keeps(self) -> bool:
        """Whether rows are kept."""
        return self.since != date.min

    @property
    def is_whole(self) -> bool:
        """Whether all bars are read."""
        return self.read_from <= self.first

    @property
    def calendar_from(self) -> date:
        """The first day of the bars that are read."""
        return max(self.first, self.read_from)

    def whole(self) -> Self:
        """The same, with all bars."""
        return replace(self, read_from=self.first, bars=self.all_bars)


@dataclass(frozen=True)
class RenewalPlanner:
    """Compares what the tables of symbols were computed from with what they would be computed from now.

    Attributes:
        detector: bars and shards.
        store: the tables.
        params: their settings.
        splits: SPLITS; None if they were never fetched.
        imported: imported events (EVENTS).
        tables: the names of the tables; the file of the last records what all were computed from.
        settings_of: of each table a digest of the settings that it reads. They are recorded, and decide nothing about
            what is computed: the step computes all tables where a setting of one has changed.
    """

    detector: Detector
    store: ResearchStore
    params: ResearchParams
    splits: pl.DataFrame | None
    imported: pl.DataFrame
    tables: Sequence[str]
    settings_of: Mapping[str, str] = field(default_factory=dict)

    @property
    def look_back(self) -> int:
        """Trading days that a row looks back to at most, apart from closes."""
        return max(self.params.rvol_to_time_days, self.params.split_days, _EVENT_DAYS_BACK)

    def plan(self, symbol: str) -> Renewal | Mapping[str, str]:
        """What to compute of a symbol; the digests of its tables where all of them are up to date.

        Damaged files are set aside; all rows of their symbol are then computed.

        Raises:
            LakeError: a file cannot be read.
        """
        coverage = self.detector.shards.coverage(symbol)
        paths = {table: self.store.lake.research_symbol(table, symbol) for table in self.tables}
        there = sum(map(is_stored, paths.values()))
        recorded = {table: self.store.computed_from(path) for table, path in paths.items()}
        usable = {table: found for table, found in recorded.items() if found is not None}
        damaged = {"damaged_files_set_aside": there - len(usable)} if there > len(usable) else {}
        known, rows = recorded[self.tables[-1]] or {}, {table: found.get("rows") for table, found in usable.items()}
        days = _days(coverage)
        now = self._inputs(symbol, coverage, days)
        complete = rows.keys() == set(self.tables) and known.get("tables") == rows
        since = _first_difference(known, now) if complete else date.min
        if since is None:
            return {table: f"{found}" for table, found in rows.items()}
        return replace(
            self._renewal(symbol, days, since),
            inputs=now,
            rows={table: f"{found}" for table, found in rows.items() if found},
            figures={"sessions": len(days), "sessions_computed": sum(day >= since for day in days), **damaged},
        )

    def replaced(self, work: Renewal) -> Mapping[str, str] | None:
        """The digests of tables that another run has made from the same inputs since `plan`; None if none has.

        Raises:
            LakeError: a file whose rows are to be kept is another one since, or is gone.
        """
        paths = {table: self.store.lake.research_symbol(table, work.symbol) for table in self.tables}
        now = {table: self.store.recorded(path) or {} for table, path in paths.items()}
        rows = {table: f"{found.get('rows')}" for table, found in now.items()}
        if rows == work.rows:
            return None
        known = now[self.tables[-1]]
        if known.get("tables") == rows and _first_difference(known, work.inputs) is None:
            return rows
        table, path = next((table, path) for table, path in paths.items() if rows[table] != work.rows[table])
        raise LakeError(
            f"{path}: another run replaced it meanwhile, with rows of other inputs. Materialize "
            f"{asset_of_table(table)} of {work.symbol} again.",
            path,
        )

    def from_day(self, symbol: str, since: date) -> Renewal:
        """What to compute of a symbol for the rows from a day on.

        Raises:
            LakeError: a file cannot be read.
        """
        return self._renewal(symbol, _days(self.detector.shards.coverage(symbol)), since)

    def _renewal(self, symbol: str, days: Mapping[date, str], since: date) -> Renewal:
        read_from = self._read_from(since, list(days))
        return Renewal(
            symbol=symbol,
            inputs={},
            since=since,
            read_from=read_from,
            first=next(iter(days), date.max),
            last=max(days, default=date.min),
            bars=sum(count_bars(mark) for day, mark in days.items() if day >= read_from),
            all_bars=sum(map(count_bars, days.values())),
            rows={},
            figures={},
        )

    def is_behind(self, symbol: str, table: str | None = None) -> bool:
        """Whether the tables of a symbol are not up to date, by footers alone.

        With `table`, whether this one is not: settings that it does not read do not count.
        """
        try:
            coverage = self.detector.shards.coverage(symbol)
            known = self.store.recorded(self.store.lake.research_symbol(self.tables[-1], symbol))
        except LakeError:
            return True
        wanted = self.tables if table is None else [table]
        if known is None or not all(self.store.lake.research_symbol(one, symbol).is_file() for one in wanted):
            return True
        now = self._inputs(symbol, coverage, _days(coverage))
        # an earlier release recorded those of all tables together
        if table is not None and known.get(SETTINGS_OF, {}).get(table) == self.settings_of[table]:
            now["settings"] = known.get("settings")
        return _first_difference(known, now) is not None

    def _inputs(self, symbol: str, coverage: ShardCoverage | None, days: Mapping[date, str]) -> dict[str, Any]:
        months = dict[str, list[str]]()
        for day, mark in days.items():
            months.setdefault(f"{day:%Y-%m}", []).append(f"{day} {mark}")
        # of the events, and of the candidates, which are those of the settings in force
        detections = [*sorted(({} if coverage is None else coverage.detections).items()), *self._detections(symbol)]
        imported = self._imported.get(symbol)
        return {
            "code": SYMBOLS_VERSION,
            "settings": self._settings,
            "detection": digest(f"{name} {found}" for name, found in detections),
            SPLITS_INPUT: SPLITS_UNKNOWN if self.splits is None else self._splits.get(symbol, "none"),
            **({_IMPORTED: imported} if imported else {}),
            _MONTHS: {month: digest(marks) for month, marks in months.items()},
        }

    def _detections(self, symbol: str) -> list[tuple[str, str]]:
        return sorted(self.detector.identities(symbol).items())

    @cached_property
    def _settings(self) -> str:
        detector = self.detector
        filters = detector.params.filters
        return code_version(
            SYMBOLS_VERSION,
            settings_of_tables(self.params),
            (filters.min_close_usd, filters.max_close_usd),
            detector.params.features,
            detector.sessions,
        )

    @cached_property
    def _imported(self) -> dict[str, str]:
        by_symbol = self.imported.sort("event_id").partition_by("symbol", as_dict=True, maintain_order=True)
        return {
            f"{key[0]}": f"{_IMPORTED_VERSION}-{digest(f'{row}' for row in rows.iter_rows())}"
            for key, rows in by_symbol.items()
        }

    @cached_property
    def _splits(self) -> dict[str, str]:
        assert self.splits is not None  # noqa: S101 -- see _inputs
        by_symbol = self.splits.partition_by("symbol", as_dict=True, maintain_order=True)
        return {f"{key[0]}": digest(f"{row}" for row in rows.iter_rows()) for key, rows in by_symbol.items()}

    def _read_from(self, since: date, days: Sequence[date]) -> date:
        """The day from which bars are read: the last with bars from which on the look-back is complete."""
        if since == date.min:
            return date.min
        earlier = sessions_between(since - calendar_days(self.look_back), since, self.detector.sessions)["date"]
        back = earlier.filter(earlier < since)[-self.look_back]
        place = bisect_right(days, back)
        return days[place - 1] if place else date.min


def settings_of_tables(params: ResearchParams) -> dict[str, Any]:
    """The settings that decide the tables of symbols; costs are those of profiles."""
    return settings_of_minutes(params) | params.model_dump(mode="json", include=set(SampleParams.model_fields))


def settings_of_minutes(params: ResearchParams) -> dict[str, Any]:
    """The settings that decide what bars say of a minute and of what follows it, whichever events are in a sample."""
    of_minutes = set(BarFeatureParams.model_fields) | _OF_OUTCOMES
    return params.model_dump(mode="json", include=of_minutes)


def renewal_batches(plans: Iterable[Renewal | _Settled]) -> Iterator[list[Renewal | _Settled]]:
    """Plans, and what needs no work, in batches of bounded size, in their order."""
    batch, bars = list[Renewal | _Settled](), 0
    for plan in plans:
        more = plan.bars if isinstance(plan, Renewal) else 0
        if batch and (bars + more > _BARS_AT_ONCE or len(batch) >= _SYMBOLS_AT_ONCE):
            yield batch
            batch, bars = [], 0
        batch.append(plan)
        bars += more
    if batch:
        yield batch


def _days(coverage: ShardCoverage | None) -> dict[date, str]:
    """The fingerprints of the detected sessions that have bars, in order."""
    sessions = {} if coverage is None else coverage.sessions
    return {day: mark for day, mark in sessions.items() if count_bars(mark)}


def _first_difference(known: Mapping[str, Any], now: Mapping[str, Any]) -> date | None:
    """The first day whose rows differ, `date.min` where all may; None where none does."""
    names = (now.keys() | {_IMPORTED}) - {_MONTHS}
    if any(known.get(name) != now.get(name) for name in names):
        return date.min
    before, after = known.get(_MONTHS, {}), now[_MONTHS]
    different = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    return date.fromisoformat(f"{min(different)}-01") if different else None
