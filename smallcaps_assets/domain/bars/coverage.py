"""Coverage of minute bars: expected against published sessions of every symbol, and doubled volumes."""

from collections.abc import Sequence
from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.domain.bars.checks import EXPECTED, BarCheckParams, expected_sessions
from smallcaps_assets.domain.findings import Figure, Finding, finding
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.words import count_clause

# whether a symbol is followed, and its listing dates; null if unknown, or still listed
LISTING_DATES: Final = pl.Schema(
    {"symbol": pl.String(), "active": pl.Boolean(), "listed": pl.Date(), "delisted": pl.Date()}
)
# per symbol and session: volumes whose parity is informative, and how many of these are odd
VOLUMES: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date(), "judged": pl.Int64(), "odd": pl.Int64()})
# one row per symbol and ET month with expected sessions or with bars
COVERAGE: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "month": pl.Date(),
        "active": pl.Boolean(),
        "listed": pl.Date(),
        "delisted": pl.Date(),
        "sessions_expected": pl.Int64(),
        "sessions_here": pl.Int64(),
        "sessions_with_bars": pl.Int64(),
        "sessions_empty": pl.Int64(),
        "sessions_empty_between": pl.Int64(),
        "sessions_missing": pl.Int64(),
        "first_missing": pl.Date(),
        "last_missing": pl.Date(),
        "sessions_beyond": pl.Int64(),
        "bars": pl.Int64(),
        "volumes_judged": pl.Int64(),
        "volumes_odd": pl.Int64(),
        "sessions_doubled": pl.Int64(),
        "cause": pl.String(),
    }
)
# runs of consecutive sessions: `missing` were never published, `empty` have no bar between sessions with bars
HOLES: Final = pl.Schema(
    {"symbol": pl.String(), "hole": pl.String(), "first": pl.Date(), "last": pl.Date(), "sessions": pl.Int64()}
)
# complete, with missing or empty sessions, without any bar, or with bars of unexpected sessions only
STATES_OF_SYMBOLS: Final = ("complete", "holes", "without", "beyond")
STATES: Final = pl.Schema({**EXPECTED, "expected": pl.Boolean(), "bars": pl.Int64(), "hole": pl.String()})
MONTH: Final = pl.col("day").dt.month_start()


def symbols_to_report(listings: pl.DataFrame, here: pl.DataFrame) -> pl.DataFrame:
    """The symbols to report on (LISTING_DATES): followed symbols, and others with published sessions.

    For a symbol that is not followed nothing is expected before its first bar or after its last.

    Args:
        listings: LISTING_DATES of the universe.
        here: SESSION_BARS.
    """
    known = listings.join(_first_and_last(here), on="symbol", how="full", coalesce=True).with_columns(
        pl.col("active").fill_null(False)
    )
    followed = known.filter("active").select(*LISTING_DATES)
    others = known.filter(~pl.col("active"), pl.col("symbol").is_in(here["symbol"].unique().implode()))
    bounded = others.with_columns(listed=pl.coalesce("first", pl.lit(date.max)), delisted="last")
    return pl.concat([followed, bounded.select(*LISTING_DATES)]).sort("symbol")


def _first_and_last(here: pl.DataFrame) -> pl.DataFrame:
    """First and last day with bars of each symbol; null without bars."""
    traded = pl.col("day").filter(pl.col("bars") > 0)
    return here.group_by("symbol").agg(first=traded.min(), last=traded.max())


def session_states(
    symbols: pl.DataFrame, here: pl.DataFrame, due: Sequence[date], calendar: Sequence[date], since: date
) -> pl.DataFrame:
    """Every expected or published session with its state (STATES); `bars` is null where it is not published.

    For a followed symbol the sessions in `due` are expected, and before `since` those between its first and last bar;
    for any other symbol those between its first and last bar.

    Args:
        symbols: LISTING_DATES as of `symbols_to_report`.
        here: SESSION_BARS.
        due: the completed XNYS sessions of the history.
        calendar: the XNYS sessions from the first expected or published one to the last.
        since: the first day of the history.
    """
    followed = symbols.filter("active")
    with_bars = followed.join(_first_and_last(here).drop_nulls(), on="symbol").with_columns(
        listed=pl.max_horizontal("listed", "first"), delisted=pl.min_horizontal("delisted", "last")
    )
    pieces = [
        expected_sessions(followed, due),
        expected_sessions(with_bars, [day for day in calendar if day < since]),
        expected_sessions(symbols.filter(~pl.col("active")), calendar),
    ]
    expected = pl.concat(pieces).with_columns(expected=pl.lit(value=True))
    traded = pl.col("day").filter(pl.col("bars") > 0)
    between = pl.col("day").is_between(traded.min().over("symbol"), traded.max().over("symbol"))
    hole = (
        pl.when(pl.col("bars").is_null())
        .then(pl.lit("missing"))
        .when((pl.col("bars") == 0) & between)
        .then(pl.lit("empty"))
    )
    return (
        expected.join(here, on=["symbol", "day"], how="full", coalesce=True)
        .with_columns(pl.col("expected").fill_null(False))
        .with_columns(hole=pl.when("expected").then(hole))
        .match_to_schema(STATES)
        .sort("symbol", "day")
    )


def without_absences(states: pl.DataFrame, absent: pl.Series) -> pl.DataFrame:
    """STATES in which no session is expected of a symbol under which certainly no security was listed on that day.

    Args:
        states: STATES.
        absent: of each row whether its symbol is listed under no security on that day.
    """
    of_nobody = pl.lit(absent)
    return states.with_columns(expected=pl.col("expected") & ~of_nobody, hole=pl.when(~of_nobody).then("hole")).filter(
        pl.col("expected") | pl.col("bars").is_not_null()
    )


def coverage_table(states: pl.DataFrame, symbols: pl.DataFrame) -> pl.DataFrame:
    """STATES aggregated by symbol and ET month (COVERAGE); volumes and causes are null.

    Args:
        states: STATES.
        symbols: LISTING_DATES; listing dates are kept for followed symbols only.
    """
    expected, bars, missing = pl.col("expected"), pl.col("bars"), pl.col("hole") == "missing"
    days = pl.col("day").filter(missing)
    by_month = states.group_by("symbol", MONTH.alias("month")).agg(
        sessions_expected=expected.sum(),
        sessions_here=(expected & bars.is_not_null()).sum(),
        sessions_with_bars=(expected & (bars > 0)).sum(),
        sessions_empty=(expected & (bars == 0)).sum(),
        sessions_empty_between=(pl.col("hole") == "empty").sum(),
        sessions_missing=missing.sum(),
        first_missing=days.min(),
        last_missing=days.max(),
        sessions_beyond=(~expected & (bars > 0)).sum(),
        bars=bars.sum(),
    )
    listings = symbols.with_columns(pl.when("active").then(name).alias(name) for name in ("listed", "delisted"))
    return (
        by_month.filter((pl.col("sessions_expected") > 0) | (pl.col("sessions_beyond") > 0))
        .join(listings, on="symbol")
        .with_columns(pl.col(name).cast(dtype) for name, dtype in COVERAGE.items() if name in by_month.columns)
        .match_to_schema(COVERAGE, missing_columns="insert")
        .sort("symbol", "month")
    )


def holes(states: pl.DataFrame, calendar: Sequence[date]) -> pl.DataFrame:
    """Runs of missing or empty sessions (HOLES), by symbol and day.

    Args:
        states: STATES.
        calendar: the sessions that define which ones are consecutive.
    """
    numbers = pl.DataFrame({"day": sorted(calendar)}, schema={"day": pl.Date}).with_row_index("number")
    runs = states.filter(pl.col("hole").is_not_null()).join(numbers, on="day").sort("symbol", "hole", "day")
    place = pl.int_range(pl.len()).over("symbol", "hole")
    return (
        runs.with_columns(run=pl.col("number").cast(pl.Int64) - place)
        .group_by("symbol", "hole", "run")
        .agg(first=pl.col("day").min(), last=pl.col("day").max(), sessions=pl.len().cast(pl.Int64))
        .sort("symbol", "first")
        .select(*HOLES)
    )


def session_volumes(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Count the informative volumes of each session and the odd ones among them (VOLUMES).

    Multiples of ten are not informative, since round lots are even in any case; neither are fractional volumes.

    Args:
        bars: `symbol`, `timestamp` and `volume`.
    """
    shares = pl.col("volume").cast(pl.Int64, strict=False)
    judged = (shares == pl.col("volume")) & (shares % 10 != 0)
    return (
        bars.group_by("symbol", day=new_york_date(pl.col("timestamp")))
        .agg(judged=judged.sum(), odd=(judged & (shares % 2 == 1)).sum())
        .select(pl.col(name).cast(dtype) for name, dtype in VOLUMES.items())
    )


def with_volumes(table: pl.DataFrame, volumes: pl.DataFrame, params: BarCheckParams) -> pl.DataFrame:
    """COVERAGE with the figures of VOLUMES filled in.

    Sums of trades are odd about as often as even. If nearly all of at least `min_volumes` volumes are even, every share
    was counted twice: such a session, or all sessions of such a month, count as doubled. Volumes that are doubled in
    part of a session, or fewer than `min_volumes` in a month, cannot be detected.
    """
    even = (pl.col("judged") >= params.min_volumes) & (100 * pl.col("odd") <= params.max_odd_pct * pl.col("judged"))
    by_month = volumes.group_by("symbol", MONTH.alias("month")).agg(
        pl.col("judged", "odd").sum(), sessions=pl.len().cast(pl.Int64), doubled=even.sum().cast(pl.Int64)
    )
    seen = by_month.select(
        "symbol",
        "month",
        volumes_judged="judged",
        volumes_odd="odd",
        sessions_doubled=pl.when(even).then("sessions").otherwise("doubled"),
    )
    found = ("volumes_judged", "volumes_odd", "sessions_doubled")
    return table.drop(found).join(seen, on=["symbol", "month"], how="left").select(*COVERAGE).sort("symbol", "month")


def doubled_volumes(table: pl.DataFrame, params: BarCheckParams) -> Finding:
    """Months of COVERAGE whose volumes look as if every share had been counted twice."""
    judged = table.filter(pl.col("volumes_judged") >= params.min_volumes)
    figures = {
        "symbol_months": table.height,
        "judged_as_a_whole": judged.height,
        "sessions_doubled": int(table["sessions_doubled"].sum()),
        "at_most_odd_pct": params.max_odd_pct,
    }
    found = finding("doubled_volumes", doubled_months(table), figures, severe=False)
    return found.unjudged_if(not table["bars"].sum(), "no bars are published")


def doubled_months(table: pl.DataFrame) -> pl.DataFrame:
    """The rows of COVERAGE with doubled volumes, and the figures that show it."""
    columns = ("symbol", "month", "sessions_doubled", "sessions_with_bars", "volumes_judged", "volumes_odd")
    return table.filter(pl.col("sessions_doubled") > 0).select(columns)


def by_symbol(table: pl.DataFrame) -> pl.DataFrame:
    """COVERAGE aggregated by symbol, with `state` (one of STATES_OF_SYMBOLS), the worst first."""
    counts = [name for name, dtype in COVERAGE.items() if dtype == pl.Int64]
    missing = pl.col("sessions_missing") + pl.col("sessions_empty_between")
    state = (
        pl.when(pl.col("bars") == 0)
        .then(pl.lit("without"))
        .when(missing > 0)
        .then(pl.lit("holes"))
        .when(pl.col("sessions_expected") == 0)
        .then(pl.lit("beyond"))
    )
    return (
        table.group_by("symbol", "active", "listed", "delisted", "cause")
        .agg(pl.col(counts).sum(), pl.col("first_missing").min(), pl.col("last_missing").max())
        .with_columns(sessions_lost=missing, state=state.otherwise(pl.lit("complete")))
        .sort("sessions_lost", "symbol", descending=[True, False])
    )


def all_published(table: pl.DataFrame) -> Finding:
    """Symbols of COVERAGE whose expected sessions are not all published; a warning that says how many are."""
    symbols = by_symbol(table).filter(pl.col("sessions_missing") > 0)
    expected = int(table["sessions_expected"].sum())
    figures: dict[str, Figure] = {
        "verdict": describe_coverage(table),
        "sessions_expected": expected,
        "sessions_here": int(table["sessions_here"].sum()),
    }
    shown = symbols.select("symbol", "sessions_expected", "sessions_missing", "first_missing", "cause")
    found = finding("all_published", shown, figures, severe=False)
    return found.unjudged_if(not expected, "no session is expected of any symbol")


def describe_coverage(table: pl.DataFrame) -> str:
    """COVERAGE in one sentence: the expected sessions that are published, over all symbols."""
    expected, here = int(table["sessions_expected"].sum()), int(table["sessions_here"].sum())
    if not expected:
        return "No session is expected of any symbol yet, so there is nothing to judge."
    missing = f"{count_clause(expected - here, 'is', 'are')} missing" if here < expected else "none is missing"
    sessions = count_clause(
        expected, "expected session of all symbols is published", "expected sessions of all symbols are published"
    )
    return f"{here:,} of {sessions}; {missing}."
