"""Two versions of one tape: what came, what went, what changed."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.tables import QUOTES, TRADES
from smallcaps_assets.domain.tape.differences import DIFFERENCE_EXAMPLES, compare_tape
from smallcaps_assets_tests.conftest import quotes_at, trades_at

TEN = datetime(2025, 11, 26, 15, tzinfo=UTC)
MOMENTS = [TEN + timedelta(seconds=second) for second in range(6)]
TAPES = {"trades": trades_at(*MOMENTS), "quotes": quotes_at(*MOMENTS)}
KINDS = sorted(TAPES)
NUMBER = pl.col("sequence_number")


def counts(before: pl.DataFrame, after: pl.DataFrame, kind: str) -> tuple[int, int, int]:
    return compare_tape(before, after, kind)[:3]


def altered(kind: str, column: str, value: object, number: int = 2) -> pl.DataFrame:
    """The tape with another value in one row."""
    dtype = TAPES[kind].schema[column]
    changed = pl.when(number == NUMBER).then(pl.lit(value, dtype=dtype)).otherwise(column)
    return TAPES[kind].with_columns(changed.alias(column))


@pytest.mark.parametrize("kind", KINDS)
def test_a_tape_does_not_differ_from_itself(kind: str) -> None:
    tape = TAPES[kind]
    for before, after in ((tape, tape), (tape, tape.reverse()), (tape.clear(), tape.clear())):
        found = compare_tape(before, after, kind)
        assert found[:3] == (0, 0, 0)
        assert found.examples.schema == DIFFERENCE_EXAMPLES
        assert found.examples.is_empty()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_came_and_went(kind: str) -> None:
    tape = TAPES[kind]
    assert counts(tape[:4], tape, kind) == (2, 0, 0)
    assert counts(tape, tape[1:], kind) == (0, 1, 0)
    assert counts(tape[:4], tape[1:], kind) == (2, 1, 0)
    assert counts(tape.clear(), tape, kind) == (6, 0, 0)
    assert counts(tape, tape.clear(), kind) == (0, 6, 0)


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("trades", "price", 10.5),
        ("trades", "size", None),
        ("trades", "timestamp", TEN),
        ("trades", "conditions", [12, 41]),
        ("trades", "conditions", []),
        ("trades", "correction", 1),
        ("quotes", "bid_price", None),
        ("quotes", "ask_size", 200.0),
        ("quotes", "indicators", [1]),
    ],
)
def test_a_row_with_another_value_is_altered(kind: str, column: str, value: object) -> None:
    changed = altered(kind, column, value)
    assert counts(TAPES[kind], changed, kind) == (0, 0, 1)
    assert counts(changed, TAPES[kind], kind) == (0, 0, 1)
    assert counts(changed, changed, kind) == (0, 0, 0)


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("trades", "trade_id", "x"),
        ("trades", "exchange", 4),
        ("trades", "sequence_number", 99),
        ("quotes", "timestamp", TEN),
        ("quotes", "sequence_number", 99),
    ],
)
def test_a_row_with_another_key_is_another_row(kind: str, column: str, value: object) -> None:
    assert counts(TAPES[kind], altered(kind, column, value), kind) == (1, 1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_only_columns_of_both_are_compared(kind: str) -> None:
    few = TAPES[kind].select(*(TRADES if kind == "trades" else QUOTES))
    assert counts(few, TAPES[kind], kind) == (0, 0, 0)
    assert counts(few, altered(kind, "tape", 3), kind) == (0, 0, 0)


def test_rows_that_share_a_key_are_matched_in_their_order() -> None:
    twice = pl.concat([TAPES["trades"], TAPES["trades"]])
    assert counts(twice, twice, "trades") == (0, 0, 0)
    assert counts(TAPES["trades"], twice, "trades") == (6, 0, 0)


def test_examples_say_what_changed() -> None:
    changed = altered("trades", "price", 99.5).filter(NUMBER != 4)
    found = compare_tape(TAPES["trades"][:5], changed, "trades").examples.rows()
    assert found == [
        ("added", MOMENTS[5], 6, None),
        ("removed", MOMENTS[3], 4, None),
        ("altered", MOMENTS[1], 2, "price 10.01 -> 99.5"),
    ]
    assert compare_tape(TAPES["trades"], TAPES["trades"].clear(), "trades").examples.height == 3


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_counts_are_those_of_what_was_done(kind: str, data: st.DataObject) -> None:
    tape = TAPES[kind]
    fates = data.draw(st.lists(st.sampled_from(["same", "gone", "new", "other"]), min_size=6, max_size=6))
    fate = pl.Series(fates)
    before, after = tape.filter(fate != "new"), tape.filter(fate != "gone")
    column = "size" if kind == "trades" else "bid_size"
    other = NUMBER.is_in([number for number, what in enumerate(fates, 1) if what == "other"])
    after = after.with_columns(pl.when(other).then(7.0).otherwise(column).alias(column))
    assert counts(before, after, kind) == (fates.count("new"), fates.count("gone"), fates.count("other"))
    assert counts(after, before, kind) == (fates.count("gone"), fates.count("new"), fates.count("other"))
