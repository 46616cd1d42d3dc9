"""Irregular but realistic bars with many events, some of them spoiled, and reference data of their symbols."""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

import polars as pl
from hypothesis import strategies as st

from smallcaps_assets.domain.tables import BARS
from smallcaps_assets_tests.strategies.days import day_of_scenes
from smallcaps_assets_tests.strategies.sessions import DST_WEEKS, HALF_DAYS, PLAIN_WEEKS, Row, sessions_between


def lively_bars(seed: int, symbols: int, sessions: Sequence[date]) -> pl.DataFrame:
    """Valid, sorted bars in which every detector fires in every direction it knows (given some dozen symbol-days).

    A few bars lie outside the sessions or, after a Friday, on the weekend.
    """
    rng = random.Random(seed)  # noqa: S311
    rows: list[Row] = []
    for number in range(symbols):
        symbol = ("ATRA", "KIMpL", "BRK.A", "ZZ9", "B", "AB", "A-B", "GME")[number % 8] + (
            str(number) if number > 7 else ""
        )
        cents = rng.choice([80, 200, 400, 1000, 1000, 1200, 2000, 2000])
        base = rng.choice([200, 2000, 2500, 4000, 10000, 10000])
        for day in sessions:
            if rng.random() < 0.08:
                continue
            found, cents = day_of_scenes(rng, symbol, day, cents, base)
            rows += found
            if rng.random() < 0.1 and found:
                rows += [
                    {**row, "timestamp": row["timestamp"] + timedelta(days=1)}
                    for row in found[:3]
                    if day.weekday() == 4
                ]
            cents = max(80, cents + rng.choice([-20, -3, 0, 5, 30]))
    return pl.DataFrame(rows, schema=BARS, orient="row").sort("symbol", "timestamp")


DAMAGES: Final[tuple[Row, ...]] = (
    {"open": None},
    {"high": float("nan")},
    {"low": float("inf")},
    {"close": float("-inf")},
    {"close": 0.0},
    {"low": -1.0},
    {"high": 0.01},
    {"low": 9999.0},
    {"volume": 0.0},
    {"volume": -5.0},
    {"volume": None},
    {"volume": float("nan")},
    {"volume": float("inf")},
    {"volume": 1e308},
    {"high": 1e308},
)
# what vendors write where they do not know: such bars are good
UNKNOWN_VALUES: Final[tuple[Row, ...]] = (
    *({"vwap": value} for value in (float("nan"), float("inf"), None, -1.0, 0.0, 1e308)),
    *({"transactions": value} for value in (None, 0, -1, 2**31 - 1, 2**63 - 1)),
)


def spoiled(seed: int, bars: pl.DataFrame) -> pl.DataFrame:
    """`bars` with bad rows, repeats (good before bad, bad before good, good twice), unknown values, out of order."""
    rng = random.Random(seed)  # noqa: S311
    rows: list[Row] = []
    for row in bars.iter_rows(named=True):
        dice = rng.random()
        if dice < 0.02:
            rows.append({**row, **rng.choice(DAMAGES)})
        elif dice < 0.03:
            rows += [row, {**row, "volume": row["volume"] + 100, "close": row["high"]}]
        elif dice < 0.04:
            rows += [{**row, **rng.choice(DAMAGES)}, row]
        elif dice < 0.05:
            rows += [row, {**row, **rng.choice(DAMAGES)}, row]
        elif dice < 0.06:
            rows.append({**row, **rng.choice(UNKNOWN_VALUES)})
        else:
            rows.append(row)
    if rng.random() < 0.7:
        rng.shuffle(rows)
    return pl.DataFrame(rows, schema=BARS, orient="row")


@lru_cache(maxsize=1)
def _weeks() -> list[list[date]]:
    plain = sessions_between(*PLAIN_WEEKS)
    return [plain[:1], plain[3:6], plain, *(sessions_between(*week) for week in (*DST_WEEKS, *HALF_DAYS))]


@st.composite
def bars_frames(draw: st.DrawFn, *, spoil: bool = True, max_symbols: int = 2) -> pl.DataFrame:
    """Small frames of bars: one to `max_symbols` symbols over one session to a month, some spoiled, some empty."""
    sessions = draw(st.sampled_from(_weeks()))
    bars = lively_bars(draw(st.integers(0, 10**6)), draw(st.integers(1, max_symbols)), sessions)
    if draw(st.integers(0, 30)) == 30:
        bars = bars.clear()
    return spoiled(draw(st.integers(0, 10**6)), bars) if spoil and draw(st.booleans()) else bars


def references(seed: int, bars: pl.DataFrame) -> pl.DataFrame:
    """Reference data of some of the symbols, at and around the thresholds, with nulls."""
    rng = random.Random(seed)  # noqa: S311
    rows = []
    for symbol in bars["symbol"].unique().sort().to_list():
        if rng.random() < 0.8:
            shares = rng.choice([None, 0.0, 4_999_999.0, 5_000_000.0, 9_999_999.0, 10_000_000.0, 50_000_000.0])
            share = rng.choice([None, 0.1, 0.4, 0.41])
            short = None if share is None else (shares or 5_000_000.0) * share
            rows.append((symbol, shares, short, rng.choice([None, 1.0, 5.0, 5.1])))
    names = ("symbol", "float_shares", "short_interest_shares", "days_to_cover")
    return pl.DataFrame(
        rows, schema={name: pl.String() if name == "symbol" else pl.Float64() for name in names}, orient="row"
    )
