"""Event shards: one file per symbol, whose footer names the sessions it covers and what they were detected with."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.quality import shard_problems
from smallcaps_assets.domain.tables import SHARD, matched
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import provenance_of, publish_frame


@dataclass(frozen=True)
class Coverage:
    """What a shard covers: fingerprint and dollar volume of each session, and under which settings it was detected.

    `detections` has a hash of everything that decides the events of a type, by event type; `tiers` the least score of
    each tier.
    """

    detections: dict[str, str]
    tiers: list[float]
    sessions: dict[date, str]
    dollar_volumes: dict[date, float]
    events: int


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
            # a shard of an earlier version says neither: it was detected under other settings than any
            detections=provenance.get("detections", {}),
            tiers=provenance.get("tiers", []),
            sessions={date.fromisoformat(day): mark for day, mark in provenance["sessions"].items()},
            dollar_volumes={date.fromisoformat(day): usd for day, usd in provenance["dollar_volumes"].items()},
            events=provenance.get("events", 0),
        )

    def read(self, symbol: str) -> pl.DataFrame:
        """Events of one symbol (SHARD)."""
        path = self.lake.shard(symbol)
        return matched(pl.scan_parquet(path, hive_partitioning=False), SHARD, str(path)).collect()

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
                "detections": coverage.detections,
                "tiers": coverage.tiers,
                "sessions": {f"{day}": coverage.sessions[day] for day in sorted(coverage.sessions)},
                "events": coverage.events,
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
