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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from smallcaps_assets.domain.bars.quality import shard_problems
from smallcaps_assets.domain.tables import SHARD, match_columns
from smallcaps_assets.domain.versions import digest, rows_digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.events.coverage_differences import (
    BELONGS_TO,
    CoverageDifferences,
    difference_of,
    inode_state,
    is_far_behind,
)
from smallcaps_assets.lake.events.old_coverage import old_coverage, old_coverage_file
from smallcaps_assets.lake.events.shard_coverage import (
    CONTENT,
    COVERAGE_ID,
    FOOTER_COVERAGE,
    SYMBOL_OF_SHARD,
    FooterCoverage,
    ShardCoverage,
    coverage_as_json,
    is_coverage,
    months_in,
)
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.publish import provenance_of, publish_frame, sweep_below
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored, naming_damaged, proven_provenance
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import names_symbol, symbol_of


@dataclass(frozen=True)
class ShardStore:
    """The event shards of a lake."""

    lake: Lake

    @cached_property
    def differences(self) -> CoverageDifferences:
        """What is recorded of sessions without a new event."""
        return CoverageDifferences(self.lake)

    def coverage(self, symbol: str) -> ShardCoverage | None:
        """What the shard of `symbol` covers; None where there is no shard, or its coverage is not known.

        Raises:
            LakeError: see `version`.
        """
        return self._coverage(symbol, self._footer(symbol))

    def proven_coverage(self, symbol: str) -> ShardCoverage | None:
        """What `coverage` returns of a shard that is proven first; its file is read once.

        Raises:
            LakeError: see `version`; the shard is damaged.
        """
        path = self.lake.shard(symbol)
        if not is_stored(path):
            return None
        footer = proven_provenance(path)
        if footer is None:
            return self.coverage(symbol)
        return self._coverage(symbol, self._require_own(symbol, footer), proven=True)

    def _coverage(self, symbol: str, footer: Mapping[str, Any] | None, *, proven: bool = False) -> ShardCoverage | None:
        if footer is None or CONTENT not in footer:
            return None
        content, document = footer[CONTENT], footer.get(FOOTER_COVERAGE)
        if document is not None and not is_coverage(document, proven=proven):
            return None
        base = FooterCoverage(footer.get(COVERAGE_ID, content), months_in(document))
        months = base.months
        difference = self.differences.of(symbol)
        if difference and difference[BELONGS_TO] == base.id:
            unchanged = {name: month for name, month in months.items() if name not in difference["files"]}
            months = unchanged | months_in(difference)
            document = difference
        elif document is None:
            document = old_coverage(self.lake.shard(symbol), content)
            months = months_in(document)
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
                differences[self.lake.shard_coverage(symbol)][symbol] = difference_of(coverage, footer)
        for path, changed in differences.items():
            try:
                self.differences.merge(path, changed)
            except LakeError as error:
                failed |= dict.fromkeys(changed, error)
        for symbol in coverages.keys() - failed:
            old_coverage_file(self.lake.shard(symbol)).unlink(missing_ok=True)
        sweep_below(self.lake.shards, ".symbol=*.part", of={self.lake.shard(symbol).name for symbol in coverages})
        return failed

    def _publish_changed(self, symbol: str, events: pl.DataFrame, coverage: ShardCoverage) -> FooterCoverage | None:
        """Publish the shard if its events change; otherwise return the coverage in its footer."""
        path, content = self.lake.shard(symbol), rows_digest(events)
        footer = (provenance_of(path) if path.is_file() else None) or {}
        if footer.get(CONTENT) == content:
            published = FooterCoverage(footer.get(COVERAGE_ID, content), months_in(footer.get(FOOTER_COVERAGE)))
            if not is_far_behind(published, coverage):
                return published
        self._publish(symbol, events, content, coverage)
        return None

    def _refresh(self, symbol: str, coverage: ShardCoverage) -> FooterCoverage | None:
        """The coverage in the footer of a shard whose events stay; far behind, the shard is published again."""
        if coverage.footer is None or not is_far_behind(coverage.footer, coverage):
            return coverage.footer
        events = self.read(symbol)
        if rows_digest(events) != coverage.content:
            return coverage.footer  # another process has published other events since
        self._publish(symbol, events, coverage.content, coverage)
        return None

    def _publish(self, symbol: str, events: pl.DataFrame, content: str, coverage: ShardCoverage) -> None:
        """Publish events with their whole coverage in the footer."""
        document = coverage_as_json(coverage, coverage.months)
        coverage_id = digest([content, json.dumps(document, sort_keys=True)])
        difference = self.differences.of(symbol)
        if difference and difference[BELONGS_TO] == coverage_id:
            # the difference to an earlier footer that was the same: its sessions are not in this one
            coverage_id = digest([coverage_id, json.dumps(difference, sort_keys=True)])
        provenance = {SYMBOL_OF_SHARD: symbol, CONTENT: content, COVERAGE_ID: coverage_id, FOOTER_COVERAGE: document}
        publish_frame(self.lake.shard(symbol), events, provenance, sweeps=False, below=self.lake.root)

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
        return self._require_own(symbol, provenance)

    def _require_own(self, symbol: str, provenance: dict[str, Any]) -> dict[str, Any]:
        path = self.lake.shard(symbol)
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
        return digest(f"{path.name} {inode_state(path)}" for path in (*self.files(), *self.differences.files()))

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
