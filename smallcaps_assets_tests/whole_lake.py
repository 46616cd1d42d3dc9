"""A small lake with a file of every kind, built by the stores."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.bars.flat_files import FlatDay
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.imports.events import IMPORTED_EVENTS
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.research.bars.market_state import SPLITS
from smallcaps_assets.domain.research.controls.features import CONTROL_FEATURES
from smallcaps_assets.domain.research.controls.labels import CONTROL_LABELS
from smallcaps_assets.domain.research.controls.outcomes import CONTROL_OUTCOMES, CONTROL_WAVES
from smallcaps_assets.domain.research.controls.tables import CONTROL_MANIFEST
from smallcaps_assets.domain.research.tables.bar_tables import EVENT_SCORES
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_MEMBERS, COHORTS, SELECTING_COHORTS
from smallcaps_assets.domain.research.tables.enriched_table import ENRICHED
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS
from smallcaps_assets.domain.research.tables.research_labels import RESEARCH_LABELS
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE
from smallcaps_assets.domain.research.tape.pinned_conditions import pinned_conditions
from smallcaps_assets.domain.review.labels import parse_labels
from smallcaps_assets.domain.tables import FOLLOW_UP_MANIFEST
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.domain.tape.tables import KPIS
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame, sha256
from smallcaps_assets.lake.flat_bars.origins import FlatOrigin
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.lake.identity import give_identity
from smallcaps_assets.lake.imports import record_import
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.lake.review import SAMPLED_EVENTS, ReviewStore, Sheet
from smallcaps_assets.lake.selecting_cohorts import SelectingCohorts
from smallcaps_assets.lake.tape.files import spans_of
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import STORED_DETAILS, UniverseStore
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.operations.nightly import BEHIND
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_TABLES
from smallcaps_assets.pipeline.research.tape.block_tables import TAPE_TABLES
from smallcaps_assets_tests.conftest import LATER, event, manifest_of, quotes_at, trades_at
from smallcaps_assets_tests.flat_scenes import flat_file
from smallcaps_assets_tests.listings import publish_event_listings, publish_listings
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.bars import lively_bars

NOW: Final = datetime(2025, 12, 3, tzinfo=UTC)
DAYS: Final = [date(2025, 11, day) for day in (24, 25, 26, 28)] + [date(2025, 12, 1)]
QUIET: Final = date(2025, 12, 2)
BARS: Final = lively_bars(11, 2, DAYS).filter(DAY.is_in(DAYS))
SYMBOLS: Final = BARS["symbol"].unique().sort().to_list()
ONE, OTHER = SYMBOLS
# one window of each symbol, at the same time, and one whose tape failed
MANIFEST: Final = manifest_of(
    event("2025-11-26 10:00", event_id="one", symbol=ONE),
    event("2025-11-26 10:00", event_id="other", symbol=OTHER),
    event("2025-11-26 12:00", event_id="failed", symbol=ONE),
    event("2025-11-26 12:00", event_id="denied", symbol=OTHER),
)
PROFILES: Final = ("core", "plus")
WINNING_COHORT: Final = {
    "label_spec": "15,1,1",
    "selection": "causal",
    "cohort_id": "L1|volume_spike|up",
    "n": 120,
    "mean": 0.002,
    "q_value": 0.01,
    "tested": 3,
    "winning": True,
}
PARAMS: Final = default_settings().profiles


def detector_of(lake: Lake) -> Detector:
    """The detector of a lake, with the shipped settings."""
    settings = default_settings()
    return Detector(
        BarsStore(lake), ShardStore(lake), settings.detection, settings.sessions, UniverseStore(lake).reference()
    )


def detect_all(lake: Lake) -> list[str]:
    """Bring all shards up to date; returns the problems."""
    return [str(problem) for outcome in detector_of(lake).run(SYMBOLS) for problem in outcome.problems]


def make_master(lake: Lake) -> None:
    """Build MASTER from the shards."""
    events = build_master(ShardStore(lake).scan().collect(), default_settings().cooldown)
    publish_frame(lake.master, events, below=lake.root)


def tape_of(lake: Lake, profile: str) -> TapeStore:
    """The tape of one profile."""
    return TapeStore(lake, profile, PARAMS[profile])  # type: ignore[index]


def certify(lake: Lake, profile: str) -> None:
    """Build the ledger of one profile."""
    manifest_id = ManifestStore.in_lake(lake, profile).current_id()
    publish_frame(lake.ledger(profile), build_ledger(MANIFEST, tape_of(lake, profile), manifest_id), below=lake.root)


def fill_whole_lake(lake: Lake) -> None:
    """Publish a file of every kind."""
    lake.root.mkdir(exist_ok=True)
    _fill_reference(lake)
    _fill_bars(lake)
    assert detect_all(lake) == []
    # a session without an event: tables of differences record it
    for symbol in SYMBOLS:
        BarsStore(lake).add(symbol, QUIET, [QUIET], BARS.clear(), QUARANTINED_BARS.to_frame())
    assert detect_all(lake) == []
    make_master(lake)
    master = pl.read_parquet(lake.master)
    publish_event_listings(lake, master, DAYS[0])
    publish_frame(lake.imported_events, master.match_to_schema(IMPORTED_EVENTS, missing_columns="insert"))
    rejected = master.head(1).with_columns(reason=pl.lit("no such session"))
    publish_frame(lake.quarantine_path(lake.imported_events), rejected, below=lake.root)
    for profile in PROFILES:
        _fill_profile(lake, profile)
    _fill_research(lake)
    behind = pl.DataFrame([(ONE, 1, QUIET, 0, "x")], schema=BEHIND, orient="row")
    publish_frame(lake.nightly_report, behind, below=lake.root)
    publish_frame(lake.coverage, pl.DataFrame({"symbol": SYMBOLS, "sessions": [6, 6]}), below=lake.root)


def _fill_reference(lake: Lake) -> None:
    universe = pl.DataFrame({"symbol": SYMBOLS, "active": True}, schema_overrides={"active": pl.Boolean})
    UniverseStore(lake).replace(universe.match_to_schema(UNIVERSE, missing_columns="insert"), {"source": "embedded"})
    details = pl.DataFrame({"symbol": SYMBOLS}).match_to_schema(STORED_DETAILS, missing_columns="insert")
    UniverseStore(lake).add_details(details, "embedded")
    reference = ReferenceTables(lake)
    reference.publish_trade_conditions(pinned_conditions(), "embedded", is_pinned=True)
    splits = pl.DataFrame([(ONE, DAYS[1], 10.0, 1.0), (OTHER, DAYS[2], 1.0, 2.0)], schema=SPLITS, orient="row")
    reference.publish_splits(splits, "embedded", DAYS[0], QUIET)
    publish_listings(lake, SYMBOLS, (DAYS[0], DAYS[1], QUIET))
    for kind in ("bars", "events"):
        record_import(lake, kind)  # type: ignore[arg-type]
    give_identity(lake)


def _fill_bars(lake: Lake) -> None:
    for symbol in SYMBOLS:
        for month in sorted({day.replace(day=1) for day in DAYS}):
            days = [day for day in DAYS if day.replace(day=1) == month]
            bars = BARS.filter(pl.col("symbol") == symbol, DAY.is_in(days))
            rejected = bars.head(1).with_columns(reason=pl.lit("bad")).select(*QUARANTINED_BARS)
            origin = {days[0]: FlatOrigin("etag", is_source=True)}
            BarsStore(lake).add(symbol, month, days, bars, rejected, origin)
    for day in DAYS[:2]:
        bars = BARS.filter(day == DAY)
        rows = FlatDay(bars.drop("vwap"), bars.head(1).with_columns(reason=pl.lit("bad")), bars.height + 1, 0)
        FlatBarsStore(lake).publish(flat_file(day, rows=bars.height + 1, rejected=1), rows)


def _fill_profile(lake: Lake, profile: str) -> None:
    manifests = ManifestStore.in_lake(lake, profile)
    # the events of both profiles are the same, but not their files
    manifest = MANIFEST.with_columns(score=pl.lit(0.5 + PROFILES.index(profile) / 10))
    funnel: list[dict[str, Any]] = [{"step": "max_events", "rows": manifest.height}]
    # and so are the cohorts that selected them
    as_of = date(2025, 11 + PROFILES.index(profile), 1)
    cohorts = SelectingCohorts.of(
        pl.DataFrame({**WINNING_COHORT, "as_of": as_of}).match_to_schema(SELECTING_COHORTS, missing_columns="insert"),
        {"profile": "core", "as_of": f"{as_of}", "label_spec": "15,1,1", "top_n_per_month": 200},
    )
    manifest = manifest.match_to_schema(FOLLOW_UP_MANIFEST, missing_columns="insert")
    sidecar = manifests.freeze(
        Selection(manifest, funnel, {}),
        config_hash="c",
        master_sha256=sha256(lake.master),
        now=NOW,
        cohorts=cohorts,
    )
    tape = tape_of(lake, profile)
    for kind, rows_at in zip(TAPE_KINDS, (trades_at, quotes_at), strict=True):
        for span in spans_of(tape.missing_spans(kind, event_windows(MANIFEST))):
            if span.events_merged[0] in {"failed", "denied"}:
                tape.record_failure(kind, span, span.events_merged[0], "HTTP 503", {"requests": 2})
                continue
            rows = rows_at(*(span.start + timedelta(seconds=second) for second in range(1, 60)))
            certificate = {
                **dict.fromkeys(("pages", "requests"), 1),
                **dict.fromkeys(("retries", "throttled", "repeats"), 0),
                "received": rows.height,
                "request_ids": [f"of {span.symbol}"],
                "kind": kind,
                "profile": profile,
                "fetched_at": LATER.isoformat(),
                "config_hash": "c",
            }
            tape.publish(kind, span, rows.select(*tape.schema(kind)), certificate)
    certify(lake, profile)
    kpis = pl.DataFrame([("PM", f"figure of {profile}", 1.0, ">= 1", True)], schema=KPIS, orient="row")
    publish_frame(lake.ledger(profile).with_name("report.parquet"), kpis)
    _fill_review(lake, profile, sidecar["manifest_id"])


def _fill_research(lake: Lake) -> None:
    store = ResearchStore(lake)
    for table, schema in SYMBOL_TABLES.items():
        for symbol in SYMBOLS:
            store.publish(lake.research_symbol(table, symbol), schema.to_frame(), {"rows": "0"})
    store.publish(lake.research_table("event_scores"), EVENT_SCORES.to_frame(), {})
    store.publish(lake.research_table("events_with_waves_enriched"), ENRICHED.to_frame(), {})
    for profile in PROFILES:
        rows = MANIFEST.select(pl.col("event_id").cast(pl.String)).match_to_schema(
            RESEARCH_TABLE, missing_columns="insert"
        )
        store.publish(lake.research_table("research_table", profile), rows, {})
        for table, schema in {
            "event_costs": EVENT_COSTS,
            "research_labels": RESEARCH_LABELS,
            "cohorts": COHORTS,
            "cohort_members": COHORT_MEMBERS,
            "control_manifest": CONTROL_MANIFEST,
            "control_features": CONTROL_FEATURES,
            "control_labels": CONTROL_LABELS,
            "control_outcomes": CONTROL_OUTCOMES,
            "control_waves": CONTROL_WAVES,
        }.items():
            store.publish(lake.research_table(table, profile), schema.to_frame(), {})
        for table, schema in TAPE_TABLES.items():
            for symbol in SYMBOLS:
                store.publish(lake.research_wave(profile, table, "RTH", symbol), schema.to_frame(), {})


def _fill_review(lake: Lake, profile: str, manifest_id: str) -> None:
    sample = pl.DataFrame(
        [(name, "flush", "RTH", 5, 2) for name in MANIFEST["event_id"]], schema=SAMPLED_EVENTS, orient="row"
    )
    store, sample_id = ReviewStore(lake, profile), "0123456789abcdef"
    store.publish(Sheet(manifest_id, sample_id, sample), f"<html><body>events of {profile}</body></html>\n")
    moment = "2025-12-03T10:00:00Z"
    labels = {
        "format": "smallcaps review marks",
        "version": 1,
        "profile": profile,
        "manifest_id": manifest_id,
        "sample_id": sample_id,
        "exported_at": moment,
        "marks": {"one": {"mark": "good", "at": moment}},
    }
    store.add(parse_labels(json.dumps(labels), "labels.json"))
