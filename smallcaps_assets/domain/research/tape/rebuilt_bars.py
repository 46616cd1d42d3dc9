"""Minute bars rebuilt from trades (research specification, section 2)."""

from collections.abc import Collection
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from smallcaps_assets.domain.research.tape.conditions import CANCELLED, MESSAGES, TradeParams, with_trade_sets

_Flags = npt.NDArray[np.bool_]
_Starts = npt.NDArray[np.intp]
# Bars rebuilt from trades, one row per symbol and minute that has an open and a high.
REBUILT_COLUMNS: Final = ("open", "high", "low", "close", "volume", "transactions", "vwap")


def rebuild_bars(
    trades: pl.DataFrame,
    conditions: pl.DataFrame,
    params: TradeParams,
    *,
    dropped: Collection[int] = MESSAGES + CANCELLED,
    exchange_form_t: bool = False,
) -> pl.DataFrame:
    """One row per minute whose trades make a bar: `minute_id`, and `tape_` with each of REBUILT_COLUMNS.

    Open and close are the first and last prices that count for them in the order of the tape, high and low those that
    count for them; volume, transactions and vwap are over all trades that count for volume.

    Args:
        trades: columns of `with_trade_sets`, and `minute_id`, by which they are sorted, each minute in stored order.
        conditions: CONDITION_RULES.
        params: ids that matter beyond the rules; they do not matter here.
        dropped: values of `correction` of rows that are left out.
        exchange_form_t: exchange the rules of Form T for RTH and for other minutes.
    """
    if trades.is_empty():
        return _frame(np.empty(0, dtype=np.uint32), {})
    rows = with_trade_sets(trades, conditions, params, dropped=dropped, exchange_form_t=exchange_form_t)
    minute = rows["minute_id"].to_numpy()
    starts = np.flatnonzero(np.append(True, minute[1:] != minute[:-1]))
    in_v, in_hl, in_oc = (rows[name].to_numpy() for name in ("in_v", "in_hl", "in_oc"))
    price = rows["price"].fill_null(0).to_numpy()
    size = np.where(in_v, rows["size"].fill_null(0).to_numpy(), 0.0)
    place = np.arange(len(price))
    first = np.minimum.reduceat(np.where(in_oc, place, len(price)), starts)
    last = np.maximum.reduceat(np.where(in_oc, place, -1), starts)
    volume = np.add.reduceat(size, starts)
    dollars = np.add.reduceat(size * price, starts)
    columns = {
        "high": np.maximum.reduceat(np.where(in_hl, price, -np.inf), starts),
        "low": np.minimum.reduceat(np.where(in_hl, price, np.inf), starts),
        "volume": volume,
        "transactions": np.add.reduceat(in_v.astype(np.int64), starts),
        "vwap": np.divide(dollars, volume, out=np.full(len(starts), np.nan), where=volume > 0),
    }
    is_bar = (last >= 0) & np.isfinite(columns["high"])
    found = {name: column[is_bar] for name, column in columns.items()}
    found |= {"open": price[first[is_bar]], "close": price[last[is_bar]]}
    return _frame(minute[starts[is_bar]], found)


def _frame(minute: npt.NDArray[np.uint32], columns: dict[str, npt.NDArray[np.float64]]) -> pl.DataFrame:
    empty = np.empty(0)
    typed = {
        f"tape_{name}": pl.Series(
            columns.get(name, empty), dtype=pl.Int64 if name == "transactions" else pl.Float64, strict=False
        )
        for name in REBUILT_COLUMNS
    }
    return pl.DataFrame({"minute_id": pl.Series(minute, dtype=pl.UInt32), **typed}).with_columns(
        pl.col("tape_vwap").fill_nan(None)
    )
