"""The size budget of an event: quotes after it are thinned further until its tape fits (specification, section 6).

`windows` are those of the events of one span: columns event_id, start, known_at and end, UTC. The quotes of an event
are in [start, end): before it is known in [start, known_at), after it in [known_at, end).
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, Final, NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.tables import UTC_NS
from smallcaps_assets.domain.tape.nbbo import LOWEST_HZ, Thinning, changes, interval

BYTES_PER_MB: Final = 1_000_000
FULL_RATE: Final = float("inf")


class SizeBudget(Params):
    """The largest tape of an event, in MB of parquet, and the rates to which its later quotes are thinned in turn."""

    event_mb: float = Field(gt=0)
    steps_hz: list[Annotated[float, Field(ge=LOWEST_HZ, le=1_000)]] = Field(min_length=1)

    @model_validator(mode="after")
    def _falling(self) -> Self:
        if any(later >= earlier for earlier, later in pairwise(self.steps_hz)):
            raise ValueError(f"steps_hz must fall from step to step, e.g. [1.0, 0.5]; found {self.steps_hz}")
        return self


class Fitted(NamedTuple):
    """Quotes of a span within the budget, the rate of each event that was thinned, and the events still too large."""

    frame: pl.DataFrame
    steps: dict[str, float]
    over: tuple[str, ...]


def events_over_budget(
    quotes: pl.DataFrame,
    windows: pl.DataFrame,
    quotes_bytes: int,
    other_bytes: Mapping[str, int],
    budget: SizeBudget,
) -> list[str]:
    """Events larger than the budget, in the order of `windows`.

    Args:
        quotes: quotes of the span, sorted by timestamp.
        windows: windows of its events.
        quotes_bytes: size of all of `quotes`; the share of an event is that of its rows.
        other_bytes: size of the trades of each event; 0 for events without an entry.
        budget: the size allowed.
    """
    times = quotes["timestamp"].cast(UTC_NS).to_physical()
    first, end = (
        times.search_sorted(windows[edge].cast(UTC_NS).to_physical(), side="left") for edge in ("start", "end")
    )
    limit = budget.event_mb * BYTES_PER_MB
    return [
        event_id
        for event_id, rows in zip(windows["event_id"], end - first, strict=True)
        if quotes_bytes * rows / max(quotes.height, 1) + other_bytes.get(event_id, 0) > limit
    ]


def thin_after(
    quotes: pl.LazyFrame | pl.DataFrame, windows: pl.DataFrame, rates_hz: Mapping[str, float], thinning: Thinning
) -> pl.LazyFrame:
    """Thin the quotes at or after the `known_at` of some events of a span to the given rates; keep every other row.

    Rows before any of them and after an event without a rate are kept; of two rates that apply, the higher is used.
    At every multiple of 1/hz seconds within a thinned interval, and at any time outside, the bid and ask in force are
    those of `quotes`. The first row is always kept.

    Args:
        quotes: quotes of the span, sorted by (timestamp, sequence_number).
        windows: windows of all events of the span.
        rates_hz: rate by event_id of the events to thin.
        thinning: whether rows that repeat the book are dropped where the rate is lowered.
    """
    rows = quotes.lazy().join_asof(
        _rate_intervals(windows, rates_hz).lazy(), left_on="timestamp", right_on="_edge", strategy="backward"
    )
    first = pl.int_range(pl.len()) == 0
    is_kept = first | pl.col("_hz").is_null()
    tick = pl.coalesce(
        pl.lit(None, pl.Int64),
        *(pl.when(pl.col("_hz") == hz).then(interval(hz)) for hz in sorted(set(rates_hz.values()))),
    )
    last = pl.any_horizontal((key != key.shift(-1)).fill_null(value=True) for key in (pl.col("_interval"), tick))
    thinned = rows.filter(is_kept | last)
    if thinning.by_change_only:
        thinned = thinned.filter(is_kept | changes())
    return thinned.drop("_edge", "_hz", "_interval", strict=False)


def fit_budget(  # noqa: PLR0913 -- data, measure and limits
    quotes: pl.DataFrame,
    windows: pl.DataFrame,
    *,
    measure: Callable[[pl.DataFrame], int],
    other_bytes: Mapping[str, int],
    budget: SizeBudget,
    thinning: Thinning,
) -> Fitted:
    """Thin the quotes after events over the budget, step by step, until all events fit or no step is left.

    Args:
        quotes: quotes of the span, sorted by (timestamp, sequence_number); returned unchanged if all events fit.
        windows: windows of all events of the span.
        measure: size of a frame as parquet; called only if the frame in memory is larger than the budget.
        other_bytes: see `events_over_budget`.
        budget: the size allowed, and the steps.
        thinning: how `quotes` were thinned.
    """
    frame, taken = quotes, dict.fromkeys(windows["event_id"], 0)
    while True:
        over = events_over_budget(frame, windows, int(frame.estimated_size()), other_bytes, budget)
        if over:
            over = events_over_budget(frame, windows, measure(frame), other_bytes, budget)
        steps = {event_id: budget.steps_hz[count - 1] for event_id, count in taken.items() if count}
        falling = [event_id for event_id in over if taken[event_id] < len(budget.steps_hz)]
        if not falling:
            return Fitted(frame, steps, tuple(over))
        for event_id in falling:
            steps[event_id] = budget.steps_hz[taken[event_id]]
            taken[event_id] += 1
        frame = thin_after(quotes, windows, steps, thinning).collect()


def _rate_intervals(windows: pl.DataFrame, rates_hz: Mapping[str, float]) -> pl.DataFrame:
    """Start (`_edge`, ns), number and rate (`_hz`, null: every row is kept) of each interval of one rate."""
    edges = pl.concat([windows[name].alias("_edge") for name in ("start", "known_at", "end")]).unique().sort()
    of_event = pl.col("event_id").replace_strict(rates_hz, default=FULL_RATE, return_dtype=pl.Float64)
    edge = pl.col("_edge")
    rate = (
        pl.when(edge.is_between("start", "known_at", closed="left"))
        .then(FULL_RATE)
        .when(edge.is_between("known_at", "end", closed="left"))
        .then(of_event)
    )
    return (
        edges.to_frame()
        .join(windows.select("event_id", "start", "known_at", "end"), how="cross")
        .group_by("_edge", maintain_order=True)
        .agg(_hz=rate.max())
        .select(
            edge.cast(UTC_NS),
            pl.when(pl.col("_hz") < FULL_RATE).then("_hz").alias("_hz"),
        )
        .with_columns(_interval=pl.col("_hz").rle_id())
    )
