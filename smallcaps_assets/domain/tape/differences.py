"""Late changes by the vendor: compare the stored tape of one span with what is sent now."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.tables import UTC_NS

# Columns that identify a row. Trade numbers are unique within a symbol's day, so that even the time may change.
MATCH_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "trades": ("sequence_number", "trade_id", "exchange"),
    "quotes": ("sequence_number", "timestamp"),
}
# `change` is added, removed or altered; `values` are the old and new values of an altered row, as text.
DIFFERENCE_EXAMPLES: Final = pl.Schema(
    {"change": pl.String(), "timestamp": UTC_NS, "sequence_number": pl.Int64(), "values": pl.String()}
)
_EXAMPLES_OF_EACH: Final = 3


class Differences(NamedTuple):
    """How many rows were added, removed or altered, and a few examples of each (DIFFERENCE_EXAMPLES)."""

    added: int
    removed: int
    altered: int
    examples: pl.DataFrame


def compare_tape(before: pl.DataFrame, after: pl.DataFrame, kind: str) -> Differences:
    """Compare two versions of a tape, matching rows by MATCH_KEYS; nulls equal nulls.

    Rows of one frame with the same key are matched in their order. Only columns of both frames are compared.

    Args:
        before: trades or quotes as stored.
        after: the same as sent now, thinned in the same way.
        kind: `trades` or `quotes`.
    """
    keys = MATCH_KEYS[kind]
    columns = [name for name in before.columns if name in after.columns and name not in keys]
    then, now = (
        frame.select(
            *keys,
            *columns,
            _turn=pl.int_range(pl.len()).over(*keys),
            _there=pl.lit(value=True),
            _time="timestamp",
        )
        for frame in (before, after)
    )
    joined = then.join(now, on=[*keys, "_turn"], how="full", suffix="_now", nulls_equal=True, coalesce=True)
    unlike = pl.any_horizontal(
        pl.lit(value=False), *(pl.col(name).ne_missing(pl.col(f"{name}_now")) for name in columns)
    )
    change = (
        pl.when(pl.col("_there").is_null())
        .then(pl.lit("added"))
        .when(pl.col("_there_now").is_null())
        .then(pl.lit("removed"))
        .when(unlike)
        .then(pl.lit("altered"))
    )
    changed = (
        joined.with_columns(change=change, _time=pl.coalesce("_time", "_time_now"))
        .drop_nulls("change")
        .sort("_time", "sequence_number", maintain_order=True)
    )
    by_change = {name: changed.filter(pl.col("change") == name) for name in ("added", "removed", "altered")}
    few = [row for rows in by_change.values() for row in rows.head(_EXAMPLES_OF_EACH).to_dicts()]
    return Differences(
        **{name: rows.height for name, rows in by_change.items()},
        examples=pl.DataFrame([_example(row, columns) for row in few], schema=DIFFERENCE_EXAMPLES, orient="row"),
    )


def _example(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[object, ...]:
    values = [
        f"{name} {row[name]} -> {row[f'{name}_now']}"
        for name in columns
        if row["change"] == "altered" and row[name] != row[f"{name}_now"]
    ]
    return row["change"], row["_time"], row["sequence_number"], ", ".join(values) or None
