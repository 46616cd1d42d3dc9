"""Sessions on which symbols are known to be listed under no security, so that no bars are expected or asked for."""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.listings.presence import absences
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import DOUBTFUL, ListingStore, known_span

UnlistedSessions = Mapping[str, Collection[date]]


def unlisted_sessions(lake: Lake, symbols: Collection[str], sessions: Collection[date]) -> UnlistedSessions:
    """By symbol, the sessions on which it is certainly not listed; symbols without any are left out.

    Certain is what all of these say, and everything else is unknown, so that bars are asked for:
    - the lists of tickers reach from before the session to after it, and so does the list of delisted tickers, on which
      nothing is left to ask; it names listings that begin and end between two lists;
    - every delisting of the ticker in that list is one of a known listing;
    - the listings beside the session end and begin on exact days, and there is one at least.

    Args:
        lake: the lake; without listings nothing is certain.
        symbols: the symbols.
        sessions: the sessions.

    Raises:
        LakeError: the listings are damaged or cannot be read.
    """
    store = ListingStore(lake)
    inputs = store.inputs()
    known = None if inputs is None else known_span(inputs)
    if inputs is None or known is None or not sessions:
        return {}
    first, last = known
    days = [day for day in sessions if first <= day <= last]
    table = store.table()
    if not days or table is None:
        return {}
    listings = table.filter(pl.col("symbol").is_in(list(symbols)), ~pl.col("symbol").is_in(_doubtful(inputs)))
    always = (pl.col("active_from") <= min(days)) & pl.col("active_to").is_null()
    asked = listings.group_by("symbol").agg(always.any().alias("always")).filter(~pl.col("always"))
    rows = asked.select("symbol").join(pl.DataFrame({"day": days}, schema={"day": pl.Date}), how="cross")
    absent = rows.filter(absences(rows, listings, "day")).group_by("symbol").agg("day")
    return {symbol: frozenset(found) for symbol, found in absent.iter_rows()}


def _doubtful(inputs: Mapping[str, Any]) -> list[str]:
    return list(inputs[DOUBTFUL])
