"""Tape is read by window: exactly its rows, whichever files they are in."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tables import QUOTES_ALL, TRADES, TRADES_ALL
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets_tests.conftest import manifest_of, quotes_at, trades_at
from smallcaps_assets_tests.unit.lake.tape.spans import (
    FIRST,
    KINDS,
    MANIFEST,
    SECOND,
    at,
    freeze,
    missing,
    put,
    read,
    span,
    tape,
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_gets_exactly_the_half_open_window(lake: Lake, kind: TapeKind) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 12, -3, -1, 2, 6.999, 7, 11, kind=kind)
    assert read(tape(lake), kind, "first") == [-3, -1, 2, 6.999]
    assert read(tape(lake), kind, "second") == [2, 6.999, 7, 11]


@pytest.mark.parametrize("kind", KINDS)
def test_nanoseconds_decide_at_the_ends_of_a_window(lake: Lake, kind: TapeKind) -> None:
    freeze(lake, MANIFEST)
    store = tape(lake)
    first, end = (int(at(minute).timestamp()) * 10**9 for minute in (-3, 7))
    timestamps = pl.Series([first - 1, first, end - 1, end], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC"))
    rows = (trades_at if kind == "trades" else quotes_at)(*map(at, range(4))).with_columns(timestamp=timestamps)
    store.publish(kind, span(-10, 20), rows.select(*store.schema(kind)), {})
    found = store.trades("first") if kind == "trades" else store.quotes("first")
    assert found["timestamp"].dt.epoch("ns").to_list() == [first, end - 1]
    assert found.schema == store.schema(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_from_two_spans_that_overlap_has_no_row_twice(lake: Lake, kind: TapeKind) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -8, 3, -4, -3, 1, 2.5, kind=kind)
    put(tape(lake), 0, 8, 1, 2.5, 4, 7, kind=kind)
    # lies wholly within the two
    put(tape(lake), 1, 2, 1, kind=kind, wave="PM")
    assert read(tape(lake), kind, "first") == [-3, 1, 2.5, 4]


def test_rows_come_in_the_order_of_time_and_sequence(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    store = tape(lake)
    rows = trades_at(at(1), at(1), at(0)).with_columns(sequence_number=pl.Series([9, 3, 5])).select(*TRADES)
    store.publish("trades", span(-3, 7), rows, {})
    assert store.trades("first")["sequence_number"].to_list() == [5, 3, 9]


def test_an_empty_tape_is_read_as_such(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 12)
    assert_frame_equal(tape(lake).trades("first"), TRADES.to_frame())


def test_all_columns_are_read_where_the_profile_keeps_them(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    store = tape(lake, columns="all")
    put(store, -3, 12, 0)
    put(store, -3, 12, 0, kind="quotes")
    assert store.trades("first").schema == TRADES_ALL
    assert store.quotes("first").schema == QUOTES_ALL


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first_has_all", [True, False])
def test_spans_with_all_columns_and_with_few_are_read_together(lake: Lake, kind: TapeKind, first_has_all: bool) -> None:
    # a profile that kept all columns once and now keeps few: what is published stays
    before, after = ("all", "minimal") if first_has_all else ("minimal", "all")
    put(tape(lake, columns=before), -3, 2, 0, kind=kind)
    put(tape(lake, columns=after), 2, 12, 4, kind=kind)
    freeze(lake, MANIFEST)
    store = tape(lake, columns="minimal")
    assert missing(store, manifest_of(FIRST, SECOND), kind) == []
    assert read(store, kind, "first") == [0, 4]
    ledger = build_ledger(manifest_of(FIRST, SECOND), store)
    assert ledger[f"{kind}_rows"].to_list() == [2, 1]


def test_reading_missing_tape_names_what_is_missing(lake: Lake) -> None:
    store = tape(lake)
    with pytest.raises(InputError, match="no manifest of profile core yet"):
        store.trades("first")
    freeze(lake, MANIFEST)
    with pytest.raises(InputError, match="not in the current manifest of profile core: nobody"):
        store.trades("nobody")
    put(store, -3, 6)
    with pytest.raises(InputError, match="trades of first are not in the lake yet: materialize core/tape_trades"):
        store.trades("first")
