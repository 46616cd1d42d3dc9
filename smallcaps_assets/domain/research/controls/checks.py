"""Checks of a control manifest (research specification, section 7)."""

from datetime import timedelta
from typing import Final

import polars as pl

from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.manifests.selection import ProfileParams
from smallcaps_assets.domain.manifests.windows import FLOOR_GUARD
from smallcaps_assets.domain.research.controls.intervals import count_inside
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.domain.sessions import NEW_YORK

_SHOWN: Final = ("control_id", "control_of", "timestamp")


def describe_long_windows(limits: ProfileParams, params: ControlParams) -> str | None:
    """Which windows of a profile are longer than the minutes in which a control is kept clear of events, if any.

    An event of the symbol may then lie inside the window of a control, though not near its minute.
    """
    windows = {"window": limits.window, "extended_window": limits.extended_window}
    longer = [
        f"{name}.{side} {minutes}"
        for name, window in windows.items()
        for side, minutes in window
        if minutes > params.control_clear_min
    ]
    if not longer:
        return None
    return (
        f"{', '.join(longer)} above research.control_clear_min {params.control_clear_min}: the window of a control may "
        "hold an event of its symbol. Shorten the window, or raise research.control_clear_min"
    )


def clear_of_events(controls: pl.DataFrame, master: pl.DataFrame, params: ControlParams) -> Finding:
    """Whether no event of the symbol lies near a control (`control_clear_min` before to after its minute).

    Args:
        controls: CONTROL_MANIFEST.
        master: `symbol` and `timestamp` of all events.
        params: the rules.
    """
    clear = timedelta(minutes=params.control_clear_min)
    at = pl.col("timestamp")
    near = count_inside(master, controls.select("symbol", start=at - clear, end=at + clear))
    return finding("clear_of_events", controls.with_columns(events=near).filter(near > 0).select(*_SHOWN, "events"))


def same_clock(controls: pl.DataFrame, manifest: pl.DataFrame) -> Finding:
    """Whether each control has the New York time, session, direction and window of its event, on an earlier date.

    Args:
        controls: CONTROL_MANIFEST.
        manifest: the events (MANIFEST); controls of others are not judged.
    """
    same = ("symbol", "session", "direction", "window_before_min", "window_after_min", "extended")
    of_events = manifest.select("event_id", *same, of_event="timestamp")
    both = controls.join(of_events, left_on="control_of", right_on="event_id", how="inner", suffix="_of_event")
    then, when = (pl.col(name).dt.convert_time_zone(NEW_YORK).dt for name in ("timestamp", "of_event"))
    differs = pl.any_horizontal(
        then.time() != when.time(),
        then.date() >= when.date(),
        *(pl.col(name) != pl.col(f"{name}_of_event") for name in same),
    )
    return finding("same_clock", both.filter(differs).select(*_SHOWN, "of_event"))


def within_limits(controls: pl.DataFrame, rows: int, params: ControlParams, max_per_symbol: int) -> Finding:
    """Whether there are no more controls than the share of the manifest's `rows`, and than the limit of each symbol."""
    most = int(params.control_share * rows + FLOOR_GUARD)
    above = controls.group_by("symbol").agg(controls=pl.len()).filter(pl.col("controls") > max_per_symbol)
    found = finding("limits", above.sort("symbol"), {"controls": controls.height, "most": most})
    return found if controls.height <= most else found._replace(holds=False)
