"""Pictures of cohorts: true to the table, small and deterministic."""

from datetime import date
from io import BytesIO

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from smallcaps_assets.domain.research.tables.cohort_tables import COHORTS
from smallcaps_assets.pipeline.cohort_pictures import COHORT_COLOUR, WINNING_COLOUR, as_of_picture, cohorts_picture
from smallcaps_assets_tests.unit.domain.research.cohorts.ranking_test import cohort, cohorts_of
from smallcaps_assets_tests.unit.pipeline.pictures_test import of_colour

COUNTS = {"effective_n": 50.0, "win_rate": 0.5}


def columns(png: bytes, colour: str) -> tuple[int, int]:
    """The first and the last column of pixels with a colour."""
    found = np.flatnonzero(pixels_of(png, colour).any(axis=0))
    return int(found[0]), int(found[-1])


def pixels_of(png: bytes, colour: str) -> npt.NDArray[np.bool_]:
    """Which pixels have a colour."""
    with Image.open(BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.int64)
    wanted = np.array([round(255 * part) for part in to_rgb(colour)])
    # dots have few pixels, whose colour is one of the few of the picture
    return np.abs(pixels - wanted).max(axis=2) <= 40


def test_the_interval_is_drawn_to_the_scale_of_the_means() -> None:
    """Means 0 and 100 bps, errors 10 and 20 bps of 30 dates: intervals of 40.9 and 81.8 bps, t being 2.0452."""
    rows = cohorts_of(
        cohort("L1|flush|up", 0.0, se=0.001, **COUNTS),
        cohort("L1|flush|down", 0.01, se=0.002, winning=True, **COUNTS),
    )
    png = cohorts_picture(rows, "x")
    low, high = columns(png, COHORT_COLOUR)
    winning_low, winning_high = columns(png, WINNING_COLOUR)
    # with the round ends of the lines, a pixel each
    assert (winning_high - winning_low) / (high - low) == pytest.approx(2, rel=0.06)
    middles = (winning_low + winning_high - low - high) / 2
    assert middles / (high - low) == pytest.approx(100 / 40.9, rel=0.06)


def test_a_wide_interval_does_not_squeeze_the_others() -> None:
    narrow = cohort("L1|flush|up", 0.01, se=0.001, winning=True, **COUNTS)
    other = cohort("L1|flush|down", -0.01, se=0.001, **COUNTS)
    wide = other | {"cohort_id": "L1|volume_spike|up", "se": 5.0, "n_days": 2}
    alone, beside = (cohorts_picture(cohorts_of(narrow, other, *more), "x") for more in ((), (wide,)))
    (low, high), (low_beside, high_beside) = (columns(png, WINNING_COLOUR) for png in (alone, beside))
    assert high_beside - low_beside > (high - low) / 5


def test_a_winning_cohort_that_selects_nothing_is_a_circle() -> None:
    won = cohort("L1|flush|up", 0.01, se=0.001, winning=True, costed_share=0.1, **COUNTS)
    dot, circle = (
        pixels_of(cohorts_picture(cohorts_of(won | {"selects": selects}), "x"), WINNING_COLOUR).sum()
        for selects in (True, False)
    )
    assert 0 < circle < dot


def test_one_date_has_no_interval() -> None:
    rows = cohorts_of(cohort("L1|flush|up", 0.01, se=None, n_days=1, **COUNTS))
    low, high = columns(cohorts_picture(rows, "x"), COHORT_COLOUR)
    # the dot alone
    assert high - low < 10


def test_a_line_over_as_of_rises_with_its_means_and_wins() -> None:
    rows = pl.concat(
        cohorts_of(cohort("L1|volume_spike|up", 0.001 * month, **COUNTS | {"win_rate": 0.1 * month})).with_columns(
            as_of=pl.lit(date(2025, month, 1))
        )
        for month in range(1, 7)
    )
    png = as_of_picture(rows, "x")
    # without the legend
    drawn = of_colour(png, "#b0578d") | of_colour(png, "#2f6fde")
    drawn = drawn[:, : drawn.shape[1] * 2 // 3]
    above, below = drawn[: drawn.shape[0] // 2], drawn[drawn.shape[0] // 2 :]
    for half in (above, below):
        pixels = np.argwhere(half)
        first, last = pixels[pixels[:, 1].argmin()], pixels[pixels[:, 1].argmax()]
        assert first[0] > last[0]


@pytest.mark.slow
def test_pictures_are_small_and_deterministic() -> None:
    many = [
        cohort(f"L2|opening_range_break|down|{number:04}", 0.001 * number - 0.005, se=0.002, **COUNTS)
        for number in range(16)
    ]
    months = pl.concat(
        cohorts_of(
            *(
                cohort(f"L1|{name}|{way}", 0.001, **COUNTS)
                for name in ("flush", "tape_speed", "volume_spike")
                for way in ("up", "down")
            )
        ).with_columns(as_of=pl.lit(date(2020 + month // 12, month % 12 + 1, 1)))
        for month in range(36)
    )
    for draw in (lambda: cohorts_picture(cohorts_of(*many), "x"), lambda: as_of_picture(months, "x")):
        png = draw()
        assert len(png) < 30_000
        assert draw() == png


def test_no_cohorts_can_be_drawn() -> None:
    assert cohorts_picture(COHORTS.to_frame(), "x")
    assert as_of_picture(COHORTS.to_frame(), "x")
