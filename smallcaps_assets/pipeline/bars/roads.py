"""What the missing minute bars of a lake cost over REST and over flat files, before anything is paid for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.bars.roads import (
    MISSING_SESSIONS,
    RoadAssumptions,
    RoadCost,
    cost_of_files,
    cost_of_rest,
)
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.lake.unlisted_sessions import unlisted_sessions
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.market_data.flat_files.keys import RemoteFile, folders_of
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.settings.settings import Settings

# The vendor publishes a file at about this New York time of the next day; its first one is of this session.
FILE_TIME: Final = time(11)
FIRST_FILE: Final = date(2003, 9, 10)
# minute bars of a small cap in a session, until the lake has bars
ASSUMED_BARS: Final = 300.0
# symbols of the vendor's list that pass the filters, until the lake has a universe
ASSUMED_SYMBOLS: Final = 2_000
# symbols whose footers are read together
PLANNED_AT_ONCE: Final = 200
_LAST: Final = {"last": pl.Date()}


@dataclass(frozen=True)
class BarsPlan:
    """The cost of the missing bars over either road, and what the figures rest on.

    Attributes:
        symbols: how many are followed, or are assumed to be.
        symbols_from: `lake`, `settings`, `assumed` or `flag`.
        sessions: complete sessions of the history.
        missing: symbol-sessions to fetch.
        rest: their cost over REST.
        files: their cost over flat files; sessions without a file over REST.
        files_published: sessions with a missing bar that have a file.
        files_listed: whether the vendor's bucket was asked for them.
        newest_file: the newest listed file.
        assumed: about vendor and connection.
        measured_bars: whether `assumed.bars_per_session` is that of the lake.
    """

    symbols: int
    symbols_from: str
    sessions: int
    missing: int
    rest: RoadCost
    files: RoadCost
    files_published: int
    files_listed: bool
    newest_file: RemoteFile | None
    assumed: RoadAssumptions
    measured_bars: bool


def plan_bars(  # noqa: PLR0913 -- what is asked for
    lake: Lake,
    settings: Settings,
    now: datetime,
    *,
    symbols: int | None = None,
    assumed: RoadAssumptions | None = None,
    bucket: FlatFiles | None = None,
    watched: Callable[[Sequence[str]], Iterable[str]] = lambda names: names,
) -> BarsPlan:
    """The cost of the missing minute bars of the followed symbols.

    Args:
        lake: may be empty.
        settings: those in force.
        now: decides which sessions are complete, and which of them have a file.
        symbols: plan for so many symbols without bars instead of those that are followed.
        assumed: about vendor and connection; the bars per session of the lake replace those in it.
        bucket: is listed for the files that exist and their sizes; without it they are assumed.
        watched: wraps the first symbols of the batches of PLANNED_AT_ONCE symbols whose footers are read.

    Raises:
        MarketDataError: the bucket does not answer.
    """
    days = completed_sessions(settings.history, settings.sessions, now)
    count, named = (symbols, "flag") if symbols is not None else _named_symbols(settings)
    followed = {} if symbols is not None else UniverseStore(lake).followed()
    assumed = RoadAssumptions(ASSUMED_BARS, threads=settings.fetch_threads) if assumed is None else assumed
    if followed:
        missing, bars = _missing(BarsStore(lake), followed, days, watched)
        count, named = len(followed), "lake"
    else:
        missing, bars = _all_missing(count, days), None
    if bars is not None:
        assumed = assumed._replace(bars_per_session=bars)
    limit = settings.source.requests_per_minute
    here = FlatBarsStore(lake).days()
    wanted = sorted(missing["day"].unique())
    listed = {} if bucket is None or not wanted else bucket.list_days(wanted[0], wanted[-1])
    sizes: dict[object, float | None] = {day: float(file.size) for day, file in listed.items()}
    if bucket is None:
        sizes |= {day: None for day in wanted if published_by(day, now)}
    sizes |= dict.fromkeys(here, 0.0)
    folders = folders_of(settings.source.flat_files.prefix, wanted[0], wanted[-1]) if wanted else ()
    lists = sum(1 for _ in folders)
    return BarsPlan(
        count,
        named,
        len(days),
        missing.height,
        cost_of_rest(missing, assumed, limit),
        cost_of_files(missing, sizes, lists, assumed, limit),
        len(set(wanted) & sizes.keys()),
        bucket is not None,
        max(listed.values(), default=None),
        assumed,
        bars is not None,
    )


def published_by(day: date, now: datetime) -> bool:
    """Whether the vendor has usually published the file of a session at `now`."""
    there = datetime.combine(day + timedelta(days=1), FILE_TIME, ZoneInfo(NEW_YORK))
    return day >= FIRST_FILE and there <= now


def _named_symbols(settings: Settings) -> tuple[int, str]:
    if settings.universe.symbols:
        return len(settings.universe.symbols), "settings"
    source = settings.source
    if source.kind == "embedded" and source.embedded.replay is None:
        return source.embedded.symbols + source.embedded.drill, "settings"
    return ASSUMED_SYMBOLS, "assumed"


def _all_missing(count: int, days: Sequence[date]) -> pl.DataFrame:
    names = pl.DataFrame({"symbol": pl.int_range(count, eager=True).cast(pl.String)})
    return names.join(pl.DataFrame({"day": days}, schema={"day": pl.Date()}), how="cross").cast(MISSING_SESSIONS)


def _missing(
    store: BarsStore,
    followed: Mapping[str, date],
    days: Sequence[date],
    watched: Callable[[Sequence[str]], Iterable[str]],
) -> tuple[pl.DataFrame, float | None]:
    """The sessions without bars of each symbol, up to its last followed day; and the mean bars of those with some.

    Sessions on which a symbol is known to be listed under no security are not missing.
    """
    calendar = pl.DataFrame({"day": days}, schema={"day": pl.Date()})
    found: list[pl.DataFrame] = [MISSING_SESSIONS.to_frame()]
    bars = sessions = 0
    names = sorted(followed)
    for first in watched(names[::PLANNED_AT_ONCE]):
        at = names.index(first)
        batch = names[at : at + PLANNED_AT_ONCE]
        here = store.session_bars(batch)
        bars, sessions = bars + int(here["bars"].sum()), sessions + here.height
        last = pl.DataFrame({"symbol": batch, "last": [followed[name] for name in batch]}, schema_overrides=_LAST)
        due = last.join(calendar, how="cross").filter(pl.col("day") <= pl.col("last"))
        due = due.join(_unlisted(store.lake, batch, days), on=["symbol", "day"], how="anti")
        found.append(due.join(here, on=["symbol", "day"], how="anti").select(*MISSING_SESSIONS))
    return pl.concat(found), bars / sessions if sessions else None


def _unlisted(lake: Lake, symbols: Sequence[str], days: Sequence[date]) -> pl.DataFrame:
    """`symbol` and `day` of sessions on which a symbol is known to be listed under no security."""
    found = unlisted_sessions(lake, symbols, days)
    rows = [(symbol, day) for symbol, some in found.items() for day in sorted(some)]
    return pl.DataFrame(rows, schema={"symbol": pl.String, "day": pl.Date}, orient="row")
