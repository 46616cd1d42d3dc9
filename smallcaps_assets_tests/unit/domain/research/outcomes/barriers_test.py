"""The worked example G of the research specification: exits between barriers, bar by bar."""

import numpy as np
import pytest

from smallcaps_assets.domain.research.outcomes.barriers import Barriers, barrier_exits, scale_millionths
from smallcaps_assets.domain.research.outcomes.bars_after import US_PER_MIN
from smallcaps_assets_tests.unit.domain.research.outcomes.hand_bars import Bar, after, at, bars_of, events_at

# bars of example F after an event at 10:00; minute 5 has none
EXAMPLE: list[Bar] = [
    ("10:01", 5.02, 5.10, 5.00, 5.08),
    ("10:02", 5.08, 5.22, 5.06, 5.20),
    ("10:03", 5.20, 5.21, 5.04, 5.05),
    ("10:04", 5.05, 5.12, 5.01, 5.11),
    ("10:06", 5.11, 5.30, 5.10, 5.28),
    ("10:07", 5.28, 5.29, 5.10, 5.12),
]
OWN = (5.00, 5.00, 5.00, 5.00)


def leave(
    bars: list[Bar], profit: int, stop: int, until: str = "10:30", *, direction: str = "up", seconds: int = 0
) -> dict[str, object]:
    """The exit of an event just before the first of `bars`; barriers in millionths."""
    hour, minute = bars[0][0].split(":")
    own = f"{hour}:{int(minute) - 1:02}"
    found = after(events_at(own, direction=direction), bars_of([(own, *OWN), *bars]))
    limit = np.array([int(at(until).timestamp()) * 1_000_000 + seconds * 1_000_000])
    exits = barrier_exits(found, found.entries, Barriers(limit, np.array([profit]), np.array([stop])))
    assert exits.exists.all()
    return {
        "label": int(exits.label[0]),
        "price": pytest.approx(float(exits.price[0]), rel=1e-12),
        "minute": int(exits.bar_end[0] - found.known_at[0]) // US_PER_MIN,
        "tie": bool(exits.tie[0]),
        "gap": bool(exits.gap[0]),
    }


def outcome(label: int, price: float, minute: int, *, tie: bool = False, gap: bool = False) -> dict[str, object]:
    return {"label": label, "price": price, "minute": minute, "tie": tie, "gap": gap}


def test_the_profit_barrier() -> None:
    # 5.02 x 1.03 = 5.1706, within bar 2, which ends two minutes after the event is known
    assert leave(EXAMPLE, 30_000, 30_000) == outcome(1, 5.1706, 2)


def test_the_stop_in_the_entry_bar() -> None:
    # 5.02 x 0.997 = 5.00494, above the low 5.00 of the entry bar
    assert leave(EXAMPLE, 50_000, 3_000) == outcome(-1, 5.00494, 1)


def test_neither_barrier() -> None:
    # to the end of minute 4, whose bar closes at 5.11
    assert leave(EXAMPLE, 60_000, 60_000, "10:05") == outcome(0, 5.11, 4)


def test_a_bar_that_ends_after_the_vertical_barrier_is_not_seen() -> None:
    # bar 3 ends 30 s after it, so that bar 2 is the last one: close 5.20
    assert leave(EXAMPLE, 60_000, 60_000, "10:03", seconds=30) == outcome(0, 5.20, 2)
    # one that ends with it is
    assert leave(EXAMPLE, 60_000, 60_000, "10:04") == outcome(0, 5.05, 3)


def test_the_stop_goes_first_where_one_bar_touches_both() -> None:
    # entry at bar 2's open 5.08: 5.08 x 1.02 = 5.1816 and 5.08 x 0.997 = 5.06476 both lie in [5.06, 5.22]
    assert leave(EXAMPLE[1:], 20_000, 3_000) == outcome(-1, 5.06476, 1, tie=True)


@pytest.mark.parametrize(("opened", "label"), [(5.30, 1), (4.80, -1)])
def test_a_gap_leaves_at_the_open(opened: float, label: int) -> None:
    second = ("10:02", opened, max(opened, 5.31), min(opened, 4.79), opened)
    # the extremes of the bar touch both barriers, which is no tie: the position had left
    assert leave([EXAMPLE[0], second], 30_000, 30_000) == outcome(label, opened, 2, gap=True)


def test_an_open_exactly_at_a_barrier_is_a_gap() -> None:
    # 5.00 x 1.02 = 5.10
    bars = [("10:01", 5.00, 5.01, 5.00, 5.01), ("10:02", 5.10, 5.12, 5.10, 5.12)]
    assert leave(bars, 20_000, 20_000) == outcome(1, 5.10, 2, gap=True)


def test_the_entry_bar_has_no_gap() -> None:
    # its open is the entry, whatever the event's close (5.00) was
    bars = [("10:01", 5.50, 5.52, 5.49, 5.50), ("10:02", 5.50, 5.51, 5.50, 5.50)]
    assert leave(bars, 30_000, 30_000) == outcome(0, 5.50, 2)


def test_direction_down() -> None:
    # the stop lies above: 5.02 x 1.03
    assert leave(EXAMPLE, 30_000, 30_000, direction="down") == outcome(-1, 5.1706, 2)
    # profit lies below: 5.02 x 0.997 = 5.00494
    assert leave(EXAMPLE, 3_000, 50_000, direction="down") == outcome(1, 5.00494, 1)


def test_prices_are_compared_as_products() -> None:
    """Entry 2.00, width 0.005, a high of 2.01: touched, though 2.01 / 2.00 - 1 is below 0.005 as a float."""
    assert 2.01 / 2.00 - 1 < 0.005
    assert leave([("10:01", 2.00, 2.01, 2.00, 2.00)], 5_000, 5_000) == outcome(1, 2.01, 1)
    assert leave([("10:01", 2.00, 2.009999, 2.00, 2.00)], 5_000, 5_000)["label"] == 0


def test_a_price_of_less_than_half_a_micro_dollar_counts_as_nothing() -> None:
    """Every price touches both barriers of an entry at 0: a tie in the entry bar, which has no gap."""
    assert leave([("10:01", 1e-7, 1e-7, 1e-7, 1e-7)], 20_000, 20_000) == outcome(-1, 0.98e-7, 1, tie=True)


def test_prices_near_the_largest_do_not_overflow() -> None:
    """1e6 x 2e6 x 2e7 USD, the product of a barrier, is far above 2^63."""
    price = 2e7
    bars = [("10:01", price, price * 1.01, price, price), ("10:02", price * 1.01, price * 1.25, price, price)]
    assert leave(bars, 200_000, 200_000) == outcome(1, price * 1.2, 2)


def test_the_scale() -> None:
    # 0.01 x sqrt(15) / 1.5958 = 0.0242697...; bounds 0.5 % and 20 %
    found = scale_millionths(np.array([0.01, 0.0, 0.5, np.nan]), 15)
    assert found.tolist() == [24_270, 5_000, 200_000, 0]
