"""MASTER tables with many ties."""

import random
from datetime import UTC, date, datetime, time, timedelta

import polars as pl
from hypothesis import strategies as st

from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets_tests.slow_spec import event_id
from smallcaps_assets_tests.strategies.sessions import EASTERN, Row, sessions_between


def lively_master(seed: int, rows: int) -> pl.DataFrame:
    """A MASTER table of at most `rows` rows with many ties: in score, rvol, dollars, transactions, spread and spike."""
    rng = random.Random(seed)  # noqa: S311
    sessions = sessions_between(date(2025, 11, 24), date(2025, 12, 2))
    ids: set[str] = set()
    found: list[Row] = []
    groups: dict[str, datetime] = {}
    symbols = [f"S{number}" for number in range(rng.choice([1, 3, 12, 60]))]
    for _ in range(rows):
        symbol, kind, day = rng.choice(symbols), rng.choice(EVENT_TYPES), rng.choice(sessions)
        half = day == date(2025, 11, 28)
        session = rng.choice(["PM", "RTH", "RTH", "RTH", "AH"])
        first, last = {
            "PM": (240, 570),
            "RTH": (570, 780 if half else 960),
            "AH": (780, 1020) if half else (960, 1200),
        }[session]
        minute = rng.choice([first, last - 1, 615, 840, rng.randrange(first, last)])
        minute = min(last - 1, max(first, minute))
        moment = datetime.combine(day, time(minute // 60, minute % 60), EASTERN).astimezone(UTC)
        name = event_id(symbol, kind, moment)
        if name in ids:
            continue
        ids.add(name)
        found.append(_master_row(rng, symbol, kind, session, moment) | {"event_id": name})
    found.sort(key=lambda row: (row["symbol"], row["timestamp"], row["event_type"]))
    for row in found:
        key = f"{row['symbol']} {row['date']}"
        if key not in groups or row["timestamp"] >= groups[key] + timedelta(minutes=5):
            groups[key] = row["timestamp"]
        row["event_group_id"] = f"{row['symbol']}_{groups[key]:%Y%m%d_%H%M%S}"
    return pl.DataFrame([{name: row[name] for name in EVENTS} for row in found], schema=EVENTS, orient="row")


def _master_row(rng: random.Random, symbol: str, kind: str, session: str, moment: datetime) -> Row:
    low = rng.choice([100, 250, 1000, 2000])
    wide = rng.choice([1, 2, 2, 3, 4, 5, 5, 6, 20]) * low // 100  # 5 % of the low is the spread limit
    high = low + max(1, wide)
    opened, close = rng.choice([(low, high), (high, low), (low, low)])
    vwap = rng.choice([low / 100, (low + high) / 200, high / 100])
    volume = float(rng.choice([2_400, 2_500, 5_000, 9_999, 10_000, 10_000, 40_000, 100_000]))
    direction = "down" if kind == "flush" else rng.choice(["up", "down"])
    dollars = rng.choice([close / 100 * volume, 25_000.0, 50_000.0, 100_000.0, 100_000.0, 250_000.0, 9e6])
    score = rng.choice([0.39, 0.4, 0.5, 0.6, 0.6, 0.75, 0.98, 1.0, round(rng.random(), 6)])
    return {
        "symbol": symbol,
        "event_type": kind,
        "timestamp": moment,
        "direction": direction,
        "session": session,
        "spike_x": rng.choice([2.0, 3.5, 4.0, 6.0, 8.0, round(rng.uniform(1.8, 30), 3)]),
        "open": opened / 100,
        "high": high / 100,
        "low": low / 100,
        "close": close / 100,
        "volume": volume,
        "dollar_volume": dollars,
        "score": score,
        "date": f"{moment.astimezone(EASTERN):%Y-%m-%d}",
        "event_bias": "bullish" if direction == "up" else "bearish",
        "close_vs_open": "green" if close > opened else "red" if close < opened else "flat",
        "tier": 1 if score >= 0.6 else 2 if score >= 0.5 else 3 if score >= 0.4 else 4,
        "known_at": moment + timedelta(minutes=1),
        "vwap_at_event": vwap,
        "flatness_score": rng.choice([None, 0.25, 0.5, round(rng.random(), 6)]),
        "rvol_day": rng.choice([None, None, 0.9, 1.0, 1.2, 1.5, 1.5, 3.0]),
        "dollar_volume_day": rng.choice([99_999.0, 100_000.0, 250_000.0, 500_000.0, 500_000.0, 4e6, 4e6, 4e6]),
        "dollar_volume_to_event": dollars,
        "transactions": rng.choice([None, 40, 100, 100, 250, rng.randrange(50, 4000)]),
        "is_premarket": session == "PM",
        "is_afterhours": session == "AH",
    }


@st.composite
def masters(draw: st.DrawFn, *, max_rows: int = 120) -> pl.DataFrame:
    """MASTER tables of up to `max_rows` rows; sometimes empty, sometimes without any transactions."""
    frame = lively_master(draw(st.integers(0, 10**6)), draw(st.integers(0, max_rows)))
    if draw(st.integers(0, 9)) == 9:
        frame = frame.with_columns(transactions=pl.lit(None, pl.Int64))
    return frame


@st.composite
def tight_limits(draw: st.DrawFn) -> dict[str, int]:
    """max_events, max_per_symbol and max_per_symbol_day small enough to bite on what `masters` makes."""
    return {
        "max_events": draw(st.sampled_from([1, 3, 7, 10, 20, 40, 100])),
        "max_per_symbol": draw(st.sampled_from([1, 2, 5, 50])),
        "max_per_symbol_day": draw(st.sampled_from([1, 2, 3, 20])),
    }
