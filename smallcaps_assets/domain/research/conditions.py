"""What a trade counts for, by the vendor's conditions of it (the research specification, 0.5)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.prices import BoolArray, zero_filled
from smallcaps_assets.errors import InputError

# The columns of the vendor's table of trade conditions that the rules use.
CONDITION_RULES: Final = pl.Schema(
    {
        "id": pl.Int64(),
        "updates_high_low": pl.Boolean(),
        "updates_open_close": pl.Boolean(),
        "updates_volume": pl.Boolean(),
    }
)

_FORM_T: Final = 12
SWEEP: Final = 14
# corrections that are messages about a trade, not trades
MESSAGES: Final = (10, 11, 12)

# Bits of a trade, each true where all of its condition ids allow it. Those of prices leave Form T out.
_VOLUME, _HIGH_LOW, _OPEN_CLOSE, _KNOWN, _MARKET, _CONTINUOUS, _NOT_FORM_T, _NOT_SWEEP = (1 << bit for bit in range(8))
_ALL: Final = 255
_Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TradeSets:
    """To which sets each trade belongs: one Boolean array per set.

    Attributes:
        volume: V, counted in volume.
        high_low: HL, may set a high or low.
        open_close: OC, may set an open or close.
        executions: X, executed at a price of the market.
        signable: G, executed outside auctions, so that one side was the aggressor.
        unknown: not a message, and with an id that the table lacks.
        sweep: intermarket sweep.
    """

    volume: BoolArray
    high_low: BoolArray
    open_close: BoolArray
    executions: BoolArray
    signable: BoolArray
    unknown: BoolArray
    sweep: BoolArray


def trade_sets(
    trades: pl.DataFrame, rules: pl.DataFrame, regular_hours: pl.DataFrame, params: ResearchParams
) -> TradeSets:
    """The sets of `trades` (timestamp, price, size, conditions, optional correction), in their order.

    Args:
        trades: rows of tape; null price or size counts as 0.
        rules: CONDITION_RULES, one row per id; a rule that is null allows.
        regular_hours: regular_open and regular_close (UTC) of the dates of the trades.
        params: ids that are no price of the market, and those of auctions.

    Raises:
        InputError: an id of `rules` is null or repeated.
    """
    bits = _bits_of(trades["conditions"], _bits_by_id(rules, params))

    def allowed(bit: int) -> BoolArray:
        return np.asarray((bits & bit) != 0)

    corrections = trades["correction"] if "correction" in trades.columns else None
    kept: BoolArray = np.ones(trades.height, np.bool_)
    if corrections is not None and corrections.null_count() < trades.height:
        kept = ~corrections.is_in(MESSAGES).fill_null(value=False).to_numpy()
    prices, sizes = zero_filled(trades["price"]), zero_filled(trades["size"])
    known, priced = allowed(_KNOWN), kept & (prices > 0)
    form_t_in_regular_hours = ~allowed(_NOT_FORM_T)
    late = np.flatnonzero(form_t_in_regular_hours)
    form_t_in_regular_hours[late] = _in_regular_hours(trades["timestamp"].gather(late), regular_hours)
    sets_price = priced & known & ~form_t_in_regular_hours
    volume = allowed(_VOLUME) & known & priced & (sizes > 0)
    executions = volume & allowed(_MARKET) & ~form_t_in_regular_hours
    return TradeSets(
        volume=volume,
        high_low=sets_price & allowed(_HIGH_LOW),
        open_close=sets_price & allowed(_OPEN_CLOSE),
        executions=executions,
        signable=executions & allowed(_CONTINUOUS),
        unknown=kept & ~known,
        sweep=~allowed(_NOT_SWEEP),
    )


def _bits_by_id(rules: pl.DataFrame, params: ResearchParams) -> _Bits:
    """The bits of the ids 0, 1, ...; the last element is that of an id that the table lacks."""
    ids = rules["id"]
    repeated = ids.filter(ids.is_duplicated()).unique().to_list()
    if ids.has_nulls() or repeated:
        raise InputError(
            f"trade conditions: column id must hold each id once, found {'a null' if ids.has_nulls() else repeated}; "
            "remove the repeated rows."
        )
    highest = max([0, *ids])
    table = np.full(highest + 2, _ALL ^ _KNOWN, np.uint8)
    listed = rules.filter(pl.col("id") >= 0).with_columns(pl.col(pl.Boolean).fill_null(value=True))
    at = listed["id"].to_numpy()
    table[at] |= _KNOWN
    form_t = at == _FORM_T
    for name, bit in (
        ("updates_volume", _VOLUME),
        ("updates_high_low", _HIGH_LOW),
        ("updates_open_close", _OPEN_CLOSE),
    ):
        allows = listed[name].to_numpy() | (form_t & (bit != _VOLUME))
        table[at[~allows]] &= _ALL ^ bit
    for ids_of_set, bit in (
        (params.not_a_market_price, _MARKET),
        (params.auction, _CONTINUOUS),
        ((_FORM_T,), _NOT_FORM_T),
        ((SWEEP,), _NOT_SWEEP),
    ):
        table[[one for one in ids_of_set if 0 <= one <= highest]] &= _ALL ^ bit
    return table


def _bits_of(conditions: pl.Series, by_id: _Bits) -> _Bits:
    """The bits that all ids of each trade allow; all bits without ids. A null id counts as unknown."""
    counts = conditions.list.len().fill_null(0).to_numpy()
    ids = conditions.explode(empty_as_null=False, keep_nulls=False).cast(pl.Int64).fill_null(-1).to_numpy()
    unknown = len(by_id) - 1
    allowed = by_id[np.where((ids < 0) | (ids > unknown), unknown, ids)]
    bits = np.full(len(counts), _ALL, np.uint8)
    has_ids = counts > 0
    if len(ids):
        firsts = np.cumsum(counts, dtype=np.int64) - counts
        bits[has_ids] = np.bitwise_and.reduceat(allowed, firsts[has_ids])
    return bits


def _in_regular_hours(timestamps: pl.Series, regular_hours: pl.DataFrame) -> BoolArray:
    """Whether the whole minute of each timestamp lies in regular hours."""
    minutes = timestamps.dt.truncate("1m").cast(pl.Datetime("us", "UTC")).to_physical().to_numpy()
    bounds = regular_hours.select("regular_open", "regular_close").sort("regular_open").unique(maintain_order=True)
    moments = bounds.select(pl.all().cast(pl.Datetime("us", "UTC")).to_physical()).to_numpy().ravel()
    return np.asarray(moments.searchsorted(minutes, side="right") % 2 == 1)
