"""A small lake with a file of every kind, made without Dagster in about a second; tests damage its files."""

import json
import shutil
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.imports.events import IMPORTED_EVENTS
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.review.labels import parse_labels
from smallcaps_assets.domain.tape.kpis import capture_kpis
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.domain.tape.tables import KPIS
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import STORED_DETAILS, UniverseStore
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.imports.events import EVENTS_PROVENANCE
from smallcaps_assets.pipeline.operations.nightly import BEHIND
from smallcaps_assets.pipeline.review.review import Review
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.settings.settings import Settings
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.conftest import LATER, client_of, event, manifest_of, master_of, open_gate
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat

DAY = date(2025, 11, 26)
EVENTS = (
    event("2025-11-26 10:00", event_id="AVLO_volume_spike_20251126_150000_00000000", symbol="AVLO"),
    event("2025-11-26 11:00", event_id="CRVO_volume_spike_20251126_160000_00000000", symbol="CRVO"),
)
SYMBOLS = ("AVLO", "CRVO")
# opens at 10.00 and closes at 10.40 on nine times the volume: an event
BREAK = (10.0, 10.5, 10.0, 10.4, 90_000.0, 300)


def fill_small_lake(lake: Lake, market: SimulatedMarket, settings: Settings | None = None) -> None:
    """Write universe, details, bars, shards, MASTER, imported events, manifest, tape, ledger, report and review."""
    chosen = settings or default_settings()
    lake.root.mkdir(parents=True, exist_ok=True)
    _fill_reference(lake)
    _fill_events(lake, chosen)
    store = ManifestStore.in_lake(lake, "core")
    manifest = manifest_of(*EVENTS)
    funnel = [{"step": "max_events", "rows": manifest.height}]
    store.freeze(Selection(manifest, funnel, {}), config_hash="0" * 16, master_sha256="0" * 64, now=LATER)
    tape = TapeStore(lake, "core", chosen.profiles["core"])
    with open_gate(market) as gate, closing(client_of(gate)) as client:
        for kind in TAPE_KINDS:
            capture = Capture(kind, tape, client, 1, "abc", log=lambda line: None)  # noqa: ARG005
            list(capture.run(manifest, [(symbol, "RTH") for symbol in SYMBOLS]))
    gone = Span("AVLO", "PM", datetime(2025, 11, 26, 13, tzinfo=UTC), datetime(2025, 11, 26, 14, tzinfo=UTC), ("x",))
    tape.record_failure("quotes", gone, "failed", "HTTP 503", {"requests": 6})
    ledger = build_ledger(manifest, tape, store.current_id())
    publish_frame(lake.ledger("core"), ledger, below=lake.root)
    report = capture_kpis(ledger, capture_effort(tape), chosen.kpis).match_to_schema(KPIS)
    publish_frame(lake.ledger("core").with_name("report.parquet"), report, below=lake.root)
    review = Review(lake, "core", chosen)
    sheet = review.make().sheet
    labels = {
        "format": "smallcaps review marks",
        "version": 1,
        "profile": "core",
        "manifest_id": sheet.manifest_id,
        "sample_id": sheet.sample_id,
        "exported_at": "2025-12-02T10:00:00Z",
        "marks": {EVENTS[0]["event_id"]: {"mark": "good", "at": "2025-12-02T10:00:00Z"}},
    }
    review.store.add(parse_labels(json.dumps(labels), "labels.json"))


def _fill_reference(lake: Lake) -> None:
    named = pl.DataFrame({"symbol": SYMBOLS, "ticker_type": "CS", "market_cap_usd": 1e8})
    rows = named.with_columns(active=pl.lit(value=True)).match_to_schema(UNIVERSE, missing_columns="insert")
    # of no source, so that events of any may be imported
    UniverseStore(lake).replace(rows, {})
    details = named.select("symbol", "ticker_type", "market_cap_usd")
    publish_frame(lake.ticker_details, details.match_to_schema(STORED_DETAILS, missing_columns="insert"), {})
    publish_frame(lake.nightly_report, BEHIND.to_frame(), below=lake.root)
    publish_frame(lake.coverage, pl.DataFrame({"symbol": SYMBOLS}), below=lake.root)


def _fill_events(lake: Lake, settings: Settings) -> None:
    for symbol in SYMBOLS:
        bars = bars_from(f"{DAY} 09:30", [*flat(40), BREAK, *flat(90, 10.4)], symbol)
        rejected = bars.head(1).with_columns(reason=pl.lit("not a minute")).match_to_schema(QUARANTINED_BARS)
        BarsStore(lake).add(symbol, DAY.replace(day=1), [DAY], bars, rejected)
    reference = UniverseStore(lake).reference()
    detector = Detector(BarsStore(lake), ShardStore(lake), settings.detection, settings.sessions, reference)
    assert not [problem for outcome in detector.run(SYMBOLS) for problem in outcome.problems]
    publish_frame(lake.master, master_of(*EVENTS), below=lake.root)
    imported = master_of(*EVENTS).match_to_schema(IMPORTED_EVENTS, missing_columns="insert", extra_columns="ignore")
    publish_frame(lake.imported_events, imported, {"what": EVENTS_PROVENANCE}, below=lake.root)


def fresh_clone(folder: Path) -> Path:
    """A folder with the configuration of a fresh clone."""
    shutil.copytree(REPOSITORY / "config", folder / "config")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    return folder
