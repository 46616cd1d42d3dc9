"""Sketches small enough to be shown in the table of metadata itself; larger pictures open in a dialog (`pictures`)."""

import base64
from typing import Final

import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tables import SESSIONS
from smallcaps_assets.pipeline.pictures import COLOURS

# the web UI shows Markdown of this length and more in a dialog only
INLINE_CHARACTERS: Final = 1000
_FIRST_HOUR, _BARS, _WIDTH, _HEIGHT = 4, 32, 9, 50
# the session of a bar, by the first half hour that it begins in; half days are drawn as whole ones
_BEGINS: Final = {"PM": 0, "RTH": 11, "AH": 24}


def clock_sketch(events: pl.DataFrame) -> str:
    """Markdown: events by half hour, 04:00 to 20:00 New York, coloured by session, and their numbers by session."""
    moment = pl.col("timestamp").dt.convert_time_zone(NEW_YORK)
    minute = 60 * moment.dt.hour().cast(pl.Int64) + moment.dt.minute().cast(pl.Int64)
    place = ((minute - 60 * _FIRST_HOUR) // 30).clip(0, _BARS - 1)
    counts = dict(events.group_by(place=place).len().iter_rows())
    most = max(counts.values(), default=1)
    begins = [*_BEGINS.values(), _BARS]
    paths = "".join(
        f"<path stroke='{COLOURS[session]}' d='{_bars(counts, most, range(first, end))}'/>"
        for session, first, end in zip(_BEGINS, begins, begins[1:], strict=False)
    )
    size = f"width='{_WIDTH * _BARS}' height='{_HEIGHT}'"
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' {size} stroke-width='7'>{paths}</svg>"
    encoded = base64.b64encode(svg.encode()).decode()
    numbers = dict(events.group_by("session").len().iter_rows())
    words = ", ".join(f"{numbers.get(session, 0):,} {session}" for session in SESSIONS)
    return f"![events by half hour](data:image/svg+xml;base64,{encoded})\n\n04:00 to 20:00 New York: {words}"


def _bars(counts: dict[int, int], most: int, places: range) -> str:
    """Vertical strokes up from the base line, at least one pixel high."""
    heights = {place: max(1, round(_HEIGHT * counts[place] / most)) for place in places if place in counts}
    return "".join(f"M{_WIDTH * place + 4} {_HEIGHT}v-{height}" for place, height in heights.items())
