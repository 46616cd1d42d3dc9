"""Days of users' files: which are computed together, and which rows of which files they are."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.pipeline.research.batches import DayBatch, day_batches
from smallcaps_assets.pipeline.research.files.days import DayIndex, index_days
from smallcaps_assets.pipeline.research.files.input_tables import open_table
from smallcaps_assets.pipeline.research.table_parts import TableParts

D1, D2, D3 = date(2025, 3, 7), date(2025, 3, 10), date(2025, 3, 11)
# 20:30 of D1 and 00:30 of D2 in New York, between which summer time begins
LATE, EARLY = datetime(2025, 3, 8, 1, 30, tzinfo=UTC), datetime(2025, 3, 10, 4, 30, tzinfo=UTC)
SCHEMA = pl.Schema({"symbol": pl.String(), "timestamp": pl.Datetime("us", "UTC"), "n": pl.Int64()})
ROWS = {
    "a": [("ABE", LATE, 1), ("ABE", EARLY, 2), ("IDA", EARLY, 3)],
    "b": [("IDA", EARLY, 4), ("IDA", None, 5)],
    "c": [("ZED", LATE, 6), (None, LATE, 7)],
}


@pytest.fixture
def index(tmp_path: Path) -> DayIndex:
    files = [tmp_path / f"{name}.parquet" for name in ROWS]
    for file in files:
        pl.DataFrame(ROWS[file.stem], SCHEMA, orient="row").write_parquet(file)
    return index_days(open_table(files, SCHEMA))


def test_batches_follow_symbols_and_days_and_hold_each_day_whole() -> None:
    rows = [("B", D1, 4), ("A", D2, 3), ("A", D1, 2), ("B", D2, 5), ("B", D3, 4), ("C", D3, 1), ("D", D1, 99)]
    counts = pl.DataFrame(rows, ["symbol", "day", "rows"], orient="row")
    assert day_batches(counts, 9) == [
        DayBatch(("A",), D1, D2),
        DayBatch(("B",), D1, D2),
        DayBatch(("B",), D3, D3),
        DayBatch(("C",), D3, D3),
        DayBatch(("D",), D1, D1),
    ]
    assert day_batches(counts.head(6), 19) == [DayBatch(("A", "B", "C"), D1, D3)]


def test_days_are_those_of_new_york(index: DayIndex) -> None:
    found = index.per_day.sort("symbol", "day").rows()
    assert found == [("ABE", D1, 1), ("ABE", D2, 1), ("IDA", D2, 2), ("ZED", D1, 1)]


def test_only_rows_of_the_batch_are_read(index: DayIndex) -> None:
    assert index.read(DayBatch(("ABE", "IDA"), D2, D2))["n"].to_list() == [2, 3, 4]
    assert index.read(DayBatch(("ABE", "IDA", "ZED"), D1, D2))["n"].to_list() == [1, 2, 3, 4, 6]
    nothing = index.read(DayBatch(("ZED",), D2, D3))
    assert (nothing.height, nothing.schema) == (0, SCHEMA)


def test_rows_without_a_time_belong_to_their_symbol(index: DayIndex) -> None:
    assert index.read_symbols(["IDA"])["n"].to_list() == [3, 4, 5]
    assert index.read_symbols(["ZED"])["n"].to_list() == [6]


def test_a_file_of_one_batch_is_read_alone(index: DayIndex) -> None:
    index.table.files[0].write_bytes(b"no table any more")
    assert index.read_symbols(["ZED"])["n"].to_list() == [6]


def test_parts_are_merged_whatever_their_order(tmp_path: Path) -> None:
    schema = pl.Schema({"key": pl.String(), "n": pl.Int64()})
    parts = TableParts(tmp_path, "table", schema)
    for number, keys in enumerate([["d", "a"], [], ["c", "b", "a"]]):
        parts.add(number, pl.DataFrame({"n": range(len(keys)), "key": keys, "more": 1}, {**schema, "more": pl.Int32()}))
    keys = pl.Series("key", ["a", "b", "c", "d", "e"])
    merged = parts.merged("key", keys, 2, ["key", "n"])
    assert merged.lazy().collect().rows() == [("a", 1), ("a", 2), ("b", 1), ("c", 0), ("d", 0)]
    following = parts.one_after_another()
    assert following.lazy().collect()["key"].to_list() == ["d", "a", "c", "b", "a"]
    assert following.height == merged.height == 5
    empty = TableParts(tmp_path, "empty", schema)
    assert empty.merged("key", keys, 2, ["key"]).lazy().collect().schema == schema
    assert empty.one_after_another().lazy().collect().schema == schema
