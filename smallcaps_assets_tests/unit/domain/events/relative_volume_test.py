"""The baseline of `rvol_day`: at most 20 days, of the 60 sessions before, at least 5 of them."""

from collections.abc import Sequence
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.features import DAILY, relative_volume
from smallcaps_assets.domain.imports.bar_facts import bar_facts
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.pipeline.calendar import calendar_days, sessions_and_earlier, sessions_between
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests import slow_spec
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat

SETTINGS = default_settings()
TABLE = sessions_between(date(2025, 1, 2), date(2025, 12, 31), SETTINGS.sessions)
SESSIONS = TABLE["date"].to_list()


def rvol_at(at: int, before: Sequence[tuple[int, float]], today: float = 600.0) -> float | None:
    """`rvol_day` of the session numbered `at`, after days of these numbers and dollar volumes."""
    rows = [("AEMD", SESSIONS[number], usd) for number, usd in [*before, (at, today)]]
    found = relative_volume(pl.DataFrame(rows, DAILY, orient="row"), TABLE, SETTINGS.features)
    assert found["day"].to_list() == [day for _, day, _ in rows]
    value: float | None = found["rvol_day"][-1]
    return value


def test_the_sixtieth_session_before_is_the_last_that_counts() -> None:
    # 5 days of 100, 200, 300, 400 and 500: a mean of 300
    days = [(0, 100.0), (1, 200.0), (2, 300.0), (3, 400.0), (4, 500.0)]
    assert rvol_at(60, days) == 600 / 300
    # the first of them is 61 sessions back: 4 are left, which are too few
    assert rvol_at(61, days) is None
    # with a fifth later on the mean is that of 200, 300, 400, 500 and 600
    assert rvol_at(61, [*days, (60, 600.0)]) == 600 / 400
    assert rvol_at(62, [*days, (60, 600.0)]) is None


def test_of_more_than_twenty_days_the_most_recent_count() -> None:
    # 1 to 21: the mean of 2 to 21 is 11.5
    assert rvol_at(59, [(number, number + 1.0) for number in range(21)], today=23.0) == 2.0
    assert rvol_at(59, [(number * 2, number + 1.0) for number in range(21)], today=23.0) == 2.0


@pytest.mark.parametrize(("days", "rvol"), [(4, None), (5, 2.0)])
def test_fewer_than_five_days_are_no_baseline(days: int, rvol: float | None) -> None:
    assert rvol_at(30, [(number * 3, 300.0) for number in range(days)]) == rvol


def test_days_of_another_symbol_are_no_baseline() -> None:
    # the last sessions of the calendar, and then its first
    days = {"A": SESSIONS[-6:], "B": SESSIONS[:6], "C": SESSIONS[:6]}
    rows = [(symbol, day, float(ord(symbol))) for symbol in days for day in days[symbol]]
    found = relative_volume(pl.DataFrame(rows, DAILY, orient="row"), TABLE, SETTINGS.features)
    assert found["rvol_day"].to_list() == [*[None] * 5, 1.0] * 3


def test_a_table_without_days_has_no_rows() -> None:
    assert relative_volume(DAILY.to_frame(), TABLE, SETTINGS.features).is_empty()


def test_the_days_of_an_earlier_owner_of_a_ticker_are_no_baseline() -> None:
    """Ten days of a small company in January, and the ticker's new owner in June; unknown for the first five days."""
    spike = [(10.0, 10.4, 10.0, 10.4, 200_000.0, 40)]
    january, june = (list(slow_spec.xnys(date(2025, month, 2), date(2025, month, 30)))[:10] for month in (1, 6))
    bars = pl.concat(
        [
            *(bars_from(f"{day} 10:00", [*flat(30, 1.0), (1.0, 1.04, 1.0, 1.04, 900_000.0, 40)]) for day in january),
            *(bars_from(f"{day} 10:00", flat(30) + spike) for day in june),
        ]
    )
    events = detect(bars, TABLE, SETTINGS.detection).events.filter(event_type="volume_spike")
    # each day of June trades 30 x 10 x 10,000 + 10.4 x 200,000 dollars
    assert events["rvol_day"].to_list() == [*[None] * 5, *[1.0] * 5] * 2
    slow = slow_spec.master(bars).filter(event_type="volume_spike")
    assert_frame_equal(events.select("date", "rvol_day"), slow.select("date", "rvol_day"), rel_tol=1e-9)


def test_facts_of_imported_events_have_the_same_baseline() -> None:
    days = [SESSIONS[number] for number in (0, 1, 2, 3, 4, 60, 61)]
    bars = pl.concat(bars_from(f"{day} 10:00", flat(40)) for day in days)
    facts = bar_facts(bars, TABLE, bars[39::40].select("symbol", "timestamp"), SETTINGS.features)
    assert facts["rvol_day"].to_list() == [*[None] * 5, 1.0, 1.0]
    # without the first day, the sixth has four to compare with and the seventh five
    later = bars.filter(days[0] < DAY)
    facts = bar_facts(later, TABLE, later[39::40].select("symbol", "timestamp"), SETTINGS.features)
    assert facts["rvol_day"].to_list() == [*[None] * 5, 1.0]


def test_the_bounds_are_settings() -> None:
    features = load_settings(overrides={"features": {"rvol_sessions": 9, "rvol_min_days": 2}}).features
    rows = [("AEMD", SESSIONS[number], usd) for number, usd in ((0, 100.0), (1, 300.0), (9, 400.0), (10, 400.0))]
    found = relative_volume(pl.DataFrame(rows, DAILY, orient="row"), TABLE, features)
    # the mean of 100 and 300, then that of 300 and 400, since the first is 10 sessions back
    assert found["rvol_day"].to_list() == pytest.approx([None, None, 400 / 200, 400 / 350])
    with pytest.raises(SettingsError, match="rvol_min_days 5 exceeds rvol_sessions 4: lower it"):
        load_settings(overrides={"features": {"rvol_sessions": 4}})


@pytest.mark.parametrize("sessions", [1, 5, 60, 250])
def test_the_calendar_reaches_back_far_enough_from_any_day(sessions: int) -> None:
    for first in (date(2025, 1, 2), date(2025, 9, 2), date(2001, 9, 21)):
        table = sessions_and_earlier(first, first, sessions, SETTINGS.sessions)
        assert table.filter(pl.col("date") < first).height >= sessions
        assert table["date"][0] >= first - calendar_days(sessions)
