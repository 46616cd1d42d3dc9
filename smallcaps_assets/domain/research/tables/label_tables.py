"""Columns of labels and of their costs: type, unit, and what they mean. All but keys is hindsight (`post`)."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.research.columns import Availability, ResearchColumn
from smallcaps_assets.domain.research.tables.bar_tables import schema_of
from smallcaps_assets.domain.tables import UTC_US


def _of(dtype: pl.DataType, unit: str, availability: Availability, *names: str) -> dict[str, ResearchColumn]:
    return {name: ResearchColumn(name, dtype, unit, availability) for name in names}


_TEXT, _FLAG, _COUNT, _NUMBER = pl.String(), pl.Boolean(), pl.Int64(), pl.Float64()
_HORIZONS: Final = ("1", "5", "15", "30", "60", "close")
LABEL_COLUMNS: Final = {
    **_of(_TEXT, "", "key", "event_id", "label_spec", "date"),
    **_of(UTC_US, "", "key", "t0"),
    **_of(_TEXT, "", "post", "state"),
    **_of(UTC_US, "", "post", "entry_at"),
    **_of(_NUMBER, "USD", "post", "entry"),
    **_of(_NUMBER, "fraction", "post", "scale"),
    **_of(_COUNT, "sign", "post", "label"),
    **_of(_NUMBER, "USD", "post", "exit_price"),
    **_of(UTC_US, "", "post", "exit_bar_end", "t1"),
    **_of(_FLAG, "", "post", "tie", "gap"),
    **_of(_NUMBER, "fraction", "post", "gross_return"),
    **_of(_FLAG, "", "post", "crosses_session", "halt_in_label"),
    **{
        name: column
        for horizon in _HORIZONS
        for name, column in {
            **_of(_NUMBER, "fraction", "post", f"return_{horizon}"),
            **_of(_NUMBER, "min", "post", f"stale_min_{horizon}"),
        }.items()
    },
    **_of(_NUMBER, "fraction", "post", "uniqueness"),
    **_of(_COUNT, "labels", "post", "concurrent_max"),
}
EVENT_LABELS: Final = schema_of(LABEL_COLUMNS)

COST_COLUMNS: Final = {
    **_of(_TEXT, "", "key", "event_id", "label_spec"),
    **_of(_NUMBER, "bps", "post", "cost_bps"),
    **_of(_TEXT, "", "post", "cost_source"),
    **_of(_NUMBER, "fraction", "post", "net_return"),
    **_of(_FLAG, "", "post", "win"),
}
EVENT_COSTS: Final = schema_of(COST_COLUMNS)
# Labels with costs beside them, as `smallcaps research` writes them.
LABELS_WITH_COSTS: Final = pl.Schema({**EVENT_LABELS, **EVENT_COSTS})

_KEY_TEXTS: Final = {
    "event_id": COLUMNS["event_id"],
    "label_spec": "Horizon in minutes, profit and stop barriers in multiples of the scale; `15,1,1` is primary.",
}
LABEL_TEXTS: Final[Mapping[str, str]] = {
    **_KEY_TEXTS,
    "date": COLUMNS["date"],
    "t0": "UTC. The end of the event's minute, when it is known.",
    "state": "`ok`; `no_entry`: no bar in time; `no_scale`: too few bars before the event, hence no barriers.",
    "entry_at": "UTC. Start of the first bar within 5 minutes after the event is known.",
    "entry": "Open of that bar.",
    "scale": "Distance of a barrier of multiple 1, as a share of the entry price.",
    "label": "1: left by the profit barrier; -1: by the stop barrier, which goes first in a bar; 0: by neither.",
    "exit_price": "The barrier; the open of a bar beyond it; where none is touched, the last close by the horizon.",
    "exit_bar_end": "UTC. End of the bar in which the position leaves.",
    "t1": "UTC. When the label is decided: that end, or the horizon where no barrier is touched.",
    "tie": "Whether one bar touches both barriers; counted as the stop.",
    "gap": "Whether the exit bar opens at or beyond a barrier; the exit is that open.",
    "gross_return": "Return from entry to exit in the event's direction, without costs.",
    "crosses_session": "Whether the regular open or close lies between entry and `t1`.",
    "halt_in_label": "Whether a halt, as bars show it, meets the label; null where the bars do not decide.",
    **{
        f"return_{horizon}": f"Return in the event's direction from the entry to the last close by {words}."
        for horizon, words in (
            *(
                (minutes, f"{minutes} minutes after the event is known; null if it is too old")
                for minutes in _HORIZONS[:-1]
            ),
            ("close", "the regular close; null of after-hours events"),
        )
    },
    **{f"stale_min_{horizon}": "From the end of the bar of that close to the horizon." for horizon in _HORIZONS},
    "uniqueness": "Mean of one over the number of labels of the symbol and spec in force; null outside MASTER.",
    "concurrent_max": "Most labels of the symbol and spec in force at a time; null outside MASTER.",
}
COST_TEXTS: Final[Mapping[str, str]] = {
    **_KEY_TEXTS,
    "cost_bps": "Cost of entry and exit together: one spread, and the fee of the settings.",
    "cost_source": "`nbbo`, `effective`: of the event's minute; `trailing`: median of recent events of its session and "
    "price; `default`: the setting; `none`.",
    "net_return": "`gross_return` minus the cost.",
    "win": "Whether the net return is above 0.",
}
