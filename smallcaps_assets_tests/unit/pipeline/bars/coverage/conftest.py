"""A lake with one symbol of each kind."""

from datetime import date

import pytest

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.scenarios import bars_from, flat
from smallcaps_assets_tests.unit.pipeline.bars.coverage.covered import doubled, publish_universe, regular, stored


@pytest.fixture
def mixed(lake: Lake) -> Lake:
    """One symbol of each kind; two of them lack the same minutes of one day."""
    publish_universe(
        lake,
        FULL=(True, date(2020, 1, 2), None),
        GAP=(True, None, None),
        NONE=(True, None, None),
        LATE=(True, date(2025, 11, 5), None),
        LEFT=(False, None, None),
    )
    stored(lake, "FULL", "b" * 11, lambda day, symbol: regular(day, symbol, (60, 65 if day == "2025-11-05" else 60)))
    stored(
        lake, "GAP", "bb..bbebbb.", lambda day, symbol: regular(day, symbol, (60, 65 if day == "2025-11-05" else 60))
    )
    stored(
        lake,
        "LATE",
        "eeeeeeebbbb",
        lambda day, symbol: doubled(day, symbol) if day > "2025-11-06" else regular(day, symbol, (60, 65)),
    )
    stored(lake, "LEFT", "b.b........", lambda day, symbol: bars_from(f"{day} 10:00", flat(3), symbol))
    return lake
