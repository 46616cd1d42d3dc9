"""Bars read by ranges of rows are those of partitions, and partitions are written only where ranges overlap."""

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.pipeline.imports import symbol_ranges
from smallcaps_assets.pipeline.imports.bar_files import BarReader
from smallcaps_assets.pipeline.imports.bars_by_symbol import BarsBySymbol
from smallcaps_assets.pipeline.imports.symbol_partitions import SYMBOL, SymbolPartitions
from smallcaps_assets.pipeline.imports.symbol_ranges import FileSize, SymbolRanges

pytestmark = pytest.mark.slow

READER = BarReader(BarForm())
# as stored: `b` and `B` are one symbol, of which the files do not know; no symbol at all is possible
STORED = st.lists(st.sampled_from(["A", "b", "B", "CpD", "é", None]), max_size=30)


def bars_of(symbols: Sequence[str | None], first: int = 0) -> pl.DataFrame:
    """Minutes of which each is at another price, so that their order shows."""
    rows = pl.int_range(first, first + len(symbols), eager=True)
    moments = datetime(2025, 11, 5, 15, tzinfo=UTC) + pl.duration(minutes=pl.lit(rows))
    columns = {name: rows.cast(pl.Float64) + 1.01 for name in ("open", "high", "low", "close", "volume")}
    frame = pl.DataFrame({"symbol": pl.Series(symbols, dtype=pl.String), **columns})
    return frame.with_columns(timestamp=moments, vwap=None, transactions=None).select(
        pl.col(name).cast(of) for name, of in BARS.items()
    )


@settings(max_examples=40)
@given(
    st.lists(st.tuples(STORED, st.booleans(), st.booleans()), min_size=1, max_size=3),
    st.integers(1, 12),
    st.sampled_from([1, 7, 2**32 - 1]),
)
def test_ranges_and_partitions_give_the_same_rows_in_the_same_order(
    stored: list[tuple[list[str | None], bool, bool]], row_group: int, most_numbered: int
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(symbol_ranges, "MOST_NUMBERED", most_numbered)
        sizes = {}
        for number, (symbols, is_sorted, other_columns) in enumerate(stored):
            rows = bars_of(symbols, 100 * number)
            rows = rows.sort("symbol", maintain_order=True) if is_sorted else rows
            rows = (
                rows.with_columns(pl.col("close").cast(pl.Float32)).rename({"symbol": "sym"}) if other_columns else rows
            )
            path = Path(name) / f"{number}.parquet"
            rows.write_parquet(path, row_group_size=row_group, statistics=not other_columns)
            sizes[path] = FileSize(rows.height, row_group)
        ranges, bars = SymbolRanges(READER.scan, sizes), READER.scan(list(sizes))
        counts = ranges.count_symbols()
        canonical = ["B" if symbol == "b" else symbol for symbols, _, _ in stored for symbol in symbols]
        assert counts == {symbol: canonical.count(symbol) for symbol in canonical if symbol is not None}
        batches = [[symbol] for symbol in sorted(counts)]
        partitions = SymbolPartitions(bars, batches, Path(name) / "partitions")
        for batch in [*batches, sorted(counts)]:
            read = ranges.read(SYMBOL.is_in(batch), list(sizes)).collect(engine="streaming")
            assert_frame_equal(read, bars.filter(SYMBOL.is_in(batch)).collect())
            for symbol in batch:
                expected = partitions.read([symbol]).collect()
                assert_frame_equal(read.filter(symbol=symbol), expected)
        nameless = ranges.read(SYMBOL.is_null(), list(sizes)).collect(engine="streaming")
        assert nameless.height == canonical.count(None)
        assert_frame_equal(nameless, partitions.read_nameless().collect())


# four symbols of 50,000 rows, one batch each
NAMES = ["A", "B", "C", "D"]
EACH = 50_000
IN_ORDER = bars_of([name for name in NAMES for _ in range(EACH)])


def in_order(folder: Path) -> None:
    IN_ORDER.write_parquet(folder / "1.parquet", row_group_size=EACH)


def out_of_step_with_row_groups(folder: Path) -> None:
    IN_ORDER.write_parquet(folder / "1.parquet", row_group_size=EACH + 1_000, statistics=False)


def nearly_in_order(folder: Path) -> None:
    """The last row of the first symbol comes last of all."""
    pl.concat([IN_ORDER[: EACH - 1], IN_ORDER[EACH:], IN_ORDER[EACH - 1 : EACH]]).write_parquet(
        folder / "1.parquet", row_group_size=5_000
    )


def one_file_each(folder: Path) -> None:
    for (symbol,), rows in IN_ORDER.group_by("symbol"):
        rows.write_parquet(folder / f"{symbol}.parquet")


def scattered(folder: Path) -> None:
    rows = bars_of(NAMES * EACH)
    rows.write_parquet(folder / "1.parquet", row_group_size=5_000)


def many_small_files(folder: Path) -> None:
    """Opening each of them for each batch would take most of the time."""
    for number in range(20):
        rows = pl.concat(part[number * 100 : (number + 1) * 100] for part in IN_ORDER.partition_by("symbol"))
        rows.write_parquet(folder / f"{number:02}.parquet", row_group_size=100)


def read_all(folder: Path, rows_at_once: int = EACH) -> tuple[BarsBySymbol, list[pl.DataFrame]]:
    (folder / "partitions").mkdir()
    files = BarsBySymbol.scan(
        BarReader(BarForm(), rows_at_once=rows_at_once), sorted(folder.glob("*.parquet")), lambda _: None
    )
    batches = list(files.batches(files.symbols))
    prepared = files.partition(batches, folder / "partitions")
    return prepared, [prepared.read(batch).good for batch in batches]


@pytest.mark.parametrize(
    ("layout", "partitions"),
    [
        (in_order, 0),
        (out_of_step_with_row_groups, 0),
        (nearly_in_order, 0),
        (one_file_each, 0),
        (scattered, 4),
        (many_small_files, 4),
    ],
)
def test_partitions_are_written_only_where_symbols_do_not_lie_together(
    layout: Callable[[Path], None], partitions: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout(tmp_path)
    rows_at_once = EACH if layout is not many_small_files else 2_000
    _, read = read_all(tmp_path, rows_at_once)
    assert len(list((tmp_path / "partitions").iterdir())) == partitions
    assert len(read) == 4
    # whatever it costs
    monkeypatch.setattr(symbol_ranges, "MOST_READ", 0 if partitions == 0 else 1_000_000)
    for file in (tmp_path / "partitions").iterdir():
        file.unlink()
    (tmp_path / "partitions").rmdir()
    _, other = read_all(tmp_path, rows_at_once)
    assert len(list((tmp_path / "partitions").iterdir())) == 4 - partitions
    for one, two in zip(read, other, strict=True):
        assert_frame_equal(one, two)


def test_a_few_symbols_are_read_without_the_rest_of_the_file(tmp_path: Path) -> None:
    in_order(tmp_path)
    files = BarsBySymbol.scan(READER, [tmp_path / "1.parquet"], lambda _: None)
    assert files.partition([["B"]], tmp_path / "partitions").by_ranges
    assert not files.partition([NAMES], tmp_path / "partitions").by_ranges
    assert not (tmp_path / "partitions").exists()
