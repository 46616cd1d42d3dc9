"""Asset `coverage`: which sessions of bars are expected, and which are published."""

from collections.abc import Iterator
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.checks.asset_checks import check_specs, report_findings
from smallcaps_assets.defs.checks.texts import COVERAGE_CHECKS
from smallcaps_assets.defs.metadata.entries import (
    Metadata,
    column_schema,
    coverage_pictures,
    in_words,
    limit_lines,
    new_york,
    round_value,
    table,
)
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.bars.coverage import COVERAGE, all_published, by_symbol, describe_coverage
from smallcaps_assets.domain.bars.suspect_prints import shown_prints
from smallcaps_assets.pipeline.bars.coverage import Coverage, Inventory
from smallcaps_assets.settings.settings import Settings

_SHOWN: Final = 50
# narrow enough for the page; the table has every figure
_WORST: Final = {
    "symbol": "symbol",
    "state": "state",
    "missing": "sessions_missing",
    "first": "first_missing",
    "doubled": "sessions_doubled",
}


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The asset."""
    return [coverage]


@dg.asset(
    deps=["minute_bars"],
    io_manager_key="lake_tables",
    metadata=column_schema(COVERAGE, below=True),
    check_specs=check_specs(dg.AssetKey("coverage"), COVERAGE_CHECKS, independent=False),
)
def coverage(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> Iterator[dg.MaterializeResult[object] | dg.AssetCheckResult]:
    """Expected and published sessions of every symbol and month; lost minutes, doubled volumes, suspect prints.

    Of a followed symbol, sessions are expected from its listing, where that is known, to the last day it is followed.
    Before history.first_session, and of symbols that are not followed, they are expected from the first bar to the
    last. Reads all bars once, a few hundred million in minutes; `smallcaps coverage` prints the same.
    """
    made = Inventory(lake.bars(), lake.universe(), settings.load(), context.log.info).run(settings.now())
    partitions = context.instance.get_dynamic_partitions(SYMBOLS.name or "")
    yield dg.MaterializeResult(value=made.table, metadata=_figures(made, partitions))
    yield from report_findings(context.asset_key, [all_published(made.table), *made.findings])


def _figures(made: Coverage, partitions: list[str]) -> Metadata:
    symbols, counts = by_symbol(made.table), made.figures()
    # without expected and without published sessions
    idle = sorted(set(partitions) - set(symbols["symbol"]))
    expected, here = counts["symbol_sessions_expected"], counts["symbol_sessions_here"]
    figures: Metadata = {"verdict": describe_coverage(made.table), **coverage_pictures(made.table)}
    worst = symbols.filter((pl.col("state") != "complete") | (pl.col("sessions_doubled") > 0))
    if not worst.is_empty():
        figures["worst"] = table(worst.select(**_WORST).head(_SHOWN))
    if made.causes:
        figures["unreadable"] = limit_lines([f"{symbol}: {cause}" for symbol, cause in made.causes.items()])
    if not made.prints.is_empty():
        figures["suspect prints"] = table(_prints(made.prints.head(_SHOWN)))
    if not made.lost.is_empty():
        figures["lost minutes"] = table(_lost(made.lost.head(_SHOWN)))
    if expected:
        figures["published_pct"] = round_value(100 * here / expected)
    plotted = {"symbols": "symbols", "sessions missing": "symbol_sessions_missing", "bars": "bars"}
    figures |= {name: counts[count] for name, count in plotted.items()}
    if made.first_bar:
        figures["first bar before history"] = str(made.first_bar)
    others = {name: count for name, count in counts.items() if name not in plotted.values()}
    rows = pl.DataFrame({"figure": list(others), "count": list(others.values())}).with_columns(in_words("figure"))
    return figures | {
        "counts": table(rows),
        "idle partitions": ", ".join(idle[:_SHOWN]) or "none",
        "dagster/row_count": made.table.height,
    }


def _prints(listed: pl.DataFrame) -> pl.DataFrame:
    """Suspect prints, narrow enough for the page; the check names their events."""
    return shown_prints(listed).select("symbol", new_york("timestamp"), "side", "value", "events")


def _lost(runs: pl.DataFrame) -> pl.DataFrame:
    """Lost minutes: the first of each run, how many, and how many active symbols have a bar in them."""
    return runs.select(new_york("first"), "minutes", "active", pl.col("with_bar").alias("with bar"))
