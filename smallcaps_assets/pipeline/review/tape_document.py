"""The tape of events as the page's script reads it: small integers in columns, one entry per event."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.research.micro.quote_states import QUOTE_STATES
from smallcaps_assets.domain.research.micro.segments import SEGMENTS
from smallcaps_assets.domain.research.micro.tables import MICRO_COLUMNS
from smallcaps_assets.pipeline.review.drawn_tape import DrawnTape
from smallcaps_assets.pipeline.review.market_marks import MarketMarks

# Prices are in ten-thousandths of a dollar.
_PRICES_PER_USD: Final = 10_000
_FIGURES: Final = 6
# What the segments are, for people.
SEGMENT_HELP: Final = {
    "pre3": "the 3 minutes before the minute of the event",
    "pre_all": "from the start of the window to the minute of the event",
    "bar": "the minute of the event",
    "m5": "the 5 minutes after the minute of the event: hindsight",
    "post_all": "from the end of the minute of the event to the end of the window: hindsight",
}
# The columns that the page shows first, in groups; the others follow under `all others`.
FIRST_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "spread and depth": (
        *("spread_bps_mean", "spread_bps_at_end", "effective_spread_bps", "price_impact_30_bps"),
        *("depth_bid_usd_mean", "depth_ask_usd_mean", "normal_share", "locked_share", "crossed_share"),
    ),
    "sides": ("imbalance_dollars", "imbalance_shares", "net_buy_usd", "signed_by_quote_share"),
    "speed": ("trades", "volume_shares", "trades_per_s", "speed_x", "peak_trades_1s", "longest_gap_s"),
    "kinds of trades": ("trf_volume_share", "odd_lot_trade_share", "large_print_volume_share", "sweep_volume_share"),
    "cost of an order": ("slippage_book_5000_bps", "slippage_vwap_5000_bps"),
}
_MEASURES: Final = {column.name: column for column in MICRO_COLUMNS if column.half != "none"}
_REST: Final = tuple(name for name in _MEASURES if all(name not in names for names in FIRST_COLUMNS.values()))
TAPE_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {**FIRST_COLUMNS, "all others": _REST}
_SHOWN: Final = tuple(name for names in TAPE_COLUMNS.values() for name in names)
_INTEGERS: Final = (pl.Int64(), pl.Boolean())


def describe_figures() -> dict[str, Any]:
    """The segments and columns of the figures of every event, in the order of their values."""
    return {
        "segments": [
            {"name": name, "help": SEGMENT_HELP[name], "hindsight": availability != "pre"}
            for name, availability in SEGMENTS.items()
        ],
        "columns": [
            {"name": name, "unit": _MEASURES[name].unit, "group": group}
            for group, names in TAPE_COLUMNS.items()
            for name in names
        ],
    }


def tape_entries(tapes: DrawnTape, marks: MarketMarks, symbols: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """By event, what the page shows of its tape.

    Args:
        tapes: the tape of events.
        marks: halts and restrictions of the same events.
        symbols: the symbol of each event.
    """
    parts = {
        "trades": _by_span(tapes.trades, _trade_columns()),
        "book": _by_span(tapes.book, _book_columns()),
        "volumes": _by_span(tapes.volumes, {"at": pl.col("bucket").diff().fill_null(pl.col("bucket")), **_SIDES}),
    }
    restrictions = {event: (source, since) for event, source, since in marks.restrictions.iter_rows()}
    figures = _figures(tapes.micro)
    rows = tapes.windows.join(tapes.drawn, on="span", how="inner", maintain_order="left")
    entries = {}
    for row in rows.to_dicts():
        event, span = row["event_id"], row["span"]
        entries[event] = {
            "from": row["start_ms"],
            "to": row["end_ms"],
            "step": row["step_s"],
            "state": [row["trades_state"], row["quotes_state"]],
            **{name: found.get(span) for name, found in parts.items()},
            "halts": _halts_of(event, symbols[event], row, tapes.halts, marks.halts),
            "ssr": _restriction(row, *restrictions.get(event, (None, None))),
            "figures": figures.get(event, {}),
        }
    return entries


_SIDES: Final = {side: pl.col(side).round(0).cast(pl.Int64) for side in ("buy", "sell", "other")}


def _by_span(rows: pl.DataFrame, columns: Mapping[str, pl.Expr]) -> dict[int, dict[str, Any]]:
    """The columns of each span, as lists."""
    lists = rows.group_by("span", maintain_order=True).agg(
        *(expression.alias(name) for name, expression in columns.items())
    )
    return {row.pop("span"): row for row in lists.to_dicts()}


def _steps(value: pl.Expr) -> pl.Expr:
    """Each value less the one before it; nulls stay, and the next value is less the last one that is not null."""
    return (value - value.forward_fill().shift(1).fill_null(0)).alias("steps")


def _price(column: str) -> pl.Expr:
    return (pl.col(column) * _PRICES_PER_USD).round(0).cast(pl.Int64)


def _trade_columns() -> dict[str, pl.Expr]:
    """`k`: 0 no side, 1 buyer, 2 seller; plus 3 if off-exchange, plus 6 if it does not count for volume."""
    side = pl.col("side").fill_null(0)
    kind = pl.when(side == 1).then(1).when(side == -1).then(2).otherwise(0)
    return {
        "of": pl.col("of").first(),
        "t": _steps(pl.col("ms")),
        "p": _steps(_price("price").fill_null(0)),
        "s": pl.col("size").fill_null(0).round(0).cast(pl.Int64),
        "k": kind + 3 * pl.col("off_exchange").cast(pl.Int64) + 6 * (~pl.col("in_v")).cast(pl.Int64),
    }


def _book_columns() -> dict[str, pl.Expr]:
    state = pl.col("state").replace_strict(
        {name: code for code, name in enumerate(QUOTE_STATES)}, return_dtype=pl.Int64
    )
    return {
        "of": pl.col("of").first(),
        "t": _steps(pl.col("ms")),
        "b": _steps(_price("bid")),
        "a": _steps(_price("ask")),
        "k": state,
    }


def _figures(micro: pl.DataFrame) -> dict[str, dict[str, list[Any]]]:
    """By event and segment, the values of TAPE_COLUMNS."""
    rounded = micro.select(
        "event_id",
        "segment",
        *(
            pl.col(name).cast(pl.Int64) if _MEASURES[name].dtype in _INTEGERS else pl.col(name).round_sig_figs(_FIGURES)
            for name in _SHOWN
        ),
    )
    found = dict[str, dict[str, list[Any]]]()
    for event, segment, *values in rounded.iter_rows():
        found.setdefault(event, {})[segment] = values
    return found


def _halts_of(
    event: str, symbol: str, window: Mapping[str, Any], of_tape: pl.DataFrame, of_bars: pl.DataFrame
) -> list[dict[str, Any]]:
    """Halts that meet the window, those of the tape first; a halt of the bars counts where the tape shows none then."""
    found = list[dict[str, Any]]()
    both = {"tape": of_tape.filter(event_id=event), "bars": of_bars.filter(symbol=symbol)}
    for source, halts in both.items():
        for start, end in halts.select(
            *((pl.col(name) - window["origin"]).dt.total_milliseconds() for name in ("start", "end"))
        ).iter_rows():
            meets = start < window["end_ms"] and end > window["start_ms"]
            known = any(start < other["to"] and end > other["from"] for other in found)
            if meets and not known:
                found.append({"from": start, "to": end, "by": source})
    return found


def _restriction(window: Mapping[str, Any], source: str | None, since: Any) -> dict[str, Any] | None:  # noqa: ANN401
    """From when on the short sale restriction holds in the window, and by which day."""
    if source is None:
        return None
    start = int((since - window["timestamp"]).total_seconds() * 1_000)
    return {"from": start, "by": source} if start < window["end_ms"] else None
