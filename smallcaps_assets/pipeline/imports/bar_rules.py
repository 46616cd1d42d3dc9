"""Which imported bars are usable: judged by symbol, against the sessions, the lake and one another."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from threading import Lock
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.quality import ANOTHER, QUARANTINED_BARS, CleanBars, reasons, usable_rows
from smallcaps_assets.domain.bars.unknown import OPTIONAL, UNKNOWN
from smallcaps_assets.domain.imports.conflicts import unique_bars
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.symbols import symbol_is_safe
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.lake.bar_files.import_records import Rejections
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.pipeline.imports.bar_files import MOST_NAMES, Source
from smallcaps_assets.pipeline.imports.bar_messages import describe_sessions, is_beyond, name_files, name_sessions
from smallcaps_assets.pipeline.imports.bar_tables import FILE

# values that identify a usable row
_VALUES: Final = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
NOT_OF_PATH: Final = "the path says another symbol"
# New York hours between which there are bars
HOURS: Final = (4, 20)
# A share of a few bars proves nothing: files and sessions with fewer bars than MIN_BARS_EACH are judged together, and
# only if they have LEAST bars together.
MIN_BARS_EACH: Final = 20
# A file read an hour off has more than this outside; a correct one hardly any.
MOST_OUTSIDE_PCT: Final = 5.0
# Two vendors differ in a few bars of a day; another time zone, or adjusted prices, in most of them.
MOST_DIFFERING_PCT: Final = 20.0


@dataclass(frozen=True)
class SymbolBars:
    """Bars of one symbol in a batch (BARS and `day`) of sessions that are over, its rejected rows, and counts.

    `unknown` (UNKNOWN) are the values of these bars that meant "not known" in the files.
    """

    symbol: str
    bars: pl.DataFrame
    rejected: pl.DataFrame
    on_other_days: int
    not_over: int
    unknown: pl.DataFrame = field(default_factory=UNKNOWN.to_frame)

    @property
    def has_bars(self) -> bool:
        """Whether there is a bar to merge."""
        return not self.bars.is_empty()

    @property
    def off_hours(self) -> int:
        """The number of bars outside trading hours."""
        return int(self.bars.select(_off_hours().sum()).item())

    def without(self, days: Collection[date]) -> "SymbolBars":
        """The same without the sessions of `days`."""
        rejected = self.rejected.filter(~DAY.is_in(list(days)).fill_null(value=False))
        unknown = self.unknown.filter(~DAY.is_in(list(days)))
        return replace(
            self, bars=self.bars.filter(~pl.col("day").is_in(list(days))), rejected=rejected, unknown=unknown
        )


class JudgedBatch(NamedTuple):
    """A batch by symbol (`symbols`, sorted).

    `nameless` are rejected rows (QUARANTINED_BARS) without a usable symbol, `copies` the number of exact copies of
    rejected rows, `repeats` the number of rows equal to another of their minute. `minutes` (MINUTES_COMPARED) counts
    the minutes with several rows.
    """

    symbols: list[SymbolBars]
    nameless: pl.DataFrame
    copies: int
    repeats: int
    minutes: pl.DataFrame


def beyond(counts: pl.DataFrame, part: str, of: str, most_pct: float) -> pl.DataFrame:
    """Rows of `counts` whose share is exceeded; those with few bars only if all of these exceed it together."""
    thin = counts.filter(pl.col(of) < MIN_BARS_EACH)
    together = is_beyond(int(thin[part].sum()), int(thin[of].sum()), most_pct)
    tells = pl.lit(value=True) if together else pl.col(of) >= MIN_BARS_EACH
    return counts.filter(tells & (100 * pl.col(part) > most_pct * pl.col(of)))


def find_files_outside(bars: pl.LazyFrame, over: Sequence[date]) -> dict[str, str]:
    """Files of bars (BARS and FILE) with too many bars outside every session, each with the message.

    Rows without volume or close do not count: some vendors have one for every minute of the day.
    """
    is_bar = (pl.col("volume") > 0) & pl.col("close").is_finite() & pl.col("timestamp").is_not_null()
    known = (over[-1] < DAY) | (DAY.is_in(list(over)) & ~_off_hours())
    counts = bars.filter(is_bar).group_by(FILE).agg(bars=pl.len(), outside=(~known).sum())
    found = beyond(counts.collect(engine="streaming"), "outside", "bars", MOST_OUTSIDE_PCT).sort(FILE)
    return {
        file: f"{outside:,} of {bars:,} bars ({100 * outside / bars:.0f} %) lie outside {HOURS[0]:02}:00 to "
        f"{HOURS[1]:02}:00 New York, or on days without a session; {MOST_OUTSIDE_PCT:.0f} % may. Is --timezone, --unit "
        "or --timestamp-is wrong, or has the file several time zones? Nothing of it was imported. Correct it, or say "
        "--allow-outside if the times are right."
        for file, bars, outside in found.select(FILE, "bars", "outside").iter_rows()
    }


class DisputedSessions(NamedTuple):
    """Sessions (`symbol`, `day`) that are not imported, and the messages about them."""

    sessions: pl.DataFrame
    messages: list[str]


def find_disputed_sessions(
    batch: pl.DataFrame, lake: pl.DataFrame, repeats: pl.DataFrame, folder: object
) -> DisputedSessions:
    """Find sessions whose bars differ too often from those of the lake, or from one another.

    Args:
        batch: the bars (BARS and FILE).
        lake: the minutes of which the lake has a bar as well (MINUTES).
        repeats: the minutes of which the batch has several bars (MINUTES).
        folder: where the lake keeps its bars.
    """
    from_lake = beyond(lake, "other", "both", MOST_DIFFERING_PCT)
    apart = beyond(repeats, "other", "both", MOST_DIFFERING_PCT)
    messages = []
    if not from_lake.is_empty():
        shares = _shares(from_lake, "that the lake has as well differ")
        messages.append(
            f"{_files_of(batch, from_lake)}: {shares}. Is --timezone or --timestamp-is wrong, are prices adjusted, or "
            "are the bars of the lake wrong, as of a file that was imported before and is corrected now? Nothing of "
            "these sessions was imported. Correct it; or say which bars stay: --on-conflict keep, or replace; or, so "
            f"that no minute stays that only the lake has, remove the folders of the symbols in {folder} and import "
            "everything again."
        )
    if not apart.is_empty():
        shares = _shares(apart, "that have several bars have different ones")
        messages.append(
            f"{_files_of(batch, apart)}: {shares}. Are some of them adjusted, or of another time zone? Nothing of "
            "these sessions was imported. Leave out the file that is wrong; or say which bars stay: --on-conflict keep "
            "for the first, or replace for the last."
        )
    return DisputedSessions(pl.concat([from_lake, apart]).select("symbol", "day").unique(), messages)


def _files_of(batch: pl.DataFrame, sessions: pl.DataFrame) -> str:
    """List the files of a batch that have rows of sessions (`symbol`, `day`)."""
    rows = batch.lazy().select(FILE, "symbol", day=DAY)
    return name_files(rows.join(sessions.lazy(), on=["symbol", "day"], how="semi").select(FILE).collect())


def _shares(found: pl.DataFrame, how: str) -> str:
    """Describe the share of minutes that differ, and their sessions."""
    both, other = int(found["both"].sum()), int(found["other"].sum())
    return (
        f"{other:,} of the {count_noun(both, 'minute')} of {name_sessions(found)} {how} "
        f"({100 * other / both:.0f} %); {MOST_DIFFERING_PCT:.0f} % may"
    )


def judge_batch(  # noqa: PLR0913 -- what to judge, and how
    batch: pl.DataFrame,
    source: Source,
    over: Sequence[date],
    problems: list[str],
    *,
    last: bool = False,
    in_dollars: bool = True,
) -> JudgedBatch:
    """Judge a batch (BARS and FILE) by symbol; `problems` receives messages about rows, whatever the lake holds.

    Of several bars of a minute the first in the order of files stays, or the `last`. `in_dollars`: see `clean_bars`.
    """
    own, of_others, _ = reject_misplaced(batch, source.symbol)
    problems += find_other_symbols(batch, source.symbol)
    usable, bad_rows, unknown = usable_rows(own, [FILE], in_dollars=in_dollars)
    problems += describe_sessions(bad_rows, lambda rows: name_files(own.join(rows, on=_VALUES, how="semi")))
    found = unique_bars(_in_order(usable, source), last=last)
    every = pl.concat([bad_rows, of_others])
    is_over = pl.col("day").is_in(list(over))
    others = _because(found.differing.filter(DAY.is_in(list(over))), ANOTHER)
    rejected = pl.concat([every.unique(maintain_order=True), others.unique(maintain_order=True)])
    is_safe = symbol_is_safe(pl.col("symbol"))
    good = found.bars.sort("symbol", "timestamp").partition_by("symbol", as_dict=True)
    bad = rejected.sort("symbol", "timestamp").filter(is_safe).partition_by("symbol", as_dict=True)
    nulls = _still_unknown(unknown.filter(DAY.is_in(list(over))), found.bars).partition_by("symbol", as_dict=True)
    symbols = sorted({str(symbol) for (symbol,) in good.keys() | bad.keys()})
    by_symbol = [
        replace(
            _symbol_bars(symbol, good.get((symbol,)), bad.get((symbol,)), over),
            unknown=nulls.get((symbol,), UNKNOWN.to_frame()),
        )
        for symbol in symbols
    ]
    copies = every.height + others.height - rejected.height
    return JudgedBatch(by_symbol, rejected.filter(~is_safe), copies, found.equal, found.minutes.filter(is_over))


def _still_unknown(unknown: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """The values (UNKNOWN) of `bars` that no other row of their minute filled in, each once."""
    if unknown.is_empty():
        return unknown
    return pl.concat(
        unknown.filter(column=name)
        .unique()
        .join(bars.filter(pl.col(name).is_null()), on=["symbol", "timestamp"], how="semi")
        for name in OPTIONAL
    )


def _in_order(bars: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Sort bars by file: files with other columns were read after the others. Returns BARS."""
    files = bars[FILE].cast(pl.Enum([str(file) for file in source.files])).to_physical()
    return (bars if files.is_sorted() else bars[files.arg_sort()]).select(*BARS)


def _off_hours() -> pl.Expr:
    hour = pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt.hour()
    return (hour < HOURS[0]) | (hour >= HOURS[1])


def by_month(rows: pl.DataFrame) -> dict[date | None, pl.DataFrame]:
    """Split rows with a `day` by the first day of their month; None for rows without a day."""
    months = rows.with_columns(month=pl.col("day").dt.truncate("1mo")).partition_by("month", as_dict=True)
    return {month: part.drop("day", "month") for (month,), part in months.items()}


def _symbol_bars(symbol: str, good: pl.DataFrame | None, bad: pl.DataFrame | None, over: Sequence[date]) -> SymbolBars:
    bars = BARS.to_frame() if good is None else good
    rejected = QUARANTINED_BARS.to_frame() if bad is None else bad
    dated = bars.with_columns(day=DAY)
    late = dated.filter(pl.col("day") > over[-1]).height
    usable = dated.filter(pl.col("day").is_in(list(over)))
    return SymbolBars(symbol, usable, rejected, bars.height - usable.height - late, late)


def reject_misplaced(bars: pl.DataFrame, symbol: str | None) -> CleanBars:
    """Separate rows of another symbol than that of their files; the rows are not judged otherwise.

    Args:
        bars: BARS, and further columns that the good rows keep.
        symbol: the symbol that the path of their files names; None where it names none.
    """
    if symbol is None:
        return CleanBars(bars, QUARANTINED_BARS.to_frame())
    is_other = (pl.col("symbol") != symbol).fill_null(value=False)
    return CleanBars(bars.filter(~is_other), _because(bars.filter(is_other), NOT_OF_PATH))


def _because(rows: pl.DataFrame, reason: str) -> pl.DataFrame:
    return rows.with_columns(reason=pl.lit(reason)).select(*QUARANTINED_BARS)


def find_other_symbols(bars: pl.DataFrame, symbol: str | None) -> list[str]:
    """The message about rows (BARS and FILE) of another symbol than that of their path; none without such rows."""
    rows = bars.filter(pl.col("symbol") != symbol) if symbol is not None else bars.clear()
    if rows.is_empty():
        return []
    others = ", ".join(rows["symbol"].unique().sort().to_list()[:MOST_NAMES])
    files = rows[FILE].n_unique()
    more = f" and {count_noun(files - 1, 'more file')}" if files > 1 else ""
    message = (
        f"{rows[FILE][0]}{more}: the path says symbol {symbol}, the column symbol {others}. The "
        f"{count_clause(rows.height, 'row', 'rows')} of another symbol than the path's "
        f"{'is' if rows.height == 1 else 'are'} set aside: rename the folder or file, or correct the column."
    )
    return [message]


@dataclass
class RememberedRows:
    """Counts of the rows of files that are not read again, as they were when they were read."""

    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def bad(self) -> int:
        """The number of rejected rows, except those in whose place another bar of their minute is used."""
        return self.counts.total() - self.counts[ANOTHER]

    def add(self, rejections: Rejections) -> None:
        """Add the rows of an import that is complete."""
        self.rows += rejections.rows
        self.counts.update(dict(rejections.bad))

    def lines(self) -> list[str]:
        """One line on the rejected rows; no line if no row was rejected."""
        total = self.counts.total()
        causes = "; ".join(f"{count:,} {reason}" for reason, count in self.counts.most_common())
        rejected = f"{count_clause(total, 'was', 'were')} rejected when they were read: {causes}"
        return [f"of their {count_noun(self.rows, 'row')} {rejected}"] if total else []


@dataclass
class RejectedRows:
    """Counts of rejected rows by reason, with the first example of each."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    @property
    def bad(self) -> int:
        """The number of rejected rows, except those in whose place another bar of their minute is used."""
        return sum(count for reason, count in self.counts.items() if reason != ANOTHER)

    def add(self, rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """Count rows (QUARANTINED_BARS); returns the first row of each new reason."""
        with self._lock:
            fresh = {}
            for reason, count in reasons(rows).items():
                if reason not in self.counts:
                    fresh[reason] = rows.filter(reason=reason).head(1)
                self.counts[reason] = self.counts.get(reason, 0) + count
        return fresh

    def first(self) -> str:
        """A sentence on the most frequent reason; empty if no row was rejected."""
        lines = self.lines()
        return f"The most frequent reason: {' '.join(lines[0].split()[1:])}." if lines else ""

    def lines(self) -> list[str]:
        """One line for each reason, the most frequent first."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return [f"  {count:>9,}  {reason}; such as {self.examples.get(reason, '')}" for reason, count in ordered]
