"""Event shards: one file per symbol, whose footer names the sessions it covers and what they were detected with."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.quality import shard_problems
from smallcaps_assets.domain.tables import SHARD, matched
from smallcaps_assets.domain.versions import rows_digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import provenance_of, publish_frame


@dataclass(frozen=True)
class Coverage:
    """What a shard covers: the fingerprint of each session's bars, its dollar volume, and the detection's own hash."""

    detection: str
    sessions: dict[date, str]
    dollar_volumes: dict[date, float]


@dataclass(frozen=True)
class ShardStore:
    """The event shards of a lake."""

    lake: Lake

    def coverage(self, symbol: str) -> Coverage | None:
        """What the shard of `symbol` covers; None where there is no shard."""
        path = self.lake.shard(symbol)
        if not path.is_file():
            return None
        provenance = provenance_of(path)
        if provenance is None:
            raise LakeError(f"{path}: does not say which sessions it covers. Remove it, its sessions are found again.")
        return Coverage(
            detection=provenance["detection"],
            sessions={date.fromisoformat(day): mark for day, mark in provenance["sessions"].items()},
            dollar_volumes={date.fromisoformat(day): usd for day, usd in provenance["dollar_volumes"].items()},
        )

    def read(self, symbol: str) -> pl.DataFrame:
        """Events of one symbol (SHARD)."""
        path = self.lake.shard(symbol)
        return matched(pl.scan_parquet(path, hive_partitioning=False), SHARD, str(path)).collect()

    def version(self, symbol: str) -> str | None:
        """What tells the events of `symbol` from others, however they were found; None where there is no shard."""
        path = self.lake.shard(symbol)
        known = (provenance_of(path) or {}).get("content") if path.is_file() else None
        return rows_digest(self.read(symbol)) if known is None and path.is_file() else known

    def replace(self, symbol: str, events: pl.DataFrame, coverage: Coverage) -> None:
        """Publish the shard of `symbol` anew.

        Raises:
            LakeError: the events would poison MASTER; names what is wrong with them.
        """
        events = events.match_to_schema(SHARD)
        problems = shard_problems(events, symbol)
        if problems:
            raise LakeError(
                f"{self.lake.shard(symbol)}: {'; '.join(problems)}, so nothing was published. Remove the file if it is "
                f"there, and materialize event_shards of {symbol} again."
            )
        publish_frame(
            self.lake.shard(symbol),
            events,
            {
                "content": rows_digest(events),
                "detection": coverage.detection,
                "sessions": {f"{day}": coverage.sessions[day] for day in sorted(coverage.sessions)},
                "dollar_volumes": {f"{day}": coverage.dollar_volumes[day] for day in sorted(coverage.dollar_volumes)},
            },
        )

    def files(self) -> list[Path]:
        """Every shard, in order of symbol."""
        return sorted(path for path in self.lake.shards.glob("symbol=*.parquet"))

    def symbols(self) -> list[str]:
        """Symbols with a shard, sorted."""
        return [path.stem.removeprefix("symbol=") for path in self.files()]

    def scan(self) -> pl.LazyFrame:
        """Events of all symbols (SHARD)."""
        files = self.files()
        if not files:
            return SHARD.to_frame().lazy()
        return matched(pl.scan_parquet(files, hive_partitioning=False), SHARD, str(self.lake.shards))
