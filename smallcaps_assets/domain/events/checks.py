"""Checks of MASTER, computed from the published table, which is scanned and never loaded whole."""

from datetime import timedelta
from typing import Final, Self

import polars as pl
from pydantic import Field, model_validator

from smallcaps_assets.domain.bars.quality import bad_values
from smallcaps_assets.domain.events.cooldown import CooldownParams
from smallcaps_assets.domain.findings import Figure, Finding, finding
from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.words import count_clause

_MINUTE: Final = timedelta(minutes=1)


class MeanEventsParams(Params):
    """Bounds of the mean number of events per symbol and session."""

    min: float = Field(ge=0)
    max: float = Field(gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} exceeds max {self.max}")
        return self


class MasterCheckParams(Params):
    """Limits beyond which MASTER is implausible. Per cent, events."""

    max_type_share_pct: float = Field(gt=0, le=100)
    min_events_for_shares: int = Field(ge=0)
    max_events_per_symbol_session: int = Field(gt=0)
    mean_events_per_symbol_session: MeanEventsParams


def unique_events(master: pl.LazyFrame) -> Finding:
    """Every event_id is unique."""
    repeated = master.group_by("event_id").agg(rows=pl.len()).filter(pl.col("rows") > 1).sort("event_id")
    return finding("unique_events", repeated.collect(engine="streaming"))


def complete_rows(master: pl.LazyFrame) -> Finding:
    """No required value is missing, NaN or infinite."""
    return finding("complete_rows", bad_values(master))


def session_clock(master: pl.LazyFrame, sessions: pl.DataFrame) -> Finding:
    """Session, date and flags of each event agree with its timestamp, in New York time and by the calendar.

    Args:
        master: EVENTS.
        sessions: SESSION_TABLE that covers the dates of the events.
    """
    columns = ("session", "date", "is_premarket", "is_afterhours")
    published = master.select("event_id", "timestamp", *(pl.col(name).alias(f"{name}_published") for name in columns))
    rows = with_session(published.collect(engine="streaming"), sessions)
    recomputed = {
        "session": pl.col("session").cast(pl.String),
        "date": pl.col("day").dt.to_string("%Y-%m-%d"),
        "is_premarket": (pl.col("session") == "PM"),
        "is_afterhours": (pl.col("session") == "AH"),
    }
    wrong = pl.any_horizontal(pl.col(f"{name}_published").ne_missing(value) for name, value in recomputed.items())
    breaking = rows.filter(wrong | pl.col("session").is_null()).select(
        "event_id", "timestamp", "session_published", recomputed["session"], "date_published", date=recomputed["date"]
    )
    return finding("session_clock", breaking)


def type_shares(master: pl.LazyFrame, params: MasterCheckParams) -> Finding:
    """No event type exceeds its maximum share of all events; passes if there are too few events to judge shares."""
    counts = master.group_by("event_type").agg(events=pl.len()).collect(engine="streaming")
    events = int(counts["events"].sum())
    shares = counts.with_columns(pct=100 * pl.col("events") / pl.col("events").sum()).sort(
        "pct", "event_type", descending=[True, False]
    )
    large = shares.filter(pl.col("pct") > params.max_type_share_pct)
    figures: dict[str, Figure] = {f"pct/{row['event_type']}": round(row["pct"], 2) for row in shares.to_dicts()}
    if events < params.min_events_for_shares:
        few = (
            f"{count_clause(events, 'event is', 'events are')} fewer than "
            f"checks.master.min_events_for_shares ({params.min_events_for_shares:,})"
        )
        figures = {"verdict": f"Passed without a judgement: {few}.", **figures}
    return finding(
        "type_shares",
        large if events >= params.min_events_for_shares else large.clear(),
        {"events": events, "at_most_pct": params.max_type_share_pct, **figures},
        severe=False,
    )


def events_per_session(master: pl.LazyFrame, symbol_sessions: int, params: MasterCheckParams) -> Finding:
    """No symbol has implausibly many events on one day, and the mean per symbol and session is within its bounds.

    Args:
        master: EVENTS.
        symbol_sessions: the number of detected sessions, summed over symbols.
        params: the bounds.
    """
    counts = master.group_by("symbol", "date").agg(events=pl.len()).collect(engine="streaming")
    most, bounds = params.max_events_per_symbol_session, params.mean_events_per_symbol_session
    many = counts.filter(pl.col("events") > most).sort("events", "symbol", "date", descending=[True, False, False])
    mean = int(counts["events"].sum()) / symbol_sessions if symbol_sessions else None
    found = finding(
        "events_per_session",
        many,
        {
            "most_on_one_day": counts.select(pl.col("events").max()).item() or 0,
            "at_most": most,
            "symbol_sessions": symbol_sessions,
            "mean": mean,
            "mean_at_least": bounds.min,
            "mean_at_most": bounds.max,
        },
        severe=False,
    )
    return found._replace(holds=found.holds and (mean is None or bounds.min <= mean <= bounds.max))


def cooldown(master: pl.LazyFrame, params: CooldownParams) -> Finding:
    """Events of one symbol and type that are too close together cannot all have survived the cooldown.

    MASTER lacks the events that the cooldown removed, and one of them may have opened a window, so the windows cannot
    be reconstructed from it. What holds wherever they lie: if one of two neighbouring events scores too low beside the
    other, a window ended between them; and the ends of windows are at least one window length apart.
    """
    by = ("symbol", "event_type", "date")
    rows = (
        master.select("event_id", *by, "timestamp", "score")
        .sort(*by, "timestamp")
        .with_columns(
            pl.col("timestamp", "score", "event_id").shift(1).name.suffix("_before"), follows=_continues_group(by)
        )
    )
    low, high = pl.min_horizontal("score", "score_before"), pl.max_horizontal("score", "score_before")
    ends = rows.filter(pl.col("follows") & (low < params.keep_share_of_best * high)).with_columns(
        # an upper bound: one window ended at least a minute after its first event, the next by its last one
        apart=pl.col("timestamp") - pl.col("timestamp_before").shift(1) - _MINUTE,
        follows=_continues_group(by),
    )
    near = ends.filter(pl.col("follows") & (pl.col("apart") < timedelta(minutes=params.window_min)))
    breaking = near.select("event_id_before", "event_id", "timestamp", "score_before", "score")
    return finding("cooldown", breaking.collect(), {"window_min": params.window_min})


def _continues_group(by: tuple[str, ...]) -> pl.Expr:
    """Whether a row belongs to the group of the preceding row."""
    return pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in by).fill_null(value=False)
