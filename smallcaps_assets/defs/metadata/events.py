"""Metadata of MASTER and the manifests: pictures first, then tables that fit a screen, then figures to plot."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.metadata.drawn import drawn
from smallcaps_assets.defs.metadata.entries import FIRST_ROWS, Metadata, in_words, new_york, round_value, table
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.symbols import describe_test_symbols
from smallcaps_assets.domain.tables import SESSIONS
from smallcaps_assets.pipeline.pictures import clock_picture, funnel_picture, score_picture, sessions_picture
from smallcaps_assets.pipeline.sketches import clock_sketch

_NAMES_SHOWN: Final = 20
# what decides which events have the longer window, in words with their units
_EXTENSION: Final = {
    "transactions_threshold": "trades of the minute, from",
    "spread_threshold": "range of the minute, share of VWAP, from",
    "spike_x_threshold": "spike x, from",
    "triggered": "events that reach one",
    "extended": "events extended",
}


def master_metadata(events: pl.DataFrame, test_symbols: Sequence[str], names: pl.DataFrame | None = None) -> Metadata:
    """Metadata of MASTER (EVENTS); `test_symbols` have shards that were left out, `names` is RENAMED of its symbols."""
    other_names = {} if names is None or names.is_empty() else {"other names": table(names.head(_NAMES_SHOWN))}
    left_out = {"test symbols left out": describe_test_symbols(test_symbols)} if test_symbols else {}
    return {
        **_pictures(events),
        **_tables(events),
        **left_out,
        **other_names,
        "dagster/row_count": events.height,
        **_plotted(events),
        "first_rows": _first_events(events),
    }


def manifest_metadata(selection: Selection, sidecar: Mapping[str, Any], *, unchanged: bool) -> Metadata:
    """Metadata of a frozen manifest with its sidecar; `unchanged` if it is the one that was in force before."""
    rows = selection.manifest
    return {
        "manifest_id": sidecar["manifest_id"],
        **_manifest_pictures(rows, selection.funnel),
        "funnel": table(_funnel(selection)),
        **_tables(rows),
        "by_bucket": table(_by_bucket(rows)),
        "extension": table(_extension(selection)),
        "dagster/row_count": rows.height,
        **_plotted(rows),
        "first_rows": _first_events(rows),
        "unchanged": unchanged,
        "config_hash": sidecar["config_hash"],
    }


def _cross(frame: pl.DataFrame, row: str, columns: Sequence[str], *, by: str = "session") -> pl.DataFrame:
    """Rows of `frame` by value of `row`: one column for each of `columns`, values of `by`, and `all`."""
    counts = [(pl.col(by) == name).sum().cast(pl.Int64).alias(name) for name in columns]
    return frame.group_by(row).agg(*counts, pl.len().cast(pl.Int64).alias("all")).sort(row).with_columns(in_words(row))


def _tables(events: pl.DataFrame) -> Metadata:
    """Events by type and by tier, each by session."""
    by_type, by_tier = (_cross(events, row, SESSIONS) for row in ("event_type", "tier"))
    return {"by_type": table(by_type.rename({"event_type": "event"})), "by_tier": table(by_tier)}


def _plotted(events: pl.DataFrame) -> Metadata:
    """The figures of events that are plotted over time."""
    if events.is_empty():
        return {"symbols": 0}
    return {
        "symbols": events["symbol"].n_unique(),
        "median_score": round_value(float(events.select(pl.col("score").median()).item())),
        "up_pct": round_value(100 * float(events.select((pl.col("direction") == "up").mean()).item())),
    }


def _first_events(events: pl.DataFrame) -> dg.TableMetadataValue:
    """The first rows of MASTER or a manifest: symbol, New York time, type and score."""
    return table(
        events.head(FIRST_ROWS).select("symbol", new_york("timestamp"), in_words("event_type").alias("event"), "score")
    )


def _pictures(events: pl.DataFrame) -> Metadata:
    """Events by day, by New York clock and by score; nothing where there are no events."""
    if events.is_empty():
        return {}
    return {
        "clock": dg.MetadataValue.md(clock_sketch(events)),
        "picture/days": drawn("events per day", sessions_picture, events.select("session", "date")),
        "picture/clock": drawn(
            "events by quarter of an hour, New York", clock_picture, events.select("session", "timestamp")
        ),
        "picture/scores": drawn("scores by event type", score_picture, events.select("event_type", "score")),
    }


def _manifest_pictures(manifest: pl.DataFrame, funnel: Sequence[Mapping[str, int | str]]) -> Metadata:
    """The funnel of a selection, and the pictures of what it chose."""
    chosen = _pictures(manifest)
    sketch: Metadata = {"clock": chosen.pop("clock")} if chosen else {}
    return {**sketch, "picture/funnel": drawn("events left after each step", funnel_picture, funnel), **chosen}


def _funnel(selection: Selection) -> pl.DataFrame:
    """Events left after each step, and their share of those that there were."""
    steps = pl.DataFrame([{"step": step["step"], "events": step["rows"]} for step in selection.funnel])
    if steps.is_empty():
        return steps
    return steps.select(in_words("step"), "events", pct=100 * pl.col("events") / pl.col("events").first().clip(1))


def _by_bucket(manifest: pl.DataFrame) -> pl.DataFrame:
    """Events of each time bucket, and their share of the manifest."""
    counts = manifest.group_by("time_bucket").agg(events=pl.len().cast(pl.Int64)).sort("time_bucket")
    return counts.select(bucket="time_bucket", events="events", pct=100 * pl.col("events") / pl.col("events").sum())


def _extension(selection: Selection) -> pl.DataFrame:
    """What decided which events have the longer window, and how many have it."""
    known = {_EXTENSION[name]: float(value) for name, value in selection.extension.items() if value is not None}
    return pl.DataFrame({"figure": list(known), "value": list(known.values())}, schema_overrides={"value": pl.Float64})
