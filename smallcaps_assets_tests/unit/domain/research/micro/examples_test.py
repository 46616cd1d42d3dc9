"""The worked examples A to D, I and Kyle's of H of the research specification, on windows of a few seconds."""

from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose

from smallcaps_assets.domain.research.arrays import micro_dollars
from smallcaps_assets.domain.research.micro.axis import EventWindows
from smallcaps_assets.domain.research.micro.figures.book_columns import book_columns
from smallcaps_assets.domain.research.micro.figures.flow import Figures, VolumeTrades, flow_columns
from smallcaps_assets.domain.research.micro.figures.kyle import kyle_columns
from smallcaps_assets.domain.research.micro.figures.spreads import spread_columns
from smallcaps_assets.domain.research.micro.params import MicroParams
from smallcaps_assets.domain.research.micro.quote_states import QUOTE_STATES, Grid, QuoteBook, lay_grid, read_book
from smallcaps_assets.domain.research.micro.ranges import SortedGroups
from smallcaps_assets.domain.research.micro.segments import SegmentRows
from smallcaps_assets.domain.research.micro.signs import (
    JoinClock,
    SignedTrades,
    TradeTape,
    sign_trades,
    signs_by_method,
)
from smallcaps_assets.domain.research.tape.conditions import CONDITION_RULES, with_trade_sets

MS = 1_000_000
HORIZONS = {"half": 500 * MS}
RULES = pl.DataFrame([(2, False, False, True), (12, False, False, True)], schema=CONDITION_RULES, orient="row")
PARAMS = MicroParams()

QUOTES = """
-50 10.00 300 10.10 200
150 10.02 100 10.10 200
400 10.02 100 10.08 400
650 10.06 200 10.06 100
900 10.08 200 10.06 100
1100 10.04 500 10.12 300
1300 0 0 10.12 300
1500 10.04 400 10.09 300
1950 10.05 100 10.09 600
"""
TRADES = """
100 10.10 100
150 10.01 50
300 10.06 200
310 10.06 100
500 10.065 100
550 10.055 300
700 10.06 40
950 10.07 100
1150 10.12 500
1350 10.04 100
1600 10.05 200
1700 10.11 9000 2
1990 10.10 100
"""
BOUNDARY_QUOTES = """
-10 10.00 100 10.10 100
1000 10.06 100 10.06 100
2000 10.00 0 10.10 100
3000 10.00 100 10.10 100
"""
BOUNDARY_TRADES = """
100 10.05 100
200 10.20 100
300 10.11 100
400 10.07 100
500 10.02 100
550 10.03 100
600 10.50 9000 2
700 10.04 100 999
800 10.0699 100
1100 10.08 100
1200 10.07 100
3500 10.10 100
"""


class Scene(NamedTuple):
    """A window [0, end) with its tape, all of it one segment."""

    signed: SignedTrades
    volume: VolumeTrades
    unknown: int
    book: QuoteBook
    grid: Grid
    windows: EventWindows
    segments: SegmentRows

    def columns(self) -> Figures:
        return {
            **book_columns(self.grid, self.book, self.segments),
            **spread_columns(self.signed, self.book, self.segments, HORIZONS),
            **flow_columns(self.volume, self.windows, self.segments, PARAMS),
        }


def numbers(text: str) -> list[list[float]]:
    return [[float(part) for part in line.split()] for line in text.split("\n") if line]


def scene(quotes: str, trades: str, end_ms: int) -> Scene:
    rows = [(*row[:3], [int(one) for one in row[3:]]) for row in numbers(trades)]
    frame = pl.DataFrame(
        {
            "timestamp": pl.Series([int(row[0]) * MS for row in rows]).cast(pl.Datetime("ns", "UTC")),
            "price": [row[1] for row in rows],
            "size": [row[2] for row in rows],
            "conditions": pl.Series([row[3] for row in rows], dtype=pl.List(pl.Int64)),
        }
    )
    names = ("ms", "bid_price", "bid_size", "ask_price", "ask_size")
    quote_frame = pl.DataFrame(numbers(quotes), schema=names, orient="row")
    zero, end = np.array([0]), np.array([end_ms * MS])
    windows = EventWindows(zero, zero, zero, zero, zero, end, zero)
    segments = SegmentRows(zero, np.array([3]), zero, end, zero, zero)
    quote_time = quote_frame["ms"].to_numpy().astype(np.int64) * MS
    book = read_book(quote_frame, quote_time, np.ones(quote_frame.height))
    sets = with_trade_sets(frame.with_columns(regular=False), RULES, PARAMS)
    in_v, in_x, in_g = (sets[name].to_numpy() for name in ("in_v", "in_x", "in_g"))
    price, size = frame["price"].to_numpy(), frame["size"].to_numpy()
    every = TradeTape(
        np.array([int(row[0]) * MS for row in rows]),
        micro_dollars(price),
        size,
        price * size,
        np.zeros(len(rows), np.bool_),
    )
    return Scene(
        sign_trades(every.select(in_g), windows, book, zero, JoinClock(0, HORIZONS)),
        VolumeTrades(every.select(in_v), in_x[in_v], in_g[in_v], np.zeros(int(in_v.sum()), np.bool_)),
        sets["has_unknown"].sum(),
        book,
        lay_grid(book, (zero, np.array([len(quote_time)])), windows, 200 * MS),
        windows,
        segments,
    )


def check(columns: Figures, expected: dict[str, float], places: float = 5e-7) -> None:
    for name, value in expected.items():
        assert_allclose(columns[name][0], value, rtol=0, atol=places, err_msg=name)


@pytest.fixture(scope="module")
def ordinary() -> Scene:
    return scene(QUOTES, TRADES, 2000)


@pytest.fixture(scope="module")
def boundaries() -> Scene:
    return scene(BOUNDARY_QUOTES, BOUNDARY_TRADES, 4000)


def test_a_states_and_spreads(ordinary: Scene) -> None:
    states = [QUOTE_STATES[code] for code in ordinary.book.state[ordinary.grid.at[1:]]]
    n = "normal"
    assert states == [n, n, n, "locked", "crossed", n, "one_sided", n, n, n]
    columns = ordinary.columns()
    check(
        columns,
        {
            "normal_share": 0.7,
            "locked_share": 0.1,
            "crossed_share": 0.1,
            "one_sided_share": 0.1,
            "empty_share": 0,
            "none_share": 0,
            "spread_usd_mean": 0.062857,
            "spread_usd_median": 0.06,
            "spread_usd_p95": 0.08,
            "spread_bps_mean": 62.455492,
            "depth_imbalance_mean": -0.206463,
        },
    )
    assert columns["depth_bid_usd_mean"][0] + columns["depth_ask_usd_mean"][0] == pytest.approx(5754.142857)


def signs_of(scene: Scene) -> list[str]:
    """The four signs of each signable trade: tick, Lee-Ready, Ellis-Michaely-O'Hara, Chakrabarty et al."""
    trades = scene.signed.trades
    signs = signs_by_method(trades.micro, np.zeros(len(trades.micro), np.int64), scene.book, scene.signed.at)
    return ["".join("-0+"[int(one) + 1] for one in each) for each in zip(*signs, strict=True)]


def test_b_signs(ordinary: Scene) -> None:
    assert signs_of(ordinary) == [
        *("0+++", "----", "++++", "++++", "++++"),
        *("-+--", "++++", "++++", "++++"),
        *("----", "+-+-", "++++"),
    ]
    assert [bool(one) for one in ordinary.signed.agreed] == [True] * 5 + [False] + [True] * 4 + [False, True]
    check(
        ordinary.columns(),
        {
            "imbalance_shares": 0.629630,
            "imbalance_dollars": 0.630925,
            "imbalance_count": 0.5,
            "sign_agreement_share": 0.833333,
        },
    )


def test_c_effective_and_realized_spread(ordinary: Scene) -> None:
    columns = ordinary.columns()
    check(
        columns,
        {
            "n_effective": 9,
            "effective_spread_bps": 43.416086,
            "effective_spread_usd": 0.043636,
            "n_realized_half": 3,
            "realized_spread_half_bps": 105.398501,
            "price_impact_half_bps": -22.919905,
        },
    )
    both = columns["realized_spread_half_bps"] + columns["price_impact_half_bps"]
    assert both[0] == pytest.approx(82.478595, abs=1e-6)


def test_d_order_flow(ordinary: Scene) -> None:
    check(ordinary.columns(), {"ofi_shares": -500, "ofi_breaks": 5}, 0)
    # point by point: each in a segment of its own, null where either of two consecutive points is not normal
    ends = np.arange(200, 2001, 200) * MS
    each = np.zeros(10, np.int64)
    segments = SegmentRows(each, each + 3, ends - 200 * MS, ends, each, each)
    found = book_columns(ordinary.grid, ordinary.book, segments)
    none = np.nan
    expected = [100, 0, -400, none, none, none, none, none, 0, -200]
    assert_allclose(found["ofi_shares"], expected, rtol=0, atol=0)
    assert found["ofi_breaks"].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 0, 0]


# signed dollars of each second in 10,000 USD, and the return of the mid in bps
KYLE_X, KYLE_Y = (0, 2, -1, 3, 0, -2), (0, 3, -1, 5, 1, -2)


def kyle_scene(times: int) -> Scene:
    """The six seconds of the example, some times over: the book moves by y at 0.1 s, trades of x follow at 0.5 s."""
    mid, quotes, trades = 1000.0, ["-10 999.99 100 1000.01 100"], []
    for second, (x, y) in enumerate(zip(KYLE_X * times, KYLE_Y * times, strict=True)):
        mid *= 1 + y / 1e4
        bid, ask = mid - 0.01, mid + 0.01
        quotes.append(f"{second * 1000 + 100} {bid!r} 100 {ask!r} 100")
        if x:
            price = ask if x > 0 else bid
            trades.append(f"{second * 1000 + 500} {price!r} {abs(x) * 10_000 / price!r}")
    return scene("\n".join(quotes), "\n".join(trades), times * 6000)


def kyle_of(made: Scene) -> Figures:
    return kyle_columns(made.signed, made.grid, made.book, made.windows, made.segments)


def test_h_kyle() -> None:
    """Means 1/3 and 1; Sxy = 26 - 2 = 24, Sxx = 18 - 2/3, Syy = 40 - 6: 24 / Sxx, and 24^2 / (Sxx Syy).

    Repeated, all sums grow alike. Mids are whole micro-dollars, to which y is rounded by less than 1e-5.
    """
    check(kyle_of(kyle_scene(5)), {"kyle_lambda_bps_per_10k_usd": 1.384615, "kyle_r2": 0.977376, "kyle_n": 30}, 5e-6)
    once = kyle_of(kyle_scene(1))
    assert once["kyle_n"].tolist() == [6]
    assert np.isnan([once["kyle_lambda_bps_per_10k_usd"][0], once["kyle_r2"][0]]).all(), "fewer than 30 seconds"


def test_i_boundaries(boundaries: Scene) -> None:
    # without the trades of ids 2 and 999
    assert signs_of(boundaries) == [
        *("0000", "++++", "-+--", "-+-+", "----", "+-+-"),
        *("++++", "++++", "----", "++++"),
    ]
    check(
        boundaries.columns(),
        {
            "imbalance_shares": 3 / 9,
            "n_effective": 8,
            "n_realized_half": 5,
            "one_sided_share": 0.25,
            "locked_share": 0.25,
            "trades": 11,
        },
        1e-12,
    )
    assert boundaries.unknown == 1


def test_i_quantile() -> None:
    quantile, some = SortedGroups(np.zeros(4, np.int64), np.array([3, 1, 4, 2]), 2).quantile(0.95)
    assert quantile.of(np.arange(5.0))[0] == pytest.approx(3.85, abs=1e-12)
    assert [bool(one) for one in some] == [True, False]
