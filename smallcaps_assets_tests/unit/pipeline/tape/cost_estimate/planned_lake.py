"""Manifests, missing spans and lakes of the tests of cost estimates."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.tape.cost_estimate import LearnedRatios, PlanAssumptions, Terms, choose_rates
from smallcaps_assets.domain.tape.tables import COST_ESTIMATE, SPANS_TO_FETCH, WINDOWS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.tape.cost_estimate import CapturePlan, Planner
from smallcaps_assets_tests.conftest import event, manifest_of, quotes_at, trades_at
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat

NOON = datetime(2025, 11, 5, 17, tzinfo=UTC)
ASSUMED = PlanAssumptions(trades_per_bar=50, quotes_per_trade=6, bytes_per_trade=18, bytes_per_quote=16)
NOTHING = LearnedRatios(None, None, None, None, 0, 0, 0)
RATES = choose_rates(NOTHING, ASSUMED)
TERMS = Terms(rows_per_page=50_000, requests_per_minute=5, max_hz=5)
COLUMNS = [name for name in COST_ESTIMATE if name not in ("wave", "hours")]


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def missing_spans(*spans: tuple[str, str, float, list[str]], minutes: int = 10) -> pl.DataFrame:
    """Spans of ten minutes: kind, wave, trades, events."""
    rows = [
        (kind, "AEMD", wave, at(0), at(minutes), events, False, float(trades)) for kind, wave, trades, events in spans
    ]
    return pl.DataFrame(rows, schema=SPANS_TO_FETCH, orient="row")


def windows(*rows: tuple[str, str, float], minutes: int = 10) -> pl.DataFrame:
    """Windows of ten minutes: event, wave, trades."""
    found = [(name, "AEMD", wave, at(0), at(minutes), float(trades)) for name, wave, trades in rows]
    return pl.DataFrame(found, schema={**WINDOWS, "trades": pl.Float64()}, orient="row")


def by_wave(table: pl.DataFrame) -> dict[str, dict[str, Any]]:
    assert table.schema == COST_ESTIMATE
    return {row["wave"]: row for row in table.to_dicts()}


# two windows of AVLO that form one span, one of CRVO, and one of AVLO before the open, for which there are no bars
MANIFEST = manifest_of(
    event("2025-11-26 10:00", event_id="a1", symbol="AVLO"),
    event("2025-11-26 10:05", event_id="a2", symbol="AVLO"),
    event("2025-11-26 11:00", event_id="c1", symbol="CRVO"),
    event("2025-11-26 08:00", event_id="a0", symbol="AVLO", session="PM"),
)
DAY = date(2025, 11, 26)
PARAMS = default_settings().profiles["core"]
A_RTH = Span(
    "AVLO", "RTH", datetime(2025, 11, 26, 14, 57, tzinfo=UTC), datetime(2025, 11, 26, 15, 12, tzinfo=UTC), ("a1", "a2")
)


def with_bars(lake: Lake) -> None:
    """An hour of AVLO with 40 trades a minute, and an hour of CRVO whose trades are not counted."""
    for symbol, start, transactions in (("AVLO", "2025-11-26 09:45", 40), ("CRVO", "2025-11-26 10:30", None)):
        bars = clean_bars(bars_from(start, flat(60, transactions=transactions), symbol))
        BarsStore(lake).add(symbol, DAY.replace(day=1), [DAY], bars.good, bars.quarantined)


def tape(lake: Lake) -> TapeStore:
    return TapeStore(lake, "core", PARAMS)


def planned(lake: Lake, **options: Any) -> CapturePlan:
    return Planner(tape(lake), ASSUMED, 5).plan(MANIFEST, **options)


def put(lake: Lake) -> None:
    """Publish the tape of AVLO's span after the open: three trades, and two of six quotes."""
    lake.root.mkdir(exist_ok=True)
    seconds = [A_RTH.start + timedelta(seconds=second) for second in range(3)]
    certificate = {"requests": 1, "pages": 1, "retries": 0, "throttled": 0}
    tape(lake).publish("trades", A_RTH, _minimal(trades_at(*seconds), lake, "trades"), {**certificate, "received": 3})
    quotes = _minimal(quotes_at(*seconds[:2]), lake, "quotes")
    tape(lake).publish("quotes", A_RTH, quotes, {**certificate, "received": 6})


def _minimal(rows: pl.DataFrame, lake: Lake, kind: Any) -> pl.DataFrame:
    return rows.select(*tape(lake).schema(kind))
