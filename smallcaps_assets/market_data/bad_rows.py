"""Lists of reference data of which a few rows are bad: these are left out and named, and the others are used.

A list names thousands of symbols, each in a row of its own; a bad row says nothing about the others. Many bad rows mean
that the answer is another one than was asked for: it is rejected as a whole.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data.envelope import BadRow, Fields, ParsedPage, count_values

# Share of the rows of a page that may be bad; one may be in any case.
MOST_BAD_ROWS: Final = 0.01
# Most values of a page that is searched for bad rows, as Python objects of 100 bytes and more: the closes of a day, the
# longest list, have 12,000 rows of 8 fields.
MOST_VALUES: Final = 500_000
# counts of an answer of aggregates that are those of its rows
_COUNTS: Final = ("resultsCount", "count")
_HALF_CHARACTER: Final = re.compile("[\\ud800-\\udfff]")
_INT64: Final = 2**63


def parse_without_bad_rows(
    body: bytes,
    parse: Callable[[bytes], ParsedPage],
    fault_of: Callable[[Mapping[str, Any]], str | None],
    ticker: str,
) -> ParsedPage:
    """A page as `parse` reads it; where it rejects the page because of a few rows, the page without them.

    Args:
        body: the answer, decompressed.
        parse: reads an answer, and rejects one that has a bad row.
        fault_of: why a row is bad; None for a good one.
        ticker: the field of a row that names its symbol.

    Raises:
        BadPage: the answer is bad otherwise, or more of its rows are bad than MOST_BAD_ROWS, or all of them.
    """
    try:
        return parse(body)
    except BadPage as error:
        rejection = error
    try:
        found = None if count_values(body) > MOST_VALUES else _without_bad_rows(body, fault_of, ticker)
    except (ValueError, RecursionError):  # no JSON, or nested too deeply
        found = None
    if found is None:
        raise rejection
    rest, bad = found
    return replace(parse(rest), bad_rows=bad)


def _without_bad_rows(
    body: bytes, fault_of: Callable[[Mapping[str, Any]], str | None], ticker: str
) -> tuple[bytes, tuple[BadRow, ...]] | None:
    """A page without its bad rows, and these; None where it has none, or too many."""
    document = json.loads(body)
    rows = document.get("results") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        return None
    faults = [fault_of(row) if isinstance(row, dict) else "is no object" for row in rows]
    bad = tuple(
        BadRow(_symbol_of(row, ticker), f"row {place:,}: {fault}")
        for place, (row, fault) in enumerate(zip(rows, faults, strict=True), 1)
        if fault is not None
    )
    if not bad or len(bad) == len(rows) or len(bad) > max(1, MOST_BAD_ROWS * len(rows)):
        return None
    document["results"] = [row for row, fault in zip(rows, faults, strict=True) if fault is None]
    document |= {name: document[name] - len(bad) for name in _COUNTS if type(document.get(name)) is int}
    return json.dumps(document).encode(), bad


def find_row_fault(row: Mapping[str, Any], fields: Fields, required: Sequence[str]) -> str | None:
    """The first field of a row that is missing although required, or has a value of another type; None if none has."""
    for name, dtype in fields.items():
        value = row.get(name)
        if value is None and name in required:
            return f"`{name}` is missing"
        if value is not None and not _fits(value, dtype):
            return f"`{name}` is {value!r:.40}"
    return None


def _fits(value: object, dtype: pa.DataType) -> bool:
    if pa.types.is_boolean(dtype):
        return isinstance(value, bool)
    if pa.types.is_string(dtype):
        return _is_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if pa.types.is_integer(dtype):
        return isinstance(value, int) and -_INT64 <= value < _INT64
    return abs(value) < _INT64 if isinstance(value, int) else math.isfinite(value)


def _symbol_of(row: object, ticker: str) -> str | None:
    symbol = row.get(ticker) if isinstance(row, dict) else None
    return symbol if isinstance(symbol, str) and _is_text(symbol) else None


def _is_text(value: object) -> bool:
    """Whether a value is text that a file can store: JSON may escape half of a character."""
    return isinstance(value, str) and not _HALF_CHARACTER.search(value)
