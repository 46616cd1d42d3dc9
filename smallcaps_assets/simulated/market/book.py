"""The national best bid and offer around a day's trades.

Each group of trades with one timestamp is preceded (or met) by a quote that spans their prices, so a trade in regular
hours that must respect the quotes lies within those in force at its SIP timestamp. Between the groups sizes change,
prices move away from the spread, and some rows repeat the row before.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from smallcaps_assets.simulated.hours import NS_PER_SECOND
from smallcaps_assets.simulated.market.conditions import OUTSIDE_QUOTES
from smallcaps_assets.simulated.market.listings import Listing
from smallcaps_assets.simulated.market.noise import Ints, Noise
from smallcaps_assets.simulated.market.plan import DayPlan
from smallcaps_assets.simulated.market.sketch import Bools
from smallcaps_assets.simulated.market.tape import PIPS_PER_CENT, Tape

_LIT_VENUES: Final = np.array([12, 12, 11, 8, 19, 7, 15, 21, 18, 10], dtype=np.int64)
_MAX_LEAD_NS: Final = 40_000_000
_MAX_GAP_NS: Final = 40 * NS_PER_SECOND


@dataclass(frozen=True)
class Book:
    """The quotes of one symbol's day in the order of the SIP. Prices in cents, sizes in shares; 0 is an empty side.

    `indicator` is 0 where a quote has none, and empty where no quote has one.
    """

    timestamp: Ints
    bid: Ints
    ask: Ints
    bid_size: Ints
    ask_size: Ints
    bid_exchange: Ints
    ask_exchange: Ints
    sequence: Ints
    participant_timestamp: Ints
    indicator: Ints

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))


@dataclass(frozen=True)
class Brackets:
    """Per group of simultaneous trades: when they happen and the best quotes that span them."""

    at: Ints
    bid: Ints
    ask: Ints


def draw_book(listing: Listing, plan: DayPlan, tape: Tape) -> Book:
    """The quotes of a symbol's day; empty where nothing trades."""
    noise = Noise(listing.seed, listing.symbol, plan.session.day.isoformat(), "book")
    return quotes_around(noise, plan, _brackets(noise, tape))


def quotes_around(noise: Noise, plan: DayPlan, brackets: Brackets) -> Book:
    """Quotes that end at the brackets, shortly before (or with) the trades of each."""
    timestamp, group, is_bracket = _moments(noise, plan, brackets)
    count = len(timestamp)
    bid = brackets.bid[group] - np.where(is_bracket, 0, noise.below(1, count, 3))
    ask = brackets.ask[group] + np.where(is_bracket, 0, noise.below(2, count, 3))
    rows = _repeated_rows(noise, is_bracket)
    bid_size = noise.between(3, count, 1, 9) * noise.between(4, count, 1, 4) * 100
    ask_size = noise.between(5, count, 1, 9) * noise.between(6, count, 1, 4) * 100
    bid = np.maximum(bid, 1)
    if count > 1 and not is_bracket[0]:
        bid[0] = bid_size[0] = 0
    return Book(
        timestamp=timestamp,
        bid=bid[rows],
        ask=ask[rows],
        bid_size=bid_size[rows],
        ask_size=ask_size[rows],
        bid_exchange=_LIT_VENUES[noise.below(7, count, len(_LIT_VENUES))][rows],
        ask_exchange=_LIT_VENUES[noise.below(8, count, len(_LIT_VENUES))][rows],
        sequence=np.cumsum(noise.between(9, count, 1, 12)) + 500,
        participant_timestamp=timestamp - noise.between(10, count, 40_000, 600_000),
        indicator=np.empty(0, dtype=np.int64),
    )


def _brackets(noise: Noise, tape: Tape) -> Brackets:
    lawful = ~np.isin(tape.kind, [int(kind) for kind in OUTSIDE_QUOTES])
    at, price = tape.timestamp[lawful], tape.price[lawful]
    if not len(at):
        return Brackets(at, at, at)
    starts = np.flatnonzero(np.concatenate(([True], at[1:] != at[:-1])))
    lowest = np.minimum.reduceat(price, starts) // PIPS_PER_CENT
    highest = -(-np.maximum.reduceat(price, starts) // PIPS_PER_CENT)
    count = len(starts)
    spread = np.maximum(lowest // 400, 1) + noise.below(20, count, 2)
    sellers_hit = noise.below(21, count, 2) == 0
    bid = np.where(sellers_hit, lowest, np.minimum(lowest, highest - spread))
    ask = np.where(sellers_hit, np.maximum(highest, lowest + spread), highest)
    return Brackets(at[starts], bid, np.maximum(ask, bid + 1))


def _moments(noise: Noise, plan: DayPlan, brackets: Brackets) -> tuple[Ints, Ints, Bools]:
    """For each quote its time, the group of trades it precedes, and whether it is the bracket of that group."""
    groups = len(brackets.at)
    before = np.concatenate(([plan.session.start_ns], brackets.at[:-1])) if groups else brackets.at
    gap = np.minimum(brackets.at - before, _MAX_GAP_NS)
    lead = noise.below(22, groups, np.maximum(np.minimum(gap, _MAX_LEAD_NS), 1))
    bracket_at = brackets.at - lead
    room = np.maximum(gap - lead - 1, 1)
    extras = noise.below(23, groups, 4) + (np.arange(groups) == 0)
    owner = np.repeat(np.arange(groups), extras)
    coarse = np.minimum(room[owner] // 1000 + 1, 2**31 - 1)
    back = noise.below(24, len(owner), coarse) * 1000 + noise.below(25, len(owner), 1000)
    extra_at = bracket_at[owner] - np.minimum(back, room[owner] - 1)
    timestamp = np.sort(np.concatenate((bracket_at, extra_at)))
    group = np.repeat(np.arange(groups), extras + 1)
    is_bracket = np.zeros(len(timestamp), dtype=np.bool_)
    is_bracket[np.cumsum(extras + 1) - 1] = True
    return timestamp, group, is_bracket


def _repeated_rows(noise: Noise, is_bracket: Bools) -> Ints:
    """For each row the index of the row whose values it shows: itself, or for one row in eight the one before."""
    count = len(is_bracket)
    rows = np.arange(count)
    repeats = (noise.below(11, count, 8) == 0) & ~is_bracket & (rows > 1)
    return np.maximum.accumulate(np.where(repeats, 0, rows))
