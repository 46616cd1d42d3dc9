"""A day of DRILL: trades, quotes and bars with what is planted in them, and the list of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, NamedTuple

import numpy as np

from smallcaps_assets.simulated.hours import NS_PER_MINUTE, RTH_OPEN, TradingDay, trading_dates, trading_day
from smallcaps_assets.simulated.market.aggregation import Candles, day_candle, minute_candles
from smallcaps_assets.simulated.market.book import Book
from smallcaps_assets.simulated.market.conditions import TradeKind
from smallcaps_assets.simulated.market.drill.company import DrillCompany, Theme, drill_stories, theme_of
from smallcaps_assets.simulated.market.drill.plan import THIN_GAP_AFTER, THIN_GAP_MINUTES, plan_drill, reopening
from smallcaps_assets.simulated.market.drill.quotes import BOOK_STATES, plant_quotes
from smallcaps_assets.simulated.market.drill.rows import take_rows
from smallcaps_assets.simulated.market.drill.sides import draw_aggressors
from smallcaps_assets.simulated.market.drill.trades import DrillTape, Role, plant_trades
from smallcaps_assets.simulated.market.noise import Ints, Noise
from smallcaps_assets.simulated.market.plan import DayPlan
from smallcaps_assets.simulated.market.tape import draw_tape

# minutes after the story: one of which there is no bar, and one of which there are no trades
_LOST_BAR, _LOST_TAPE = 5, 6
_ROLES: Final = {
    Role.SWEEP: "sweep",
    Role.UNLISTED: "unknown_condition",
    Role.CANCELLED_IN_BAR: "cancelled_in_bar",
    Role.CANCELLED: "cancelled",
    Role.CORRECTED: "corrected",
    Role.MESSAGE: "message",
}
_KINDS: Final = {
    "odd_lot": (TradeKind.ODD, TradeKind.ODD_SWEEP, TradeKind.EXTENDED_ODD),
    "auction": (TradeKind.OPENING_CROSS, TradeKind.OFFICIAL_OPEN, TradeKind.CLOSING_PRINT),
    "form_t_in_regular_hours": (TradeKind.LATE_FORM_T,),
    "short_sale_restricted": (TradeKind.RESTRICTED,),
}
_WEEK: Final = timedelta(days=7)


class Plant(NamedTuple):
    """Something planted: when in UTC nanoseconds (the end excluded), and in how many rows of trades or bars."""

    kind: str
    start_ns: int
    end_ns: int
    rows: int


@dataclass(frozen=True)
class DrillDay:
    """What is served of a day of DRILL, the side of each trade, and what is planted."""

    planted: DrillTape
    side: Ints
    book: Book
    minutes: Candles
    day: Candles
    plants: tuple[Plant, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = self.planted.role.nbytes + self.side.nbytes
        return arrays + self.planted.tape.nbytes + self.book.nbytes + self.minutes.nbytes + self.day.nbytes


def draw_drill_day(company: DrillCompany, session: TradingDay) -> DrillDay:
    """A day of DRILL; a pure function of seed and trading day."""
    plan, theme = plan_drill(company, session), theme_of(session)
    stories = drill_stories(company, session)
    minute = stories[0].minute if stories else None
    reopens = reopening(plan, minute) if minute is not None and theme is Theme.PAUSE else None
    noise = Noise(company.seed, company.symbol, session.day.isoformat(), "drill")
    restricted = RTH_OPEN if follows_collapse(session) else minute if theme is Theme.COLLAPSE else None
    anchor = minute if reopens is None else reopens
    planted = plant_trades(noise, plan, draw_tape(company, plan), anchor, restricted)
    aggressors = draw_aggressors(Noise(company.seed, company.symbol, session.day.isoformat(), "sides"), planted)
    counted = take_rows(planted.tape, planted.in_bars)
    minutes, day = minute_candles(counted, session), day_candle(counted, session)
    book_noise = Noise(company.seed, company.symbol, session.day.isoformat(), "book")
    book = plant_quotes(book_noise, plan, aggressors, minute, reopens)
    side = aggressors.side
    if theme is Theme.LOSS and minute is not None:
        minutes = _without_minute(minutes, minute + _LOST_BAR)
        kept = planted.tape.minute != minute + _LOST_TAPE
        planted, side = planted.select(kept), side[kept]
    plants = (*_of_story(plan, theme, minute, reopens), *_of_day(company, session), *_of_rows(planted, session))
    return DrillDay(planted, side, book, minutes, day, plants)


def follows_collapse(session: TradingDay) -> bool:
    """Whether the price fell far enough for the short sale restriction on the trading day before."""
    before = trading_day(trading_dates(session.day - _WEEK, session.day - timedelta(days=1))[-1])
    return before is not None and theme_of(before) is Theme.COLLAPSE


def _without_minute(candles: Candles, minute: int) -> Candles:
    kept = candles.minute != minute
    return replace(candles, **{name: values[kept] for name, values in vars(candles).items()})


def _of_story(plan: DayPlan, theme: Theme, minute: int | None, reopens: int | None) -> Iterator[Plant]:
    """What is planted at the story of the day."""
    if minute is None:
        return
    origin = plan.session.start_ns

    def minutes(kind: str, first: int, end: int) -> Plant:
        return Plant(kind, origin + first * NS_PER_MINUTE, origin + end * NS_PER_MINUTE, end - first)

    if reopens is not None:
        yield minutes("halt", minute + 1, reopens)
    if theme is Theme.COLLAPSE:
        yield minutes("short_sale_fall", minute, minute + 1)
    if theme is Theme.DIP:
        gap = minute + THIN_GAP_AFTER
        yield minutes("gap_without_halt", gap, gap + THIN_GAP_MINUTES)
    if theme is Theme.LOSS:
        yield minutes("missing_bar", minute + _LOST_BAR, minute + _LOST_BAR + 1)
        yield minutes("missing_trades", minute + _LOST_TAPE, minute + _LOST_TAPE + 1)
    for state in BOOK_STATES:
        begin, end = state.bounds_ns(plan.session, minute)
        yield Plant(state.kind, begin, end, 0)


def _of_day(company: DrillCompany, session: TradingDay) -> Iterator[Plant]:
    begin, end = session.start_ns, session.start_ns + session.end * NS_PER_MINUTE
    if follows_collapse(session):
        yield Plant("short_sale_fall_day_before", begin, end, 0)
    if company.split is not None and company.split.day == session.day:
        yield Plant("split", begin, end, 0)


def _of_rows(planted: DrillTape, session: TradingDay) -> Iterator[Plant]:
    """Single trades by their roles, late reports one by one, and how many of each kind the day has."""
    at = planted.tape.timestamp
    for role, kind in _ROLES.items():
        found, rows = np.unique(at[planted.role == role], return_counts=True)
        yield from (Plant(kind, int(one), int(one) + 1, int(count)) for one, count in zip(found, rows, strict=True))
    yield from (Plant("late_report", int(one), int(one) + 1, 1) for one in at[planted.is_late])
    begin, end = session.start_ns, session.start_ns + session.end * NS_PER_MINUTE
    for kind, kinds in _KINDS.items():
        rows_of_kind = int(np.isin(planted.tape.kind, kinds).sum())
        if rows_of_kind:
            yield Plant(kind, begin, end, rows_of_kind)
