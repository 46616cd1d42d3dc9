"""The columns of `micro_features`: type, unit, when they are known, and which half of the tape they come from."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.columns import ResearchColumn, TapeHalf
from smallcaps_assets.domain.research.micro.figures.slippage import ORDERS_USD
from smallcaps_assets.domain.research.micro.figures.spreads import HORIZONS
from smallcaps_assets.domain.tables import UTC_US

_FLOAT: Final = pl.Float64()
_COUNT: Final = pl.Int64()


def _keys() -> list[ResearchColumn]:
    columns = {
        "event_id": (pl.String(), ""),
        "segment": (pl.String(), ""),
        "available_at": (UTC_US, ""),
        "seconds": (_FLOAT, "s"),
        "session": (pl.String(), ""),
        "crosses_session": (pl.Boolean(), ""),
        "capture_state": (pl.String(), ""),
        "corrections_known": (pl.Boolean(), ""),
        "quotes_hz": (_FLOAT, "Hz"),
        "quotes_by_change": (pl.Boolean(), ""),
        "quote_size_unit": (pl.String(), ""),
        "sip_trade_lag_ms": (_COUNT, "ms"),
    }
    return [ResearchColumn(name, dtype, unit, "key", "none") for name, (dtype, unit) in columns.items()]


def _measures(half: TapeHalf, unit: str, *names: str, dtype: pl.DataType = _FLOAT) -> list[ResearchColumn]:
    return [ResearchColumn(name, dtype, unit, "seg", half) for name in names]


def _of_book() -> list[ResearchColumn]:
    states = ("normal", "locked", "crossed", "one_sided", "empty", "none")
    return [
        *_measures("quotes", "share of time", *(f"{state}_share" for state in states)),
        *_measures("quotes", "USD", *(f"spread_usd_{figure}" for figure in ("mean", "median", "p95"))),
        *_measures("quotes", "bps", *(f"spread_bps_{figure}" for figure in ("mean", "median", "p95", "at_end"))),
        *_measures("quotes", "share of time", "stale_share"),
        *_measures("quotes", "USD", "depth_bid_usd_mean", "depth_ask_usd_mean"),
        *_measures("quotes", "ratio", "depth_imbalance_mean"),
    ]


def _of_signs() -> list[ResearchColumn]:
    shares = ("signed_by_quote_share", "unsigned_share", "sign_agreement_share")
    imbalances = ("shares", "dollars", "count", "shares_lit", "shares_trf")
    return [
        *_measures("both", "share of trades", *shares),
        *_measures("both", "ratio", *(f"imbalance_{name}" for name in imbalances)),
        *_measures("both", "share of shares", "buy_share"),
        *_measures("both", "USD", "net_buy_usd"),
        *_measures("both", "bps", "effective_spread_bps"),
        *_measures("both", "USD", "effective_spread_usd"),
        *_measures("both", "bps", "effective_spread_signed_bps"),
        *_measures("both", "trades", "n_effective", dtype=_COUNT),
        *_measures("both", "share of trades", "inside_share", "outside_share"),
        *_measures(
            "both", "bps", *(f"{name}_{h}_bps" for h in HORIZONS for name in ("realized_spread", "price_impact"))
        ),
        *_measures("both", "trades", *(f"n_realized_{h}" for h in HORIZONS), dtype=_COUNT),
    ]


def _of_flow() -> list[ResearchColumn]:
    volume_shares = ("large_print_volume_share", "special_volume_share")
    return [
        *_measures("trades", "trades", "trades", dtype=_COUNT),
        *_measures("trades", "shares", "volume_shares"),
        *_measures("trades", "USD", "dollar_volume_usd"),
        *_measures("trades", "trades/s", "trades_per_s"),
        *_measures("trades", "trades", "peak_trades_1s", "peak_trades_10s", dtype=_COUNT),
        *_measures("trades", "share of time", "active_seconds_share"),
        *_measures("trades", "ratio", "speed_x"),
        *_measures("trades", "ms", "duration_ms_mean", "duration_ms_median"),
        *_measures("trades", "ratio", "duration_cv"),
        *_measures("trades", "share of durations", "same_time_share"),
        *_measures("trades", "s", "longest_gap_s"),
        *_measures("trades", "trades", "large_prints", dtype=_COUNT),
        *_measures("trades", "share of shares", *volume_shares),
        *_measures("trades", "share of trades", "odd_lot_trade_share", "trf_trade_share"),
        *_measures(
            "trades",
            "share of shares",
            *(f"{name}_volume_share" for name in ("odd_lot", "trf", "sweep", "fractional")),
        ),
    ]


def _of_models() -> list[ResearchColumn]:
    return [
        *_measures("quotes", "shares", "ofi_shares"),
        *_measures("quotes", "ratio", "ofi_over_depth"),
        *_measures("quotes", "points", "ofi_breaks", dtype=_COUNT),
        *_measures("both", "bps per 10,000 USD", "kyle_lambda_bps_per_10k_usd"),
        *_measures("both", "ratio", "kyle_r2"),
        *_measures("both", "buckets", "kyle_n", dtype=_COUNT),
        *_measures("quotes", "squared log return", "rv_5s"),
        *_measures("quotes", "returns", "rv_n", dtype=_COUNT),
        *_measures("quotes", "bps per square root of a minute", "volatility_bps_per_sqrt_min"),
        *_measures("quotes", "", *(f"book_covers_{usd}" for usd in ORDERS_USD), dtype=pl.Boolean()),
        *_measures("quotes", "bps", *(f"slippage_book_{usd}_bps" for usd in ORDERS_USD)),
        *_measures("both", "bps", *(f"slippage_vwap_{usd}_bps" for usd in ORDERS_USD)),
        *_measures("both", "s", *(f"fill_seconds_{usd}" for usd in ORDERS_USD)),
        *_measures("both", "ms", "quote_age_ms_median"),
        *_measures("trades", "trades", "unknown_condition_trades", dtype=_COUNT),
    ]


MICRO_COLUMNS: Final = (*_keys(), *_of_book(), *_of_signs(), *_of_flow(), *_of_models())
MICRO_FEATURES: Final = pl.Schema({column.name: column.dtype for column in MICRO_COLUMNS})

# What is known of each event and its capture: the input beside the tape.
MICRO_WINDOWS: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "span": pl.Int64(),
        "timestamp": UTC_US,
        "direction": pl.String(),
        "window_before_min": pl.Int64(),
        "window_after_min": pl.Int64(),
        "trades_state": pl.String(),
        "quotes_state": pl.String(),
        "corrections_known": pl.Boolean(),
        "quotes_hz": pl.Float64(),
        "quotes_hz_after": pl.Float64(),
        "quotes_by_change": pl.Boolean(),
        "quote_size_unit": pl.String(),
    }
)
# states in which a half of the tape is known, if only to be empty
CAPTURED_STATES: Final = ("complete", "empty")
