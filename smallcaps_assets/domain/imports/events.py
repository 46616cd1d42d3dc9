"""Events of an earlier system, made into MASTER: typed, judged, without copies, with the clock rules applied anew.

Every row that is read has one fate, and each is counted: it is refused for a reason, it repeats another row, or it is
an event. A column that nobody knows is null, which passes a selection and is counted there.
"""

from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.quality import PRICES
from smallcaps_assets.domain.events.detection import BAR_DURATION, CooldownParams, build_master, event_ids
from smallcaps_assets.domain.events.score import tier
from smallcaps_assets.domain.imports.bar_facts import FACTS
from smallcaps_assets.domain.imports.clocks import Clock, same_bar
from smallcaps_assets.domain.imports.columns import decimal, text, utc, utc_since_epoch
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.symbols import symbol_is_safe
from smallcaps_assets.domain.tables import DIRECTIONS, EVENT_TYPES, EVENTS, SHARD
from smallcaps_assets.errors import InputError

# What the earlier table tells; its other columns follow from these and are made anew.
TOLD: Final = pl.Schema({name: dtype for name, dtype in EVENTS.items() if name in tuple(EVENTS)[:17]})
DERIVED: Final = ("session", "date", "event_bias", "close_vs_open", "tier")
# one row per distinct row of the files, and one per event of which it is known already
ROWS: Final = pl.Schema({**TOLD, "copies": pl.Int64(), "here": pl.Boolean()})
REFUSED: Final = pl.Schema({**TOLD, "reason": pl.String()})
ADOPTED: Final = pl.Schema({**EVENTS, "score_raw": pl.Float64()})

_KEY: Final = ("symbol", "event_type", "timestamp")
# Of rows with the same key the first stays; all columns take part, so that the order of the files never matters.
_BEST_FIRST: Final = ("score", "direction", "spike_x", "dollar_volume", "volume", "close", "open", "high", "low")
_SAME_PRODUCT_SHARE: Final = 1e-4
_MINUTE_US: Final = 60_000_000


class Adoption(NamedTuple):
    """Events (ADOPTED), the rows that are none (REFUSED, each once), and what was repaired of those of the files."""

    events: pl.DataFrame
    refused: pl.DataFrame
    repairs: dict[str, Any]


def typed_events(frame: pl.LazyFrame, clock: Clock) -> pl.LazyFrame:
    """The columns of TOLD as they should be typed; conversions lose nothing, what cannot be a value becomes null.

    Args:
        frame: a table of the earlier system; columns that are made anew may be absent, others are left out.
        clock: how timestamps are read that do not say it themselves.

    Raises:
        InputError: a column is missing or cannot be what it should, or it is not said how timestamps are to be read.
    """
    found = frame.collect_schema()
    missing = [name for name in TOLD if name not in found and name not in DERIVED]
    if missing:
        needed = ", ".join(name for name in TOLD if name not in DERIVED)
        raise InputError(
            f"no column {', '.join(missing)}. Events need {needed}; {', '.join(DERIVED)} are made anew and may be "
            "absent, and so may symbol where the path says symbol=X."
        )
    return frame.select(_typed(name, found.get(name), clock) for name in TOLD)


def _typed(name: str, found: pl.DataType | None, clock: Clock) -> pl.Expr:
    if found is None:
        return pl.lit(None, TOLD[name]).alias(name)
    if name == "timestamp":
        return _moment(found, clock).cast(TOLD[name])
    if name == "date":
        return _date(found)
    if name == "tier":
        known = found.is_numeric()
        return (pl.col(name).cast(pl.Int64, strict=False) if known else pl.lit(None, pl.Int64)).alias(name)
    return text(name, found) if TOLD[name] == pl.String else decimal(name, found)


def _moment(found: pl.DataType, clock: Clock) -> pl.Expr:
    if not found.is_integer():
        return utc("timestamp", found, clock.timezone)
    if clock.unit is None:
        raise InputError(
            f"column timestamp is {found}: whole numbers since 1970, and of which unit stands nowhere. Say it: --unit "
            "s, ms, us or ns."
        )
    return utc_since_epoch(pl.col("timestamp"), clock.unit)


def _date(found: pl.DataType) -> pl.Expr:
    column = pl.col("date")
    if isinstance(found, pl.Date | pl.Datetime):
        return column.dt.strftime("%Y-%m-%d")
    return column.cast(pl.String) if found in (pl.String, pl.Categorical, pl.Null) else pl.lit(None, pl.String)


def adopt(
    rows: pl.DataFrame,
    sessions: pl.DataFrame,
    facts: pl.DataFrame,
    cooldown: CooldownParams,
    tier_min_scores: list[float],
) -> Adoption:
    """MASTER of the rows of an earlier one and of the events that are here, and what was repaired.

    Everything is made anew from the distinct rows, so that it does not matter which of them came first.

    Args:
        rows: ROWS, no row of the files twice.
        sessions: SESSION_TABLE that covers their dates.
        facts: FACTS of minutes of which bars are known.
        cooldown: when events make a group.
        tier_min_scores: least score of each tier.
    """
    judged = (
        with_session(rows.rename({"session": "session_told"}), sessions)
        .with_columns(pl.col("session").cast(pl.String), reason=_reason())
        .drop("regular_open")
    )
    refused = judged.filter(pl.col("reason").is_not_null())
    good = judged.filter(pl.col("reason").is_null()).drop("reason")
    best = _best_of_key(good)
    described = _described(best, facts, tier_min_scores)
    scores = described.select("event_id", score_raw="score_told")
    events = build_master(described.select(*SHARD).match_to_schema(SHARD), cooldown)
    events = events.join(scores, on="event_id", how="left", maintain_order="left").match_to_schema(ADOPTED)
    of_files = described.filter(~pl.col("here"))
    repairs = _rows_repaired(rows, refused, good) | _union(good, best) | _columns_repaired(of_files)
    named = refused.drop("session").rename({"session_told": "session"})
    return Adoption(events, in_order(named.select(*REFUSED)), repairs)


def as_rows(events: pl.DataFrame) -> pl.DataFrame:
    """Events (ADOPTED) as the rows (ROWS) of which they were made."""
    told = events.with_columns(score="score_raw", copies=pl.lit(0, pl.Int64), here=pl.lit(value=True))
    return told.select(*ROWS).match_to_schema(ROWS)


def still_refused(refused: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows (REFUSED), each once, whose event is not known by another row."""
    return in_order(refused.unique().join(events, on=_KEY, how="anti"))


def in_order(refused: pl.DataFrame) -> pl.DataFrame:
    """Rows in the one order that they have, whatever order they came in."""
    return refused.sort(pl.all(), nulls_last=True)


def _reason() -> pl.Expr:
    """Why a row is no event; null where it is one."""
    low, high, timestamp = pl.col("low"), pl.col("high"), pl.col("timestamp")
    reason = (
        pl.when(~symbol_is_safe(pl.col("symbol")))
        .then(pl.lit("symbol is not usable as a name"))
        .when(~pl.col("event_type").is_in(EVENT_TYPES).fill_null(value=False))
        .then(pl.lit("event_type is none of the seven"))
        .when(~pl.col("direction").is_in(DIRECTIONS).fill_null(value=False))
        .then(pl.lit("direction is neither up nor down"))
        .when(timestamp.is_null())
        .then(pl.lit("timestamp is missing or implausible"))
        .when(timestamp.dt.epoch("us") % _MINUTE_US != 0)
        .then(pl.lit("timestamp is not the start of a minute"))
    )
    for name in ("score", *PRICES, "volume", "dollar_volume"):
        unusable = pl.lit(f"{name} is missing, NaN or infinite")
        reason = reason.when(~pl.col(name).is_finite().fill_null(value=False)).then(unusable)
    return (
        reason.when(~pl.col("spike_x").is_finite())
        .then(pl.lit("spike_x is NaN or infinite"))
        .when(pl.any_horizontal(pl.col(name) <= 0 for name in PRICES))
        .then(pl.lit("a price is not positive"))
        .when((high < pl.max_horizontal("open", "close")) | (low > pl.min_horizontal("open", "close")) | (high < low))
        .then(pl.lit("high or low contradicts open and close"))
        .when((pl.col("volume") <= 0) | (pl.col("dollar_volume") <= 0))
        .then(pl.lit("volume or dollar_volume is not positive"))
        .when(pl.col("session").is_null())
        .then(pl.lit("outside every session of the calendar"))
    )


def _best_of_key(good: pl.DataFrame) -> pl.DataFrame:
    """One row per symbol, event_type and timestamp: the highest score, then direction up, then the other columns."""
    rest = [name for name in good.columns if name not in (*_KEY, *_BEST_FIRST, "copies", "here")]
    order = [*_KEY, *_BEST_FIRST, "here", *rest]
    falling = [name not in (*_KEY, "here") for name in order]
    return good.sort(order, descending=falling, nulls_last=True).unique(_KEY, keep="first", maintain_order=True)


def _described(best: pl.DataFrame, facts: pl.DataFrame, tier_min_scores: list[float]) -> pl.DataFrame:
    """Events with every column of a shard, and what was told of those made anew under `..._told`."""
    close, open_ = pl.col("close"), pl.col("open")
    colour = pl.when(close > open_).then(pl.lit("green")).when(close < open_).then(pl.lit("red"))
    told = {name: f"{name}_told" for name in (*DERIVED, "score") if name != "session"}
    by = ("event_type", "session")
    known = [name for name in FACTS if name not in _KEY]
    return (
        best.rename(told)
        .join(facts, on=["symbol", "timestamp"], how="left", maintain_order="left")
        .with_columns(bar_is_known=pl.col("bar_close").is_not_null(), bar_is_same=same_bar())
        .with_columns(pl.when("bar_is_same").then(pl.col(name)) for name in known)
        .with_columns(
            score=pl.col("score_told").rank("average").over(by) / pl.len().over(by),
            date=pl.col("day").dt.to_string("%Y-%m-%d"),
            event_bias=pl.when(pl.col("direction") == "up").then(pl.lit("bullish")).otherwise(pl.lit("bearish")),
            close_vs_open=colour.otherwise(pl.lit("flat")),
            known_at=pl.col("timestamp") + BAR_DURATION,
            is_premarket=pl.col("session") == "PM",
            is_afterhours=pl.col("session") == "AH",
            event_id=event_ids(best),
        )
        .with_columns(tier=tier(tier_min_scores))
    )


def _rows_repaired(rows: pl.DataFrame, refused: pl.DataFrame, good: pl.DataFrame) -> dict[str, Any]:
    good = good.filter(~pl.col("here"))
    reasons = refused.group_by("reason").agg(pl.col("copies").sum()).sort("copies", "reason", descending=[True, False])
    of_key = good.group_by(_KEY).agg(pl.col("copies").sum())
    return {
        "rows": int(rows["copies"].sum()),
        "events": of_key.height,
        "copies_removed": int(good["copies"].sum()) - good.height,
        "differing_copies_removed": good.height - of_key.height,
        "most_rows_of_one_event": of_key["copies"].max() or 0,
        "quarantined": int(refused["copies"].sum()),
        "quarantined_because": dict(reasons.iter_rows()),
    }


def _union(good: pl.DataFrame, best: pl.DataFrame) -> dict[str, int]:
    """What the rows of the files made of the events that were here."""
    here = good.filter("here")
    same = here.join(best, on=[*_KEY, *_BEST_FIRST], how="semi", nulls_equal=True)
    return {
        "events_before": here.height,
        "events_new": best.height - here.height,
        "events_before_replaced": here.height - same.height,
        "events_in_all": best.height,
    }


def _columns_repaired(events: pl.DataFrame) -> dict[str, Any]:
    wrong = pl.col("session_told").ne_missing(pl.col("session"))
    of_bars = pl.col("bar_is_known")
    moves = (
        events.filter(wrong)
        .group_by(move=pl.format("{} to {}", pl.col("session_told").fill_null("none"), "session"))
        .len()
        .sort("len", "move", descending=[True, False])
    )
    product = pl.col("close") * pl.col("volume")
    figures = {
        "sessions_changed": wrong,
        **{f"{_PLURAL[name]}_changed": _changed(name) for name in ("date", "event_bias", "close_vs_open", "tier")},
        "dollar_volume_is_not_close_times_volume": (
            (pl.col("dollar_volume") - product).abs() > _SAME_PRODUCT_SHARE * product
        ),
        "spike_x_unknown": pl.col("spike_x").is_null(),
        "with_the_bar_of_the_lake": pl.col("bar_is_same"),
        "with_another_bar_in_the_lake": of_bars & ~pl.col("bar_is_same"),
        "without_a_bar_in_the_lake": ~of_bars,
    }
    counted = events.select(expression.sum().alias(name) for name, expression in figures.items()).row(0, named=True)
    return {**counted, "sessions_changed_from_to": dict(moves.iter_rows())}


_PLURAL: Final = {
    "date": "dates",
    "event_bias": "event_biases",
    "close_vs_open": "colours",
    "tier": "tiers",
}


def _changed(name: str) -> pl.Expr:
    return pl.col(f"{name}_told").ne_missing(pl.col(name))
