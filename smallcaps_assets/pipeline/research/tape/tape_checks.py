"""Checks of the research tables of the tape of a profile; each reads what is published."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.findings import EXAMPLES, Finding, finding
from smallcaps_assets.domain.research.micro.figures.spreads import HORIZONS
from smallcaps_assets.domain.research.tape.reconciliation import count_classes, count_exact
from smallcaps_assets.lake.files.publish import disk_errors
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

    def rows(table: str) -> pl.LazyFrame:
        return store.scan(files(table), TAPE_TABLES[table])

    def judge(name: str, find: Callable[[pl.LazyFrame], pl.LazyFrame], table: str = asset) -> Finding:
        """Streamed: tables of all windows may be larger than memory."""
        breaking = find(rows(table))
        wanted = (breaking.head(EXAMPLES), breaking.select(pl.len()), rows(asset).select(pl.len()))
        with disk_errors("read", research.tape.lake.research / profile / table):
            examples, broken, every = pl.collect_all(wanted, engine="streaming")
        return finding(name, examples, count=broken.item()).unjudged_if(not every.item(), "nothing is computed yet")

    def computed() -> pl.Series:
        with disk_errors("read", research.tape.lake.research / profile / asset):
            return rows(asset).select(pl.col("event_id").unique()).collect(engine="streaming").to_series()

    def classes() -> pl.DataFrame:
        with disk_errors("read", research.tape.lake.research / profile / asset):
            return count_classes(rows(asset)).collect(engine="streaming")

    of_assets: dict[str, dict[str, Callable[[], Finding]]] = {
        "micro_features": {
            "finite_values": lambda: judge("finite_values", _not_finite),
            "shares": lambda: judge("shares", _off_shares),
            "spread_parts": lambda: judge("spread_parts", _off_spreads),
            "explained_share": lambda: judge("explained_share", _off_r2),
            "nothing_peeks": lambda: _nothing_peeks(research, manifest, computed()),
            QUOTE_SIZE_CHECK: lambda: check_quote_sizes(research, manifest),
        },
        "bar_reconciliation": {
            "finite_values": lambda: judge("finite_values", _not_finite),
            "unique_minutes": lambda: judge("unique_minutes", lambda found: _repeated(found, "symbol", "timestamp")),
            "exact_minutes": lambda: _exact_minutes(classes()),
        },
        "event_tape_state": {
            "unique_events": lambda: judge("unique_events", lambda found: _repeated(found, "event_id")),
            "halts_in_order": lambda: judge(
                "halts_in_order", lambda found: found.filter(pl.col("start") >= pl.col("end")), "tape_halts"
            ),
        },
    }
    complete = {
        REGISTRY_COMPLETE: lambda: check_registry(store, {table: files(table) for table in ASSET_TABLES[asset]})
    }
    return of_assets[asset] | complete


def _not_finite(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.filter(pl.any_horizontal(~pl.selectors.float().is_finite()).fill_null(value=False))


def _off_shares(rows: pl.LazyFrame) -> pl.LazyFrame:
    total = pl.sum_horizontal((f"{state}_share" for state in _STATES), ignore_nulls=False)
    return rows.filter((total - 1).abs() > _CLOSE).select("event_id", "segment", total=total)


def _off_spreads(rows: pl.LazyFrame) -> pl.LazyFrame:
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


def _off_r2(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.filter(~pl.col("kyle_r2").is_between(0, 1)).select("event_id", "segment", "kyle_r2")


def _repeated(rows: pl.LazyFrame, *key: str) -> pl.LazyFrame:
    """The keys that more than one row has."""
    return rows.group_by(key).len("rows").filter(pl.col("rows") > 1)


def _exact_minutes(classes: pl.DataFrame) -> Finding:
    """Whether most minutes with trades or a bar agree; `classes` are the number of `minutes` of each `class`."""
    exact, compared = count_exact(classes)
    share = exact / compared if compared else None
    few = share is not None and share < _LEAST_EXACT
    others = classes.filter(~pl.col("class").is_in(["exact", "no_trades_no_bar"]))
    others = others.sort("minutes", "class", descending=[True, False])
    figures = {"exact_share": share, "minutes": compared}
    found = Finding("exact_minutes", not few, figures, others, severe=False)
    return found.unjudged_if(share is None, "no minute with trades or a bar is compared yet")


def _nothing_peeks(research: TapeResearch, manifest: pl.DataFrame, computed: pl.Series) -> Finding:
    events = sorted(set(computed) & set(manifest["event_id"]))
    # other events each time
    chosen = random.SystemRandom().sample(events, min(_SAMPLED, len(events)))
    found = finding("nothing_peeks", find_peeking(research, manifest, chosen), {"events": len(chosen)})
    return found.unjudged_if(not events, "nothing is computed yet")
