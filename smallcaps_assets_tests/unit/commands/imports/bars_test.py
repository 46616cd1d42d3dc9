"""Minute bars in every shape that people keep them in: what comes into the lake of them, and what does not."""

import gzip
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.commands.files import table_files
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS, reasons
from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.imports.columns import require_timezone
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.month_files import DAY
from smallcaps_assets.pipeline.imports.bar_files import BarReader
from smallcaps_assets.pipeline.imports.bar_tables import ROWS_AT_ONCE, SUFFIXES
from smallcaps_assets.pipeline.imports.bars import BarImport
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import Row, bars_from, new_york, sessions_of

OVER = sessions_of("2025-10-01", "2025-11-28")["date"].to_list()
FRI, MON, TUE, WED = date(2025, 10, 31), date(2025, 11, 3), date(2025, 11, 4), date(2025, 11, 5)
OCT, NOV = date(2025, 10, 1), date(2025, 11, 1)
ZONE = "America/New_York"
# a price that 32 bits hold only about, and a volume in fractions of shares
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
    sources = files.sources(table_files(str(path), SUFFIXES), work.options, problems)
    outcomes = list(work.run(sources, lambda line: None))  # noqa: ARG005
    return Result(outcomes, problems + [told for outcome in outcomes for told in outcome.problems], files)


def held(lake: Lake) -> pl.DataFrame:
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


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    return tmp_path / "brought"


# ------------------------------------------------------------------------------------------------- layouts


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


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_bars(layout: str, lake: Lake, brought: Path) -> None:
    LAYOUTS[layout](brought)
    result = importing(lake, brought)
    assert not result.problems
    expected = BOTH if "flat" not in layout else BOTH.with_columns(vwap=pl.lit(None, dtype=pl.Float64))
    assert_frame_equal(held(lake), expected)
    assert result.figures["bars_new"] == 12
    assert not quarantined(lake)


def test_a_file_or_a_pattern_may_be_named(lake: Lake, brought: Path) -> None:
    day_files(brought)
    importing(lake, brought / "symbol=AEMD" / f"date={FRI}.parquet")
    assert_frame_equal(held(lake), ONE.head(2))
    importing(lake, brought / "*" / "date=2025-11-*.parquet")
    assert held(lake).height == 10


@pytest.mark.parametrize("at_once", [1, 5, 7])
def test_a_file_larger_than_memory_is_read_in_whole_symbols(at_once: int, lake: Lake, brought: Path) -> None:
    nameless = ONE.head(1).with_columns(symbol=pl.lit(None, dtype=pl.String))
    every = pl.concat([BOTH, of_symbol("CRVO"), nameless]).sort("timestamp")
    put(brought / "big.parquet", every)
    assert importing(lake, brought, rows_at_once=at_once).figures["bars_new"] == 18
    assert_frame_equal(held(lake), pl.concat([BOTH, of_symbol("CRVO")]))
    assert quarantined(lake) == {"unnamed.parquet": {"symbol is not usable as a name": 1}}
    before = files_below(lake.root)
    assert not importing(lake, brought, rows_at_once=at_once).figures
    assert files_below(lake.root) == before


def test_a_symbol_that_looks_like_something_else_stays_a_symbol(lake: Lake, brought: Path) -> None:
    names = ["NA", "NULL", "TRUE", "NAN", "INF", "E1"]
    put(brought / "bars.csv", pl.concat(of_symbol(name) for name in names))
    assert not importing(lake, brought).problems
    assert BarsStore(lake).symbols() == sorted(names)


@pytest.mark.parametrize("name", ["bars.csv", "bars.csv.gz"])
def test_a_csv_as_spreadsheets_write_it(name: str, lake: Lake, brought: Path) -> None:
    """With a mark of its encoding and the line ends of Windows."""
    text = BOTH.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%:z", line_terminator="\r\n", include_bom=True).encode()
    assert text.startswith(b"\xef\xbb\xbf")
    brought.mkdir()
    (brought / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), BOTH)


def test_symbols_in_small_letters_are_capitals(lake: Lake, brought: Path) -> None:
    put(brought / "symbol=aemd" / "all.parquet", ONE.drop("symbol"))
    put(brought / "bars.parquet", OTHER.with_columns(symbol=pl.lit("brk.b")))
    importing(lake, brought)
    assert_frame_equal(held(lake), BOTH)


@pytest.mark.parametrize("write", [str.title, str.upper])
@pytest.mark.parametrize("symbol", ["symbol", "ticker", "sym"])
@pytest.mark.parametrize("name", ["BARS.csv", "BARS.parquet"])
def test_columns_are_known_regardless_of_case(
    name: str, symbol: str, write: Callable[[str], str], lake: Lake, brought: Path
) -> None:
    """A file of many symbols is none of a symbol that is its name."""
    put(brought / name, BOTH.rename({"symbol": symbol}).rename(write))
    result = importing(lake, brought)
    assert not result.problems
    assert not result.files.extra
    assert_frame_equal(held(lake), BOTH)


def test_flat_files_are_known_regardless_of_case(lake: Lake, brought: Path) -> None:
    bars = BOTH.with_columns(timestamp=STAMP.dt.epoch("ns")).rename({"symbol": "Ticker", "timestamp": "Window_Start"})
    put(brought / "flat.csv", bars)
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), BOTH)


def test_columns_that_differ_only_in_case_are_asked_about(lake: Lake, brought: Path) -> None:
    file = put(brought / "bars.parquet", BOTH.with_columns(Open=pl.col("close"), note=pl.lit(1), NOTE=pl.lit(2)))
    (told,) = importing(lake, brought).problems
    assert f"{file}: columns open and Open differ only in case, and each may be open. Choose one" in told
    assert "--columns open=open" in told
    assert not importing(lake, brought, BarForm(names={"open": "open"})).problems
    assert_frame_equal(held(lake), BOTH)


def test_a_name_that_was_said_is_exact(lake: Lake, brought: Path) -> None:
    """Some vendors write T for the ticker and t for the time."""
    bars = ONE.rename({"symbol": "T", "timestamp": "t"})
    form = BarForm(names={"symbol": "T", "timestamp": "t"})
    put(brought / "1" / "bars.parquet", bars.drop("T"))
    (told,) = importing(lake, brought / "1", form).problems
    assert "no column T (given as symbol)" in told
    put(brought / "2" / "bars.parquet", bars)
    assert not importing(lake, brought / "2", form).problems
    assert_frame_equal(held(lake), ONE)


@pytest.mark.parametrize("column", ["stock_symbol", "Ticker Name"])
def test_a_column_that_may_hold_symbols_is_asked_about(column: str, lake: Lake, brought: Path) -> None:
    file = put(brought / "BARS.csv", BOTH.rename({"symbol": column}))
    (told,) = importing(lake, brought).problems
    assert f"{file}: column {column} may hold the symbols. Say so: --columns symbol={column}" in told
    assert "name it `symbol=X.csv`" in told
    assert not importing(lake, brought, BarForm(names={"symbol": column})).problems
    assert_frame_equal(held(lake), BOTH)
    # what the path says is not asked
    put(brought / "symbol=CRVO.csv", of_symbol("CRVO").rename({"symbol": column}))
    assert not importing(lake, brought / "symbol=CRVO.csv").problems


@pytest.mark.parametrize("name", ["Jan", "Apr", "Bars", "minute", "AEMd", "2025"])
def test_a_name_that_is_no_ticker_is_refused(name: str, lake: Lake, brought: Path) -> None:
    file = put(brought / "AEMD" / f"{name}.parquet", ONE.drop("symbol"))
    (told,) = importing(lake, brought).problems
    assert f"{file}: no column symbol, and its name is none: {name!r} is not in capitals" in told
    assert "--columns symbol=NAME" in told
    assert "name it `symbol=X.parquet`" in told
    assert held(lake).is_empty()


@pytest.mark.parametrize("name", ["A", "BRK.B", "KIMpL", "BACp", "XYZw", "ABC.WS"])
def test_a_name_that_is_a_ticker_is_one(name: str, lake: Lake, brought: Path) -> None:
    put(brought / f"{name}.parquet", ONE.drop("symbol"))
    assert not importing(lake, brought).problems
    assert BarsStore(lake).symbols() == [name]


@pytest.mark.parametrize("name", ["AEMD{}", "symbol=AEMD{}", "symbol=AEMD{}/bars{}", "symbol=AEMD/bars{}"])
@pytest.mark.parametrize("suffix", [".CSV", ".Csv.Gz", ".csv.GZ", ".PARQUET"])
def test_capitals_at_the_end_of_a_name_are_no_part_of_a_symbol(
    suffix: str, name: str, lake: Lake, brought: Path
) -> None:
    file = brought / name.format(suffix, suffix)
    put(file.with_name("written" + suffix.lower()), ONE.drop("symbol")).rename(file)
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), ONE)


def test_symbols_that_differ_only_in_case_are_refused(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", pl.concat([of_symbol("KIMpL"), of_symbol("KIMPL")]))
    result = importing(lake, brought)
    assert "differs only in case" in " ".join(result.problems)
    assert len(BarsStore(lake).symbols()) == 1


def test_a_column_that_contradicts_the_path_is_told(lake: Lake, brought: Path) -> None:
    put(brought / "symbol=AEMD" / "all.parquet", BOTH)
    (told,) = importing(lake, brought).problems
    assert "the path says symbol AEMD, the column symbol BRK.B" in told
    assert "The 6 rows of another symbol than the path's are set aside" in told
    assert_frame_equal(held(lake), ONE)
    assert quarantined(lake) == {
        "symbol=BRK.B/2025-10.parquet": {"the path says another symbol": 2},
        "symbol=BRK.B/2025-11.parquet": {"the path says another symbol": 4},
    }
    put(brought / "symbol=BRK.B" / "all.parquet", OTHER)
    (brought / "symbol=AEMD" / "all.parquet").unlink()
    assert not importing(lake, brought).problems
    assert not quarantined(lake)


def test_symbols_that_nobody_follows_may_be_left_out(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", BOTH)
    put(brought / "CRVO.parquet", of_symbol("CRVO").drop("symbol"))
    importing(lake, brought, only={"AEMD"})
    assert_frame_equal(held(lake), ONE)
    importing(lake, brought, only={"AEMD", "CRVO"})
    assert BarsStore(lake).symbols() == ["AEMD", "CRVO"]


# ------------------------------------------------------------------------------------------------- times

STAMP = pl.col("timestamp")
NAIVE = STAMP.dt.convert_time_zone(ZONE).dt.replace_time_zone(None)
TIMES: Mapping[str, tuple[pl.Expr, BarForm]] = {
    "zoned": (STAMP.dt.convert_time_zone("Asia/Tokyo").cast(pl.Datetime("ns", "Asia/Tokyo")), BarForm()),
    "zoned, ms": (STAMP.dt.convert_time_zone(ZONE).dt.cast_time_unit("ms"), BarForm()),
    "New York": (NAIVE, BarForm(ZONE)),
    "New York, ns": (NAIVE.dt.cast_time_unit("ns"), BarForm(ZONE)),
    "UTC": (STAMP.dt.replace_time_zone(None).dt.cast_time_unit("ms"), BarForm("UTC")),
    **{unit: (STAMP.dt.epoch(unit), BarForm(unit=unit)) for unit in ("s", "ms", "us", "ns")},  # type: ignore[arg-type, misc]
    "unsigned": (STAMP.dt.epoch("s").cast(pl.UInt32), BarForm(unit="s")),
    "end of the minute": (STAMP + timedelta(minutes=1), BarForm(labels="end")),
    "text with Z": (STAMP.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), BarForm()),
    "text with an offset": (STAMP.dt.convert_time_zone(ZONE).dt.strftime("%Y-%m-%d %H:%M:%S%:z"), BarForm()),
    "text with a short offset": (STAMP.dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m-%d %H:%M%z"), BarForm()),
    "text as of PostgreSQL": (STAMP.dt.strftime("%Y-%m-%d %H:%M:%S+00"), BarForm()),
    "text with an offset in hours": (
        STAMP.dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m-%dT%H:%M+09"),
        BarForm(ZONE),
    ),
    "text with an offset in hours to the west": (
        (STAMP - timedelta(hours=5)).dt.strftime("%Y-%m-%d %H:%M:%S.000-05"),
        BarForm(),
    ),
    "text without a zone": (NAIVE.dt.strftime("%Y-%m-%d %H:%M:%S"), BarForm(ZONE)),
    "text up to the minute": (NAIVE.dt.strftime(" %Y-%m-%d %H:%M "), BarForm(ZONE)),
    "text with a fraction": (NAIVE.dt.strftime("%Y-%m-%dT%H:%M:%S.000"), BarForm(ZONE)),
    "digits": (STAMP.dt.epoch("ms").cast(pl.String), BarForm(unit="ms")),
}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("kind", TIMES)
def test_every_way_to_tell_time_gives_the_same_bars(kind: str, suffix: str, lake: Lake, brought: Path) -> None:
    written, form = TIMES[kind]
    if suffix == "csv" and kind in {"New York", "New York, ns", "UTC"}:
        written = written.dt.strftime("%Y-%m-%d %H:%M:%S")
    put(brought / f"AEMD.{suffix}", ONE.drop("symbol").with_columns(timestamp=written))
    assert not importing(lake, brought, form).problems
    assert_frame_equal(held(lake), ONE)
    # 09:30 in New York on both sides of the change of time
    assert held(lake)["timestamp"][0] == datetime(2025, 10, 31, 13, 30, tzinfo=UTC)
    assert held(lake)["timestamp"][2] == datetime(2025, 11, 3, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_times_that_a_clock_shows_twice_or_never_are_set_aside(suffix: str, lake: Lake, brought: Path) -> None:
    twice, never = datetime(2025, 11, 2, 1, 30), datetime(2025, 3, 9, 2, 30)  # noqa: DTZ001 -- it has no zone
    nights = ONE.head(2).drop("symbol").with_columns(timestamp=pl.Series([twice, never]).cast(pl.Datetime("us")))
    named = pl.concat([ONE.drop("symbol").with_columns(timestamp=NAIVE), nights])
    put(brought / f"AEMD.{suffix}", named if suffix == "parquet" else named.with_columns(STAMP.dt.strftime("%F %T")))
    result = importing(lake, brought, BarForm(ZONE))
    assert_frame_equal(held(lake), ONE)
    assert result.figures["rows_quarantined"] == 2
    assert quarantined(lake) == {"symbol=AEMD/undated.parquet": {"timestamp is missing or implausible": 2}}


@pytest.mark.parametrize("zone", ["EST", "Etc/GMT+5", "Etc/GMT+4", "America/Panama", "America/Puerto_Rico"])
def test_a_zone_that_is_new_yorks_for_half_of_the_year_is_refused(zone: str) -> None:
    with pytest.raises(InputError, match=f"--timezone {re.escape(zone)}: is without summer time.*America/New_York"):
        require_timezone(zone)


@pytest.mark.parametrize(
    "zone", [None, "UTC", "Etc/UTC", ZONE, "EST5EDT", "America/Halifax", "America/Phoenix", "Asia/Tokyo"]
)
def test_a_zone_that_is_another_all_year_is_believed(zone: str | None) -> None:
    require_timezone(zone)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (NAIVE, ["timestamp has no time zone", "--timezone"]),
        (NAIVE.dt.strftime("%Y-%m-%d %H:%M:%S"), ["'2025-10-31 09:30:00', has no time zone", "--timezone"]),
        (STAMP.dt.epoch("ms"), ["column timestamp is Int64", "--unit"]),
        (STAMP.dt.epoch("ms").cast(pl.String), ["column timestamp is 1761917400000", "--unit"]),
        (STAMP.dt.date(), ["column timestamp is Date"]),
        (STAMP.dt.epoch("s").cast(pl.Float64), ["column timestamp is Float64", "--unit"]),
        (STAMP.dt.epoch("s").cast(pl.Float32), ["column timestamp is Float32, not"]),
        (STAMP.dt.epoch("s").cast(pl.Decimal(20, 2)), ["column timestamp is Decimal(precision=20, scale=2)", "--unit"]),
    ],
)
def test_what_a_time_means_is_never_guessed(written: pl.Expr, words: list[str], lake: Lake, brought: Path) -> None:
    file = put(brought / "AEMD.parquet", ONE.drop("symbol").with_columns(timestamp=written))
    (told,) = importing(lake, brought).problems
    for word in [str(file), *words]:
        assert word in told
    assert held(lake).is_empty()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", [pl.Float64(), pl.Decimal(20, 0), pl.Decimal(38, 2)])
def test_numbers_since_1970_may_be_of_a_type_with_fractions(
    kind: pl.DataType, unit: Any, lake: Lake, brought: Path
) -> None:
    put(brought / "AEMD.parquet", ONE.drop("symbol").with_columns(timestamp=STAMP.dt.epoch(unit).cast(kind)))
    assert not importing(lake, brought, BarForm(unit=unit)).problems
    assert_frame_equal(held(lake), ONE)


def test_a_number_since_1970_that_is_not_whole_is_set_aside(lake: Lake, brought: Path) -> None:
    half = STAMP.dt.epoch("s").cast(pl.Float64) + pl.when(pl.int_range(6) < 2).then(0.5).otherwise(0.0)
    put(brought / "1" / "AEMD.parquet", ONE.drop("symbol").with_columns(timestamp=half))
    assert importing(lake, brought / "1", BarForm(unit="s")).figures["rows_quarantined"] == 2
    assert_frame_equal(held(lake), ONE[2:])
    assert quarantined(lake) == {"symbol=AEMD/undated.parquet": {"timestamp is missing or implausible": 2}}
    for number, beyond in enumerate((float("nan"), float("inf"), 1e300, -(2.0**63))):
        file = put(brought / str(number) / "AEMD.parquet", ONE.drop("symbol").with_columns(timestamp=pl.lit(beyond)))
        (told,) = importing(lake, file, BarForm(unit="s")).problems
        assert f"timestamp {beyond!r} (Float64) in {file}" in told


@pytest.mark.parametrize("scale", [0, 2])
def test_transactions_may_be_decimals(scale: int, lake: Lake, brought: Path) -> None:
    exact = ONE.with_columns(pl.col("transactions").cast(pl.Decimal(30, scale)))
    put(brought / "AEMD.parquet", exact.with_columns(pl.col("open").cast(pl.Decimal(12, 2))))
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), ONE)


def in_csv(written: pl.Expr, day: date) -> pl.DataFrame:
    return ONE.filter(day == DAY).drop("symbol").with_columns(timestamp=written)


AS_ISO, AS_DIGITS = STAMP.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), STAMP.dt.epoch("ms").cast(pl.String)
AS_CLOCK = NAIVE.dt.strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("first_and_others", "form", "words"),
    [
        ((AS_ISO, AS_CLOCK), BarForm(ZONE), "'2025-11-03 09:30:00', has no time zone"),
        ((AS_ISO, AS_DIGITS), BarForm(unit="ms"), "column timestamp is 1762180200000: since 1970, but in which unit"),
        ((AS_DIGITS, AS_CLOCK), BarForm(ZONE, "ms"), "has no time zone"),
    ],
)
def test_each_file_of_a_symbol_tells_time_in_its_own_way(
    first_and_others: tuple[pl.Expr, pl.Expr], form: BarForm, words: str, lake: Lake, brought: Path
) -> None:
    folder, (first, others) = brought / "symbol=AEMD", first_and_others
    put(folder / "1.csv", in_csv(first, FRI))
    for name, day in (("2.csv", MON), ("3.csv", TUE)):
        put(folder / name, in_csv(others, day))
    asked = importing(lake, brought, BarForm(unit=form.unit if "zone" in words else None))
    (told,) = asked.problems
    assert told.startswith(f"{folder / '2.csv'}: ")
    assert words in told
    assert "1 more files are like it" in told
    assert_frame_equal(held(lake), ONE.head(2))
    assert not quarantined(lake)
    assert not importing(lake, brought, form).problems
    assert_frame_equal(held(lake), ONE)


def test_a_first_file_without_rows_keeps_no_question_from_being_asked(lake: Lake, brought: Path) -> None:
    folder = brought / "symbol=AEMD"
    put(folder / "0.csv", in_csv(AS_CLOCK, FRI).clear())
    put(folder / "1.csv", in_csv(AS_CLOCK, FRI))
    (told,) = importing(lake, brought).problems
    assert f"{folder / '1.csv'}: column timestamp, such as '2025-10-31 09:30:00', has no time zone" in told
    assert not files_below(lake.root)


@pytest.mark.parametrize("at_once", [2, ROWS_AT_ONCE])
def test_a_file_of_two_ways_to_tell_time_is_asked_about(at_once: int, lake: Lake, brought: Path) -> None:
    put(brought / "bars.csv", pl.concat([BOTH[:6].with_columns(AS_ISO), BOTH[6:].with_columns(AS_CLOCK)]))
    (told,) = importing(lake, brought, rows_at_once=at_once).problems
    assert "has no time zone" in told
    assert not files_below(lake.root)
    importing(lake, brought, BarForm(ZONE), rows_at_once=at_once)
    assert_frame_equal(held(lake), BOTH)


def test_a_wrong_unit_is_told(lake: Lake, brought: Path) -> None:
    file = put(brought / "AEMD.parquet", ONE.drop("symbol").with_columns(timestamp=STAMP.dt.epoch("ms")))
    (told,) = importing(lake, brought, BarForm(unit="us")).problems
    assert f"{file}: not one of 6 rows is a usable bar of a session. Check --timezone, --unit" in told
    assert f"timestamp is missing or implausible; such as timestamp 1761917400000 (Int64) in {file}" in told


@pytest.mark.parametrize(("label", "of"), [("us", "ms"), ("us", "ns"), ("ns", "us"), ("ms", "us")])
def test_times_of_another_unit_than_their_label_are_set_aside(label: Any, of: Any, lake: Lake, brought: Path) -> None:
    """In 1970 where the label is of a finer unit, else far from now; `us` is how the lake labels its own."""
    typed = pl.Datetime(label, "UTC")
    right, wrong = STAMP.cast(typed), STAMP.dt.epoch(of).cast(typed)
    bars = pl.concat([ONE.head(2).with_columns(wrong), ONE.tail(4).with_columns(right)])
    put(brought / "AEMD.parquet", bars.drop("symbol"))
    assert importing(lake, brought).figures["rows_quarantined"] == 2
    assert_frame_equal(held(lake), ONE.tail(4))
    assert quarantined(lake) == {"symbol=AEMD/undated.parquet": {"timestamp is missing or implausible": 2}}


@pytest.mark.parametrize("form", [BarForm(), BarForm(ZONE, "ms")])
@pytest.mark.parametrize("at_once", [2, ROWS_AT_ONCE])
@pytest.mark.parametrize(
    "written",
    [
        NAIVE.dt.strftime("%m/%d/%Y %H:%M"),
        STAMP.dt.epoch("ms").cast(pl.Float64).cast(pl.String),
        NAIVE.dt.strftime("%Y-%m-%d %H:%M:%S EST"),
    ],
)
def test_text_of_a_form_that_no_flag_makes_times_is_told(
    written: pl.Expr, at_once: int, form: BarForm, lake: Lake, brought: Path
) -> None:
    bars = BOTH.with_columns(timestamp=written)
    file = put(brought / "1.csv", bars)
    (told,) = importing(lake, brought, form, rows_at_once=at_once).problems
    assert f"{file}: column timestamp, such as '{bars['timestamp'][0]}', is not a known timestamp format" in told
    assert "Write times as YYYY-MM-DD HH:MM[:SS]" in told
    assert "Check" not in told
    assert not files_below(lake.root)


def test_files_of_a_form_that_no_flag_makes_times_are_told_once_and_stop_no_other(lake: Lake, brought: Path) -> None:
    folder = brought / "symbol=AEMD"
    put(folder / "1.csv", in_csv(AS_ISO, FRI))
    put(folder / "2.csv", in_csv(NAIVE.dt.strftime("%m/%d/%Y %H:%M"), MON))
    put(folder / "3.csv", in_csv(NAIVE.dt.strftime("%m/%d/%Y %H:%M"), TUE))
    (told,) = importing(lake, brought).problems
    assert told.startswith(f"{folder / '2.csv'}: column timestamp, such as '11/03/2025 09:30', is not a known")
    assert told.endswith(f"1 more files are like it: {folder / '3.csv'}.")
    assert_frame_equal(held(lake), ONE.head(2))
    assert not quarantined(lake)


def test_text_that_is_no_time_is_set_aside(lake: Lake, brought: Path) -> None:
    text = ["2025-11-03 09:30:00", "2025-11-03 09:31:00 EST", "soon", "2025-11-03 09:32:00.123", "2025-13-03 09:33:00"]
    bars = pl.concat([ONE.head(1)] * 5).drop("symbol").with_columns(timestamp=pl.Series(text))
    put(brought / "AEMD.csv", bars)
    figures = importing(lake, brought, BarForm(ZONE)).figures
    # what tells them apart cannot be kept, so that they are one row
    assert (figures["rows_quarantined"], figures["rows_copies"]) == (1, 3)
    assert quarantined(lake) == {"symbol=AEMD/undated.parquet": {"timestamp is missing or implausible": 1}}
    assert held(lake)["timestamp"].to_list() == [new_york("2025-11-03 09:30")]


# ------------------------------------------------------------------------------------------------- values


def test_prices_of_32_bits_are_the_decimals_that_they_stand_for(lake: Lake, brought: Path) -> None:
    narrow = ONE.with_columns(pl.col(pl.Float64).cast(pl.Float32)).drop("symbol")
    assert narrow["open"].cast(pl.Float64)[0] != 12.34
    put(brought / "AEMD.parquet", narrow)
    importing(lake, brought)
    assert_frame_equal(held(lake), ONE, check_exact=True)
    assert held(lake)["volume"][0] == 9099.618


def test_whole_shares_other_names_and_what_vendors_leave_out(lake: Lake, brought: Path) -> None:
    short = {"timestamp": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
    bars = ONE.select(pl.col("symbol").alias("S"), *(pl.col(ours).alias(theirs) for ours, theirs in short.items()))
    put(brought / "bars.parquet", bars.with_columns(pl.col("v").cast(pl.Int32), otc=pl.lit(value=True), date=pl.lit(1)))
    result = importing(lake, brought, BarForm(names={"symbol": "S", **short}))
    expected = ONE.with_columns(
        pl.col("volume").floor(), vwap=pl.lit(None, dtype=pl.Float64), transactions=pl.lit(None, dtype=pl.Int64)
    )
    assert_frame_equal(held(lake), expected)
    assert result.files.extra == {"otc", "date"}


@pytest.mark.parametrize("name", ["bars.txt", "bars.tsv", "AEMD"])
def test_a_file_of_another_kind_is_refused_by_its_name(name: str, lake: Lake, brought: Path) -> None:
    brought.mkdir()
    BOTH.write_csv(brought / name)
    with pytest.raises(InputError, match=r"does not say that it is csv.gz or csv or parquet\. Rename it"):
        importing(lake, brought / name)
    with pytest.raises(InputError, match=rf"no csv.gz or csv or parquet file there \(1 others, such as {name}\)"):
        importing(lake, brought / "*")
    put(brought / "OTHER.csv", BOTH)
    assert importing(lake, brought / "*").figures["bars_new"] == 12


@pytest.mark.parametrize(("sign", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_than_the_comma_is_told(sign: str, word: str, lake: Lake, brought: Path) -> None:
    brought.mkdir()
    ONE.write_csv(brought / "AEMD.csv", separator=sign)
    (told,) = importing(lake, brought).problems
    assert f"Values are separated by {word}: write the file with commas" in told


@pytest.mark.parametrize(
    ("bars", "form", "words"),
    [
        (ONE.rename({"open": "o"}), BarForm(), "If they have other names, map them: --columns"),
        (ONE.drop("open", "close"), BarForm(), "no column open, close"),
        (ONE, BarForm(names={"open": "o"}), "no column o (given as open)"),
        (ONE.with_columns(pl.col("close").cast(pl.String)), BarForm(), "column close is String, not a number"),
        (ONE.drop("symbol"), BarForm(), "no column symbol, and its name is none"),
    ],
)
def test_files_that_are_none_of_bars_are_told(
    bars: pl.DataFrame, form: BarForm, words: str, lake: Lake, brought: Path
) -> None:
    file = put(brought / "minute_bars.parquet", bars)
    (told,) = importing(lake, brought, form).problems
    assert told.startswith(f"{file}: ")
    assert words in told


def test_bad_rows_are_set_aside_with_the_reason(lake: Lake, brought: Path) -> None:
    def bad(at: str, **values: Any) -> pl.DataFrame:
        return bars_from(at, ROWS[:1]).with_columns(pl.lit(value).alias(name) for name, value in values.items())

    between = bad("2025-11-05 10:00").with_columns(STAMP + timedelta(seconds=5))
    rows = [bad("2025-10-30 10:00", close=float("nan")), bad("2025-11-05 10:00", volume=0.0), between]
    rows += [bad("2025-11-05 10:01", high=1.0), ONE.head(1), bad("2025-11-05 10:02", symbol="../x")]
    put(brought / "bars.parquet", pl.concat([ONE, *rows]))
    result = importing(lake, brought)
    assert not result.problems
    assert_frame_equal(held(lake), ONE)
    assert quarantined(lake) == {
        "symbol=AEMD/2025-10.parquet": {"a price is missing or not positive": 1},
        "symbol=AEMD/2025-11.parquet": {
            "volume is missing or not positive": 1,
            "timestamp is not the start of a minute": 1,
            "high or low contradicts open and close": 1,
        },
        "unnamed.parquet": {"symbol is not usable as a name": 1},
    }
    assert (result.figures["rows_quarantined"], result.figures["rows_repeated"]) == (5, 1)
    # a day whose bars are all bad is due
    assert BarsStore(lake).covered("AEMD") == {FRI, MON, TUE}


def test_text_that_is_no_number_is_set_aside(lake: Lake, brought: Path) -> None:
    wrong = pl.Series(["12.34", "1,234.5", "n/a", "", "12.34", " 12.41 "])
    put(brought / "AEMD.csv", ONE.drop("symbol").with_columns(open=wrong))
    assert importing(lake, brought).figures["rows_quarantined"] == 3
    assert held(lake)["open"].to_list() == [12.34, 12.34, 12.41]


def test_days_without_a_session_and_days_that_are_not_over_are_left_out(lake: Lake, brought: Path) -> None:
    saturday, later = bars_from("2025-11-01 10:00", ROWS), bars_from("2025-12-01 10:00", ROWS[:1])
    night = bars_from("2025-11-03 03:00", ROWS[:1])
    put(brought / "bars.parquet", pl.concat([ONE, saturday, later, night]))
    result = importing(lake, brought)
    assert (result.figures["rows_on_other_days"], result.figures["rows_not_over"]) == (2, 1)
    # as of the vendor's: detection leaves out what is outside of the sessions of a day
    assert_frame_equal(held(lake), pl.concat([ONE, night]).sort("timestamp"))
    # what waits for its session to be over must be read again
    assert importing(lake, brought).figures["bars_equal"] == 7


# ------------------------------------------------------------------------------------------------- beside what is there

CHEAPER: list[Row] = [(11.0, 11.5, 10.9, 11.2, 100.0, 7), ROWS[1]]


def there(lake: Lake) -> BarsStore:
    """A lake in which the Monday was downloaded."""
    store = BarsStore(lake)
    store.add("AEMD", NOV, [MON, WED], bars_from("2025-11-03 09:30", ROWS), QUARANTINED_BARS.to_frame())
    return store


def differing() -> pl.DataFrame:
    """Monday: one minute that differs, one that agrees, one that is new."""
    return pl.concat([bars_from("2025-11-03 09:30", CHEAPER), bars_from("2025-11-03 09:40", ROWS[:1])])


@pytest.mark.parametrize("replace", [False, True])
def test_of_bars_that_differ_one_is_kept_as_said(replace: bool, lake: Lake, brought: Path) -> None:
    store = there(lake)
    put(brought / "bars.parquet", differing())
    figures = importing(lake, brought, replace=replace).figures
    assert {name: figures[f"bars_{name}"] for name in ("new", "equal", "differing", "replaced")} == {
        "new": 1,
        "equal": 1,
        "differing": 1,
        "replaced": int(replace),
    }
    first = differing().head(1) if replace else bars_from("2025-11-03 09:30", ROWS[:1])
    assert_frame_equal(
        store.read("AEMD"), pl.concat([first, bars_from("2025-11-03 09:31", ROWS[1:]), differing().tail(1)])
    )
    assert store.covered("AEMD") == {MON, WED}


@pytest.mark.parametrize("replace", [False, True])
def test_what_files_leave_out_or_tell_in_32_bits_is_no_difference(replace: bool, lake: Lake, brought: Path) -> None:
    store = there(lake)
    before = files_below(lake.bars("AEMD"))
    narrow = bars_from("2025-11-03 09:30", ROWS).with_columns(
        pl.col(pl.Float64).cast(pl.Float32), transactions=pl.lit(None)
    )
    put(brought / "bars.parquet", narrow.with_columns(vwap=pl.lit(None)))
    assert importing(lake, brought, replace=replace).figures["bars_equal"] == 2
    assert_frame_equal(store.read("AEMD"), bars_from("2025-11-03 09:30", ROWS))
    # the file now knows of the import, and nothing else
    assert files_below(lake.bars("AEMD")).keys() == before.keys()


FULL: list[Row] = [(12.0, 12.5, 11.9, 12.2, 100.0 + minute, 7) for minute in range(180)]


def without(bars: pl.DataFrame, *names: str) -> pl.DataFrame:
    return bars.with_columns(pl.lit(None, dtype=BARS[name]).alias(name) for name in names)


@pytest.mark.parametrize("replace", [False, True])
def test_what_one_of_two_equal_bars_lacks_is_filled_in_from_the_other(replace: bool, lake: Lake, brought: Path) -> None:
    whole = bars_from("2025-11-03 09:30", FULL[:4])
    half = pl.concat([without(whole[:2], "vwap"), without(whole[2:], "transactions")])
    put(brought / "1" / "bars.parquet", half)
    importing(lake, brought / "1")
    # the second differs in its volume, the fourth in its vwap: what it does not say of transactions is kept
    later = pl.concat([whole[:3], whole[3:].with_columns(pl.col("vwap") + 1)])
    later = later.with_columns(volume=pl.when(pl.int_range(4) == 1).then(9.0).otherwise("volume"))
    put(brought / "2" / "bars.parquet", without(later, "transactions"))
    figures = importing(lake, brought / "2", replace=replace).figures
    assert [figures[f"bars_{name}"] for name in ("equal", "filled", "differing")] == [2, 1, 2]
    other = pl.concat([without(later[1:2], "transactions"), half[2:3], without(later[3:], "transactions")])
    expected = pl.concat([whole[:1], other if replace else half[1:]])
    assert_frame_equal(held(lake), expected)
    put(brought / "3" / "bars.parquet", whole[3:])
    assert importing(lake, brought / "3").figures["bars_filled"] == int(not replace)


def test_bars_outside_of_every_session_are_refused_unless_they_may_be(lake: Lake, brought: Path) -> None:
    """07:00 to 10:00 in New York, read as UTC: 02:00 to 05:00, of which two hours are outside."""
    bars = bars_from("2025-11-03 07:00", FULL, "AEMD")
    put(brought / "AEMD.parquet", bars.drop("symbol").with_columns(timestamp=NAIVE))
    put(brought / "BRK.B.parquet", OTHER.drop("symbol"))
    (told,) = importing(lake, brought, BarForm("UTC")).problems
    assert f"{brought / 'AEMD.parquet'}: 120 of 180 bars (67 %) lie outside 04:00 to 20:00 New York" in told
    assert all(word in told for word in ("--timezone", "--unit", "--allow-outside"))
    assert_frame_equal(held(lake), OTHER)
    taken = importing(lake, brought, BarForm("UTC"), allow_outside=True)
    assert (taken.figures["bars_new"], taken.figures["bars_off_hours"]) == (180, 120)
    right = Lake(lake.root.with_name("right"))
    assert not importing(right, brought, BarForm(ZONE)).problems
    assert_frame_equal(held(right), pl.concat([bars, OTHER]))


@pytest.mark.parametrize(("outside", "problems"), [(9, 0), (10, 1)])
def test_a_few_bars_outside_are_taken(outside: int, problems: int, lake: Lake, brought: Path) -> None:
    """Of 180, 9 are the 5 % that may be."""
    night = bars_from("2025-11-03 03:00", FULL[:outside], "AEMD")
    put(brought / "AEMD.parquet", pl.concat([night, bars_from("2025-11-03 09:30", FULL[outside:], "AEMD")]))
    result = importing(lake, brought)
    assert len(result.problems) == problems
    assert result.figures["bars_off_hours"] == (0 if problems else outside)


WRONG = STAMP + timedelta(hours=-5)  # what a clock in New York shows in winter, taken for UTC
WEEKS = [day for day in OVER if date(2025, 11, 3) <= day <= date(2025, 11, 13)]


def of_day(day: date, symbol: str = "AEMD", rows: int = 180) -> pl.DataFrame:
    """Bars from 07:00 in New York."""
    return bars_from(f"{day} 07:00", FULL[:rows], symbol)


@pytest.mark.parametrize("name", ["symbol=AEMD/{}.parquet", "symbol=AEMD/{}.csv", "{}.parquet", "{}.csv.gz"])
def test_of_many_files_the_one_of_another_time_zone_is_refused(name: str, lake: Lake, brought: Path) -> None:
    """Of nine files of a symbol, or of many, 120 of 1,620 bars in all would not tell."""
    for day in WEEKS:
        put(brought / name.format(day), of_day(day).with_columns(WRONG if day == TUE else STAMP))
    (told,) = importing(lake, brought).problems
    assert told.startswith(f"{brought / name.format(TUE)}: 120 of 180 bars (67 %) lie outside 04:00 to 20:00 New York")
    right = pl.concat(of_day(day) for day in WEEKS)
    assert_frame_equal(held(lake), right.filter(DAY != TUE))
    # only that one is read again
    again = importing(lake, brought)
    assert again.problems == [told]
    assert not any(again.figures.values())
    put(brought / name.format(TUE), of_day(TUE))
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), right)


def test_files_that_are_refused_are_named(lake: Lake, brought: Path) -> None:
    for day in WEEKS:
        put(brought / f"{day}.parquet", of_day(day).with_columns(STAMP if day > TUE else WRONG))
    (told,) = importing(lake, brought).problems
    assert told.startswith(f"{brought / f'{MON}.parquet'}: ")
    assert told.endswith(f"1 more files are like it: {brought / f'{TUE}.parquet'}.")
    assert BarsStore(lake).covered("AEMD") == set(WEEKS) - {MON, TUE}


@pytest.mark.parametrize(("wrong", "refused"), [(1, 0), (9, 9)])
def test_files_of_few_bars_are_judged_together(wrong: int, refused: int, lake: Lake, brought: Path) -> None:
    """Of 18 bars each, one outside; more than 5 % of 162 if all have one."""
    for number, day in enumerate(WEEKS):
        bars = of_day(day, rows=18)
        night = pl.when(pl.int_range(18) == 0).then(STAMP - timedelta(hours=6)).otherwise(STAMP)
        put(brought / f"{day}.parquet", bars.with_columns(night if number < wrong else STAMP))
    result = importing(lake, brought)
    assert len(result.problems) == bool(refused)
    assert len(BarsStore(lake).covered("AEMD")) == 9 - refused


@pytest.mark.parametrize("replace", [False, True])
def test_of_a_file_larger_than_memory_nothing_is_taken_in_if_it_is_refused(
    replace: bool, lake: Lake, brought: Path
) -> None:
    """Although the symbols that come first are right."""
    right = pl.concat(of_day(MON, symbol) for symbol in ("AEMD", "BRK.B"))
    file = put(brought / "big.parquet", pl.concat([right, of_day(MON, "CRVO").with_columns(WRONG)]))
    result = importing(lake, brought, rows_at_once=200, decided=replace, replace=replace)
    (told,) = result.problems
    assert told.startswith(f"{file}: 120 of 540 bars (22 %) lie outside")
    assert not files_below(lake.root)


def test_rows_for_minutes_without_a_trade_are_no_bars_outside(lake: Lake, brought: Path) -> None:
    """As of vendors that have a row for every minute of the day."""
    day = bars_from("2025-11-03 00:00", [(12.0, 12.0, 12.0, 12.0, 0.0, None)] * 1440, "AEMD")
    trades = of_day(MON)
    put(brought / "AEMD.parquet", pl.concat([day.join(trades, on="timestamp", how="anti"), trades]))
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), trades)


def doubled(symbol: str, *, until: date | datetime = date(2100, 1, 1)) -> pl.Expr:
    is_it = (pl.col("symbol") == symbol) & (pl.lit(until) > STAMP)
    return pl.when(is_it).then(pl.col("volume") * 2).otherwise("volume").alias("volume")


def test_sessions_most_of_whose_minutes_differ_are_refused_unless_it_was_said_which_stay(
    lake: Lake, brought: Path
) -> None:
    """As of prices that are adjusted, or of another time zone."""
    before = pl.concat([bars_from("2025-11-03 09:30", FULL, name) for name in ("AEMD", "BRK.B", "CRVO")])
    put(brought / "1" / "bars.parquet", before)
    importing(lake, brought / "1")
    # of CRVO 36 of 180 differ, the 20 % that may be
    later = before.with_columns(doubled("AEMD")).with_columns(
        doubled("CRVO", until=datetime(2025, 11, 3, 15, 6, tzinfo=UTC))
    )
    put(brought / "2" / "bars.parquet", pl.concat([later, of_day(TUE)]))
    result = importing(lake, brought / "2")
    (told,) = result.problems
    assert "180 of the 180 minutes of AEMD on 2025-11-03 that the lake has as well differ (100 %)" in told
    assert "--on-conflict" in told
    assert (result.figures["bars_differing"], result.figures["bars_equal"]) == (36, 180 + 144)
    assert_frame_equal(held(lake), pl.concat([before[:180], of_day(TUE), before[180:]]))
    assert importing(lake, brought / "2", decided=True, replace=True).figures["bars_replaced"] == 216


def test_one_session_that_was_imported_wrongly_is_seen_among_many(lake: Lake, brought: Path) -> None:
    """A file that was on another clock, all inside of the day, and is corrected."""
    late = STAMP - timedelta(hours=1)
    for day in WEEKS:
        put(brought / f"{day}.parquet", of_day(day).with_columns(late if day == TUE else STAMP))
    importing(lake, brought)
    put(brought / f"{TUE}.parquet", of_day(TUE))
    result = importing(lake, brought)
    (told,) = result.problems
    assert "120 of the 120 minutes of AEMD on 2025-11-04 that the lake has as well differ (100 %)" in told
    assert told.startswith(f"{brought / f'{TUE}.parquet'}: ")
    assert "a file that was imported before and is corrected now" in told
    assert (result.figures["bars_new"], result.figures["bars_equal"]) == (0, 8 * 180)


@pytest.mark.parametrize(("minutes", "problems"), [(19, 0), (20, 1)])
def test_sessions_of_few_minutes_tell_nothing_alone(minutes: int, problems: int, lake: Lake, brought: Path) -> None:
    put(brought / "1" / "bars.parquet", of_day(MON, rows=minutes))
    put(brought / "2" / "bars.parquet", of_day(MON, rows=minutes).with_columns(doubled("AEMD")))
    importing(lake, brought / "1")
    assert len(importing(lake, brought / "2").problems) == problems


def test_sessions_of_few_minutes_are_judged_together(lake: Lake, brought: Path) -> None:
    every = pl.concat(of_day(day, rows=15) for day in WEEKS)
    put(brought / "1" / "bars.parquet", every)
    put(brought / "2" / "bars.parquet", every.with_columns(doubled("AEMD", until=date(2025, 11, 6))))
    importing(lake, brought / "1")
    (told,) = importing(lake, brought / "2").problems
    assert "45 of the 45 minutes of AEMD on 2025-11-03, AEMD on 2025-11-04, AEMD on 2025-11-05 that the lake" in told


# ------------------------------------------------------------------------------------------------- one beside the other


def two_files(brought: Path, layout: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same minutes at other prices. Those between the first and the last have columns of their own."""
    first, second = of_day(MON), of_day(MON).with_columns(pl.col(*PRICES) * 2)
    put(brought / layout.format("a"), first)
    put(brought / layout.format("b"), first.with_columns(pl.col(*PRICES) * 3, extra=pl.lit(1)))
    put(brought / layout.format("c"), second[:90])
    put(brought / layout.format("d"), second[90:])
    return first, second


SEVERAL = ["symbol=AEMD/{}.parquet", "{}.parquet", "{}.csv"]


@pytest.mark.parametrize("layout", SEVERAL)
@pytest.mark.parametrize("at_once", [100, 180, ROWS_AT_ONCE])
def test_of_bars_of_one_import_that_differ_the_first_or_the_last_stays(
    layout: str, at_once: int, lake: Lake, brought: Path
) -> None:
    first, second = two_files(brought, layout)
    kept = importing(lake, brought, rows_at_once=at_once, decided=True)
    assert not kept.problems
    assert_frame_equal(held(lake), first)
    other = Lake(lake.root.with_name("other"))
    assert not importing(other, brought, rows_at_once=at_once, decided=True, replace=True).problems
    assert_frame_equal(held(other), second)


@pytest.mark.parametrize("layout", SEVERAL)
@pytest.mark.parametrize("at_once", [100, ROWS_AT_ONCE])
def test_bars_of_one_import_that_differ_are_asked_about(layout: str, at_once: int, lake: Lake, brought: Path) -> None:
    two_files(brought, layout)
    told = " ".join(importing(lake, brought, rows_at_once=at_once).problems)
    assert "180 of the 180 minutes of AEMD on 2025-11-03 that" in told or "of the 90 minutes of AEMD" in told
    assert "--on-conflict keep" in told
    assert held(lake).is_empty() or at_once == 100
    assert not quarantined(lake)


def test_other_bars_of_a_minute_are_set_aside_and_copies_are_counted(lake: Lake, brought: Path) -> None:
    bars = of_day(MON)
    few = bars[:9].with_columns(doubled("AEMD"))
    put(brought / "symbol=AEMD" / "1.parquet", without(bars, "vwap"))
    put(brought / "symbol=AEMD" / "2.parquet", without(pl.concat([few, bars[9:]]), "transactions"))
    result = importing(lake, brought)
    assert not result.problems
    assert (result.figures["rows_repeated"], result.figures["rows_quarantined"]) == (171, 9)
    assert quarantined(lake) == {"symbol=AEMD/2025-11.parquet": {"another bar of a minute that has one": 9}}
    # what one of two that agree lacks is filled in from the other
    assert_frame_equal(held(lake), pl.concat([without(bars[:9], "vwap"), bars[9:]]))


def test_a_session_is_covered_where_bars_came(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", ONE.filter(DAY != MON))
    importing(lake, brought)
    assert BarsStore(lake).covered("AEMD") == {FRI, TUE}


@pytest.mark.parametrize("apart", [False, True])
def test_files_that_are_complete_cover_what_lies_between(apart: bool, lake: Lake, brought: Path) -> None:
    first = bars_from("2025-10-28 10:00", ROWS)
    if apart:  # in two files, imported one after the other
        put(brought / "1.parquet", first)
        put(brought / "2.parquet", bars_from("2025-11-04 10:00", ROWS))
    else:
        put(brought / "1.parquet", pl.concat([first, bars_from("2025-11-04 10:00", ROWS)]))
    importing(lake, brought, rows_at_once=2 if apart else ROWS_AT_ONCE, complete=True)
    between = {date(2025, 10, 28), date(2025, 10, 29), date(2025, 10, 30), FRI, MON, TUE}
    assert BarsStore(lake).covered("AEMD") == between
    before = files_below(lake.root)
    assert not importing(lake, brought, rows_at_once=2 if apart else ROWS_AT_ONCE, complete=True).figures
    assert files_below(lake.root) == before


# ------------------------------------------------------------------------------------------------- again


@pytest.mark.parametrize("layout", LAYOUTS)
def test_importing_again_reads_nothing_and_changes_no_byte(layout: str, lake: Lake, brought: Path) -> None:
    LAYOUTS[layout](brought)
    importing(lake, brought)
    before = files_below(lake.root)
    again = importing(lake, brought)
    assert not again.figures
    assert {outcome.partition for outcome in again.outcomes} == {("AEMD",), ("BRK.B",)}
    assert files_below(lake.root) == before


def test_a_month_that_was_removed_comes_back(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", BOTH)
    importing(lake, brought)
    before = {name: content for name, (_, content) in files_below(lake.root).items()}
    (lake.bars("AEMD") / "2025-10.parquet").unlink()
    assert importing(lake, brought).figures["bars_new"] == 2
    assert {name: content for name, (_, content) in files_below(lake.root).items()} == before


def test_what_is_downloaded_later_does_not_make_an_import_be_read_again(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", ONE)
    importing(lake, brought)
    BarsStore(lake).add("AEMD", NOV, [WED], bars_from("2025-11-05 10:00", ROWS), QUARANTINED_BARS.to_frame())
    assert not importing(lake, brought).figures
    assert BarsStore(lake).read("AEMD").height == 8


def test_other_options_and_changed_files_are_read_again(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", ONE.head(4))
    importing(lake, brought)
    assert importing(lake, brought, replace=True).figures["bars_equal"] == 4
    put(brought / "bars.parquet", ONE)
    figures = importing(lake, brought).figures
    assert (figures["bars_equal"], figures["bars_new"]) == (4, 2)


def test_imports_that_overlap_end_in_one_state(lake: Lake, brought: Path) -> None:
    put(brought / "a" / "morning.parquet", bars_from("2025-11-03 09:30", ROWS))
    put(brought / "b" / "evening.parquet", bars_from("2025-11-03 15:00", ROWS))
    for _ in range(2):
        importing(lake, brought / "a")
        importing(lake, brought / "b")
    before = files_below(lake.root)
    importing(lake, brought / "a")
    importing(lake, brought / "b")
    assert files_below(lake.root) == before
    assert held(lake).height == 4


def test_a_session_of_two_sources_is_read_again_once_and_no_more(lake: Lake, brought: Path) -> None:
    put(brought / "a" / "morning.parquet", bars_from("2025-11-03 09:30", ROWS))
    put(brought / "b" / "evening.parquet", bars_from("2025-11-03 15:00", ROWS))
    importing(lake, brought / "a")
    importing(lake, brought / "b")
    assert importing(lake, brought / "a").figures["bars_equal"] == 2
    assert not importing(lake, brought / "a").figures
    assert not importing(lake, brought / "b").figures


@pytest.mark.parametrize("month", [NOV, None])
def test_rows_that_come_right_leave_the_quarantine(month: date | None, lake: Lake, brought: Path) -> None:
    wrong = {"volume": pl.lit(0.0)} if month else {"timestamp": STAMP.dt.epoch("ms").cast(pl.Datetime("us", "UTC"))}
    put(brought / "bars.parquet", pl.concat([ONE.head(2).with_columns(**wrong), ONE[2:]]))
    importing(lake, brought)
    never = bars_from("2025-11-05 10:00", [(9.0, 8.0, 9.0, 9.0, 5.0, 1)])
    put(brought / "bars.parquet", pl.concat([ONE, ONE.head(1).with_columns(volume=pl.lit(9.0)), never]))
    importing(lake, brought)
    assert_frame_equal(held(lake), ONE)
    assert quarantined(lake) == {
        "symbol=AEMD/2025-10.parquet": {"another bar of a minute that has one": 1},
        "symbol=AEMD/2025-11.parquet": {"high or low contradicts open and close": 1},
    }
    # nothing of the same minute takes the place of a row that only repeats it
    put(brought / "bars.parquet", ONE.head(2))
    importing(lake, brought)
    assert len(quarantined(lake)) == 2


KILLED = """
import os, sys
from itertools import count
from pathlib import Path
import psutil
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.unit.commands.imports.bars_test import importing
number, last, replace = count(1), int(sys.argv[3]), os.replace
def once_too_often(source, target):
    if next(number) == last:
        psutil.Process().kill()
    replace(source, target)
os.replace = once_too_often
importing(Lake(Path(sys.argv[1])), sys.argv[2])
"""


@pytest.mark.parametrize("layout", ["a file per symbol and day", "a file with all symbols"])
def test_an_import_that_is_killed_again_and_again_ends_as_one_that_never_was(
    layout: str, lake: Lake, brought: Path
) -> None:
    LAYOUTS[layout](brought)
    bad = ONE.drop("symbol").with_columns(STAMP + timedelta(minutes=10), volume=pl.lit(0.0))
    put(brought / "symbol=AEMD" / "bad.parquet", bad)
    # of six files, two of them in quarantine: each time one more is published before the next is not
    for last in (2, 3):
        command = [sys.executable, "-c", KILLED, str(lake.root), str(brought), str(last)]
        process = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert process.returncode not in (0, 1), process.stderr
    assert 0 < len(list(lake.root.rglob("[0-9u]*.parquet"))) < 6
    importing(lake, brought)
    undisturbed = Lake(lake.root.with_name("undisturbed"))
    importing(undisturbed, brought)
    ours, theirs = files_below(lake.root), files_below(undisturbed.root)
    assert {name: content for name, (_, content) in ours.items()} == {
        name: content for name, (_, content) in theirs.items()
    }
    assert len(ours) == 6
    importing(lake, brought)
    assert files_below(lake.root) == ours


# ----------------------------------------------------------------------------------------------- files that are broken


def test_a_damaged_file_does_not_stop_the_others(lake: Lake, brought: Path) -> None:
    day_files(brought)
    good = (brought / "symbol=AEMD" / f"date={MON}.parquet").read_bytes()
    for name, content in (
        ("a.parquet", b"no parquet"),
        (f"date={MON}.parquet", good[:100] + b"\xff" * 300 + good[400:]),
    ):
        (brought / "symbol=AEMD" / name).write_bytes(content)
    result = importing(lake, brought)
    assert sorted(Path(told.split(": ")[0]).name for told in result.problems) == ["a.parquet", f"date={MON}.parquet"]
    assert_frame_equal(held(lake), pl.concat([ONE.filter(DAY != MON), OTHER]))
    again = importing(lake, brought)
    assert again.problems == result.problems
    # only they are read again
    assert not any(again.figures.values())
    # mended
    (brought / "symbol=AEMD" / "a.parquet").unlink()
    (brought / "symbol=AEMD" / f"date={MON}.parquet").write_bytes(good)
    mended = importing(lake, brought)
    assert (mended.figures["bars_new"], mended.figures["bars_equal"]) == (2, 4)
    assert_frame_equal(held(lake), BOTH)


@pytest.mark.parametrize("content", [b"", b"symbol,close\n", b"\xff\xfe\x00\x01,\n\xff", b"\x1f\x8b\x08broken"])
@pytest.mark.parametrize("name", ["AEMD.csv", "AEMD.csv.gz", "AEMD.parquet"])
def test_what_is_no_table_is_told(name: str, content: bytes, lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", OTHER)
    (brought / name).write_bytes(content)
    (told,) = importing(lake, brought).problems
    assert told.startswith(f"{brought / name}: ")
    assert_frame_equal(held(lake), OTHER)


def test_files_of_one_symbol_may_have_different_columns(lake: Lake, brought: Path) -> None:
    """As of years in which the tool that wrote them changed."""
    folder = brought / "symbol=AEMD"
    put(folder / "1.parquet", ONE[:2].drop("symbol", "vwap").with_columns(extra=pl.lit(1)))
    put(folder / "2.parquet", ONE[2:4].with_columns(pl.col("open").cast(pl.Float32)))
    put(folder / "3.csv", ONE[4:].drop("transactions"))
    result = importing(lake, brought)
    assert not result.problems
    assert_frame_equal(
        held(lake).select("symbol", "timestamp", *PRICES[:4]), ONE.select("symbol", "timestamp", *PRICES[:4])
    )
    assert result.files.extra == {"extra"}


def test_a_fault_that_all_files_share_is_told_once(lake: Lake, brought: Path) -> None:
    for day in (FRI, MON, TUE):
        put(brought / "symbol=AEMD" / f"{day}.parquet", ONE.filter(day == DAY).with_columns(timestamp=NAIVE))
    (told,) = importing(lake, brought).problems
    assert "2 more files are like it" in told
