"""Requests, rows, bytes and hours of what is missing, and the ratios they rest on."""

import polars as pl
import pytest

from smallcaps_assets.domain.tape.cost_estimate import (
    LearnedRatios,
    Rates,
    choose_rates,
    estimate_cost,
    expect_trades,
    learn_ratios,
    minutes_of,
)
from smallcaps_assets.domain.tape.tables import WINDOWS
from smallcaps_assets_tests.scenarios import bars_from, flat
from smallcaps_assets_tests.unit.pipeline.tape.cost_estimate.planned_lake import (
    ASSUMED,
    COLUMNS,
    NOTHING,
    RATES,
    TERMS,
    at,
    by_wave,
    missing_spans,
    windows,
)


@pytest.mark.parametrize(
    ("kind", "trades", "requests"),
    [
        ("trades", 0, 1),
        ("trades", 50_000, 1),
        ("trades", 50_001, 2),
        ("trades", 100_001, 3),
        ("quotes", 0, 1),
        ("quotes", 8_333, 1),  # 49,998 quotes
        ("quotes", 8_334, 2),  # 50,004
    ],
)
def test_an_answer_has_pages_and_an_empty_answer_is_one_page(kind: str, trades: int, requests: int) -> None:
    table = estimate_cost(missing_spans((kind, "PM", trades, ["e"])), windows(("e", "PM", trades)), RATES, TERMS)
    assert table["requests"].to_list() == [requests, requests]
    assert table["hours"].to_list() == pytest.approx([requests / 300] * 2)


def test_waves_are_added_up_and_each_event_is_counted_once() -> None:
    spans = missing_spans(("trades", "PM", 1_000, ["p"]), ("quotes", "PM", 1_000, ["p"]))
    # two windows that overlap by five minutes, and one that is published already
    both = missing_spans(("trades", "RTH", 400, ["r", "s"]), ("quotes", "RTH", 400, ["r", "s"]), minutes=15)
    chosen = windows(("r", "RTH", 300), ("p", "PM", 1_000), ("s", "RTH", 200), ("there", "RTH", 9_000))
    table = estimate_cost(pl.concat([both, spans]), chosen, RATES, TERMS)
    assert table["wave"].to_list() == ["PM", "RTH", "all"]
    found = by_wave(table)
    # 6,000 quotes come, ten minutes at 5 Hz keep 3,000: 1,000 x 18 + 3,000 x 16
    assert [found["PM"][name] for name in COLUMNS] == [1, 1, 1, 1, 2, 66_000, 66_000, 66_000]
    # the span: 400 x 18 + 2,400 x 16; its events: 300 x 18 + 1,800 x 16 and 200 x 18 + 1,200 x 16
    expected = [3, 2, 1, 1, 2, 45_600, 28_500, 22_800 + 0.9 * 11_400]
    assert [found["RTH"][name] for name in COLUMNS] == pytest.approx(expected)
    expected = [4, 3, 2, 2, 4, 111_600, 34_200, 34_200 + 0.8 * 31_800]
    assert [found["all"][name] for name in COLUMNS] == pytest.approx(expected)
    assert table["hours"].to_list() == pytest.approx([2 / 300, 2 / 300, 4 / 300])


def test_without_a_limit_hours_are_unknown() -> None:
    terms = TERMS._replace(requests_per_minute=None)
    table = estimate_cost(missing_spans(("trades", "AH", 10, ["e"])), windows(("e", "AH", 10)), RATES, terms)
    assert table["hours"].to_list() == [None, None]


def test_an_event_missing_one_kind_costs_that_kind_only() -> None:
    table = estimate_cost(missing_spans(("quotes", "AH", 10, ["e"])), windows(("e", "AH", 10)), RATES, TERMS)
    assert [by_wave(table)["AH"][name] for name in COLUMNS] == [1, 1, 0, 1, 1, 960, 960, 960]


def test_trades_of_another_profile_cost_bytes_and_no_request() -> None:
    spans = missing_spans(("trades", "AH", 100, ["e"]), ("quotes", "AH", 100, ["e"]))
    with_copies = spans.with_columns(copied=pl.col("kind") == "trades")
    fetched, copied = (
        by_wave(estimate_cost(some, windows(("e", "AH", 100)), RATES, TERMS))["all"] for some in (spans, with_copies)
    )
    assert (fetched["requests"], copied["requests"]) == (2, 1)
    assert fetched["bytes"] == copied["bytes"]


def test_nothing_missing_costs_nothing() -> None:
    found = by_wave(estimate_cost(missing_spans(), windows(("e", "AH", 10)), RATES, TERMS))
    assert found.keys() == {"AH", "all"}
    for row in found.values():
        assert [row[name] for name in COLUMNS] == [1, 0, 0, 0, 0, 0, None, None]
        assert row["hours"] == 0


def test_an_empty_manifest_is_one_row_of_zeros() -> None:
    found = by_wave(estimate_cost(missing_spans(), windows(), RATES, TERMS))
    assert [found["all"][name] for name in COLUMNS] == [0, 0, 0, 0, 0, 0, None, None]
    assert found.keys() == {"all"}


def published(*rows: tuple[str, int, int, int]) -> pl.DataFrame:
    """Spans of ten minutes: symbol, received, rows, bytes."""
    columns = {"received": pl.Int64(), "rows": pl.Int64(), "bytes": pl.Int64()}
    return pl.DataFrame(
        [(symbol, at(0), at(10), *counts) for symbol, *counts in rows],
        schema={"symbol": pl.String(), "start": WINDOWS["start"], "end": WINDOWS["end"], **columns},
        orient="row",
    )


TRADES = published(("A", 100, 100, 2_000), ("B", 300, 300, 5_000))


def test_ratios_are_learned_from_published_spans() -> None:
    # the quotes of B are missing, so its trades do not count for quotes per trade
    history = learn_ratios(TRADES, published(("A", 800, 200, 3_000)))
    assert history == LearnedRatios(8.0, 17.5, 15.0, 0.25, trades_spans=2, quotes_spans=1, paired_spans=1)
    known = choose_rates(history, ASSUMED)
    assert known.quotes_per_trade == (8.0, 1)
    assert known.bytes_per_trade == (17.5, 2)
    assert known.trades_per_bar == (50, 0)
    table = estimate_cost(missing_spans(("quotes", "AH", 100, ["e"])), windows(("e", "AH", 100)), known, TERMS)
    assert table["bytes"].to_list() == [100 * 8 * 0.25 * 15] * 2


def test_assumptions_remain_without_data_to_learn_from() -> None:
    empty = published(("A", 0, 0, 900))
    assert learn_ratios(published(), published()) == NOTHING
    assert learn_ratios(empty, empty) == LearnedRatios(None, None, None, None, 1, 1, 1)
    assert choose_rates(learn_ratios(empty, empty), ASSUMED) == Rates((50, 0), (6, 0), (18, 0), (16, 0), (1, 0))  # type: ignore[arg-type]
    assert choose_rates(learn_ratios(TRADES, published()), ASSUMED) == RATES._replace(bytes_per_trade=(17.5, 2))
    # no quotes for many trades is a valid ratio
    assert choose_rates(learn_ratios(TRADES, empty), ASSUMED).quotes_per_trade == (0, 1)


def test_a_span_without_row_counts_is_ignored() -> None:
    silent = TRADES.with_columns(received=pl.when(pl.col("symbol") == "A").then("received"))
    assert learn_ratios(silent, published()).trades_spans == 1


def intervals(*rows: tuple[str, float, float]) -> pl.DataFrame:
    schema = {name: WINDOWS[name] for name in ("symbol", "start", "end")}
    return pl.DataFrame([(symbol, at(start), at(end)) for symbol, start, end in rows], schema=schema, orient="row")


def test_trades_are_those_of_the_bars_inside() -> None:
    first = bars_from("2025-11-05 11:59", flat(5, transactions=None))
    bars = first.with_columns(transactions=pl.Series([1, 10, 100, None, 1_000]))
    given = intervals(("AEMD", 0, 3), ("AEMD", 1, 2), ("AEMD", 60, 63), ("OTHER", 0, 2), ("AEMD", 2, 3))
    found = expect_trades(given, bars, trades_per_bar=50.5)
    # intervals are half open; a null count and a minute without a bar count 50.5
    assert found["trades"].to_list() == [10 + 100 + 50.5, 100, 151.5, 101, 50.5]
    assert found["bars"].to_list() == [3, 1, 0, 0, 1]
    assert found.drop("bars", "trades").equals(given)


def test_no_intervals_have_no_minutes() -> None:
    assert minutes_of(intervals()).is_empty()
    assert expect_trades(intervals(), bars_from("2025-11-05 12:00", []), 50).height == 0
    assert minutes_of(intervals(("A", 0, 2)))["timestamp"].to_list() == [at(0), at(1)]
