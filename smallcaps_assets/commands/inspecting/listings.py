"""`smallcaps listings`: which security had a ticker when, and what missing lists of tickers cost."""

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.commands.console import Printable, TextTable, show
from smallcaps_assets.commands.planning.listings import ListingCosts, listing_costs
from smallcaps_assets.commands.workplace import add_data_flags, enter, existing_lake
from smallcaps_assets.domain.listings.lookup import listed_on
from smallcaps_assets.domain.listings.tables import LISTING_FACTS, LISTINGS
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.lake.listings import ListingStore
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
    costs = listing_costs(lake, settings)
    if arguments.json:
        listed = asked.to_dicts() if arguments.tickers or arguments.on else []
        document = {"lake": str(lake.root), "covers": store.covers(), **_counts(rows), **costs.as_json()}
        print(json.dumps(document | {"listings": listed}, default=str))
        return 0
    show(f"lake {lake.root}", *_state(store, rows, arguments.on), *_missing(costs, settings))
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


def _missing(costs: ListingCosts, settings: Settings) -> Iterator[str]:
    """What is to ask for, before it is paid."""
    missing = {
        "missing:": costs.describe_lists(settings),
        "delisted:": costs.describe_delisted(settings),
        "borders:": costs.describe_borders(settings),
        "shares:": costs.describe_shares(settings),
    }
    for name, words in missing.items():
        if words:
            yield f"{name:9} {words}"


def _listed(rows: pl.DataFrame, symbols: Sequence[str]) -> list[Printable]:
    known = set(rows["symbol"])
    without = [f"{symbol}: no listing is known" for symbol in symbols if symbol not in known]
    cells = rows.select(pl.col(*_HEADINGS).cast(pl.String).fill_null("-")).rows()
    return [*([TextTable([*_HEADINGS.values()], cells, left=len(_HEADINGS))] if cells else []), *without]
