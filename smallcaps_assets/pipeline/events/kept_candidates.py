"""Candidates of a lake from which experiments can be judged: which symbols have them, and their rows."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.events.condition_bars import list_condition_bars
from smallcaps_assets.domain.events.features import DAILY
from smallcaps_assets.domain.tables import CONDITION_BARS, KEPT_CANDIDATES
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.months import MonthCoverage
from smallcaps_assets.lake.events.candidates import CandidateOrigin, CandidateStore
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.files.stored_tables import naming_damaged, prove
from smallcaps_assets.pipeline.events.detection import Detector

# Why the events of a symbol come from its bars.
NO_SHARD: Final = "without a shard of event_shards"
OTHER_SETTINGS: Final = "with a shard of other settings than config.yaml, or of other reference data"
OTHER_BARS: Final = "with bars that changed since their shard was detected"
NO_CANDIDATES: Final = "without candidates of the sessions and settings of their shard"
CANNOT_BE_READ: Final = "with a shard or candidates that cannot be read or are damaged"
TEST_SYMBOLS: Final = "with which exchanges test"
# what is read of candidates whose condition bars are in no file of their own
_READ: Final = ("symbol", "event_type", "direction", "date", "rvol_day", "dollar_volume_day", "condition_bars")
# a session whose number of bars is not 0
_BARS: Final = re.compile(r"(?:^|;)[0-9-]{10} 0*[1-9]")


class CoveredSessions(NamedTuple):
    """The sessions of symbols: DAILY of days with bars in sessions, and `symbol`, `day`, `bars` of all sessions."""

    daily: pl.DataFrame
    bars: pl.DataFrame


@dataclass(frozen=True)
class KeptCandidates:
    """The candidates of a lake that were detected from its bars as they are now, with the settings in force.

    Attributes:
        detector: with the settings in force.
        coverages: of the symbols that have such candidates.
        listed: those of them whose condition bars are in a file of their own.
        reasons: how many symbols have none, by the reason.
    """

    detector: Detector
    coverages: dict[str, ShardCoverage] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)

    def survey(self, symbols: Iterable[str]) -> Iterator[str]:
        """Find which of `symbols` have candidates that can be used; every file of theirs is read once, and proven.

        Yields each symbol once it is known. Nothing is written. Not in threads: they would wait for one another at each
        of the 40 files of a symbol.
        """
        for symbol in symbols:
            try:
                found = _usable(self.detector, symbol)
            except LakeError:
                found = CANNOT_BE_READ
            if isinstance(found, str):
                self.reasons[found] += 1
            else:
                self.coverages[symbol] = found.coverage
                self.listed.update([symbol] if found.is_listed else [])
            yield symbol

    def sessions(self, symbols: Collection[str]) -> CoveredSessions:
        """The sessions of symbols that have candidates, in order of symbol and day."""
        texts = {
            symbol: MonthCoverage.together(month for _, month in sorted(self.coverages[symbol].months.items())).text
            for symbol in symbols
        }
        # date, number of bars and their hash, and the dollar volume of a session with bars
        words = pl.col("session").str.split_exact(" ", 2).struct
        rows = (
            pl.DataFrame({"symbol": list(texts), "session": list(texts.values())}, schema_overrides=_TEXTS)
            .filter(pl.col("session") != "")
            .with_columns(pl.col("session").str.split(";"))
            .explode("session", empty_as_null=False, keep_nulls=False)
            .select("symbol", words.rename_fields(["day", "bars", "usd"]))
            .unnest("session")
            .with_columns(
                day=pl.col("day").str.to_date("%Y-%m-%d"),
                bars=pl.col("bars").str.split_exact("-", 1).struct.field("field_0").cast(pl.Int64),
                usd=pl.col("usd").cast(pl.Float64),
            )
            .sort("symbol", "day")
        )
        with_bars = rows.filter(pl.col("usd").is_not_null())
        daily = with_bars.select("symbol", "day", dollar_volume_day="usd").match_to_schema(DAILY)
        return CoveredSessions(daily, rows.select("symbol", "day", "bars"))

    def has_bars(self, symbol: str) -> bool:
        """Whether a symbol that has candidates, perhaps none, has bars."""
        return any(_BARS.search(month.text) for month in self.coverages[symbol].months.values())

    def with_bars(self) -> list[str]:
        """The symbols that have candidates, perhaps none, and bars, sorted."""
        return sorted(filter(self.has_bars, self.coverages))

    def read(self, symbols: Sequence[str], least_dollars: float) -> pl.DataFrame:
        """The condition bars (CONDITION_BARS) of days of at least that dollar volume, symbol by symbol.

        Raises:
            LakeError: a file cannot be read, or was replaced by one without condition bars.
        """
        lake, large = self.detector.bars.lake, pl.col("dollar_volume_day") >= least_dollars
        listed = [lake.condition_bars_of(symbol) for symbol in symbols if symbol in self.listed]
        nested = [lake.candidates_of(symbol) for symbol in symbols if symbol not in self.listed]
        found = [CONDITION_BARS.to_frame()]
        if listed:
            with naming_damaged(listed, lake.condition_bars, CONDITION_BARS):
                found.append(_scan(listed, CONDITION_BARS).filter(large).collect())
        if nested:
            with naming_damaged(nested, lake.candidates, KEPT_CANDIDATES):
                schema = {name: KEPT_CANDIDATES[name] for name in _READ}
                found.append(list_condition_bars(_scan(nested, schema).filter(large).collect()))
        return pl.concat(found)


class _Usable(NamedTuple):
    """The coverage of a symbol whose candidates can be used, and whether their condition bars are in their own file."""

    coverage: ShardCoverage
    is_listed: bool


def _scan(files: list[Path], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    return pl.scan_parquet(files, hive_partitioning=False, glob=False, schema=schema, extra_columns="ignore")


_TEXTS: Final = {"symbol": pl.String(), "session": pl.String()}


def _usable(detector: Detector, symbol: str) -> _Usable | str:
    """The coverage of a symbol whose candidates can be used, or why they cannot.

    Only the file that is going to be read is proven.

    Raises:
        LakeError: a file is damaged or cannot be read.
    """
    if symbol in detector.test_symbols:
        return TEST_SYMBOLS
    coverage = detector.shards.proven_coverage(symbol)
    if coverage is None:
        return NO_SHARD
    detections = detector.identities(symbol)
    if coverage.detections != detections:
        return OTHER_SETTINGS
    files = detector.bars.months(symbol, coverage.months)
    known = not files.opened and len(files.same) == len(coverage.months)
    if not known and detector.fetched_sessions(symbol, coverage) != coverage.sessions:
        return OTHER_BARS
    return _usable_of(CandidateStore(detector.bars.lake), symbol, coverage)


def _usable_of(store: CandidateStore, symbol: str, coverage: ShardCoverage) -> _Usable | str:
    """`_usable` of candidates beside a shard that covers what is fetched, with the settings in force."""

    def belongs(origin: CandidateOrigin | None) -> bool:
        # tiers are not compared: those of an event follow from its score
        wanted = coverage.detections, coverage.fingerprint
        return origin is not None and (origin.detections, origin.sessions) == wanted

    if belongs(store.origin_of_condition_bars(symbol)):
        return _Usable(coverage, is_listed=True)
    if not belongs(store.origin(symbol, conditions=True)):
        return NO_CANDIDATES
    prove(store.lake.candidates_of(symbol))
    return _Usable(coverage, is_listed=False)
