"""Random tape around random events, as frames for the package and as rows for the slow implementation."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.micro.params import MicroParams
from smallcaps_assets.domain.research.micro.tables import MICRO_WINDOWS
from smallcaps_assets.domain.research.tape.conditions import CONDITION_RULES
from smallcaps_assets.domain.sessions import SESSION_TABLE
from smallcaps_assets_tests.slow_spec import nanoseconds, xnys
from smallcaps_assets_tests.slow_spec.micro import Market, Rules, S

Row = dict[str, Any]

UTC_NS: Final = pl.Datetime("ns", "UTC")
# id: updates of high and low, of open and close, of volume; 999 and -1 on the tape are in no table
BY_ID: Final = {
    1: (True, True, True),
    2: (False, False, True),
    9: (True, True, True),
    12: (False, False, True),
    14: (True, True, True),
    16: (False, False, False),
    37: (False, False, True),
    60: (None, None, None),
}
RULES: Final = pl.DataFrame([(one, *rules) for one, rules in BY_ID.items()], schema=CONDITION_RULES, orient="row")
IDS: Final = (
    [],
    [],
    [],
    [],
    [],
    [],
    [],
    None,
    [14],
    [37],
    [14, 37],
    [12],
    [12, 37],
    [2],
    [9],
    [16],
    [60],
    [999],
    [1, -1],
    [12, 9],
)
TRADES: Final = pl.Schema(
    {
        "span": pl.Int64(),
        "timestamp": UTC_NS,
        "price": pl.Float64(),
        "size": pl.Float64(),
        "exchange": pl.Int64(),
        "conditions": pl.List(pl.Int64()),
        "correction": pl.Int64(),
    }
)
QUOTES: Final = pl.Schema(
    {
        "span": pl.Int64(),
        "timestamp": UTC_NS,
        **dict.fromkeys(("bid_price", "bid_size", "ask_price", "ask_size"), pl.Float64()),
    }
)
# around the open, in the morning, at the early close of a half day, after hours, before the market
MOMENTS: Final = (
    datetime(2025, 6, 2, 13, 30, tzinfo=UTC),
    datetime(2025, 6, 2, 13, 28, tzinfo=UTC),
    datetime(2025, 6, 2, 15, 7, tzinfo=UTC),
    datetime(2025, 11, 28, 17, 58, tzinfo=UTC),
    datetime(2025, 3, 10, 20, 3, tzinfo=UTC),
    datetime(2025, 6, 2, 8, 0, tzinfo=UTC),
)


def sessions() -> pl.DataFrame:
    """SESSION_TABLE of 2025, by the calendar of the slow implementation."""
    rows = []
    for day, (opens, closes) in xnys(date(2025, 1, 2), date(2025, 12, 31)).items():
        early = opens - timedelta(hours=5, minutes=30)
        rows.append((day, early, opens, closes, closes + timedelta(hours=4)))
    return pl.DataFrame(rows, schema=SESSION_TABLE, orient="row")


def in_rth(moment: int) -> bool:
    minute = datetime.fromtimestamp(moment // S // 60 * 60, tz=UTC)
    return any(opens <= minute < closes for opens, closes in _HOURS.get(minute.date(), ()))


_HOURS: Final = {
    opens.date(): [(opens, closes)] for opens, closes in xnys(date(2025, 1, 2), date(2025, 12, 31)).values()
}
SLOW_RULES: Final = Rules(BY_ID, in_rth)


class Scenario(NamedTuple):
    """Events with their tape by span, and how it is to be read."""

    events: list[Row]
    trades: dict[int, list[Row]]
    quotes: dict[int, list[Row]]
    params: MicroParams
    market: Market

    def frames(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Windows, trades and quotes for the package."""
        windows = pl.DataFrame([self._window(one) for one in self.events], schema=MICRO_WINDOWS)
        return windows, frame_of(self.trades, TRADES), frame_of(self.quotes, QUOTES)

    def _window(self, event: Row) -> Row:
        return {
            **{name: event[name] for name in ("event_id", "span", "timestamp", "direction")},
            "window_before_min": event["before"],
            "window_after_min": event["after"],
            "trades_state": event["trades_state"],
            "quotes_state": event["quotes_state"],
            "corrections_known": True,
            "quotes_hz": 5.0,
            "quotes_hz_after": event["hz_after"],
            "quotes_by_change": True,
            "quote_size_unit": "lots" if self.market.lots else "shares",
        }


def frame_of(by_span: dict[int, list[Row]], schema: pl.Schema) -> pl.DataFrame:
    rows = [{"span": span, **row} for span in sorted(by_span) for row in by_span[span]]
    whole = pl.Schema({**schema, "timestamp": pl.Int64()})
    return pl.DataFrame(rows, schema=whole).with_columns(pl.col("timestamp").cast(UTC_NS))


def scenario(seed: int) -> Scenario:
    rng = random.Random(seed)  # noqa: S311 -- repeats what it made
    market = Market(rng.choice([0, 0, 0, 700_000_000]), lots=rng.random() < 0.2)
    params = MicroParams(
        sip_trade_lag_ms=market.lag_ns // 1_000_000,
    )
    events: list[Row] = []
    trades: dict[int, list[Row]] = {}
    quotes: dict[int, list[Row]] = {}
    for span in range(rng.choice([1, 1, 2])):
        moment = rng.choice(MOMENTS)
        for number in range(rng.choice([1, 2])):
            at = moment + timedelta(minutes=number * rng.choice([0, 1, 4]))
            has = rng.choices(["complete", "empty", "missing", "failed"], [20, 1, 1, 1], k=2)
            events.append(
                {
                    "event_id": f"{rng.choice('abcxyz')}{span}{number}",
                    "span": span * 3,
                    "timestamp": at,
                    "event": nanoseconds(at),
                    "direction": rng.choice(["up", "down"]),
                    "before": rng.choice([2, 3, 4]),
                    "after": rng.choice([1, 3, 6, 7]),
                    "trades_state": has[0],
                    "quotes_state": has[1],
                    "hz_after": rng.choice([5.0, 0.5, None]),
                }
            )
        start = nanoseconds(moment) - 5 * 60 * S
        trades[span * 3] = _trades(rng, start, rng.choice([0, 3, 60, 250, 250]))
        quotes[span * 3] = _quotes(rng, start, rng.choice([0, 2, 60, 250, 250]))
    return Scenario(events, trades, quotes, params, market)


def _times(rng: random.Random, start: int, count: int) -> list[int]:
    """Ascending moments of 20 minutes, many in a minute of their own, many equal or on the points of the grid."""
    busy = start + rng.randrange(3, 8) * 60 * S
    times = []
    for _ in range(count):
        first, length = (busy, 60 * S) if rng.random() < 0.5 else (start, 20 * 60 * S)
        moment = first + rng.randrange(length)
        grain = rng.choice([1, 1, 200_000_000, S, 60 * S])
        times.append(moment // grain * grain)
    return sorted([*times, *(rng.choice(times) for _ in times[::8])])


def _trades(rng: random.Random, start: int, count: int) -> list[Row]:
    cents = 1000
    rows = []
    for time in _times(rng, start, count):
        cents += rng.choice([0, 0, 0, 1, -1, 2, -2])
        rows.append(
            {
                "timestamp": time,
                "price": rng.choice([cents / 100, cents / 100 + 0.005, cents / 100 + 0.0001, 0.0]) or None
                if rng.random() < 0.2
                else cents / 100,
                "size": rng.choice([100.0, 100.0, 50.0, 37.5, 1.0, 900.0, 5000.0, 20_000.0, 0.0]),
                "exchange": rng.choice([4, 4, 11, 12, None]),
                "conditions": rng.choice(IDS),
                "correction": rng.choice([*[None] * 9, 0, 1, 7, 8, 10, 11, 12]),
            }
        )
    return rows


def _quotes(rng: random.Random, start: int, count: int) -> list[Row]:
    cents = 1000
    rows = []
    for time in _times(rng, start, count):
        cents += rng.choice([0, 0, 1, -1, 2, -2])
        width = rng.choice([1, 1, 2, 2, 3, 4, 6, 6, 8, 8, 0, -1])
        bid, ask = cents / 100, (cents + width) / 100
        sizes = rng.choice(
            [(100.0, 200.0)] * 7
            + [(4000.0, 700.0)] * 2
            + [(3.0, 7.0), (0.0, 100.0), (300.0, None), (0.0, 0.0), (None, None)]
        )
        rows.append({"timestamp": time, "bid_price": bid, "bid_size": sizes[0], "ask_price": ask, "ask_size": sizes[1]})
    return rows
