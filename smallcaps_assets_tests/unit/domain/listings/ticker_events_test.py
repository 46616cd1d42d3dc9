"""What ticker events say of renames, worked out by hand from the rows below."""

from datetime import date

import pytest

from smallcaps_assets.domain.listings.identity import Identity
from smallcaps_assets.domain.listings.inference import FactSpan, ListingSpan
from smallcaps_assets.domain.listings.renames import Rename, doubtful_renames, find_renames
from smallcaps_assets.domain.listings.ticker_events import Timeline, judge_rename, weigh_renames
from smallcaps_assets_tests.unit.domain.listings.scenes import sessions_between

SESSIONS = sessions_between(date(2025, 1, 2), date(2025, 3, 31))
BORDER = 20


def span(symbol: str, first: int, last: int | None, **identity: str | None) -> ListingSpan:
    known = Identity(**{"share_class_figi": None, "composite_figi": None, "cik": "0007", "name": None} | identity)
    end = len(SESSIONS) - 1 if last is None else last
    found = ListingSpan(symbol, known, first, end, first - 1 if first else None, None if last is None else last + 1)
    found.facts.append(FactSpan(first, is_exact=True, ticker_type="CS", exchange="XNAS", name=None))
    return found


def line(*changes: tuple[int, str], figi: str | None = None, cik: str | None = None) -> Timeline:
    """Changes so many sessions after the border."""
    return Timeline(SESSIONS[-1], figi, cik, tuple((SESSIONS[BORDER + at], to) for at, to in changes))


A, B = span("A", 0, BORDER - 1), span("B", BORDER, None)


@pytest.mark.parametrize(
    ("timeline", "expected"),
    [
        (line((-20, "A"), (0, "B")), True),
        # 5 sessions before the first of the two days next to the border, and 5 after the second
        (line((-20, "A"), (-6, "B")), True),
        (line((-20, "A"), (-7, "B")), None),
        (line((-20, "A"), (5, "B")), True),
        (line((-20, "A"), (6, "B")), None),
        (line((-20, "A"), (-10, "C"), (0, "B")), False),
        # the vendor repeats events
        (line((-20, "A"), (0, "B"), (1, "B")), True),
        (line((-20, "A"), (0, "B"), (3, "C")), True),
        # nothing before: a new company, where company and type are all there is
        (line((0, "B")), False),
        (line((-20, "A"), (0, "B"), cik="7"), True),
        (line((-20, "A"), (0, "B"), cik="8"), None),
        (line((-20, "A"), (0, "B"), (0, "C")), None),
        (line(), None),
    ],
)
def test_an_event_at_the_border_decides(timeline: Timeline, expected: bool | None) -> None:
    assert judge_rename(A, B, timeline, SESSIONS) is expected


def test_events_on_days_without_a_session_count_for_the_next_one() -> None:
    # session 20 is Monday, 3 February: its change is written for the Saturday before
    assert SESSIONS[BORDER] == date(2025, 2, 3)
    timeline = Timeline(SESSIONS[-1], None, None, ((date(2012, 5, 18), "A"), (date(2025, 2, 1), "B")))
    assert judge_rename(A, B, timeline, SESSIONS) is True
    # the first event is before the first session, where no border can be known
    early = Timeline(SESSIONS[-1], None, None, ((date(2012, 5, 18), "A"), (date(2024, 12, 31), "B")))
    assert judge_rename(span("A", 0, 1), span("B", 2, None), early, SESSIONS) is None


def test_with_a_composite_figi_only_another_former_ticker_denies() -> None:
    a, b = span("A", 0, BORDER - 1, composite_figi="F"), span("B", BORDER, None, composite_figi="F")
    assert judge_rename(a, b, line((0, "B"), figi="F"), SESSIONS) is None
    assert judge_rename(a, b, line((-9, "C"), (0, "B"), figi="F"), SESSIONS) is False
    # the FIGI of the answer counts before its CIK
    assert judge_rename(a, b, line((-9, "C"), (0, "B"), figi="G", cik="7"), SESSIONS) is None


def test_events_tell_two_classes_of_one_type_apart_and_name_what_to_ask_for() -> None:
    """A and AX end when B and BX begin: which became which is not known without events, and nothing is joined."""
    spans = [A, span("AX", 0, BORDER - 1), B, span("BX", BORDER, None)]
    assert find_renames(spans) == []
    assert doubtful_renames(spans) == [Rename(0, 2), Rename(0, 3), Rename(1, 2), Rename(1, 3)]
    assert weigh_renames(spans, SESSIONS, {}, {"A", "AX", "B", "BX"}).missing == ["B", "BX"]
    assert weigh_renames(spans, SESSIONS, {}, {"AX", "BX"}).missing == ["B", "BX"]
    assert weigh_renames(spans, SESSIONS, {}, {"C"}).missing == []
    found = weigh_renames(spans, SESSIONS, {"B": line((-20, "AX"), (0, "B"))}, {"A", "AX", "B", "BX"})
    assert (found.confirmed, found.denied) == ({Rename(1, 2)}, {Rename(0, 2)})
    # of the two that are left nothing else fits
    assert find_renames(spans, found.confirmed, found.denied) == [Rename(1, 2), Rename(0, 3)]
    assert found.missing == ["BX"]


def test_a_share_class_figi_leaves_no_doubt_and_a_composite_one_is_asked_for_by_itself() -> None:
    proved = [span("A", 0, BORDER - 1, share_class_figi="S"), span("B", BORDER, None, share_class_figi="S")]
    assert doubtful_renames(proved) == []
    composite = [span("A", 0, BORDER - 1, composite_figi="F"), span("B", BORDER, None, composite_figi="F")]
    assert weigh_renames(composite, SESSIONS, {}, {"B"}).missing == ["F"]
