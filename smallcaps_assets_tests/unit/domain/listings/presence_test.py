"""Days on which no security has a ticker, and the names that securities had before and after."""

from datetime import date

import polars as pl
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.coverage import STATES, without_absences
from smallcaps_assets.domain.listings.presence import absences, describe_renamed, name_notes, renamed
from smallcaps_assets_tests.unit.domain.listings.listing_scenes import listing, market

KNOWN = market(
    listing("OLDN", "2024-01-02", "2025-06-30", next_symbol="NEWN"),
    listing("NEWN", "2025-07-01", former_symbol="OLDN"),
    listing("REUSED", "2024-01-02", "2025-03-14"),
    listing("REUSED", "2025-06-02"),
    listing("OPEN", "2024-01-02", from_is_exact=False),
    listing("LOST", "2024-01-02", "2025-03-14", to_is_exact=False),
).listings


def day(text: str) -> date:
    return date.fromisoformat(text)


def test_no_security_is_listed_on_a_day_where_both_sides_are_exact() -> None:
    asked = [
        ("OLDN", "2025-06-30", False),
        ("OLDN", "2025-07-01", True),
        ("NEWN", "2025-06-30", True),
        ("REUSED", "2025-03-14", False),
        ("REUSED", "2025-05-30", True),
        ("REUSED", "2025-06-02", False),
        ("OPEN", "2023-12-29", False),
        ("LOST", "2025-06-02", False),
        ("STRANGER", "2025-06-02", False),
    ]
    rows = pl.DataFrame([(symbol, day(on)) for symbol, on, _ in asked], ["symbol", "day"], orient="row")
    assert absences(rows, KNOWN, "day").to_list() == [absent for _, _, absent in asked]
    assert absences(rows.clear(), KNOWN, "day").to_list() == []


def test_no_session_is_expected_of_nobody() -> None:
    # of REUSED: a session with bars, one that was never fetched, one that was and is empty, and one with bars
    rows = [
        ("REUSED", day("2025-03-14"), True, 5, None),
        ("REUSED", day("2025-03-17"), True, None, "missing"),
        ("REUSED", day("2025-03-18"), True, 0, "empty"),
        ("REUSED", day("2025-03-19"), True, 3, None),
        ("REUSED", day("2025-06-02"), True, None, "missing"),
    ]
    states = pl.DataFrame(rows, STATES, orient="row")
    found = without_absences(states, absences(states, KNOWN, "day"))
    kept = [rows[0], (*rows[2][:2], False, 0, None), (*rows[3][:2], False, 3, None), rows[4]]
    assert_frame_equal(found, pl.DataFrame(kept, STATES, orient="row"))


def test_the_other_names_of_a_security() -> None:
    rows = renamed(KNOWN, ["NEWN", "OLDN", "REUSED"])
    assert [describe_renamed(row) for row in rows.to_dicts()] == [
        "NEWN: OLDN before 2025-07-01",
        "OLDN: NEWN after 2025-06-30",
    ]
    assert renamed(KNOWN, ["REUSED"]).is_empty()


def test_what_a_page_says_of_an_event() -> None:
    events = [("1", "NEWN", "2025-08-01"), ("2", "OLDN", "2025-06-30"), ("3", "REUSED", "2025-08-01")]
    events += [("4", "REUSED", "2025-01-02"), ("5", "REUSED", "2025-05-01"), ("6", "STRANGER", "2025-05-01")]
    frame = pl.DataFrame(events, ["event_id", "symbol", "date"], orient="row")
    assert name_notes(frame, KNOWN) == {
        "1": "formerly OLDN",
        "2": "hindsight: NEWN after 2025-06-30",
        "3": "another company's ticker until 2025-03-14",
    }
