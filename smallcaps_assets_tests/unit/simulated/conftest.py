from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from smallcaps_assets.simulated.market.market import SimulatedMarket

LATER = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


@pytest.fixture(scope="session")
def market() -> SimulatedMarket:
    """The default market, seen from January 2026."""
    return SimulatedMarket(clock=at(LATER))


@pytest.fixture(scope="session")
def month() -> tuple[date, date]:
    return date(2025, 10, 20), date(2025, 12, 1)
