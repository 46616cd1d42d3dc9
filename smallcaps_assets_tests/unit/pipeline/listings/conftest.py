"""The market of companies with a history, over HTTP."""

from collections.abc import Iterator

import pytest

from smallcaps_assets.simulated.corporate.market import CorporateMarket
from smallcaps_assets_tests.conftest import LATER, Gate, open_gate


@pytest.fixture(scope="session")
def corporate_market() -> CorporateMarket:
    """The companies of `simulated.corporate`, seen from January 2026."""
    return CorporateMarket(clock=lambda: LATER)


@pytest.fixture
def gate(corporate_market: CorporateMarket) -> Iterator[Gate]:
    """Their exchange behind a gate that only this test uses."""
    with open_gate(corporate_market) as opened:
        yield opened
