"""Event shards: one file per symbol, and beside it a small one that says what it covers and how it was detected.

Most sessions of most symbols have no event: then the small file grows by a line that says what of it changed, and is
written anew after some of these. It names the content of the shard that it speaks of. Where a killed process left the
two at odds, or a failure of power tore the small one, which is not flushed to disk for the many there are, the shard
counts as none, and is found again; a line that is torn counts as none, and its sessions are looked at again.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import polars as pl

from smallcaps_assets.domain.bars.quality import shard_problems
from smallcaps_assets.domain.tables import SHARD, match_columns
from smallcaps_assets.domain.versions import rows_digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.months import Month
from smallcaps_assets.lake.publish import (
    append_line,
    disk_errors,
    provenance_of,
    publish_frame,
    publish_text,
    sweep_below,
)

CONTENT: Final = "content"
TOLD: Final = {"id", "detections", "tiers", "files", "events"}
# then what is covered is written anew; about a month of sessions
MOST_LINES: Final = 25


class Document(NamedTuple):
    """What the small file of a shard says: its `id`, the `lines` that were added to it, and the files of bars."""

    id: str
    lines: int
    months: Mapping[str, Month]


@dataclass(frozen=True)
class Coverage:
    """What a shard covers: fingerprint and dollar volume of each session, and under which settings it was detected.

    `detections` has a hash of everything that decides the events of a type, by event type; `tiers` the least score of
    each tier; `months` the sessions by the names of the files of bars. `content` tells the `events` that a shard holds
    from others; None of events that are not published yet. `document` is where it was read.
    """

    detections: dict[str, str]
    tiers: list[float]
    months: dict[str, Month]
    events: int
    content: str | None = None
    document: Document | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls,
        detections: dict[str, str],
        tiers: list[float],
        sessions: Mapping[date, str],
        dollar_volumes: Mapping[date, float],
        events: int,
    ) -> Self:
        """A shard of sessions with these fingerprints and dollar volumes."""
        by_month = groupby(sorted(sessions), key=lambda day: f"{day:%Y-%m}")
        months = {name: Month.of(None, {day: sessions[day] for day in days}, dollar_volumes) for name, days in by_month}
        return cls(detections, tiers, months, events)

    @cached_property
    def sessions(self) -> dict[date, str]:
        """The fingerprint of each session."""
        return {day: mark for name in sorted(self.months) for day, mark in self.months[name].marks().items()}

    @property
    def session_count(self) -> int:
        """How many sessions, which is known without reading each."""
        return sum(map(len, self.months.values()))

    @property
    def dollar_volumes(self) -> dict[date, float]:
        """What was traded in each session that has bars."""
        return {day: usd for name in sorted(self.months) for day, usd in self.months[name].dollar_volumes().items()}


@dataclass(frozen=True)
class ShardStore:
    """The event shards of a lake."""

    lake: Lake

    def coverage(self, symbol: str) -> Coverage | None:
        """What the shard of `symbol` covers; None where there is no shard, or it is not known what it covers."""
        content, path = self.version(symbol), self._sidecar(symbol)
        if content is None or not path.is_file():
            return None
        with disk_errors("read", path):
            first, *lines = path.read_bytes().split(b"\n")
        told = _object(first)
        if told.get(CONTENT) != content or not told.keys() >= TOLD:
            return None
        files = told["files"]
        for place, line in enumerate(map(_object, lines)):
            if (line.get("of"), line.get("after")) == (told["id"], place):
                files |= line["files"]
        months = {name: Month.from_json(month) for name, month in files.items()}
        return Coverage(
            detections=told["detections"],
            tiers=told["tiers"],
            months=months,
            events=told["events"],
            content=content,
            document=Document(told["id"], len(lines), months),
        )

    def read(self, symbol: str) -> pl.DataFrame:
        """Events of one symbol (SHARD)."""
        return self.read_together([symbol])

    def read_together(self, symbols: Collection[str]) -> pl.DataFrame:
        """Events (SHARD) of several symbols, one symbol after the other."""
        if not symbols:
            return SHARD.to_frame()
        files = [self.lake.shard(symbol) for symbol in symbols]
        with disk_errors("read", files[0] if len(files) == 1 else self.lake.shards):
            events = self._scan(files).collect()
        if strangers := set(events["symbol"].unique()) - set(symbols):
            raise LakeError(
                f"{files[0] if len(files) == 1 else self.lake.shards}: holds events of {strangers.pop()} under another "
                "symbol. Remove that shard, its sessions are found again."
            )
        return events

    def version(self, symbol: str) -> str | None:
        """What tells the events of `symbol` from others, however they were found; None where there is no shard.

        Raises:
            LakeError: it cannot be read, or is a file of some other origin.
        """
        path = self.lake.shard(symbol)
        if not path.is_file():
            return None
        provenance = provenance_of(path)
        if provenance is None:
            raise LakeError(f"{path}: is no shard that was detected here. Remove it, its sessions are found again.")
        # one of an earlier version does not say; its sessions are found again
        content: str | None = provenance.get(CONTENT)
        return content

    def replace(self, symbol: str, events: pl.DataFrame, coverage: Coverage) -> None:
        """Publish the shard of `symbol` anew.

        Raises:
            LakeError: the disk refuses, or the events would poison MASTER; names what is wrong with them.
        """
        failed = self.replace_together(events, {symbol: coverage})
        if failed:
            raise failed[symbol]

    def replace_together(self, events: pl.DataFrame, coverages: Mapping[str, Coverage]) -> dict[str, LakeError]:
        """Publish the shards of several symbols anew, and return by symbol what was not published, and why.

        Args:
            events: SHARD, one symbol after the other; of symbols whose coverage names a `content`, which stays, none.
            coverages: by symbol, what its shard covers.
        """
        events = events.match_to_schema(SHARD)
        suspects = coverages if shard_problems(events, coverages) else ()
        own = events.partition_by("symbol", as_dict=True, maintain_order=True)
        none = events.clear()
        failed: dict[str, LakeError] = {}
        for symbol, coverage in coverages.items():
            of_symbol = own.get((symbol,), none) if len(coverages) > 1 else events
            try:
                if symbol in suspects:
                    self._require_sound(symbol, of_symbol)
                self._publish(symbol, of_symbol, coverage)
            except LakeError as error:
                failed[symbol] = error
        places = (place for symbol in coverages for place in (self.lake.shard(symbol), self._sidecar(symbol)))
        sweep_below(self.lake.shards, ".symbol=*.part", of={place.name for place in places})
        return failed

    def _publish(self, symbol: str, events: pl.DataFrame, coverage: Coverage) -> None:
        content, document = coverage.content, coverage.document
        if content is None:
            content = rows_digest(events)
            if self._content(symbol) != content:
                publish_frame(self.lake.shard(symbol), events, {CONTENT: content}, sweeps=False)
        elif document and document.lines < MOST_LINES and document.months.keys() <= coverage.months.keys():
            before = document.months
            changed = {name: month for name, month in coverage.months.items() if month is not before.get(name)}
            # a line counts only after those that its writer knew of: of two processes one is heard
            line = {"of": document.id, "after": document.lines, "files": _as_json(changed)}
            append_line(self._sidecar(symbol), json.dumps(line))
            return
        told = json.dumps({CONTENT: content} | _told(coverage))
        # so that lines of another document are not taken for its own
        own = hashlib.sha256(told.encode()).hexdigest()[:16]
        publish_text(self._sidecar(symbol), f'{{"id": "{own}", {told[1:]}', sweeps=False, flushes=False)

    def _content(self, symbol: str) -> str | None:
        path = self.lake.shard(symbol)
        provenance = provenance_of(path) if path.is_file() else None
        return provenance.get(CONTENT) if provenance else None

    def _sidecar(self, symbol: str) -> Path:
        return self.lake.shard(symbol).with_suffix(".jsonl")

    def _require_sound(self, symbol: str, events: pl.DataFrame) -> None:
        if problems := shard_problems(events, [symbol]):
            raise LakeError(
                f"{self.lake.shard(symbol)}: {'; '.join(problems)}, so nothing was published. Remove the file if it is "
                f"there, and materialize event_shards of {symbol} again."
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
        return self._scan(files) if files else SHARD.to_frame().lazy()

    def _scan(self, files: list[Path]) -> pl.LazyFrame:
        what = str(files[0] if len(files) == 1 else self.lake.shards)
        return match_columns(pl.scan_parquet(files, hive_partitioning=False), SHARD, what)


def _told(coverage: Coverage) -> dict[str, Any]:
    return {
        "detections": coverage.detections,
        "tiers": coverage.tiers,
        "events": coverage.events,
        "files": _as_json(coverage.months),
    }


def _as_json(months: Mapping[str, Month]) -> dict[str, Any]:
    return {name: month.as_json() for name, month in sorted(months.items())}


def _object(line: bytes) -> dict[str, Any]:
    """What a line of JSON says; nothing where it is torn."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
