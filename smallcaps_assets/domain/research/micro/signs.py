"""Which side was the aggressor of each trade (research specification, section 1.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smallcaps_assets.domain.research.arrays import BoolArray, FloatArray, IntArray
from smallcaps_assets.domain.research.micro.axis import EventWindows
from smallcaps_assets.domain.research.micro.quote_states import NO_ROW, NORMAL, QuoteBook
from smallcaps_assets.domain.research.micro.ranges import Members, expand, last_where, rows_before
from smallcaps_assets.domain.research.micro.segments import SegmentRows

_Signs = npt.NDArray[np.int8]


@dataclass(frozen=True)
class TradeTape:
    """Trades of one set on the axis, in stored order.

    Attributes:
        time: nanoseconds on the axis.
        micro: price in micro-dollars.
        size: shares.
        dollars: price x size.
        off_exchange: reported by a trade reporting facility.
    """

    time: IntArray
    micro: IntArray
    size: FloatArray
    dollars: FloatArray
    off_exchange: BoolArray

    def select(self, kept: BoolArray) -> "TradeTape":
        """The trades that are `kept`."""
        if kept.all():
            return self
        return self.take(np.flatnonzero(kept))

    def take(self, index: IntArray) -> "TradeTape":
        """The trades at `index`."""
        # unlike indexing, `take` lets other threads run
        return TradeTape(*(column.take(index) for column in self._columns))

    def of(self, members: Members) -> "TradeTape":
        """The trades that are `members`."""
        return TradeTape(*(members.of(column) for column in self._columns))

    @property
    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return self.time, self.micro, self.size, self.dollars, self.off_exchange

    def range_of(self, starts: IntArray, ends: IntArray) -> tuple[IntArray, IntArray]:
        """Range of the trades in each [start, end)."""
        return np.searchsorted(self.time, starts), np.searchsorted(self.time, ends)


class JoinClock(NamedTuple):
    """Times at which trades are joined to the book.

    Attributes:
        lag_ns: from the execution of a trade to its timestamp.
        horizons: by label, nanoseconds after a trade at which the book is looked up again.
    """

    lag_ns: int
    horizons: Mapping[str, int]


class SignsByMethod(NamedTuple):
    """+1 where the buyer was the aggressor, -1 where the seller was, 0 where unknown.

    Attributes:
        tick: by the last different price.
        lr: Lee and Ready 1991, without a lag.
        emo: Ellis, Michaely and O'Hara 2000.
        clnv: Chakrabarty, Li, Nguyen and Van Ness 2007.
    """

    tick: _Signs
    lr: _Signs
    emo: _Signs
    clnv: _Signs


@dataclass(frozen=True)
class SignedTrades:
    """The signable trades of every window, window by window, with the book in force at each.

    Attributes:
        trades: the trades.
        at: row of the book before each trade, or NO_ROW.
        later: by horizon, the row of the book before that moment.
        sign: of Lee and Ready.
        by_quote: signed by the quote, not by earlier prices.
        agreed: three methods give the same sign.
        lag_ns: from a trade to its timestamp.
        tape: all signable trades, once each.
        shift: of each event, from the place of its trades in `tape` to their place in `trades`.
    """

    trades: TradeTape
    at: IntArray
    later: dict[str, IntArray]
    sign: _Signs
    by_quote: BoolArray
    agreed: BoolArray
    lag_ns: int
    tape: TradeTape
    shift: IntArray

    def range_of(self, segments: SegmentRows, ends: IntArray | None = None) -> tuple[IntArray, IntArray]:
        """Range of the trades of each segment, up to its end or to earlier `ends`."""
        starts, until = self.tape.range_of(segments.start, segments.end if ends is None else ends)
        shift = self.shift[segments.event]
        return starts + shift, np.maximum(until, starts) + shift


def sign_trades(
    tape: TradeTape,
    windows: EventWindows,
    book: QuoteBook,
    first_quote: IntArray,
    clock: JoinClock,
) -> SignedTrades:
    """Sign the trades of every window.

    Args:
        tape: signable trades.
        windows: of the events.
        book: after each quote.
        first_quote: the first quote that each event reads.
        clock: when trades were executed, and when the book is looked up again.
    """
    executed = tape.time - clock.lag_ns
    starts, ends = tape.range_of(windows.start, windows.end)
    members = expand(starts, ends)
    owner = members.owner
    lowest = first_quote.take(owner)

    def in_force(moments: IntArray) -> IntArray:
        rows = members.of(rows_before(book.time, moments))
        return np.where(rows >= lowest, rows, NO_ROW)

    trades = tape.of(members)
    at = in_force(executed)
    later = {label: in_force(executed + horizon) for label, horizon in clock.horizons.items()}
    signs = signs_by_method(trades.micro, owner, book, at)
    shift = np.cumsum(ends - starts) - ends
    return SignedTrades(
        trades=trades,
        at=at,
        later=later,
        sign=signs.lr,
        by_quote=(book.state.take(at) == NORMAL) & (2 * trades.micro != book.bid.take(at) + book.ask.take(at)),
        agreed=(signs.lr == signs.emo) & (signs.lr == signs.clnv),
        lag_ns=clock.lag_ns,
        tape=tape,
        shift=shift,
    )


def signs_by_method(micro: IntArray, owner: IntArray, book: QuoteBook, at: IntArray) -> SignsByMethod:
    """The sign of each trade at the price `micro` by every method; trades of an `owner` follow each other.

    All methods use the sign of the tick where the row `at` of the book is not normal.
    """
    tick = _tick_signs(micro, owner)
    bid, ask, normal = book.bid.take(at), book.ask.take(at), book.state.take(at) == NORMAL
    from_mid = np.sign(2 * micro - (bid + ask)).astype(np.int8)
    near_ask = normal & (10 * micro >= 7 * ask + 3 * bid) & (micro <= ask)
    near_bid = normal & (10 * micro <= 7 * bid + 3 * ask) & (micro >= bid)
    buy, sell = np.int8(1), np.int8(-1)
    return SignsByMethod(
        tick=tick,
        lr=np.where(normal & (from_mid != 0), from_mid, tick),
        emo=np.where(normal & (micro == ask), buy, np.where(normal & (micro == bid), sell, tick)),
        clnv=np.where(near_ask, buy, np.where(near_bid, sell, tick)),
    )


def _tick_signs(micro: IntArray, owner: IntArray) -> _Signs:
    """Sign of the step from the last different price of the same owner; 0 where there is none."""
    step = np.zeros(len(micro), np.int8)
    step[1:] = np.sign(np.diff(micro))
    begins = np.ones(len(micro), np.bool_)
    begins[1:] = owner[1:] != owner[:-1]
    step[begins] = 0
    return step.take(last_where((step != 0) | begins)) if len(micro) else step
