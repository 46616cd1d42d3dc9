"""What the columns of the research tables that are made from tape mean, for the catalog."""

from collections.abc import Mapping
from typing import Final

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.research.bar_descriptions import HALT_TEXTS

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
    "worst_class": "The gravest difference among the minutes of the window.",
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
