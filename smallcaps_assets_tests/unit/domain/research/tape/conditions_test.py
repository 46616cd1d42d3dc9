"""Sets of trades by their conditions, and prices as integers."""

import math
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.research.prices import micro, usd
from smallcaps_assets.domain.research.tape.conditions import (
    CANCELLED,
    CONDITION_RULES,
    MESSAGES,
    TRADE_SETS,
    TradeParams,
    carries,
    with_trade_sets,
)

# id, high/low, open/close, volume
RULES = pl.DataFrame(
    [
        *[(number, True, True, True) for number in (9, 14, 41, 60)],
        (16, False, False, False),
        *[(number, False, False, True) for number in (2, 12, 37)],
        *[(number, True, False, True) for number in (10, 32)],
        (3, None, None, None),
    ],
    schema=CONDITION_RULES,
    orient="row",
)
# the minute of example E of the specification: price, size, ids
MINUTE = [
    (5.00, 20000.0, [9]),
    (5.00, 20000.0, [16]),
    (5.02, 100.0, [14, 41]),
    (5.30, 30.0, [37]),
    (4.10, 500.0, [2]),
    (4.95, 200.0, []),
    (4.90, 300.0, [10]),
    (4.80, 400.0, [12]),
    (5.04, 100.0, [60]),
    (5.06, 50.0, [37, 14]),
    (4.99, 100.0, [32]),
]


def sets(trades: list[tuple[float | None, float | None, list[int] | None]], *, regular: bool = True) -> pl.DataFrame:
    frame = pl.DataFrame(
        trades,
        schema={"price": pl.Float64, "size": pl.Float64, "conditions": pl.List(pl.Int64)},
        orient="row",
    ).with_columns(regular=regular)
    return with_trade_sets(frame, RULES, TradeParams())


def prices_of(frame: pl.DataFrame, name: str) -> list[float]:
    return frame.filter(pl.col(name))["price"].to_list()


@pytest.mark.parametrize(
    ("regular", "name", "expected"),
    [
        (True, "in_v", [5.00, 5.02, 5.30, 4.10, 4.95, 4.90, 4.80, 5.04, 5.06, 4.99]),
        (True, "in_hl", [5.00, 5.02, 4.95, 4.90, 5.04, 4.99]),
        (True, "in_oc", [5.00, 5.02, 4.95, 5.04]),
        (True, "in_x", [5.00, 5.02, 5.30, 4.95, 5.04, 5.06]),
        (True, "in_g", [5.02, 5.30, 4.95, 5.04, 5.06]),
        # outside RTH a Form T trade counts for everything, regardless of the table
        (False, "in_hl", [5.00, 5.02, 4.95, 4.90, 4.80, 5.04, 4.99]),
        (False, "in_oc", [5.00, 5.02, 4.95, 4.80, 5.04]),
        (False, "in_x", [5.00, 5.02, 5.30, 4.95, 4.80, 5.04, 5.06]),
        (False, "in_g", [5.02, 5.30, 4.95, 4.80, 5.04, 5.06]),
    ],
)
def test_sets_of_the_example(regular: bool, name: str, expected: list[float]) -> None:
    assert prices_of(sets(MINUTE, regular=regular), name) == expected


def test_an_unknown_id_is_in_no_set_and_counted() -> None:
    found = sets([(5.0, 100.0, [14, 99]), (5.0, 100.0, [4000]), (5.0, 100.0, [-3]), (5.0, 100.0, None)])
    assert found.select(TRADE_SETS).rows() == [
        (False, False, False, False, False, True, True),
        *[(False, False, False, False, False, True, False)] * 2,
        (True, True, True, True, True, False, False),
    ]


def test_an_id_that_is_null_is_none() -> None:
    lists = pl.Series([[14, None], [None], [None, 16]], dtype=pl.List(pl.Int64))
    trades = pl.DataFrame({"price": 5.0, "size": 100.0, "conditions": lists, "regular": True})
    found = with_trade_sets(trades, RULES, TradeParams())
    assert found["in_g"].to_list() == [True, True, False]
    assert not found["has_unknown"].any()


def test_a_rule_that_is_null_is_true() -> None:
    assert sets([(5.0, 100.0, [3])]).select(TRADE_SETS).row(0) == (True, True, True, True, True, False, False)


def test_a_trade_without_size_sets_prices_only_and_one_without_price_nothing() -> None:
    found = sets([(5.0, 0.0, []), (5.0, None, []), (0.0, 100.0, []), (None, 100.0, [])])
    in_prices = (False, True, True, False, False, False, False)
    assert found.select(TRADE_SETS).rows() == [in_prices, in_prices, *[(False,) * 7] * 2]


def test_messages_are_no_trades_and_cancelled_trades_are_dropped_on_request() -> None:
    trades = pl.DataFrame(
        {"price": 5.0, "size": 100.0, "conditions": [[99]] + [[]] * 6, "correction": [10, 11, 12, 7, 8, 1, None]},
        schema_overrides={"conditions": pl.List(pl.Int64), "correction": pl.Int64},
    ).with_columns(regular=True)
    kept = with_trade_sets(trades, RULES, TradeParams())
    assert kept["in_v"].to_list() == [False, False, False, True, True, True, True]
    assert not kept["has_unknown"].any()
    strict = with_trade_sets(trades, RULES, TradeParams(), dropped=MESSAGES + CANCELLED)
    assert strict["in_g"].to_list() == [False] * 5 + [True] * 2


@pytest.mark.parametrize(("regular", "counts"), [(True, True), (False, False)])
def test_the_rules_of_form_t_can_be_exchanged(regular: bool, counts: bool) -> None:
    trades = pl.DataFrame({"price": [5.0], "size": [100.0], "conditions": [[12]], "regular": [regular]})
    found = with_trade_sets(trades, RULES, TradeParams(), exchange_form_t=True)
    assert found.select("in_v", "in_hl", "in_oc").row(0) == (True, counts, counts)


def test_no_trades() -> None:
    assert sets([]).select(TRADE_SETS).shape == (0, 7)


def test_sweeps_are_those_that_carry_the_id_in_whatever_set() -> None:
    found = sets(
        [(5.0, 100.0, [14, 41]), (5.0, 100.0, [2, 14]), (0.0, 100.0, [14]), (5.0, 100.0, [41]), (5.0, 1.0, [])]
    )
    assert found["is_sweep"].to_list() == [True, True, True, False, False]


def test_trades_that_carry_an_id() -> None:
    lists = pl.Series([[60, 14], [14], [], None, [5000]], dtype=pl.List(pl.Int64))
    assert carries(lists, [57, 60]).to_list() == [True, False, False, False, False]
    assert not carries(lists, []).any()


@given(st.lists(st.integers(min_value=0, max_value=200_000), min_size=1, max_size=50))
def test_a_price_on_the_half_cent_grid_is_its_exact_number_of_micro_dollars(half_cents: list[int]) -> None:
    frame = pl.DataFrame({"price": [number / 200 for number in half_cents]}).select(micro("price"))
    assert frame.to_series().to_list() == [5_000 * number for number in half_cents]


def test_micro_dollars_round_half_up() -> None:
    prices = [1.0000005, 0.0000005, 0.00000049, 4.35, 0.1 + 0.2]
    found = pl.DataFrame({"price": prices}).select(micro("price")).to_series().to_list()
    assert found == [1_000_001, 1, 0, 4_350_000, 300_000]
    assert found == [math.floor(Fraction(price * 1e6 + 0.5)) for price in prices]
    assert pl.select(usd(pl.lit(-1_500_000))).item() == -1.5


def test_ids_are_lists_in_a_settings_file() -> None:
    params = TradeParams.model_validate({"not_a_market_price": [2], "auction": [9, 14]})
    trades = pl.DataFrame({"price": 5.0, "size": 100.0, "conditions": [[2], [32], [14]], "regular": True})
    found = with_trade_sets(trades, RULES, params)
    assert found.select("in_x", "in_g").rows() == [(False, False), (True, True), (True, False)]
    with pytest.raises(ValueError, match="auction"):
        TradeParams.model_validate({"auction": [-1]})


def test_a_price_that_counts_as_0_is_in_no_set() -> None:
    """u(p) is 0 below half a micro-dollar."""
    trades = pl.DataFrame({"price": [4.9e-7, 5e-7], "size": 1.0, "regular": True}).with_columns(
        conditions=pl.lit([], pl.List(pl.Int64))
    )
    sets = with_trade_sets(trades, RULES, TradeParams())
    assert sets.select("in_v", "in_hl", "in_oc", "in_x", "in_g").rows() == [(False,) * 5, (True,) * 5]
