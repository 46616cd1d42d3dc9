"""Minute bars: one file per symbol and ET month, whose footer names the sessions it covers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.bar_checks import SESSION_BARS
from smallcaps_assets.domain.quality import QUARANTINED_BARS, bar_problems
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS, matched
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import disk_errors, provenance_of, publish_frame

DAY = new_york_date(pl.col("timestamp"))


@dataclass(frozen=True)
class BarsStore:
    """The minute bars of a lake. A session without a single bar is covered as well, once it was asked for."""

    lake: Lake

    def covered(self, symbol: str) -> set[date]:
        """The sessions of `symbol` that are here, whether they have bars or not."""
        return {day for path in self._files(symbol) for day in _sessions_of(path)}

    def covers(self, symbol: str, session: date) -> bool:
        """Whether one session of `symbol` is here; reads one footer at most."""
        path = self.lake.bars(symbol) / f"{session:%Y-%m}.parquet"
        return path.is_file() and session in _sessions_of(path)

    def fingerprints(self, symbol: str) -> dict[date, str]:
        """What tells one version of a session's bars from another, by session."""
        return {day: mark for path in self._files(symbol) for day, mark in _sessions_of(path).items()}

    def version(self, symbol: str) -> str:
        """What tells the bars of `symbol` from others; reads footers only."""
        return version_of(self.fingerprints(symbol))

    def session_bars(self, symbols: Collection[str]) -> pl.DataFrame:
        """How many bars each session of `symbols` has (SESSION_BARS); reads footers only."""
        frames = [SESSION_BARS.to_frame()]
        for symbol in symbols:
            marks = self.fingerprints(symbol)
            own = pl.DataFrame({"day": list(marks), "bars": [bars_counted(mark) for mark in marks.values()]})
            frames.append(
                own.select(symbol=pl.lit(symbol), day=pl.col("day").cast(pl.Date), bars="bars").cast(SESSION_BARS)
            )
        return pl.concat(frames)

    def regular_minutes(self, sessions: pl.DataFrame) -> pl.DataFrame:
        """`symbol` and `timestamp` of the bars of all symbols in regular hours of `sessions` (SESSION_TABLE)."""
        wanted = {"symbol": BARS["symbol"], "timestamp": BARS["timestamp"]}
        months = sessions["date"].dt.strftime("%Y-%m").unique()
        files = [path for symbol in self.symbols() for path in self._files(symbol) if path.stem in months]
        if not files:
            return pl.DataFrame(schema=wanted)
        with disk_errors("read", self.lake.root / "bars"):
            bars = matched(pl.scan_parquet(files, hive_partitioning=False), wanted, str(self.lake.root / "bars"))
            inside = pl.col("timestamp").is_between(sessions["regular_open"].min(), sessions["regular_close"].max())
            bounds = sessions.lazy().select("date", "regular_open", "regular_close")
            regular = bars.filter(inside).join(bounds, left_on=DAY, right_on="date")
            regular = regular.filter(pl.col("timestamp").is_between("regular_open", "regular_close", closed="left"))
            return regular.select(*wanted).collect(engine="streaming")

    def symbols(self) -> list[str]:
        """Symbols with at least one month file, sorted."""
        folders = (self.lake.root / "bars" / "minute").glob("symbol=*")
        return sorted(folder.name.removeprefix("symbol=") for folder in folders)

    def read(self, symbol: str, first: date | None = None, last: date | None = None) -> pl.DataFrame:
        """Bars (BARS) of the ET dates from `first` to `last`, both included, sorted by timestamp."""
        files = [
            path
            for path in self._files(symbol)
            if (first is None or path.stem >= f"{first:%Y-%m}") and (last is None or path.stem <= f"{last:%Y-%m}")
        ]
        if not files:
            return BARS.to_frame()
        bars = matched(pl.scan_parquet(files, hive_partitioning=False), BARS, f"bars of {symbol} in {files[0].parent}")
        if first is not None:
            bars = bars.filter(first <= DAY)
        if last is not None:
            bars = bars.filter(last >= DAY)
        with disk_errors("read", self.lake.bars(symbol)):
            return bars.sort("timestamp").collect()

    def add(
        self, symbol: str, month: date, sessions: Collection[date], bars: pl.DataFrame, refused: pl.DataFrame
    ) -> None:
        """Store what the vendor gave for `sessions`, which all lie in the ET month of `month`.

        Bars of sessions that are here already stay as they are; those of `sessions` are replaced. Refused rows go to
        the quarantine first, so that a bar is never in neither place.
        """
        path = self.lake.bars(symbol) / f"{month:%Y-%m}.parquet"
        new = DAY.is_in(list(sessions))
        if path.is_file():
            here = _sessions_of(path)
            with disk_errors("read", path):
                kept = pl.read_parquet(path, hive_partitioning=False).filter(~new)
            known = {day: mark for day, mark in here.items() if day not in sessions}
        else:
            kept, known = BARS.to_frame(), {}
        self._quarantine(self.lake.quarantined(path), sessions, refused)
        fresh = bars.filter(new)
        marks = known | dict.fromkeys(sessions, _no_bars()) | _fingerprints(fresh)
        stored = pl.concat([kept, fresh]).sort("timestamp")
        problems = bar_problems(stored, symbol)
        if problems:
            raise LakeError(
                f"{path}: {'; '.join(problems)}, so nothing was published. Remove the file if it is there, and "
                f"materialize minute_bars of {symbol} again."
            )
        publish_frame(
            path,
            stored,
            {"sessions": {f"{day:%Y-%m-%d}": marks[day] for day in sorted(marks)}},
        )

    def _quarantine(self, path: Path, sessions: Collection[date], refused: pl.DataFrame) -> None:
        new = DAY.is_in(list(sessions))
        rows = refused.filter(new.fill_null(value=True))
        if path.is_file():
            with disk_errors("read", path):
                earlier = pl.read_parquet(path, hive_partitioning=False)
            rows = pl.concat([earlier.filter(~new.fill_null(value=False)), rows]).unique(maintain_order=True)
        elif rows.is_empty():
            return
        publish_frame(path, rows.match_to_schema(QUARANTINED_BARS).sort("timestamp"))

    def _files(self, symbol: str) -> list[Path]:
        return sorted(path for path in self.lake.bars(symbol).glob("*.parquet") if not path.name.startswith("."))


def _sessions_of(path: Path) -> dict[date, str]:
    """Covered sessions and fingerprints of a month file; of a file from elsewhere, the dates it has bars on."""
    provenance = provenance_of(path)
    if provenance is not None:
        return {date.fromisoformat(day): mark for day, mark in provenance["sessions"].items()}
    return _fingerprints(pl.read_parquet(path, hive_partitioning=False))


def version_of(fingerprints: Mapping[date, str]) -> str:
    """What tells the bars of a symbol from others, from the fingerprints of its sessions."""
    return digest(f"{day} {fingerprints[day]}" for day in sorted(fingerprints))


def bars_counted(mark: str) -> int:
    """How many bars a session has, from its fingerprint."""
    return int(mark.partition("-")[0])


def _no_bars() -> str:
    return "0-0000000000000000"


def _fingerprints(bars: pl.DataFrame) -> dict[date, str]:
    """Number of bars and a digest of their values; sums of bit patterns, so that they outlast versions of Polars."""
    bits = [
        pl.col(name).reinterpret(dtype=pl.Int64).fill_null(weight) * (2 * weight + 1)
        for weight, name in enumerate(("open", "high", "low", "close", "volume"), start=1)
    ]
    minute = pl.col("timestamp").dt.epoch("us") // 60_000_000
    digest = (pl.sum_horizontal(*bits, pl.col("transactions").fill_null(-1)) * minute).sum()
    marks = bars.group_by(day=DAY).agg(rows=pl.len(), digest=digest.reinterpret(signed=False))
    return {day: f"{rows}-{digest:016x}" for day, rows, digest in marks.iter_rows()}
