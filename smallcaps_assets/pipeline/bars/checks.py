"""Checks of the stored minute bars."""

from collections.abc import Collection
from datetime import date, datetime
from functools import cache

import polars as pl

from smallcaps_assets.domain.bars import checks as bar_checks
from smallcaps_assets.domain.bars.flat_checks import COMPARED_SESSIONS, flat_files_agree, flat_files_current
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.listings.presence import absences
from smallcaps_assets.domain.sessions import SESSION_TABLE
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.bars.suspect_prints import recent_suspect_prints
from smallcaps_assets.pipeline.calendar import completed_sessions, sessions_between
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.settings.settings import Settings


def checks_of_bars(bars: BarsStore, universe: UniverseStore, settings: Settings, now: datetime) -> Checks:
    """The checks of the minute bars of all followed symbols; each loads its data when it is run."""
    params = settings.checks.bars
    sessions = completed_sessions(settings.history, settings.sessions, now)
    followed = universe.listings().filter("active")
    listings = ListingStore(bars.lake).table()

    def expected() -> pl.DataFrame:
        days = bar_checks.expected_sessions(followed, sessions)
        return days if listings is None else days.filter(~absences(days, listings, "day"))

    counts = cache(lambda: bars.session_bars(followed["symbol"].to_list()))
    of_files = checks_of_flat_files(bars, followed["symbol"].to_list()) if settings.source.bars != "rest" else {}
    return {
        **of_files,
        "session_coverage": lambda: bar_checks.session_coverage(counts(), expected(), params),
        "empty_sessions": lambda: bar_checks.empty_sessions(counts(), params),
        "suspect_print": lambda: recent_suspect_prints(bars, params.suspect_print),
        "missing_minutes": lambda: _missing_minutes(bars, sessions[-params.last_sessions :], settings),
    }


def checks_of_flat_files(bars: BarsStore, symbols: Collection[str]) -> Checks:
    """The checks of bars that flat files have as well, of `symbols`; they share one reading of the footers."""
    sessions = cache(lambda: compared_sessions(bars, symbols))
    return {
        "flat_files_agree": lambda: flat_files_agree(sessions()),
        "flat_files_current": lambda: flat_files_current(sessions(), _files_in(bars)),
    }


def compared_sessions(bars: BarsStore, symbols: Collection[str]) -> pl.DataFrame:
    """The sessions of `symbols` that flat files are about (COMPARED_SESSIONS); reads footers only."""
    rows = [
        (symbol, day, origin.etag, origin.is_source, kind, minutes)
        for symbol in symbols
        for day, origin in bars.flat_origins(symbol).items()
        for kind, minutes in (origin.differences.items() or [(None, None)])
    ]
    return pl.DataFrame(rows, COMPARED_SESSIONS, orient="row")


def _files_in(bars: BarsStore) -> pl.DataFrame:
    files = FlatBarsStore(bars.lake).files().files
    etags = [(day, file.etag) for day, file in files.items()]
    return pl.DataFrame(etags, {"day": pl.Date, "etag": pl.String}, orient="row")


def _missing_minutes(bars: BarsStore, days: list[date], settings: Settings) -> Finding:
    sessions = sessions_between(days[0], days[-1], settings.sessions) if days else SESSION_TABLE.to_frame()
    params = settings.checks.bars
    counts = bar_checks.minute_counts(bars.regular_minutes(sessions), sessions, params)
    return bar_checks.missing_minutes(counts, params)
