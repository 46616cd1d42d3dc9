"""The page of a review sheet or of one event: one HTML file that needs no network, with its data as JSON inside.

Data never becomes markup: it is embedded as JSON in which `<`, `>` and `&` are escaped, and the script inserts it as
text. The content security policy allows only the inline scripts and style, by their hashes, and no connection.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.review.labels import EXPORT_FORMAT, EXPORT_VERSION
from smallcaps_assets.domain.review.sample import CHART_BARS, Charts, ReviewParams
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.pipeline.review.drawn_outcomes import DRAWN_SPEC, OUTCOME_FIGURES
from smallcaps_assets.pipeline.review.tape_document import describe_figures

HINDSIGHT: Final = "HINDSIGHT: "
# In the order in which the page runs them.
_SCRIPTS: Final = {
    "TAPE SCRIPT": "tape.js",
    "TAPE PANEL SCRIPT": "tape_panel.js",
    "OUTCOME SCRIPT": "outcome.js",
    "SCRIPT": "sheet.js",
}
_STYLES: Final = ("sheet.css", "tape.css", "outcome.css")
# Figures beside the chart, in this order: label on the page, number format.
SHEET_FIGURES: Final = {
    "score": ("score", "0.000"),
    "spike_x": ("volume spike", "x"),
    "close": ("close", "$"),
    "vwap_at_event": ("VWAP", "$"),
    "flatness_score": ("flatness of base", "0.000"),
    "volume": ("shares this minute", "#"),
    "dollar_volume": ("dollars this minute", "$#"),
    "transactions": ("trades this minute", "#"),
    "dollar_volume_to_event": ("dollars so far", "$#"),
    "rank": ("rank in manifest", "#"),
    "tier": ("tier", "#"),
    "time_bucket": ("time bucket", ""),
    "rvol_day": ("rvol of day", "x"),
    "dollar_volume_day": ("dollars of day", "$#"),
}
MEANINGS: Final = {
    "volume_spike": "A minute with many times the volume of those before it, and a wide range.",
    "vwap_break": "Up: closes hold above VWAP after having been below. Down: a reclaim of VWAP failed, closes hold "
    "below.",
    "price_momentum": "A fast move within a few minutes to a new extreme of the last 20 bars, on volume.",
    "consolidation_break": "The price leaves a flat base of half an hour, on volume.",
    "opening_range_break": "The first close beyond the range of the session's first minutes, on volume.",
    "tape_speed": "A burst of trades, many times as fast as the minutes before.",
    "flush": "A steep fall from the day's high into new lows, bar after red bar, on volume.",
}


class Heading(NamedTuple):
    """The profile, manifest and sample of a sheet; without a sample, its events cannot be labeled."""

    profile: str
    manifest_id: str
    sample_id: str | None
    manifest_events: int
    params: ReviewParams


# By event, what `tape_document` makes of its tape, or why it is damaged: {"damage": reason}.
Tapes = Mapping[str, Mapping[str, Any]]
# By event, what `drawn_outcomes` finds.
DrawnOutcomes = Mapping[str, Mapping[str, Any]]
# By event, other names and owners of its ticker.
NameNotes = Mapping[str, str]


def render_sheet(  # noqa: PLR0913 -- all that a page shows
    heading: Heading,
    events: pl.DataFrame,
    charts: Charts,
    tapes: Tapes = MappingProxyType({}),
    outcomes: DrawnOutcomes = MappingProxyType({}),
    *,
    names: NameNotes = MappingProxyType({}),
) -> str:
    """The HTML page of events (SAMPLE, or MANIFEST where there is no sample): charts, tape, outcomes and names."""
    style = "".join(map(_part, _STYLES))
    scripts = {name: _part(file) for name, file in _SCRIPTS.items()}
    allowed = " ".join(map(_hash_of, scripts.values()))
    parts = {
        "POLICY": f"default-src 'none'; img-src data:; style-src {_hash_of(style)}; script-src {allowed}",
        "STYLE": style,
        "DATA": _inert(_document(heading, events, charts, tapes) | {"outcomes": _outcomes(outcomes)} | _names(names)),
        **scripts,
    }
    page = _part("sheet.html")
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text, 1)
    return page


def _part(name: str) -> str:
    return (files("smallcaps_assets") / "pipeline" / "review" / "sheet" / name).read_text(encoding="utf-8")


def _hash_of(text: str) -> str:
    """The source expression of an inline script or style in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inert(document: dict[str, Any]) -> str:
    """JSON that cannot end the HTML element that contains it."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _document(heading: Heading, events: pl.DataFrame, charts: Charts, tapes: Tapes) -> dict[str, Any]:
    return {
        "format": EXPORT_FORMAT,
        "version": EXPORT_VERSION,
        "profile": heading.profile,
        "manifest_id": heading.manifest_id,
        "sample_id": heading.sample_id,
        "manifest_events": heading.manifest_events,
        "min_precision_pct": heading.params.min_precision_pct,
        "meanings": MEANINGS,
        "figures": [
            {
                "label": label,
                "kind": kind,
                "help": COLUMNS[name].removeprefix(HINDSIGHT),
                "hindsight": COLUMNS[name].startswith(HINDSIGHT),
            }
            for name, (label, kind) in SHEET_FIGURES.items()
        ],
        "tape": describe_figures(),
        "events": [event | {"tape": tapes.get(event["id"])} for event in _events(events, charts)],
    }


def _names(names: NameNotes) -> dict[str, Any]:
    """Other names of the events' securities, where there are some."""
    return {"names": dict(names)} if names else {}


def _outcomes(outcomes: DrawnOutcomes) -> dict[str, Any]:
    """What is known of each event, and the figures with their names and meanings."""
    figures = [{"name": name, "label": label, "help": text} for name, label, text in OUTCOME_FIGURES]
    return {"spec": DRAWN_SPEC.name, "figures": figures, "of": dict(outcomes)}


def _events(events: pl.DataFrame, charts: Charts) -> list[dict[str, Any]]:
    """Chart data for the script, one entry per event."""
    moment = pl.col("timestamp").dt.convert_time_zone(NEW_YORK)
    prices = ["open", "high", "low", "close", "vwap_session"]
    bars = (
        charts.bars.with_columns(pl.col(prices).round(4), pl.col("volume", "volume_baseline").round(0).cast(pl.Int64))
        .group_by("event_id", maintain_order=True)
        .agg(pl.all().name.prefix("bar_"))
    )
    rows = (
        events.with_columns(clock=moment.dt.hour().cast(pl.Int64) * 60 + moment.dt.minute())
        .join(charts.charts, on="event_id", how="left", maintain_order="left")
        .join(bars, on="event_id", how="left", maintain_order="left")
    )
    return [_event(row) for row in rows.to_dicts()]


def _event(row: dict[str, Any]) -> dict[str, Any]:
    zone = [row[f"zone_{name}"] for name in ("low", "high", "start", "end")]
    return {
        "id": row["event_id"],
        "symbol": row["symbol"],
        "type": row["event_type"],
        "direction": row["direction"],
        "session": row["session"],
        "date": row["date"],
        "clock": row["clock"],
        "window": [row["window_before_min"], row["window_after_min"]],
        "figures": [row[name] for name in SHEET_FIGURES],
        "zone": None if zone[0] is None else zone,
        "trouble": row["trouble"],
        "bars": {name: row[f"bar_{name}"] or [] for name in CHART_BARS if name != "event_id"},
    }
