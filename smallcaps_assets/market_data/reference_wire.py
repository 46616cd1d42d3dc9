"""Answers with reference data to frames; an answer that violates the contract is rejected."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl
import pyarrow as pa

from smallcaps_assets.domain.bars.unknown import MOST_PRICE_USD
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data.bad_rows import find_row_fault, parse_without_bad_rows
from smallcaps_assets.market_data.envelope import (
    Fields,
    ParsedPage,
    check_filled,
    check_sent,
    frame_rows,
    make_page,
    parse_aggregates,
    parse_answer,
    parse_rows,
)

_TEXT, _FLOAT = pa.string(), pa.float64()
_TICKER_TEXTS: Final = (
    *("name", "type", "market", "locale", "primary_exchange", "currency_name"),
    *("cik", "composite_figi", "share_class_figi", "last_updated_utc", "delisted_utc"),
)
_TICKER: Final[Fields] = {"ticker": _TEXT, "active": pa.bool_(), **dict.fromkeys(_TICKER_TEXTS, _TEXT)}
_FREE_FLOAT: Final[Fields] = {"ticker": _TEXT, "free_float": _FLOAT, "effective_date": _TEXT}
_SHORT_INTEREST: Final[Fields] = {
    "ticker": _TEXT,
    "settlement_date": _TEXT,
    "short_interest": _FLOAT,
    "days_to_cover": _FLOAT,
}
_DETAILS: Final[Fields] = {
    **dict.fromkeys(("ticker", "name", "type", "primary_exchange", "list_date"), _TEXT),
    **dict.fromkeys(("share_class_figi", "composite_figi", "cik"), _TEXT),
    **dict.fromkeys(("market_cap", "weighted_shares_outstanding", "share_class_shares_outstanding"), _FLOAT),
}
_EVENT: Final = pa.struct({"type": _TEXT, "date": _TEXT, "ticker_change": pa.struct({"ticker": _TEXT})})
_TICKER_EVENTS: Final[Fields] = {"composite_figi": _TEXT, "cik": _TEXT, "events": pa.list_(_EVENT)}
_DAY_BAR: Final[Fields] = {"T": _TEXT, "c": _FLOAT, "t": pa.int64()}

FREE_FLOAT: Final = pl.Schema({"symbol": pl.String(), "float_shares": pl.Float64(), "effective_date": pl.Date()})
SHORT_INTEREST: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "short_interest_shares": pl.Float64(),
        "days_to_cover": pl.Float64(),
        "settlement_date": pl.Date(),
    }
)
TICKER_DETAILS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "name": pl.String(),
        "ticker_type": pl.String(),
        "primary_exchange": pl.String(),
        "market_cap_usd": pl.Float64(),
        "listed": pl.Date(),
        "shares_outstanding": pl.Float64(),
        "share_class_figi": pl.String(),
        "composite_figi": pl.String(),
        "cik": pl.String(),
    }
)
TICKER_CHANGES: Final = pl.Schema(
    {"composite_figi": pl.String(), "cik": pl.String(), "date": pl.Date(), "ticker": pl.String()}
)
CLOSES: Final = pl.Schema({"symbol": pl.String(), "price_usd": pl.Float64()})


def parse_tickers_page(body: bytes) -> ParsedPage:
    """A page of reference tickers: symbol, active, and the text fields of _TICKER (null where absent).

    A few bad rows are left out and named, see `bad_rows`.

    Raises:
        BadPage: not the promised shape.
    """
    required = ("ticker", "active")

    def parse(body: bytes) -> ParsedPage:
        frame, head = parse_rows(body, _TICKER, required)
        return make_page(frame.select(pl.col("ticker").alias("symbol"), pl.exclude("ticker")), head)

    return parse_without_bad_rows(body, parse, lambda row: find_row_fault(row, _TICKER, required), "ticker")


def parse_float_page(body: bytes, symbols: Iterable[str]) -> ParsedPage:
    """A page of free floats (FREE_FLOAT): effective_date is null where unknown.

    Raises:
        BadPage: not the promised shape, or rows of symbols that were not requested.
    """
    frame, head = parse_rows(body, _FREE_FLOAT, ("ticker", "free_float"))
    _check_requested(frame, symbols)
    names = {"ticker": "symbol", "free_float": "float_shares"}
    return make_page(frame.with_columns(_dates(frame, "effective_date")).rename(names).select(FREE_FLOAT.names()), head)


def parse_short_interest_page(body: bytes, symbols: Iterable[str]) -> ParsedPage:
    """A page of short interest (SHORT_INTEREST): days_to_cover is null where unknown.

    Raises:
        BadPage: not the promised shape, or rows of symbols that were not requested.
    """
    frame, head = parse_rows(body, _SHORT_INTEREST, ("ticker", "short_interest", "settlement_date"))
    _check_requested(frame, symbols)
    names = {"ticker": "symbol", "short_interest": "short_interest_shares"}
    return make_page(
        frame.with_columns(_dates(frame, "settlement_date")).rename(names).select(SHORT_INTEREST.names()), head
    )


def parse_details_page(body: bytes, symbol: str) -> ParsedPage:
    """The one row (TICKER_DETAILS) of a ticker: null where unknown, a figure that is not positive too.

    The shares outstanding are those of all classes, of which the vendor's market cap is made; else those of the class.

    Raises:
        BadPage: not the promised shape, an invalid listing date, or another ticker.
    """
    row, head = parse_answer(body, _DETAILS, single=True)
    if row is None:
        raise BadPage("no `results`, which ticker details must have")
    frame = frame_rows(row, ("ticker",))
    _check_requested(frame, [symbol])
    names = {"ticker": "symbol", "type": "ticker_type", "market_cap": "market_cap_usd", "list_date": "listed"}
    shares = [pl.col(f"{name}_shares_outstanding") for name in ("weighted", "share_class")]
    details = frame.with_columns(
        _dates(frame, "list_date"),
        pl.when(pl.col("market_cap") > 0).then("market_cap"),
        shares_outstanding=pl.coalesce(pl.when(count > 0).then(count) for count in shares),
    )
    of_classes = [count.meta.output_name() for count in shares]
    return make_page(details.drop(of_classes).rename(names).match_to_schema(TICKER_DETAILS), head)


def parse_ticker_events_page(body: bytes) -> ParsedPage:
    """The ticker changes (TICKER_CHANGES) of one security, oldest first; one row without a ticker where it has none.

    Events of other types are left out.

    Raises:
        BadPage: not the promised shape, no list of events, an event without its type, or a change without its ticker or
            date.
    """
    row, head = parse_answer(body, _TICKER_EVENTS, single=True)
    if row is None:
        raise BadPage("no `results`, which ticker events must have")
    security = frame_rows(row, ("events",))
    events = security.explode("events", empty_as_null=False).unnest("events")
    check_filled(events, ("type",))
    changes = events.filter(pl.col("type") == "ticker_change").select(
        "composite_figi", "cik", "date", pl.col("ticker_change").struct.field("ticker")
    )
    check_filled(changes, ("date", "ticker"))
    changes = changes.with_columns(_dates(changes, "date")).unique().sort("date", "ticker")
    if changes.is_empty():
        changes = security.drop("events").match_to_schema(TICKER_CHANGES, missing_columns="insert")
    return make_page(changes.match_to_schema(TICKER_CHANGES), head)


def parse_closes_page(body: bytes, window: tuple[int, int]) -> ParsedPage:
    """The last prices (CLOSES) of all symbols that traded on a day; a price sent as null is unknown.

    A few bad rows are left out and named, see `bad_rows`; so is a price that is not positive, or too high.

    Args:
        body: the answer, decompressed.
        window: the day in New York, its end excluded, in Unix milliseconds.

    Raises:
        BadPage: not the promised shape, adjusted prices, or bars of another day.
    """

    def parse(body: bytes) -> ParsedPage:
        rows, head = parse_aggregates(body, _DAY_BAR)
        frame = frame_rows(rows, ("T", "t"))
        check_sent(frame, body, ("c",))
        outside = frame["t"].filter(~frame["t"].is_between(*window, closed="left"))
        if outside.len():
            bars = count_clause(frame.height, "bar is", "bars are")
            raise BadPage(f"{outside.len()} of {bars} of another day, the first at {outside[0]}")
        impossible = frame["c"].filter(~frame["c"].is_between(0, MOST_PRICE_USD, closed="right"))
        if impossible.len():
            prices = count_clause(frame.height, "price is", "prices are")
            raise BadPage(f"{impossible.len()} of {prices} impossible, the first is {impossible[0]}")
        return make_page(frame.select(pl.col("T").alias("symbol"), pl.col("c").alias("price_usd")), head)

    def fault_of(row: Mapping[str, Any]) -> str | None:
        fault = find_row_fault(row, _DAY_BAR, ("T", "t"))
        if fault is not None:
            return fault
        if "c" not in row:
            return "`c` is missing"
        if not window[0] <= row["t"] < window[1]:
            return f"`t` is {row['t']}, on another day"
        return None if row["c"] is None or 0 < row["c"] <= MOST_PRICE_USD else f"`c` is {row['c']}"

    return parse_without_bad_rows(body, parse, fault_of, "T")


def _dates(frame: pl.DataFrame, name: str) -> pl.Series:
    dates = frame[name].str.to_date("%Y-%m-%d", strict=False)
    if dates.null_count() != frame[name].null_count():
        raise BadPage(f"`{name}` has text that is not a date YYYY-MM-DD")
    return dates


def _check_requested(frame: pl.DataFrame, symbols: Iterable[str]) -> None:
    others = frame["ticker"].filter(~frame["ticker"].is_in(list(symbols)))
    if others.len():
        raise BadPage(f"{count_noun(others.len(), 'row')} of symbols that were not requested, such as {others[0]!r}")
