"""Answers with bars, trades and quotes to frames, each checked against the request: symbol, window, order, units."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import polars as pl
import pyarrow as pa

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data.envelope import (
    MS_PER_S,
    NS_PER_S,
    Fields,
    ParsedPage,
    check_filled,
    check_sent,
    frame_rows,
    make_page,
    parse_aggregates,
    parse_rows,
)

_PLAUSIBLE_S: Final = (946_684_800, 4_102_444_800)  # 2000-01-01 to 2100-01-01, seconds since the epoch

_INT, _FLOAT, _TEXT, _INTS = pa.int64(), pa.float64(), pa.string(), pa.list_(pa.int64())

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
_EXACT_SIZE: Final = pl.col("decimal_size").cast(pl.Float64).fill_null(pl.col("size"))
_TICK_NAMES: Final = {"timestamp": "sip_timestamp", "trade_id": "id"}


def parse_bars_page(body: bytes, symbol: str, window: tuple[int, int]) -> ParsedPage:
    """A page of minute aggregates as BARS, in order of time; optional fields that are absent are null.

    A price or volume sent as null stays null, and a bar off the minute stays: the quarantine counts both. A field that
    is absent is rejected. Bars may repeat the minute of an earlier one in any place.

    Args:
        body: the answer, decompressed.
        symbol: the requested ticker.
        window: first admissible bar start, and the end, excluded, in Unix milliseconds.

    Raises:
        BadPage: not the promised shape, another ticker, adjusted prices, bars outside the window or out of order.
    """
    rows, head = parse_aggregates(body, _BAR)
    if head["ticker"] != symbol and (len(rows) or head["ticker"] is not None):
        raise BadPage(f"the answer is about ticker {head['ticker']!r}, requested was {symbol!r}")
    frame = frame_rows(rows, required=("t",))
    check_sent(frame, body, ("o", "h", "l", "c", "v"))
    _check_window(frame, "t", MS_PER_S, window)
    frame = _in_order(frame, "t", pl.col("t"))
    bars = frame.select(
        pl.lit(symbol).alias("symbol"),
        (pl.col("t") * 1_000).cast(BARS["timestamp"]).alias("timestamp"),
        *(pl.col(wire).alias(name) for name, wire in _BAR_NAMES.items()),
    )
    return make_page(bars.match_to_schema(BARS), head)


def parse_trades_page(body: bytes, window: tuple[int, int], schema: pl.Schema = TRADES_ALL) -> ParsedPage:
    """A page of trades, in order of time; `size` is `decimal_size` where the vendor gives it.

    A row may lack `sequence_number` and `id` together, but not one of them.

    Args:
        body: the answer, decompressed.
        window: first admissible SIP timestamp, and the end, excluded, in Unix nanoseconds.
        schema: TRADES_ALL or TRADES; other fields are neither parsed nor checked.

    Raises:
        BadPage: not the promised shape, trades outside the window or out of order.
    """
    required = ("sip_timestamp", "participant_timestamp", "price", "exchange")
    fields = _select_fields(_TRADE, schema, "decimal_size")
    frame, head = _parse_ticks(body, fields, required, window)
    _check_identity(frame, "sequence_number", "id")
    texts = frame["decimal_size"]
    if texts.null_count() < texts.len() and not texts.str.contains(r"^-?[0-9]+(\.[0-9]+)?$").all():
        raise BadPage("`decimal_size` has text that is not a decimal number")
    if "trf_timestamp" in fields:
        # 0 is how the vendor's files record that no reporting facility was involved.
        frame = frame.with_columns(trf_timestamp=pl.when(pl.col("trf_timestamp") != 0).then("trf_timestamp"))
    for name in fields.keys() & {"participant_timestamp", "trf_timestamp"}:
        _check_unit(frame, name, NS_PER_S)
    trades = _rename_columns(frame, schema, size=_EXACT_SIZE)
    check_filled(trades, ("size",))
    return make_page(trades, head)


def parse_quotes_page(body: bytes, window: tuple[int, int], schema: pl.Schema = QUOTES_ALL) -> ParsedPage:
    """A page of quotes, in order of time; sizes in the vendor's unit, an absent side or sequence number is null.

    Args:
        body: the answer, decompressed.
        window: first admissible SIP timestamp, and the end, excluded, in Unix nanoseconds.
        schema: QUOTES_ALL or QUOTES; other fields are neither parsed nor checked.

    Raises:
        BadPage: not the promised shape, quotes outside the window or out of order.
    """
    required = ("sip_timestamp", "participant_timestamp")
    fields = _select_fields(_QUOTE, schema)
    frame, head = _parse_ticks(body, fields, required, window)
    if "participant_timestamp" in fields:
        _check_unit(frame, "participant_timestamp", NS_PER_S)
    return make_page(_rename_columns(frame, schema), head)


def _parse_ticks(
    body: bytes, fields: Fields, required: Sequence[str], window: tuple[int, int]
) -> tuple[pl.DataFrame, dict[str, Any]]:
    frame, head = parse_rows(body, fields, [name for name in required if name in fields])
    _check_window(frame, "sip_timestamp", NS_PER_S, window)
    # rows without a number are never repeats
    unnumbered = pl.when(pl.col("sequence_number").is_null()).then(pl.int_range(pl.len())).alias(" row")
    return _in_order(frame, "sip_timestamp", pl.all(), unnumbered), head


def _check_identity(frame: pl.DataFrame, *names: str) -> None:
    """Make sure that each row has all of `names` or none of them."""
    if not any(frame[name].has_nulls() for name in names):
        return
    some = pl.any_horizontal(pl.col(names).is_not_null())
    for name in names:
        incomplete = frame.select(some & pl.col(name).is_null()).to_series()
        if incomplete.any():
            raise BadPage(
                f"{incomplete.sum()} of {count_clause(frame.height, 'row lacks', 'rows lack')} `{name}`, the "
                f"first is row {incomplete.arg_max()}"
            )


def _select_fields(fields: Fields, schema: pl.Schema, *others: str) -> dict[str, pa.DataType]:
    """The wire fields of the columns of a schema, and `others`."""
    names = {_TICK_NAMES.get(name, name) for name in schema} | set(others)
    return {name: dtype for name, dtype in fields.items() if name in names}


def _rename_columns(frame: pl.DataFrame, schema: Mapping[str, pl.DataType], **computed: pl.Expr) -> pl.DataFrame:
    columns: list[pl.Expr] = []
    for name, dtype in schema.items():
        sent = _TICK_NAMES.get(name, name)
        if name in computed:
            columns.append(computed[name].cast(dtype).alias(name))
        else:
            # building a cast takes longer than casting a short page
            column = pl.col(sent) if frame.schema[sent] == dtype else pl.col(sent).cast(dtype)
            columns.append(column if sent == name else column.alias(name))
    return frame.select(columns)


def _bounds(frame: pl.DataFrame, name: str) -> tuple[int, int] | None:
    """Minimum and maximum of an integer column; None where all values are null."""
    column = frame[name]
    return None if column.null_count() == column.len() else (cast("int", column.min()), cast("int", column.max()))


def _check_plausible(frame: pl.DataFrame, name: str, per_s: int) -> None:
    low, high = (bound * per_s for bound in _PLAUSIBLE_S)
    bounds = _bounds(frame, name)
    if bounds and not (low <= bounds[0] and bounds[1] < high):
        raise BadPage(f"`{name}` runs from {bounds[0]} to {bounds[1]}: not 2000 to 2100 in this unit")


def _check_unit(frame: pl.DataFrame, name: str, per_s: int) -> None:
    """Reject times none of which is plausible; single ones are judged with the other rules of tape."""
    low, high = (bound * per_s for bound in _PLAUSIBLE_S)
    bounds = _bounds(frame, name)
    if bounds and (bounds[1] < low or bounds[0] >= high):
        raise BadPage(f"`{name}` runs from {bounds[0]} to {bounds[1]}: not 2000 to 2100 in this unit")


def _check_window(frame: pl.DataFrame, name: str, per_s: int, window: tuple[int, int]) -> None:
    _check_plausible(frame, name, per_s)
    bounds = _bounds(frame, name)
    if bounds and not (window[0] <= bounds[0] and bounds[1] < window[1]):
        outside = frame[name].filter(~frame[name].is_between(*window, closed="left"))
        raise BadPage(
            f"{outside.len()} of {count_clause(frame.height, 'row lies', 'rows lie')} outside the requested "
            f"window, the first at {outside[0]}"
        )


def _in_order(frame: pl.DataFrame, name: str, *identity: pl.Expr) -> pl.DataFrame:
    """Rows in order of time. Only rows that repeat an earlier one in all columns of `identity` may be out of order."""
    if frame[name].is_sorted():
        return frame
    if not frame.select(identity).unique(maintain_order=True)[name].is_sorted():
        raise BadPage(f"`{name}` is not in ascending order")
    return frame.sort(name, maintain_order=True)
