"""Checks of the stored minute bars."""

from datetime import date, datetime
from functools import cache

import polars as pl

from smallcaps_assets.domain.bars import checks as bar_checks
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.listings.presence import absences
from smallcaps_assets.domain.sessions import SESSION_TABLE
from smallcaps_assets.lake.bars import BarsStore
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
    return {
        "session_coverage": lambda: bar_checks.session_coverage(counts(), expected(), params),
        "empty_sessions": lambda: bar_checks.empty_sessions(counts(), params),
        "suspect_print": lambda: recent_suspect_prints(bars, params.suspect_print),
        "missing_minutes": lambda: _missing_minutes(bars, sessions[-params.last_sessions :], settings),
    }


def _missing_minutes(bars: BarsStore, days: list[date], settings: Settings) -> Finding:
    sessions = sessions_between(days[0], days[-1], settings.sessions) if days else SESSION_TABLE.to_frame()
    params = settings.checks.bars
    counts = bar_checks.minute_counts(bars.regular_minutes(sessions), sessions, params)
    return bar_checks.missing_minutes(counts, params)
