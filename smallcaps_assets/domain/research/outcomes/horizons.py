"""Returns from the entry to fixed horizons (research specification, section 4.5)."""

from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.arrays import BoolArray, IntArray
from smallcaps_assets.domain.research.outcomes.bars_after import US_PER_MIN, BarsAfter
from smallcaps_assets.domain.research.outcomes.nulls import nullable

HORIZONS_MIN: Final = (1, 5, 15, 30, 60)
# the least age, in minutes, of a close that is too old for any horizon
_STALE_MIN: Final = 5


def horizon_columns(after: BarsAfter) -> dict[str, pl.Series]:
    """`return_h` and `stale_min_h` (Float64) for h of HORIZONS_MIN and `close`, one value per event.

    The return goes to the close of the last bar, from the entry bar on, that ends by the horizon; stale minutes are
    those from its end to the horizon. Both are null without an entry or such a bar; the return also where these minutes
    exceed 5 and half the horizon. That to the regular close may be of any age; nothing after an entry in after-hours
    ends by it.
    """
    found = dict[str, pl.Series]()
    for minutes in HORIZONS_MIN:
        limit = after.known_at + minutes * US_PER_MIN
        price, stale, exists = _close_by(after, limit)
        fresh = exists & (stale <= max(_STALE_MIN, minutes / 2))
        found[f"return_{minutes}"] = nullable("", price, fresh)
        found[f"stale_min_{minutes}"] = nullable("", stale, exists)
    price, stale, exists = _close_by(after, after.regular_close)
    return found | {"return_close": nullable("", price, exists), "stale_min_close": nullable("", stale, exists)}


def _close_by(after: BarsAfter, limit: IntArray) -> tuple[np.ndarray, np.ndarray, BoolArray]:
    """Return from the entry to the last close by `limit`, the minutes between these, and whether there is one."""
    entries = after.entries
    last = after.position(np.minimum(limit, after.end_of_day) - US_PER_MIN + 1) - 1
    exists = entries.exists & (last >= entries.position)
    bar, entry_bar = np.where(exists, last, 0), np.maximum(entries.position, 0)
    entry, close = after.bars["open"].to_numpy()[entry_bar], after.bars["close"].to_numpy()[bar]
    stale = (limit - after.starts[bar] - US_PER_MIN) / US_PER_MIN
    return after.sign * (close / entry - 1), stale, exists
