"""Bytes of the vendor's answers to frames; whatever has not the promised shape is refused, never read as "no data".

Arrow's JSON reader does the parsing under an explicit schema: it refuses a string, a Boolean or a fraction where an
integer belongs, keeps 64-bit integers exact and fills absent keys with null. What it lets pass is checked here: NaN,
nulls in required fields and in lists, several documents, invalid UTF-8, and a bare `null`, on which it crashes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, cast

import polars as pl
import pyarrow as pa
from pyarrow import json as arrow_json

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.errors import BadPage

ACCEPTED_STATUS: Final = ("OK", "DELAYED")
_PLAUSIBLE_S: Final = (946_684_800, 4_102_444_800)  # 2000-01-01 to 2100-01-01, seconds since the epoch
NS_PER_S: Final = 1_000_000_000
MS_PER_S: Final = 1_000
MS_PER_MIN: Final = 60_000

Fields = Mapping[str, pa.DataType]

_INT, _FLOAT, _TEXT, _FLAG, _INTS = pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.list_(pa.int64())

ENVELOPE: Final[Fields] = dict.fromkeys(("status", "request_id", "next_url", "error", "message"), _TEXT)
_AGGREGATES: Final[Fields] = {
    **ENVELOPE,
    "ticker": _TEXT,
    "adjusted": _FLAG,
    **dict.fromkeys(("resultsCount", "queryCount", "count"), _INT),
}
_BAR: Final[Fields] = {**dict.fromkeys(("o", "h", "l", "c", "v", "vw"), _FLOAT), "t": _INT, "n": _INT}
_BAR_NAMES: Final = {
    "open": "o",
    "high": "h",
    "low": "l",
    "close": "c",
    "volume": "v",
    "vwap": "vw",
    "transactions": "n",
}
_TRADE: Final[Fields] = {
    **dict.fromkeys(("sip_timestamp", "participant_timestamp", "trf_timestamp", "sequence_number"), _INT),
    **dict.fromkeys(("exchange", "trf_id", "correction", "tape"), _INT),
    **dict.fromkeys(("price", "size"), _FLOAT),
    **dict.fromkeys(("decimal_size", "id"), _TEXT),
    "conditions": _INTS,
}
_QUOTE: Final[Fields] = {
    **dict.fromkeys(("sip_timestamp", "participant_timestamp", "sequence_number"), _INT),
    **dict.fromkeys(("bid_exchange", "ask_exchange", "tape"), _INT),
    **dict.fromkeys(("bid_price", "bid_size", "ask_price", "ask_size"), _FLOAT),
    **dict.fromkeys(("indicators", "conditions"), _INTS),
}
# pages without rows in a row, after which a cursor is not followed any more
EMPTY_PAGES: Final = 10
_TICK_NAMES: Final = {"timestamp": "sip_timestamp", "trade_id": "id"}


@dataclass(frozen=True, kw_only=True)
class ParsedPage:
    """One accepted answer."""

    frame: pl.DataFrame
    next_url: str | None  # None only where the answer has none (absent or null)
    request_id: str | None


def parse_bars_page(body: bytes, symbol: str, window: tuple[int, int]) -> ParsedPage:
    """A page of minute aggregates as BARS, rows as sent; optional fields that are absent are null.

    A price or volume sent as null stays null, for the quarantine to count; one that is not sent at all is refused.

    Args:
        body: the answer, decompressed.
        symbol: the ticker asked for.
        window: first admissible bar start, and the end, excluded, in Unix milliseconds.

    Raises:
        BadPage: not the promised shape, another ticker, adjusted prices, bars outside the window or out of order.
    """
    rows, head = parse_aggregates(body, _BAR)
    if head["ticker"] != symbol and (len(rows) or head["ticker"] is not None):
        raise BadPage(f"the answer is about ticker {head['ticker']!r}, asked was {symbol!r}")
    frame = frame_rows(rows, required=("t",))
    check_sent(frame, body, ("o", "h", "l", "c", "v"))
    _check_times(frame, "t", MS_PER_S, window)
    if (frame["t"] % MS_PER_MIN != 0).any():
        raise BadPage("`t` has bars that do not start on a minute")
    bars = frame.select(
        pl.lit(symbol).alias("symbol"),
        (pl.col("t") * 1_000).cast(BARS["timestamp"]).alias("timestamp"),
        *(pl.col(wire).alias(name) for name, wire in _BAR_NAMES.items()),
    )
    return make_page(bars.match_to_schema(BARS), head)


def parse_aggregates(body: bytes, fields: Fields) -> tuple[pa.StructArray, dict[str, Any]]:
    """Rows and head of an answer of aggregates; only one that counts none may leave `results` out.

    Raises:
        BadPage: not the promised shape, other counts than rows, or adjusted prices.
    """
    rows, head = parse_answer(body, fields, _AGGREGATES)
    if rows is None:
        if b'"results"' in body or head["resultsCount"] != 0 or head["queryCount"] or head["count"]:
            raise BadPage(f"no `results`, but resultsCount {head['resultsCount']}, queryCount {head['queryCount']}")
        rows = pa.array([], pa.struct(list(fields.items())))
    if head["adjusted"]:
        raise BadPage("prices are split-adjusted, asked were prices as traded")
    if head["resultsCount"] != len(rows) or head["count"] not in (None, len(rows)):
        raise BadPage(f"{len(rows)} rows, but resultsCount {head['resultsCount']}, count {head['count']}")
    return rows, head


def parse_trades_page(body: bytes, window: tuple[int, int], schema: pl.Schema = TRADES_ALL) -> ParsedPage:
    """A page of trades, in the order sent; `size` is `decimal_size` where the vendor gives it.

    Args:
        body: the answer, decompressed.
        window: first admissible SIP timestamp, and the end, excluded, in Unix nanoseconds.
        schema: TRADES_ALL or TRADES; what is not in it is neither parsed nor judged.

    Raises:
        BadPage: not the promised shape, trades outside the window or out of order.
    """
    required = ("sip_timestamp", "participant_timestamp", "sequence_number", "price", "exchange", "id")
    fields = _wanted(_TRADE, schema, "decimal_size")
    frame, head = _ticks(body, fields, required, window)
    if not frame["decimal_size"].str.contains(r"^[0-9]+(\.[0-9]+)?$").all():
        raise BadPage("`decimal_size` has text that is no decimal number")
    exact = pl.col("decimal_size").cast(pl.Float64).fill_null(pl.col("size"))
    # 0 is how the vendor's own files write that no reporting facility took part.
    reported = pl.when(pl.col("trf_timestamp") != 0).then("trf_timestamp")
    frame = frame.with_columns(size=exact, **{"trf_timestamp": reported} if "trf_timestamp" in fields else {})
    _check_filled(frame, ("size",))
    for name in fields.keys() & {"participant_timestamp", "trf_timestamp"}:
        _check_plausible(frame, name, NS_PER_S)
    return make_page(_renamed(frame, schema), head)


def parse_quotes_page(body: bytes, window: tuple[int, int], schema: pl.Schema = QUOTES_ALL) -> ParsedPage:
    """A page of quotes, in the order sent; sizes in the vendor's unit, an absent side is null.

    Args:
        body: the answer, decompressed.
        window: first admissible SIP timestamp, and the end, excluded, in Unix nanoseconds.
        schema: QUOTES_ALL or QUOTES; what is not in it is neither parsed nor judged.

    Raises:
        BadPage: not the promised shape, quotes outside the window or out of order.
    """
    required = ("sip_timestamp", "participant_timestamp", "sequence_number")
    fields = _wanted(_QUOTE, schema)
    frame, head = _ticks(body, fields, required, window)
    if "participant_timestamp" in fields:
        _check_plausible(frame, "participant_timestamp", NS_PER_S)
    return make_page(_renamed(frame, schema), head)


def check_progress(before: Sequence[pl.DataFrame], page: pl.DataFrame) -> None:
    """Make sure that a page leads on from those before it, so that a cursor without end is noticed while it is short.

    Raises:
        BadPage: the page repeats the one before it, lies before it, or is one of many without rows.
    """
    if not before:
        return
    number = len(before) + 1
    if page.is_empty():
        if len(before) >= EMPTY_PAGES and all(frame.is_empty() for frame in before[-EMPTY_PAGES:]):
            raise BadPage(f"page {number} has no rows, as the {EMPTY_PAGES} before it, and promises more")
    elif page.equals(before[-1]):
        raise BadPage(f"page {number} repeats the page before it, and promises more: the cursor leads nowhere")
    elif "timestamp" in page.columns:
        _check_follows(next((frame for frame in reversed(before) if frame.height), page), page)


def _check_follows(before: pl.DataFrame, after: pl.DataFrame, key: str = "timestamp") -> None:
    earlier, later = before[key].to_physical(), after[key].to_physical()
    if later[0] < earlier[0] or later[-1] < earlier[-1]:
        raise BadPage(f"pages run backwards: one ends at {earlier[-1]}, the next at {later[-1]}")


def merge_pages(frames: Sequence[pl.DataFrame], *keys: str) -> pl.DataFrame:
    """The pages of one download as one frame, sorted by `keys` (the first is the time), exact repeats removed.

    Raises:
        BadPage: a page begins or ends before the one it follows.
    """
    for before, after in pairwise(frame for frame in frames if frame.height):
        _check_follows(before, after, keys[0])
    whole = pl.concat(frames)
    first, *rest = keys
    same = pl.col(first) == pl.col(first).shift()
    rises = pl.col(first) > pl.col(first).shift()
    for key in rest:
        rises |= same & (pl.col(key) > pl.col(key).shift())
        same &= pl.col(key) == pl.col(key).shift()
    if whole.select(rises.fill_null(value=True).all()).item():
        return whole
    whole = whole.sort(keys, maintain_order=True)
    repeats = whole.select(same.any()).item()
    return whole.unique(maintain_order=True) if repeats else whole


def parse_answer(
    body: bytes, fields: Fields, envelope: Fields = ENVELOPE, *, single: bool = False
) -> tuple[pa.StructArray | None, dict[str, Any]]:
    """Rows (None where there is no `results`) and head of an answer; `single`: `results` is one object, not a list.

    Raises:
        BadPage: not the promised JSON, or a status that is not accepted.
    """
    if not body.lstrip().startswith(b"{"):
        raise BadPage(f"{len(body)} bytes that are no JSON object")
    row = pa.struct(list(fields.items()))
    schema = pa.schema([("results", row if single else pa.list_(row)), *envelope.items()])
    try:
        if not body.isascii():
            body.decode()
        table = arrow_json.read_json(
            pa.BufferReader(body),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(body) + 1),
            parse_options=arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise BadPage(f"not the promised JSON: {error}") from error
    if table.num_rows != 1:
        raise BadPage(f"{table.num_rows} JSON documents in one answer")
    head = {name: table[name][0].as_py() for name in envelope}
    if head["status"] not in ACCEPTED_STATUS:
        said = head["error"] or head["message"]
        raise BadPage(f"status {head['status']!r} is none of {', '.join(ACCEPTED_STATUS)}; the vendor says {said!r}")
    results = table["results"].chunk(0)
    if results.null_count:
        return None, head
    return results if single else results.flatten(), head


def frame_rows(rows: pa.StructArray, required: Sequence[str]) -> pl.DataFrame:
    """Rows as a frame.

    Raises:
        BadPage: null rows, nulls in lists or in `required` columns, numbers that are not finite.
    """
    if rows.null_count:
        raise BadPage(f"{rows.null_count} of {len(rows)} rows are null")
    batch = pa.RecordBatch.from_struct_array(rows)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.type == _INTS and column.flatten().null_count:
            raise BadPage(f"`{name}` has lists with null in them")
    frame = pl.DataFrame(batch)
    _check_filled(frame, required)
    return frame


def parse_rows(body: bytes, fields: Fields, required: Sequence[str]) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Rows and head of an answer whose `results` is a list, perhaps an empty one.

    Raises:
        BadPage: not the promised shape, or rows without a required field.
    """
    rows, head = parse_answer(body, fields)
    if rows is None:
        raise BadPage("no `results`, which is not the same as an empty list")
    return frame_rows(rows, required), head


def _ticks(
    body: bytes, fields: Fields, required: Sequence[str], window: tuple[int, int]
) -> tuple[pl.DataFrame, dict[str, Any]]:
    frame, head = parse_rows(body, fields, [name for name in required if name in fields])
    _check_times(frame, "sip_timestamp", NS_PER_S, window)
    return frame, head


def _wanted(fields: Fields, schema: pl.Schema, *others: str) -> dict[str, pa.DataType]:
    """The fields of the wire that make the columns of a schema, and others."""
    names = {_TICK_NAMES.get(name, name) for name in schema} | set(others)
    return {name: kind for name, kind in fields.items() if name in names}


def make_page(frame: pl.DataFrame, head: Mapping[str, Any]) -> ParsedPage:
    """An accepted answer."""
    return ParsedPage(frame=frame, next_url=head["next_url"], request_id=head["request_id"])


def _renamed(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return frame.select(pl.col(_TICK_NAMES.get(name, name)).cast(dtype).alias(name) for name, dtype in schema.items())


def _check_filled(frame: pl.DataFrame, required: Sequence[str]) -> None:
    for name in required:
        if absent := frame[name].null_count():
            first = frame[name].is_null().arg_max()
            raise BadPage(f"{absent} of {frame.height} rows lack `{name}`, the first is row {first}")
    finite = frame.select(pl.col(pl.Float64).is_finite().all()).to_dicts() or [{}]
    broken = [name for name, holds in finite[0].items() if not holds]
    if broken:
        raise BadPage(f"`{broken[0]}` has numbers that are not finite")


def check_sent(frame: pl.DataFrame, body: bytes, required: Sequence[str]) -> None:
    """Tell fields sent as null, which may be, from fields that are absent: both arrive as null.

    Raises:
        BadPage: a field is absent from a row.
    """
    unsent = [
        name
        for name in required
        if frame[name].has_nulls() and len(re.findall(rb'"%s"\s*:' % name.encode(), body)) < frame.height
    ]
    _check_filled(frame, unsent)


def _bounds(frame: pl.DataFrame, name: str) -> tuple[int, int] | None:
    """The least and the greatest of a column of integers; None where it has none."""
    column = frame[name]
    return None if column.null_count() == column.len() else (cast("int", column.min()), cast("int", column.max()))


def _check_plausible(frame: pl.DataFrame, name: str, per_s: int) -> None:
    low, high = (bound * per_s for bound in _PLAUSIBLE_S)
    bounds = _bounds(frame, name)
    if bounds and not (low <= bounds[0] and bounds[1] < high):
        raise BadPage(f"`{name}` runs from {bounds[0]} to {bounds[1]}: not 2000 to 2100 in this unit")


def _check_times(frame: pl.DataFrame, name: str, per_s: int, window: tuple[int, int]) -> None:
    _check_plausible(frame, name, per_s)
    bounds = _bounds(frame, name)
    if bounds and not (window[0] <= bounds[0] and bounds[1] < window[1]):
        outside = frame[name].filter(~frame[name].is_between(*window, closed="left"))
        raise BadPage(f"{outside.len()} of {frame.height} rows lie outside the window asked, the first at {outside[0]}")
    if not frame[name].is_sorted():
        raise BadPage(f"`{name}` is not in ascending order")
