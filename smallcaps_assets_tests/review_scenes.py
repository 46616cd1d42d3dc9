"""A lake with a manifest of three events and their bars, for review sheets."""

from datetime import UTC, date, datetime
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets_tests.conftest import event, manifest_of
from smallcaps_assets_tests.scenarios import bars_from, flat

MANIFEST_ID: Final = "core_20251202_031500"
# opens at 10.00, closes at 10.40 on nine times the volume; its typical price is 10.30
BREAK: Final = (10.0, 10.5, 10.0, 10.4, 90_000.0, 300)
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
    opening = bars_from("2025-11-05 09:30", [*flat(40), BREAK, *flat(30, 10.4)])
    premarket = bars_from("2025-11-05 08:00", [*flat(30), BREAK, *flat(10, 10.4)], "BRTX")
    return pl.concat([opening, premarket])


def fill_lake(lake: Lake, manifest: pl.DataFrame | None = None) -> None:
    """Store the bars and freeze the manifest, as core's current one."""
    day = date(2025, 11, 5)
    lake.root.mkdir(exist_ok=True)
    for (symbol,), bars in scene_bars().group_by("symbol", maintain_order=True):
        BarsStore(lake).add(str(symbol), day, [day], bars, QUARANTINED_BARS.to_frame())
    rows = scene_manifest() if manifest is None else manifest
    ManifestStore.in_lake(lake, "core").freeze(
        Selection(rows, [{"step": "max_events", "rows": rows.height}], {}),
        config_hash="0" * 16,
        master_sha256="0" * 64,
        now=datetime(2025, 12, 2, 3, 15, tzinfo=UTC),
    )
