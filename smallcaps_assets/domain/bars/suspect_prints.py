"""Suspect prints: bars whose high or low lies far outside that of their neighbours and is undone at once.

One wrong trade sets the high or the low of its minute; the day's high, ranges and VWAP then carry it to the end of the
day. Detection uses the bars as they are: suspect prints are listed, with the events that may owe something to them.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.words import count_clause, count_noun

SIDES: Final = ("high", "low")
# `value` is the bar's high or low, `bound` the highest high or lowest low of its neighbours
SUSPECT_PRINTS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "timestamp": BARS["timestamp"],
        "side": pl.String(),
        "value": pl.Float64(),
        "bound": pl.Float64(),
    }
)
# with the events of the same symbol and ET date at or after the bar, in order of time
LISTED_PRINTS: Final = pl.Schema({**SUSPECT_PRINTS, "event_ids": pl.List(pl.String())})
COLUMNS_READ: Final = ("symbol", "timestamp", "high", "low")

_MINUTE: Final = 60_000_000  # microseconds
_SHOWN: Final = 50
_IDS_SHOWN: Final = 5


class SuspectPrintParams(Params):
    """Bounds beyond which a bar's high or low is suspect, and how much the check of `minute_bars` reads.

    Neighbours are the `neighbour_bars` bars of the symbol before and after, within `neighbour_min` minutes.
    """

    # the settings of release 0.1 lack this section
    neighbour_bars: int = Field(default=5, gt=0, le=100)
    neighbour_min: int = Field(default=30, gt=0, le=240)
    min_neighbours: int = Field(default=2, gt=0)  # on each side; a bar with fewer is not judged
    min_excess_share: float = Field(default=0.05, gt=0, lt=1)  # of the neighbours' bound
    min_excess_ranges: float = Field(default=2.0, ge=0)  # times the neighbours' range, highest high to lowest low
    recent_months: int = Field(default=2, gt=0)


def suspect_prints(bars: pl.DataFrame, params: SuspectPrintParams) -> pl.DataFrame:
    """The suspect prints of bars (SUSPECT_PRINTS); a bar may have one on each side.

    A price that lasts is never suspect: the bars after it are neighbours, too.

    Args:
        bars: COLUMNS_READ of bars, sorted by symbol and timestamp; further columns are ignored.
        params: the bounds.
    """
    ordered = bars.select(COLUMNS_READ)
    symbol = ordered["symbol"].rle_id().to_numpy()
    moments = ordered["timestamp"].cast(BARS["timestamp"]).to_physical().to_numpy()
    high, low = ordered["high"].to_numpy(), ordered["low"].to_numpy()
    place = np.flatnonzero(_stand_out(high, low, params.min_excess_share))
    sides = np.arange(1, params.neighbour_bars + 1)
    near = place[:, None] + np.concatenate([-sides[::-1], sides])
    inside = (near >= 0) & (near < ordered.height)
    near = np.clip(near, 0, max(ordered.height - 1, 0))
    inside &= symbol[near] == symbol[place, None]
    inside &= np.abs(moments[near] - moments[place, None]) <= params.neighbour_min * _MINUTE
    before, after = (part.sum(axis=1) for part in np.split(inside, 2, axis=1))
    judged = np.minimum(before, after) >= params.min_neighbours
    top = np.where(inside, high[near], -np.inf).max(axis=1, initial=-np.inf)
    bottom = np.where(inside, low[near], np.inf).min(axis=1, initial=np.inf)
    found = []
    excesses = high[place] - top, bottom - low[place]
    for side, value, bound, excess in zip(SIDES, (high, low), (top, bottom), excesses, strict=True):
        least = np.maximum(params.min_excess_share * bound, params.min_excess_ranges * (top - bottom))
        chosen = np.flatnonzero(judged & (excess >= least))
        rows = ordered[place[chosen]].select("symbol", "timestamp", side=pl.lit(side))
        found.append(rows.with_columns(value=value[place[chosen]], bound=bound[chosen]))
    return pl.concat(found).match_to_schema(SUSPECT_PRINTS).sort("symbol", "timestamp", "side")


def with_events(prints: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Suspect prints (SUSPECT_PRINTS) with the events that may owe something to them (LISTED_PRINTS).

    These are the events of the same symbol and ET date at or after the bar: the day's high and VWAP carry its price to
    the end of the day.

    Args:
        prints: the suspect prints.
        events: symbol, timestamp and event_id.
    """
    day = new_york_date(pl.col("timestamp"))
    numbered = prints.with_row_index("print").with_columns(day=day)
    touched = (
        numbered.select("print", "symbol", "day", bar="timestamp")
        .join(events.select("symbol", "timestamp", "event_id", day=day), on=["symbol", "day"], how="inner")
        .filter(pl.col("timestamp") >= pl.col("bar"))
        .sort("print", "timestamp", "event_id")
        .group_by("print")
        .agg(event_ids="event_id")
    )
    none = pl.lit([], LISTED_PRINTS["event_ids"])
    return (
        numbered.join(touched, on="print", how="left", maintain_order="left")
        .with_columns(event_ids=pl.coalesce("event_ids", none))
        .select(*LISTED_PRINTS)
        .match_to_schema(LISTED_PRINTS)
    )


class TouchedEvents(NamedTuple):
    """How many bars have a suspect print, and how many events are of the rest of such a day."""

    bars: int
    events: int


def count_touched(listed: pl.DataFrame) -> TouchedEvents:
    """The number of bars and of events of LISTED_PRINTS, each counted once."""
    return TouchedEvents(
        listed.select(pl.struct("symbol", "timestamp").n_unique()).item(),
        listed["event_ids"].explode(keep_nulls=False, empty_as_null=False).n_unique(),
    )


def describe_prints(touched: TouchedEvents) -> str:
    """The suspect prints in words."""
    bars = count_clause(touched.bars, "bar has", "bars have")
    events = count_noun(touched.events, "event")
    return (
        f"{bars} a high or low far outside those of the neighbouring bars and undone at once, as a wrong trade makes "
        f"it; {events} at or after such a bar on its day may be due to it"
    )


def suspect_print(listed: pl.DataFrame, bars: int) -> Finding:
    """The check that no bar has a suspect print; a warning, since detection uses such bars as they are.

    Args:
        listed: LISTED_PRINTS.
        bars: the number of bars that were read.
    """
    touched = count_touched(listed)
    figures = {"bars": bars, "bars_with_a_suspect_print": touched.bars, "events_touched": touched.events}
    found = Finding("suspect_print", listed.is_empty(), figures, shown_prints(listed.head(_SHOWN)), severe=False)
    return found.unjudged_if(not bars, "no bars are published")


def shown_prints(listed: pl.DataFrame) -> pl.DataFrame:
    """LISTED_PRINTS to be shown: the first event ids as text, with the number of events."""
    ids = pl.col("event_ids")
    more = pl.when(ids.list.len() > _IDS_SHOWN).then(pl.lit(" ...")).otherwise(pl.lit(""))
    return listed.with_columns(
        events=ids.list.len().cast(pl.Int64), event_ids=pl.concat_str(ids.list.head(_IDS_SHOWN).list.join(", "), more)
    )


def _stand_out(high: npt.NDArray[np.float64], low: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.bool_]:
    """Whether a bar exceeds both adjacent rows by `share`, which few bars do; adjacent rows may be of other symbols."""
    found = np.zeros(len(high), np.bool_)
    if len(high) > 2:  # noqa: PLR2004 -- a bar and its neighbours
        top = np.maximum(high[:-2], high[2:])
        bottom = np.minimum(low[:-2], low[2:])
        found[1:-1] = (high[1:-1] - top >= share * top) | (bottom - low[1:-1] >= share * bottom)
    return found
