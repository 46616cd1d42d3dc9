"""Select the events of a profile: funnel, ranks and windows (specification, section 5)."""

import hashlib
import json
from typing import Any, Final, Literal, NamedTuple, Self

import polars as pl
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from smallcaps_assets.domain.bars.unknown import all_known
from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.listings.as_of import is_selectable
from smallcaps_assets.domain.manifests.follow_up import COHORT_STEP, Admission, CohortSelection
from smallcaps_assets.domain.manifests.windows import (
    FLOOR_GUARD,
    ExtensionFigures,
    ExtensionParams,
    WindowParams,
    bar_spread,
    extend_windows,
    window_minutes,
)
from smallcaps_assets.domain.params import CalendarDay, Params
from smallcaps_assets.domain.sessions import NEW_YORK, NewYorkTime
from smallcaps_assets.domain.tables import FOLLOW_UP_MANIFEST, MANIFEST, SESSIONS
from smallcaps_assets.domain.tape.nbbo import Thinning

Session = Literal["PM", "RTH", "AH"]
# Entry of the sidecar of a manifest whose events were in the universe on their date.
UNIVERSE_ENTRY: Final = "universe"
# name of step 1b in a funnel
UNIVERSE_STEP: Final = "in_universe_at_event"
# columns that may be null in a step: such rows pass, and are counted
_MAY_BE_UNKNOWN: Final = {"bar_liquidity": "vwap_at_event", "day_liquidity": "dollar_volume_day"}


class ProfileParams(Params):
    """Limits of a selection, in dollars, shares, per cent of VWAP and minutes."""

    first_date: CalendarDay | None
    last_date: CalendarDay | None
    sessions: list[Session] = Field(min_length=1)
    min_event_score: float = Field(ge=0, le=1)
    max_events: int = Field(gt=0)
    max_per_symbol: int = Field(gt=0)
    max_per_symbol_day: int = Field(gt=0)
    min_bar_dollar_volume_usd: float = Field(ge=0)
    min_bar_volume_shares: float = Field(ge=0)
    max_bar_spread_pct: float = Field(gt=0)
    min_day_dollar_volume_usd: float = Field(ge=0)
    min_day_rvol: float = Field(ge=0)
    window: WindowParams
    extended_window: WindowParams
    extension: ExtensionParams
    quotes: Thinning
    columns: Literal["minimal", "all"]
    cohorts: CohortSelection | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `cohorts` where there are none, so that hashes of these settings stay those of earlier releases."""
        settings: dict[str, Any] = serialize(self)
        return settings if settings.get("cohorts") else {key: settings[key] for key in settings if key != "cohorts"}

    @model_validator(mode="after")
    def _windows_in_order(self) -> Self:
        longer = self.extended_window
        if longer.before_min < self.window.before_min or longer.after_min < self.window.after_min:
            raise ValueError("extended_window must hold window: give it at least as many minutes on both sides")
        return self

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.first_date and self.last_date and self.first_date > self.last_date:
            raise ValueError(f"first_date {self.first_date} is after last_date {self.last_date}: exchange them")
        return self


class BucketParams(Params):
    """A time bucket of a session, up to `until` (ET, excluded; null: no bound), and its share of max_events."""

    name: str
    session: Session
    until: NewYorkTime | None
    share: float = Field(ge=0, le=1)


class RankingParams(Params):
    """Weights for ranking events, and the time buckets of the day."""

    type_weights: dict[str, float]
    time_buckets: list[BucketParams] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if set(self.type_weights) != set(EVENT_TYPES):
            wrong = sorted(set(self.type_weights) ^ set(EVENT_TYPES))
            raise ValueError(f"type_weights must name each event type once; missing or unknown: {', '.join(wrong)}")
        total = sum(bucket.share for bucket in self.time_buckets)
        if total > 1 + FLOOR_GUARD:
            raise ValueError(f"the shares of time_buckets add up to {total:g}: lower them to 1 or less in all")
        names = [bucket.name for bucket in self.time_buckets]
        if len(set(names)) < len(names):
            raise ValueError(f"time_buckets need unique names, found {', '.join(names)}")
        for session in SESSIONS:
            untils = [bucket.until for bucket in self.time_buckets if bucket.session == session]
            ends = [until for until in untils if until is not None]
            if untils.count(None) != 1 or untils[-1] is not None or ends != sorted(set(ends)):
                raise ValueError(f"the buckets of {session} must end in order, and only the last without `until`")
        return self


class Selection(NamedTuple):
    """A manifest (MANIFEST, or FOLLOW_UP_MANIFEST), its funnel and the figures of its extended windows."""

    manifest: pl.DataFrame
    funnel: list[dict[str, int | str]]
    extension: ExtensionFigures


def profile_hash(profile: ProfileParams, ranking: RankingParams) -> str:
    """First 16 hex digits of the SHA-256 of all settings that decide a selection, as canonical JSON."""
    effective = {"profile": profile.model_dump(mode="json"), "ranking": ranking.model_dump(mode="json")}
    text = json.dumps(effective, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def select_events(
    master: pl.DataFrame,
    profile: ProfileParams,
    ranking: RankingParams,
    admit: Admission | None = None,
    at_event: pl.DataFrame | None = None,
) -> Selection:
    """Select the events of a profile from MASTER (EVENTS), in the eight steps of the specification.

    Step 1b, where `at_event` (EVENT_LISTINGS of every event of MASTER) is given, follows the first: it keeps the events
    whose symbol was in the universe on their date, or of which that is not known.

    Step 2b, `admit`, follows the second: it has the columns of ADMISSION of the events that winning cohorts select.

    Rows are in rank order. The funnel has the number of rows left after each step, after the day step also how many
    have an unknown `rvol_day`, and in the last step how many events each time bucket offered. Imported events may lack
    VWAP and dollar volume of the day. Unknown values pass, and are counted. A number of transactions that means "not
    known", which earlier releases stored, is null.

    Raises:
        ValueError: cohorts select the events of the profile, and `admit` is missing, or the other way round.
    """
    if (profile.cohorts is None) != (admit is None):
        raise ValueError("step 2b belongs to the profiles with cohorts, and to no other")
    master = master.with_columns(all_known(["transactions"]))
    passing = master.select(**_conditions(profile), row=pl.int_range(pl.len()))
    funnel: list[dict[str, int | str]] = []
    for step in passing.columns[:-1]:
        passing = passing.filter(step)
        funnel.append({"step": step, "rows": passing.height})
        if unknown := _unknown(master, step, passing["row"]):
            funnel[-1][f"{_MAY_BE_UNKNOWN[step]}_unknown"] = unknown
        if step == "range_and_sessions" and at_event is not None:
            passing, of_step = _in_universe(master, passing, at_event)
            funnel.append(of_step)
        if step == "min_event_score" and admit is not None:
            admitted = admit(master[passing["row"]].with_columns(time_bucket=time_bucket(ranking)))
            master = master.join(admitted.events, on="event_id", how="left", maintain_order="left", validate="m:1")
            passing = passing.filter(master["selected_by_cohort"].gather(passing["row"]))
            of_winning = {"of_winning_cohorts": admitted.of_winning}
            funnel.append({"step": COHORT_STEP, "rows": passing.height, **of_winning})
    rows = rank_events(master.select(*_RANKED).with_row_index("row")[passing["row"]], ranking)
    funnel[-1]["rvol_day_unknown"] = rows["rvol_day"].null_count()
    for step, keep in _limits(profile).items():
        rows = rows.filter(keep)
        funnel.append({"step": step, "rows": rows.height})
    rows = master[rows["row"]].with_columns(time_bucket=time_bucket(ranking))
    offered = rows.group_by("time_bucket").len().sort("time_bucket").iter_rows()
    rows = _fill_buckets(rows, profile.max_events, ranking)
    funnel.append({"step": "max_events", "rows": rows.height})
    funnel[-1].update({f"offered_{name}": events for name, events in offered})
    schema = MANIFEST if admit is None else FOLLOW_UP_MANIFEST
    extended, figures = extend_windows(rows, profile.extension)
    manifest = (
        rows.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64), extended=extended)
        .with_columns(
            window_before_min=window_minutes(profile.extended_window.before_min, profile.window.before_min),
            window_after_min=window_minutes(profile.extended_window.after_min, profile.window.after_min),
        )
        .select(*schema)
        .match_to_schema(schema)
    )
    return Selection(manifest, funnel, figures)


def _in_universe(
    master: pl.DataFrame, passing: pl.DataFrame, at_event: pl.DataFrame
) -> tuple[pl.DataFrame, dict[str, int | str]]:
    """The rows of `passing` that were in the universe on their date, and the step of the funnel.

    Raises:
        ValueError: `at_event` lacks an event of MASTER.
    """
    judged = master.select("event_id").join(
        at_event.select("event_id", "in_universe_at_event", "excluded_by", "unknown", known=True),
        on="event_id",
        how="left",
        maintain_order="left",
        validate="m:1",
    )
    if judged["known"].null_count():
        raise ValueError("step 1b needs a verdict on every event of MASTER")
    judged = judged[passing["row"]]
    kept = passing.filter(judged.select(is_selectable()).to_series())
    step: dict[str, int | str] = {"step": UNIVERSE_STEP, "rows": kept.height}
    for prefix, column in (("excluded_by", "excluded_by"), ("unknown", "unknown")):
        counts = judged[column].drop_nulls().value_counts().sort(column).iter_rows()
        step |= {f"{prefix}_{name}": count for name, count in counts}
    return kept, step


def _unknown(master: pl.DataFrame, step: str, rows: pl.Series) -> int:
    """How many of `rows` passed a step because the value it tests is unknown."""
    column = _MAY_BE_UNKNOWN.get(step)
    if column is None or not master[column].null_count():
        return 0
    return master[column].gather(rows).null_count()


def session_distribution(manifest: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Rows and percentage of each session."""
    counts = dict(manifest.group_by("session").len().iter_rows())
    return {
        session: {
            "count": counts.get(session, 0),
            "percentage": 100 * counts.get(session, 0) / manifest.height if manifest.height else 0.0,
        }
        for session in SESSIONS
    }


def trial(manifest: pl.DataFrame, best: int | None, one_per_symbol: bool) -> pl.DataFrame:  # noqa: FBT001
    """The rows of a trial, in rank order; all rows if neither limit is given.

    Args:
        manifest: a manifest (MANIFEST).
        best: only this many of the best-ranked rows, after `one_per_symbol`.
        one_per_symbol: only the best-ranked row of each symbol.
    """
    rows = manifest.sort("rank")
    if one_per_symbol:
        rows = rows.unique("symbol", keep="first", maintain_order=True)
    return rows if best is None else rows.head(best)


def _conditions(profile: ProfileParams) -> dict[str, pl.Expr]:
    """Steps 1 to 4: the condition of each."""
    day = pl.col("date").str.to_date("%Y-%m-%d")
    in_range = pl.col("session").is_in(profile.sessions)
    if profile.first_date:
        in_range &= day >= profile.first_date
    if profile.last_date:
        in_range &= day <= profile.last_date
    return {
        "range_and_sessions": in_range,
        "min_event_score": pl.col("score") >= profile.min_event_score,
        "bar_liquidity": (pl.col("dollar_volume") >= profile.min_bar_dollar_volume_usd)
        & (pl.col("volume") >= profile.min_bar_volume_shares)
        & (bar_spread() <= profile.max_bar_spread_pct / 100).fill_null(value=True),
        "day_liquidity": (pl.col("dollar_volume_day") >= profile.min_day_dollar_volume_usd).fill_null(value=True)
        & (pl.col("rvol_day") >= profile.min_day_rvol).fill_null(value=True),
    }


# the columns that decide rank and limits
_RANKED: Final = ("symbol", "date", "event_group_id", "event_type", "score", "rvol_day", "dollar_volume", "event_id")


def rank_events(rows: pl.DataFrame, ranking: RankingParams) -> pl.DataFrame:
    """Rows in rank order. Only the few rows with equal values are compared by further columns."""
    weight = pl.col("event_type").replace_strict(ranking.type_weights, return_dtype=pl.Float64)
    valued = rows.with_columns(value=pl.col("score") * weight)
    tied = valued["value"].is_duplicated()
    ties = valued.filter(tied).sort(
        "value", "rvol_day", "dollar_volume", "event_id", descending=[True, True, True, False], nulls_last=True
    )
    return pl.concat([valued.filter(~tied), ties]).sort("value", descending=True, nulls_last=True, maintain_order=True)


def _limits(profile: ProfileParams) -> dict[str, pl.Expr]:
    """Steps 5 to 7: which rows, in rank order, are kept."""

    def best(count: int, *by: str) -> pl.Expr:
        return pl.int_range(pl.len()).over(by) < count

    return {
        "best_of_group": pl.col("event_group_id").is_first_distinct(),
        "max_per_symbol_day": best(profile.max_per_symbol_day, "symbol", "date"),
        "max_per_symbol": best(profile.max_per_symbol, "symbol"),
    }


def time_bucket(ranking: RankingParams) -> pl.Expr:
    """The name of the time bucket of an event, by its `session` and `timestamp`."""
    clock = pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt.time()
    name = pl.lit(None, dtype=pl.String)
    for bucket in reversed(ranking.time_buckets):
        inside = pl.col("session") == bucket.session
        if bucket.until is not None:
            inside &= clock < bucket.until
        name = pl.when(inside).then(pl.lit(bucket.name)).otherwise(name)
    return name


def _fill_buckets(rows: pl.DataFrame, max_events: int, ranking: RankingParams) -> pl.DataFrame:
    """The guaranteed best rows of every bucket, then the best of the rest; rows stay in rank order."""
    if rows.height <= max_events:
        return rows
    guaranteed = {bucket.name: int(bucket.share * max_events + FLOOR_GUARD) for bucket in ranking.time_buckets}
    place = pl.int_range(pl.len()).over("time_bucket")
    first = place < pl.col("time_bucket").replace_strict(guaranteed, return_dtype=pl.Int64)
    numbered = rows.with_columns(first=first, order=pl.int_range(pl.len()))
    chosen = numbered.sort("first", "order", descending=[True, False]).head(max_events)
    return chosen.sort("order").drop("first", "order")
