"""Imbalance, effective and realized spread, and the age of quotes (research specification, sections 1.3 to 1.6)."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from smallcaps_assets.domain.research.arrays import FloatArray
from smallcaps_assets.domain.research.micro.figures.flow import Figures
from smallcaps_assets.domain.research.micro.params import SECOND_NS
from smallcaps_assets.domain.research.micro.quote_states import NO_ROW, QuoteBook
from smallcaps_assets.domain.research.micro.ranges import SortedGroups, expand, range_counts, range_sums, ratio
from smallcaps_assets.domain.research.micro.segments import SegmentRows
from smallcaps_assets.domain.research.micro.signs import SignedTrades
from smallcaps_assets.domain.research.prices import MICRO

# seconds, as in the names of columns, and nanoseconds after a trade at which the mid is looked up again
HORIZONS: Final[Mapping[str, int]] = {"5": 5 * SECOND_NS, "30": 30 * SECOND_NS}
_BPS: Final = 1e4
_NS_PER_MS: Final = 1e6


def spread_columns(
    signed: SignedTrades, book: QuoteBook, segments: SegmentRows, horizons: Mapping[str, int]
) -> Figures:
    """Figures of 1.3 to 1.6, and `quote_age_ms_median`, of every segment."""
    return {
        **_sign_columns(signed, segments),
        **_imbalance_columns(signed, segments),
        **_effective_columns(signed, book, segments),
        **{
            name: values
            for label, horizon_ns in horizons.items()
            for name, values in _realized_columns(signed, book, segments, label, horizon_ns).items()
        },
        "quote_age_ms_median": _median_quote_age(signed, book, segments),
    }


def _sign_columns(signed: SignedTrades, segments: SegmentRows) -> Figures:
    starts, ends = signed.range_of(segments)
    flags = {
        "signed_by_quote_share": signed.by_quote,
        "unsigned_share": signed.sign == 0,
        "sign_agreement_share": signed.agreed,
    }
    return {name: ratio(range_counts(flag, starts, ends), ends - starts) for name, flag in flags.items()}


def _imbalance_columns(signed: SignedTrades, segments: SegmentRows) -> Figures:
    starts, ends = signed.range_of(segments)
    trades, bought, sold = signed.trades, signed.sign > 0, signed.sign < 0

    def sides(values: FloatArray) -> tuple[FloatArray, FloatArray]:
        buys, sells = (range_sums(np.where(side, values, 0.0), starts, ends) for side in (bought, sold))
        return buys, sells

    def imbalance(buys: FloatArray, sells: FloatArray) -> FloatArray:
        return ratio(buys - sells, buys + sells)

    shares, usd = sides(trades.size), sides(trades.dollars)
    off_exchange = sides(np.where(trades.off_exchange, trades.size, 0.0))
    on_exchange = sides(np.where(trades.off_exchange, 0.0, trades.size))
    buys, sells = (range_counts(side, starts, ends) for side in (bought, sold))
    return {
        "imbalance_shares": imbalance(*shares),
        "imbalance_dollars": imbalance(*usd),
        "imbalance_count": ratio(buys - sells, buys + sells),
        "buy_share": ratio(shares[0], shares[0] + shares[1]),
        "net_buy_usd": usd[0] - usd[1],
        "imbalance_shares_lit": imbalance(*on_exchange),
        "imbalance_shares_trf": imbalance(*off_exchange),
    }


def _effective_columns(signed: SignedTrades, book: QuoteBook, segments: SegmentRows) -> Figures:
    starts, ends = signed.range_of(segments)
    trades, at = signed.trades, signed.at
    total = book.total.take(at)
    has_mid = total > 0
    twice = np.where(has_mid, 2 * trades.micro - total, 0)  # 2(p - m) in micro-dollars
    relative = 2 * ratio(twice, total)
    relative[~has_mid] = 0.0
    dollars = np.where(has_mid, trades.dollars, 0.0)
    shares = np.where(has_mid, trades.size, 0.0)
    count = range_counts(has_mid, starts, ends)
    weight = range_sums(dollars, starts, ends)
    bid, ask = book.bid.take(at), book.ask.take(at)
    inside = has_mid & (bid < trades.micro) & (trades.micro < ask)
    outside = has_mid & ((trades.micro < bid) | (trades.micro > ask))
    return {
        "effective_spread_bps": ratio(_BPS * range_sums(dollars * np.abs(relative), starts, ends), weight),
        "effective_spread_usd": ratio(
            range_sums(shares * np.abs(twice), starts, ends) / MICRO, range_sums(shares, starts, ends)
        ),
        "effective_spread_signed_bps": ratio(_BPS * range_sums(dollars * relative * signed.sign, starts, ends), weight),
        "n_effective": count,
        "inside_share": ratio(range_counts(inside, starts, ends), count),
        "outside_share": ratio(range_counts(outside, starts, ends), count),
    }


def _realized_columns(
    signed: SignedTrades, book: QuoteBook, segments: SegmentRows, label: str, horizon_ns: int
) -> Figures:
    # executed + horizon <= end, in whole nanoseconds
    until = np.minimum(segments.end, segments.end - horizon_ns + signed.lag_ns + 1)
    starts, ends = signed.range_of(segments, until)
    trades = signed.trades
    total, later = book.total.take(signed.at), book.total.take(signed.later[label])
    counted = (total > 0) & (later > 0) & (signed.sign != 0)
    mid = np.where(counted, total, 1)
    sides = np.where(counted, 2 * signed.sign * trades.dollars, 0.0)
    weight = range_sums(np.where(counted, trades.dollars, 0.0), starts, ends)
    realized = sides * ((2 * trades.micro - later) / mid)
    impact = sides * ((later - total) / mid)
    return {
        f"realized_spread_{label}_bps": ratio(_BPS * range_sums(realized, starts, ends), weight),
        f"price_impact_{label}_bps": ratio(_BPS * range_sums(impact, starts, ends), weight),
        f"n_realized_{label}": range_counts(counted, starts, ends),
    }


def _median_quote_age(signed: SignedTrades, book: QuoteBook, segments: SegmentRows) -> FloatArray:
    """Milliseconds from the quote in force to the trade; NaN where no trade had a quote before it."""
    owner, index = expand(*signed.range_of(segments))
    has_quote = signed.at.take(index) != NO_ROW
    if not has_quote.all():
        owner, index = owner[has_quote], index[has_quote]
    if not len(index):
        return np.full(len(segments), np.nan)
    age = signed.trades.time.take(index) - signed.lag_ns - book.time.take(signed.at.take(index))
    median, some = SortedGroups(owner, age, len(segments)).quantile(0.5)
    return np.where(some, (median.low + (median.high - median.low) * median.fraction) / _NS_PER_MS, np.nan)
