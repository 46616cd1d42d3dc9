"""Flat files of minute bars, one per session with all tickers: parsed, checked and separated from rejected rows.

A file is one CSV table in gzip, with a header and a row per ticker and minute; it has no vwap. Tickers are texts that
other readers take for something else, such as `NA`, `TRUE` and `1E5`.
"""

import zlib
from collections.abc import Sequence
from datetime import date
from statistics import median
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.minutes import CONFLICT, resolve_minutes
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS, find_faults
from smallcaps_assets.domain.sessions import new_york_dates
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import BadPage

HEADER: Final = "ticker,volume,open,close,high,low,window_start,transactions"
# a row of a file: one ticker and minute; `transactions` as sent, where 0 means that it is not known, and 0 where it was
# sent as something that is no whole number
FLAT_BARS: Final = pl.Schema({name: dtype for name, dtype in BARS.items() if name != "vwap"})
# the reason for which rows of another New York date than the file's are rejected
OTHER_DAY: Final = "is of another day than its file"
FIELDS_MISSING: Final = "the row has not as many fields as the header"
# a file of the whole market has about 130 MB; more than this is no such file
MOST_BYTES: Final = 2_000_000_000
# Bad rows are rare; a faulty column is wrong in nearly all of them.
MOST_REJECTED: Final = 0.5
# A half day after a holiday has about half of the bars of other sessions: with a fifth, tickers are missing.
LEAST_OF_USUAL: Final = 0.2
_FEWEST_FILES: Final = 3

_FIELDS: Final = HEADER.split(",")
_TYPES: Final = {
    **dict.fromkeys(_FIELDS, pl.Float64()),
    "ticker": pl.String(),
    "window_start": pl.Int64(),
}
# in place of a number of transactions that is none: a value that means "not known", and is counted as such
_UNKNOWN_COUNT: Final = 0
# floats are whole and exact up to here
_EXACT: Final = 2**53
_NS_PER_US: Final = 1_000
_PLAUSIBLE: Final = range(2000, 2100)
_GZIP: Final = 31
_STEP: Final = 1 << 24
_LONGEST_SHOWN: Final = 200


class FlatDay(NamedTuple):
    """The rows of one flat file.

    Attributes:
        bars: usable rows (FLAT_BARS), sorted by symbol and timestamp, one per minute.
        rejected: the others (QUARANTINED_BARS), each with the reason.
        rows: how many rows the file has.
        repeats: rows removed because they repeat another exactly.
    """

    bars: pl.DataFrame
    rejected: pl.DataFrame
    rows: int
    repeats: int


def parse_flat_file(content: bytes, day: date) -> FlatDay:
    """The rows of the flat file of a session, judged one by one (specification, section 1).

    Whether the bars of a symbol are of another length than a minute, or wrong as a whole, is judged where its months
    are made, with the rejected rows.

    Args:
        content: the file as it was downloaded: CSV in gzip, all of it.
        day: the session that the file is named after, a New York date.

    Raises:
        BadPage: gzip is damaged or incomplete, the header is another one, most rows are of another day, most are
            unusable or none is usable, or most numbers of transactions are no whole numbers.
    """
    rows = _read_rows(_decompress(content))
    days = new_york_dates(rows["timestamp"])
    _require_day(days, day)
    reason = (
        pl.when(~pl.col("is_whole"))
        .then(pl.lit(FIELDS_MISSING))
        .when(days != day)
        .then(pl.lit(OTHER_DAY))
        .otherwise(find_faults(_with_vwap(rows)))
    )
    judged = rows.with_columns(reason=reason).drop("is_whole")
    rejected = _with_vwap(judged.filter(pl.col("reason").is_not_null())).select(*QUARANTINED_BARS)
    _require_usable(rejected, judged.height)
    _require_counts(judged)
    usable = judged.filter(pl.col("reason").is_null()).drop("reason", "is_count")
    repeats = 0
    if usable.select(pl.struct("symbol", "timestamp").n_unique()).item() < usable.height:
        found = resolve_minutes(_with_vwap(usable).select(*BARS))
        conflicting = found.conflicting.with_columns(reason=pl.lit(CONFLICT))
        usable, repeats = found.bars.drop("vwap"), found.repeats
        rejected = pl.concat([rejected, conflicting.match_to_schema(QUARANTINED_BARS)])
    return FlatDay(
        usable.select(*FLAT_BARS).sort("symbol", "timestamp"),
        rejected.sort("symbol", "timestamp", nulls_last=True),
        judged.height,
        repeats,
    )


def require_whole_market(rows: FlatDay, others: Sequence[int], before: int | None = None) -> None:
    """Require that a file has about as many bars as others: tickers that it lacks would have a session without trades.

    Args:
        rows: those of the file.
        others: how many usable bars the files of sessions nearby have; fewer than three show nothing.
        before: how many an earlier version of the file had.

    Raises:
        BadPage: it has less than a fifth of the median of `others`, or of `before`.
    """
    bars, usual = rows.bars.height, median(others) if len(others) >= _FEWEST_FILES else 0
    for count, whose in ((before or 0, "its earlier version has"), (usual, "files of sessions nearby have")):
        if bars < LEAST_OF_USUAL * count:
            raise BadPage(f"it is not complete: it has {count_noun(bars, 'bar')}, {whose} {count:,.0f}")


def as_served(bars: pl.DataFrame, rejected: pl.DataFrame) -> pl.DataFrame:
    """The rows (BARS) of flat files as the vendor wrote them, without those of other days and without a symbol.

    Args:
        bars: usable rows (FLAT_BARS).
        rejected: rejected ones (QUARANTINED_BARS) of the same files.
    """
    of_day = ~pl.col("reason").is_in([OTHER_DAY, FIELDS_MISSING]) & pl.col("timestamp").is_not_null()
    rows = rejected.filter(of_day & pl.col("symbol").is_not_null()).select(*BARS)
    served = _with_vwap(bars).select(*BARS)
    return served if rows.is_empty() else pl.concat([served, rows]).sort("symbol", "timestamp", maintain_order=True)


def _decompress(content: bytes) -> bytes:
    """All members of a gzip file, whose checksums must be right.

    Raises:
        BadPage: it is not one, is damaged or incomplete, or is implausibly large.
    """
    parts, size, rest = list[bytes](), 0, content
    while rest.strip(b"\0"):
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            try:
                part = member.decompress(rest, _STEP)
            except zlib.error as error:
                raise BadPage(f"it is not whole: gzip says {error}") from error
            rest = member.unconsumed_tail
            if not part and not rest and not member.eof:
                raise BadPage(f"it is not whole: gzip ends within its data, after {count_noun(len(content), 'byte')}")
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise BadPage(f"it has more than {MOST_BYTES:,} bytes of text, which no session has")
        rest = member.unused_data
    if not parts:
        raise BadPage("it is empty")
    return b"".join(parts)


def _read_rows(text: bytes) -> pl.DataFrame:
    """The rows (FLAT_BARS) of a CSV table, judged by how they are written.

    `is_whole` says whether a row has as many fields as the header, `is_count` whether its number of transactions is a
    whole number or missing.

    Raises:
        BadPage: the header is another one, or not every row could be read.
    """
    begin = text.find(b"\n") + 1 or len(text)
    header = text[:begin].decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\r\n")
    if header != HEADER:
        raise BadPage(f"its header is {header[:_LONGEST_SHOWN]!r}, not {HEADER!r}")
    expected = text.count(b"\n", begin) + (len(text) > begin and not text.endswith(b"\n"))
    if not expected:
        raise BadPage("it has no rows")
    rows = None
    # a row without its last fields would be read as one with nulls
    if text.count(b",", begin) == expected * (len(_FIELDS) - 1):
        rows = _read_whole(text)
    if rows is None:
        rows = _read_ragged(text[begin:])
    if rows.height != expected:
        raise BadPage(f"{rows.height:,} of its {count_clause(expected, 'row was', 'rows were')} read")
    # a fraction of a microsecond would be lost, and a time off the minute be on it
    start = pl.col("window_start") // _NS_PER_US + (pl.col("window_start") % _NS_PER_US > 0).cast(pl.Int64)
    count = pl.col("transactions")
    is_count = pl.col("is_count") & (count.is_null() | ((count.abs() < _EXACT) & (count.round(0) == count)))
    stored = rows.with_columns(
        symbol="ticker",
        timestamp=start.cast(FLAT_BARS["timestamp"]),
        transactions=pl.when(is_count).then(count).otherwise(_UNKNOWN_COUNT).cast(FLAT_BARS["transactions"]),
        is_count=is_count,
    )
    return stored.select(*FLAT_BARS, "is_whole", "is_count")


def _read_whole(text: bytes) -> pl.DataFrame | None:
    """The fields (_TYPES) of a table; None where a row has more of them, or one that cannot be read."""
    try:
        rows = pl.read_csv(text, schema=_TYPES, quote_char=None, null_values=None)
    except pl.exceptions.ComputeError:
        return None
    return rows.with_columns(is_whole=pl.lit(value=True), is_count=pl.lit(value=True))


def _read_ragged(body: bytes) -> pl.DataFrame:
    """The same of any table, without its header: fields that cannot be read are null."""
    lines = pl.Series("line", body.decode("utf-8", "replace").removesuffix("\n").split("\n"))
    fields = lines.str.strip_chars_end("\r").str.split(",")
    named = {name: fields.list.get(number, null_on_oob=True) for number, name in enumerate(_FIELDS)}
    texts = pl.DataFrame(named)
    values = texts.with_columns(pl.col(name).cast(dtype, strict=False) for name, dtype in _TYPES.items())
    is_given = texts["transactions"].fill_null("") != ""
    return values.with_columns(
        is_whole=fields.list.len() == len(_FIELDS), is_count=values["transactions"].is_not_null() | ~is_given
    )


def _with_vwap(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.with_columns(vwap=pl.lit(None, BARS["vwap"]))


def _require_day(days: pl.Series, day: date) -> None:
    others = days.filter(days != day)
    if others.len() > MOST_REJECTED * days.len():
        usual: date = others.mode().sort()[0]
        unit = "" if usual.year in _PLAUSIBLE else ". Its times are not nanoseconds since 1970"
        raise BadPage(
            f"it has bars of {usual}, not of {day}: {others.len():,} of "
            f"{count_clause(days.len(), 'row is', 'rows are')} of another New York date{unit}"
        )


def _require_usable(rejected: pl.DataFrame, rows: int) -> None:
    """Require that most rows with a volume are usable, and at least one: rows without may fill up minutes."""
    bad = rejected.filter(pl.col("volume").ne_missing(0))
    if bad.height <= MOST_REJECTED * rows and rejected.height == rows:
        bad = rejected
    if bad.height > MOST_REJECTED * rows:
        reason = bad["reason"].mode().sort()[0]
        count = bad.filter(reason=reason).height
        raise BadPage(f"most of it is unusable: {reason} in {count:,} of {count_noun(rows, 'row')}")


def _require_counts(rows: pl.DataFrame) -> None:
    """Require that most numbers of transactions are such: a column in another form would make no tape_speed event."""
    others = rows.height - int(rows["is_count"].sum())
    if others > MOST_REJECTED * rows.height:
        raise BadPage(
            f"most of it is unusable: transactions is not a whole number in {others:,} of "
            f"{count_noun(rows.height, 'row')}"
        )
