"""Charts of tables: small, deterministic, and true to the table."""

from collections.abc import Callable
from datetime import date
from io import BytesIO

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from smallcaps_assets.domain.listings.survivorship import MONTHLY_SURVIVORSHIP
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.pipeline.pictures import (
    COLOURS,
    SURVIVORSHIP_COLOURS,
    clock_picture,
    coverage_picture,
    funnel_picture,
    score_picture,
    sessions_picture,
    survivorship_picture,
)
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.strategies.masters import lively_master

STEPS = ("range_and_sessions", "min_event_score", "bar_liquidity", "day_liquidity")
STEPS += ("best_of_group", "max_per_symbol_day", "max_per_symbol", "max_events")


def of_colour(png: bytes, colour: str) -> npt.NDArray[np.bool_]:
    """Which pixels have a colour, within the tolerance of a reduced palette."""
    with Image.open(BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.int64)
    wanted = np.array([round(255 * part) for part in to_rgb(colour)])
    return np.abs(pixels - wanted).max(axis=2) <= 8


def test_lengths_of_funnel_bars_are_proportional_to_the_steps() -> None:
    png = funnel_picture([{"step": "all", "rows": 4000}, {"step": "strong", "rows": 1000}, {"step": "best", "rows": 0}])
    widths = of_colour(png, "#2f6fde").sum(axis=1)
    long, short = widths.max(), widths[widths > 0].min()
    assert long > 200
    assert long / short == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize("picture", [clock_picture, sessions_picture])
def test_areas_of_sessions_are_proportional_to_their_events(picture: Callable[[pl.DataFrame], bytes]) -> None:
    regular = [event(f"2025-11-05 {hour}:0{number}") for hour in (10, 12) for number in range(6)]
    early = [event(f"2025-11-05 08:0{number}", session="PM") for number in range(6)]
    # after-hours of an early close are stacked on the regular events of that quarter-hour, not before them
    late = [event(f"2025-11-05 12:0{number}", session="AH", event_id=f"late {number}") for number in range(6)]
    png = picture(master_of(*regular, *early, *late))
    # below the legend, which has each colour too; edges fall between pixels
    areas = {session: of_colour(png, colour)[40:].sum() for session, colour in COLOURS.items()}
    assert areas["RTH"] / areas["PM"] == pytest.approx(2, rel=0.1)
    assert areas["AH"] / areas["PM"] == pytest.approx(1, rel=0.1)


def test_the_median_of_the_scores_is_drawn_at_its_value() -> None:
    png = score_picture(master_of(*(event(score=score, event_id=f"{score}") for score in (0.2, 0.5, 0.9))))
    columns = np.flatnonzero(of_colour(png, "#d43d4c").any(axis=0))
    blue = np.flatnonzero(of_colour(png, "#2f6fde").any(axis=0))
    # bars of a fortieth each: from 0.2 to 0.925
    place = (columns.mean() - blue[0]) / (blue[-1] - blue[0])
    assert place == pytest.approx((0.5 - 0.2) / (0.925 - 0.2), abs=0.02)


@pytest.mark.slow
def test_pictures_are_small_and_deterministic() -> None:
    master = lively_master(3, 900)
    funnel = [{"step": step, "rows": 572_850 - number} for number, step in enumerate(STEPS)]
    for draw in (
        lambda: funnel_picture(funnel),
        lambda: score_picture(master),
        lambda: clock_picture(master),
        lambda: sessions_picture(master),
    ):
        png = draw()
        assert len(png) < 12_000
        assert draw() == png


def test_an_empty_table_can_be_drawn() -> None:
    assert funnel_picture([{"step": "all", "rows": 0}])
    nothing = EVENTS.to_frame()
    assert all(draw(nothing) for draw in (score_picture, clock_picture, sessions_picture))


def shares(*rows: tuple[int, float]) -> pl.DataFrame:
    return pl.DataFrame(
        [(date(2025, month, 1), pct) for month, pct in rows],
        schema={"month": pl.Date, "pct": pl.Float64},
        orient="row",
    )


def test_the_darkest_field_of_coverage_has_the_most_symbols() -> None:
    darkest = to_hex(colormaps["Blues"](1.0))
    # three complete symbols in January, half of one symbol in February
    png = coverage_picture(shares((1, 100.0), (1, 100.0), (1, 100.0), (2, 60.0)))
    rows, columns = np.nonzero(of_colour(png, darkest))
    height, width = of_colour(png, darkest).shape
    # upper row, left half; a month without symbols in a band leaves it white
    assert rows.max() < height / 2
    assert columns.max() < width * 0.6
    assert coverage_picture(shares((1, 100.0))) == coverage_picture(shares((1, 100.0)))
    # symbols at the bounds of one band: in the middle of five
    low = np.nonzero(of_colour(coverage_picture(shares((1, 50.0), (1, 94.9))), darkest))[0]
    assert height * 0.4 < low.min()
    assert low.max() < height * 0.6


def test_only_some_of_many_months_are_labeled() -> None:
    months = [(1 + number % 12, float(number)) for number in range(12)]
    years = [shares(*months).with_columns(pl.col("month").dt.offset_by(f"{year}y")) for year in range(4)]
    assert coverage_picture(pl.concat(years)) != coverage_picture(years[0])


def test_areas_of_survivorship_are_proportional_to_its_events() -> None:
    months = [(date(2025, 1, 1), 60, 20, 10, 0), (date(2025, 2, 1), 0, 0, 0, 0), (date(2025, 3, 1), 40, 30, 40, 25)]
    by_month = pl.DataFrame(months, MONTHLY_SURVIVORSHIP, orient="row")
    png = survivorship_picture(by_month)
    assert survivorship_picture(by_month) == png
    assert len(png) < 10_000
    # without the legend, which has each colour too
    found = {name: of_colour(png, colour)[:, :500] for name, (_, colour) in SURVIVORSHIP_COLOURS.items()}
    areas = {name: pixels.sum() for name, pixels in found.items()}
    assert [areas[name] / areas["both"] for name in ("only_then", "only_today", "unknown")] == pytest.approx(
        [0.5, 0.5, 0.25], rel=0.1
    )
    # what counts lies above the axis, today's hindsight below it
    lowest, highest = (np.flatnonzero(found[name].any(axis=1)) for name in ("both", "only_today"))
    assert lowest.max() <= highest.min()
    assert survivorship_picture(by_month.clear())
