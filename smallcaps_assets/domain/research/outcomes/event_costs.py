"""What a position costs, and what remains of its return (research specification, section 4.4)."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.outcome_params import CostParams
from smallcaps_assets.domain.research.prices import BPS, MICRO, micro
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS

# What costs are computed from: one row per event.
COSTED_EVENTS: Final = pl.Schema(
    {"event_id": pl.String(), "session": pl.String(), "date": pl.String(), "close": pl.Float64()}
)
# The figures of an event's minute (segment `bar` of MICRO_FEATURES) that say what it costs, the better one first.
OWN_COSTS: Final = pl.Schema(
    {"event_id": pl.String(), "spread_bps_at_end": pl.Float64(), "effective_spread_bps": pl.Float64()}
)
# What `event_costs` returns.
COSTS: Final = pl.Schema({"event_id": pl.String(), "cost_bps": pl.Float64(), "cost_source": pl.String()})
COST_SOURCES: Final = ("nbbo", "effective", "trailing", "default", "none")
# lower bounds of the price buckets after the first, in micro-dollars
_BUCKETS: Final = [2 * MICRO, 5 * MICRO, 20 * MICRO]
_KIND: Final = ("session", "bucket")


def event_costs(
    events: pl.DataFrame,
    own: pl.DataFrame,
    sessions: pl.DataFrame,
    params: CostParams,
    standing: pl.Series | None = None,
) -> pl.DataFrame:
    """COSTS in the order of `events`: `cost_bps` is null where it is not known, `cost_source` one of COST_SOURCES.

    The cost of entry and exit together is one spread: that at the end of the event's minute, or the effective one of
    its trades; else the median of these over the events of the same session and price bucket on the trading days
    before its date; else the default of the settings. The fee is added.

    Args:
        events: COSTED_EVENTS, each once.
        own: OWN_COSTS of the events that have tape; others are ignored.
        sessions: SESSION_TABLE of every session from the first to the last date.
        params: settings.
        standing: `event_id` of those whose own costs may stand for others; all if not given.
    """
    calendar = sessions.select(
        date=pl.col("date").dt.to_string("%Y-%m-%d"), number=pl.col("date").rank("ordinal").cast(pl.Int64)
    )
    price = pl.col("close")
    rows = (
        events.select(*COSTED_EVENTS)
        .join(own.select(*OWN_COSTS), on="event_id", how="left", maintain_order="left", validate="m:1")
        .join(calendar, on="date", how="left", maintain_order="left")
        .with_columns(
            own=pl.coalesce("spread_bps_at_end", "effective_spread_bps"),
            bucket=pl.sum_horizontal((micro(price) >= bound).cast(pl.Int64) for bound in _BUCKETS),
        )
    )
    known = rows if standing is None else rows.filter(pl.col("event_id").is_in(standing.implode()))
    rows = rows.join(_trailing(known, params), on=[*_KIND, "number"], how="left", maintain_order="left")
    costs = {
        "nbbo": pl.col("spread_bps_at_end"),
        "effective": pl.col("effective_spread_bps"),
        "trailing": pl.col("trailing"),
        "default": pl.lit(params.cost_bps_default, pl.Float64),
    }
    source = pl.coalesce(pl.when(cost.is_not_null()).then(pl.lit(name)) for name, cost in costs.items())
    return rows.select(
        "event_id",
        cost_bps=pl.coalesce(costs.values()) + params.fee_bps,
        cost_source=source.fill_null("none"),
    )


def net_outcomes(labels: pl.DataFrame, costs: pl.DataFrame) -> pl.DataFrame:
    """EVENT_COSTS of the rows of `labels` (EVENT_LABELS), in their order; `costs` as from `event_costs`."""
    # a column: Polars divides by a number as it multiplies by its inverse
    bps = 0.0 * pl.col("cost_bps") + BPS
    net = pl.col("gross_return") - pl.col("cost_bps") / bps
    rows = labels.select("event_id", "label_spec", "gross_return").join(
        costs, on="event_id", how="left", maintain_order="left", validate="m:1"
    )
    return rows.with_columns(net_return=net).with_columns(win=pl.col("net_return") > 0).select(*EVENT_COSTS)


def _trailing(rows: pl.DataFrame, params: CostParams) -> pl.DataFrame:
    """The median own cost of the trading days before each `number`, by session and bucket, where there are enough."""
    days = params.cost_days
    return (
        rows.drop_nulls(["own", "number"])
        .sort(*_KIND, "number")
        .group_by_dynamic(
            "number", every="1i", period=f"{days}i", offset=f"-{days}i", closed="left", label="left", group_by=_KIND
        )
        .agg(trailing=pl.col("own").median(), known=pl.len())
        .filter(pl.col("known") >= params.cost_min_events)
        .select(*_KIND, "trailing", number=pl.col("number") + days)
    )
