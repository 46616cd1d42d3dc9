"""Events of an earlier system converted to MASTER: typed, checked, deduplicated, with the clock rules applied again.

Every row that is read ends in one of three ways, and each is counted: it is rejected with a reason, it repeats another
row, or it becomes an event. Unknown columns are null; a selection lets nulls pass and counts them.
"""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.quality import PRICES, TOO_HIGH
from smallcaps_assets.domain.bars.unknown import MOST_PRICE_USD, MOST_SHARES, TOO_LARGE
from smallcaps_assets.domain.events.cooldown import CooldownParams
from smallcaps_assets.domain.events.detection import BAR_DURATION, event_ids
from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.events.score import tier
from smallcaps_assets.domain.imports.bar_facts import FACTS
from smallcaps_assets.domain.imports.clocks import TimestampForm, matches_bar
from smallcaps_assets.domain.imports.columns import as_decimal, as_text, as_utc, epoch_as_utc
from smallcaps_assets.domain.imports.prices import PriceScale, known_number, require_fractions
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.symbols import ExchangeTestSymbols, symbol_is_safe
from smallcaps_assets.domain.tables import DIRECTIONS, EVENTS, SHARD
from smallcaps_assets.errors import InputError

# columns read from the earlier table; the others are derived from these
SOURCE_COLUMNS: Final = pl.Schema({name: dtype for name, dtype in EVENTS.items() if name in tuple(EVENTS)[:17]})
DERIVED: Final = ("session", "date", "event_bias", "close_vs_open", "tier")
# one row per distinct row of the files, and one per event imported before (`here`)
ROWS: Final = pl.Schema({**SOURCE_COLUMNS, "copies": pl.Int64(), "here": pl.Boolean()})
REJECTED: Final = pl.Schema({**SOURCE_COLUMNS, "reason": pl.String()})
IMPORTED_EVENTS: Final = pl.Schema({**EVENTS, "score_raw": pl.Float64()})

_KEY: Final = ("symbol", "event_type", "timestamp")
# of rows with the same key the first stays; all columns take part, so that the order of files never matters
_BEST_FIRST: Final = ("score", "direction", "spike_x", "dollar_volume", "volume", "close", "open", "high", "low")
_SAME_PRODUCT_SHARE: Final = 1e-4
_MINUTE_US: Final = 60_000_000


class ImportedEvents(NamedTuple):
    """Events (IMPORTED_EVENTS), rejected rows (REJECTED, without repeats), and counts of what was repaired."""

    events: pl.DataFrame
    rejected: pl.DataFrame
    repairs: dict[str, Any]


def typed_events(frame: pl.LazyFrame, clock: TimestampForm, scale: PriceScale | None = None) -> pl.LazyFrame:
    """The columns of SOURCE_COLUMNS in their types; conversions are lossless, invalid values become null.

    Args:
        frame: a table of the earlier system; derived columns may be absent, unknown columns are ignored.
        clock: how to read timestamps without a zone, and integers.
        scale: the unit of the prices, and of a dollar_volume that is not in dollars; None where it was not given.

    Raises:
        InputError: a column is missing or cannot be converted, or timestamps need a zone or a unit that `clock` lacks.
    """
    found = frame.collect_schema()
    missing = [name for name in SOURCE_COLUMNS if name not in found and name not in DERIVED]
    if missing:
        needed = ", ".join(name for name in SOURCE_COLUMNS if name not in DERIVED)
        raise InputError(
            f"no column {', '.join(missing)}. Events need {needed}; {', '.join(DERIVED)} are derived and may be "
            "absent; so may symbol where the path contains symbol=X."
        )
    if scale is None:
        require_fractions(frame, PRICES, found)
    return frame.select(_typed(name, found.get(name), clock, scale) for name in SOURCE_COLUMNS)


def _typed(name: str, found: pl.DataType | None, clock: TimestampForm, scale: PriceScale | None) -> pl.Expr:
    if found is None:
        return pl.lit(None, SOURCE_COLUMNS[name]).alias(name)
    if name == "timestamp":
        return _moment(found, clock).cast(SOURCE_COLUMNS[name])
    if name == "date":
        return _date(found)
    if name == "tier":
        known = found.is_numeric()
        return (pl.col(name).cast(pl.Int64, strict=False) if known else pl.lit(None, pl.Int64)).alias(name)
    return as_text(name, found) if SOURCE_COLUMNS[name] == pl.String else _number(name, found, scale)


def _number(name: str, found: pl.DataType, scale: PriceScale | None) -> pl.Expr:
    """A number; of prices and of dollar_volume in dollars."""
    if name in PRICES:
        return known_number(name, found, scale)
    number = as_decimal(name, found)
    if name == "dollar_volume" and scale is not None:
        return scale.where_scaled(number, pl.col("close") * pl.col("volume"))
    return number


def _moment(found: pl.DataType, clock: TimestampForm) -> pl.Expr:
    if not found.is_integer():
        return as_utc("timestamp", found, clock.timezone)
    if clock.unit is None:
        raise InputError(
            f"column timestamp is {found}: integers since 1970, in an unknown unit. Give it: --unit s, ms, us or ns."
        )
    return epoch_as_utc(pl.col("timestamp"), clock.unit)


def _date(found: pl.DataType) -> pl.Expr:
    column = pl.col("date")
    if isinstance(found, pl.Date | pl.Datetime):
        return column.dt.strftime("%Y-%m-%d")
    return column.cast(pl.String) if found in (pl.String, pl.Categorical, pl.Null) else pl.lit(None, pl.String)


def import_events(  # noqa: PLR0913 -- tables, parameters and what is left out
    rows: pl.DataFrame,
    sessions: pl.DataFrame,
    facts: pl.DataFrame,
    cooldown: CooldownParams,
    tier_min_scores: list[float],
    *,
    test_symbols: ExchangeTestSymbols,
) -> ImportedEvents:
    """MASTER of the rows of an earlier table and of the events imported before, with counts of repairs.

    Everything is computed from the distinct rows, so that their order does not matter.

    Args:
        rows: ROWS, without repeats.
        sessions: SESSION_TABLE that covers their dates.
        facts: FACTS of minutes with bars.
        cooldown: window lengths of event groups.
        tier_min_scores: lowest score of each tier.
        test_symbols: symbols whose rows are rejected.
    """
    tests = test_symbols.among(rows["symbol"].drop_nulls().unique())
    checked = (
        with_session(rows.rename({"session": "session_given"}), sessions)
        .with_columns(pl.col("session").cast(pl.String), reason=_reason(tests))
        .with_columns(spike_x=pl.when(_spike_is_known() | pl.col("reason").is_not_null()).then("spike_x"))
        .drop("regular_open")
    )
    rejected = checked.filter(pl.col("reason").is_not_null())
    good = checked.filter(pl.col("reason").is_null()).drop("reason")
    best = _best_of_key(good)
    events_of_rows = _with_event_columns(best, facts, tier_min_scores)
    scores = events_of_rows.select("event_id", score_raw="score_given")
    events = build_master(events_of_rows.select(*SHARD).match_to_schema(SHARD), cooldown)
    events = events.join(scores, on="event_id", how="left", maintain_order="left").match_to_schema(IMPORTED_EVENTS)
    of_files = events_of_rows.filter(~pl.col("here"))
    repairs = _rows_repaired(rows, rejected, good) | _count_union(good, best) | _columns_repaired(of_files)
    named = rejected.drop("session").rename({"session_given": "session"})
    return ImportedEvents(events, sort_rejected(named.select(*REJECTED)), repairs)


def _spike_is_known() -> pl.Expr:
    """Whether `spike_x` can be one: a volume over a baseline is above 0."""
    return (pl.col("spike_x") > 0) & (pl.col("spike_x") < TOO_LARGE)


def as_rows(events: pl.DataFrame) -> pl.DataFrame:
    """Events (IMPORTED_EVENTS) as the rows (ROWS) that they came from."""
    rows = events.with_columns(score="score_raw", copies=pl.lit(0, pl.Int64), here=pl.lit(value=True))
    return rows.select(*ROWS).match_to_schema(ROWS)


def still_rejected(rejected: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Rejected rows (REJECTED), without repeats, whose event no other row provides."""
    return sort_rejected(rejected.unique().join(events, on=_KEY, how="anti"))


def sort_rejected(rejected: pl.DataFrame) -> pl.DataFrame:
    """Rejected rows in a total order, whatever order they come in."""
    return rejected.sort(pl.all(), nulls_last=True)


def _reason(tests: Collection[str]) -> pl.Expr:
    """Why a row is rejected; null for an event."""
    low, high, timestamp = pl.col("low"), pl.col("high"), pl.col("timestamp")
    reason = (
        pl.when(~symbol_is_safe(pl.col("symbol")))
        .then(pl.lit("symbol is not usable as a name"))
        .when(pl.col("symbol").is_in(list(tests)))
        .then(pl.format("{} is a test symbol of an exchange", "symbol"))
        .when(~pl.col("event_type").is_in(EVENT_TYPES).fill_null(value=False))
        .then(pl.lit("event_type is not one of the seven"))
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
        .when(pl.any_horizontal(pl.col(name) > MOST_PRICE_USD for name in PRICES))
        .then(pl.lit(TOO_HIGH))
        .when((pl.col("volume") > MOST_SHARES) | (pl.col("dollar_volume") >= TOO_LARGE))
        .then(pl.lit("volume or dollar_volume is too large for any market"))
        .when(pl.col("session").is_null())
        .then(pl.lit("outside every session of the calendar"))
    )


def _best_of_key(good: pl.DataFrame) -> pl.DataFrame:
    """One row per symbol, event_type and timestamp: the highest score, then direction up, then the other columns."""
    rest = [name for name in good.columns if name not in (*_KEY, *_BEST_FIRST, "copies", "here")]
    order = [*_KEY, *_BEST_FIRST, "here", *rest]
    falling = [name not in (*_KEY, "here") for name in order]
    return good.sort(order, descending=falling, nulls_last=True).unique(_KEY, keep="first", maintain_order=True)


def _with_event_columns(best: pl.DataFrame, facts: pl.DataFrame, tier_min_scores: list[float]) -> pl.DataFrame:
    """Events with every column of a shard; the given values of derived columns are kept under `..._given`."""
    close, open_ = pl.col("close"), pl.col("open")
    colour = pl.when(close > open_).then(pl.lit("green")).when(close < open_).then(pl.lit("red"))
    given = {name: f"{name}_given" for name in (*DERIVED, "score") if name != "session"}
    by = ("event_type", "session")
    known = [name for name in FACTS if name not in _KEY]
    return (
        best.rename(given)
        .join(facts, on=["symbol", "timestamp"], how="left", maintain_order="left")
        .with_columns(bar_is_known=pl.col("bar_close").is_not_null(), bar_is_same=matches_bar())
        .with_columns(pl.when("bar_is_same").then(pl.col(name)) for name in known)
        .with_columns(
            score=pl.col("score_given").rank("average").over(by) / pl.len().over(by),
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


def _rows_repaired(rows: pl.DataFrame, rejected: pl.DataFrame, good: pl.DataFrame) -> dict[str, Any]:
    good = good.filter(~pl.col("here"))
    reasons = rejected.group_by("reason").agg(pl.col("copies").sum()).sort("copies", "reason", descending=[True, False])
    of_key = good.group_by(_KEY).agg(pl.col("copies").sum())
    return {
        "rows": int(rows["copies"].sum()),
        "events": of_key.height,
        "copies_removed": int(good["copies"].sum()) - good.height,
        "differing_copies_removed": good.height - of_key.height,
        "most_rows_of_one_event": of_key["copies"].max() or 0,
        "quarantined": int(rejected["copies"].sum()),
        "quarantined_because": dict(reasons.iter_rows()),
    }


def _count_union(good: pl.DataFrame, best: pl.DataFrame) -> dict[str, int]:
    """Counts of events before, new, replaced and in all."""
    here = good.filter("here")
    same = here.join(best, on=[*_KEY, *_BEST_FIRST], how="semi", nulls_equal=True)
    return {
        "events_before": here.height,
        "events_new": best.height - here.height,
        "events_before_replaced": here.height - same.height,
        "events_in_all": best.height,
    }


def _columns_repaired(events: pl.DataFrame) -> dict[str, Any]:
    wrong = pl.col("session_given").ne_missing(pl.col("session"))
    of_bars = pl.col("bar_is_known")
    moves = (
        events.filter(wrong)
        .group_by(move=pl.format("{} to {}", pl.col("session_given").fill_null("none"), "session"))
        .len()
        .sort("len", "move", descending=[True, False])
    )
    product = pl.col("close") * pl.col("volume")
    figures = {
        "sessions_changed": wrong,
        **{f"{_PLURAL[name]}_changed": _differs(name) for name in ("date", "event_bias", "close_vs_open", "tier")},
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


def _differs(name: str) -> pl.Expr:
    return pl.col(f"{name}_given").ne_missing(pl.col(name))
