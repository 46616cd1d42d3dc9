"""Events that a run is compared with, looked up by batch."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.commands.detecting.comparison import EarlierEvents
from smallcaps_assets.domain.tables import EVENTS

# in order of time, as MASTER: a batch of symbols is not contiguous
ROWS = [
    ("B", "2025-01-02", "1"),
    ("A", "2025-01-02", "2"),
    ("C", "2025-01-02", "3"),
    ("A", "2025-01-03", "4"),
    ("B", "2025-01-03", "5"),
    ("A", "2025-01-06", "6"),
]


def events(rows: list[tuple[str, str, str]]) -> pl.DataFrame:
    known = pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.String, "event_id": pl.String}, orient="row")
    return known.match_to_schema(EVENTS, missing_columns="insert")


def days(*rows: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={"symbol": pl.String, "date": pl.String}, orient="row")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((("A", "2025-01-02"), ("A", "2025-01-06"), ("B", "2025-01-02")), ["1", "2", "6"]),
        ((("C", "2025-01-03"), ("D", "2025-01-02")), []),
        ((), []),
    ],
)
def test_events_of_days_are_those_of_symbol_and_date_in_their_order(
    asked: tuple[tuple[str, str], ...], expected: list[str]
) -> None:
    found = EarlierEvents(events(ROWS)).of_days(days(*asked))
    assert found.schema == EVENTS
    assert found["event_id"].to_list() == expected


def test_events_beyond_are_of_unknown_symbols_or_before_the_first_or_after_the_last_date() -> None:
    gained = [("A", "2025-01-01", "7"), ("A", "2025-01-05", "8"), ("D", "2025-01-03", "9"), ("D", "2025-02-01", "10")]
    assert EarlierEvents(events(ROWS)).count_beyond(events(gained)) == 3
    assert EarlierEvents(events(ROWS)).count_beyond(events([])) == 0


def test_without_earlier_events_every_event_is_beyond() -> None:
    none = EarlierEvents(events([]))
    assert none.count_beyond(events(ROWS)) == len(ROWS)
    assert_frame_equal(none.of_days(days(("A", "2025-01-02"))), events([]))
