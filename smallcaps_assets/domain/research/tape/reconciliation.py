"""Stored minute bars against bars rebuilt from the tape (research specification, section 2)."""

from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from smallcaps_assets.domain.research.prices import micro
from smallcaps_assets.domain.research.tables.bar_tables import BAR_RECONCILIATION, EVENT_RECONCILIATION
from smallcaps_assets.domain.research.tape.conditions import MESSAGES, TradeParams, is_regular
from smallcaps_assets.domain.research.tape.rebuilt_bars import rebuild_bars
from smallcaps_assets.domain.sessions import new_york_dates
from smallcaps_assets.domain.tables import UTC_US

# The classes of a minute; the first that holds is its class.
RECONCILIATION_CLASSES: Final = (
    "exact",
    "no_trades_no_bar",
    "missing_bar",
    "bar_without_trades",
    "split_factor",
    "fractional",
    "cancel",
    "form_t",
    "price_and_volume",
    "price_only",
    "volume_only",
    "count_only",
)
# What the tape covers, [start, end).
COVERED_SPANS: Final = pl.Schema({"symbol": pl.String(), "start": UTC_US, "end": UTC_US})
_PRICES: Final = ("open", "high", "low", "close")
_COMPARED: Final = (*_PRICES, "volume", "transactions")
_MINUTE: Final = timedelta(minutes=1)
_US_PER_MIN: Final = 60_000_000
# of a key: minutes since the epoch
_MINUTE_BITS: Final = 32


class ReconciliationParams(TradeParams):
    """Tolerances. Fields are keys of `research:`."""

    split_min_factor: float = Field(default=1.05, gt=1)
    split_price_tolerance: float = Field(default=1e-6, gt=0)
    split_volume_tolerance: float = Field(default=1e-3, gt=0)


def reconcile_bars(  # noqa: PLR0913 -- the tables that are compared and what each needs
    trades: pl.DataFrame,
    bars: pl.DataFrame,
    spans: pl.DataFrame,
    *,
    sessions: pl.DataFrame,
    conditions: pl.DataFrame,
    params: ReconciliationParams,
) -> pl.DataFrame:
    """One row (BAR_RECONCILIATION) per minute of a session that lies inside a span, sorted by symbol and timestamp.

    Args:
        trades: tape with `symbol`, sorted by (symbol, timestamp, sequence_number); those outside the spans are ignored.
        bars: stored bars (BARS); those outside the spans are ignored.
        spans: COVERED_SPANS, disjoint within a symbol.
        sessions: SESSION_TABLE of their dates.
        conditions: CONDITION_RULES.
        params: tolerances.
    """
    minutes = _minutes(spans, sessions)
    stored = _with_minute(bars.filter(_is_whole(pl.col("timestamp"))), minutes).select(
        "minute_id", *(pl.col(name).alias(f"bar_{name}") for name in (*_COMPARED, "vwap"))
    )
    tape = _with_minute(trades, minutes)
    rebuilt = rebuild_bars(tape, conditions, params)
    # most minutes of a thinly traded symbol have neither trades nor a bar: there is nothing to compare
    either = pl.concat([stored["minute_id"], rebuilt["minute_id"]]).unique()
    rows = (
        minutes.filter(pl.col("minute_id").is_in(either.implode()))
        .join(stored, on="minute_id", how="left", maintain_order="left")
        .join(rebuilt, on="minute_id", how="left", maintain_order="left")
    )
    rows = rows.with_columns(_equal("").alias("same"))
    # only what differs is rebuilt by other rules
    doubtful = rows.filter(~pl.col("same") & pl.col("bar_close").is_not_null() & pl.col("tape_close").is_not_null())[
        "minute_id"
    ]
    again = tape.filter(pl.col("minute_id").is_in(doubtful.implode()))
    with_cancelled = rebuild_bars(again, conditions, params, dropped=MESSAGES)
    with_form_t = rebuild_bars(again, conditions, params, exchange_form_t=True)
    for rebuilt_again, prefix in ((with_cancelled, "cancel_"), (with_form_t, "form_t_")):
        named = rebuilt_again.rename({name: prefix + name for name in rebuilt_again.columns if name != "minute_id"})
        rows = rows.join(named, on="minute_id", how="left", maintain_order="left")
    rows = _with_split_factor(rows, params).with_columns(_classify().alias("class"), *_differences())
    found = rows.select("minute_id", *(name for name in BAR_RECONCILIATION if name not in minutes.columns))
    return (
        minutes.join(found, on="minute_id", how="left", maintain_order="left")
        .with_columns(pl.col("class").fill_null("no_trades_no_bar"))
        .select(*BAR_RECONCILIATION)
        .match_to_schema(BAR_RECONCILIATION)
    )


def reconcile_events(events: pl.DataFrame, minutes: pl.DataFrame) -> pl.DataFrame:
    """One row (EVENT_RECONCILIATION) per event, in the order of `events`.

    Args:
        events: event_id, symbol, timestamp, and the bounds of their windows, `window_start` and `window_end`, at
            whole minutes.
        minutes: BAR_RECONCILIATION, sorted by symbol and timestamp.
    """
    symbols = pl.concat([events["symbol"], minutes["symbol"]]).unique().sort()
    places = _minute_keys(minutes, symbols)
    first, last = (
        places.searchsorted(_minute_keys(events, symbols, bound)) for bound in ("window_start", "window_end")
    )
    numbers = minutes["class"].cast(pl.Enum(RECONCILIATION_CLASSES)).to_physical().to_numpy().astype(np.int64)
    total = {name: np.append(0, np.cumsum(numbers == number)) for number, name in enumerate(RECONCILIATION_CLASSES)}
    within = {name: sums[last] - sums[first] for name, sums in total.items()}
    traded = last - first - within["no_trades_no_bar"]
    worst = np.full(events.height, -1)
    for number, name in enumerate(RECONCILIATION_CLASSES):
        worst = np.where(within[name] > 0, number, worst)
    moment = _minute_keys(events, symbols)
    place = np.minimum(places.searchsorted(moment), max(minutes.height - 1, 0))
    own = np.full(events.height, -1)
    if minutes.height:
        is_whole = events.select(_is_whole(pl.col("timestamp"))).to_series().to_numpy()
        own = np.where(is_whole & (places[place] == moment), numbers[place], -1)
    names = pl.Series([*RECONCILIATION_CLASSES, None], dtype=pl.String)
    exact = pl.Series(within["exact"], dtype=pl.Float64)
    return events.select(
        "event_id",
        reconciled_share=exact / pl.Series(traded, dtype=pl.Float64).set(pl.Series(traded == 0), None),
        worst_class=names.gather(np.where(worst < 0, len(RECONCILIATION_CLASSES), worst)),
        event_bar_class=names.gather(np.where(own < 0, len(RECONCILIATION_CLASSES), own)),
    ).match_to_schema(EVENT_RECONCILIATION)


def count_classes(minutes: pl.LazyFrame) -> pl.LazyFrame:
    """`class`, and how many of `minutes` (BAR_RECONCILIATION) have it."""
    return minutes.group_by("class").agg(minutes=pl.len())


def count_exact(classes: pl.DataFrame) -> tuple[int, int]:
    """Of the counts of `count_classes`, how many minutes are exact, and how many have trades or a bar.

    Their ratio is the share of minutes that agree (research specification, 9).
    """
    of_class = pl.col("class")
    counted = [of_class == "exact", of_class != "no_trades_no_bar"]
    exact, compared = (int(classes.filter(which)["minutes"].sum()) for which in counted)
    return exact, compared


def _minutes(spans: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Every minute of a session inside a span: symbol, timestamp, `span`, `regular`, `minute_id` in their order."""
    # disjoint spans in order have disjoint minutes in order
    whole = (
        spans.sort("symbol", "start")
        .with_row_index("span")
        .with_columns(
            # the first and one after the last whole minute
            first=pl.col("start").dt.offset_by("59999999us").dt.truncate("1m"),
            end=pl.col("end").dt.truncate("1m"),
        )
    )
    lasting = (pl.col("end") - pl.col("first")).dt.total_minutes().clip(lower_bound=0)
    counts = whole.select(lasting).to_series().to_numpy()
    number = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    later = pl.Series("later", number * _US_PER_MIN, dtype=pl.Duration("us"))
    rows = whole.select("symbol", "span", "first")[np.repeat(np.arange(whole.height), counts)].with_columns(later)
    rows = rows.with_columns(timestamp=pl.col("first") + pl.col("later"))
    bounds = sessions.select("date", "premarket_open", "regular_open", "regular_close", "afterhours_close")
    minute, opened = pl.col("timestamp"), pl.col("premarket_open")
    return (
        rows.with_columns(date=new_york_dates(rows["timestamp"]))
        .join(bounds, on="date", how="inner", maintain_order="left")
        .filter((minute >= opened) & (minute + _MINUTE <= pl.col("afterhours_close")))
        .select(
            "symbol",
            pl.col("timestamp").cast(UTC_US),
            "span",
            regular=is_regular(minute, pl.col("regular_open"), pl.col("regular_close")),
        )
        .with_row_index("minute_id")
    )


def _with_minute(trades: pl.DataFrame, minutes: pl.DataFrame) -> pl.DataFrame:
    """The trades of `minutes`, with `minute_id` and `regular`, in stored order, which is that of `minute_id`."""
    symbols = minutes["symbol"].unique().sort()
    places = _minute_keys(minutes, symbols)
    own = _minute_keys(trades, symbols)
    number = np.minimum(places.searchsorted(own), max(minutes.height - 1, 0))
    inside = places[number] == own if minutes.height else np.zeros(trades.height, dtype=np.bool_)
    kept = trades.filter(pl.Series(inside, dtype=pl.Boolean))
    return kept.hstack(minutes.select("minute_id", "regular")[number[inside]])


def _minute_keys(rows: pl.DataFrame, symbols: pl.Series, moment: str = "timestamp") -> npt.NDArray[np.int64]:
    """A number per row that orders by symbol, one of `symbols`, and minute; negative for other symbols."""
    runs = rows["symbol"].rle().struct.unnest()
    place = symbols.search_sorted(runs["value"]).to_numpy().astype(np.int64)
    known = runs["value"].is_in(symbols.implode()).to_numpy()
    number = np.repeat(np.where(known, place, -1), runs["len"].to_numpy())
    keys: npt.NDArray[np.int64] = (number << _MINUTE_BITS) + rows[moment].dt.epoch("us").to_numpy() // _US_PER_MIN
    return keys


def _is_whole(moment: pl.Expr) -> pl.Expr:
    """Whether a moment is the start of a minute."""
    return moment == moment.dt.truncate("1m")


def _same_prices(prefix: str) -> pl.Expr:
    return pl.all_horizontal(
        (micro(f"bar_{price}") - micro(f"{prefix}tape_{price}")).abs() <= 1 for price in _PRICES
    ).fill_null(value=False)


def _same_volume(prefix: str) -> pl.Expr:
    stored = pl.col("bar_volume")
    allowed = pl.max_horizontal(pl.lit(1e-6), stored * 1e-9)
    return ((stored - pl.col(f"{prefix}tape_volume")).abs() <= allowed).fill_null(value=stored.is_null())


def _same_count(prefix: str) -> pl.Expr:
    """Whether the transactions are equal; those that are not stored are not compared."""
    stored = pl.col("bar_transactions")
    return stored.is_null() | (stored == pl.col(f"{prefix}tape_transactions")).fill_null(value=False)


def _equal(prefix: str) -> pl.Expr:
    return _same_prices(prefix) & _same_volume(prefix) & _same_count(prefix)


def _with_split_factor(rows: pl.DataFrame, params: ReconciliationParams) -> pl.DataFrame:
    """`rows` with `is_split`: the stored bar is the rebuilt one times a factor, as adjusted for splits."""
    factor = pl.col("bar_close") / pl.col("tape_close")
    prices = pl.all_horizontal(
        (pl.col(f"bar_{price}") / (factor * pl.col(f"tape_{price}")) - 1).abs() <= params.split_price_tolerance
        for price in _PRICES
    )
    volume = (pl.col("bar_volume") / (pl.col("tape_volume") / factor) - 1).abs() <= params.split_volume_tolerance
    large = pl.max_horizontal(factor, 1 / factor) >= params.split_min_factor
    scaled = (large & prices & volume).fill_null(value=False)
    moved = micro("tape_high") != micro("tape_low")
    meets = (
        rows.select("minute_id", "span", factor=factor, scaled=scaled, moved=moved.fill_null(value=False))
        .filter("scaled")
        .sort("span", "factor")
    )
    # the nearest factor of another minute of the span is a neighbour in this order
    close = (pl.col("factor") / pl.col("factor").shift(1).over("span") - 1).abs() <= params.split_price_tolerance
    near = close.fill_null(value=False)
    found = meets.filter(pl.col("moved") | near | near.shift(-1, fill_value=False))["minute_id"]
    return rows.with_columns(is_split=pl.col("minute_id").is_in(found.implode()))


def _classify() -> pl.Expr:
    """The first of RECONCILIATION_CLASSES that holds."""
    stored, rebuilt = pl.col("bar_close").is_not_null(), pl.col("tape_close").is_not_null()
    prices, volume, count = _same_prices(""), _same_volume(""), _same_count("")
    difference = (pl.col("bar_volume") - pl.col("tape_volume")).abs()
    fractional = prices & count & (difference > 0) & (difference < pl.col("tape_transactions"))
    holds = {
        "exact": pl.col("same"),
        "no_trades_no_bar": ~stored & ~rebuilt,
        "missing_bar": ~stored,
        "bar_without_trades": ~rebuilt,
        "split_factor": pl.col("is_split"),
        "fractional": fractional,
        "cancel": _equal("cancel_"),
        "form_t": _equal("form_t_"),
        "price_and_volume": ~prices & ~volume,
        "price_only": ~prices,
        "volume_only": ~volume,
        "count_only": pl.lit(value=True),
    }
    return pl.coalesce(
        pl.when(holds[name].fill_null(value=False)).then(pl.lit(name)) for name in RECONCILIATION_CLASSES
    )


def _differences() -> list[pl.Expr]:
    """What is stored less what is rebuilt; prices as ratios."""
    prices = (
        ((pl.col(f"bar_{price}") / pl.col(f"tape_{price}") - 1) * 1e4).alias(f"d{price}_bps") for price in _PRICES
    )
    others = ((pl.col(f"bar_{name}") - pl.col(f"tape_{name}")).alias(f"d{name}") for name in ("volume", "transactions"))
    return [*prices, *others]
