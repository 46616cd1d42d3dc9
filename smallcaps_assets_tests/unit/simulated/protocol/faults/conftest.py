"""The exchange under faults."""

import pytest

from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at


@pytest.fixture(scope="module")
def exchange(small_market):
    return Exchange(small_market, clock=at(LATER))
