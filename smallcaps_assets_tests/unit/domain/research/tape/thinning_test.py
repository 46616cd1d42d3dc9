"""What thinning leaves as it is: the three profiles on the same tape give the same figures of the grid."""

from datetime import timedelta

import polars as pl
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.micro.days import spans_by_day
from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.micro.params import MicroParams
from smallcaps_assets.domain.research.micro.tables import MICRO_COLUMNS, MICRO_FEATURES
from smallcaps_assets.domain.research.tape.reading import TapeReading
from smallcaps_assets.domain.tape.nbbo import thin
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.research.drill_test import FIRST, scene

# of the figures that need trades and quotes, those that look at the book at whole seconds only
OF_THE_GRID = ("slippage_vwap_", "fill_seconds_", "kyle_n")
# how many trades have a mid depends on when they were, not on which quote it is from
JOINED = [
    column.name
    for column in MICRO_COLUMNS
    if column.half == "both" and not column.name.startswith((*OF_THE_GRID, "n_effective"))
]


def test_figures_of_the_grid_are_the_same_in_every_profile() -> None:
    made, params = scene(7, FIRST, FIRST), MicroParams()
    moments = [made.sessions["regular_open"][0] + timedelta(minutes=15 + 20 * number) for number in range(18)]
    windows = pl.DataFrame({"event_id": [f"{number:02}" for number in range(18)], "timestamp": moments}).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")), symbol=pl.lit("DRILL"), direction=pl.lit("up")
    )

    def figures(quotes: pl.DataFrame) -> pl.DataFrame:
        reading = TapeReading(made.conditions, made.sessions, params)
        return micro_features(*spans_by_day(windows, made.trades, quotes, params), reading)

    # some of them at points of the grid, which must not see them yet
    quotes = made.quotes.with_columns(pl.col("timestamp").dt.truncate("10ms"))
    full = figures(quotes)
    same = [name for name in MICRO_FEATURES if name not in JOINED]
    assert full.height == 18 * 5
    changed = []
    for profile in ("core", "plus", "premium"):
        thinned = thin(quotes, default_settings().profiles[profile].quotes)
        assert thinned.height < quotes.height
        found = figures(thinned)
        assert_frame_equal(found.select(same), full.select(same), check_exact=True)
        changed.append(found["effective_spread_bps"].ne_missing(full["effective_spread_bps"]).sum())
    # what trades are joined to changes, the more the coarser
    assert changed == sorted(changed, reverse=True)
    assert changed[0] > 0
