from datetime import UTC, date, datetime

import pytest

from smallcaps_assets.simulated.hours import (
    business_day,
    date_at_ns,
    midnight_ns,
    to_ns,
    trading_dates,
    trading_day,
)


@pytest.mark.parametrize(
    ("day", "four_oclock_utc"),
    [
        (date(2025, 10, 31), datetime(2025, 10, 31, 8, tzinfo=UTC)),  # last session of summer time
        (date(2025, 11, 3), datetime(2025, 11, 3, 9, tzinfo=UTC)),
        (date(2026, 3, 6), datetime(2026, 3, 6, 9, tzinfo=UTC)),  # last session of winter time
        (date(2026, 3, 9), datetime(2026, 3, 9, 8, tzinfo=UTC)),
    ],
)
def test_the_day_begins_at_four_by_the_new_york_clock(day, four_oclock_utc):
    assert trading_day(day).start_ns == to_ns(four_oclock_utc)


def test_an_early_close_ends_regular_hours_at_one_and_the_day_at_five():
    session = trading_day(date(2025, 11, 28))
    assert (session.close, session.end) == (540, 780)
    assert (trading_day(date(2025, 11, 26)).close, trading_day(date(2025, 11, 26)).end) == (720, 960)


def test_holidays_and_weekends_are_no_sessions():
    assert trading_day(date(2025, 11, 27)) is None
    assert trading_day(date(2025, 11, 29)) is None
    assert trading_dates(date(2025, 11, 26), date(2025, 12, 1)) == [
        date(2025, 11, 26),
        date(2025, 11, 28),
        date(2025, 12, 1),
    ]
    assert trading_dates(date(2025, 11, 27), date(2025, 11, 27)) == []
    assert trading_dates(date(2025, 12, 1), date(2025, 11, 1)) == []


def test_business_days_are_consecutive_from_friday_to_monday():
    assert business_day(date(2025, 11, 10)) - business_day(date(2025, 11, 7)) == 1
    assert business_day(date(2025, 11, 11)) - business_day(date(2025, 11, 10)) == 1


def test_midnight_and_date_agree_in_both_clock_changes():
    for day in (date(2025, 11, 2), date(2025, 11, 3), date(2026, 3, 8), date(2026, 3, 9)):
        assert date_at_ns(midnight_ns(day)) == day
        assert date_at_ns(midnight_ns(day) - 1) < day
