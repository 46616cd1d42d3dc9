"""What the columns of the research tables that are made from tape mean, for the catalog."""

from collections.abc import Mapping
from typing import Final

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.research.micro.figures.slippage import ORDERS_USD
from smallcaps_assets.domain.research.micro.figures.spreads import HORIZONS
from smallcaps_assets.domain.research.tables.bar_descriptions import HALT_TEXTS

_CAPTURE: Final = {
    "event_id": COLUMNS["event_id"],
    "segment": "Part of the window: `pre3`, `pre_all`, `bar` are known when the event is, `m5` and `post_all` later.",
    "available_at": "UTC. End of the segment, when every number of the row is known.",
    "seconds": "Length of the segment.",
    "session": COLUMNS["session"],
    "crosses_session": "Whether pre-market, regular hours or after-hours begin or end inside the segment.",
    "capture_state": "State of the trades and of the quotes of the window: complete, empty, failed, denied or missing.",
    "corrections_known": "Whether the trades say how they were corrected.",
    "quotes_hz": "Quotes per second that were kept at most; below 5, spreads are coarse.",
    "quotes_by_change": "Whether only quotes that change the book were kept.",
    "quote_size_unit": "Unit of the stored quote sizes: `lots` or `shares`.",
    "sip_trade_lag_ms": "Time by which trades were moved back before they were joined to quotes.",
}
_STATES: Final = {
    "normal_share": "Time with a bid below the ask, of the segment.",
    "locked_share": "Time with the bid at the ask.",
    "crossed_share": "Time with the bid above the ask.",
    "one_sided_share": "Time with a bid or an ask only.",
    "empty_share": "Time with neither bid nor ask.",
    "none_share": "Time before the first quote that is stored.",
}
_SPREAD: Final = {
    "mean": "Quoted spread, mean over the time with a normal book.",
    "median": "Quoted spread, median over the time with a normal book.",
    "p95": "Quoted spread that is exceeded 5 % of the time with a normal book.",
}
_BOOK: Final = {
    **_STATES,
    **{f"spread_{unit}_{name}": text for unit in ("usd", "bps") for name, text in _SPREAD.items()},
    "spread_bps_at_end": "Quoted spread at the end of the segment; null unless the book is normal then.",
    "stale_share": "Time in which the book had not changed for 10 seconds.",
    "depth_bid_usd_mean": "Dollars at the best bid, mean over the time with a normal book.",
    "depth_ask_usd_mean": "Dollars at the best ask, mean over the time with a normal book.",
    "depth_imbalance_mean": "Bid size minus ask size over their sum, mean over the time with a normal book.",
}
_SIGNS: Final = {
    "signed_by_quote_share": "Signable trades whose sign comes from the quote (Lee-Ready), not from the tick rule.",
    "unsigned_share": "Signable trades without a sign.",
    "sign_agreement_share": "Signable trades on whose sign Lee-Ready, EMO and CLNV agree.",
    "imbalance_shares": "Shares bought minus sold over their sum, by the aggressor; null where nothing is signed.",
    "imbalance_dollars": "Dollars bought minus sold over their sum.",
    "imbalance_count": "Trades bought minus sold over their sum.",
    "imbalance_shares_lit": "The same of shares on exchanges.",
    "imbalance_shares_trf": "The same of shares off exchange.",
    "buy_share": "Shares bought of all signed shares.",
    "net_buy_usd": "Dollars bought minus dollars sold.",
    "effective_spread_bps": "Twice the distance of trades from the middle of the book, weighted by dollars.",
    "effective_spread_usd": "The same in dollars, weighted by shares.",
    "effective_spread_signed_bps": "The same with the sign of the trade: negative where it was better than the middle.",
    "n_effective": "Signable trades that met a normal book.",
    "inside_share": "Of these, trades strictly between bid and ask.",
    "outside_share": "Of these, trades below the bid or above the ask.",
    "quote_age_ms_median": "Age of the quote in force at a trade, median.",
}
_REALIZED: Final = {
    name: text
    for h in HORIZONS
    for name, text in {
        f"realized_spread_{h}_bps": f"Effective spread that is left {h} s later: what the other side earned.",
        f"price_impact_{h}_bps": f"Move of the middle of the book in the direction of the trade within {h} s, twice.",
        f"n_realized_{h}": f"Trades of these two figures: their {h} s end within the segment.",
    }.items()
}
_FLOW: Final = {
    "trades": "Trades that count in volume.",
    "volume_shares": "Their shares.",
    "dollar_volume_usd": "Their dollars.",
    "trades_per_s": "Their number per second.",
    "peak_trades_1s": "Most trades in one second.",
    "peak_trades_10s": "Most trades in ten seconds.",
    "active_seconds_share": "Seconds with a trade, of all.",
    "speed_x": "Trades per second over those of the three minutes before the event; `bar` and `m5` only.",
    "duration_ms_mean": "Time between one trade and the next, mean.",
    "duration_ms_median": "Time between one trade and the next, median.",
    "duration_cv": "Standard deviation of these times over their mean.",
    "same_time_share": "Of these times, those that are zero.",
    "longest_gap_s": "Longest time without a trade, the bounds of the segment counting as trades.",
    "large_prints": "Trades of research.large_print_usd and more.",
    "large_print_volume_share": "Their shares, of all.",
    "special_volume_share": "Shares that are not signable, such as auctions and derivatively priced trades.",
    "odd_lot_trade_share": "Trades below a round lot, of all.",
    "trf_trade_share": "Trades off exchange, of all.",
    "odd_lot_volume_share": "Shares in odd lots, of all.",
    "trf_volume_share": "Shares off exchange, of all.",
    "sweep_volume_share": "Shares of intermarket sweeps, of all.",
    "fractional_volume_share": "Shares of trades whose size is not whole, of all.",
    "unknown_condition_trades": "Trades with a condition that the table of conditions lacks; they count nowhere else.",
}
_MODELS: Final = {
    "ofi_shares": "Order flow imbalance of the book at the points of the grid (Cont, Kukanov, Stoikov).",
    "ofi_over_depth": "The same over the mean depth.",
    "ofi_breaks": "Points of the grid that were left out, since the book was not normal.",
    "kyle_lambda_bps_per_10k_usd": "Move of the price per 10,000 dollars of net buying (Kyle), over seconds.",
    "kyle_r2": "Share of the variance that this explains.",
    "kyle_n": "Seconds of this regression.",
    "rv_5s": "Realized variance: sum of squared log returns over 5 s.",
    "rv_n": "Their number.",
    "volatility_bps_per_sqrt_min": "Its square root, per square root of a minute.",
}
_ORDERS: Final = {
    name: text
    for usd in ORDERS_USD
    for name, text in {
        f"book_covers_{usd}": f"Whether the best quote at the end of the minute takes an order of {usd:,} dollars.",
        f"slippage_book_{usd}_bps": f"Cost of {usd:,} dollars against the middle of the book; null where it does not.",
        f"slippage_vwap_{usd}_bps": f"Cost of {usd:,} dollars as a tenth of what trades afterwards.",
        f"fill_seconds_{usd}": "How long that takes.",
    }.items()
}
MICRO_TEXTS: Final[Mapping[str, str]] = {**_CAPTURE, **_BOOK, **_SIGNS, **_REALIZED, **_FLOW, **_MODELS, **_ORDERS}

_OF_MINUTE: Final = {
    "open": "First price of the minute",
    "high": "Highest price of the minute",
    "low": "Lowest price of the minute",
    "close": "Last price of the minute",
    "volume": "Shares of the minute",
    "transactions": "Trades of the minute",
    "vwap": "Volume-weighted price of the minute, never compared",
}
RECONCILIATION_TEXTS: Final[Mapping[str, str]] = {
    "symbol": COLUMNS["symbol"],
    "timestamp": "UTC. Start of the minute.",
    "class": "How the stored bar and the one rebuilt from trades differ; `exact`: they do not.",
    **{f"bar_{name}": f"{text}, as stored." for name, text in _OF_MINUTE.items()},
    **{f"tape_{name}": f"{text}, rebuilt from trades." for name, text in _OF_MINUTE.items()},
    **{f"d{name}_bps": f"Stored {name} over the rebuilt one, minus 1." for name in ("open", "high", "low", "close")},
    "dvolume": "Stored minus rebuilt shares.",
    "dtransactions": "Stored minus rebuilt trades.",
}
EVENT_RECONCILIATION_TEXTS: Final[Mapping[str, str]] = {
    "event_id": COLUMNS["event_id"],
    "reconciled_share": "Minutes of the window whose bar and trades agree, of those with either.",
    "worst_class": "Last class of its minutes, in the order of section 2; `exact`, `no_trades_no_bar`: none differs.",
    "event_bar_class": "The difference in the event's own minute; null where no published trades hold it.",
}
TAPE_STATE_TEXTS: Final[Mapping[str, str]] = {
    "event_id": COLUMNS["event_id"],
    "in_halt_aftermath": "Whether a halt ended in the ten minutes up to the event; false only where the window reaches "
    "20 minutes back, else null.",
    "halt_in_window": "Whether a halt that minute bars show meets the window.",
    "ssr_condition": "Whether a trade before the event is known carries the mark of the short sale restriction.",
}
TAPE_HALT_TEXTS: Final[Mapping[str, str]] = {
    **HALT_TEXTS,
    "start": "UTC. Last trade before the halt.",
    "end": "UTC. First trade after the halt, or the end of the window or of regular hours.",
}
