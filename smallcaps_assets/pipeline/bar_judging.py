"""What of bars that people bring may be used: sorted out by symbol, and held against sessions and against the lake."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from threading import Lock
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.quality import QUARANTINED_BARS, REPEATED, clean_bars, reasons
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tables import BARS, as_listed, symbol_is_safe
from smallcaps_assets.lake.bars import DAY
from smallcaps_assets.pipeline.bar_sources import Source

NOT_A_MINUTE: Final = "timestamp is not the start of a minute"
NOT_OF_PATH: Final = "the path says another symbol"
# the clock, New York, between which there are bars
HOURS: Final = (4, 20)
# Fewer bars tell nothing. Of a day that is read an hour off, more than this lies outside; of true ones hardly any.
LEAST: Final = 100
MOST_OUTSIDE_PCT: Final = 5.0
# Two vendors differ in a few bars of a day; another time zone, or adjusted prices, in most of them.
MOST_DIFFERING_PCT: Final = 20.0


@dataclass(frozen=True)
class Own:
    """What a batch holds of one symbol: bars (BARS and `day`) of sessions that are over, and what is not used."""

    symbol: str
    bars: pl.DataFrame
    refused: pl.DataFrame
    on_other_days: int
    not_over: int
    off_hours: int

    @property
    def has_bars(self) -> bool:
        """Whether there is a bar to merge."""
        return not self.bars.is_empty()


class Judged(NamedTuple):
    """The symbols of a batch, sorted; rows (QUARANTINED_BARS) of no symbol; how many rows only copied bad ones."""

    own: list[Own]
    nameless: pl.DataFrame
    copies: int

    @property
    def refused(self) -> pl.DataFrame:
        """Every row that may not be used."""
        return pl.concat([self.nameless, *(one.refused for one in self.own)])

    def outside(self, source: Source) -> str | None:
        """What to say if too many bars lie outside of every session; None where they do not."""
        outside = sum(one.on_other_days + one.off_hours for one in self.own)
        bars = sum(one.bars.height + one.on_other_days + one.not_over for one in self.own)
        if not is_beyond(outside, bars, MOST_OUTSIDE_PCT):
            return None
        return (
            f"{source.name}: {outside:,} of {bars:,} bars ({100 * outside / bars:.0f} %) lie outside 04:00 to 20:00 "
            f"New York, or on days without a session; {MOST_OUTSIDE_PCT:.0f} % may. Is --timezone, --unit or "
            "--timestamp-is wrong, or has a file several time zones? Nothing of it was taken in. Correct it, or say "
            "--allow-outside if the times are right."
        )


def is_beyond(part: int, of: int, most_pct: float) -> bool:
    """Whether a part is more than may be, of enough to tell."""
    return of >= LEAST and 100 * part > most_pct * of


def differing(source: Source, of: Mapping[str, tuple[int, int]], folder: object) -> tuple[set[str], str | None]:
    """The symbols whose bars differ too often from those of the lake, and what to say of them.

    Args:
        source: what they came from.
        of: by symbol, how many minutes the lake has as well, and how many of them differ.
        folder: where the lake keeps its bars.
    """
    both, other = (sum(counts[at] for counts in of.values()) for at in (0, 1))
    beyond = {symbol for symbol, (both, other) in of.items() if is_beyond(other, both, MOST_DIFFERING_PCT)}
    bad = set(of) if is_beyond(other, both, MOST_DIFFERING_PCT) else beyond
    if not bad:
        return bad, None
    both, other = (sum(of[symbol][at] for symbol in bad) for at in (0, 1))
    names = ", ".join(sorted(bad)[:5]) + (f" and {len(bad) - 5:,} more" if len(bad) > 5 else "")  # noqa: PLR2004
    return bad, (
        f"{source.name}: {other:,} of the {both:,} minutes of {names} that the lake has as well differ "
        f"({100 * other / both:.0f} %); {MOST_DIFFERING_PCT:.0f} % may. Is --timezone or --timestamp-is wrong, are "
        "prices adjusted, or are the bars of the lake wrong? Nothing of these symbols was taken in. Correct it; or "
        f"remove their folders in {folder}; or say which bars stay: --on-conflict keep, or replace."
    )


def judged(batch: pl.DataFrame, source: Source, over: Sequence[date], problems: list[str]) -> Judged:
    """Sort out a batch (BARS); of what is wrong with it as a whole, `problems` are told."""
    listed = batch.with_columns(symbol=as_listed(pl.col("symbol")))
    elsewhere = listed.clear()
    if source.symbol is not None:
        listed, elsewhere = _of_path(listed, source, problems)
    on_minute = (pl.col("timestamp").dt.epoch("us") % 60_000_000 == 0).fill_null(value=True)
    clean = clean_bars(listed.filter(on_minute))
    odd = _because(listed.filter(~on_minute), NOT_A_MINUTE)
    every = pl.concat([clean.quarantined, odd, _because(elsewhere, NOT_OF_PATH)])
    refused = every.unique(maintain_order=True)
    is_safe = symbol_is_safe(pl.col("symbol"))
    good = clean.good.partition_by("symbol", as_dict=True)
    bad = refused.filter(is_safe).partition_by("symbol", as_dict=True)
    symbols = sorted({str(symbol) for (symbol,) in good.keys() | bad.keys()})
    own = [_own(symbol, good.get((symbol,)), bad.get((symbol,)), over) for symbol in symbols]
    return Judged(own, refused.filter(~is_safe), every.height - refused.height)


def by_month(rows: pl.DataFrame) -> dict[date | None, pl.DataFrame]:
    """Rows with a `day` by the first day of their month; None where they have no day."""
    months = rows.with_columns(month=pl.col("day").dt.truncate("1mo")).partition_by("month", as_dict=True)
    return {month: own.drop("day", "month") for (month,), own in months.items()}


def _own(symbol: str, good: pl.DataFrame | None, bad: pl.DataFrame | None, over: Sequence[date]) -> Own:
    bars = BARS.to_frame() if good is None else good
    refused = QUARANTINED_BARS.to_frame() if bad is None else bad
    dated = bars.with_columns(day=DAY)
    late = dated.filter(pl.col("day") > over[-1]).height
    usable = dated.filter(pl.col("day").is_in(list(over)))
    hour = pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt.hour()
    off = usable.select(((hour < HOURS[0]) | (hour >= HOURS[1])).sum()).item()
    return Own(symbol, usable, refused, bars.height - usable.height - late, late, int(off))


def _because(rows: pl.DataFrame, reason: str) -> pl.DataFrame:
    return rows.with_columns(reason=pl.lit(reason)).match_to_schema(QUARANTINED_BARS)


def _of_path(bars: pl.DataFrame, source: Source, problems: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bars of the symbol that the path says, and the others."""
    is_own = pl.col("symbol") == source.symbol
    elsewhere = bars.filter(~is_own)
    others = elsewhere["symbol"].unique().sort().to_list()
    if others:
        problems.append(
            f"{source.name}: the path says symbol {source.symbol}, the column symbol {', '.join(others[:5])}. The "
            f"{elsewhere.height:,} rows of another symbol than the path's are set aside: rename the folder or file, or "
            "correct the column."
        )
    return bars.filter(is_own), elsewhere


@dataclass
class Refused:
    """How many rows were refused for each reason, with the first that was met."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    @property
    def bad(self) -> int:
        """How many there are that do not merely repeat a minute."""
        return sum(count for reason, count in self.counts.items() if reason != REPEATED)

    def add(self, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """Count rows (QUARANTINED_BARS); returns the first of each reason that was not met before."""
        with self._lock:
            fresh = {}
            for reason, count in reasons(rows).items():
                if reason not in self.counts:
                    fresh[reason] = rows.filter(reason=reason).head(1)
                self.counts[reason] = self.counts.get(reason, 0) + count
        return fresh

    def first(self) -> str:
        """The most frequent reason in a sentence; empty where there is none."""
        lines = self.lines()
        return f"The most frequent reason: {' '.join(lines[0].split()[1:])}." if lines else ""

    def lines(self) -> list[str]:
        """A line for each reason, the most frequent first."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return [f"  {count:>9,}  {reason}; such as {self.examples.get(reason, '')}" for reason, count in ordered]
