"""Event shards: detect the sessions that are new or changed, leave the rest as it is."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.events import Detection, DetectionParams, detect, reference_verdicts
from smallcaps_assets.domain.features import DAILY
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.tables import SHARD
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.shards import Coverage, ShardStore
from smallcaps_assets.pipeline.history import sessions_between
from smallcaps_assets.pipeline.outcome import Outcome

# Raise it with every change of code that changes what is detected: shards of an earlier version are found again.
CODE_VERSION: Final = "1"


class Backlog(NamedTuple):
    """Sessions of a symbol that have been fetched, and those that are still to be detected."""

    fetched: set[date]
    undetected: set[date]


@dataclass(frozen=True)
class Detector:
    """Everything that finding the events of a symbol takes."""

    bars: BarsStore
    shards: ShardStore
    params: DetectionParams
    sessions: SessionParams
    reference: pl.DataFrame

    def run(self, symbols: Sequence[str]) -> Iterator[Outcome]:
        """Bring the shards of `symbols` up to date; one outcome per symbol.

        A symbol whose files cannot be read or written is reported with the cause and does not stop the others.
        """
        return map(self._detect, symbols)

    def survey(self) -> pl.DataFrame:
        """Every shard: `symbol`, `sessions` (how many it covers), `current` (detected with these settings)."""
        rows = [
            (symbol, len(coverage.sessions), self.is_current(symbol, coverage))
            for symbol in self.shards.symbols()
            if (coverage := self.shards.coverage(symbol))
        ]
        schema = {"symbol": pl.String, "sessions": pl.Int64, "current": pl.Boolean}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def is_current(self, symbol: str, coverage: Coverage | None) -> bool:
        """Whether a shard was detected with these settings; true where there is none."""
        known = self.reference.filter(pl.col("symbol") == symbol)
        return coverage is None or coverage.detection == self._identity(known)

    def backlog(self, symbol: str) -> Backlog:
        """The sessions of `symbol` that have bars, and those of them that its shard does not hold as they are now.

        Raises:
            LakeError: a file cannot be read.
        """
        marks, before = self.bars.fingerprints(symbol), self.shards.coverage(symbol)
        if before is None or not self.is_current(symbol, before):
            return Backlog(set(marks), set(marks))
        return Backlog(set(marks), {day for day, mark in marks.items() if before.sessions.get(day) != mark})

    def _detect(self, symbol: str) -> Outcome:
        try:
            return self._detect_symbol(symbol)
        except LakeError as error:
            return Outcome((symbol,), {}, (f"{symbol}: {error}",))

    def _detect_symbol(self, symbol: str) -> Outcome:
        marks = self.bars.fingerprints(symbol)
        known = self.reference.filter(pl.col("symbol") == symbol)
        identity = self._identity(known)
        before = self.shards.coverage(symbol)
        usable = before if before and before.detection == identity else None
        since = _first_stale(marks, usable)
        if usable and since is None:
            events = self.shards.read(symbol)
            return Outcome((symbol,), _figures(marks, 0, events), rows=events.height)
        if not marks:
            self.shards.replace(symbol, SHARD.to_frame(), Coverage(identity, {}, {}))
            return Outcome((symbol,), _figures(marks, 0, SHARD.to_frame()), rows=0)
        since = since or min(marks)
        earlier = self.shards.read(symbol).filter(pl.col("date") < f"{since}") if usable else SHARD.to_frame()
        volumes = {day: usd for day, usd in usable.dollar_volumes.items() if day < since} if usable else {}
        found = self._detect_since(symbol, since, max(since, *marks), volumes, known)
        events = pl.concat([earlier, found.events])
        volumes |= dict(found.daily.select("day", "dollar_volume_day").iter_rows())
        self.shards.replace(symbol, events, Coverage(identity, marks, volumes))
        figures = _figures(marks, sum(day >= since for day in marks), events)
        figures |= {"events_detected": found.events.height} | found.counts
        return Outcome((symbol,), figures, rows=events.height)

    def _detect_since(
        self, symbol: str, since: date, last: date, volumes: dict[date, float], known: pl.DataFrame
    ) -> Detection:
        bars = self.bars.read(symbol, since, last)
        history = pl.DataFrame(
            {"symbol": [symbol] * len(volumes), "day": list(volumes), "dollar_volume_day": list(volumes.values())},
            schema=DAILY,
        )
        return detect(
            bars,
            sessions_between(since, last, self.sessions),
            self.params,
            reference=known,
            earlier_days=history.sort("day"),
        )

    def _identity(self, known: pl.DataFrame) -> str:
        """What a shard was detected with: code, thresholds, sessions, and what reference data allowed of the symbol."""
        allowed = reference_verdicts(known, self.params.filters).write_json()
        parts = (CODE_VERSION, self.params.model_dump_json(), self.sessions.model_dump_json(), allowed)
        text = "\n".join(parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _first_stale(marks: dict[date, str], coverage: Coverage | None) -> date | None:
    """The first session whose events, or whose volume that later days compare with, is not what the shard holds."""
    known = coverage.sessions if coverage else {}
    return min((day for day in marks.keys() | known.keys() if marks.get(day) != known.get(day)), default=None)


def _figures(marks: dict[date, str], detected: int, events: pl.DataFrame) -> dict[str, int | float]:
    return {"sessions": len(marks), "sessions_detected": detected, "events": events.height}
