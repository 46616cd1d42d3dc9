"""Bars over any range: minutes, hours and days, whole-market days, the previous day, one day's open and close."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.simulated.hours import NEW_YORK_ZONE, NS_PER_MINUTE, date_at_ns, midnight_ns, trading_day
from smallcaps_assets.simulated.protocol.rendering import bars_json
from smallcaps_assets.simulated.protocol.wire import BAD_REQUEST, NOT_FOUND, Refusal, ReplyPage, Request, parse_date
from smallcaps_assets.simulated.source import Market, Row

_DEFAULT_LIMIT: Final = 5000
_MAX_LIMIT: Final = 50_000
_NS_PER_MS: Final = 1_000_000
_LATEST_MS: Final = 7_289_568_000_000  # the end of the year 2200
_WINDOW_MINUTES: Final = {"minute": 1, "hour": 60}
_BARS_A_DAY: Final = 400
_DAYS_AT_ONCE: Final = 40
_DAY_MINUTES: Final = 1440
_FAR_BACK: Final = timedelta(days=15)


@dataclass(frozen=True)
class _Range:
    """The requested range: base bars of `step` minutes (None for days) that begin in [start_ns, end_ns]."""

    symbol: str
    multiplier: int
    timespan: str
    start_ns: int
    end_ns: int

    @property
    def minutes(self) -> int | None:
        unit = _WINDOW_MINUTES.get(self.timespan)
        return None if unit is None else unit * self.multiplier

    def path(self, start_ms: int | str, end_ms: int | str) -> str:
        return f"/v2/aggs/ticker/{self.symbol}/range/{self.multiplier}/{self.timespan}/{start_ms}/{end_ms}"


def aggregates_page(request: Request, market: Market, segments: list[str]) -> ReplyPage:
    """Bars of one symbol. `limit` counts base bars (minutes or days); a page never cuts a window in two."""
    symbol, multiplier, timespan, raw_from, raw_to = segments
    requested = _range(symbol, multiplier, timespan, raw_from, raw_to)
    descending = request.choice("sort", "asc", "desc") == "desc"
    adjusted = request.flag("adjusted", default=True)
    limit = request.limit(_DEFAULT_LIMIT, _MAX_LIMIT)
    base, beyond = _cut(
        _base_bars(market, requested, limit, descending=descending), requested, limit, descending=descending
    )
    rows = _windows(base, requested, descending=descending)
    if adjusted:
        rows = split_adjusted(rows, market)
    next_url = None
    if beyond is not None:
        path = requested.path(raw_from, beyond) if descending else requested.path(beyond, raw_to)
        next_url = request.next_url(path)
    entries: Row = {
        "ticker": symbol,
        "queryCount": len(base),
        "resultsCount": len(rows),
        "adjusted": adjusted,
        "count": len(rows),
    }
    return ReplyPage(bars_json(rows) if len(rows) else None, len(rows), entries, next_url)


def grouped_page(request: Request, market: Market, raw_day: str) -> ReplyPage:
    """The day bars of every symbol that traded; `t` is the end of regular hours."""
    day = parse_date("date", raw_day)
    adjusted = request.flag("adjusted", default=True)
    session = trading_day(day)
    found = [] if session is None else [market.daily(symbol, day, day) for symbol in market.symbols()]
    rows = pl.concat(found) if found else pl.DataFrame()
    if adjusted and len(rows):
        rows = split_adjusted(rows, market)
    closes_ms = 0 if session is None else (session.start_ns + session.close * NS_PER_MINUTE) // _NS_PER_MS
    entries: Row = {
        "queryCount": len(rows),
        "resultsCount": len(rows),
        "adjusted": adjusted,
        "count": len(rows),
    }
    stamps = pl.lit(closes_ms)
    return ReplyPage(bars_json(rows, stamps, with_symbol=True) if len(rows) else None, len(rows), entries)


def previous_page(request: Request, market: Market, symbol: str) -> ReplyPage:
    """The last finished day bar of one symbol."""
    adjusted = request.flag("adjusted", default=True)
    today = request.now.astimezone(NEW_YORK_ZONE).date()
    rows = market.daily(symbol, today - _FAR_BACK, today).tail(1)
    if adjusted:
        rows = split_adjusted(rows, market)
    count = len(rows)
    entries: Row = {
        "ticker": symbol,
        "queryCount": count,
        "resultsCount": count,
        "adjusted": adjusted,
        "count": count,
    }
    return ReplyPage(bars_json(rows, with_symbol=True) if count else None, count, entries)


def open_close_body(request: Request, market: Market, symbol: str, raw_day: str) -> Row:
    """One day's open and close with the first pre-market and the last after-hours price. Raises Refusal 404."""
    day = parse_date("date", raw_day)
    adjusted = request.flag("adjusted", default=True)
    daily, minutes = market.daily(symbol, day, day), market.bars(symbol, day, day)
    session = trading_day(day)
    if daily.is_empty() or session is None:
        raise Refusal(NOT_FOUND, "Data not found.")
    if adjusted:
        daily, minutes = split_adjusted(daily, market), split_adjusted(minutes, market)
    bar = daily.row(0, named=True)
    return {
        "status": "OK",
        "from": day.isoformat(),
        "symbol": symbol,
        **{name: bar[name] for name in ("open", "high", "low", "close", "volume")},
        "afterHours": minutes["close"][-1],
        "preMarket": minutes["open"][0],
    }


def split_adjusted(bars: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Bars in today's shares: prices before a split times split_from / split_to, volumes the inverse."""
    symbols = set(bars["symbol"].unique())
    for split in market.splits():
        if split["ticker"] not in symbols:
            continue
        before_ns = midnight_ns(date.fromisoformat(str(split["execution_date"])))
        factor = float(str(split["split_from"])) / float(str(split["split_to"]))
        applies = (pl.col("symbol") == split["ticker"]) & (pl.col("timestamp").dt.epoch("ns") < before_ns)
        prices = [
            pl.when(applies).then((pl.col(name) * factor).round(4)).otherwise(pl.col(name)).alias(name)
            for name in ("open", "high", "low", "close", "vwap")
        ]
        volume = pl.when(applies).then(pl.col("volume") / factor).otherwise(pl.col("volume")).alias("volume")
        bars = bars.with_columns(*prices, volume)
    return bars


def _range(symbol: str, multiplier: str, timespan: str, raw_from: str, raw_to: str) -> _Range:
    if timespan not in (*_WINDOW_MINUTES, "day"):
        raise Refusal(BAD_REQUEST, f"timespan '{timespan}' is not served here: use minute, hour or day")
    if not multiplier.isdecimal() or int(multiplier) < 1:
        raise Refusal(BAD_REQUEST, f"could not parse 'multiplier': '{multiplier}' is not a positive number")
    requested = _Range(symbol, int(multiplier), timespan, _bound("from", raw_from), _bound("to", raw_to, is_end=True))
    if requested.minutes is None and requested.multiplier != 1:
        raise Refusal(BAD_REQUEST, f"multiplier {multiplier} of days is not served here: use 1")
    if requested.minutes is not None and requested.minutes > _DAY_MINUTES:
        raise Refusal(BAD_REQUEST, f"a window of {requested.minutes} minutes is longer than a day: use timespan day")
    if requested.start_ns > requested.end_ns:
        raise Refusal(BAD_REQUEST, "'to' must be greater than or equal to 'from'")
    return requested


def _bound(name: str, raw: str, *, is_end: bool = False) -> int:
    """A date or Unix milliseconds as the first (or with `is_end` the last) nanosecond it names."""
    if raw.isdecimal() and len(raw) <= 14:  # noqa: PLR2004 -- digits of milliseconds up to the year 5138
        return min(int(raw), _LATEST_MS) * _NS_PER_MS + (_NS_PER_MS - 1 if is_end else 0)
    day = parse_date(name, raw)
    return midnight_ns(day + timedelta(days=1)) - 1 if is_end else midnight_ns(day)


def _base_bars(market: Market, requested: _Range, limit: int, *, descending: bool) -> pl.DataFrame:
    """More than `limit` base bars in the requested order, if available; whole days, so that no window is cut."""
    day_bars = requested.minutes is None
    fetch = market.daily if day_bars else market.bars
    days = market.days(requested.symbol, date_at_ns(requested.start_ns), date_at_ns(requested.end_ns))
    at_once = limit + 1 if day_bars else min(limit // _BARS_A_DAY + 1, _DAYS_AT_ONCE)
    found = [BARS.to_frame()]
    have = 0
    for first, last in _chunks(days, at_once, descending=descending):
        at = pl.col("timestamp").dt.epoch("ns")
        rows = fetch(requested.symbol, first, last).filter(at.is_between(requested.start_ns, requested.end_ns))
        found.append(rows.reverse() if descending else rows)
        have += len(rows)
        if have > limit:
            break
    return pl.concat(found)


def _chunks(days: list[date], size: int, *, descending: bool) -> Iterator[tuple[date, date]]:
    """First and last date of groups of `size` days, in the requested order."""
    if descending:
        for end in range(len(days), 0, -size):
            yield days[max(end - size, 0)], days[end - 1]
    else:
        for start in range(0, len(days), size):
            yield days[start], days[min(start + size, len(days)) - 1]


def _cut(base: pl.DataFrame, requested: _Range, limit: int, *, descending: bool) -> tuple[pl.DataFrame, int | None]:
    """The base bars of this page and the milliseconds at which the next one begins (or, descending, ends)."""
    if len(base) <= limit:
        return base, None
    keyed = base.with_columns(_window_start(requested).alias("window"))
    edge = keyed["window"][limit]
    first = keyed["window"][0]
    if edge == first:
        kept = keyed.filter(pl.col("window") == first)
    else:
        kept = keyed.filter(pl.col("window") > edge if descending else pl.col("window") < edge)
    if len(kept) == len(base):
        return base, None
    beyond = int(base["timestamp"].dt.epoch("ms")[len(kept)])
    return kept.drop("window"), beyond


def _window_start(requested: _Range) -> pl.Expr:
    """The start of the window a base bar falls in; windows count from midnight in New York."""
    if requested.minutes is None:
        return pl.col("timestamp")
    local = pl.col("timestamp").dt.convert_time_zone("America/New_York")
    since = local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute().cast(pl.Int64)
    return (pl.col("timestamp").dt.truncate("1m") - pl.duration(minutes=since % requested.minutes)).alias("timestamp")


def _windows(base: pl.DataFrame, requested: _Range, *, descending: bool) -> pl.DataFrame:
    """Base bars aggregated to windows; bars of one minute or one day are returned unchanged."""
    if requested.minutes in (None, 1) or base.is_empty():
        return base
    volume, vwap = pl.col("volume"), pl.when(pl.col("vwap") > 0).then("vwap")
    joined = (
        base.sort("timestamp", maintain_order=True)
        .with_columns(_window_start(requested).alias("timestamp"))
        .group_by("symbol", "timestamp", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            volume.sum(),
            ((vwap * volume).sum() / volume.filter(vwap.is_not_null()).sum()).round(4).alias("vwap"),
            pl.when((pl.col("transactions").fill_null(0) > 0).all())
            .then(pl.col("transactions").sum())
            .alias("transactions"),
        )
    )
    return joined.reverse() if descending else joined
