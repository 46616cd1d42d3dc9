"""Prior close, short sale restriction and splits of each symbol and day (research specification, section 5)."""

from typing import Final

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.research.prices import micro, usd

# Splits by execution date; `split_to` new shares replace `split_from` old ones.
SPLITS: Final = pl.Schema(
    {"symbol": pl.String(), "execution_date": pl.Date(), "split_from": pl.Float64(), "split_to": pl.Float64()}
)
SPLIT_STATE: Final = pl.Schema(
    {
        "split_on_date": pl.Boolean(),
        "days_since_split": pl.Int64(),
        "split_ratio": pl.Float64(),
        "reverse_split": pl.Boolean(),
    }
)
MARKET_STATE: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "date": pl.String(),
        "prior_close": pl.Float64(),
        "ssr_triggered": pl.Boolean(),
        "halts_known": pl.Boolean(),
        "halts": pl.Int64(),
        **SPLIT_STATE,
    }
)
_DAY: Final = ("symbol", "day")


class MarketStateParams(Params):
    """Fields are keys of `research:`."""

    # longest look back to a split, in trading days
    split_days: int = Field(default=20, gt=0)


def day_states(
    labeled: pl.DataFrame, sessions: pl.DataFrame, splits: pl.DataFrame | None, params: MarketStateParams
) -> pl.DataFrame:
    """One row per symbol and day with bars, sorted by them: what is known of the market on that day.

    Columns: `number` (of the session in `sessions`), `rth_open`, `rth_high`, `rth_low`, `rth_close` (null without RTH
    bars), `prior_close`, `prior_day_return`, `prior_day_range`, `ssr_triggered`, `ssr_at` (timestamp of the first bar
    that triggers), `ssr_previous` (whether it was triggered on the previous trading day) and SPLIT_STATE.

    Args:
        labeled: bars in sessions, sorted by symbol and timestamp, with `day` and `session`, see `with_session`.
        sessions: SESSION_TABLE of every session from the first to the last day.
        splits: SPLITS; None if they were not asked for: columns are null, and factors 1.
        params: look back.
    """
    regular = labeled.filter(pl.col("session") == "RTH")
    by_day = labeled.lazy().select(*_DAY).unique()
    of_regular = (
        regular.lazy()
        .group_by(_DAY)
        .agg(
            rth_open=pl.col("open").first(),
            rth_high=pl.col("high").max(),
            rth_low=pl.col("low").min(),
            rth_close=pl.col("close").last(),
        )
    )
    calendar = sessions.select(day=pl.col("date").sort(), number=pl.int_range(pl.len(), dtype=pl.Int64))
    days = by_day.join(of_regular, on=_DAY, how="left").join(calendar.lazy(), on="day", how="left").sort(_DAY).collect()
    states = _with_prior_close(_with_splits(days, calendar, splits, params))
    return _with_ssr(states, regular)


def market_state_day(states: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """MARKET_STATE, sorted by symbol and date, from `day_states` and the runs without bars, see `bar_runs`."""
    halted = runs.group_by(_DAY).agg(halts=pl.col("is_halt").sum().cast(pl.Int64), unsure=pl.col("undecided").any())
    rows = states.join(halted, on=_DAY, how="left", maintain_order="left")
    return (
        rows.select(
            "symbol",
            "prior_close",
            "ssr_triggered",
            *SPLIT_STATE,
            date=pl.col("day").dt.to_string("%Y-%m-%d"),
            halts=pl.col("halts").fill_null(0),
            halts_known=~pl.col("unsure").fill_null(value=False),
        )
        .select(*MARKET_STATE)
        .match_to_schema(MARKET_STATE)
    )


def _with_splits(
    days: pl.DataFrame, calendar: pl.DataFrame, splits: pl.DataFrame | None, params: MarketStateParams
) -> pl.DataFrame:
    """`days` with SPLIT_STATE of the last split up to the day, and `step`, the factor of splits since the last row."""
    if splits is None:
        unknown = (pl.lit(None, dtype).alias(name) for name, dtype in SPLIT_STATE.items())
        return days.with_columns(*unknown, step=pl.lit(1.0))
    executed = (
        splits.select(*SPLITS)
        .with_columns(ratio=pl.col("split_to") / pl.col("split_from"), factor=pl.col("split_from") / pl.col("split_to"))
        .group_by("symbol", "execution_date")
        .agg(pl.col("ratio", "factor").product())
        .sort("execution_date")
    )
    steps = (
        executed.join_asof(
            days.select(*_DAY).sort("day"),
            left_on="execution_date",
            right_on="day",
            by="symbol",
            strategy="forward",
            check_sortedness=False,
        )
        .drop_nulls("day")
        .group_by(_DAY)
        .agg(step=pl.col("factor").product())
    )
    traded = executed.join_asof(calendar, left_on="execution_date", right_on="day", strategy="forward").select(
        "symbol", "execution_date", "ratio", executed_number="number"
    )
    last = days.sort("day").join_asof(
        traded.sort("execution_date"),
        left_on="day",
        right_on="execution_date",
        by="symbol",
        strategy="backward",
        check_sortedness=False,
    )
    since = pl.col("number") - pl.col("executed_number")
    recent = since <= params.split_days
    return (
        last.join(steps, on=_DAY, how="left")
        .with_columns(
            step=pl.col("step").fill_null(1.0),
            split_on_date=(pl.col("execution_date") == pl.col("day")).fill_null(value=False),
            days_since_split=pl.when(recent).then(since),
            split_ratio=pl.when(recent).then("ratio"),
        )
        .with_columns(reverse_split=(pl.col("split_ratio") < 1).fill_null(value=False))
        .drop("execution_date", "ratio", "executed_number")
        .sort(_DAY)
    )


def _with_prior_close(days: pl.DataFrame) -> pl.DataFrame:
    """`days` with the close of the latest earlier day with RTH bars, adjusted, and that day's return and range."""
    has_close = pl.col("rth_close").is_not_null()
    rows = (
        days.with_row_index("row")
        .with_columns(
            prior_row=pl.when(has_close).then("row").shift(1).forward_fill().over("symbol"),
            # rows that share a prior close, in which the steps since then multiply
            since=has_close.cast(pl.Int64).shift(1, fill_value=0).cum_sum().over("symbol"),
        )
        .with_columns(factor=pl.col("step").cum_prod().over("symbol", "since"))
    )
    prior = rows["prior_row"]
    rows = rows.with_columns(prior_close=days["rth_close"].gather(prior) * pl.col("factor"))
    day_range = micro("rth_high") - micro("rth_low")
    of_day = rows.select(
        prior_day_return=pl.col("rth_close") / pl.col("prior_close") - 1,
        prior_day_range=usd(day_range) / pl.col("rth_close"),
    )
    return rows.with_columns(series.gather(prior) for series in of_day).drop(
        "row", "prior_row", "since", "factor", "step"
    )


def _with_ssr(days: pl.DataFrame, regular: pl.DataFrame) -> pl.DataFrame:
    falls = (
        regular.lazy()
        .join(days.lazy().select(*_DAY, "prior_close"), on=_DAY, how="left")
        .filter(10 * micro("low") <= 9 * micro("prior_close"))
        .group_by(_DAY)
        .agg(ssr_at=pl.col("timestamp").min())
    )
    triggered = pl.when(pl.col("prior_close").is_not_null()).then(pl.col("ssr_at").is_not_null())
    rows = days.lazy().join(falls, on=_DAY, how="left").sort(_DAY).with_columns(ssr_triggered=triggered).collect()
    first = pl.int_range(pl.len()).over("symbol") == 0
    adjacent = pl.col("number").shift(1).over("symbol") == pl.col("number") - 1
    previous = pl.when(adjacent).then(pl.col("ssr_triggered").shift(1).over("symbol")).otherwise(pl.lit(value=False))
    return rows.with_columns(ssr_previous=pl.when(~first).then(previous))
