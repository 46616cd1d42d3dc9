"""Event shards: detect the sessions that are new or changed, leave the rest as it is."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.events import COUNTS, Detection, DetectionParams, detect, reference_verdicts
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


# bars of one detection, so that memory is bounded; a single symbol of 750 sessions has about as many
BARS_AT_ONCE: Final = 250_000


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

        Symbols with little to detect are detected together, which takes no more time than one of them. A symbol whose
        files cannot be read or written is reported with the cause and does not stop the others.
        """
        together: list[_Work] = []
        for symbol in symbols:
            try:
                found = self._work(symbol)
            except LakeError as error:
                yield Outcome((symbol,), {}, (f"{symbol}: {error}",))
                continue
            if isinstance(found, Outcome):
                yield found
                continue
            if together and sum(work.bars.height for work in [*together, found]) > BARS_AT_ONCE:
                yield from self._detect(together)
                together = []
            together.append(found)
        yield from self._detect(together)

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

    def _work(self, symbol: str) -> "_Work | Outcome":
        """What is to be detected of a symbol, or its outcome where there is nothing to detect."""
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
        return _Work(
            symbol=symbol,
            identity=identity,
            marks=marks,
            since=since,
            known=known,
            volumes={day: usd for day, usd in usable.dollar_volumes.items() if day < since} if usable else {},
            earlier=self.shards.read(symbol).filter(pl.col("date") < f"{since}") if usable else SHARD.to_frame(),
            bars=self.bars.read(symbol, since, max(since, *marks)),
        )

    def _detect(self, together: "Sequence[_Work]") -> Iterator[Outcome]:
        """Detect several symbols at once, each from its own first stale session on, and publish their shards."""
        if not together:
            return
        first, last = min(work.since for work in together), max(max(work.since, *work.marks) for work in together)
        found = detect(
            pl.concat(work.bars for work in together),
            sessions_between(first, last, self.sessions),
            self.params,
            reference=pl.concat(work.known for work in together),
            earlier_days=pl.concat(work.history() for work in together),
        )
        events, daily = (frame.partition_by("symbol", as_dict=True) for frame in (found.events, found.daily))
        for work in together:
            own = Detection(
                events.get((work.symbol,), SHARD.to_frame()),
                daily.get((work.symbol,), DAILY.to_frame()),
                {work.symbol: found.by_symbol.get(work.symbol, dict.fromkeys(COUNTS, 0))},
            )
            try:
                yield self._publish(work, own)
            except LakeError as error:
                yield Outcome((work.symbol,), {}, (f"{work.symbol}: {error}",))

    def _publish(self, work: "_Work", found: Detection) -> Outcome:
        events = pl.concat([work.earlier, found.events])
        volumes = work.volumes | dict(found.daily.select("day", "dollar_volume_day").iter_rows())
        self.shards.replace(work.symbol, events, Coverage(work.identity, work.marks, volumes))
        figures = _figures(work.marks, sum(day >= work.since for day in work.marks), events)
        figures |= {"events_detected": found.events.height} | found.counts
        return Outcome((work.symbol,), figures, rows=events.height)

    def _identity(self, known: pl.DataFrame) -> str:
        """What a shard was detected with: code, thresholds, sessions, and what reference data allowed of the symbol."""
        allowed = reference_verdicts(known, self.params.filters).write_json()
        parts = (CODE_VERSION, self.params.model_dump_json(), self.sessions.model_dump_json(), allowed)
        text = "\n".join(parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Work:
    """What is to be detected of one symbol: its bars from `since` on, and what its shard keeps of the days before."""

    symbol: str
    identity: str
    marks: dict[date, str]
    since: date
    known: pl.DataFrame
    volumes: dict[date, float]
    earlier: pl.DataFrame
    bars: pl.DataFrame

    def history(self) -> pl.DataFrame:
        """Dollar volumes (DAILY) of the days before."""
        days = {"symbol": [self.symbol] * len(self.volumes), "day": list(self.volumes)}
        return pl.DataFrame(days | {"dollar_volume_day": list(self.volumes.values())}, schema=DAILY).sort("day")


def _first_stale(marks: dict[date, str], coverage: Coverage | None) -> date | None:
    """The first session whose events, or whose volume that later days compare with, is not what the shard holds."""
    known = coverage.sessions if coverage else {}
    return min((day for day in marks.keys() | known.keys() if marks.get(day) != known.get(day)), default=None)


def _figures(marks: dict[date, str], detected: int, events: pl.DataFrame) -> dict[str, int | float]:
    return {"sessions": len(marks), "sessions_detected": detected, "events": events.height}
