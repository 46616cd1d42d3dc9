"""Bars are read a few symbols at a time from files of any layout, and no other bars with them."""

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import NOT_A_MINUTE, clean_bars, reasons
from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.pipeline.imports import symbol_partitions
from smallcaps_assets.pipeline.imports.bar_files import BarReader
from smallcaps_assets.pipeline.imports.bar_rules import NOT_OF_PATH
from smallcaps_assets.pipeline.imports.bars_by_symbol import BarsBySymbol
from smallcaps_assets_tests.scenarios import bars_from, flat
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

DAYS = sessions_between(date(2025, 11, 24), date(2025, 12, 1))
BARS_OF_FIVE = lively_bars(4, 5, DAYS)
SYMBOLS = BARS_OF_FIVE["symbol"].unique().sort().to_list()
ROWS_AT_ONCE = 1_500


def scan(folder: Path, rows_at_once: int = ROWS_AT_ONCE) -> BarsBySymbol:
    reader = BarReader(BarForm(), rows_at_once=rows_at_once)
    return BarsBySymbol.scan(reader, sorted(folder.rglob("*.parquet")), lambda _: None)


def put(path: Path, bars: pl.DataFrame, **options: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bars.write_parquet(path, **options)  # type: ignore[arg-type]


def by_month(folder: Path) -> None:
    for (symbol, month), rows in BARS_OF_FIVE.group_by("symbol", DAY.dt.truncate("1mo")):
        put(folder / f"symbol={symbol}" / f"{month:%Y-%m}.parquet", rows.drop("symbol"))


def by_symbol(folder: Path) -> None:
    for (symbol,), rows in BARS_OF_FIVE.group_by("symbol"):
        put(folder / f"{symbol}.parquet", rows)


def in_one(folder: Path) -> None:
    put(folder / "bars.parquet", BARS_OF_FIVE, row_group_size=300)


def by_day(folder: Path) -> None:
    for (day,), rows in BARS_OF_FIVE.group_by(DAY):
        put(folder / f"{day}.parquet", rows)


def in_disorder(folder: Path) -> None:
    put(folder / "bars.parquet", BARS_OF_FIVE.sort("timestamp"), row_group_size=300)


def without_statistics(folder: Path) -> None:
    folder.mkdir(parents=True)
    BARS_OF_FIVE.write_parquet(folder / "bars.parquet", statistics=False)


LAYOUTS = [by_month, by_symbol, in_one, by_day, in_disorder, without_statistics]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_batches(layout: Callable[[Path], None], tmp_path: Path) -> None:
    layout(tmp_path / "in")
    files = scan(tmp_path / "in")
    assert files.symbols == SYMBOLS
    batches = list(files.batches(files.symbols))
    assert [symbol for batch in batches for symbol in batch] == SYMBOLS
    assert len(batches) > 2
    partitioned = files.partition(batches, tmp_path / "partitions")
    for batch in batches:
        wanted = BARS_OF_FIVE.filter(pl.col("symbol").is_in(batch))
        assert wanted.height <= ROWS_AT_ONCE or len(batch) == 1
        for read in (files.read(batch), partitioned.read(batch)):
            assert read.good.schema == BARS
            assert_frame_equal(read.good.sort("symbol", "timestamp"), wanted)
            assert read.quarantined.is_empty()


@pytest.mark.parametrize(("layout", "files"), [(by_month, 0), (in_one, 5), (by_day, 5), (in_disorder, 5)])
def test_only_files_of_several_symbols_are_partitioned(
    layout: Callable[[Path], None], files: int, tmp_path: Path
) -> None:
    """One partition for each of five batches; the files are not read again."""
    layout(tmp_path / "in")
    batches = [[symbol] for symbol in SYMBOLS]
    partitioned = scan(tmp_path / "in").partition(batches, tmp_path / "partitions")
    assert len(list((tmp_path / "partitions").rglob("*.parquet"))) == files
    if files:
        shutil.rmtree(tmp_path / "in")
    assert sum(partitioned.read(batch).good.height for batch in batches) == BARS_OF_FIVE.height


def test_a_single_batch_is_not_partitioned(tmp_path: Path) -> None:
    in_disorder(tmp_path / "in")
    scan(tmp_path / "in").partition([SYMBOLS], tmp_path / "partitions")
    assert not (tmp_path / "partitions").exists()


def test_partitions_of_several_batches_hold_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbol_partitions, "MOST_PARTITIONS", 2)
    in_disorder(tmp_path / "in")
    batches = [[symbol] for symbol in SYMBOLS]
    partitioned = scan(tmp_path / "in").partition(batches, tmp_path / "partitions")
    assert len(list((tmp_path / "partitions").iterdir())) == 2
    for symbol in SYMBOLS:
        assert_frame_equal(partitioned.read([symbol]).good, BARS_OF_FIVE.filter(symbol=symbol))
    assert_frame_equal(
        partitioned.read(SYMBOLS[1:4]).good.sort("symbol", "timestamp"),
        BARS_OF_FIVE.filter(pl.col("symbol").is_in(SYMBOLS[1:4])),
    )


def test_a_symbol_is_read_from_its_files_only(tmp_path: Path) -> None:
    by_month(tmp_path)
    files = scan(tmp_path)
    for path in (tmp_path / f"symbol={SYMBOLS[1]}").iterdir():
        path.unlink()
    assert files.read(SYMBOLS[:1]).good.height == BARS_OF_FIVE.filter(symbol=SYMBOLS[0]).height
    with pytest.raises(InputError, match=f"symbol={SYMBOLS[1]}.*does not exist"):
        files.read(SYMBOLS[:2])


def test_only_the_requested_dates_are_read(tmp_path: Path) -> None:
    by_day(tmp_path)
    files = scan(tmp_path)
    (tmp_path / f"{DAYS[0]}.parquet").unlink()
    (tmp_path / f"{DAYS[-1]}.parquet").unlink()
    read = files.read(SYMBOLS, DAYS[1], DAYS[2]).good
    assert_frame_equal(read.sort("symbol", "timestamp"), BARS_OF_FIVE.filter(DAY.is_between(DAYS[1], DAYS[2])))


def test_batch_size_depends_on_the_requested_dates(tmp_path: Path) -> None:
    by_month(tmp_path)
    files = scan(tmp_path)
    assert len(list(files.batches(SYMBOLS))) > 2
    # December has one session of the six
    assert list(files.batches(SYMBOLS, date(2025, 12, 1), None)) == [SYMBOLS]


def at_times(*moments: datetime | None) -> pl.DataFrame:
    bars = bars_from("2025-11-05 10:00", flat(len(moments)))
    return bars.with_columns(timestamp=pl.Series(moments, dtype=BARS["timestamp"]))


def test_rows_without_a_timestamp_are_never_skipped(tmp_path: Path) -> None:
    put(tmp_path / "bars.parquet", at_times(datetime(2025, 11, 5, 15, tzinfo=UTC), None))
    assert scan(tmp_path).read(["AEMD"], date(2026, 1, 1), None).good["timestamp"].to_list() == [None]


def test_a_timestamp_whose_unit_contradicts_its_type_is_handled(tmp_path: Path) -> None:
    microseconds = pl.Series([datetime(2025, 11, 5, 15, tzinfo=UTC)]).dt.epoch("us")
    put(tmp_path / "bars.parquet", at_times(None).with_columns(timestamp=microseconds.cast(pl.Datetime("ms", "UTC"))))
    assert scan(tmp_path).read(["AEMD"], date(2025, 1, 1), date(2026, 1, 1)).good["timestamp"].to_list() == [None]


def test_implausible_timestamps_are_never_skipped(tmp_path: Path) -> None:
    milliseconds = pl.Series([datetime(2025, 11, 5, 15, tzinfo=UTC)]).dt.epoch("ms")
    put(tmp_path / "bars.parquet", at_times(None).with_columns(timestamp=milliseconds.cast(BARS["timestamp"])))
    assert scan(tmp_path).read(["AEMD"], date(2025, 1, 1), date(2026, 1, 1)).good["timestamp"].to_list() == [None]


def test_dates_are_new_york_dates_in_every_time_zone(tmp_path: Path) -> None:
    """04:30 in New York on the sixth is the evening of the fifth in Honolulu."""
    early = at_times(datetime(2025, 11, 6, 9, 30, tzinfo=UTC))
    put(tmp_path / "bars.parquet", early.with_columns(pl.col("timestamp").dt.convert_time_zone("Pacific/Honolulu")))
    assert scan(tmp_path).read(["AEMD"], date(2025, 11, 6), None).good.height == 1


def test_files_with_the_vendors_column_names_are_read(tmp_path: Path) -> None:
    theirs = BARS_OF_FIVE.rename({"symbol": "ticker", "timestamp": "window_start"})
    put(tmp_path / "bars.parquet", theirs.with_columns(pl.col("window_start").dt.epoch("ns")), row_group_size=300)
    files = scan(tmp_path)
    assert files.symbols == SYMBOLS
    assert files.read(SYMBOLS[:1]).good.equals(BARS_OF_FIVE.filter(symbol=SYMBOLS[0]))


def test_the_symbol_of_the_path_replaces_nulls_in_the_column(tmp_path: Path) -> None:
    """A row whose symbol contradicts the path is rejected, as on import."""
    bars = pl.concat([bars_from("2025-11-05 10:00", flat(1), symbol) for symbol in ("A", "B")])
    put(tmp_path / "symbol=A" / "bars.parquet", bars.with_columns(symbol=pl.Series([None, "B"])))
    files = scan(tmp_path)
    assert files.symbols == ["A"]
    read = files.read(["A"])
    assert read.good["symbol"].to_list() == ["A"]
    assert read.quarantined.select("symbol", "reason").rows() == [("B", NOT_OF_PATH)]
    assert files.read_nameless().is_empty()


@pytest.mark.parametrize("path", ["symbol=AEMD.parquet", "AEMD.parquet"])
def test_a_file_name_may_give_the_symbol_of_its_rows(path: str, tmp_path: Path) -> None:
    put(tmp_path / path, bars_from("2025-11-05 10:00", flat(2)).drop("symbol"))
    assert scan(tmp_path).read(["AEMD"]).good["symbol"].to_list() == ["AEMD", "AEMD"]


@pytest.mark.parametrize("path", ["symbol=AEMD/bars.parquet", "bars.parquet"])
def test_rows_off_the_minute_are_rejected(path: str, tmp_path: Path) -> None:
    moments = [datetime(2025, 11, 5, 15, 0, second, tzinfo=UTC) for second in (0, 30, 59)]
    put(tmp_path / path, at_times(*moments))
    clean = clean_bars(scan(tmp_path).read(["AEMD"]).good)
    assert clean.good["timestamp"].to_list() == moments[:1]
    assert reasons(clean.quarantined) == {NOT_A_MINUTE: 2}


def test_lower_case_symbols_are_converted_to_capitals(tmp_path: Path) -> None:
    put(tmp_path / "symbol=aemd" / "bars.parquet", bars_from("2025-11-05 10:00", flat(1)).drop("symbol"))
    put(tmp_path / "bars.parquet", bars_from("2025-11-05 10:01", flat(1), "aemd"))
    files = scan(tmp_path)
    assert files.symbols == ["AEMD"]
    assert files.read(["AEMD"]).good.height == 2


def test_rows_without_a_symbol_are_read_once(tmp_path: Path) -> None:
    bars = at_times(*(datetime(2025, 11, 5, hour, tzinfo=UTC) for hour in (15, 16, 17)))
    put(tmp_path / "in" / "bars.parquet", bars.with_columns(symbol=pl.Series(["B", None, "A"])))
    files = scan(tmp_path / "in")
    assert files.symbols == ["A", "B"]
    for read in (files, files.partition([["A"], ["B"]], tmp_path / "partitions")):
        assert read.read(["A", "B"]).good.height == 2
        assert read.read_nameless().height == 1


def test_rows_are_in_the_order_of_their_files(tmp_path: Path) -> None:
    """The first row of a repeated minute is kept: that of the first file, also in files of several symbols."""

    def priced(price: float, symbols: Sequence[str]) -> pl.DataFrame:
        return pl.concat(bars_from("2025-11-05 10:00", flat(1, price), symbol) for symbol in symbols)

    put(tmp_path / "in" / "1.parquet", priced(1.0, ["A", "B"]))
    put(tmp_path / "in" / "2.parquet", priced(2.0, ["A"]))
    put(tmp_path / "in" / "3.parquet", priced(3.0, ["A", "B"]))
    files = scan(tmp_path / "in", rows_at_once=1)
    for read in (files, files.partition([["A"], ["B"]], tmp_path / "partitions")):
        assert read.read(["A"]).good["close"].to_list() == [1.0, 2.0, 3.0]


def test_rows_of_single_and_multi_symbol_files_are_in_the_order_of_files(tmp_path: Path) -> None:
    put(tmp_path / "in" / "1.parquet", bars_from("2025-11-05 10:00", flat(1, 1.0)))
    put(tmp_path / "in" / "2" / "symbol=AEMD.parquet", bars_from("2025-11-05 10:00", flat(1, 2.0)).drop("symbol"))
    put(tmp_path / "in" / "3.parquet", bars_from("2025-11-05 10:00", flat(1, 3.0)))
    files = scan(tmp_path / "in")
    for read in (files, files.partition([["AEMD"], ["B"]], tmp_path / "partitions")):
        paths = [path.name for path in files.extents]
        assert paths == ["1.parquet", "symbol=AEMD.parquet", "3.parquet"]
        assert read.read(["AEMD"]).good["close"].to_list() == [1.0, 2.0, 3.0]


def test_few_files_log_no_progress(tmp_path: Path) -> None:
    lines: list[str] = []
    in_one(tmp_path)
    BarsBySymbol.scan(BarReader(BarForm()), list(tmp_path.iterdir()), lines.append)
    assert lines[-1].startswith("files looked at: 1 of 1 done, ")
