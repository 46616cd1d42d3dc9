"""Rows of tape that a chart leaves out: evenly over the window, and counted."""

import polars as pl
import pytest

from smallcaps_assets.domain.research.micro.tables import MICRO_WINDOWS
from smallcaps_assets.domain.research.micro.trade_sides import BOOK_AFTER_QUOTES, TRADE_SIDES
from smallcaps_assets.domain.review.tape_drawing import DrawingLimits, book_steps, drawn_windows, trade_marks
from smallcaps_assets.domain.tables import UTC_NS
from smallcaps_assets_tests.scenarios import new_york

LIMITS = DrawingLimits(trades=8, quotes=8, volumes=100)
MOMENT = pl.lit(new_york("2025-11-05 10:00")).dt.convert_time_zone("UTC")
SPANS = (3, 5)
IS_CROSSED = (pl.col("value") % 2 == 1) & (pl.col("value") < 29)


def windows(volumes: int = 100, before: int = 0) -> pl.DataFrame:
    """Windows of four minutes, of an event each."""
    rows = pl.DataFrame({"span": SPANS}).with_columns(
        timestamp=MOMENT.cast(MICRO_WINDOWS["timestamp"]),
        window_before_min=pl.lit(before, pl.Int64),
        window_after_min=pl.lit(4 - before, pl.Int64),
    )
    return drawn_windows(rows.match_to_schema(MICRO_WINDOWS, missing_columns="insert"), DrawingLimits(8, 8, volumes))


def at(schema: pl.Schema, rows: list[tuple[int, float]], **columns: pl.Expr) -> pl.DataFrame:
    """Rows of both spans: seconds from the start, and a value that the columns are made of."""
    frame = pl.DataFrame([(span, *row) for span in SPANS for row in rows], ["span", "s", "value"], orient="row")
    timed = frame.with_columns(**columns, timestamp=(MOMENT + pl.duration(seconds="s")).cast(UTC_NS))
    return timed.match_to_schema(schema, missing_columns="insert", extra_columns="ignore")


def test_a_burst_does_not_take_the_places_of_quiet_times() -> None:
    # ten large trades in the first half of the window, three small ones in the second
    burst = [(second, 1_000.0 + second) for second in range(10)]
    quiet = [(200, 1.0), (210, 3.0), (220, 2.0)]
    marks = trade_marks(at(TRADE_SIDES, burst + quiet, size=pl.col("value")), windows(), LIMITS)
    for span in SPANS:
        shown = marks.filter(span=span)
        assert shown["size"].to_list() == [1_005, 1_006, 1_007, 1_008, 1_009, 1, 3, 2]
        assert shown["ms"].to_list() == [5_000, 6_000, 7_000, 8_000, 9_000, 200_000, 210_000, 220_000]
        assert set(shown["of"]) == {13}


def test_each_state_of_the_book_keeps_its_last_steps() -> None:
    # in the first half the book is crossed nine times between ten normal steps; the second half has one
    rows = [(second, 10.0 + second) for second in range(19)] + [(200, 50.0)]
    state = pl.when(IS_CROSSED).then(pl.lit("crossed")).otherwise(pl.lit("normal"))
    book = at(BOOK_AFTER_QUOTES, rows, bid=pl.col("value"), ask=pl.col("value"), state=state)
    steps = book_steps(book, windows(), LIMITS)
    for span in SPANS:
        shown = steps.filter(span=span)
        assert shown.filter(state="crossed")["ms"].to_list() == [11_000, 13_000, 15_000, 17_000]
        assert shown.filter(state="normal")["ms"].to_list() == [14_000, 16_000, 18_000, 200_000]
        assert set(shown["of"]) == {20}


def test_unchanged_quotes_are_no_steps() -> None:
    rows = [(0, 10.0), (1, 10.0), (2, 11.0), (3, 11.0)]
    book = at(BOOK_AFTER_QUOTES, rows, bid=pl.col("value"), ask=pl.col("value") + 1, state=pl.lit("normal"))
    steps = book_steps(book, windows(), LIMITS)
    assert steps.select("span", "ms", "of").rows() == [(3, 0, 2), (3, 2_000, 2), (5, 0, 2), (5, 2_000, 2)]


@pytest.mark.parametrize(("volumes", "seconds"), [(240, 1), (239, 2), (120, 2), (7, 35)])
def test_steps_of_volume_are_whole_seconds(volumes: int, seconds: int) -> None:
    drawn = windows(volumes, before=1).row(0, named=True)
    assert (drawn["start_ms"], drawn["end_ms"], drawn["step_s"]) == (-60_000, 180_000, seconds)
