"""What `smallcaps status` says of the universe: as of which day it decides about events, and what that changes."""

from smallcaps_assets.commands.console import Line, Printable
from smallcaps_assets.domain.listings.survivorship import (
    ONLY_THEN,
    ONLY_TODAY,
    count_differing,
    survivorship,
    todays_list,
)
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.universe.as_of import count_unknown_verdicts
from smallcaps_assets.settings.settings import Settings


def universe_status(lake: Lake, settings: Settings) -> tuple[list[Printable], int]:
    """As of which day the universe is, and how many damaged files the line names; no line without events."""
    if settings.universe.is_named or not is_stored(lake.master):
        return [], 0
    if not settings.universe.judges_events:
        return ["universe: that of today decides about all events (universe.as_of)"], 0
    if not is_stored(lake.listings):
        text = "universe: that of today decides about all events, as the lake has no listings"
        return [Line(text, "note", hanging=10)], 0
    try:
        rows = EventListingStore(lake).table()
        if rows is None:
            return [Line("universe: as of each event's date; materialize event_listings", "note")], 0
        today = todays_list(UniverseStore(lake).read(), settings.universe, settings.history.first_session)
        counts = count_differing(survivorship(rows, today))
    except LakeError as error:
        return [Line(f"universe: {error}", "bad", hanging=10)], 1
    unknown = sum(count_unknown_verdicts(rows).values())
    only_today = count_clause(counts[ONLY_TODAY], "event of today's list was", "events of today's list were")
    only_then = count_clause(counts[ONLY_THEN], "event", "events")
    line = f"universe: as of each event's date: {only_today} not in it, {only_then} only then, unknown of {unknown:,}"
    return [Line(line, hanging=10)], 0
