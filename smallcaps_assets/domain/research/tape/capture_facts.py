"""What is known of the capture of each event: the columns of a window that its tape files decide.

The research tables and the page of an event read the same tape; both take these columns from here.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.research.micro.tables import CAPTURED_STATES
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.tape.size_units import DEFAULT_SIZE_UNIT
from smallcaps_assets.domain.tape.windows import event_windows, with_known_at

# One row per event of which trades or quotes are published. The state of a kind is null where it is published: whether
# the window has rows, only the rows tell (see `with_captured_states`).
CAPTURE_FACTS: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "corrections_known": pl.Boolean(),
        "quotes_hz": pl.Float64(),
        "quotes_hz_after": pl.Float64(),
        "quotes_by_change": pl.Boolean(),
        "quote_size_unit": pl.String(),
        **{f"{kind}_state": pl.String() for kind in TAPE_KINDS},
    }
)


def capture_facts(
    pieces: Mapping[TapeKind, pl.DataFrame],
    captured: pl.DataFrame,
    failures: Mapping[TapeKind, Sequence[Mapping[str, Any]]],
    shares_from: date | None,
) -> pl.DataFrame:
    """CAPTURE_FACTS of the events that have pieces, sorted by event_id (research specification, 0.2, 0.6, 0.7).

    Args:
        pieces: of each kind, as `choose_pieces` returns them.
        captured: all that is captured (CAPTURED), controls as well: the quotes of a file may be thinned after any
            event whose tape it holds.
        failures: of each kind, the records of failed spans: their `state` and `events`.
        shares_from: the setting `quote_sizes_in_shares_from`; None: the footers say the unit.
    """
    ids = pl.concat(pieces[kind]["event_id"] for kind in TAPE_KINDS).unique()
    windows = with_known_at(event_windows(captured), captured["timestamp"])
    own = captured.lazy().select("event_id", "timestamp").filter(pl.col("event_id").is_in(ids.implode()))
    trades, quotes = (pieces[kind].lazy() for kind in TAPE_KINDS)
    corrections = trades.group_by("event_id").agg(
        corrections_known=~pl.col("missing_columns").list.contains("correction").any()
    )
    states = (_state_of_missing(pieces[kind]["event_id"], failures[kind]).alias(f"{kind}_state") for kind in TAPE_KINDS)
    # one plan: many small steps cost more than what they compute
    return (
        own.with_columns(states)
        .join(corrections, on="event_id", how="left")
        .join(thinned_quotes(quotes, windows.lazy()), on="event_id", how="left")
        .join(_size_units(quotes, own, shares_from), on="event_id", how="left")
        .with_columns(
            pl.col("corrections_known", "quotes_by_change").fill_null(value=False),
            pl.col("quote_size_unit").fill_null(DEFAULT_SIZE_UNIT),
        )
        .select(*CAPTURE_FACTS)
        .match_to_schema(CAPTURE_FACTS)
        .sort("event_id")
        .collect()
    )


def with_captured_states(events: pl.DataFrame, with_rows: Mapping[TapeKind, pl.Series]) -> pl.DataFrame:
    """`events`, where the null states of CAPTURE_FACTS are set: `complete` or `empty`.

    Args:
        events: rows with the states of CAPTURE_FACTS.
        with_rows: of each kind, the ids of the events whose windows have rows.
    """
    complete, empty = (pl.lit(state) for state in CAPTURED_STATES)
    return events.with_columns(
        pl.coalesce(
            f"{kind}_state",
            pl.when(pl.col("event_id").is_in(with_rows[kind].implode())).then(complete).otherwise(empty),
        ).alias(f"{kind}_state")
        for kind in TAPE_KINDS
    )


def _state_of_missing(covered: pl.Series, failures: Sequence[Mapping[str, Any]]) -> pl.Expr:
    """The state of a kind of tape of an event that is not published; null of one that is."""
    states = {event: str(record["state"]) for record in failures for event in record["events"]}
    event = pl.col("event_id")
    failed = event.replace_strict(states, default=None, return_dtype=pl.String) if states else pl.lit(None, pl.String)
    return pl.when(~event.is_in(covered.unique().implode())).then(failed.fill_null("missing"))


def _size_units(pieces: pl.LazyFrame, events: pl.LazyFrame, shares_from: date | None) -> pl.LazyFrame:
    """The unit of the quote sizes of each event: by the setting, or by the footers where none is in force."""
    if shares_from is not None:
        is_before = new_york_date(pl.col("timestamp")) < shares_from
        unit = pl.when(is_before).then(pl.lit("lots")).otherwise(pl.lit("shares"))
        return events.select("event_id", quote_size_unit=unit)
    in_lots = (pl.col("quote_size_unit") == "lots").any()
    unit = pl.when(in_lots).then(pl.lit("lots")).otherwise(pl.lit(DEFAULT_SIZE_UNIT))
    return pieces.group_by("event_id").agg(quote_size_unit=unit)


def thinned_quotes(pieces: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
    """How many quotes a second the tape of each event holds: event_id, quotes_hz, quotes_hz_after, quotes_by_change.

    `quotes_hz` is the rate before the event is known, `quotes_hz_after` the one from then on. Where a file was thinned
    further after another event, that counts in the parts of this window in which it was; where it is not known in
    which, as in files of release 0.1 or of events that no manifest names any more, it counts in the whole window.

    Args:
        pieces: of quotes, as `choose_pieces` returns them.
        events: `event_id`, `known_at`, `end` of the windows of all that is captured.
    """
    thinned = (
        pieces.select("path", "budget_events", "budget_hz", "budget_from")
        .unique("path")
        .explode("budget_events", "budget_hz", empty_as_null=False, keep_nulls=False)
        .join(events.select(budget_events="event_id", since="known_at", until="end"), on="budget_events", how="left")
        .with_columns(is_known=pl.col("since").is_not_null() & (pl.col("budget_from") == "known_at"))
        .with_columns(pl.col("is_known").fill_null(value=False))
    )
    own = pieces.select("event_id", "path", "start", "end").join(
        events.select("event_id", "known_at"), on="event_id", how="left"
    )
    meets = own.join(thinned, on="path", how="inner")
    before = ~pl.col("is_known") | ((pl.col("since") < pl.col("known_at")) & (pl.col("until") > pl.col("start")))
    after = ~pl.col("is_known") | ((pl.col("since") < pl.col("end")) & (pl.col("until") > pl.col("known_at")))
    lowest = meets.group_by("event_id").agg(
        before=pl.col("budget_hz").filter(before).min(), after=pl.col("budget_hz").filter(after).min()
    )
    whole = pieces.group_by("event_id").agg(
        rate=pl.col("thinning").struct.field("max_hz").min().cast(pl.Float64),
        quotes_by_change=pl.col("thinning").struct.field("by_change_only").any(),
    )
    return whole.join(lowest, on="event_id", how="left").select(
        "event_id",
        quotes_hz=pl.min_horizontal("rate", "before"),
        quotes_hz_after=pl.min_horizontal("rate", "after"),
        quotes_by_change=pl.col("quotes_by_change").fill_null(value=False),
    )
