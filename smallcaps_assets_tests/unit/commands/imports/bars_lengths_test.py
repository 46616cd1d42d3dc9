"""Bars of another length than a minute, and bars off the minute, in files that are imported."""

from datetime import date
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import NOT_A_MINUTE
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.unit.commands.imports.bar_imports import (
    MON,
    STAMP,
    TUE,
    WED,
    importing,
    of_day,
    put,
    quarantined,
    stored,
)

FIVES = "bars of 5 minutes, not of one minute"
HOURS = "bars of 1 hour, not of one minute"
MINUTES = pl.concat([of_day(day) for day in (MON, TUE, WED)])


def every(minutes: int, bars: pl.DataFrame = MINUTES) -> pl.DataFrame:
    """The bars that start at multiples of some minutes of the day."""
    return bars.filter((STAMP.dt.hour().cast(pl.Int32) * 60 + STAMP.dt.minute()) % minutes == 0)


def test_a_file_of_five_minutes_is_rejected_by_name(lake: Lake, brought: Path) -> None:
    file = put(brought / "AEMD.parquet", every(5))
    result = importing(lake, brought)
    assert stored(lake).is_empty()
    assert quarantined(lake) == {"symbol=AEMD/2025-11.parquet": {FIVES: 3 * 36}}
    (problem,) = result.problems
    assert problem == (
        f"{file}: {FIVES} (AEMD on 2025-11-03, AEMD on 2025-11-04, AEMD on 2025-11-05). None of these 108 rows is "
        "used, they are quarantined: give bars of one minute."
    )


def test_a_session_of_five_minutes_among_minutes_is_rejected_alone(lake: Lake, brought: Path) -> None:
    on_tuesday = STAMP.dt.date() == TUE
    put(brought / "AEMD.parquet", pl.concat([MINUTES.filter(~on_tuesday), every(5).filter(on_tuesday)]))
    result = importing(lake, brought)
    assert_frame_equal(stored(lake), MINUTES.filter(~on_tuesday))
    assert len(result.problems) == 1
    assert "(AEMD on 2025-11-04)" in result.problems[0]
    assert result.figures["bars_new"] == 2 * 180


def test_hours_in_files_by_day_are_rejected_though_each_has_few(lake: Lake, brought: Path) -> None:
    """Seven bars a day; files of minutes of other symbols beside them are imported."""
    days = [date(2025, 11, day) for day in (3, 4, 5)]
    hours = pl.concat([every(60, of_day(day, rows=180)) for day in days])
    assert hours.height == 3 * 3
    long = pl.concat([hours, *(hours.with_columns(STAMP + pl.duration(hours=3 * more)) for more in (1, 2))])
    for day in days:
        put(brought / "symbol=AEMD" / f"date={day}.parquet", long.filter(STAMP.dt.date() == day).sort("timestamp"))
        put(brought / "symbol=CRVO" / f"date={day}.parquet", of_day(day, "CRVO"))
    result = importing(lake, brought)
    assert stored(lake)["symbol"].unique().to_list() == ["CRVO"]
    assert quarantined(lake) == {"symbol=AEMD/2025-11.parquet": {HOURS: 27}}
    assert len(result.problems) == 1
    assert HOURS in result.problems[0]


def test_minutes_beside_five_minutes_of_the_same_session_are_the_ones_that_count(lake: Lake, brought: Path) -> None:
    """A folder with both: the file of five minutes comes first, and would win each fifth minute."""
    wide = every(5).with_columns(pl.col("volume") * 5)
    file = put(brought / "symbol=AEMD" / "5min.parquet", wide)
    put(brought / "symbol=AEMD" / "minutes.parquet", MINUTES)
    result = importing(lake, brought)
    assert_frame_equal(stored(lake), MINUTES)
    assert quarantined(lake) == {"symbol=AEMD/2025-11.parquet": {FIVES: 108}}
    (problem,) = result.problems
    assert problem.startswith(f"{file}: {FIVES} (AEMD on ")


def test_of_bars_of_seconds_none_is_kept_and_both_reasons_are_counted(lake: Lake, brought: Path) -> None:
    minutes = of_day(MON, rows=60)
    seconds = pl.concat([minutes.with_columns(STAMP + pl.duration(seconds=second)) for second in range(60)])
    put(brought / "AEMD.parquet", seconds.sort("timestamp"))
    result = importing(lake, brought)
    assert stored(lake).is_empty()
    reasons = {NOT_A_MINUTE: 3540, "bars of seconds, not of one minute": 60}
    assert quarantined(lake) == {"symbol=AEMD/2025-11.parquet": reasons}
    assert len(result.problems) == 1


def test_half_minutes_are_set_aside_and_the_minutes_among_them_are_used(lake: Lake, brought: Path) -> None:
    halves = pl.concat([MINUTES, MINUTES.with_columns(STAMP + pl.duration(seconds=30))]).sort("timestamp")
    put(brought / "AEMD.parquet", halves)
    result = importing(lake, brought)
    assert_frame_equal(stored(lake), MINUTES)
    assert quarantined(lake) == {"symbol=AEMD/2025-11.parquet": {NOT_A_MINUTE: MINUTES.height}}
    assert result.problems == []


def test_minutes_that_come_later_take_the_place_of_what_was_rejected(lake: Lake, brought: Path) -> None:
    put(brought / "AEMD.parquet", every(5))
    importing(lake, brought)
    put(brought / "AEMD.parquet", MINUTES)
    assert importing(lake, brought).problems == []
    assert_frame_equal(stored(lake), MINUTES)
    assert quarantined(lake) == {}


def test_a_thin_stock_is_imported(lake: Lake, brought: Path) -> None:
    """Nineteen bars on even minutes of each of three sessions, one of which has an odd gap as well."""
    thin = pl.concat([every(2, of_day(day)).head(19) for day in (MON, TUE, WED)] + [of_day(WED)[101:102]])
    put(brought / "AEMD.parquet", thin)
    assert importing(lake, brought).problems == []
    assert stored(lake).height == 58
