from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.tape.tables import WINDOWS
from smallcaps_assets.domain.tape.windows import cut_pieces, cut_tiles, merge_windows, uncovered_windows

DAY = datetime(2025, 11, 5, 15, tzinfo=UTC)


def at(minute: int) -> datetime:
    return DAY + timedelta(minutes=minute)


def windows(*spans: tuple[int, int], symbol: str = "AEMD", wave: str = "RTH") -> pl.DataFrame:
    rows = [(f"e{number}", symbol, wave, at(start), at(end)) for number, (start, end) in enumerate(spans)]
    return pl.DataFrame(rows, schema=WINDOWS, orient="row")


def published(*spans: tuple[int, int]) -> pl.DataFrame:
    rows = [("AEMD", "PM", at(start), at(end), f"{start}_{end}") for start, end in spans]
    return pl.DataFrame(
        rows,
        schema={**{name: WINDOWS[name] for name in ("symbol", "wave", "start", "end")}, "path": pl.String},
        orient="row",
    )


def minutes(frame: pl.DataFrame, *columns: str) -> list[tuple[int, ...]]:
    since = frame.select((pl.col(name) - DAY).dt.total_minutes() for name in columns)
    return since.rows()


def test_windows_that_overlap_or_touch_are_one_span() -> None:
    spans = merge_windows(windows((0, 10), (5, 15), (15, 20), (21, 30)))
    assert minutes(spans, "start", "end") == [(0, 20), (21, 30)]
    assert spans["events_merged"].to_list() == [["e0", "e1", "e2"], ["e3"]]


def test_a_long_window_reaches_over_short_ones() -> None:
    assert minutes(merge_windows(windows((0, 30), (5, 10), (20, 25), (29, 40))), "start", "end") == [(0, 40)]


def test_waves_and_symbols_are_never_merged() -> None:
    frame = pl.concat([windows((0, 10)), windows((5, 15), wave="AH"), windows((5, 15), symbol="BRK.B")])
    assert merge_windows(frame).height == 3


def test_a_window_is_covered_by_spans_that_touch() -> None:
    wanted = windows((2, 18), (2, 21), (40, 50))
    assert uncovered_windows(wanted, published((0, 10), (10, 20)))["event_id"].to_list() == ["e1", "e2"]


def test_a_gap_of_a_minute_covers_nothing() -> None:
    assert uncovered_windows(windows((2, 18)), published((0, 10), (11, 20))).height == 1


def test_tiles_give_each_moment_to_one_span() -> None:
    assert minutes(cut_tiles(published((0, 10), (5, 20), (6, 8), (30, 40))), "tile_start", "tile_end") == [
        (0, 10),
        (10, 20),
        (30, 40),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=8),
)
def test_a_covered_window_is_put_together_without_gap_or_overlap(
    wanted: list[tuple[int, int]], spans: list[tuple[int, int]]
) -> None:
    frame = windows(*((start, start + length) for start, length in wanted))
    there = published(*((start, start + length) for start, length in spans))
    covered_minutes = {minute for start, length in spans for minute in range(start, start + length)}
    expected = {
        f"e{number}"
        for number, (start, length) in enumerate(wanted)
        if not set(range(start, start + length)) <= covered_minutes
    }
    missing = uncovered_windows(frame, there)
    assert set(missing["event_id"]) == expected
    for event_id, parts in cut_pieces(frame.join(missing, on="event_id", how="anti"), there).group_by("event_id"):
        start, length = wanted[int(str(event_id[0])[1:])]
        pieces = minutes(parts.sort("piece_start"), "piece_start", "piece_end")
        together = [minute for first, last in pieces for minute in range(first, last)]
        assert together == list(range(start, start + length))
