"""Figures of random tape: those of the slow implementation, and known when they claim to be."""

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.micro.segments import SEGMENTS
from smallcaps_assets.domain.research.micro.tables import MICRO_COLUMNS, MICRO_FEATURES
from smallcaps_assets.domain.research.tape.reading import TapeReading
from smallcaps_assets_tests.slow_spec import micro
from smallcaps_assets_tests.slow_spec.micro import S
from smallcaps_assets_tests.unit.domain.research.micro.tapes import (
    RULES,
    SLOW_RULES,
    UTC_NS,
    Scenario,
    scenario,
    sessions,
)

pytestmark = pytest.mark.slow

SESSIONS = sessions()
MEASURES = [column for column in MICRO_COLUMNS if column.availability != "key"]
SEEDS = st.integers(0, 1_000_000)


def computed(world: Scenario) -> pl.DataFrame:
    return micro_features(*world.frames(), TapeReading(RULES, SESSIONS, world.params))


def expected(world: Scenario) -> list[dict[str, Any]]:
    rows = []
    for event in sorted(world.events, key=lambda one: one["event_id"]):
        window = {
            **event,
            "has_trades": event["trades_state"] in {"complete", "empty"},
            "has_quotes": event["quotes_state"] in {"complete", "empty"},
        }
        found = micro(window, world.trades[event["span"]], world.quotes[event["span"]], SLOW_RULES, world.market)
        rows += [{"event_id": event["event_id"], **row} for row in found]
    return rows


@given(SEEDS)
@settings(max_examples=12)
def test_figures_are_those_of_the_slow_implementation(seed: int) -> None:
    world = scenario(seed)
    found, wanted = computed(world), expected(world)
    assert found.schema == MICRO_FEATURES
    assert found.select("event_id", "segment").rows() == [(row["event_id"], row["segment"]) for row in wanted]
    ends = found["available_at"].cast(UTC_NS).to_physical().to_list()
    assert ends == [row["b"] for row in wanted]
    assert found["seconds"].to_list() == [(row["b"] - row["a"]) / S for row in wanted]
    for name, dtype, _, _, _ in MEASURES:
        largest = max((abs(row[name]) for row in wanted if row.get(name) is not None), default=0)
        for value, row in zip(found[name].to_list(), wanted, strict=True):
            right = row.get(name)
            where = (name, row["event_id"], row["segment"], value, right)
            if right is None or dtype != pl.Float64:
                assert value == right, where
            else:
                assert value is not None, where
                assert math.isclose(value, right, rel_tol=1e-9, abs_tol=1e-12 * largest), where


def without_capture(features: pl.DataFrame) -> pl.DataFrame:
    return features.select("event_id", "segment", "available_at", *(column.name for column in MEASURES))


def peeking(*inputs: Any) -> pl.DataFrame:
    """Features of which one looks ahead on purpose: trades are counted up to the end of the tape."""
    features = micro_features(*inputs)
    return features.with_columns(trades=pl.lit(inputs[1].height, pl.Int64))


def perturbed(world: Scenario, known: int, *, delete: bool) -> Scenario:
    """The same with all tape at or after `known` deleted or changed, and trades before it cancelled later."""
    later = [] if delete else [(known + 1, 3.0, 1), (known + 40 * S, 77.0, 9)]

    def trades_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        cancelled = [
            {**row, "correction": 8 if row["correction"] is None else row["correction"]}
            for row in rows
            if row["timestamp"] < known
        ]
        new = [
            {"timestamp": at, "price": price, "size": 900.0, "exchange": 4, "conditions": [one], "correction": None}
            for at, price, one in later
        ]
        return cancelled + new

    def quotes_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        new = [
            {"timestamp": at, "bid_price": price, "bid_size": 5.0, "ask_price": price + 1, "ask_size": 7.0}
            for at, price, _ in later
        ]
        return [row for row in rows if row["timestamp"] < known] + new

    return world._replace(
        trades={span: trades_of(rows) for span, rows in world.trades.items()},
        quotes={span: quotes_of(rows) for span, rows in world.quotes.items()},
    )


def peeks(world: Scenario, compute: Any = micro_features) -> set[str]:
    """Figures of the rows known with the event that change with tape from that moment on."""
    found = set()
    reading = TapeReading(RULES, SESSIONS, world.params)
    pre = pl.col("segment").is_in([name for name, available in SEGMENTS.items() if available == "pre"])
    for event in world.events:
        one = world._replace(events=[event])
        before = without_capture(compute(*one.frames(), reading)).filter(pre)
        for delete in (True, False):
            changed = perturbed(one, event["event"] + 60 * S, delete=delete)
            after = without_capture(compute(*changed.frames(), reading)).filter(pre)
            found |= {name for name in before.columns if not before[name].equals(after[name], null_equal=True)}
    return found


@given(SEEDS)
@settings(max_examples=8)
def test_what_is_known_with_the_event_does_not_depend_on_later_tape(seed: int) -> None:
    assert peeks(scenario(seed)) == set()


def test_a_feature_that_looks_ahead_is_caught() -> None:
    world = next(one for one in map(scenario, range(100)) if len(one.trades[0]) > 50)
    world = world._replace(events=[{**one, "trades_state": "complete"} for one in world.events])
    assert peeks(world, peeking) == {"trades"}


@given(SEEDS)
@settings(max_examples=8)
def test_a_later_row_does_not_depend_on_tape_from_its_end_on(seed: int) -> None:
    world = scenario(seed)
    whole = without_capture(computed(world))
    for name in ("m5", "post_all"):
        for event in world.events:
            kept = (pl.col("event_id") == event["event_id"]) & (pl.col("segment") == name)
            row = whole.filter(kept)
            if row.is_empty():
                continue
            end = row["available_at"].cast(UTC_NS).to_physical().item()
            cut = world._replace(
                trades={span: [one for one in rows if one["timestamp"] < end] for span, rows in world.trades.items()},
                quotes={span: [one for one in rows if one["timestamp"] < end] for span, rows in world.quotes.items()},
            )
            assert_frame_equal(without_capture(computed(cut)).filter(kept), row, check_exact=True)


@given(SEEDS)
@settings(max_examples=5)
def test_events_do_not_depend_on_each_other(seed: int) -> None:
    world = scenario(seed)
    one_by_one = pl.concat([computed(world._replace(events=[event])) for event in world.events])
    assert_frame_equal(computed(world), one_by_one, check_row_order=False, check_exact=True)
