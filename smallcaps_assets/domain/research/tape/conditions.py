"""What a trade counts for by its condition ids (research specification, section 0.5)."""

from collections.abc import Collection, Iterable
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from smallcaps_assets.domain.bars.unknown import LEAST_PRICE_USD
from smallcaps_assets.domain.params import Params

# The columns of the vendor's table that are read here: one row per id. A rule that is null is true.
CONDITION_RULES: Final = pl.Schema(
    {
        "id": pl.Int64(),
        "updates_high_low": pl.Boolean(),
        "updates_open_close": pl.Boolean(),
        "updates_volume": pl.Boolean(),
    }
)
# Form T: traded outside regular hours. Its high/low and open/close rules depend on the minute, not on the table.
FORM_T_ID: Final = 12
# Intermarket sweep order.
SWEEP_ID: Final = 14
# Values of `correction`: messages about trades, which are no trades, and trades that the vendor marked as cancelled.
MESSAGES: Final = (10, 11, 12)
CANCELLED: Final = (7, 8)
# The columns that `with_trade_sets` adds.
TRADE_SETS: Final = ("in_v", "in_hl", "in_oc", "in_x", "in_g", "has_unknown", "is_sweep")

# What an id takes from a trade; a trade has the bits of all its ids.
_NO_VOLUME, _NO_HIGH_LOW, _NO_OPEN_CLOSE, _UNKNOWN, _NO_MARKET_PRICE, _AUCTION, _FORM_T, _SWEEP = (
    1 << bit for bit in range(8)
)


# ids, given as a list in YAML
ConditionIds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)]


class TradeParams(Params):
    """Ids that make a trade no execution or no signable one. Fields are keys of `research:`."""

    not_a_market_price: ConditionIds = (2, 4, 5, 7, 10, 13, 20, 21, 22, 29, 30, 31, 32, 33, 52, 53)
    auction: ConditionIds = (8, 9, 15, 16, 17, 18, 19, 25, 28, 38, 55)


def is_regular(timestamp: pl.Expr, regular_open: pl.Expr, regular_close: pl.Expr) -> pl.Expr:
    """Whether the whole minute of a timestamp lies in RTH, whose bounds are given (UTC)."""
    minute = timestamp.dt.truncate("1m")
    return (minute >= regular_open) & (minute < regular_close)


def with_trade_sets(
    trades: pl.DataFrame,
    conditions: pl.DataFrame,
    params: TradeParams,
    *,
    dropped: Collection[int] = MESSAGES,
    exchange_form_t: bool = False,
) -> pl.DataFrame:
    """`trades` with the Boolean columns of TRADE_SETS, none of them null.

    `in_v` counts for volume, `in_hl` for high and low, `in_oc` for open and close; `in_x` is an execution at a market
    price, `in_g` one with an aggressor, which can be signed. `has_unknown`: an id is not in the table, and `correction`
    is none of `dropped`. `is_sweep`: an id says so, whatever set the trade is in.

    Args:
        trades: price, size, conditions (List(Int64); null is no ids), Boolean `regular` (see `is_regular`), and
            `correction` if it is known.
        conditions: CONDITION_RULES; more columns are ignored.
        params: ids that matter beyond the rules.
        dropped: values of `correction` of rows that are in no set. Reconciliation drops CANCELLED too; features and
            market state do not, because a cancellation is written into the old row later.
        exchange_form_t: exchange the rules of Form T for RTH and for other minutes.
    """
    found = _bits_of_trades(trades["conditions"], conditions, params)
    regular = trades["regular"].to_numpy()
    form_t = (found & _FORM_T) != 0
    silent = form_t & (~regular if exchange_form_t else regular)
    is_trade = ~_is_in(trades, dropped)
    # above 0 in micro-dollars
    has_price = is_trade & (trades["price"] >= LEAST_PRICE_USD).fill_null(value=False).to_numpy()
    in_v = has_price & (trades["size"] > 0).fill_null(value=False).to_numpy() & ((found & _NO_VOLUME) == 0)
    in_x = in_v & ((found & _NO_MARKET_PRICE) == 0) & ~(form_t & regular)
    columns = {
        "in_v": in_v,
        "in_hl": has_price & ((found & _NO_HIGH_LOW) == 0) & ~silent,
        "in_oc": has_price & ((found & _NO_OPEN_CLOSE) == 0) & ~silent,
        "in_x": in_x,
        "in_g": in_x & ((found & _AUCTION) == 0),
        "has_unknown": is_trade & ((found & _UNKNOWN) != 0),
        "is_sweep": (found & _SWEEP) != 0,
    }
    return trades.with_columns(pl.Series(name, columns[name], dtype=pl.Boolean) for name in TRADE_SETS)


def carries(conditions: pl.Series, ids: Iterable[int]) -> pl.Series:
    """Whether each list of ids holds one of `ids`; false where it is null."""
    wanted = sorted(ids)
    table = np.zeros(1 + max(wanted, default=0), dtype=np.uint8)
    table[wanted] = 1
    return pl.Series(conditions.name, _or_of_lists(conditions, table, other=0) != 0)


def _bits_of_trades(ids: pl.Series, conditions: pl.DataFrame, params: TradeParams) -> npt.NDArray[np.uint8]:
    """The bits of all ids of each trade."""
    closed = _NO_VOLUME | _NO_HIGH_LOW | _NO_OPEN_CLOSE | _UNKNOWN
    listed = conditions.filter(pl.col("id") >= 0)
    named = [*listed["id"], *params.not_a_market_price, *params.auction, FORM_T_ID, SWEEP_ID]
    table = np.full(max(named) + 1, closed, dtype=np.uint8)
    rules = listed.select(
        (~pl.col(rule).fill_null(value=True)).cast(pl.UInt8) * bit
        for rule, bit in (
            ("updates_volume", _NO_VOLUME),
            ("updates_high_low", _NO_HIGH_LOW),
            ("updates_open_close", _NO_OPEN_CLOSE),
        )
    )
    table[listed["id"].to_numpy()] = rules.sum_horizontal().to_numpy() if listed.height else 0
    if not table[FORM_T_ID] & _UNKNOWN:
        table[FORM_T_ID] &= _NO_VOLUME
    table[FORM_T_ID] |= _FORM_T
    table[SWEEP_ID] |= _SWEEP
    table[list(params.not_a_market_price)] |= _NO_MARKET_PRICE
    table[list(params.auction)] |= _AUCTION
    return _or_of_lists(ids, table, other=closed)


def _or_of_lists(lists: pl.Series, table: npt.NDArray[np.uint8], other: int) -> npt.NDArray[np.uint8]:
    """The bits of `table` of all ids of each list; an id beyond the table has those of `other`. Nulls have none."""
    lengths = lists.list.len().fill_null(0).to_numpy()
    each = lists.explode(empty_as_null=False, keep_nulls=False)
    ids = each.fill_null(0).to_numpy()
    if not len(ids) or (ids.min() >= 0 and ids.max() < len(table)):
        bits = table.take(ids)
    else:
        inside = (ids >= 0) & (ids < len(table))
        bits = np.where(inside, table.take(np.where(inside, ids, 0)), np.uint8(other))
    if each.has_nulls():
        bits = np.where(each.is_null().to_numpy(), np.uint8(0), bits)
    found: npt.NDArray[np.uint8] = np.zeros(len(lists), dtype=np.uint8)
    filled = lengths > 0
    if bits.size:
        starts = np.cumsum(lengths[filled]) - lengths[filled]
        found[filled] = np.bitwise_or.reduceat(bits, starts.astype(np.intp))
    return found


def _is_in(trades: pl.DataFrame, corrections: Collection[int]) -> npt.NDArray[Any]:
    """Whether `correction` is one of `corrections`; false where it is null or there is no such column."""
    if "correction" not in trades.columns:
        return np.zeros(trades.height, dtype=np.bool_)
    values = pl.Series(sorted(corrections), dtype=pl.Int64)
    return trades["correction"].is_in(values.implode()).fill_null(value=False).to_numpy()
