"""An event minus its control, column by column (research specification, section 7)."""

from collections.abc import Mapping, Sequence

import polars as pl

from smallcaps_assets.domain.research.columns import ResearchColumn

# of the control, in a table whose other columns are those of the event
_OF_CONTROL = {"control_timestamp": "timestamp", "control_date": "date"}


def numbers_after(columns: Mapping[str, ResearchColumn]) -> tuple[str, ...]:
    """Columns of which a table of what came after has a difference: numbers that are hindsight."""
    return tuple(
        name for name, column in columns.items() if column.availability == "post" and column.dtype.is_numeric()
    )


def minus_control(
    events: pl.LazyFrame,
    controls: pl.LazyFrame,
    schema: pl.Schema,
    numbers: Sequence[str],
    on: Sequence[str] = (),
) -> pl.LazyFrame:
    """One row of `schema` per row of `controls` whose event is among `events`, in the order of the controls.

    Args:
        events: `event_id`, `on`, the columns of `schema` that are of the event, and `numbers`.
        controls: `control_of`, `control_id`, `on`, and the same numbers; one row per `control_of` and `on`.
        schema: the pair, and `numbers`, each of which is event minus control, null where either is.
        numbers: names of these.
        on: what identifies the rows of one event.
    """
    of_pair = [name for name in schema.names() if name not in numbers]
    own = {new: name for new, name in _OF_CONTROL.items() if new in of_pair}
    named = {name: f"{name}_of_control" for name in numbers}
    of_controls = controls.select(
        "control_id",
        *on,
        pl.col("control_of").alias("event_id"),
        *(pl.col(name).alias(new) for new, name in own.items()),
        *(pl.col(name).alias(new) for name, new in named.items()),
    )
    both = of_controls.join(events, on=["event_id", *on], how="inner", maintain_order="left")
    return both.select(
        *of_pair, *((pl.col(name) - pl.col(new)).cast(schema[name]).alias(name) for name, new in named.items())
    )
