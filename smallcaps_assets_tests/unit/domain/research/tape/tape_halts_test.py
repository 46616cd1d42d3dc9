"""Halts and short sale restriction seen in the tape of windows."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.tape.tape_halts import (
    EVENT_TAPE_STATE,
    RowRanges,
    TapeHaltParams,
    WindowTape,
    event_tape_state,
    find_ssr_ids,
    tape_halts,
)
from smallcaps_assets.domain.tables import UTC_NS, UTC_US
from smallcaps_assets_tests.scenarios import new_york, sessions_of

Quote = tuple[float, float, float, float, float]
Trade = tuple[float, bool]
ZERO: Final = new_york("2025-11-05 10:00").astimezone(UTC)
OPEN, CLOSE = -1_800.0, 21_600.0
NORMAL: Final = (5.0, 100.0, 5.1, 100.0)
SESSIONS = sessions_of("2025-11-05", "2025-11-05")
EVENTS: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "symbol": pl.String(),
        "date": pl.String(),
        "timestamp": UTC_US,
        "window_start": UTC_US,
        "window_end": UTC_US,
    }
)


def at(seconds: float) -> datetime:
    return ZERO + timedelta(seconds=seconds)


def events(*windows: tuple[float, float, float]) -> pl.DataFrame:
    """Events `e0`, `e1` ... from their time and the bounds of their window, in seconds after 10:00."""
    rows = [
        (f"e{number}", "AEMD", "2025-11-05", at(moment), at(start), at(end))
        for number, (moment, start, end) in enumerate(windows)
    ]
    return pl.DataFrame(rows, schema=EVENTS, orient="row")


def tape(made: pl.DataFrame, trades: list[Trade], quotes: list[Quote] | None) -> WindowTape:
    times = [at(second) for second, _ in trades]
    moments = [at(quote[0]) for quote in quotes or []]
    starts, ends = made["window_start"].to_list(), made["window_end"].to_list()

    def rows(of: list[datetime], opening: int) -> RowRanges:
        first = [max(0, sum(time < start for time in of) - opening) for start in starts]
        return RowRanges(np.array(first), np.array([sum(time < end for time in of) for end in ends]))

    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    frame = pl.DataFrame(
        {
            "timestamp": pl.Series(moments, dtype=UTC_NS),
            **{
                name: pl.Series([quote[number + 1] for quote in quotes or []], dtype=pl.Float64)
                for number, name in enumerate(names)
            },
        }
    )
    return WindowTape(
        pl.DataFrame(
            {
                "timestamp": pl.Series(times, dtype=UTC_NS),
                "in_v": pl.Series([in_v for _, in_v in trades], dtype=pl.Boolean),
                "conditions": pl.Series([[]] * len(trades), dtype=pl.List(pl.Int64)),
            }
        ),
        rows(times, 0),
        None if quotes is None else frame,
        rows(moments, 1),
    )


def found(made: pl.DataFrame, trades: list[Trade], quotes: list[Quote] | None) -> list[tuple[Any, ...]]:
    halts, ended = tape_halts(made, tape(made, trades, quotes), SESSIONS, TapeHaltParams())
    assert halts.schema == HALTS
    seconds = [
        ((start - ZERO).total_seconds(), (end - ZERO).total_seconds())
        for start, end in halts.select("start", "end").rows()
    ]
    return list(zip(halts["event_id"], seconds, halts["n5"], ended["ended_by_trade"], strict=True))


def busy(until: float, count: int = 50, apart: float = 1.0) -> list[Trade]:
    """Trades of V, the last one at `until`."""
    return [(until - apart * back, True) for back in reversed(range(count))]


WINDOW = (120.0, -180.0, 540.0)


@pytest.mark.parametrize(
    ("trades", "quotes", "expected"),
    [
        # a still book
        ([*busy(0), (285, True)], [(-300, *NORMAL)], [("e0", (0, 285), 50, True)]),
        ([*busy(0), (284.9, True)], [(-300, *NORMAL)], []),
        ([*busy(0, 49), (285, True)], [(-300, *NORMAL)], []),
        ([*busy(0, 50, 3), (100, False), (300, True)], [(-300, *NORMAL)], [("e0", (0, 300), 50, True)]),
        # from the last trade to the end of the window
        (busy(200), [(-300, *NORMAL)], [("e0", (200, 540), 50, False)]),
        (busy(256), [(-300, *NORMAL)], []),
        # no book, and none that is normal
        (busy(200), [], [("e0", (200, 540), 50, False)]),
        (busy(200), None, []),
        # a book that changes after 19 and after 21 per cent of 340 s
        (busy(200), [(-300, *NORMAL), (540 - 340 * 0.19, 5.01, 100, 5.1, 100)], [("e0", (200, 540), 50, False)]),
        (busy(200), [(-300, *NORMAL), (540 - 340 * 0.21, 5.01, 100, 5.1, 100)], []),
        (busy(200), [(-300, *NORMAL), (540 - 340 * 0.21, 5.1, 100, 5.1, 100)], [("e0", (200, 540), 50, False)]),
        (busy(200), [(-300, *NORMAL), (540 - 340 * 0.21, 5.0, 100, 5.1, 200)], []),
        # of 1,425 points the 1,140th is at 228 s: a quote is in force after its own time
        ([*busy(0), (285, True)], [(-300, *NORMAL), (228, 5.0, 100, 5.1, 200)], [("e0", (0, 285), 50, True)]),
        ([*busy(0), (285, True)], [(-300, *NORMAL), (227.999, 5.0, 100, 5.1, 200)], []),
    ],
)
def test_a_halt_is_a_long_gap_after_many_trades_with_a_still_or_broken_book(
    trades: list[Trade], quotes: list[Quote] | None, expected: list[Any]
) -> None:
    assert found(events(WINDOW), trades, quotes) == expected


def test_only_trades_of_the_window_count() -> None:
    """The first of 50 trades lies one second before the second window."""
    trades = [*busy(0), (300, True)]
    assert found(events(WINDOW, (60, -48, 540), (60, -49, 540)), trades, [(-300, *NORMAL)]) == [
        ("e0", (0, 300), 50, True),
        ("e2", (0, 300), 50, True),
    ]


def test_a_window_without_an_opening_book_does_not_use_that_of_another() -> None:
    """The book comes halfway through the gap of the second window: half of the points are as the first, without one."""
    made = events((120, -60, 400), (1_120, 940, 1_400))
    trades = [*busy(0), (300, True), *busy(1_000), (1_300, True)]
    of_windows = tape(made, trades, [(-300, *NORMAL), (1_150, *NORMAL)])
    apart = of_windows._replace(quote_rows=RowRanges(np.array([0, 1]), np.array([1, 2])))
    halts, _ = tape_halts(made, apart, SESSIONS, TapeHaltParams())
    assert halts["event_id"].to_list() == ["e0"]


def test_halts_lie_in_regular_hours() -> None:
    before = [*busy(OPEN - 1), (OPEN + 400, True)]
    assert found(events((OPEN, OPEN - 180, OPEN + 420)), before, [(OPEN - 300, *NORMAL)]) == []
    # the last gap ends at the close, not at the end of the window
    late = busy(CLOSE - 285)
    window = (CLOSE - 120, CLOSE - 600, CLOSE + 300)
    assert found(events(window), late, [(CLOSE - 700, *NORMAL)]) == [("e0", (CLOSE - 285, CLOSE), 50, False)]
    assert found(events(window), [*late, (CLOSE, True)], [(CLOSE - 700, *NORMAL)]) == []


def slow_halts(window: tuple[float, float, float], trades: list[Trade], quotes: list[Quote]) -> list[tuple[Any, ...]]:
    """In whole milliseconds."""
    start, end = round(window[1] * 1000), round(window[2] * 1000)
    times = [round(second * 1000) for second, in_v in trades if in_v and start <= round(second * 1000) < end]
    opened, closed = round(OPEN * 1000), round(CLOSE * 1000)
    gaps = [(v, w, True) for v, w in pairwise(times) if w < closed]
    if times:
        gaps.append((times[-1], min(end, closed), False))
    own = [quote for quote in quotes if round(quote[0] * 1000) < end]
    before = [quote for quote in own if round(quote[0] * 1000) < start]
    own = before[-1:] + own[len(before) :]
    result = []
    for v, w, ended in gaps:
        n5 = sum(v - 300_000 <= time <= v for time in times)
        if not opened <= v < closed or w - v < 285_000 or n5 < 50:
            continue
        books = []
        for g in range(v // 200 * 200 + 200, w + 1, 200):
            earlier = [quote[1:] for quote in own if round(quote[0] * 1000) < g]
            books.append(earlier[-1] if earlier else None)
        normal = [book is not None and min(book) > 0 and book[2] > book[0] for book in books]
        still = sum(not good or book == books[0] for good, book in zip(normal, books, strict=True))
        if still >= 0.8 * len(books):
            result.append(("e0", (v / 1000, w / 1000), n5, ended))
    return result


@given(st.integers(min_value=0, max_value=10_000))
@hypothesis_settings(max_examples=30, deadline=None)
def test_halts_equal_the_slow_rules(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    shift = rng.choice([0.0, 0.0, CLOSE - 500, OPEN + 60])
    trades, second = [], shift - 250.0
    while second < shift + 1_000:
        for _ in range(rng.choice([5, 50, 60])):
            trades.append((round(second, 3), rng.random() < 0.95))
            second += rng.choice([0.2, 0.4, 1.001])
        second += rng.choice([1, 285, 300, 400])
    quotes, second = [], shift - 400.0
    while second < shift + 1_000:
        book = rng.choice([NORMAL, NORMAL, (5.0, 100.0, 5.1, 200.0), (5.1, 100.0, 5.1, 100.0), (0.0, 0.0, 5.1, 100.0)])
        quotes.append((round(second, 3), *book))
        second += rng.choice([20, 60.2, 200, 350])
    window = (shift, shift - 180, shift + rng.choice([420, 800]))
    assert found(events(window), trades, quotes) == slow_halts(window, trades, quotes)


def state(
    made: pl.DataFrame, trades: list[Trade], conditions: dict[int, list[int]] | None = None, halted: bool = False
) -> list[tuple[Any, ...]]:
    of_windows = tape(made, trades, [(-1_500, *NORMAL)])
    ids = [(conditions or {}).get(place, []) for place in range(len(trades))]
    marked = of_windows.trades.with_columns(pl.Series("conditions", ids, dtype=pl.List(pl.Int64)))
    of_windows = of_windows._replace(trades=marked)
    halts = tape_halts(made, of_windows, SESSIONS, TapeHaltParams())
    bars = pl.DataFrame(
        [("AEMD", 1, None, at(540), "2025-11-05", at(900), 360.0, 80)] if halted else [], schema=HALTS, orient="row"
    )
    names = pl.DataFrame({"id": [14, 57, 60, 61], "name": ["Sweep", "Short Sale Restriction Activated", "SSR", None]})
    found_state = event_tape_state(made, of_windows, halts, bars, find_ssr_ids(names))
    assert found_state.schema == EVENT_TAPE_STATE
    return found_state.drop("event_id").rows()


def test_the_aftermath_of_a_halt_lasts_ten_minutes_and_is_false_only_after_a_long_look_back() -> None:
    trades = [*busy(0), (300, True)]
    windows = [(300, -180, 600), (900, -180, 1_000), (960, -180, 1_000), (1_020, -180, 1_100), (1_020, -181, 1_100)]
    expected = [True, True, None, False, False]
    assert [row[0] for row in state(events(*windows), trades)] == expected
    # a halt that lasts to the end of the window has not ended
    assert state(events((180, -180, 480)), busy(0)) == [(None, False, False)]


def test_a_halt_of_the_bars_meets_a_window() -> None:
    windows = [(120, 0, 540), (120, 0, 541), (960, 899, 1_000), (960, 900, 1_000)]
    assert [row[1] for row in state(events(*windows), [], halted=True)] == [False, True, True, False]


def test_short_sale_restriction_is_seen_in_trades_before_the_event_is_known() -> None:
    made = events((0, -180, 420))
    trades = [(-181.0, True), (-5.0, True), (59.9, True), (60.0, True)]
    assert state(made, trades, {0: [60], 3: [57]})[0][2] is False
    assert state(made, trades, {2: [14, 57]})[0][2] is True
    assert state(made, trades, {1: [60]})[0][2] is True
    assert state(made, trades, {1: [14]})[0][2] is False


def test_without_tape_nothing_is_known() -> None:
    made = events((1_500, 0, 1_600))
    none = HALTS.to_frame(), pl.DataFrame(schema={"ended_by_trade": pl.Boolean})
    found_state = event_tape_state(made, None, none, HALTS.to_frame(), pl.Series([60]))
    assert found_state.row(0) == ("e0", None, False, None)


@pytest.mark.parametrize("seed", range(25))
def test_what_the_tape_shows_before_an_event_is_known_does_not_depend_on_what_follows(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    gap = rng.choice([285, 290, 400])
    trades = [*busy(-200), (-200.0 + gap, True), *busy(-200 + gap + 300, 60)]
    made = events((120, -1_200, 540))
    known_at = 120 + 60
    ids = {place: [60] for place in range(len(trades)) if rng.random() < 0.01}
    later = [(second, in_v) for second, in_v in trades if second < known_at]
    kept, cut = (state(made, of, ids)[0] for of in (trades, later))
    more = state(made, [*later, *((known_at + number * 0.5, True) for number in range(60))], ids)[0]
    # a halt of the bars is hindsight
    assert (kept[0], kept[2]) == (cut[0], cut[2]) == (more[0], more[2])
    assert kept[0] is (gap < 320)
