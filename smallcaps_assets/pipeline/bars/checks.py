"""Checks of the minute bars: load what each of them needs, and no more."""

from datetime import date, datetime
from functools import cache

from smallcaps_assets.domain.bars import checks as bar_checks
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.sessions import SESSION_TABLE
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.calendar import sessions_between, sessions_due
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.settings.settings import Settings


def checks_of_bars(bars: BarsStore, universe: UniverseStore, settings: Settings, now: datetime) -> Checks:
    """The checks of the minute bars of all symbols."""
    params = settings.checks.bars
    due = sessions_due(settings.history, settings.sessions, now)
    followed = universe.listings().filter("active")
    here = cache(lambda: bars.session_bars(followed["symbol"].to_list()))
    return {
        "session_coverage": lambda: bar_checks.session_coverage(
            here(), bar_checks.expected_sessions(followed, due), params
        ),
        "empty_sessions": lambda: bar_checks.empty_sessions(here(), params),
        "missing_minutes": lambda: _missing_minutes(bars, due[-params.last_sessions :], settings),
    }


def _missing_minutes(bars: BarsStore, days: list[date], settings: Settings) -> Finding:
    sessions = sessions_between(days[0], days[-1], settings.sessions) if days else SESSION_TABLE.to_frame()
    params = settings.checks.bars
    counts = bar_checks.minute_counts(bars.regular_minutes(sessions), sessions, params)
    return bar_checks.missing_minutes(counts, params)
