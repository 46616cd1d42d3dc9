"""Stored bars against bars rebuilt from the tape."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.tables.bar_tables import BAR_RECONCILIATION, EVENT_RECONCILIATION
from smallcaps_assets.domain.research.tape.reconciliation import (
    COVERED_SPANS,
    RECONCILIATION_CLASSES,
    ReconciliationParams,
    reconcile_bars,
    reconcile_events,
)
from smallcaps_assets.domain.tables import BARS, UTC_NS
from smallcaps_assets_tests.scenarios import new_york, sessions_of
from smallcaps_assets_tests.slow_spec import reconciliation as slow
from smallcaps_assets_tests.unit.domain.research.tape.conditions_test import MINUTE, RULES

Row = dict[str, Any]
Trade = tuple[str, datetime, float, float, list[int], int | None]
TAPE = pl.Schema(
    {
        "symbol": pl.String(),
        "timestamp": UTC_NS,
        "price": pl.Float64(),
        "size": pl.Float64(),
        "conditions": pl.List(pl.Int64()),
        "correction": pl.Int64(),
    }
)
PRICES = ("open", "high", "low", "close")


def at(text: str, seconds: float = 0) -> datetime:
    return new_york(f"2025-11-05 {text}").astimezone(UTC) + timedelta(seconds=seconds)


def span(start: str, end: str, symbol: str = "AEMD") -> pl.DataFrame:
    return pl.DataFrame({"symbol": [symbol], "start": [at(start)], "end": [at(end)]}, schema=COVERED_SPANS)


def tape(trades: list[Trade]) -> pl.DataFrame:
    return pl.DataFrame(trades, schema=TAPE, orient="row").sort("symbol", "timestamp", maintain_order=True)


def bar(minute: str, prices: tuple[float, float, float, float], volume: float, count: int | None) -> tuple[Any, ...]:
    return ("AEMD", at(minute), *prices, volume, None, count)


def table(bars: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(bars, schema=BARS, orient="row")


def reconcile(trades: list[Trade], bars: list[tuple[Any, ...]], spans: pl.DataFrame | None = None) -> pl.DataFrame:
    return reconcile_bars(
        tape(trades),
        table(bars),
        span("09:30", "09:31") if spans is None else spans,
        sessions=sessions_of("2025-11-05", "2025-11-05"),
        conditions=RULES,
        params=ReconciliationParams(),
    )


def example(minute: str) -> list[Trade]:
    return [("AEMD", at(minute, second), *trade, None) for second, trade in enumerate(MINUTE)]


@pytest.mark.parametrize(("minute", "low"), [("09:30", 4.90), ("09:00", 4.80)])
def test_the_bar_of_the_example(minute: str, low: float) -> None:
    until = minute[:-1] + "1"
    found = reconcile(example(minute), [bar(minute, (5.0, 5.04, low, 5.04), 21_780, 10)], span(minute, until))
    row = found.row(0, named=True)
    assert [row[f"tape_{name}"] for name in (*PRICES, "volume", "transactions")] == [5.0, 5.04, low, 5.04, 21_780.0, 10]
    assert row["tape_vwap"] == pytest.approx(4.974610, abs=5e-7)
    assert row["class"] == "exact"


def simple(second: float, price: float, size: float, ids: tuple[int, ...] = (), correction: int | None = None) -> Trade:
    return "AEMD", at("09:30", second), price, size, list(ids), correction


TWO = [simple(1, 5.0, 100), simple(2, 5.1, 100)]
STORED = (5.0, 5.1, 5.0, 5.1)


@pytest.mark.parametrize(
    ("trades", "prices", "volume", "count", "expected"),
    [
        (TWO, STORED, 200.0, 2, "exact"),
        (TWO, STORED, 200.0, None, "exact"),
        (TWO, (5.0, 5.100001, 5.0, 5.1), 200.0000009, 2, "exact"),
        (TWO, (5.0, 5.100002, 5.0, 5.1), 200.0, 2, "price_only"),
        (TWO, STORED, 200.0000011, 2, "fractional"),
        (TWO, STORED, 198.1, 2, "fractional"),
        (TWO, STORED, 198.0, 2, "volume_only"),
        (TWO, STORED, 199.0, 3, "volume_only"),
        (TWO, STORED, 200.0, 3, "count_only"),
        (TWO, (5.0, 5.2, 5.0, 5.1), 300.0, 3, "price_and_volume"),
        ([*TWO, simple(3, 5.3, 50, correction=8)], (5.0, 5.3, 5.0, 5.3), 250.0, 3, "cancel"),
        ([*TWO, simple(3, 5.3, 50, correction=10)], (5.0, 5.3, 5.0, 5.3), 250.0, 3, "price_and_volume"),
        ([*TWO, simple(3, 5.3, 50, (12,))], (5.0, 5.3, 5.0, 5.3), 250.0, 3, "form_t"),
        ([*TWO, simple(3, 5.3, 50, (12,))], STORED, 250.0, 3, "exact"),
        ([], STORED, 200.0, 2, "bar_without_trades"),
        # volume but no price that counts
        ([simple(1, 5.0, 100, (37,))], STORED, 200.0, 2, "bar_without_trades"),
        (TWO, (0.5, 0.51, 0.5, 0.51), 2_000.0, 2, "split_factor"),
        (TWO, (0.5, 0.51, 0.5, 0.51), 2_003.0, 2, "price_and_volume"),
        (TWO, (0.5, 0.52, 0.5, 0.51), 2_000.0, 2, "price_and_volume"),
        # one price says nothing about a factor
        ([simple(1, 5.0, 100)], (0.5,) * 4, 1_000.0, 1, "price_and_volume"),
    ],
)
def test_class_of_a_minute(
    trades: list[Trade], prices: tuple[float, float, float, float], volume: float, count: int | None, expected: str
) -> None:
    assert reconcile(trades, [bar("09:30", prices, volume, count)])["class"].to_list() == [expected]


def test_a_factor_that_another_minute_shares_is_one() -> None:
    trades = [simple(1, 5.0, 100), simple(61, 5.5, 200), simple(121, 5.5, 200)]
    flat = [bar("09:30", (0.5,) * 4, 1_000, 1), bar("09:31", (0.55,) * 4, 2_000, 1), bar("09:32", (0.5,) * 4, 2_200, 1)]
    found = reconcile(trades, flat, span("09:30", "09:33"))
    assert found["class"].to_list() == ["split_factor", "split_factor", "price_and_volume"]
    apart = pl.concat([span("09:30", "09:31"), span("09:31", "09:33")])
    assert reconcile(trades, flat, apart)["class"].to_list() == ["price_and_volume"] * 3


def test_minutes_are_those_of_sessions_inside_spans() -> None:
    spans = pl.DataFrame(
        [
            ("AEMD", at("03:58"), at("04:02")),
            ("AEMD", at("09:29", 30), at("09:31", 59)),
            ("AEMD", at("19:59"), at("20:05")),
            ("B", at("12:00"), at("12:01")),
        ],
        schema=COVERED_SPANS,
        orient="row",
    )
    found = reconcile(TWO, [], spans)
    expected = [("AEMD", at(text)) for text in ("04:00", "04:01", "09:30", "19:59")] + [("B", at("12:00"))]
    assert found.select("symbol", "timestamp").rows() == expected
    assert found["class"].to_list() == [*["no_trades_no_bar"] * 2, "missing_bar", *["no_trades_no_bar"] * 2]


def test_no_tape_and_no_spans() -> None:
    assert reconcile([], [], COVERED_SPANS.to_frame()).schema == BAR_RECONCILIATION
    assert reconcile([], [], None)["class"].to_list() == ["no_trades_no_bar"]


RANDOM_IDS = ([], [], [], [], [14], [37], [12], [16], [2], [99], [9], [37, 14])


def random_tape(rng: random.Random, minutes: int) -> list[Trade]:
    trades = []
    for number in range(minutes * rng.choice([0, 2, 5])):
        correction = rng.choice([None, None, None, None, 0, 7, 8, 10])
        price, size = rng.choice([5.0, 5.01, 5.02, 5.5, 0.0]), rng.choice([100.0, 20.0, 0.0, 0.5, 100.0])
        moment = at("09:27", rng.randrange(60 * minutes) + number / 1e3)
        trades.append(("AEMD", moment, price, size, rng.choice(RANDOM_IDS), correction))
    return sorted(trades, key=lambda trade: trade[1])


def spoiled_bars(rng: random.Random, rows: list[Row]) -> list[tuple[Any, ...]]:
    """Bars that agree with the rebuilt ones more or less."""
    bars = []
    for row in rows:
        if row["tape_close"] is None:
            if rng.random() < 0.2:
                bars.append(("AEMD", row["timestamp"], *STORED, 200.0, None, 2))
            continue
        prices, volume, count = ([row[f"tape_{name}"] for name in PRICES], row["tape_volume"], row["tape_transactions"])
        kind = rng.randrange(8)
        if kind == 0:
            prices[1] += 0.01
        elif kind == 1:
            volume += rng.choice([0.5, 1.0, 300.0])
        elif kind == 2:
            count = rng.choice([None, count + 1])
        elif kind == 3:
            prices, volume = [price / 10 for price in prices], volume * 10
        elif kind == 4:
            continue
        bars.append(("AEMD", row["timestamp"], *prices, volume, None, count))
    return bars


@given(st.integers(min_value=0, max_value=10_000))
@hypothesis_settings(max_examples=60, deadline=None)
def test_reconciliation_equals_the_slow_rules(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    trades = random_tape(rng, 6)
    rules = {row["id"]: row for row in RULES.iter_rows(named=True)}
    minutes = [(at("09:27") + timedelta(minutes=number), number >= 3) for number in range(6)]
    named = tape(trades).rows(named=True)
    # some bars are as if cancelled trades counted, or Form T the other way round
    variant: Row = rng.choice([{}, {"dropped": (10, 11, 12)}, {"exchanged": True}])
    made = []
    for moment, regular in minutes:
        own = [row for row in named if row["timestamp"].replace(second=0, microsecond=0) == moment]
        found = slow.rebuilt(own, rules, regular=regular, **variant) or {}
        made.append({"timestamp": moment, **{f"tape_{name}": found.get(name) for name in (*PRICES, "volume")}})
        made[-1]["tape_transactions"] = found.get("transactions")
    bars = [row if row[6] else (*row[:6], 1.0, *row[7:]) for row in spoiled_bars(rng, made)]
    stored = {row["timestamp"]: row for row in table(bars).rows(named=True)}
    expected = [{"symbol": "AEMD", **row} for row in slow.reconciled(minutes, stored, named, rules)]
    result = reconcile(trades, bars, span("09:27", "09:33"))
    assert_frame_equal(result, pl.DataFrame(expected, schema=BAR_RECONCILIATION), rel_tol=1e-9, abs_tol=1e-12)

    start, end = at("09:25"), at("09:25") + timedelta(minutes=rng.randrange(1, 9))
    events = pl.DataFrame(
        {"event_id": "e", "symbol": "AEMD", "timestamp": [at("09:28")], "window_start": [start], "window_end": [end]}
    )
    summary = {"event_id": "e", **slow.of_event(expected, at("09:28"), start, end)}
    assert_frame_equal(reconcile_events(events, result), pl.DataFrame([summary], schema=EVENT_RECONCILIATION))


def test_spans_may_come_in_any_order_and_minutes_without_trades_and_bar_are_rows() -> None:
    spans = pl.concat([span("09:33", "09:35"), span("09:30", "09:31"), span("09:40", "09:41", "A")])
    found = reconcile(TWO, [bar("09:30", STORED, 200.0, 2)], spans)
    assert found.select("symbol", "timestamp", "class").rows() == [
        ("A", at("09:40"), "no_trades_no_bar"),
        ("AEMD", at("09:30"), "exact"),
        ("AEMD", at("09:33"), "no_trades_no_bar"),
        ("AEMD", at("09:34"), "no_trades_no_bar"),
    ]
    assert found.filter(pl.col("class") == "no_trades_no_bar").select(
        pl.exclude("symbol", "timestamp", "class")
    ).select(pl.all().is_null().all()).row(0) == (True,) * (found.width - 3)


def test_a_bar_or_an_event_within_a_minute_is_none_of_it() -> None:
    stored = ("AEMD", at("09:30", 30), *STORED, 200.0, None, 2)
    found = reconcile(TWO, [stored])
    assert found["class"].to_list() == ["missing_bar"]
    bounds = {"window_start": [at("09:30")], "window_end": [at("09:31")]}
    events = pl.DataFrame({"event_id": "e", "symbol": "AEMD", "timestamp": [at("09:30", 30)], **bounds})
    assert reconcile_events(events, found).row(0) == ("e", 0.0, "missing_bar", None)


def test_every_class_can_be_the_worst_of_an_event() -> None:
    minutes = pl.DataFrame(
        {
            "symbol": "AEMD",
            "timestamp": [at("09:30") + timedelta(minutes=number) for number in range(len(RECONCILIATION_CLASSES))],
            "class": RECONCILIATION_CLASSES,
        }
    )
    events = minutes.select(
        "symbol",
        "timestamp",
        event_id=pl.col("class"),
        window_start=pl.lit(at("09:30")),
        window_end=pl.col("timestamp") + timedelta(minutes=1),
    )
    other = pl.concat([events, events.head(1).with_columns(symbol=pl.lit("B"))], how="vertical")
    found = reconcile_events(other, minutes)
    assert found["worst_class"].to_list() == [*RECONCILIATION_CLASSES, None]
    assert found["event_bar_class"].to_list() == [*RECONCILIATION_CLASSES, None]
    assert found["reconciled_share"].to_list() == [1, 1, *[1 / number for number in range(2, 12)], None]
