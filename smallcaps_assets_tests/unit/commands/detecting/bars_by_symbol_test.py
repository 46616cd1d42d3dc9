"""Bars are read a few symbols at a time, whatever the files they lie in, and nothing else is read with them."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.commands.detecting.bars_by_symbol import BarsBySymbol
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.month_files import DAY
from smallcaps_assets_tests.scenarios import bars_from, flat
from smallcaps_assets_tests.strategies import lively_bars, sessions_between

DAYS = sessions_between(date(2025, 11, 24), date(2025, 12, 1))
BARS_OF_FIVE = lively_bars(4, 5, DAYS)
SYMBOLS = BARS_OF_FIVE["symbol"].unique().sort().to_list()
ROWS_AT_ONCE = 1_500


def looked(folder: Path, rows_at_once: int = ROWS_AT_ONCE) -> BarsBySymbol:
    return BarsBySymbol.look_at(sorted(folder.rglob("*.parquet")), lambda _: None, rows_at_once)


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
    files = looked(tmp_path / "in")
    assert files.symbols == SYMBOLS
    batches = list(files.batches(files.symbols))
    assert [symbol for batch in batches for symbol in batch] == SYMBOLS
    assert len(batches) > 2
    (tmp_path / "runs").mkdir()
    sorted_first = files.in_runs(batches, tmp_path / "runs", lambda _: None)
    for batch in batches:
        wanted = BARS_OF_FIVE.filter(pl.col("symbol").is_in(batch))
        assert wanted.height <= ROWS_AT_ONCE or len(batch) == 1
        for read in (files.read(batch), sorted_first.read(batch)):
            assert read.schema == BARS
            assert_frame_equal(read.sort("symbol", "timestamp"), wanted)


@pytest.mark.parametrize(
    ("layout", "scattered"),
    [(by_month, False), (by_symbol, False), (in_one, False), (by_day, True), (in_disorder, True)],
)
def test_only_rows_that_lie_scattered_are_sorted_first(
    layout: Callable[[Path], None], scattered: bool, tmp_path: Path
) -> None:
    layout(tmp_path)
    files = looked(tmp_path)
    batches = [[symbol] for symbol in SYMBOLS]
    assert files.is_scattered(batches) is scattered
    assert not files.is_scattered([SYMBOLS])


def test_sorted_runs_can_be_read_apart(tmp_path: Path) -> None:
    by_day(tmp_path / "in")
    (tmp_path / "runs").mkdir()
    batches = [[symbol] for symbol in SYMBOLS]
    assert not looked(tmp_path / "in").in_runs(batches, tmp_path / "runs", lambda _: None).is_scattered(batches)


def test_a_symbol_is_read_from_its_own_files_alone(tmp_path: Path) -> None:
    by_month(tmp_path)
    files = looked(tmp_path)
    for path in (tmp_path / f"symbol={SYMBOLS[1]}").iterdir():
        path.unlink()
    assert files.read(SYMBOLS[:1]).height == BARS_OF_FIVE.filter(symbol=SYMBOLS[0]).height
    with pytest.raises(InputError, match=f"symbol={SYMBOLS[1]}.*not a readable parquet file"):
        files.read(SYMBOLS[:2])


def test_only_the_dates_asked_for_are_read(tmp_path: Path) -> None:
    by_day(tmp_path)
    files = looked(tmp_path)
    (tmp_path / f"{DAYS[0]}.parquet").unlink()
    (tmp_path / f"{DAYS[-1]}.parquet").unlink()
    read = files.read(SYMBOLS, DAYS[1], DAYS[2])
    assert_frame_equal(read.sort("symbol", "timestamp"), BARS_OF_FIVE.filter(DAY.is_between(DAYS[1], DAYS[2])))


def test_batches_are_sized_by_the_dates_asked_for(tmp_path: Path) -> None:
    by_month(tmp_path)
    files = looked(tmp_path)
    assert len(list(files.batches(SYMBOLS))) > 2
    # December has one session of the six
    assert list(files.batches(SYMBOLS, date(2025, 12, 1), None)) == [SYMBOLS]


def stamped(*moments: datetime | None) -> pl.DataFrame:
    bars = bars_from("2025-11-05 10:00", flat(len(moments)))
    return bars.with_columns(timestamp=pl.Series(moments, dtype=BARS["timestamp"]))


def test_rows_without_a_timestamp_are_never_left_out(tmp_path: Path) -> None:
    put(tmp_path / "bars.parquet", stamped(datetime(2025, 11, 5, 15, tzinfo=UTC), None))
    assert looked(tmp_path).read(["AEMD"], date(2026, 1, 1), None)["timestamp"].to_list() == [None]


def test_a_timestamp_of_another_unit_than_its_label_is_no_crash(tmp_path: Path) -> None:
    microseconds = pl.Series([datetime(2025, 11, 5, 15, tzinfo=UTC)]).dt.epoch("us")
    put(tmp_path / "bars.parquet", stamped(None).with_columns(timestamp=microseconds.cast(pl.Datetime("ms", "UTC"))))
    assert looked(tmp_path).read(["AEMD"], date(2025, 1, 1), date(2026, 1, 1))["timestamp"].to_list() == [None]


def test_implausible_timestamps_are_never_left_out(tmp_path: Path) -> None:
    milliseconds = pl.Series([datetime(2025, 11, 5, 15, tzinfo=UTC)]).dt.epoch("ms")
    put(tmp_path / "bars.parquet", stamped(None).with_columns(timestamp=milliseconds.cast(BARS["timestamp"])))
    assert looked(tmp_path).read(["AEMD"], date(2025, 1, 1), date(2026, 1, 1))["timestamp"].to_list() == [None]


def test_dates_are_those_of_new_york_wherever_the_clocks_stood(tmp_path: Path) -> None:
    """04:30 in New York on the sixth is the evening of the fifth in Honolulu."""
    early = stamped(datetime(2025, 11, 6, 9, 30, tzinfo=UTC))
    put(tmp_path / "bars.parquet", early.with_columns(pl.col("timestamp").dt.convert_time_zone("Pacific/Honolulu")))
    assert looked(tmp_path).read(["AEMD"], date(2025, 11, 6), None).height == 1


def test_files_under_the_names_of_the_vendor_are_read(tmp_path: Path) -> None:
    theirs = BARS_OF_FIVE.rename({"symbol": "ticker", "timestamp": "window_start"})
    put(tmp_path / "bars.parquet", theirs.with_columns(pl.col("window_start").dt.epoch("ns")), row_group_size=300)
    files = looked(tmp_path)
    assert files.symbols == SYMBOLS
    assert not files.is_scattered([[symbol] for symbol in SYMBOLS])
    assert files.read(SYMBOLS[:1]).equals(BARS_OF_FIVE.filter(symbol=SYMBOLS[0]))


def test_the_symbol_of_the_path_stands_where_the_column_is_null(tmp_path: Path) -> None:
    bars = pl.concat([bars_from("2025-11-05 10:00", flat(1), symbol) for symbol in ("A", "B")])
    put(tmp_path / "symbol=A" / "bars.parquet", bars.with_columns(symbol=pl.Series([None, "B"])))
    files = looked(tmp_path)
    assert files.symbols == ["A", "B"]
    assert [files.read([symbol]).height for symbol in files.symbols] == [1, 1]
    assert not list(files.nameless())


def test_rows_without_a_symbol_are_read_once(tmp_path: Path) -> None:
    bars = stamped(*(datetime(2025, 11, 5, hour, tzinfo=UTC) for hour in (15, 16, 17)))
    put(tmp_path / "bars.parquet", bars.with_columns(symbol=pl.Series(["B", None, "A"])))
    files = looked(tmp_path)
    assert files.symbols == ["A", "B"]
    assert files.read(["A", "B"]).height == 2
    assert [rows.height for rows in files.nameless()] == [1]


def test_rows_come_in_the_order_of_files(tmp_path: Path) -> None:
    """Of a repeated minute the first row counts: that of the first file, also where several symbols share it."""

    def priced(price: float, symbols: Sequence[str]) -> pl.DataFrame:
        return pl.concat(bars_from("2025-11-05 10:00", flat(1, price), symbol) for symbol in symbols)

    put(tmp_path / "in" / "1.parquet", priced(1.0, ["A", "B"]))
    put(tmp_path / "in" / "2.parquet", priced(2.0, ["A"]))
    put(tmp_path / "in" / "3.parquet", priced(3.0, ["A", "B"]))
    files = looked(tmp_path / "in", rows_at_once=1)
    (tmp_path / "runs").mkdir()
    for there in (files, files.in_runs([["A"], ["B"]], tmp_path / "runs", lambda _: None)):
        assert there.read(["A"])["close"].to_list() == [1.0, 2.0, 3.0]


def test_a_few_files_say_nothing_of_progress_that_long_work_would(tmp_path: Path) -> None:
    told: list[str] = []
    in_one(tmp_path)
    BarsBySymbol.look_at(list(tmp_path.iterdir()), told.append)
    assert told[-1].startswith("files looked at: 1/1, ")
