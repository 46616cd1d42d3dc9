"""Minute bars and closes of a day."""

from typing import Any

import pytest

from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data import reference_wire, wire
from smallcaps_assets_tests.unit.market_data.wire.answers import BAR, DAY_MS, aggregates, without


def test_bars_are_read_as_sent() -> None:
    rows = [BAR, {**BAR, "vw": 1.6, "n": 12, "otc": True}]
    frame = wire.parse_bars_page(aggregates(*rows, status="DELAYED"), "AEMD", DAY_MS).frame
    assert frame.schema == BARS
    assert frame["volume"].to_list() == [9099.618093] * 2
    assert frame["vwap"].to_list() == [None, 1.6]
    assert frame["transactions"].to_list() == [None, 12]
    assert frame["timestamp"].to_physical().to_list() == [(DAY_MS[0] + 60_000) * 1000] * 2


def test_a_price_or_volume_sent_as_null_is_left_to_the_quarantine() -> None:
    later = {**BAR, "t": BAR["t"] + 60_000, "o": None, "v": None}
    bars = wire.parse_bars_page(aggregates(BAR, later), "AEMD", DAY_MS).frame
    assert bars["open"].null_count() == bars["volume"].null_count() == 1


def test_a_bar_off_the_minute_is_left_to_the_quarantine() -> None:
    bars = wire.parse_bars_page(aggregates(BAR, {**BAR, "t": BAR["t"] + 1}), "AEMD", DAY_MS).frame
    assert bars["timestamp"].to_physical().to_list() == [BAR["t"] * 1_000, BAR["t"] * 1_000 + 1_000]


def test_bars_that_repeat_a_minute_out_of_order_come_in_order_of_time() -> None:
    """All rows are kept: whether they are repeats or contradict one another is decided later."""
    first, second = BAR, {**BAR, "t": BAR["t"] + 60_000}
    bars = wire.parse_bars_page(aggregates(first, second, first, {**first, "v": 5}), "AEMD", DAY_MS).frame
    assert bars["volume"].to_list() == [9099.618093, 9099.618093, 5.0, 9099.618093]
    assert bars["timestamp"].is_sorted()


# the whole market's day bars carry the end of regular hours, 16:00 New York
CLOSE: dict[str, Any] = {"T": "AEMD", "c": 1.75, "o": 1.5, "v": 100, "t": DAY_MS[0] + 16 * 3_600_000}


def test_closes_of_a_day_are_read() -> None:
    body = aggregates(CLOSE, {**CLOSE, "T": "NA", "c": None}, ticker=None)
    assert reference_wire.parse_closes_page(body, DAY_MS).frame.rows() == [("AEMD", 1.75), ("NA", None)]
    assert reference_wire.parse_closes_page(aggregates(ticker=None), DAY_MS).frame.is_empty()


@pytest.mark.parametrize(
    "body",
    [
        aggregates({**CLOSE, "t": DAY_MS[1]}, ticker=None),
        aggregates(without(CLOSE, "T"), ticker=None),
        aggregates(without(CLOSE, "c"), ticker=None),
        aggregates(CLOSE, ticker=None, adjusted=True),
        aggregates(CLOSE, ticker=None, resultsCount=2),
        aggregates(ticker=None, resultsCount=1),
    ],
)
def test_closes_that_do_not_match_the_request_are_rejected(body: bytes) -> None:
    with pytest.raises(BadPage):
        reference_wire.parse_closes_page(body, DAY_MS)
