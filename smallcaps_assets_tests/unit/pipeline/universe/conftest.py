"""A list of tickers that a test writes."""

import pytest

from smallcaps_assets_tests.conftest import Gate
from smallcaps_assets_tests.listings import Listings


@pytest.fixture
def listings(gate: Gate) -> Listings:
    """A list of tickers written by the test, in place of the exchange's."""
    written = Listings()
    gate.rule = written.reply
    return written
