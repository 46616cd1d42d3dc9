"""What a demo of the default size and seed has and leaves, computed from its market, and what the documents say."""

from collections import Counter

import polars as pl
import pytest

from smallcaps_assets.commands.demonstrating.failed_window import first_of_one_window
from smallcaps_assets.commands.demonstrating.stages import left_symbol
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.manifests.selection import select_events
from smallcaps_assets.domain.tables import REFERENCE, WAVES
from smallcaps_assets.pipeline.calendar import sessions_and_earlier, sessions_between
from smallcaps_assets.settings.settings import PROFILES
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import default_settings

SETTINGS = default_settings()
HISTORY = SETTINGS.history


def simulated() -> SimulatedMarket:
    params = SETTINGS.source.embedded
    return SimulatedMarket(params.seed, params.symbols, drill=params.drill)


@pytest.fixture(scope="module")
def followed() -> list[str]:
    """The symbols that a demo follows, in the order of their partitions."""
    market = simulated()
    return sorted(row["ticker"] for row in market.tickers() if row["type"] == "CS")  # type: ignore[type-var]


@pytest.fixture(scope="module")
def manifests(followed: list[str]) -> dict[str, pl.DataFrame]:
    """The manifest of each profile after a demo."""
    market = simulated()
    assert HISTORY.last_session is not None
    left = left_symbol(followed)
    symbols = [symbol for symbol in followed if symbol != left]
    bars = pl.concat(market.bars(symbol, HISTORY.first_session, HISTORY.last_session) for symbol in symbols)
    floats = {row["ticker"]: row["free_float"] for row in market.floats()}
    sold = {row["ticker"]: (row["short_interest"], row["days_to_cover"]) for row in market.short_interest()}
    known = [(symbol, floats.get(symbol), *sold.get(symbol, (None, None))) for symbol in symbols]
    reference = pl.DataFrame(known, schema=REFERENCE, orient="row", strict=False)
    sessions = sessions_and_earlier(
        HISTORY.first_session, HISTORY.last_session, SETTINGS.features.rvol_sessions, SETTINGS.sessions
    )
    events = detect(bars.sort("symbol", "timestamp"), sessions, SETTINGS.detection, reference=reference).events
    master = build_master(events, SETTINGS.cooldown)
    return {name: select_events(master, SETTINGS.profiles[name], SETTINGS.ranking).manifest for name in PROFILES}


def test_core_and_plus_have_windows_in_every_session(manifests: dict[str, pl.DataFrame]) -> None:
    for profile in ("core", "plus"):
        assert set(manifests[profile]["session"]) == set(WAVES)


def test_the_documents_name_what_such_a_demo_leaves(followed: list[str], manifests: dict[str, pl.DataFrame]) -> None:
    assert HISTORY.last_session is not None
    sessions = sessions_between(HISTORY.first_session, HISTORY.last_session, SETTINGS.sessions).height
    symbol, wave = first_of_one_window(manifests["premium"]) or ("", "")
    missing = Counter(manifests["premium"]["session"])
    missing[wave] -= 1
    readme, quickstart = (
        (REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "docs/quickstart.md")
    )
    for page in (readme, quickstart):
        assert f"{SETTINGS.source.embedded.symbols} " in page
        assert f"{sessions} sessions" in page
        assert f"`{left_symbol(followed)}`" in page
        assert f"`{symbol}` and `{wave}`" in page
        assert "2025-12-02" in page
    assert f"| {missing['PM']} more windows |" in readme
    assert f"({', '.join(f'{name} {missing[name]}' for name in WAVES)})" in quickstart
