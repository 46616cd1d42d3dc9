"""Event shards: one parquet file per symbol, which holds its events and, in its footer, what they cover.

A shard is written only when its events change, or its footer is months behind. Sessions without a new event are
recorded in one small table per initial letter of the symbols, as the difference to the coverage in the footer. Each
difference names the footer that it belongs to and is ignored beside any other, so a coverage never claims events that
the shard does not hold. Coverage that is lost is detected again.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import polars as pl

from smallcaps_assets.domain.bars.quality import shard_problems
from smallcaps_assets.domain.tables import SHARD, match_columns
from smallcaps_assets.domain.versions import digest, rows_digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.events.old_coverage import old_coverage, old_coverage_file, old_table
from smallcaps_assets.lake.files.content_hash import ProofState, document_proof
from smallcaps_assets.lake.files.documents import parse_json_object, publish_document
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.locks import exclusive_lock
from smallcaps_assets.lake.files.publish import disk_errors, provenance_of, publish_frame, sweep_below
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored, naming_damaged
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.months import ISO_DATE, MonthCoverage
from smallcaps_assets.lake.symbol_paths import names_symbol, symbol_of

# Keys of a shard's footer: the digest of its events, the coverage, and the digest of both.
CONTENT: Final = "content"
_COVERAGE: Final = "coverage"
COVERAGE_ID: Final = "coverage_id"
# Key of the symbol of a shard; earlier releases did not record it.
SYMBOL_OF_SHARD: Final = "symbol"
# Key of a difference: the `coverage_id` of the footer that it belongs to.
BELONGS_TO: Final = "of"
# A difference of more months is not recorded: the shard is published again with its whole coverage. Tables of
# differences stay small, also in the first night on a lake whose footers hold no coverage yet.
_MOST_MONTHS_BEHIND: Final = 6
_DIFFERENCE_KEYS: Final = frozenset({BELONGS_TO, "detections", "tiers", "events", "files"})


class FooterCoverage(NamedTuple):
    """The coverage in the footer of a shard: its id, and the files of bars."""

    id: str
    months: dict[str, MonthCoverage]


@dataclass(frozen=True)
class ShardCoverage:
    """What a shard covers: fingerprint and dollar volume of each session, and the settings of the detection.

    Attributes:
        detections: by event type, a digest of everything that decides its events.
        tiers: the minimum score of each tier.
        months: the sessions, by the names (`YYYY-MM`) of the files of bars.
        events: the number of events.
        content: digest of the events in the shard; None of events that are not published yet.
        footer: the footer that the coverage was read from; None of a coverage that was not read.
    """

    detections: dict[str, str]
    tiers: list[float]
    months: dict[str, MonthCoverage]
    events: int
    content: str | None = None
    footer: FooterCoverage | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls,
        detections: dict[str, str],
        tiers: list[float],
        sessions: Mapping[date, str],
        dollar_volumes: Mapping[date, float],
        events: int,
    ) -> Self:
        """Build the coverage of sessions with these fingerprints and dollar volumes."""
        by_month = groupby(sorted(sessions), key=lambda day: f"{day:%Y-%m}")
        months = {
            name: MonthCoverage.of(None, {day: sessions[day] for day in days}, dollar_volumes)
            for name, days in by_month
        }
        return cls(detections, tiers, months, events)

    @cached_property
    def sessions(self) -> dict[date, str]:
        """The fingerprint of each session."""
        return {day: mark for name in sorted(self.months) for day, mark in self.months[name].fingerprints().items()}

    @cached_property
    def fingerprint(self) -> str:
        """`combine_fingerprints` of all sessions, without parsing their dates."""
        marks = {mark[:ISO_DATE]: mark for name in sorted(self.months) for mark in self.months[name].marks()}
        return digest(marks[day] for day in sorted(marks))

    @property
    def session_count(self) -> int:
        """The number of sessions, without parsing them."""
        return sum(map(len, self.months.values()))

    @property
    def dollar_volumes(self) -> dict[date, float]:
        """The dollar volume of each session that has bars."""
        return {day: usd for name in sorted(self.months) for day, usd in self.months[name].dollar_volumes().items()}


@dataclass(frozen=True)
class ShardStore:
    """The event shards of a lake."""

    lake: Lake
    _tables: dict[Path, tuple[object, dict[str, Any]]] = field(default_factory=dict, repr=False, compare=False)

    def coverage(self, symbol: str) -> ShardCoverage | None:
        """What the shard of `symbol` covers; None where there is no shard, or its coverage is not known.

        Raises:
            LakeError: see `version`.
        """
        footer = self._footer(symbol)
        if footer is None or CONTENT not in footer:
            return None
        content, document = footer[CONTENT], footer.get(_COVERAGE)
        if document is not None and not _is_document(document):
            return None
        base = FooterCoverage(footer.get(COVERAGE_ID, content), _months(document))
        months = base.months
        difference = self._known_differences(symbol).get(symbol)
        if difference and difference[BELONGS_TO] == base.id:
            unchanged = {name: month for name, month in months.items() if name not in difference["files"]}
            months = unchanged | _months(difference)
            document = difference
        elif document is None:
            document = old_coverage(self.lake.shard(symbol), content)
            months = _months(document)
        if document is None:
            return None
        return ShardCoverage(
            detections=document["detections"],
            tiers=document["tiers"],
            months=months,
            events=document["events"],
            content=content,
            footer=base,
        )

    def read(self, symbol: str) -> pl.DataFrame:
        """Events of one symbol (SHARD)."""
        return self.read_together([symbol])

    def read_together(self, symbols: Collection[str]) -> pl.DataFrame:
        """Events (SHARD) of several symbols, one symbol after the other.

        Raises:
            LakeError: a shard cannot be read, or holds events of another symbol.
        """
        if not symbols:
            return SHARD.to_frame()
        files = [self.lake.shard(symbol) for symbol in symbols]
        with naming_damaged(files, self.lake.shards, SHARD):
            events = self._scan(files).collect()
        if strangers := set(events["symbol"].unique()) - set(symbols):
            raise LakeError(
                f"{files[0] if len(files) == 1 else self.lake.shards}: holds events of {strangers.pop()} under another "
                "symbol. Remove that shard; its sessions are then detected again."
            )
        return events

    def version(self, symbol: str) -> str | None:
        """The digest of the events of `symbol`; None where there is no shard, or it records no digest.

        Raises:
            LakeError: the shard cannot be read, or was not written by this program.
        """
        footer = self._footer(symbol)
        return None if footer is None else footer.get(CONTENT)

    def replace(self, symbol: str, events: pl.DataFrame, coverage: ShardCoverage) -> None:
        """Publish the events and the coverage of `symbol`.

        Raises:
            LakeError: the disk fails, or MASTER could not use the events; names the problems.
        """
        failed = self.replace_together(events, {symbol: coverage})
        if failed:
            raise failed[symbol]

    def replace_together(self, events: pl.DataFrame, coverages: Mapping[str, ShardCoverage]) -> dict[str, LakeError]:
        """Publish the events and coverages of several symbols; return the error of each symbol that was not published.

        Args:
            events: SHARD, one symbol after the other; none of symbols whose coverage names a `content`, which stays.
            coverages: by symbol.
        """
        events = events.match_to_schema(SHARD)
        suspects = coverages if shard_problems(events, coverages) else ()
        by_symbol = events.partition_by("symbol", as_dict=True, maintain_order=True)
        none = events.clear()
        failed: dict[str, LakeError] = {}
        differences: defaultdict[Path, dict[str, Any]] = defaultdict(dict)
        for symbol, coverage in coverages.items():
            of_symbol = by_symbol.get((symbol,), none) if len(coverages) > 1 else events
            try:
                if symbol in suspects:
                    self._require_sound(symbol, of_symbol)
                if coverage.content:
                    footer = self._refresh(symbol, coverage)
                else:
                    footer = self._publish_changed(symbol, of_symbol, coverage)
            except LakeError as error:
                failed[symbol] = error
                continue
            if footer is not None:
                differences[self.lake.shard_coverage(symbol)][symbol] = _difference(coverage, footer)
        for path, changed in differences.items():
            try:
                self._merge(path, changed)
            except LakeError as error:
                failed |= dict.fromkeys(changed, error)
        for symbol in coverages.keys() - failed:
            old_coverage_file(self.lake.shard(symbol)).unlink(missing_ok=True)
        sweep_below(self.lake.shards, ".symbol=*.part", of={self.lake.shard(symbol).name for symbol in coverages})
        return failed

    def move_differences(self) -> None:
        """Move tables of differences that lie beside the shards, where they keep other tools from reading the folder.

        Raises:
            LakeError: the disk fails.
        """
        for old in list_paths(self.lake.shards, "coverage=*.json"):
            self._merge(self.lake.shard_coverage(old.stem.removeprefix("coverage=")), {})

    def _publish_changed(self, symbol: str, events: pl.DataFrame, coverage: ShardCoverage) -> FooterCoverage | None:
        """Publish the shard if its events change; otherwise return the coverage in its footer."""
        path, content = self.lake.shard(symbol), rows_digest(events)
        footer = (provenance_of(path) if path.is_file() else None) or {}
        if footer.get(CONTENT) == content:
            published = FooterCoverage(footer.get(COVERAGE_ID, content), _months(footer.get(_COVERAGE)))
            if not _is_far_behind(published, coverage):
                return published
        self._publish(symbol, events, content, coverage)
        return None

    def _refresh(self, symbol: str, coverage: ShardCoverage) -> FooterCoverage | None:
        """The coverage in the footer of a shard whose events stay; far behind, the shard is published again."""
        if coverage.footer is None or not _is_far_behind(coverage.footer, coverage):
            return coverage.footer
        events = self.read(symbol)
        if rows_digest(events) != coverage.content:
            return coverage.footer  # another process has published other events since
        self._publish(symbol, events, coverage.content, coverage)
        return None

    def _publish(self, symbol: str, events: pl.DataFrame, content: str, coverage: ShardCoverage) -> None:
        """Publish events with their whole coverage in the footer."""
        document = _as_json(coverage, coverage.months)
        coverage_id = digest([content, json.dumps(document, sort_keys=True)])
        difference = self._known_differences(symbol).get(symbol)
        if difference and difference[BELONGS_TO] == coverage_id:
            # the difference to an earlier footer that was the same: its sessions are not in this one
            coverage_id = digest([coverage_id, json.dumps(difference, sort_keys=True)])
        provenance = {SYMBOL_OF_SHARD: symbol, CONTENT: content, COVERAGE_ID: coverage_id, _COVERAGE: document}
        publish_frame(self.lake.shard(symbol), events, provenance, sweeps=False, below=self.lake.root)

    def _merge(self, path: Path, changed: Mapping[str, Any]) -> None:
        """Add differences to a table. The lock keeps the updates of others who write other symbols of it."""
        with exclusive_lock(self.lake.locks / f"coverage={path.stem}.lock", below=self.lake.root):
            old = old_table(path)
            table = {**_read_differences(old), **_read_differences(path), **changed}
            publish_document(path, table, below=self.lake.root)
            old.unlink(missing_ok=True)

    def _known_differences(self, symbol: str) -> dict[str, Any]:
        """The table of differences that has `symbol`; read again only when the file is another one."""
        path = self.lake.shard_coverage(symbol)
        old = old_table(path)
        version = (_state_of(old), _state_of(path))
        if not any(version):
            return {}
        known = self._tables.get(path)
        if known is None or known[0] != version:
            known = self._tables[path] = version, {**_read_differences(old), **_read_differences(path)}
        return known[1]

    def _footer(self, symbol: str) -> dict[str, Any] | None:
        path = self.lake.shard(symbol)
        if not is_stored(path):
            return None
        provenance = provenance_of(path)
        if provenance is None:
            raise LakeError(
                f"{path}: its footer has no provenance, so it is not a shard of this program. {how_to_restore(path)}",
                path,
            )
        if (recorded := provenance.get(SYMBOL_OF_SHARD, symbol)) != symbol:
            raise LakeError(
                f"{path}: is the shard of {recorded}, not of {symbol}. {how_to_restore(path)}",
                path,
            ).with_facts(f"is the shard of {recorded}")
        return provenance

    def _require_sound(self, symbol: str, events: pl.DataFrame) -> None:
        if problems := shard_problems(events, [symbol]):
            raise LakeError(
                f"{self.lake.shard(symbol)}: {'; '.join(problems)}, so nothing was published. Remove the file if it "
                f"exists, and materialize event_shards of {symbol} again.",
                self.lake.shard(symbol),
            )

    def files(self) -> list[Path]:
        """Every shard, in order of symbol; copies that people or programs left beside them are skipped."""
        found = (path for path in list_paths(self.lake.shards, "symbol=*.parquet") if names_symbol(path.stem))
        return sorted(found, key=lambda path: symbol_of(path.stem))

    def symbols(self) -> list[str]:
        """Symbols with a shard, sorted."""
        return [symbol_of(path.stem) for path in self.files()]

    def contents(self) -> dict[str, str]:
        """The digest of the events of each symbol, see `version`: empty where its shard records none.

        Shards that cannot be read are left out.
        """
        found = {}
        for symbol in self.symbols():
            with suppress(LakeError):
                found[symbol] = self.version(symbol) or ""
        return found

    def state(self) -> str:
        """A digest of the names, sizes and times of all shards and coverages: another one after any change.

        No file is opened.
        """
        tables = list_paths(self.lake.shard_coverages, "*.json") + list_paths(self.lake.shards, "coverage=*.json")
        return digest(f"{path.name} {_state_of(path)}" for path in (*self.files(), *sorted(tables)))

    def scan(self) -> pl.LazyFrame:
        """Events of all symbols (SHARD)."""
        files = self.files()
        return self._scan(files) if files else SHARD.to_frame().lazy()

    def load(self, but: Collection[str] = ()) -> pl.DataFrame:
        """Events (SHARD) of all symbols except those of `but`.

        Raises:
            LakeError: a shard cannot be read; names it.
        """
        files = self.files()
        if not files:
            return SHARD.to_frame()
        with naming_damaged(files, self.lake.shards, SHARD):
            return self._scan(files).filter(~pl.col("symbol").is_in(list(but))).collect()

    def _scan(self, files: list[Path]) -> pl.LazyFrame:
        what = str(files[0] if len(files) == 1 else self.lake.shards)
        return match_columns(
            pl.scan_parquet(files, hive_partitioning=False, glob=False, extra_columns="ignore"), SHARD, what
        )


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def _is_far_behind(footer: FooterCoverage, coverage: ShardCoverage) -> bool:
    """Whether so many months differ from a footer that a table of differences would grow large."""
    behind = sum(month != footer.months.get(name) for name, month in coverage.months.items())
    return behind > _MOST_MONTHS_BEHIND


def _difference(coverage: ShardCoverage, footer: FooterCoverage) -> dict[str, Any]:
    """A coverage as its difference to that of a footer: files that changed, and null for files that are gone."""
    changed = {name: month for name, month in coverage.months.items() if month != footer.months.get(name)}
    document = _as_json(coverage, changed)
    gone = footer.months.keys() - coverage.months.keys()
    return {BELONGS_TO: footer.id} | document | {"files": document["files"] | dict.fromkeys(sorted(gone))}


def _as_json(coverage: ShardCoverage, months: Mapping[str, MonthCoverage]) -> dict[str, Any]:
    return {
        "detections": coverage.detections,
        "tiers": coverage.tiers,
        "events": coverage.events,
        "files": {name: month.as_json() for name, month in sorted(months.items())},
    }


def _months(document: Mapping[str, Any] | None) -> dict[str, MonthCoverage]:
    files = document["files"] if document else {}
    return {name: MonthCoverage.from_json(month) for name, month in files.items() if month is not None}


def _read_differences(path: Path) -> dict[str, Any]:
    """The differences of a table by symbol; none where the disk damaged it: these sessions are detected again."""
    if not path.is_file():
        return {}
    with disk_errors("read", path):
        content = path.read_bytes()
    table = parse_json_object(content)
    if table is None or document_proof(table).state is ProofState.DAMAGED:
        return {}
    return {symbol: entry for symbol, entry in table.items() if is_difference(entry)}


def is_difference(entry: object) -> bool:
    """Whether a value of a table of differences, which a disk may have damaged, is one."""
    return (
        isinstance(entry, dict)
        and entry.keys() >= _DIFFERENCE_KEYS
        and isinstance(entry[BELONGS_TO], str)
        and _is_coverage(entry)
    )


def _is_document(document: object) -> bool:
    """Whether the coverage in a footer has its keys, each with a value of its type."""
    return isinstance(document, dict) and {BELONGS_TO, *document} >= _DIFFERENCE_KEYS and _is_coverage(document)


def _is_coverage(document: Mapping[str, Any]) -> bool:
    """Whether every value of a coverage has its type."""
    detections, tiers, files = document["detections"], document["tiers"], document["files"]
    return (
        isinstance(detections, dict)
        and all(isinstance(value, str) for value in detections.values())
        and isinstance(tiers, list)
        and all(type(tier) in (int, float) for tier in tiers)
        and type(document["events"]) is int
        and isinstance(files, dict)
        and all(month is None or MonthCoverage.is_json(month) for month in files.values())
    )
