"""Timestamps of bar files in every form: read as the same minutes or rejected, but never guessed."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.imports.columns import require_timezone
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.imports.bar_tables import ROWS_AT_ONCE
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.scenarios import new_york
from smallcaps_assets_tests.unit.commands.imports.bar_imports import (
    BOTH,
    FRI,
    MON,
    NAIVE,
    ONE,
    STAMP,
    TUE,
    ZONE,
    importing,
    put,
    quarantined,
    stored,
)

TIMES: Mapping[str, tuple[pl.Expr, BarForm]] = {
    "zoned": (STAMP.dt.convert_time_zone("Asia/Tokyo").cast(pl.Datetime("ns", "Asia/Tokyo")), BarForm()),
    "zoned, ms": (STAMP.dt.convert_time_zone(ZONE).dt.cast_time_unit("ms"), BarForm()),
    "New York": (NAIVE, BarForm(ZONE)),
    "New York, ns": (NAIVE.dt.cast_time_unit("ns"), BarForm(ZONE)),
    "UTC": (STAMP.dt.replace_time_zone(None).dt.cast_time_unit("ms"), BarForm("UTC")),
    **{unit: (STAMP.dt.epoch(unit), BarForm(unit=unit)) for unit in ("s", "ms", "us", "ns")},  # type: ignore[arg-type, misc]
    "unsigned": (STAMP.dt.epoch("s").cast(pl.UInt32), BarForm(unit="s")),
    "end of the minute": (STAMP + timedelta(minutes=1), BarForm(labels="end")),
    "text with Z": (STAMP.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), BarForm()),
    "text with an offset": (STAMP.dt.convert_time_zone(ZONE).dt.strftime("%Y-%m-%d %H:%M:%S%:z"), BarForm()),
    "text with a short offset": (STAMP.dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m-%d %H:%M%z"), BarForm()),
    "text as of PostgreSQL": (STAMP.dt.strftime("%Y-%m-%d %H:%M:%S+00"), BarForm()),
    "text with an offset in hours": (
        STAMP.dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m-%dT%H:%M+09"),
        BarForm(ZONE),
    ),
    "text with an offset in hours to the west": (
        (STAMP - timedelta(hours=5)).dt.strftime("%Y-%m-%d %H:%M:%S.000-05"),
        BarForm(),
    ),
    "text without a zone": (NAIVE.dt.strftime("%Y-%m-%d %H:%M:%S"), BarForm(ZONE)),
    "text up to the minute": (NAIVE.dt.strftime(" %Y-%m-%d %H:%M "), BarForm(ZONE)),
    "text with a fraction": (NAIVE.dt.strftime("%Y-%m-%dT%H:%M:%S.000"), BarForm(ZONE)),
    "digits": (STAMP.dt.epoch("ms").cast(pl.String), BarForm(unit="ms")),
}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("kind", TIMES)
def test_every_timestamp_format_gives_the_same_bars(kind: str, suffix: str, lake: Lake, brought: Path) -> None:
    written, form = TIMES[kind]
    if suffix == "csv" and kind in {"New York", "New York, ns", "UTC"}:
        written = written.dt.strftime("%Y-%m-%d %H:%M:%S")
    put(brought / f"AEMD.{suffix}", ONE.drop("symbol").with_columns(timestamp=written))
    assert not importing(lake, brought, form).problems
    assert_frame_equal(stored(lake), ONE)
    # 09:30 in New York on both sides of the change of time
    assert stored(lake)["timestamp"][0] == datetime(2025, 10, 31, 13, 30, tzinfo=UTC)
    assert stored(lake)["timestamp"][2] == datetime(2025, 11, 3, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_ambiguous_and_nonexistent_local_times_are_quarantined(suffix: str, lake: Lake, brought: Path) -> None:
    twice, never = datetime(2025, 11, 2, 1, 30), datetime(2025, 3, 9, 2, 30)  # noqa: DTZ001 -- it has no zone
    nights = ONE.head(2).drop("symbol").with_columns(timestamp=pl.Series([twice, never]).cast(pl.Datetime("us")))
    named = pl.concat([ONE.drop("symbol").with_columns(timestamp=NAIVE), nights])
    put(brought / f"AEMD.{suffix}", named if suffix == "parquet" else named.with_columns(STAMP.dt.strftime("%F %T")))
    result = importing(lake, brought, BarForm(ZONE))
    assert_frame_equal(stored(lake), ONE)
    assert result.figures["rows_quarantined"] == 2
    assert quarantined(lake) == {"symbol=AEMD/undated.parquet": {"timestamp is missing or implausible": 2}}


@pytest.mark.parametrize("zone", ["EST", "Etc/GMT+5", "Etc/GMT+4", "America/Panama", "America/Puerto_Rico"])
def test_a_zone_without_summer_time_that_equals_new_york_in_winter_is_rejected(zone: str) -> None:
    with pytest.raises(InputError, match=f"--timezone {re.escape(zone)}: is without summer time.*America/New_York"):
        require_timezone(zone)


@pytest.mark.parametrize(
    "zone", [None, "UTC", "Etc/UTC", ZONE, "EST5EDT", "America/Halifax", "America/Phoenix", "Asia/Tokyo"]
)
def test_a_zone_that_differs_from_new_york_all_year_is_accepted(zone: str | None) -> None:
    require_timezone(zone)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (NAIVE, ["timestamp has no time zone", "--timezone"]),
        (NAIVE.dt.strftime("%Y-%m-%d %H:%M:%S"), ["'2025-10-31 09:30:00', has no time zone", "--timezone"]),
        (STAMP.dt.epoch("ms"), ["column timestamp is Int64", "--unit"]),
        (STAMP.dt.epoch("ms").cast(pl.String), ["column timestamp is 1761917400000", "--unit"]),
        (STAMP.dt.date(), ["column timestamp is Date"]),
        (STAMP.dt.epoch("s").cast(pl.Float64), ["column timestamp is Float64", "--unit"]),
        (STAMP.dt.epoch("s").cast(pl.Float32), ["column timestamp is Float32, not"]),
        (STAMP.dt.epoch("s").cast(pl.Decimal(20, 2)), ["column timestamp is Decimal(precision=20, scale=2)", "--unit"]),
    ],
)
def test_missing_time_zone_or_unit_is_never_guessed(
    written: pl.Expr, words: list[str], lake: Lake, brought: Path
) -> None:
    file = put(brought / "AEMD.parquet", ONE.drop("symbol").with_columns(timestamp=written))
    (problem,) = importing(lake, brought).problems
    for word in [str(file), *words]:
        assert word in problem
    assert stored(lake).is_empty()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", [pl.Float64(), pl.Decimal(20, 0), pl.Decimal(38, 2)])
def test_epoch_numbers_may_be_floats(kind: pl.DataType, unit: Any, lake: Lake, brought: Path) -> None:
    put(brought / "AEMD.parquet", ONE.drop("symbol").with_columns(timestamp=STAMP.dt.epoch(unit).cast(kind)))
    assert not importing(lake, brought, BarForm(unit=unit)).problems
    assert_frame_equal(stored(lake), ONE)


def test_fractional_epoch_numbers_are_quarantined(lake: Lake, brought: Path) -> None:
    half = STAMP.dt.epoch("s").cast(pl.Float64) + pl.when(pl.int_range(6) < 2).then(0.5).otherwise(0.0)
    put(brought / "1" / "AEMD.parquet", ONE.drop("symbol").with_columns(timestamp=half))
    assert importing(lake, brought / "1", BarForm(unit="s")).figures["rows_quarantined"] == 2
    assert_frame_equal(stored(lake), ONE[2:])
    assert quarantined(lake) == {"symbol=AEMD/undated.parquet": {"timestamp is missing or implausible": 2}}
    for number, beyond in enumerate((float("nan"), float("inf"), 1e300, -(2.0**63))):
        file = put(brought / str(number) / "AEMD.parquet", ONE.drop("symbol").with_columns(timestamp=pl.lit(beyond)))
        (problem,) = importing(lake, file, BarForm(unit="s")).problems
        assert f"timestamp {beyond!r} (Float64) in {file}" in problem


@pytest.mark.parametrize("scale", [0, 2])
def test_transactions_may_be_decimals(scale: int, lake: Lake, brought: Path) -> None:
    exact = ONE.with_columns(pl.col("transactions").cast(pl.Decimal(30, scale)))
    put(brought / "AEMD.parquet", exact.with_columns(pl.col("open").cast(pl.Decimal(12, 2))))
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), ONE)


def in_csv(written: pl.Expr, day: date) -> pl.DataFrame:
    return ONE.filter(day == DAY).drop("symbol").with_columns(timestamp=written)


AS_ISO, AS_DIGITS = STAMP.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), STAMP.dt.epoch("ms").cast(pl.String)
AS_CLOCK = NAIVE.dt.strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("first_and_others", "form", "words"),
    [
        ((AS_ISO, AS_CLOCK), BarForm(ZONE), "'2025-11-03 09:30:00', has no time zone"),
        ((AS_ISO, AS_DIGITS), BarForm(unit="ms"), "column timestamp is 1762180200000: since 1970, but in which unit"),
        ((AS_DIGITS, AS_CLOCK), BarForm(ZONE, "ms"), "has no time zone"),
    ],
)
def test_files_of_one_symbol_may_have_different_timestamp_formats(
    first_and_others: tuple[pl.Expr, pl.Expr], form: BarForm, words: str, lake: Lake, brought: Path
) -> None:
    folder, (first, others) = brought / "symbol=AEMD", first_and_others
    put(folder / "1.csv", in_csv(first, FRI))
    for name, day in (("2.csv", MON), ("3.csv", TUE)):
        put(folder / name, in_csv(others, day))
    result = importing(lake, brought, BarForm(unit=form.unit if "zone" in words else None))
    (problem,) = result.problems
    assert problem.startswith(f"{folder / '2.csv'}: ")
    assert words in problem
    assert "1 more file is like it" in problem
    assert_frame_equal(stored(lake), ONE.head(2))
    assert not quarantined(lake)
    assert not importing(lake, brought, form).problems
    assert_frame_equal(stored(lake), ONE)


def test_an_empty_first_file_does_not_hide_a_missing_time_zone(lake: Lake, brought: Path) -> None:
    folder = brought / "symbol=AEMD"
    put(folder / "0.csv", in_csv(AS_CLOCK, FRI).clear())
    put(folder / "1.csv", in_csv(AS_CLOCK, FRI))
    (problem,) = importing(lake, brought).problems
    assert f"{folder / '1.csv'}: column timestamp, such as '2025-10-31 09:30:00', has no time zone" in problem
    assert not files_below(lake.root)


@pytest.mark.parametrize("at_once", [2, ROWS_AT_ONCE])
def test_a_file_with_two_timestamp_formats_is_rejected(at_once: int, lake: Lake, brought: Path) -> None:
    put(brought / "bars.csv", pl.concat([BOTH[:6].with_columns(AS_ISO), BOTH[6:].with_columns(AS_CLOCK)]))
    (problem,) = importing(lake, brought, rows_at_once=at_once).problems
    assert "has no time zone" in problem
    assert not files_below(lake.root)
    importing(lake, brought, BarForm(ZONE), rows_at_once=at_once)
    assert_frame_equal(stored(lake), BOTH)


def test_a_wrong_unit_is_reported(lake: Lake, brought: Path) -> None:
    file = put(brought / "AEMD.parquet", ONE.drop("symbol").with_columns(timestamp=STAMP.dt.epoch("ms")))
    (problem,) = importing(lake, brought, BarForm(unit="us")).problems
    assert f"{file}: not one of 6 rows is a usable bar of a session. Check --timezone, --unit" in problem
    assert f"timestamp is missing or implausible; such as timestamp 1761917400000 (Int64) in {file}" in problem


@pytest.mark.parametrize(("label", "of"), [("us", "ms"), ("us", "ns"), ("ns", "us"), ("ms", "us")])
def test_times_whose_unit_contradicts_their_type_are_quarantined(
    label: Any, of: Any, lake: Lake, brought: Path
) -> None:
    """In 1970 if the type has a finer unit, else far in the future; the lake's type is `us`."""
    typed = pl.Datetime(label, "UTC")
    right, wrong = STAMP.cast(typed), STAMP.dt.epoch(of).cast(typed)
    bars = pl.concat([ONE.head(2).with_columns(wrong), ONE.tail(4).with_columns(right)])
    put(brought / "AEMD.parquet", bars.drop("symbol"))
    assert importing(lake, brought).figures["rows_quarantined"] == 2
    assert_frame_equal(stored(lake), ONE.tail(4))
    assert quarantined(lake) == {"symbol=AEMD/undated.parquet": {"timestamp is missing or implausible": 2}}


@pytest.mark.parametrize("form", [BarForm(), BarForm(ZONE, "ms")])
@pytest.mark.parametrize("at_once", [2, ROWS_AT_ONCE])
@pytest.mark.parametrize(
    "written",
    [
        NAIVE.dt.strftime("%m/%d/%Y %H:%M"),
        STAMP.dt.epoch("ms").cast(pl.Float64).cast(pl.String),
        NAIVE.dt.strftime("%Y-%m-%d %H:%M:%S EST"),
    ],
)
def test_unknown_timestamp_formats_are_reported(
    written: pl.Expr, at_once: int, form: BarForm, lake: Lake, brought: Path
) -> None:
    bars = BOTH.with_columns(timestamp=written)
    file = put(brought / "1.csv", bars)
    (problem,) = importing(lake, brought, form, rows_at_once=at_once).problems
    assert f"{file}: column timestamp, such as '{bars['timestamp'][0]}', is not a known timestamp format" in problem
    assert "Write times as YYYY-MM-DD HH:MM[:SS]" in problem
    assert "Check" not in problem
    assert not files_below(lake.root)


def test_an_unknown_timestamp_format_is_reported_once_and_stops_no_other_file(lake: Lake, brought: Path) -> None:
    folder = brought / "symbol=AEMD"
    put(folder / "1.csv", in_csv(AS_ISO, FRI))
    put(folder / "2.csv", in_csv(NAIVE.dt.strftime("%m/%d/%Y %H:%M"), MON))
    put(folder / "3.csv", in_csv(NAIVE.dt.strftime("%m/%d/%Y %H:%M"), TUE))
    (problem,) = importing(lake, brought).problems
    assert problem.startswith(f"{folder / '2.csv'}: column timestamp, such as '11/03/2025 09:30', is not a known")
    assert problem.endswith(f"1 more file is like it: {folder / '3.csv'}.")
    assert_frame_equal(stored(lake), ONE.head(2))
    assert not quarantined(lake)


def test_text_that_is_not_a_time_is_quarantined(lake: Lake, brought: Path) -> None:
    text = ["2025-11-03 09:30:00", "2025-11-03 09:31:00 EST", "soon", "2025-11-03 09:32:00.123", "2025-13-03 09:33:00"]
    bars = pl.concat([ONE.head(1)] * 5).drop("symbol").with_columns(timestamp=pl.Series(text))
    put(brought / "AEMD.csv", bars)
    figures = importing(lake, brought, BarForm(ZONE)).figures
    # they become one row, since the texts that distinguish them are not stored
    assert (figures["rows_quarantined"], figures["rows_copies"]) == (1, 3)
    assert quarantined(lake) == {"symbol=AEMD/undated.parquet": {"timestamp is missing or implausible": 1}}
    assert stored(lake)["timestamp"].to_list() == [new_york("2025-11-03 09:30")]
