"""Checks of the research tables of the tape of a profile; each reads what is published."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.research.micro.spreads import HORIZONS
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.pipeline.research.registry_check import REGISTRY_COMPLETE, check_registry
from smallcaps_assets.pipeline.research.tape.block_tables import TAPE_TABLES
from smallcaps_assets.pipeline.research.tape.look_ahead import find_peeking
from smallcaps_assets.pipeline.research.tape.size_unit_check import QUOTE_SIZE_CHECK, check_quote_sizes
from smallcaps_assets.pipeline.research.tape.tape_parts import ASSET_TABLES
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch

_STATES: Final = ("normal", "locked", "crossed", "one_sided", "empty", "none")
_CLOSE: Final = 1e-9
_LEAST_EXACT: Final = 0.95
# events of the perturbation test of one run
_SAMPLED: Final = 20


def checks_of_tape_research(research: TapeResearch, manifest: pl.DataFrame, asset: str) -> Checks:
    """The checks of one asset of ASSET_TABLES, by name; `manifest` are its events (MANIFEST)."""
    store, profile = ResearchStore(research.tape.lake), research.tape.profile

    def files(table: str) -> list[Path]:
        return store.parts(research.tape.lake.research / profile / table)

    @cache
    def rows(table: str) -> pl.DataFrame:
        return store.scan(files(table), TAPE_TABLES[table]).collect()

    def judge(name: str, find: Callable[[pl.DataFrame], pl.DataFrame]) -> Finding:
        found = rows(asset)
        return finding(name, find(found)).unjudged_if(found.is_empty(), "nothing is computed yet")

    of_assets: dict[str, dict[str, Callable[[], Finding]]] = {
        "micro_features": {
            "finite_values": lambda: judge("finite_values", _not_finite),
            "shares": lambda: judge("shares", _off_shares),
            "spread_parts": lambda: judge("spread_parts", _off_spreads),
            "explained_share": lambda: judge("explained_share", _off_r2),
            "nothing_peeks": lambda: _nothing_peeks(research, manifest, rows("micro_features")["event_id"]),
            QUOTE_SIZE_CHECK: lambda: check_quote_sizes(research, manifest),
        },
        "bar_reconciliation": {
            "finite_values": lambda: judge("finite_values", _not_finite),
            "unique_minutes": lambda: judge(
                "unique_minutes", lambda found: found.filter(found.select("symbol", "timestamp").is_duplicated())
            ),
            "exact_minutes": lambda: _exact_minutes(rows("bar_reconciliation")),
        },
        "event_tape_state": {
            "unique_events": lambda: judge(
                "unique_events", lambda found: found.filter(pl.col("event_id").is_duplicated())
            ),
            "halts_in_order": lambda: finding(
                "halts_in_order", rows("tape_halts").filter(pl.col("start") >= pl.col("end"))
            ),
        },
    }
    complete = {
        REGISTRY_COMPLETE: lambda: check_registry(store, {table: files(table) for table in ASSET_TABLES[asset]})
    }
    return of_assets[asset] | complete


def _not_finite(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.any_horizontal(~pl.selectors.float().is_finite()).fill_null(value=False))


def _off_shares(rows: pl.DataFrame) -> pl.DataFrame:
    total = pl.sum_horizontal((f"{state}_share" for state in _STATES), ignore_nulls=False)
    return rows.filter((total - 1).abs() > _CLOSE).select("event_id", "segment", total=total)


def _off_spreads(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows whose realized spread and impact are of the same trades as the signed effective spread, but differ."""
    parts = []
    for h in HORIZONS:
        total, signed = (
            pl.col(f"realized_spread_{h}_bps") + pl.col(f"price_impact_{h}_bps"),
            "effective_spread_signed_bps",
        )
        of_same = pl.col(f"n_realized_{h}") == pl.col("n_effective")
        size = pl.max_horizontal(pl.col(f"realized_spread_{h}_bps").abs(), pl.col(f"price_impact_{h}_bps").abs(), 1.0)
        off = of_same & ((total - pl.col(signed)).abs() > _CLOSE * size)
        parts.append(rows.filter(off).select("event_id", "segment", total=total, signed=signed))
    return pl.concat(parts)


def _off_r2(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(~pl.col("kyle_r2").is_between(0, 1)).select("event_id", "segment", "kyle_r2")


def _exact_minutes(minutes: pl.DataFrame) -> Finding:
    traded = minutes.filter(pl.col("class") != "no_trades_no_bar")
    others = traded.filter(pl.col("class") != "exact").group_by("class").len("minutes").sort("minutes", descending=True)
    share = 1 - int(others["minutes"].sum()) / traded.height if traded.height else None
    few = share is not None and share < _LEAST_EXACT
    figures = {"exact_share": share, "minutes": traded.height}
    found = Finding("exact_minutes", not few, figures, others, severe=False)
    return found.unjudged_if(share is None, "no minute with trades or a bar is compared yet")


def _nothing_peeks(research: TapeResearch, manifest: pl.DataFrame, computed: pl.Series) -> Finding:
    events = sorted(set(computed) & set(manifest["event_id"]))
    # other events each time
    chosen = random.SystemRandom().sample(events, min(_SAMPLED, len(events)))
    found = finding("nothing_peeks", find_peeking(research, manifest, chosen), {"events": len(chosen)})
    return found.unjudged_if(not events, "nothing is computed yet")
