"""Pictures in metadata: Markdown with the image inside; the web UI's sanitizer lets `data:` images through."""

import base64
from collections.abc import Mapping, Sequence

import dagster as dg
import polars as pl

from smallcaps_assets.defs.recording import Metadata
from smallcaps_assets.pipeline.pictures import (
    clock_picture,
    coverage_picture,
    funnel_picture,
    score_picture,
    sessions_picture,
)


def event_pictures(events: pl.DataFrame) -> Metadata:
    """Events by day, by New York clock and by score; nothing where there are no events."""
    if events.is_empty():
        return {}
    return {
        "picture/days": _shown(sessions_picture(events), "events per day"),
        "picture/clock": _shown(clock_picture(events), "events by quarter of an hour, New York"),
        "picture/scores": _shown(score_picture(events), "scores by event type"),
    }


def manifest_pictures(manifest: pl.DataFrame, funnel: Sequence[Mapping[str, int | str]]) -> Metadata:
    """The funnel of a selection, and the pictures of what it chose."""
    return {"picture/funnel": _shown(funnel_picture(funnel), "events left after each step"), **event_pictures(manifest)}


def coverage_pictures(table: pl.DataFrame) -> Metadata:
    """How much of COVERAGE is there, by month; nothing where nothing is expected."""
    expected = table.filter(pl.col("sessions_expected") > 0)
    if expected.is_empty():
        return {}
    pct = 100 * pl.col("sessions_here") / pl.col("sessions_expected")
    return {"picture/coverage": _shown(coverage_picture(expected.select("month", pct=pct)), "coverage by month")}


def _shown(png: bytes, what: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{what}](data:image/png;base64,{base64.b64encode(png).decode()})")
