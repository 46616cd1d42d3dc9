"""Shared by tests of `smallcaps import bars`: bars, layouts of files, and an import into a lake."""

import gzip
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from smallcaps_assets.commands.files import table_files
from smallcaps_assets.domain.bars.quality import reasons
from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.imports.bar_files import BarReader
from smallcaps_assets.pipeline.imports.bar_rules import RememberedRows
from smallcaps_assets.pipeline.imports.bar_tables import ROWS_AT_ONCE
from smallcaps_assets.pipeline.imports.bars import BarImport
from smallcaps_assets.pipeline.imports.symbol_names import SUFFIXES
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets_tests.scenarios import Row, bars_from, sessions_of

OVER = sessions_of("2025-10-01", "2025-11-28")["date"].to_list()
FRI, MON, TUE, WED = date(2025, 10, 31), date(2025, 11, 3), date(2025, 11, 4), date(2025, 11, 5)
OCT, NOV = date(2025, 10, 1), date(2025, 11, 1)
ZONE = "America/New_York"
# a price that is not exact in 32 bits, and a volume in fractions of shares
ROWS: list[Row] = [(12.34, 12.5, 12.3, 12.41, 9099.618, 7), (12.41, 12.42, 12.4, 12.42, 500.0, None)]


def of_symbol(symbol: str, rows: list[Row] | None = None) -> pl.DataFrame:
    """The last session of summer time, a Friday in October, and the first two after it."""
    starts = ("2025-10-31 09:30", "2025-11-03 09:30", "2025-11-04 15:59")
    return pl.concat([bars_from(start, rows or ROWS, symbol) for start in starts])


ONE, OTHER = of_symbol("AEMD"), of_symbol("BRK.B")
BOTH = pl.concat([ONE, OTHER])
PRICES = ["open", "high", "low", "close", "vwap"]


class Result(NamedTuple):
    outcomes: list[Outcome]
    problems: list[str]
    files: BarReader
    before: RememberedRows

    @property
    def figures(self) -> Counter[str]:
        total = Counter[str]()
        for outcome in self.outcomes:
            total.update({name: int(count) for name, count in outcome.figures.items()})
        return total


def importing(
    lake: Lake,
    path: object,
    form: BarForm | None = None,
    only: Any = None,
    rows_at_once: int = ROWS_AT_ONCE,
    **options: bool,
) -> Result:
    files = BarReader(form or BarForm(), only, rows_at_once)
    work = BarImport(store=BarsStore(lake), files=files, over=OVER, **options)
    problems: list[str] = []
    sources = files.sources(table_files(str(path), SUFFIXES, print), work.options, problems)
    outcomes = list(work.run(sources, lambda line: None))  # noqa: ARG005
    problems += [problem for outcome in outcomes for problem in outcome.problems]
    return Result(outcomes, problems, files, work.before)


def stored(lake: Lake) -> pl.DataFrame:
    store = BarsStore(lake)
    return pl.concat([BARS.to_frame(), *(store.read(symbol) for symbol in store.symbols())])


def quarantined(lake: Lake) -> dict[str, dict[str, int]]:
    """Reasons by file of the quarantine."""
    root = lake.quarantine / "bars" / "minute"
    return {file.relative_to(root).as_posix(): reasons(pl.read_parquet(file)) for file in root.rglob("*.parquet")}


def put(path: Path, frame: pl.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".parquet"):
        frame.write_parquet(path)
    else:
        text = frame.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%:z").encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def day_files(folder: Path) -> None:
    for (symbol, day), bars in BOTH.with_columns(day=DAY).partition_by("symbol", "day", as_dict=True).items():
        put(folder / f"symbol={symbol}" / f"date={day}.parquet", bars.drop("symbol", "day"))


def flat_files(folder: Path) -> None:
    names = ["ticker", "volume", "open", "close", "high", "low", "window_start", "transactions"]
    for (day,), bars in BOTH.with_columns(day=DAY).partition_by("day", as_dict=True).items():
        renamed = bars.rename({"symbol": "ticker"}).with_columns(window_start=pl.col("timestamp").dt.epoch("ns"))
        put(folder / f"{day:%Y/%m}" / f"{day}.csv.gz", renamed.select(names))


def per_symbol(layout: str, *without: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for symbol, bars in (("AEMD", ONE), ("BRK.B", OTHER)):
            put(folder / layout.format(symbol), bars.drop(without))

    return write


def one_file(name: str) -> Callable[[Path], None]:
    return lambda folder: put(folder / name, BOTH.sort("timestamp")) and None


LAYOUTS: Mapping[str, Callable[[Path], None]] = {
    "a file per symbol and day": day_files,
    "a file per symbol": per_symbol("{}.parquet", "symbol"),
    "a file per symbol, named by key": per_symbol("symbol={}.parquet", "symbol"),
    "a file per symbol that says the symbol as well": per_symbol("symbol={}/all.parquet"),
    "a csv per symbol": per_symbol("deep/down/{}.csv", "symbol"),
    "a file with all symbols": one_file("minute_2025.parquet"),
    "a csv with all symbols": one_file("minute.csv"),
    "a compressed csv": one_file("minute.csv.gz"),
    "the vendor's flat files": flat_files,
}


STAMP = pl.col("timestamp")
NAIVE = STAMP.dt.convert_time_zone(ZONE).dt.replace_time_zone(None)


FULL: list[Row] = [(12.0, 12.5, 11.9, 12.2, 100.0 + minute, 7) for minute in range(180)]


def without(bars: pl.DataFrame, *names: str) -> pl.DataFrame:
    return bars.with_columns(pl.lit(None, dtype=BARS[name]).alias(name) for name in names)


def of_day(day: date, symbol: str = "AEMD", rows: int = 180) -> pl.DataFrame:
    """Bars from 07:00 in New York."""
    return bars_from(f"{day} 07:00", FULL[:rows], symbol)


def doubled(symbol: str, *, until: date | datetime = date(2100, 1, 1)) -> pl.Expr:
    is_it = (pl.col("symbol") == symbol) & (pl.lit(until) > STAMP)
    return pl.when(is_it).then(pl.col("volume") * 2).otherwise("volume").alias("volume")
