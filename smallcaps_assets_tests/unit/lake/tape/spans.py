"""Spans of tape in a lake, and manifests that need them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from smallcaps_assets.domain.manifests.selection import ProfileParams, Selection
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span, spans_of
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets_tests.conftest import event, manifest_of, quotes_at, trades_at
from smallcaps_assets_tests.scenarios import default_settings

TEN = datetime(2025, 11, 5, 15, tzinfo=UTC)  # 10:00 in New York


def at(minute: float) -> datetime:
    return TEN + timedelta(minutes=minute)


def params(**changes: Any) -> ProfileParams:
    return ProfileParams.model_validate(default_settings().profiles["core"].model_dump() | changes)


def tape(lake: Lake, **changes: Any) -> TapeStore:
    return TapeStore(lake, "core", params(**changes))


def span(start: float, end: float, *events: str, symbol: str = "AEMD", wave: str = "RTH") -> Span:
    return Span(symbol, wave, at(start), at(end), events)


def put(store: TapeStore, start: float, end: float, *minutes: float, kind: TapeKind = "trades", **where: str) -> None:
    """Publish a span with one row at each of `minutes`."""
    rows = (trades_at if kind == "trades" else quotes_at)(*map(at, minutes))
    store.publish(kind, span(start, end, **where), rows.select(*store.schema(kind)), {"requests": 1})


def missing(
    store: TapeStore, manifest: pl.DataFrame, kind: TapeKind = "trades", *, upgrade: bool = False
) -> list[tuple[str, str, int, int, tuple[str, ...]]]:
    return [
        (
            one.symbol,
            one.wave,
            *(round((when - TEN).total_seconds() / 60) for when in (one.start, one.end)),
            one.events_merged,
        )
        for one in spans_of(store.missing_spans(kind, event_windows(manifest), upgrade=upgrade))
    ]


# windows [-3, 7), [2, 12), [27, 37) of one symbol, and one of another
FIRST = event("2025-11-05 10:00", event_id="first")
SECOND = event("2025-11-05 10:05", event_id="second")
LATER = event("2025-11-05 10:30", event_id="later")
OTHER = event("2025-11-05 10:00", event_id="other", symbol="BRK.B")
MANIFEST = manifest_of(LATER, FIRST, OTHER, SECOND)


def freeze(lake: Lake, manifest: pl.DataFrame) -> None:
    ManifestStore.in_lake(lake, "core").freeze(Selection(manifest, [], {}), config_hash="c", master_sha256="m", now=TEN)


def minutes(rows: pl.DataFrame) -> list[float]:
    return [(when - TEN).total_seconds() / 60 for when in rows["timestamp"]]


def read(store: TapeStore, kind: TapeKind, event_id: str) -> list[float]:
    return minutes(store.trades(event_id) if kind == "trades" else store.quotes(event_id))


KINDS: Sequence[TapeKind] = ("trades", "quotes")
