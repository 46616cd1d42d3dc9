"""Damaged bytes, rows and footers of tape files, and the findings of `verify`."""

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.tape.rules import tape_rules
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import quotes_at, trades_at
from smallcaps_assets_tests.unit.lake.verification.tape.damage import (
    A_QUOTES,
    A_TRADES,
    C_QUOTES,
    C_TRADES,
    checked,
    findings,
    only,
    relabel,
    rewrite,
)


def test_every_file_of_a_capture_passes(lake: Lake) -> None:
    result = checked(lake)
    assert result.findings == ()
    assert (result.files, result.uncertified, result.parts) == (6, (), ())
    paths = [path for kind in TAPE_KINDS for path in lake.tape("core", kind).rglob("*.parquet")]
    assert result.bytes == sum(path.stat().st_size for path in paths)
    assert result.rows == sum(pl.read_parquet(path).height for path in paths) > 0
    assert result.states == {"complete": 3, "empty": 1}
    assert result.manifest_id == "core_20260105_120000"


def test_a_flipped_byte(lake: Lake) -> None:
    path = lake.root / A_TRADES
    content = bytearray(path.read_bytes())
    content[100] ^= 0xFF
    path.write_bytes(content)
    found = findings(lake)
    assert {one.file for one in found} == {A_TRADES}
    assert found[0].what == "SHA-256 differs"
    assert {one.event_ids for one in found} == {("a1", "a2")}


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_flipped_byte_anywhere_is_found_and_stops_nothing(lake: Lake, place: int) -> None:
    path = lake.root / A_QUOTES
    content = bytearray(path.read_bytes())
    content[-1 - place * (len(content) - 1) // 100] ^= 0x5A
    path.write_bytes(content)
    found = findings(lake)
    assert {one.file for one in found} == {A_QUOTES}
    assert "SHA-256 differs" in {one.what for one in found}


@pytest.mark.parametrize("left", [0, 3, 500, -1])
def test_a_truncated_file(lake: Lake, left: int) -> None:
    path = lake.root / A_QUOTES
    path.write_bytes(path.read_bytes()[:left])
    only(lake, A_QUOTES, "SHA-256 differs", "cannot be read")


def test_a_deleted_file(lake: Lake) -> None:
    (lake.root / C_QUOTES).unlink()
    only(lake, C_QUOTES, "is missing", events=("c1",))


def test_a_file_in_the_place_of_another(lake: Lake) -> None:
    one, other = lake.root / A_TRADES, lake.root / C_TRADES
    mine, others = one.read_bytes(), other.read_bytes()
    one.write_bytes(others)
    other.write_bytes(mine)
    found = findings(lake)
    assert {(one.file, one.what) for one in found} == {
        (file, what)
        for file in (A_TRADES, C_TRADES)
        for what in ("SHA-256 differs", "the footer says another symbol", "rows outside its span")
    }
    assert f"which is that of {C_TRADES}" in found[0].found


def test_trades_in_the_place_of_quotes(lake: Lake) -> None:
    shutil.copy(lake.root / A_TRADES, lake.root / A_QUOTES)
    found = only(
        lake, A_QUOTES, "SHA-256 differs", "the footer says another kind", "columns are not those of its footer"
    )
    assert (found[1].expected, found[1].found) == ("quotes", "trades")


def test_rows_out_of_order(lake: Lake) -> None:
    rewrite(lake, A_TRADES, lambda rows: rows.reverse())
    (found,) = only(lake, A_TRADES, "rows out of order")
    assert found.expected == "sorted by (timestamp, sequence_number)"


def test_rows_of_one_time_out_of_order() -> None:
    now = datetime(2025, 11, 26, 15, tzinfo=UTC)
    rows = trades_at(now, now, now).with_columns(sequence_number=pl.Series([2, 3, 1]))
    rules = tape_rules("trades", now, now + timedelta(minutes=1))
    assert {rule.what for rule in rules if rows.select(rule.broken).item()} == {"rows out of order"}


def test_rows_more_than_once(lake: Lake) -> None:
    rewrite(lake, A_TRADES, lambda rows: pl.concat([rows, rows[3:5]]).sort("timestamp", "sequence_number"))
    (found,) = only(lake, A_TRADES, "rows more than once")
    assert found.found.startswith("4 of ")


def test_trades_with_equal_numbers_are_distinguished_by_their_id() -> None:
    now = datetime(2025, 11, 26, 15, tzinfo=UTC)
    rows = trades_at(now, now, now).with_columns(sequence_number=pl.lit(1, pl.Int64))
    twice, distinct = (rows.with_columns(trade_id=pl.Series(ids)) for ids in (["a", "b", "a"], ["a", "b", "c"]))
    rule = tape_rules("trades", now, now + timedelta(minutes=1))[1]
    assert (twice.select(rule.broken).item(), distinct.select(rule.broken).item()) == (2, 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_null_and_nan_values(lake: Lake, bad: float) -> None:
    first = pl.int_range(pl.len()) == 0
    rewrite(lake, A_QUOTES, lambda rows: rows.with_columns(bid_size=pl.when(first).then(bad).otherwise("bid_size")))
    what = ["bid_size is not a finite number"] + ["bid_size is below 0"] * (bad < 0)
    only(lake, A_QUOTES, *what)


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("price", 0.0, "price is not above 0"),
        ("price", None, "price is not above 0"),
        ("size", -1.0, "size is below 0"),
    ],
)
def test_numbers_that_cannot_be(lake: Lake, column: str, value: float | None, what: str) -> None:
    last = pl.int_range(pl.len()) == pl.len() - 1
    rewrite(lake, A_TRADES, lambda rows: rows.with_columns(pl.when(last).then(value).otherwise(column).alias(column)))
    only(lake, A_TRADES, what)


@pytest.mark.parametrize("moment", [datetime(2025, 11, 26, 15, 12), datetime(2055, 11, 26)])  # noqa: DTZ001
def test_times_outside_the_span(lake: Lake, moment: datetime) -> None:
    last, time = pl.int_range(pl.len()) == pl.len() - 1, pl.lit(moment.replace(tzinfo=UTC)).dt.cast_time_unit("ns")
    names = "timestamp", "participant_timestamp"
    moved = [pl.when(last).then(time).otherwise(name).alias(name) for name in names]
    rewrite(lake, A_TRADES, lambda rows: rows.with_columns(moved))
    (found,) = only(lake, A_TRADES, "rows outside its span")
    assert found.expected == "[2025-11-26 14:57:00, 2025-11-26 15:12:00) UTC"


@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        (pl.col("price").cast(pl.String), "price Float64", "price String"),
        (pl.col("timestamp").dt.cast_time_unit("us"), "ns", "us"),
        (pl.lit(1).alias("more"), "more absent", "more Int32"),
    ],
)
def test_columns_of_another_type(lake: Lake, change: pl.Expr, expected: str, found: str) -> None:
    rewrite(lake, A_TRADES, lambda rows: rows.with_columns(change), certified=False)
    finding = only(lake, A_TRADES, "SHA-256 differs", "columns are not those of its footer")[1]
    assert expected in finding.expected
    assert found in finding.found


def test_crossed_quotes(lake: Lake) -> None:
    rewrite(lake, A_QUOTES, lambda rows: rows.with_columns(bid_price="ask_price", ask_price="bid_price"))
    (found,) = only(lake, A_QUOTES, "the book is crossed")
    assert "90%" in found.expected


@pytest.mark.parametrize(("crossed", "broken"), [(0, False), (1, False), (20, False), (21, True)])
def test_a_briefly_crossed_book_is_not_damage(crossed: int, broken: bool) -> None:
    now = datetime(2025, 11, 26, 15, tzinfo=UTC)
    rows = quotes_at(*(now + timedelta(milliseconds=number) for number in range(200)))
    rows = rows.with_columns(bid_price=pl.when(pl.int_range(pl.len()) < crossed).then(99.0).otherwise("bid_price"))
    rules = tape_rules("quotes", now, now + timedelta(minutes=1))
    assert [rule.what for rule in rules if rows.select(rule.broken).item()] == ["the book is crossed"] * broken


def test_a_side_that_is_absent_crosses_nothing() -> None:
    now = datetime(2025, 11, 26, 15, tzinfo=UTC)
    rows = quotes_at(now, now + timedelta(seconds=1)).with_columns(
        ask_price=pl.lit(None, pl.Float64), ask_size=pl.lit(None, pl.Float64)
    )
    rules = tape_rules("quotes", now, now + timedelta(minutes=1))
    assert not [rule.what for rule in rules if rows.select(rule.broken).item()]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rows": 7}, "the footer says another number of rows"),
        ({"received": 7}, "the footer says another number of rows received"),
        ({"kind": "quotes"}, "the footer says another kind"),
        ({"profile": "plus"}, "the footer says another profile"),
    ],
)
def test_a_footer_that_contradicts_the_rows(lake: Lake, changes: dict[str, Any], what: str) -> None:
    rewrite(lake, A_TRADES, changes=changes)
    only(lake, A_TRADES, what)


def test_a_file_that_is_not_named_by_what_it_covers(lake: Lake) -> None:
    other = A_TRADES.replace("T151200", "T151300")
    (lake.root / A_TRADES).rename(lake.root / other)
    files = pl.col("trades_files").list.eval(pl.element().str.replace(A_TRADES, other, literal=True))
    relabel(lake, trades_files=files)
    found = findings(lake)
    assert [(one.file, one.what) for one in found] == [(other, "is not named as its certificate says")]
