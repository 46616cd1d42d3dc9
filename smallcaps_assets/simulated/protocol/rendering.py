"""Frames to JSON rows by column expressions; the key of a null optional value is omitted."""

from typing import Final

import polars as pl

# String expressions are null where the value is null; nulls are omitted when joined.
_BAR_KEYS: Final = {"volume": "v", "vwap": "vw", "open": "o", "close": "c", "high": "h", "low": "l"}
_OPTIONAL_BAR_KEYS: Final = ("vwap",)


def bars_json(bars: pl.DataFrame, stamps_ms: pl.Expr | None = None, *, with_symbol: bool = False) -> str:
    """Aggregate rows, comma separated. `vw` and `n` are left out where null; another null or a NaN is JSON's null."""
    parts = [_text("symbol", "T")] if with_symbol else []
    for name, key in _BAR_KEYS.items():
        value = _finite(name) if name in _OPTIONAL_BAR_KEYS else _finite(name).fill_null("null")
        parts.append(_keyed(value, key))
    stamps = pl.col("timestamp").dt.epoch("ms") if stamps_ms is None else stamps_ms
    parts.append(_keyed(stamps.cast(pl.String), "t"))
    parts.append(_keyed(pl.col("transactions").cast(pl.String), "n"))
    return _rows(bars, _row(*parts))


def trades_json(trades: pl.DataFrame) -> str:
    """Trade rows, comma separated; timestamps are exact nanoseconds, keys in the vendor's order."""
    return _rows(trades, _TRADE)


def quotes_json(quotes: pl.DataFrame) -> str:
    """Quote rows, comma separated; timestamps are exact nanoseconds, keys in the vendor's order."""
    return _rows(quotes, _QUOTE)


def _row(*parts: pl.Expr) -> pl.Expr:
    """The text of each row; every part begins with a comma, so that any of them may be null, which leaves it out."""
    return pl.concat_str(pl.lit("{"), pl.concat_str(parts, ignore_nulls=True).str.slice(1), pl.lit("}"))


def _rows(frame: pl.DataFrame, row: pl.Expr) -> str:
    if frame.is_empty():
        return ""
    joined: str = frame.select(row.str.join(",")).item()
    return joined


def _keyed(text: pl.Expr, key: str) -> pl.Expr:
    return pl.concat_str(pl.lit(f',"{key}":'), text)


def _number(name: str) -> pl.Expr:
    return _keyed(pl.col(name).cast(pl.String), name)


def _nanoseconds(name: str, key: str | None = None) -> pl.Expr:
    return _keyed(pl.col(name).dt.epoch("ns").cast(pl.String), key or name)


def _finite(name: str) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value).cast(pl.String)


def _quoted(text: pl.Expr) -> pl.Expr:
    return pl.concat_str(pl.lit('"'), text, pl.lit('"'))


def _text(name: str, key: str) -> pl.Expr:
    escaped = pl.col(name).str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    return _keyed(_quoted(escaped.str.replace_all(r"[\x00-\x1f]", " ")), key)


def _ids(name: str, key: str) -> pl.Expr:
    ids = pl.col(name).cast(pl.List(pl.String)).list.join(",")
    text = pl.concat_str(pl.lit("["), ids, pl.lit("]"))
    return _keyed(pl.when(pl.col(name).list.len() > 0).then(text), key)


# Built once: making the expressions takes as long as rendering a small page.
_TRADE: Final = _row(
    _ids("conditions", "conditions"),
    _number("correction"),
    _keyed(_quoted(_finite("size")), "decimal_size"),
    _number("exchange"),
    _text("trade_id", "id"),
    _nanoseconds("participant_timestamp"),
    _keyed(_finite("price"), "price"),
    _number("sequence_number"),
    _nanoseconds("timestamp", "sip_timestamp"),
    _keyed(_finite("size"), "size"),
    _number("tape"),
    _number("trf_id"),
    _nanoseconds("trf_timestamp"),
)
_QUOTE: Final = _row(
    _number("ask_exchange"),
    _keyed(_finite("ask_price"), "ask_price"),
    _keyed(_finite("ask_size"), "ask_size"),
    _number("bid_exchange"),
    _keyed(_finite("bid_price"), "bid_price"),
    _keyed(_finite("bid_size"), "bid_size"),
    _ids("conditions", "conditions"),
    _ids("indicators", "indicators"),
    _nanoseconds("participant_timestamp"),
    _number("sequence_number"),
    _nanoseconds("timestamp", "sip_timestamp"),
    _number("tape"),
)
