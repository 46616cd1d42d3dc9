"""`smallcaps listings`: which security had a ticker when, and what missing lists of tickers cost."""

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final

import polars as pl

from smallcaps_assets.commands.console import Printable, TextTable, show
from smallcaps_assets.commands.workplace import add_data_flags, enter, existing_lake
from smallcaps_assets.domain.listings.inference import Question
from smallcaps_assets.domain.listings.lookup import listed_on
from smallcaps_assets.domain.listings.requests import most_requests
from smallcaps_assets.domain.listings.tables import LISTING_FACTS, LISTINGS
from smallcaps_assets.domain.words import count_clause, count_noun, estimate_duration
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.listings.costs import ListCosts, list_costs
from smallcaps_assets.pipeline.listings.counted import counted_tickers
from smallcaps_assets.pipeline.universe.share_costs import ShareCosts, share_costs
from smallcaps_assets.settings.settings import Settings

NEEDS: Final = "a lake."
EXAMPLE: Final = "smallcaps listings AVLO --on 2025-11-12"

_HEADINGS: Final = {
    "symbol": "ticker",
    "active_from": "from",
    "active_to": "to",
    "ticker_type": "type",
    "primary_exchange": "exchange",
    "former_symbol": "former",
    "next_symbol": "next",
    "name": "name",
}


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("tickers", nargs="*", metavar="SYMBOL", help="only these tickers; otherwise all are counted")
    parser.add_argument("--on", type=_day, metavar="DATE", help="only listings of this day, with their type of then")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date such as 2025-11-12") from None


def run(arguments: Namespace) -> int:
    """Print the listings of tickers, or how many there are and what missing lists cost; sends no request.

    Raises:
        InputError: the given lake does not exist.
    """
    settings = enter(arguments)
    lake = existing_lake(arguments, settings)
    store = ListingStore(lake)
    table, facts = store.table(), store.facts()
    rows = LISTINGS.to_frame() if table is None else table
    if arguments.on is not None:
        rows = listed_on(rows, LISTING_FACTS.to_frame() if facts is None else facts, arguments.on)
    asked = rows.filter(pl.col("symbol").is_in(arguments.tickers)) if arguments.tickers else rows
    sessions = completed_sessions(settings.history, settings.sessions, datetime.now(UTC))
    costs = list_costs(store, sessions) if sessions else ListCosts([], 1)
    questions = counted_tickers(settings).open_questions(store) if settings.universe.listing_borders == "exact" else []
    shares = share_costs(lake, settings.universe)
    if arguments.json:
        listed = asked.to_dicts() if arguments.tickers or arguments.on else []
        document = {"lake": str(lake.root), "covers": store.covers(), **_counts(rows), **costs.as_json()}
        later = {
            "requests_for_borders_at_most": most_requests(questions, costs.pages),
            "requests_for_shares": None if shares is None else shares.requests,
        }
        print(json.dumps(document | later | {"listings": listed}, default=str))
        return 0
    show(f"lake {lake.root}", *_state(store, rows, arguments.on), *_missing(costs, settings, is_made=table is not None))
    show(*_borders(questions, costs.pages, settings), *_shares(shares, settings))
    if arguments.tickers or arguments.on:
        show(*_listed(asked, arguments.tickers))
    return 0


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    """Figures of listings."""
    exact = pl.col("from_is_exact") | (pl.col("active_from") == pl.col("active_from").min())
    return {
        "listings_known": rows.height,
        "still_listed": rows["active_to"].null_count(),
        "renamed": rows["former_symbol"].count(),
        "tickers_with_several": rows.filter(pl.col("symbol").is_duplicated())["symbol"].n_unique(),
        "known_to_a_month": rows.filter(~(exact & pl.col("to_is_exact"))).height,
    }


def _state(store: ListingStore, rows: pl.DataFrame, day: date | None) -> list[str]:
    covered = store.covers()
    if covered is None:
        return ["listings: none yet. Materialize `listings` to make them"]
    counts = _counts(rows)
    when = f"on {day}" if day else f"from {covered[0]} to {covered[1]}"
    known = (
        f"listings: {count_noun(counts['listings_known'], 'listing')} {when}, "
        f"{count_clause(counts['still_listed'], 'is', 'are')} not ended, "
        f"{count_clause(counts['renamed'], 'has', 'have')} a former ticker"
    )
    several = (
        f"tickers:  {count_clause(counts['tickers_with_several'], 'ticker has', 'tickers have')} several listings; "
        f"the sessions of {count_noun(counts['known_to_a_month'], 'listing')} are known to a month only"
    )
    return [known, several]


def _missing(costs: ListCosts, settings: Settings, *, is_made: bool) -> list[str]:
    """What is to ask for, before it is paid."""
    if not costs.days:
        return []
    exact = settings.universe.listing_borders == "exact"
    then = _BORDERS.format(_USUAL_BORDERS * len(costs.days)) if exact and not is_made else ""
    lists = count_clause(len(costs.days), "list of tickers is", "lists of tickers are")
    return [f"missing:  {lists} missing, about {_requests(costs.requests, settings)}{then}"]


def _borders(questions: Sequence[Question], pages: int, settings: Settings) -> list[str]:
    """What asking for the sessions of changes between stored lists costs at most."""
    if not questions:
        return []
    changed = count_noun(len({question.symbol for question in questions}), "ticker")
    most = _requests(most_requests(questions, pages), settings)
    return [f"borders:  {changed} changed between two lists on an unknown session, at most {most}"]


def _shares(costs: ShareCosts | None, settings: Settings) -> list[str]:
    """What `event_listings` costs, where the market cap of events has a limit."""
    if costs is None:
        return ["shares:   unknown until events are detected: one to two requests per symbol and quarter with events"]
    if not costs.requests:
        return []
    bound, later = ("at most ", "") if costs.is_bound else ("", _DECISIVE)
    requests = _requests(costs.requests, settings)
    return [f"shares:   event_listings sends {bound}{requests} for shares outstanding{later}"]


def _requests(count: int, settings: Settings) -> str:
    """A number of requests, and how long they take."""
    limit = settings.source.requests_per_minute
    duration = f", {estimate_duration(60 * count / limit)} at {limit:g} a minute" if limit else ""
    return f"{count_noun(count, 'request')}{duration}"


_USUAL_BORDERS: Final = 200
_BORDERS: Final = (
    "; then some 200 for the sessions of the changes of each month, about {:,} in all, stated before they are sent"
)
_DECISIVE: Final = "; then one for each date of events on which a number that changed within its quarter decides"


def _listed(rows: pl.DataFrame, symbols: Sequence[str]) -> list[Printable]:
    known = set(rows["symbol"])
    without = [f"{symbol}: no listing is known" for symbol in symbols if symbol not in known]
    cells = rows.select(pl.col(*_HEADINGS).cast(pl.String).fill_null("-")).rows()
    return [*([TextTable([*_HEADINGS.values()], cells, left=len(_HEADINGS))] if cells else []), *without]
