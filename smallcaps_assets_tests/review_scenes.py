"""A lake with a manifest of three events, their bars and the tape of one, for review sheets."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.research.bars.bar_features import MarketData
from smallcaps_assets.domain.research.outcomes.event_costs import net_outcomes
from smallcaps_assets.domain.research.sample import RESEARCH_EVENTS
from smallcaps_assets.domain.tables import EVENTS, UTC_NS
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.research.bars.from_bars import BarRules, BarTables, tables_of_events
from smallcaps_assets_tests.conftest import event, manifest_of
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat, sessions_of

MANIFEST_ID: Final = "core_20251202_031500"
# opens at 10.00, closes at 10.40 on nine times the volume; its typical price is 10.30
BREAK: Final = (10.0, 10.5, 10.0, 10.4, 90_000.0, 300)
# tape around the opening range break, whose window begins 180 s before it: seconds from the start of its minute, bid,
# its size, ask, its size; the first row is the book when the window opens, the others are one_sided, locked, crossed
QUOTES: Final = (
    (-200, 10.00, 100, 10.10, 200),
    (-100, 10.02, 100, 10.10, 200),
    (-50, 10.06, 200, 10.06, 100),
    (-40, 10.08, 200, 10.06, 100),
    (-30, 10.04, 500, 10.12, 300),
    (-20, 0.0, 0, 10.12, 300),
    (-10, 10.04, 400, 10.09, 300),
    (10, 10.30, 100, 10.40, 600),
)
# seconds, price, size, exchange (4: off-exchange), conditions, correction: bought, sold off-exchange, at a locked book
# above the price before it; sold; at an average price; with a condition that no table lists; a message
TRADES: Final = (
    (-90, 10.10, 100, 11, [], 0),
    (-80, 10.01, 50, 4, [], 0),
    (-45, 10.06, 40, 11, [], 0),
    (20, 10.31, 300, 11, [], 0),
    (20.5, 10.40, 200, 11, [2], 0),
    (21, 10.20, 100, 11, [199], 0),
    (25, 10.32, 100, 11, [], 10),
)
# what comes after it: from its open at 10.40 the price falls to 10.37, and a minute later rises to 10.47
AFTER_BREAK: Final = ((10.4, 10.42, 10.37, 10.41, 10_000.0, 40), (10.41, 10.47, 10.4, 10.46, 10_000.0, 40))
OF_BREAK: Final[dict[str, Any]] = {"high": 10.5, "close": 10.4, "volume": 90_000.0}


def opening_range_break() -> dict[str, Any]:
    """AEMD leaves its opening range at 10:10."""
    return event("2025-11-05 10:10", event_type="opening_range_break", score=0.9, **OF_BREAK)


def consolidation_break() -> dict[str, Any]:
    """BRTX leaves a base of the half hour before 08:30, pre-market."""
    return event(
        "2025-11-05 08:30", symbol="BRTX", event_type="consolidation_break", session="PM", score=0.7, **OF_BREAK
    )


def without_bars() -> dict[str, Any]:
    """An event of a symbol without bars in the lake."""
    return event("2025-11-05 11:00", symbol="GONE", event_type="flush", direction="down", score=0.6)


def scene_manifest() -> pl.DataFrame:
    """The three events."""
    return manifest_of(opening_range_break(), consolidation_break(), without_bars())


def scene_bars() -> pl.DataFrame:
    """Bars (BARS) around the first two."""
    opening = bars_from("2025-11-05 09:30", [*flat(40), BREAK, *AFTER_BREAK, *flat(28, 10.44)])
    premarket = bars_from("2025-11-05 08:00", [*flat(30), BREAK, *flat(10, 10.4)], "BRTX")
    return pl.concat([opening, premarket])


def fill_lake(lake: Lake, manifest: pl.DataFrame | None = None, profiles: Sequence[str] = ("core",)) -> None:
    """Store the bars and freeze the manifest, as the current one of the profiles."""
    day = date(2025, 11, 5)
    lake.root.mkdir(exist_ok=True)
    for (symbol,), bars in scene_bars().group_by("symbol", maintain_order=True):
        BarsStore(lake).add(str(symbol), day, [day], bars, QUARANTINED_BARS.to_frame())
    rows = scene_manifest() if manifest is None else manifest
    for profile in profiles:
        ManifestStore.in_lake(lake, profile).freeze(
            Selection(rows, [{"step": "max_events", "rows": rows.height}], {}),
            config_hash="0" * 16,
            master_sha256="0" * 64,
            now=datetime(2025, 12, 2, 3, 15, tzinfo=UTC),
        )


def record_outcomes(lake: Lake, events: pl.DataFrame | None = None, bars: pl.DataFrame | None = None) -> BarTables:
    """Publish what came after events (EVENTS), those of the scene if not given, as the research tables have it."""
    settings = default_settings()
    events, bars = scene_manifest() if events is None else events, scene_bars() if bars is None else bars
    known = events.select(*EVENTS).with_columns(in_master=True, in_causal_sample=True).select(*RESEARCH_EVENTS)
    sessions = sessions_of(min(events["date"]), max(events["date"]))
    rules = BarRules(sessions, settings.detection, settings.research.params)
    made = tables_of_events(known, MarketData(bars, sessions), rules)
    for table, rows in (("event_labels", made.labels), ("event_outcomes", made.outcomes)):
        for (symbol,), own in events.select("symbol", "event_id").group_by("symbol", maintain_order=True):
            of_symbol = rows.join(own.select("event_id"), on="event_id", how="semi", maintain_order="left")
            if of_symbol.height:
                ResearchStore(lake).publish(lake.research_symbol(table, f"{symbol}"), of_symbol, {})
    return made


def record_costs(lake: Lake, labels: pl.DataFrame, cost_bps: float, profile: str = "core") -> None:
    """Publish the costs of events in a profile, all the same."""
    costs = labels.select("event_id").unique().with_columns(cost_bps=pl.lit(cost_bps), cost_source=pl.lit("nbbo"))
    ResearchStore(lake).publish(lake.research_table("event_costs", profile), net_outcomes(labels, costs), {})


def capture_break(lake: Lake, profile: str = "core", kinds: Sequence[str] = TAPE_KINDS) -> TapeStore:
    """Publish the tape of the opening range break."""
    moment = opening_range_break()["timestamp"]
    store = TapeStore(lake, profile, default_settings().profiles["core"])
    minutes = {"start": moment - timedelta(minutes=3), "end": moment + timedelta(minutes=7)}
    span = Span("AEMD", "RTH", **minutes, events_merged=(opening_range_break()["event_id"],))
    named = {
        "trades": (TRADES, ("seconds", "price", "size", "exchange", "conditions", "correction")),
        "quotes": (QUOTES, ("seconds", "bid_price", "bid_size", "ask_price", "ask_size")),
    }
    for kind in TAPE_KINDS:
        schema, (values, names) = store.schema(kind), named[kind]
        rows = pl.DataFrame(values, schema=names, orient="row").select(
            *(pl.col(name).cast(schema[name]) for name in names[1:]),
            timestamp=pl.lit(moment).cast(UTC_NS) + pl.duration(milliseconds=pl.col("seconds") * 1_000),
            sequence_number=pl.int_range(pl.len(), dtype=pl.Int64),
        )
        whole = rows.with_columns(pl.col("timestamp").cast(UTC_NS)).match_to_schema(schema, missing_columns="insert")
        if kind in kinds:
            store.publish(kind, span, whole, {"kind": kind, "profile": profile})
    return store
