"""Metadata of a night that takes bars from flat files: what it took, what still waits, and what differs from REST."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

import dagster as dg

from smallcaps_assets.defs.flat_files import FLAT_BARS_ASSET
from smallcaps_assets.defs.metadata.entries import Metadata
from smallcaps_assets.domain.bars.source_differences import KINDS, describe_differences
from smallcaps_assets.domain.words import count_clause, count_noun

_ROWS: Final = "dagster/partition_row_count"
_NAMED: Final = 5


def night_of_flat_files(done: Iterable[dg.AssetMaterialization], without_file: Sequence[date]) -> Metadata:
    """What a night did with flat files: a sentence, and its figures to plot.

    Args:
        done: the materializations of the night.
        without_file: expected sessions without a table of a flat file, in order; their bars come over REST, or wait
            where the vendor has the file.
    """
    files, bars = Counter[str](), Counter[str]()
    for one in done:
        asset = one.asset_key.to_user_string()
        if asset == FLAT_BARS_ASSET:
            files.update(_numbers(one))
        elif asset == "minute_bars":
            bars.update(_numbers(one))
    return {
        "flat files": "; ".join([_describe_files(files), _describe_waiting(without_file), _describe_compared(bars)]),
        "flat_files": files["files_fetched"],
        "flat_file_rows": files[_ROWS],
        "flat_files_replaced": files["files_replaced"],
        "sessions_without_file": len(without_file),
        "symbol_sessions_from_files": bars["sessions_from_files"],
        "symbol_sessions_compared": bars["sessions_compared"],
        "symbol_sessions_differing": bars["sessions_differing"],
    }


def _numbers(one: dg.AssetMaterialization) -> dict[str, int]:
    return {name: value.value for name, value in one.metadata.items() if isinstance(value.value, int)}


def _describe_files(files: Counter[str]) -> str:
    taken = files["files_fetched"]
    if not taken:
        return "no new file"
    replaced = files["files_replaced"]
    others = f", {count_clause(replaced, 'of which replaces', 'of which replace')} an earlier one" if replaced else ""
    return f"{count_noun(taken, 'file')} with {count_noun(files[_ROWS], 'row')} taken{others}"


def _describe_waiting(days: Sequence[date]) -> str:
    if not days:
        return "every session has its file"
    more = f" and {len(days) - _NAMED:,} earlier" if len(days) > _NAMED else ""
    named = ", ".join(map(str, reversed(days[-_NAMED:])))
    return f"{count_clause(len(days), 'session has', 'sessions have')} no file in the lake yet: {named}{more}"


def _describe_compared(bars: Counter[str]) -> str:
    compared = bars["sessions_compared"]
    if not compared:
        return "nothing to compare with REST"
    words = f"{count_noun(compared, 'symbol-session')} compared with REST"
    differing = bars["sessions_differing"]
    if not differing:
        return f"{words}, none differs"
    kinds = {kind: bars[f"minutes_{kind}"] for kind in KINDS}
    differs = count_clause(differing, "differs", "differ")
    return f"{words}, {differs}: {describe_differences(kinds, 'REST', 'the files')}"
