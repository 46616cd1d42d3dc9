"""What of bars that people bring may be used: sorted out by symbol, and held against sessions and against the lake."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from threading import Lock
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.quality import ANOTHER, QUARANTINED_BARS, CleanBars, reasons, usable_rows
from smallcaps_assets.domain.imports.conflicts import unique_bars
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.symbols import symbol_is_safe
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.month_files import DAY
from smallcaps_assets.pipeline.imports.bar_files import NAMED, Source
from smallcaps_assets.pipeline.imports.bar_tables import FILE

NOT_A_MINUTE: Final = "timestamp is not the start of a minute"
NOT_OF_PATH: Final = "the path says another symbol"
# the clock, New York, between which there are bars
HOURS: Final = (4, 20)
# Of a few, one tells nothing: files and sessions of fewer bars are judged together, of which fewer tell nothing.
LEAST_ALONE: Final = 20
LEAST: Final = 100
# Of a day that is read an hour off, more than this lies outside; of true ones hardly any.
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

    @property
    def has_bars(self) -> bool:
        """Whether there is a bar to merge."""
        return not self.bars.is_empty()

    @property
    def off_hours(self) -> int:
        """How many of the bars lie outside of the hours of trading."""
        return int(self.bars.select(_off_hours().sum()).item())

    def without(self, days: Collection[date]) -> "Own":
        """All but the sessions of `days`."""
        refused = self.refused.filter(~DAY.is_in(list(days)).fill_null(value=False))
        return replace(self, bars=self.bars.filter(~pl.col("day").is_in(list(days))), refused=refused)


class Judged(NamedTuple):
    """The symbols of a batch, sorted; rows (QUARANTINED_BARS) of no symbol; how many rows only copied bad ones.

    `repeats` is how many rows say what another of their minute says. `minutes` (MINUTES) are those of which the batch
    has several rows.
    """

    own: list[Own]
    nameless: pl.DataFrame
    copies: int
    repeats: int
    minutes: pl.DataFrame


def is_beyond(part: int, of: int, most_pct: float) -> bool:
    """Whether a part is more than may be, of enough to tell."""
    return of >= LEAST and 100 * part > most_pct * of


def beyond(counts: pl.DataFrame, part: str, of: str, most_pct: float) -> pl.DataFrame:
    """Rows of `counts` of which a part is more than may be; thin ones where that is so of all thin ones together."""
    thin = counts.filter(pl.col(of) < LEAST_ALONE)
    together = is_beyond(int(thin[part].sum()), int(thin[of].sum()), most_pct)
    tells = pl.lit(value=True) if together else pl.col(of) >= LEAST_ALONE
    return counts.filter(tells & (100 * pl.col(part) > most_pct * pl.col(of)))


def outside(bars: pl.LazyFrame, over: Sequence[date]) -> dict[str, str]:
    """The files of bars (BARS and FILE) too many of which lie outside of every session, and what to say of each.

    Rows without volume or close are no bars: some vendors have one for every minute of the day.
    """
    is_bar = (pl.col("volume") > 0) & pl.col("close").is_finite() & pl.col("timestamp").is_not_null()
    known = (over[-1] < DAY) | (DAY.is_in(list(over)) & ~_off_hours())
    counts = bars.filter(is_bar).group_by(FILE).agg(bars=pl.len(), outside=(~known).sum())
    found = beyond(counts.collect(engine="streaming"), "outside", "bars", MOST_OUTSIDE_PCT).sort(FILE)
    return {
        file: f"{outside:,} of {bars:,} bars ({100 * outside / bars:.0f} %) lie outside {HOURS[0]:02}:00 to "
        f"{HOURS[1]:02}:00 New York, or on days without a session; {MOST_OUTSIDE_PCT:.0f} % may. Is --timezone, --unit "
        "or --timestamp-is wrong, or has the file several time zones? Nothing of it was taken in. Correct it, or say "
        "--allow-outside if the times are right."
        for file, bars, outside in found.select(FILE, "bars", "outside").iter_rows()
    }


class Disputed(NamedTuple):
    """Sessions (`symbol`, `day`) of which nothing is taken in, and what to say of them."""

    sessions: pl.DataFrame
    told: list[str]


def disputed(batch: pl.DataFrame, lake: pl.DataFrame, own: pl.DataFrame, folder: object) -> Disputed:
    """The sessions whose bars differ too often from those of the lake, or from one another.

    Args:
        batch: the bars (BARS and FILE).
        lake: of how many minutes the lake has a bar as well (MINUTES).
        own: of how many minutes the batch has several bars (MINUTES).
        folder: where the lake keeps its bars.
    """
    from_lake = beyond(lake, "other", "both", MOST_DIFFERING_PCT)
    apart = beyond(own, "other", "both", MOST_DIFFERING_PCT)
    told = []
    if not from_lake.is_empty():
        shares = _shares(from_lake, "that the lake has as well differ")
        told.append(
            f"{_files_of(batch, from_lake)}: {shares}. Is --timezone or --timestamp-is wrong, are prices adjusted, or "
            "are the bars of the lake wrong, as of a file that was imported before and is corrected now? Nothing of "
            "these sessions was taken in. Correct it; or say which bars stay: --on-conflict keep, or replace; or, so "
            f"that no minute stays that only the lake has, remove the folders of the symbols in {folder} and import "
            "everything again."
        )
    if not apart.is_empty():
        shares = _shares(apart, "that have several bars have different ones")
        told.append(
            f"{_files_of(batch, apart)}: {shares}. Are some of them adjusted, or of another time zone? Nothing of "
            "these sessions was taken in. Leave out the file that is wrong; or say which bars stay: --on-conflict keep "
            "for the first, or replace for the last."
        )
    return Disputed(pl.concat([from_lake, apart]).select("symbol", "day").unique(), told)


def _files_of(batch: pl.DataFrame, sessions: pl.DataFrame) -> str:
    """The files of a batch that have rows of sessions (`symbol`, `day`)."""
    rows = batch.lazy().select(FILE, "symbol", day=DAY)
    files = rows.join(sessions.lazy(), on=["symbol", "day"], how="semi").select(pl.col(FILE).unique().sort())
    names = files.collect()[FILE].to_list()
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _shares(found: pl.DataFrame, how: str) -> str:
    """How many of which minutes do what they should not."""
    both, other = int(found["both"].sum()), int(found["other"].sum())
    names = [f"{symbol} on {day}" for symbol, day in found.sort("symbol", "day").select("symbol", "day").iter_rows()]
    more = f" and {len(names) - NAMED:,} more sessions" if len(names) > NAMED else ""
    return (
        f"{other:,} of the {both:,} minutes of {', '.join(names[:NAMED])}{more} {how} ({100 * other / both:.0f} %); "
        f"{MOST_DIFFERING_PCT:.0f} % may"
    )


def judged(
    batch: pl.DataFrame, source: Source, over: Sequence[date], problems: list[str], *, last: bool = False
) -> Judged:
    """Sort out a batch (BARS and FILE); of what is wrong with it as a whole, `problems` are told.

    Of several bars of a minute the first stays, in the order of the files, or else the `last`.
    """
    minutes, no_minutes = reject_misplaced(batch, source.symbol)
    problems += _other_symbols(no_minutes.filter(reason=NOT_OF_PATH), source)
    usable, bad_rows = usable_rows(minutes, [FILE])
    found = unique_bars(_in_order(usable, source), last=last)
    every = pl.concat([bad_rows, no_minutes])
    is_over = pl.col("day").is_in(list(over))
    others = _because(found.differing.filter(DAY.is_in(list(over))), ANOTHER)
    refused = pl.concat([every.unique(maintain_order=True), others.unique(maintain_order=True)])
    is_safe = symbol_is_safe(pl.col("symbol"))
    good = found.bars.sort("symbol", "timestamp").partition_by("symbol", as_dict=True)
    bad = refused.sort("symbol", "timestamp").filter(is_safe).partition_by("symbol", as_dict=True)
    symbols = sorted({str(symbol) for (symbol,) in good.keys() | bad.keys()})
    own = [_own(symbol, good.get((symbol,)), bad.get((symbol,)), over) for symbol in symbols]
    copies = every.height + others.height - refused.height
    return Judged(own, refused.filter(~is_safe), copies, found.equal, found.minutes.filter(is_over))


def _in_order(bars: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Bars (BARS) in the order of their files: those of other columns were read after the others."""
    files = bars[FILE].cast(pl.Enum([str(file) for file in source.files])).to_physical()
    return (bars if files.is_sorted() else bars[files.arg_sort()]).select(*BARS)


def _off_hours() -> pl.Expr:
    hour = pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt.hour()
    return (hour < HOURS[0]) | (hour >= HOURS[1])


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
    return Own(symbol, usable, refused, bars.height - usable.height - late, late)


def reject_misplaced(bars: pl.DataFrame, symbol: str | None) -> CleanBars:
    """Separate rows that are no minutes of the symbol whose files they are in; the values are not judged yet.

    Args:
        bars: BARS, and further columns that the good rows keep.
        symbol: the symbol that the path of their files names; None where it names none.
    """
    is_minute = (pl.col("timestamp").dt.epoch("us") % 60_000_000 == 0).fill_null(value=True)
    reason: pl.Expr = pl.when(~is_minute).then(pl.lit(NOT_A_MINUTE))
    if symbol is not None:
        reason = pl.when(pl.col("symbol") != symbol).then(pl.lit(NOT_OF_PATH)).otherwise(reason)
    judged = bars.with_columns(reason=reason)
    is_good = pl.col("reason").is_null()
    return CleanBars(judged.filter(is_good).drop("reason"), judged.filter(~is_good).select(*QUARANTINED_BARS))


def _because(rows: pl.DataFrame, reason: str) -> pl.DataFrame:
    return rows.with_columns(reason=pl.lit(reason)).select(*QUARANTINED_BARS)


def _other_symbols(rows: pl.DataFrame, source: Source) -> list[str]:
    """What to report of rows of other symbols than their path's."""
    others = ", ".join(rows["symbol"].unique().sort().to_list()[:5])
    message = (
        f"{source.name}: the path says symbol {source.symbol}, the column symbol {others}. The {rows.height:,} rows of "
        "another symbol than the path's are set aside: rename the folder or file, or correct the column."
    )
    return [message] if others else []


@dataclass
class Refused:
    """How many rows were refused for each reason, with the first that was met."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    @property
    def bad(self) -> int:
        """How many there are that no other bar of their minute took the place of."""
        return sum(count for reason, count in self.counts.items() if reason != ANOTHER)

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
