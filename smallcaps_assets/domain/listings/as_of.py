"""Whether the symbol of an event was in the universe on the event's date, judged by what was known at its minute.

Type and exchange are those of the listing on that day, the price is the close of the event's bar, and the market cap is
that close x the shares outstanding that the vendor gave for a day at or before the event. That is the first day of the
quarter, or a later one where a new number would decide. Whatever is not known passes and is counted: a filter cannot
exclude what it does not know.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.lookup import with_listing, with_listing_facts
from smallcaps_assets.domain.listings.presence import absences
from smallcaps_assets.domain.symbols import ExchangeTestSymbols
from smallcaps_assets.domain.universe import UniverseParams

# What is read of an event.
LISTED_EVENT: Final = pl.Schema(
    {"event_id": pl.String(), "symbol": pl.String(), "date": pl.String(), "close": pl.Float64()}
)
# Shares outstanding and market cap as the vendor gives them for a day; null where it gives none.
SHARES: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "asked_for": pl.Date(),
        "shares_outstanding": pl.Float64(),
        "market_cap_usd": pl.Float64(),
    }
)
# One row per event, in the order of the events.
EVENT_LISTINGS: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "symbol": pl.String(),
        "date": pl.String(),
        "listing_id": pl.String(),
        "former_symbol": pl.String(),
        "next_symbol": pl.String(),
        "ticker_type": pl.String(),
        "primary_exchange": pl.String(),
        "shares_outstanding": pl.Float64(),
        "shares_known_on": pl.Date(),
        "market_cap_at_event": pl.Float64(),
        "in_universe_at_event": pl.Boolean(),
        "excluded_by": pl.String(),
        "unknown": pl.String(),
    }
)
EVENT_LISTING_COLUMNS: Final = {
    "event_id": "The event, as in MASTER.",
    "symbol": "Ticker of the event.",
    "date": "New York date of the event.",
    "listing_id": "The listing of the ticker on that date (see listings); null where none is known.",
    "former_symbol": "Ticker under which the security was listed just before; null if there is none.",
    "next_symbol": "HINDSIGHT: ticker under which the security is listed just after; null if there is none.",
    "ticker_type": "Type of the security on that date, by the vendor's code.",
    "primary_exchange": "Primary exchange (MIC) on that date.",
    "shares_outstanding": "Shares outstanding as the vendor gives them for shares_known_on, times the splits executed "
    "since this number was first given; null where unknown.",
    "shares_known_on": "Day at or before the event for which the vendor gave the shares.",
    "market_cap_at_event": "Close of the event x shares_outstanding, in US dollars; null where unknown.",
    "in_universe_at_event": "Whether the symbol was in the universe on that date; null where that is not known.",
    "excluded_by": "The filter that excludes it: not_listed, test_symbol, type, exchange, price or market_cap.",
    "unknown": "What is not known where in_universe_at_event is null: listing or market_cap.",
}
NOT_LISTED: Final = "not_listed"
MARKET_CAP: Final = "market_cap"
UNKNOWN_LISTING: Final = "listing"
_DAY: Final = "_day"


class KnownListings(NamedTuple):
    """What events are judged by.

    Attributes:
        listings: LISTINGS.
        facts: LISTING_FACTS.
        shares: SHARES.
        splits: SPLITS; None if they are not known: then no number of shares given before an event is known at it, since
            a reverse split would make a company of millions one of billions.
    """

    listings: pl.DataFrame
    facts: pl.DataFrame
    shares: pl.DataFrame
    splits: pl.DataFrame | None


def judge_events(events: pl.DataFrame, known: KnownListings, params: UniverseParams) -> pl.DataFrame:
    """One row (EVENT_LISTINGS) per event, in the order of `events`.

    Symbols that are named in a file or in the settings are in the universe on every date.

    Args:
        events: LISTED_EVENT.
        known: listings, and the shares outstanding of their symbols.
        params: the filters.
    """
    rows = events.select(*LISTED_EVENT, pl.col("date").str.to_date("%Y-%m-%d").alias(_DAY))
    rows = with_listing_facts(rows, known.facts, _DAY)
    of_listing = known.listings.select("listing_id", "former_symbol", "next_symbol")
    rows = rows.join(of_listing, on="listing_id", how="left", maintain_order="left")
    rows = _with_shares(rows.with_columns(absences(rows, known.listings, _DAY).alias("_absent")), known)
    rows = rows.with_columns(market_cap_at_event=pl.col("close") * pl.col("shares_outstanding"))
    filters = dict(_filters(params, ExchangeTestSymbols(params.test_symbols).among(rows["symbol"].unique())))
    excluded = pl.coalesce(
        pl.lit(None, pl.String), *(pl.when(excludes).then(pl.lit(by)) for by, excludes in filters.items())
    )
    rows = rows.with_columns(excluded_by=excluded)
    passed = pl.col("excluded_by").is_null()
    unknown = pl.when(passed).then(_unknown(params))
    in_universe = pl.when(~passed).then(pl.lit(value=False)).when(unknown.is_null()).then(pl.lit(value=True))
    return (
        rows.with_columns(unknown=unknown, in_universe_at_event=in_universe)
        .select(*EVENT_LISTINGS)
        .match_to_schema(EVENT_LISTINGS)
    )


def days_of_shares(events: pl.DataFrame, listings: pl.DataFrame) -> pl.DataFrame:
    """The days for which shares outstanding are asked first (`symbol`, `asked_for`): both ends of quarters with events.

    Of each listing and calendar quarter with events that is the first day of the quarter, or of the listing where that
    is later; and, unless the next quarter has events as well, the date of the last event. What was given for the first
    day was known at every event. Where both ends give the same, there is nothing to ask between them; see
    `undecided_days`. Events without a listing need none.

    Args:
        events: `symbol` and `date`.
        listings: LISTINGS.
    """
    days = events.select("symbol", pl.col("date").str.to_date("%Y-%m-%d").alias(_DAY)).unique()
    first = listings.select("listing_id", "active_from")
    listed = with_listing(days, listings, _DAY).drop_nulls("listing_id").join(first, on="listing_id")
    quarters = (
        listed.group_by("symbol", "listing_id", quarter=pl.col(_DAY).dt.truncate("1q"))
        .agg(pl.col("active_from").first(), last=pl.col(_DAY).max())
        .sort("listing_id", "quarter")
    )
    begin = pl.max_horizontal("quarter", "active_from")
    goes_on = pl.col("quarter").shift(-1).over("listing_id") == pl.col("quarter").dt.offset_by("1q")
    ends = quarters.filter(~goes_on.fill_null(value=False)).select("symbol", asked_for="last")
    return pl.concat([quarters.select("symbol", asked_for=begin), ends]).unique().sort("symbol", "asked_for")


def undecided_days(events: pl.DataFrame, known: KnownListings, most: float) -> pl.DataFrame:
    """The dates of events (`symbol`, `asked_for`) that the shares given before and after put on two sides of a limit.

    The number was another one from some day between the two on: what is given for the date itself decides.

    Args:
        events: LISTED_EVENT.
        known: listings, and the shares of `days_of_shares`.
        most: the limit of the market cap, in US dollars.
    """
    day = pl.col("date").str.to_date("%Y-%m-%d")
    rows = with_listing(events.select(*LISTED_EVENT, day.alias(_DAY)), known.listings, _DAY).drop_nulls("listing_id")
    before = _with_shares(rows, known).with_columns(was_large=pl.col("close") * pl.col("shares_outstanding") > most)
    after = _given_shares(known).select("listing_id", _later="shares_outstanding", _given_on="asked_for")
    both = before.sort(_DAY).join_asof(
        after.sort("_given_on"),
        left_on=_DAY,
        right_on="_given_on",
        by="listing_id",
        strategy="forward",
        check_sortedness=False,
        coalesce=False,
    )
    both = both.with_row_index("_row")
    if known.splits is not None:
        since = _split_factors(both.select("_row", "symbol", _since=_DAY, **{_DAY: "_given_on"}), known.splits)
        both = both.join(since, on="_row", how="left").with_columns(
            _later=pl.col("_later") / pl.col("_factor").fill_null(1.0)
        )
    is_large = pl.col("close") * pl.col("_later") > most
    changed = pl.col("was_large").ne_missing(is_large) & is_large.is_not_null()
    asked = both.filter(changed, pl.col("shares_known_on").ne_missing(pl.col(_DAY)))
    return asked.select("symbol", asked_for=_DAY).unique().sort("symbol", "asked_for")


def _given_shares(known: KnownListings) -> pl.DataFrame:
    """The known numbers of shares (SHARES), with the listing of their day, sorted by symbol and day."""
    given = with_listing(known.shares.sort("symbol", "asked_for"), known.listings, "asked_for")
    return given.drop_nulls(["listing_id", "shares_outstanding"]).filter(pl.col("shares_outstanding") > 0)


def _with_shares(rows: pl.DataFrame, known: KnownListings) -> pl.DataFrame:
    """`rows` with the last `shares_outstanding` known on the day of the same listing, adjusted for splits since."""
    given = _given_shares(known)
    # a number that has not changed is that of the same filing, and knows no split since it was first given
    another = pl.col("shares_outstanding").ne_missing(pl.col("shares_outstanding").shift(1).over("listing_id"))
    given = given.with_columns(_since=pl.when(another).then("asked_for"))
    given = given.with_columns(pl.col("_since").forward_fill().over("listing_id"))
    found = (
        rows.with_row_index("_row")
        .sort(_DAY)
        .join_asof(
            given.select("listing_id", "shares_outstanding", "_since", shares_known_on="asked_for").sort(
                "shares_known_on"
            ),
            left_on=_DAY,
            right_on="shares_known_on",
            by="listing_id",
            strategy="backward",
            check_sortedness=False,
            coalesce=False,
        )
        .sort("_row")
    )
    if known.splits is None:
        adjusted = pl.lit(None, pl.Float64)
    else:
        factor = _split_factors(found.select("_row", "symbol", "_since", _DAY), known.splits)
        found = found.join(factor, on="_row", how="left", maintain_order="left")
        adjusted = pl.col("shares_outstanding") * pl.col("_factor").fill_null(1.0)
    found = found.with_columns(shares_outstanding=adjusted)
    known_on = pl.when(pl.col("shares_outstanding").is_not_null()).then("shares_known_on")
    return found.with_columns(shares_known_on=known_on).drop("_row", "_since", "_factor", strict=False)


def _split_factors(rows: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """`_row` and `_factor`: new shares for an old one of splits executed after `_since` up to and on the day."""
    executed = splits.select("symbol", "execution_date", ratio=pl.col("split_to") / pl.col("split_from"))
    return (
        rows.drop_nulls("_since")
        .join(executed, on="symbol")
        .filter(pl.col("execution_date") > pl.col("_since"), pl.col("execution_date") <= pl.col(_DAY))
        .group_by("_row")
        .agg(_factor=pl.col("ratio").product())
    )


def _filters(params: UniverseParams, tests: list[str]) -> Iterator[tuple[str, pl.Expr]]:
    """Each filter with what excludes an event, in the order of the filters of the universe."""
    if params.is_named:
        return
    yield "test_symbol", pl.col("symbol").is_in(tests)
    yield NOT_LISTED, pl.col("_absent")
    listed = pl.col("listing_id").is_not_null()
    for by, column, wanted in (
        ("type", "ticker_type", params.ticker_types),
        ("exchange", "primary_exchange", params.exchanges),
    ):
        if wanted is not None:
            yield by, listed & ~pl.col(column).is_in(wanted).fill_null(value=False)
    least, most = params.min_price_usd, params.max_price_usd
    if least is not None or most is not None:
        yield "price", ~pl.col("close").is_between(least or 0.0, most or float("inf"))
    if params.max_market_cap_usd is not None:
        above = pl.col("market_cap_at_event") > params.max_market_cap_usd
        yield MARKET_CAP, above.fill_null(value=params.unknown_market_cap == "exclude")


def _unknown(params: UniverseParams) -> pl.Expr:
    """What is not known of an event that passes, of what the filters ask."""
    if params.is_named:
        return pl.lit(None, pl.String)
    unknown = pl.when(pl.col("listing_id").is_null()).then(pl.lit(UNKNOWN_LISTING))
    if params.max_market_cap_usd is None:
        return unknown
    return unknown.when(pl.col("market_cap_at_event").is_null()).then(pl.lit(MARKET_CAP))


def is_selectable() -> pl.Expr:
    """Whether an event (EVENT_LISTINGS) may be selected: it was in the universe, or that is not known."""
    return pl.col("in_universe_at_event").fill_null(value=True)
