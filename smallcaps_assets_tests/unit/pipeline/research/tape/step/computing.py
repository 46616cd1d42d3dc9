"""Research tables of the tape of a lake, computed."""

import os
import time
from collections.abc import Collection
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.research.tape.block_tables import TAPE_TABLES
from smallcaps_assets.pipeline.research.tape.tape_parts import PartResult
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.tape_scenes import (
    EVENTS,
    FIRST,
    MINUTE,
    SYMBOL,
    capture,
    manifest_with,
    tape_of,
    trade_rows,
    window_of,
)

PAIRS = [(SYMBOL, wave) for wave in ("PM", "AH", "RTH")]
PARAMS = ResearchParams()
ALL = tuple(EVENTS)


def research(lake: Lake, params: ResearchParams = PARAMS) -> TapeResearch:
    return TapeResearch(tape_of(lake), params, default_settings().sessions)


def compute(lake: Lake, names: Collection[str] = ALL, params: ResearchParams = PARAMS) -> list[PartResult]:
    return list(research(lake, params).run(manifest_with(*names), PAIRS))


def computed(results: list[PartResult]) -> set[str]:
    """The events that were computed; none of the parts has a problem."""
    assert [outcome.problems for found in results for outcome in found.outcomes.values() if outcome.problems] == []
    return {event for found in results for event in found.computed}


def rows(lake: Lake, table: str, wave: str = "RTH") -> pl.DataFrame:
    path = lake.research_wave("core", table, wave, SYMBOL)
    return pl.read_parquet(path, hive_partitioning=False) if path.is_file() else TAPE_TABLES[table].to_frame()


def classes(lake: Lake) -> dict[str, int]:
    minutes = pl.concat(rows(lake, "bar_reconciliation", wave) for wave in ("PM", "RTH"))
    return dict(minutes.group_by("class").len().iter_rows())


def capture_minute(lake: Lake, trades: tuple[tuple[float, float, float], ...]) -> None:
    """Publish the tape of FIRST again with other trades in the third minute of its window."""
    start, end = window_of(FIRST)
    capture(tape_of(lake), FIRST, "trades", trade_rows(start, end, {start + 2 * MINUTE: trades}))


def inputs(lake: Lake) -> list[Path]:
    return sorted([*(lake.root / "tape").rglob("*.parquet"), *lake.minute_bars.rglob("*.parquet")])


def date_inputs(lake: Lake, seconds: float) -> None:
    """Have tape and bars last changed so many seconds from now."""
    for path in inputs(lake):
        os.utime(path, (time.time() + seconds,) * 2)


def garble(lake: Lake) -> None:
    """Replace tape and bars by bytes of no meaning; size and time stay."""
    for path in inputs(lake):
        state = path.stat()
        path.write_bytes(b"x" * state.st_size)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def shown(results: list[PartResult]) -> list[tuple[object, ...]]:
    return [
        (result.pair, asset, outcome.figures["events"], outcome.version)
        for result in sorted(results)
        for asset, outcome in result.outcomes.items()
    ]


def flip_footer(path: Path) -> None:
    """The length of the footer, before the last four bytes."""
    content = bytearray(path.read_bytes())
    content[-6] ^= 0x40
    path.write_bytes(content)
