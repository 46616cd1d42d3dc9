"""Keys and the folders that are listed: nothing between two days is missed, for any prefix."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.market_data.flat_files.keys import folders_of, remote_day, remote_key
from smallcaps_assets.simulated.bucket.files import GivenFiles
from smallcaps_assets.simulated.bucket.keys import DAYS, MINUTES, days_of_prefix, stored_day, stored_key

FIRST, LAST = date(2023, 11, 20), date(2026, 2, 10)
ALL = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
PREFIX = f"us_stocks_sip/{MINUTES}"
a_day = st.sampled_from(ALL)


@given(a_day, a_day)
def test_the_folders_of_a_range_hold_each_day_once(one: date, other: date) -> None:
    first, last = sorted((one, other))
    folders = list(folders_of(PREFIX, first, last))
    for day in ALL:
        if first <= day <= last:
            assert [folder for folder in folders if remote_key(PREFIX, day).startswith(f"{folder}/")] != []
    assert len({*folders}) == len(folders)
    whole_years = {day.year for day in ALL if date(day.year, 1, 1) >= first and date(day.year, 12, 31) <= last}
    months = {(day.year, day.month) for day in ALL if first <= day <= last and day.year not in whole_years}
    assert len(folders) == len(whole_years) + len(months)


@given(a_day)
def test_keys_of_both_sides_are_the_same(day: date) -> None:
    key = stored_key(MINUTES, day)
    assert key == remote_key(PREFIX, day)
    assert remote_day(PREFIX, key) == day
    assert stored_day(key) == (MINUTES, day)
    assert stored_day(f"{key}x") is None
    assert remote_day("us_stocks_sip/day_aggs_v1", key) is None


@given(a_day, st.integers(0, 60), st.sampled_from([MINUTES, DAYS]))
def test_a_prefix_finds_the_keys_that_begin_with_it(day: date, length: int, kind: str) -> None:
    prefix = stored_key(kind, day)[:length]
    every = [stored_key(each, some) for each in (DAYS, MINUTES) for some in ALL]
    found = [
        stored_key(each, some)
        for each, first, last in days_of_prefix(prefix, FIRST, LAST)
        for some in ALL
        if first <= some <= last
    ]
    assert {key for key in found if key.startswith(prefix)} == {key for key in every if key.startswith(prefix)}
    assert len(found) == len({*found})
    assert GivenFiles(dict.fromkeys(every, b"")).keys(prefix) == sorted(key for key in every if key.startswith(prefix))
