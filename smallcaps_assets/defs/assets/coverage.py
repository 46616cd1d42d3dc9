"""Asset `coverage`: which sessions of bars are expected, and which are published."""

from collections.abc import Iterator
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.asset_checks import COVERAGE_CHECKS, check_specs, report_findings
from smallcaps_assets.defs.metadata import Metadata, column_schema, coverage_pictures, limit_lines, table
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.bars.coverage import COVERAGE, by_symbol
from smallcaps_assets.domain.bars.suspect_prints import shown_prints
from smallcaps_assets.pipeline.bars.coverage import Coverage, Inventory
from smallcaps_assets.settings.settings import Settings

_SHOWN: Final = 50
_WORST: Final = (
    *("symbol", "state", "active", "sessions_expected", "sessions_missing", "first_missing", "last_missing"),
    *("sessions_empty_between", "sessions_beyond", "sessions_doubled", "cause"),
)


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The asset."""
    return [coverage]


@dg.asset(
    deps=["minute_bars"],
    io_manager_key="lake_tables",
    metadata=column_schema(COVERAGE),
    check_specs=check_specs(dg.AssetKey("coverage"), COVERAGE_CHECKS),
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
    yield from report_findings(context.asset_key, made.findings)


def _figures(made: Coverage, partitions: list[str]) -> Metadata:
    symbols = by_symbol(made.table)
    # without expected and without published sessions
    idle = sorted(set(partitions) - set(symbols["symbol"]))
    figures: Metadata = {
        "dagster/row_count": made.table.height,
        **made.figures(),
        "partitions_idle": len(idle),
        "idle_partitions": ", ".join(idle[:_SHOWN]) or "none",
    }
    worst = (
        symbols.filter((pl.col("state") != "complete") | (pl.col("sessions_doubled") > 0)).select(_WORST).head(_SHOWN)
    )
    if made.first_bar:
        figures["first_bar_before_history"] = str(made.first_bar)
    if not worst.is_empty():
        figures["worst"] = table(worst)
    if made.causes:
        figures["unreadable"] = limit_lines([f"{symbol}: {cause}" for symbol, cause in made.causes.items()])
    if not made.prints.is_empty():
        figures["suspect_prints"] = table(shown_prints(made.prints.head(_SHOWN)))
    if not made.lost.is_empty():
        figures["lost_minutes"] = table(made.lost.head(_SHOWN))
    return figures | coverage_pictures(made.table)
