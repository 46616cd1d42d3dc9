"""Files of minute bars: one per symbol and ET month, with the fingerprints of its sessions in the footer."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS, match_columns
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.import_records import IMPORTS, Imports
from smallcaps_assets.lake.files.publish import disk_errors, provenance_of, publish_frame
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored, prove
from smallcaps_assets.lake.flat_bars.origins import FlatOrigin, origins_entry, read_origins
from smallcaps_assets.lake.symbol_paths import symbol_of

DAY: Final = new_york_date(pl.col("timestamp"))
# fingerprint of a covered session without bars
NO_BARS: Final = "0-0000000000000000"
# key of a footer's provenance: the symbol, which is not among the columns since readers take it from the folder
SYMBOL_OF_MONTH: Final = "symbol"
_PATH: Final = " path"


class PublishedMonth(NamedTuple):
    """Contents of a month file; `origins` are those of sessions that flat files are about."""

    bars: pl.DataFrame
    sessions: dict[date, str]
    imports: Imports
    origins: Mapping[date, FlatOrigin] = MappingProxyType({})


def scan_months(files: Sequence[Path], columns: Collection[str], what: str) -> pl.LazyFrame:
    """`columns` (of BARS) of month files of any release, in their order; `symbol` is that of the folder.

    Every file is read once, to prove that it is not damaged, and must be of its symbol and month.

    Args:
        files: one at least.
        columns: what to read.
        what: what is read, for messages.

    Raises:
        InputError: the first file lacks a column, or has one of another type.
        LakeError: a file is damaged, cannot be read, or has bars of another symbol or month than its path.
    """
    for file in files:
        prove(file)
        month_footer(file)
    wanted = {name: BARS[name] for name in columns}
    stored = {name: dtype for name, dtype in wanted.items() if name != "symbol"}
    match_columns(pl.scan_parquet(files[0], hive_partitioning=False, glob=False), stored, what)
    symbols = {str(file): symbol_of(file.parent.name) for file in files}
    rows = pl.scan_parquet(
        list(files),
        hive_partitioning=False,
        glob=False,
        schema=stored,
        extra_columns="ignore",
        include_file_paths=_PATH,
    )
    if len(set(symbols.values())) == 1:
        symbol = pl.lit(next(iter(symbols.values())))
    else:
        symbol = pl.col(_PATH).replace_strict(symbols, return_dtype=pl.String)
    return rows.with_columns(symbol=symbol).select(*wanted)


def read_month(path: Path) -> PublishedMonth:
    """Read a month file; empty if there is none.

    Raises:
        LakeError: it is damaged or cannot be read, or see `month_footer`.
    """
    if not is_stored(path):
        return PublishedMonth(BARS.to_frame(), {}, {})
    proven = prove(path)
    provenance = month_provenance(path)
    imports, origins = provenance.get(IMPORTS, {}), read_origins(provenance)
    month = PublishedMonth(_read_bars(path), read_fingerprints(path), imports, origins)
    if proven is None:
        _require_fingerprints(path, month)
    return month


def fault_of_month(path: Path) -> str | None:
    """Why a month file cannot be used; None if it can be. Reads all of it.

    Raises:
        LakeError: the disk refuses.
    """
    try:
        read_month(path)
    except LakeError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return error.cause or f"{error}"
    return None


def publish_month(path: Path, symbol: str, month: PublishedMonth, below: Path) -> None:
    """Publish a month file. The column `symbol` is left out: readers of hive folders take it from the folder.

    See `publish` for `below`.

    Raises:
        LakeError: see `publish_frame`.
    """
    sessions = {f"{day:%Y-%m-%d}": month.sessions[day] for day in sorted(month.sessions)}
    provenance = {SYMBOL_OF_MONTH: symbol, "sessions": sessions} | ({IMPORTS: month.imports} if month.imports else {})
    publish_frame(path, month.bars.drop("symbol"), provenance | origins_entry(month.origins), below=below)


def is_of_earlier_release(provenance: Mapping[str, Any] | None) -> bool:
    """Whether a month file has a column `symbol` as well; later ones record the symbol in their footer."""
    return provenance is None or SYMBOL_OF_MONTH not in provenance


def month_footer(path: Path) -> dict[str, Any] | None:
    """The provenance in the footer of a month file of any release; None if it has none.

    Raises:
        LakeError: it cannot be read, or has bars of another symbol than its folder or sessions of another month.
    """
    provenance = provenance_of(path)
    symbol = symbol_of(path.parent.name)
    recorded = _symbol_of_rows(path) if provenance is None else provenance.get(SYMBOL_OF_MONTH) or _symbol_of_rows(path)
    if recorded not in (None, symbol):
        prove(path)
        raise LakeError(
            f"{path}: has bars of {recorded}, not of {symbol}. Move it back to the folder of {recorded}, or remove it; "
            "its sessions are then fetched again.",
            path,
        ).with_facts(f"has bars of {recorded}")
    if provenance is not None and (fault := _fault_of_sessions(provenance.get("sessions"), path.stem)):
        prove(path)
        raise LakeError(
            f"{path}: {fault}. Give it the name of its month again if it was renamed. {how_to_restore(path)}", path
        ).with_facts(fault)
    return provenance


def month_provenance(path: Path) -> dict[str, Any]:
    """Provenance in the footer of a month file, without sessions where a file has none; see `month_footer`."""
    return month_footer(path) or {"sessions": {}}


def read_fingerprints(path: Path) -> dict[date, str]:
    """Covered sessions of a month file and their fingerprints; without provenance, the dates of its bars.

    Raises:
        LakeError: see `month_footer`.
    """
    provenance = month_footer(path)
    if provenance is not None:
        return parse_sessions(provenance["sessions"])
    return fingerprint_sessions(_read_bars(path))


def parse_sessions(sessions: Mapping[str, str]) -> dict[date, str]:
    """Sessions of a footer by date."""
    return {date.fromisoformat(day): mark for day, mark in sessions.items()}


def combine_fingerprints(fingerprints: Mapping[date, str]) -> str:
    """Fingerprint of all bars of a symbol, from those of its sessions."""
    return digest(f"{day} {fingerprints[day]}" for day in sorted(fingerprints))


def count_bars(mark: str) -> int:
    """Number of bars of a session, from its fingerprint."""
    return int(mark.partition("-")[0])


def fingerprint_sessions(bars: pl.DataFrame) -> dict[date, str]:
    """Fingerprints of sessions: number of bars and a sum of bit patterns, equal in every version of Polars."""
    bits = [
        pl.col(name).reinterpret(dtype=pl.Int64).fill_null(weight) * (2 * weight + 1)
        for weight, name in enumerate(("open", "high", "low", "close", "volume"), start=1)
    ]
    minute = pl.col("timestamp").dt.epoch("us") // 60_000_000
    digest = (pl.sum_horizontal(*bits, pl.col("transactions").fill_null(-1)) * minute).sum()
    marks = bars.group_by(day=DAY).agg(rows=pl.len(), digest=digest.reinterpret(signed=False))
    return {day: f"{rows}-{digest:016x}" for day, rows, digest in marks.iter_rows()}


def _symbol_of_rows(path: Path) -> str | None:
    """The symbol of the first row of a file of an earlier release; None without a row or without the column."""
    with disk_errors("read", path):
        rows = pl.scan_parquet(path, hive_partitioning=False, glob=False)
        if "symbol" not in rows.collect_schema():
            return None
        symbols: list[str | None] = rows.select("symbol").head(1).collect().to_series().to_list()
    return symbols[0] if symbols else None


def _read_bars(path: Path) -> pl.DataFrame:
    """The rows (BARS) of a month file of any release.

    Raises:
        LakeError: it cannot be read, or has bars of several symbols.
    """
    with disk_errors("read", path):
        bars = pl.read_parquet(path, hive_partitioning=False, glob=False)
        if "symbol" in bars.columns and bars["symbol"].n_unique() > 1:
            raise LakeError(
                f"{path}: has bars of several symbols, {', '.join(map(str, bars['symbol'].unique().sort().head(2)))}. "
                "Remove it; its sessions are then fetched again."
            )
        return bars.with_columns(symbol=pl.lit(symbol_of(path.parent.name))).select(*BARS)


def _require_fingerprints(path: Path, month: PublishedMonth) -> None:
    """Require of a file without a hash that its bars have the fingerprints in its footer."""
    published = {day: mark for day, mark in month.sessions.items() if mark != NO_BARS}
    if fingerprint_sessions(month.bars) != published:
        failure = LakeError(f"{path}: is damaged: has bars other than its footer records. {how_to_restore(path)}", path)
        raise failure.with_facts("damaged: has bars other than its footer records")


def _fault_of_sessions(sessions: object, month: str) -> str | None:
    """What is wrong with the sessions of a footer, which a disk may have damaged; None if nothing is."""
    if not isinstance(sessions, dict):
        return "its footer names no sessions"
    try:
        days = [f"{date.fromisoformat(day):%Y-%m-%d}" for day in sessions]
        for mark in sessions.values():
            count_bars(mark)
    except (ValueError, AttributeError):
        return "its footer has session dates that are not dates"
    others = [day for day in days if not day.startswith(month)]
    return f"has sessions of another month, such as {others[0]}" if others else None
