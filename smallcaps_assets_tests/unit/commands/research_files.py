"""The files of `smallcaps research` as its contract names them, and a small market for it."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

# keys, then columns; s String, i Int64, b Boolean, ts and ns times; without a mark Float64; {a,b}: one column of each
CONTRACT: Final = {
    "micro_features": """event_id s, segment s, available_at ts, seconds, session s, crosses_session b,
        capture_state s, corrections_known b, quotes_hz, quotes_by_change b, quote_size_unit s, sip_trade_lag_ms i,
        {normal,locked,crossed,one_sided,empty,none}_share, spread_{usd,bps}_{mean,median,p95}, spread_bps_at_end,
        stale_share, depth_{bid_usd,ask_usd,imbalance}_mean, signed_by_quote_share, unsigned_share,
        sign_agreement_share, imbalance_{shares,dollars,count,shares_lit,shares_trf}, buy_share, net_buy_usd,
        effective_spread_{bps,usd,signed_bps}, n_effective i, inside_share, outside_share,
        {realized_spread,price_impact}_{5,30}_bps, n_realized_{5,30} i, trades i, volume_shares, dollar_volume_usd,
        trades_per_s, peak_trades_{1s,10s} i, active_seconds_share, speed_x, duration_ms_{mean,median}, duration_cv,
        same_time_share, longest_gap_s, large_prints i, large_print_volume_share, special_volume_share,
        odd_lot_{trade,volume}_share, trf_{trade,volume}_share, sweep_volume_share, fractional_volume_share,
        ofi_shares, ofi_over_depth, ofi_breaks i, kyle_lambda_bps_per_10k_usd, kyle_r2, kyle_n i, rv_5s, rv_n i,
        volatility_bps_per_sqrt_min, book_covers_{1000,5000,25000} b, slippage_book_{1000,5000,25000}_bps,
        slippage_vwap_{1000,5000,25000}_bps, fill_seconds_{1000,5000,25000}, quote_age_ms_median,
        unknown_condition_trades i""",
    "bar_reconciliation": """symbol s, timestamp ts, class s, {bar,tape}_{open,high,low,close,volume,vwap},
        {bar,tape}_transactions i, d{open,high,low,close}_bps, dvolume, dtransactions i""",
    "event_bar_features": """event_id s, close, ln_dollar_volume_to_event, minutes_from_open, minutes_to_close,
        return_from_prior_close, gap_return, return_1, return_5, return_15, return_30, return_15min, range_position,
        distance_day_high, distance_vwap, body_share, close_location, bar_atr, flatness_score, parkinson_20,
        rvol_to_time, amihud_20, minutes_since_last_bar, average_trade_usd, edge_spread_bps_60, prior_day_return,
        prior_day_range, minutes_since_last_event, velocity_pre_5, acceleration_pre_5, minutes_since_halt,
        float_turnover, split_ratio, in_causal_sample b, ssr_at_event b, ssr_source s, halts_known_at_event b,
        weekday i, bars_last_30min i, event_number_in_day i, events_last_5min i, days_since_last_event i,
        split_on_date b, days_since_split i, reverse_split b, score_percentile, score_robust_z, score_n i""",
    "event_waves": """event_id s, leg i, direction s, start_at ts, start_price, end_at ts, end_price, return,
        duration_s, volume, retracement, confirmed_at ts""",
    "event_labels": """event_id s, label_spec s, date s, t0 ts, state s, entry_at ts, entry, scale, label i,
        exit_price, exit_bar_end ts, t1 ts, tie b, gap b, gross_return, crosses_session b, halt_in_label b,
        {return,stale_min}_{1,5,15,30,60,close}, uniqueness, concurrent_max i, cost_bps, cost_source s, net_return,
        win b""",
    "market_state_day": """symbol s, date s, prior_close, ssr_triggered b, halts_known b, halts i, split_on_date b,
        days_since_split i, split_ratio, reverse_split b""",
    "halts": "symbol s, confidence i, event_id s, start ns, date s, end ns, seconds, n5 i",
    "cohorts": """as_of dt, label_spec s, selection s, cohort_id s, level s, n i, n_days i, n_symbols i,
        max_symbol_share, effective_n, win_rate, wilson_{lo,hi,eff_lo,eff_hi}, mean, median, p05, p95, se, t, p,
        share_up, share_down, tie_share, mean_mfe_15, cost_bps_median, halt_share, no_entry_share, confirm_n i,
        confirm_mean, flatness_b1, flatness_b2, q_value, tested i, winning b""",
    "events_with_waves_enriched": """event_id s, in_master b, theta, theta_default b, wave_horizon_s,
        path_ambiguous_bars i, legs i, confirmed_legs i, first_leg_direction s, first_leg_return, first_leg_s,
        first_pullback, velocity_{1,5,10}_bps_per_min, acceleration_10_bps_per_min2, velocity_pre_5,
        acceleration_pre_5, {mfe,mae}_{5,15,30,60}_bps, minutes_to_{mfe,mae}_{5,15,30,60},
        mfe_before_mae_{5,15,30,60} b, outcome s, score_percentile, score_robust_z, score_n i, reconciled_share,
        worst_class s, event_bar_class s, in_halt_aftermath b, halt_in_window b, ssr_condition b""",
}
_TYPES: Final = {
    "": pl.Float64(),
    "s": pl.String(),
    "i": pl.Int64(),
    "b": pl.Boolean(),
    "dt": pl.Date(),
    "ts": pl.Datetime("us", "UTC"),
    "ns": pl.Datetime("ns", "UTC"),
}


def contract_columns(file: str) -> dict[str, pl.DataType]:
    """The columns of a file by the contract."""
    columns = {}
    for entry in re.split(r",\s*(?![^{]*\})", CONTRACT[file]):
        name, _, mark = entry.strip().partition(" ")
        columns |= dict.fromkeys(_expand(name), _TYPES[mark])
    return columns


def _expand(name: str) -> list[str]:
    found = re.search(r"\{([^}]*)\}", name)
    if found is None:
        return [name]
    return [
        one for part in found[1].split(",") for one in _expand(f"{name[: found.start()]}{part}{name[found.end() :]}")
    ]


# 10:30 in New York, a Thursday after seven sessions
EVENT_AT: Final = datetime(2025, 6, 12, 14, 30, tzinfo=UTC)
_DAYS: Final = (3, 4, 5, 6, 9, 10, 11, 12)
RULES: Final = pl.DataFrame(
    {
        "id": [1, 12, 14, 37],
        "updates_high_low": [True, False, True, False],
        "updates_open_close": [True, False, True, False],
        "updates_volume": [True, True, True, True],
    }
)


def write_market(folder: Path) -> None:
    """Write events, bars, trades, quotes and conditions: two companies, tape of an hour around an event of each."""
    bars = pl.concat(_bars(symbol, seed) for seed, symbol in enumerate(("ABE", "ZED")))
    bars.write_parquet(folder / "bars.parquet")
    events = [_event(symbol, kind, EVENT_AT) for symbol in ("ABE", "ZED") for kind in ("volume_spike", "flush")]
    events.append(_event("ABE", "tape_speed", EVENT_AT - timedelta(days=1)))
    events.append(_event("NOBARS", "tape_speed", EVENT_AT))
    pl.DataFrame(events).write_parquet(folder / "events.parquet")
    tape = [_tape(symbol, seed) for seed, symbol in enumerate(("ABE", "ZED"))]
    pl.concat(trades for trades, _ in tape).write_parquet(folder / "trades.parquet")
    pl.concat(quotes for _, quotes in tape).write_parquet(folder / "quotes.parquet")
    RULES.write_parquet(folder / "conditions.parquet")


def _event(symbol: str, event_type: str, at: datetime) -> dict[str, object]:
    return {
        "event_id": f"{symbol}_{event_type}_{at:%Y%m%d_%H%M%S}",
        "symbol": symbol,
        "event_type": event_type,
        "timestamp": at,
        "direction": "down" if event_type == "flush" else "up",
        "score": 0.5,
    }


def _bars(symbol: str, seed: int) -> pl.DataFrame:
    """Bars of regular hours; every half hour one with ten times the volume that rises by 4 %."""
    numbers, days = np.random.default_rng(seed), []
    for day in _DAYS:
        minute = np.arange(390)
        spike = minute % 30 == 0
        close = 5 + 0.01 * np.cumsum(numbers.integers(-2, 3, 390)) + 0.2 * spike
        opened = np.append(close[0], close[:-1])
        start = datetime(2025, 6, day, 13, 30, tzinfo=UTC)
        days.append(
            pl.DataFrame(
                {
                    "symbol": symbol,
                    "timestamp": [start + timedelta(minutes=int(one)) for one in minute],
                    "open": opened,
                    "high": np.maximum(opened, close) + 0.02,
                    "low": np.minimum(opened, close) - 0.02,
                    "close": close,
                    "volume": np.where(spike, 60_000.0, 5_000.0) + numbers.integers(0, 100, 390),
                    "vwap": close,
                    "transactions": np.where(spike, 600, 60),
                }
            )
        )
    return pl.concat(days).filter(pl.col("timestamp") <= EVENT_AT + timedelta(minutes=60))


def _tape(symbol: str, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    numbers, size = np.random.default_rng(100 + seed), 3_000
    start_ns = int((EVENT_AT - timedelta(minutes=30)).timestamp()) * 1_000_000_000

    def times() -> pl.Series:
        ms = np.sort(numbers.integers(0, 3_600_000, size))
        return pl.Series(start_ns + ms * 1_000_000).cast(pl.Datetime("ns", "UTC"))

    mid = np.round(5 + 0.01 * np.cumsum(numbers.integers(-1, 2, size)), 2)
    quotes = pl.DataFrame(
        {
            "symbol": symbol,
            "timestamp": times(),
            "bid_price": mid - 0.01 * numbers.integers(0, 3, size),
            "bid_size": numbers.integers(0, 9, size).astype(float),
            "ask_price": mid + 0.01 * numbers.integers(0, 3, size),
            "ask_size": numbers.integers(0, 9, size).astype(float),
            "sequence_number": np.arange(size),
        }
    )
    ids = pl.Series([[], [14], [37], [12], [99], None], dtype=pl.List(pl.Int64))
    trades = pl.DataFrame(
        {
            "symbol": symbol,
            "timestamp": times(),
            "price": np.round(mid + 0.01 * numbers.integers(-2, 3, size), 2),
            "size": numbers.integers(1, 400, size).astype(float),
            "exchange": numbers.integers(3, 6, size),
            "conditions": ids.gather(numbers.choice(6, size, p=[0.5, 0.1, 0.2, 0.05, 0.05, 0.1])),
            "sequence_number": np.arange(size),
            "trade_id": [f"{number}" for number in range(size)],
        }
    )
    return trades, quotes
