"""The simulated exchange."""

import pytest

from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at


@pytest.fixture(scope="module")
def exchange(market):
    return Exchange(market, clock=at(LATER))
