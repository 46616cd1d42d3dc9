"""Answers with trade conditions, exchanges and splits to frames; an answer that violates the contract is rejected."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import polars as pl
import pyarrow as pa

from smallcaps_assets.domain.research.conditions import CONDITION_RULES
from smallcaps_assets.domain.research.market_state import SPLITS
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data.bad_rows import find_row_fault, parse_without_bad_rows
from smallcaps_assets.market_data.envelope import Fields, ParsedPage, make_page, parse_rows

_TEXT: Final = pa.string()
_RULES: Final = tuple(name for name in CONDITION_RULES if name != "id")
_CONDITION: Final[Fields] = {
    "id": pa.int64(),
    "name": _TEXT,
    "update_rules": pa.struct({"consolidated": pa.struct(dict.fromkeys(_RULES, pa.bool_()))}),
}
_EXCHANGE: Final[Fields] = {"id": pa.int64(), **dict.fromkeys(("name", "type", "mic", "operating_mic"), _TEXT)}
_SPLIT: Final[Fields] = {
    **dict.fromkeys(("ticker", "execution_date"), _TEXT),
    **dict.fromkeys(("split_from", "split_to"), pa.float64()),
}

CONDITIONS: Final = pl.Schema({"id": pl.Int64(), "name": pl.String(), **dict.fromkeys(_RULES, pl.Boolean())})
EXCHANGES: Final = pl.Schema({"id": pl.Int64(), **dict.fromkeys(("name", "type", "mic", "operating_mic"), pl.String())})


def parse_conditions_page(body: bytes) -> ParsedPage:
    """A page of trade conditions (CONDITIONS): rules of consolidated bars, null where the vendor has none.

    Raises:
        BadPage: not the promised shape.
    """
    frame, head = parse_rows(body, _CONDITION, ("id", "name"))
    rules = pl.col("update_rules").struct.field("consolidated")
    return make_page(frame.select("id", "name", *(rules.struct.field(name) for name in _RULES)), head)


def parse_exchanges_page(body: bytes) -> ParsedPage:
    """A page of exchanges (EXCHANGES): text is null where the vendor has none.

    Raises:
        BadPage: not the promised shape.
    """
    frame, head = parse_rows(body, _EXCHANGE, ("id",))
    return make_page(frame, head)


def parse_splits_page(body: bytes, days: tuple[date, date]) -> ParsedPage:
    """A page of splits (SPLITS); a few bad rows are left out and named, see `bad_rows`.

    Args:
        body: the answer, decompressed.
        days: the first and the last execution date that were requested.

    Raises:
        BadPage: not the promised shape, or splits of other days.
    """
    required = tuple(_SPLIT)

    def parse(body: bytes) -> ParsedPage:
        frame, head = parse_rows(body, _SPLIT, required)
        days_of_rows = frame["execution_date"].str.to_date("%Y-%m-%d", strict=False)
        rows = frame.with_columns(days_of_rows)
        if days_of_rows.null_count():
            raise BadPage("`execution_date` has text that is not a date YYYY-MM-DD")
        outside = days_of_rows.filter(~days_of_rows.is_between(*days))
        if outside.len():
            splits = count_clause(rows.height, "split is", "splits are")
            raise BadPage(f"{outside.len()} of {splits} of other days, such as {outside[0]}")
        if rows.filter((pl.col("split_from") <= 0) | (pl.col("split_to") <= 0)).height:
            raise BadPage("`split_from` or `split_to` is not positive")
        return make_page(rows.select(pl.col("ticker").alias("symbol"), *SPLITS.names()[1:]), head)

    def fault_of(row: Mapping[str, Any]) -> str | None:
        fault = find_row_fault(row, _SPLIT, required)
        if fault is not None:
            return fault
        day = pl.Series([row["execution_date"]]).str.to_date("%Y-%m-%d", strict=False)[0]
        if day is None or not days[0] <= day <= days[1]:
            return f"`execution_date` is {row['execution_date']}"
        wrong = [name for name in ("split_from", "split_to") if not row[name] > 0]
        return f"`{wrong[0]}` is {row[wrong[0]]}" if wrong else None

    return parse_without_bad_rows(body, parse, fault_of, "ticker")
