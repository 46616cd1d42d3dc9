"""Answers with trade conditions, exchanges and splits to frames; an answer that violates the contract is rejected."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import polars as pl
import pyarrow as pa

from smallcaps_assets.domain.research.bars.market_state import SPLITS
from smallcaps_assets.domain.research.tape.conditions import CONDITION_RULES
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

# Shares that no split turns into fewer or more: others would make prices that are 0 or infinite.
_SPLIT_SHARES: Final = (1e-6, 1e6)
# Ids are small numbers: tables have one place for each.
_MOST_ID: Final = 65_535

CONDITIONS: Final = pl.Schema({"id": pl.Int64(), "name": pl.String(), **dict.fromkeys(_RULES, pl.Boolean())})
EXCHANGES: Final = pl.Schema({"id": pl.Int64(), **dict.fromkeys(("name", "type", "mic", "operating_mic"), pl.String())})


def parse_conditions_page(body: bytes) -> ParsedPage:
    """A page of trade conditions (CONDITIONS): rules of consolidated bars, null where the vendor has none.

    A row that was left out would count as an unknown condition, so that one bad row rejects the page.

    Raises:
        BadPage: not the promised shape, or ids that no condition has.
    """
    frame, head = parse_rows(body, _CONDITION, ("id", "name"))
    _check_ids(frame)
    rules = pl.col("update_rules").struct.field("consolidated")
    return make_page(frame.select("id", "name", *(rules.struct.field(name) for name in _RULES)), head)


def parse_exchanges_page(body: bytes) -> ParsedPage:
    """A page of exchanges (EXCHANGES): text is null where the vendor has none.

    Raises:
        BadPage: not the promised shape, or ids that no exchange has.
    """
    frame, head = parse_rows(body, _EXCHANGE, ("id",))
    _check_ids(frame)
    return make_page(frame, head)


def _check_ids(frame: pl.DataFrame) -> None:
    """Reject ids that are no small numbers."""
    wrong = frame["id"].filter(~frame["id"].is_between(0, _MOST_ID))
    if wrong.len():
        raise BadPage(f"`id` is {wrong[0]}, not from 0 to {_MOST_ID:,}")


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
        for name in ("split_from", "split_to"):
            if not rows[name].is_between(*_SPLIT_SHARES).all():
                raise BadPage(f"`{name}` is not from {_SPLIT_SHARES[0]:g} to {_SPLIT_SHARES[1]:,.0f}")
        return make_page(rows.select(pl.col("ticker").alias("symbol"), *SPLITS.names()[1:]), head)

    def fault_of(row: Mapping[str, Any]) -> str | None:
        fault = find_row_fault(row, _SPLIT, required)
        if fault is not None:
            return fault
        day = pl.Series([row["execution_date"]]).str.to_date("%Y-%m-%d", strict=False)[0]
        if day is None or not days[0] <= day <= days[1]:
            return f"`execution_date` is {row['execution_date']}"
        low, high = _SPLIT_SHARES
        wrong = [name for name in ("split_from", "split_to") if not low <= row[name] <= high]
        return f"`{wrong[0]}` is {row[wrong[0]]}" if wrong else None

    return parse_without_bad_rows(body, parse, fault_of, "ticker")
