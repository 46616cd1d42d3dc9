"""Lists of reference data: filters, order and pages over rows that fit in memory."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

from smallcaps_assets.simulated.protocol.wire import BAD_REQUEST, Refusal, ReplyPage, Request, parse_date
from smallcaps_assets.simulated.source import Market, RenamingMarket, Row

_OPERATORS: Final[dict[str, Callable[[float | str, float | str], bool]]] = {
    "": lambda value, bound: value == bound,
    ".gte": lambda value, bound: value >= bound,  # type: ignore[operator] # both of one type
    ".gt": lambda value, bound: value > bound,  # type: ignore[operator]
    ".lte": lambda value, bound: value <= bound,  # type: ignore[operator]
    ".lt": lambda value, bound: value < bound,  # type: ignore[operator]
}


@dataclass(frozen=True)
class Catalogue:
    """Parameters of one list. `fields` may be filtered by value, range and `.any_of`, and sorted by."""

    fields: tuple[str, ...]
    sort: str
    default_limit: int
    max_limit: int
    counts_rows: bool = False


TICKERS_LIST: Final = Catalogue(
    ("ticker", "name", "market", "locale", "primary_exchange", "type", "cik", "last_updated_utc"),
    "ticker.asc",
    100,
    1000,
    counts_rows=True,
)
SPLITS_V3_LIST: Final = Catalogue(("execution_date", "ticker"), "execution_date.desc", 10, 1000)
SPLITS_LIST: Final = Catalogue(("execution_date", "ticker", "adjustment_type"), "execution_date.desc", 100, 5000)
SHORT_INTEREST_LIST: Final = Catalogue(
    ("ticker", "settlement_date", "days_to_cover", "avg_daily_volume"), "ticker.asc", 10, 50_000
)
FLOATS_LIST: Final = Catalogue(("ticker", "free_float_percent"), "ticker.asc", 100, 5000)
CONDITIONS_LIST: Final = Catalogue(("id", "asset_class", "name", "type"), "asset_class.asc", 10, 1000)


def catalogue_page(request: Request, catalogue: Catalogue, rows: list[Row]) -> ReplyPage:
    """One page of a list. Raises Refusal 400 for a bad limit, sort field or bound."""
    limit = request.limit(catalogue.default_limit, catalogue.max_limit)
    kept = [row for row in rows if _passes(request, catalogue, row)]
    kept = _sorted(request, catalogue, kept)
    marker = request.text("page_marker") or "0"
    if not marker.isdecimal():
        raise Refusal(BAD_REQUEST, "'cursor' is not valid")
    start = int(marker)
    page = kept[start : start + limit]
    has_more = start + limit < len(kept)
    return ReplyPage(
        json.dumps(page)[1:-1],
        len(page),
        {"count": len(page)} if catalogue.counts_rows else {},
        request.next_url(page_marker=start + limit) if has_more else None,
    )


def tickers_page(request: Request, market: Market) -> ReplyPage:
    """The list of tickers, as of `date` if given; `active` defaults to true."""
    day = request.text("date")
    active = request.flag("active", default=True)
    wanted, exchange = (request.text("search") or "").lower(), request.text("exchange")
    rows = [
        row
        for row in market.tickers(None if day is None else parse_date("date", day))
        if row["active"] is active
        and (not wanted or wanted in f"{row['ticker']} {row['name']}".lower())
        and exchange in (None, row["primary_exchange"])
    ]
    return catalogue_page(request, TICKERS_LIST, rows)


def ticker_events(market: Market, identifier: str, today: date) -> Row | None:
    """The tickers that a security had; None where it is unknown. In most markets it always had the one of today."""
    if isinstance(market, RenamingMarket):
        return market.ticker_events(identifier)
    details = market.details(identifier, today)
    if details is None:
        return None
    known = {name: details[name] for name in ("name", "composite_figi", "cik") if name in details}
    event = {"ticker_change": {"ticker": identifier}, "type": "ticker_change", "date": details.get("list_date")}
    return known | {"events": [event] if "list_date" in details else []}


def splits_v3_page(request: Request, market: Market) -> ReplyPage:
    """/v3/reference/splits."""
    reverse = request.text("reverse_split")
    rows = [{"id": _split_id(row), **row} for row in market.splits()]
    if reverse is not None:
        wanted = request.flag("reverse_split", default=True)
        rows = [row for row in rows if (_number(row, "split_from") > _number(row, "split_to")) is wanted]
    return catalogue_page(request, SPLITS_V3_LIST, rows)


def splits_page(request: Request, market: Market) -> ReplyPage:
    """/stocks/v1/splits."""
    rows: list[Row] = [
        {
            **row,
            "id": _split_id(row),
            "adjustment_type": "reverse_split"
            if _number(row, "split_from") > _number(row, "split_to")
            else "forward_split",
            "historical_adjustment_factor": _number(row, "split_from") / _number(row, "split_to"),
        }
        for row in market.splits()
    ]
    return catalogue_page(request, SPLITS_LIST, rows)


def _split_id(row: Row) -> str:
    return "E" + hashlib.sha256(f"{row['ticker']}|{row['execution_date']}".encode()).hexdigest()


def _number(row: Row, name: str) -> float:
    return float(str(row[name]))


def _passes(request: Request, catalogue: Catalogue, row: Row) -> bool:
    for name in catalogue.fields:
        value = row.get(name)
        for operator, holds in _OPERATORS.items():
            raw = request.text(name + operator)
            if raw is not None and (value is None or not holds(*_comparable(name, value, raw))):
                return False
        any_of = request.text(f"{name}.any_of")
        if any_of is not None and str(value) not in any_of.split(","):
            return False
    return True


def _comparable(name: str, value: object, raw: str) -> tuple[float | str, float | str]:
    if not isinstance(value, int | float):
        return str(value), raw
    try:
        return float(value), float(raw)
    except ValueError as error:
        raise Refusal(BAD_REQUEST, f"could not parse '{name}': '{raw}' is not a number") from error


def _sorted(request: Request, catalogue: Catalogue, rows: list[Row]) -> list[Row]:
    """By `sort=field`, `sort=field.direction` (several, comma separated) and `order`; stable."""
    for term in reversed((request.text("sort") or catalogue.sort).split(",")):
        field, _, direction = term.partition(".")
        if field not in catalogue.fields and not any(field in row for row in rows[:1]):
            raise Refusal(BAD_REQUEST, f"'sort' field '{field}' is not one of {', '.join(catalogue.fields)}")
        default = direction or (catalogue.sort.partition(".")[2] if request.text("sort") is None else "asc")
        descending = request.choice("order", default, "asc", "desc") == "desc"
        rows = sorted(rows, key=lambda row, name=field: _sort_key(row.get(name)), reverse=descending)  # type: ignore[misc]
    return rows


def _sort_key(value: object) -> tuple[bool, float, str]:
    is_number = isinstance(value, int | float)
    return value is None, float(str(value)) if is_number else 0.0, "" if is_number else str(value)
