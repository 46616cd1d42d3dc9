"""The market of companies with a history, over HTTP."""

from collections.abc import Iterator
from datetime import date

import pytest

from smallcaps_assets.simulated.corporate.companies import COMPANIES, Company, Tenure
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


@pytest.fixture(scope="session")
def wide_market() -> CorporateMarket:
    """The same companies and 1,050 more that never change, so that a list has two pages."""
    begin = date(2015, 1, 2)
    others = [Company(number, (Tenure(f"T{number:04}", begin),)) for number in range(100, 1150)]
    return CorporateMarket(companies=[*COMPANIES, *others], clock=lambda: LATER)


@pytest.fixture
def wide_gate(wide_market: CorporateMarket) -> Iterator[Gate]:
    """The exchange of the wide market behind a gate."""
    with open_gate(wide_market) as opened:
        yield opened
