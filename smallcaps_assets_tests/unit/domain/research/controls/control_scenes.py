"""Events, bars and days for the tests of controls."""

import random
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders
from smallcaps_assets.domain.research.bars.market_state import SPLITS
from smallcaps_assets.domain.research.controls.candidates import ControlMarket, candidate_days, judge_bars
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.domain.research.controls.selection import ControlSelection, select_controls
from smallcaps_assets.domain.tables import MANIFEST, UTC_US
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets_tests import slow_spec
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.slow_spec.bars import session_of, xnys
from smallcaps_assets_tests.strategies.sessions import EASTERN, sessions_between

Row = dict[str, Any]
Moment = tuple[str, datetime]
_OF_MANIFEST: Final = (
    "event_id", "symbol", "event_type", "timestamp", "session", "direction", "rank", "window_before_min",
    "window_after_min", "extended",
)  # fmt: skip
EVENT_ROWS: Final = pl.Schema({name: MANIFEST[name] for name in _OF_MANIFEST})
MOMENTS: Final = pl.Schema({"symbol": pl.String(), "timestamp": UTC_US})
# the clocks change on 2025-11-02; 2025-11-28 and 2025-12-24 close early
FIRST, LAST = date(2025, 10, 20), date(2025, 12, 26)


def at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), EASTERN).astimezone(UTC)


def event(
    moment: datetime,
    rank: int = 1,
    symbol: str = "AAA",
    *,
    kind: str = "flush",
    direction: str = "down",
    before: int = 3,
    after: int = 7,
) -> Row:
    """A row of a manifest."""
    day = moment.astimezone(EASTERN).date()
    return {
        "event_id": slow_spec.event_id(symbol, kind, moment),
        "symbol": symbol,
        "event_type": kind,
        "timestamp": moment,
        "session": session_of(moment, day, xnys(day, day)),
        "direction": direction,
        "rank": rank,
        "window_before_min": before,
        "window_after_min": after,
        "extended": before > 3,
    }


def minutes(moment: datetime, count: int, symbol: str = "AAA") -> list[Moment]:
    return [(symbol, moment + timedelta(minutes=number)) for number in range(count)]


def moments(rows: list[Moment]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=MOMENTS, orient="row")


def days_of(
    events: list[Row],
    bars: list[Moment],
    others: list[Moment] | None = None,
    splits: list[tuple[str, date]] | None = None,
    params: ControlParams | None = None,
    *,
    borders: ListingBorders = NO_BORDERS,
) -> pl.DataFrame:
    """The judged days of events; MASTER holds the events and `others`."""
    found = params or ControlParams()
    rows = pl.DataFrame(events, schema=EVENT_ROWS, orient="row")
    dates = [row["timestamp"].astimezone(EASTERN).date() for row in events] or [LAST]
    hours = default_settings().sessions
    sessions = sessions_and_earlier(min(dates), max(dates), found.control_days, hours)
    known = None
    if splits is not None:
        known = pl.DataFrame([(*split, 1.0, 2.0) for split in splits], schema=SPLITS, orient="row")
    master = moments([(row["symbol"], row["timestamp"]) for row in events] + (others or []))
    market = ControlMarket(master, known, sessions, hours, borders)
    return judge_bars(candidate_days(rows, market, found), moments(bars), found)


def select(
    events: list[Row],
    days: pl.DataFrame,
    *,
    complete: list[str] | None = None,
    max_per_symbol: int = 3,
    share: float = 1.0,
) -> ControlSelection:
    ids = [row["event_id"] for row in events] if complete is None else complete
    return select_controls(
        pl.DataFrame(events, schema=EVENT_ROWS, orient="row"),
        pl.Series(ids, dtype=pl.String),
        days,
        ControlParams(control_share=share),
        max_per_symbol,
    )


def random_market(seed: int) -> tuple[list[Row], list[Moment], list[Moment], list[tuple[str, date]]]:
    """Events of few clocks and symbols on days around the change of clocks and early closes; bars, others, splits."""
    rng = random.Random(seed)  # noqa: S311
    days = sessions_between(FIRST, LAST)
    clocks = rng.sample(["04:02", "09:28", "09:31", "12:58", "13:01", "15:55", "16:58", "19:50"], 3)
    symbols = ["AAA", "B.B", "CCC"][: rng.randint(1, 3)]
    found = dict[str, Row]()
    for _ in range(rng.randint(1, 14)):
        day, clock = rng.choice([*days, date(2025, 11, 28), date(2025, 12, 24)]), rng.choice(clocks)
        if session_of(at(day, clock), day, xnys(day, day)) is None:
            continue
        before, after = rng.choice([(3, 7), (10, 20)])
        row = event(
            at(day, clock),
            symbol=rng.choice(symbols),
            kind=rng.choice(["flush", "tape_speed"]),
            direction=rng.choice(["up", "down"]),
            before=before,
            after=after,
        )
        found[row["event_id"]] = row
    rows = [{**row, "rank": rank} for rank, row in enumerate(rng.sample([*found.values()], len(found)), start=1)]
    earlier = sessions_between(FIRST - timedelta(days=40), LAST)
    bars, others = list[Moment](), list[Moment]()
    for symbol in symbols:
        for day in earlier:
            for clock in clocks:
                # from a few minutes before the window to within it: two bars, three or many
                start = at(day, clock) + timedelta(minutes=rng.choice([-3, -4, 5, 7, 4]))
                bars += minutes(start, rng.choice([0, 2, 3, 3, 12]), symbol)
                if rng.random() < 0.15:
                    offset = rng.choice([-31, -30, -1, 0, 29, 30])
                    others.append((symbol, at(day, clock) + timedelta(minutes=offset)))
    splits = [(rng.choice(symbols), rng.choice(earlier)) for _ in range(rng.randint(0, 2))]
    return rows, bars, others, splits
