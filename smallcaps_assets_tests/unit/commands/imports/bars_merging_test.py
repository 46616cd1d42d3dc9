"""Conflicts of imported bars with the lake and with each other: which bar is kept."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.imports.bar_tables import ROWS_AT_ONCE
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.scenarios import Row, bars_from
from smallcaps_assets_tests.unit.commands.imports.bar_imports import (
    FRI,
    FULL,
    MON,
    NOV,
    ONE,
    PRICES,
    ROWS,
    TUE,
    WED,
    doubled,
    importing,
    of_day,
    put,
    quarantined,
    stored,
    without,
)

CHEAPER: list[Row] = [(11.0, 11.5, 10.9, 11.2, 100.0, 7), ROWS[1]]


def there(lake: Lake) -> BarsStore:
    """A lake with Monday downloaded."""
    store = BarsStore(lake)
    store.add("AEMD", NOV, [MON, WED], bars_from("2025-11-03 09:30", ROWS), QUARANTINED_BARS.to_frame())
    return store


def differing() -> pl.DataFrame:
    """Monday: one minute that differs, one that agrees, one that is new."""
    return pl.concat([bars_from("2025-11-03 09:30", CHEAPER), bars_from("2025-11-03 09:40", ROWS[:1])])


@pytest.mark.parametrize("replace", [False, True])
def test_on_conflict_decides_which_of_two_different_bars_is_kept(replace: bool, lake: Lake, brought: Path) -> None:
    store = there(lake)
    put(brought / "bars.parquet", differing())
    figures = importing(lake, brought, replace=replace).figures
    assert {name: figures[f"bars_{name}"] for name in ("new", "equal", "differing", "replaced")} == {
        "new": 1,
        "equal": 1,
        "differing": 1,
        "replaced": int(replace),
    }
    first = differing().head(1) if replace else bars_from("2025-11-03 09:30", ROWS[:1])
    assert_frame_equal(
        store.read("AEMD"), pl.concat([first, bars_from("2025-11-03 09:31", ROWS[1:]), differing().tail(1)])
    )
    assert store.covered("AEMD") == {MON, WED}


@pytest.mark.parametrize("replace", [False, True])
def test_missing_columns_and_32_bit_rounding_are_not_conflicts(replace: bool, lake: Lake, brought: Path) -> None:
    store = there(lake)
    before = files_below(lake.bars("AEMD"))
    narrow = bars_from("2025-11-03 09:30", ROWS).with_columns(
        pl.col(pl.Float64).cast(pl.Float32), transactions=pl.lit(None)
    )
    put(brought / "bars.parquet", narrow.with_columns(vwap=pl.lit(None)))
    assert importing(lake, brought, replace=replace).figures["bars_equal"] == 2
    assert_frame_equal(store.read("AEMD"), bars_from("2025-11-03 09:30", ROWS))
    # the file now records the import, and nothing else changed
    assert files_below(lake.bars("AEMD")).keys() == before.keys()


@pytest.mark.parametrize("replace", [False, True])
def test_missing_values_are_filled_in_from_an_equal_bar(replace: bool, lake: Lake, brought: Path) -> None:
    whole = bars_from("2025-11-03 09:30", FULL[:4])
    half = pl.concat([without(whole[:2], "vwap"), without(whole[2:], "transactions")])
    put(brought / "1" / "bars.parquet", half)
    importing(lake, brought / "1")
    # the second differs in its volume and the fourth in its vwap; transactions are missing
    later = pl.concat([whole[:3], whole[3:].with_columns(pl.col("vwap") + 1)])
    later = later.with_columns(volume=pl.when(pl.int_range(4) == 1).then(9.0).otherwise("volume"))
    put(brought / "2" / "bars.parquet", without(later, "transactions"))
    figures = importing(lake, brought / "2", replace=replace).figures
    assert [figures[f"bars_{name}"] for name in ("equal", "filled", "differing")] == [2, 1, 2]
    other = pl.concat([without(later[1:2], "transactions"), half[2:3], without(later[3:], "transactions")])
    expected = pl.concat([whole[:1], other if replace else half[1:]])
    assert_frame_equal(stored(lake), expected)
    put(brought / "3" / "bars.parquet", whole[3:])
    assert importing(lake, brought / "3").figures["bars_filled"] == int(not replace)


def two_files(brought: Path, layout: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same minutes at other prices. Minutes between the first and the last have other columns."""
    first, second = of_day(MON), of_day(MON).with_columns(pl.col(*PRICES) * 2)
    put(brought / layout.format("a"), first)
    put(brought / layout.format("b"), first.with_columns(pl.col(*PRICES) * 3, extra=pl.lit(1)))
    put(brought / layout.format("c"), second[:90])
    put(brought / layout.format("d"), second[90:])
    return first, second


SEVERAL = ["symbol=AEMD/{}.parquet", "{}.parquet", "{}.csv"]


@pytest.mark.parametrize("layout", SEVERAL)
@pytest.mark.parametrize("at_once", [100, 180, ROWS_AT_ONCE])
def test_of_different_bars_in_one_import_the_first_or_last_is_kept(
    layout: str, at_once: int, lake: Lake, brought: Path
) -> None:
    first, second = two_files(brought, layout)
    kept = importing(lake, brought, rows_at_once=at_once, decided=True)
    assert not kept.problems
    assert_frame_equal(stored(lake), first)
    other = new_lake(lake.root.with_name("other"))
    assert not importing(other, brought, rows_at_once=at_once, decided=True, replace=True).problems
    assert_frame_equal(stored(other), second)


@pytest.mark.parametrize("layout", SEVERAL)
@pytest.mark.parametrize("at_once", [100, ROWS_AT_ONCE])
def test_different_bars_in_one_import_need_on_conflict(layout: str, at_once: int, lake: Lake, brought: Path) -> None:
    two_files(brought, layout)
    problem = " ".join(importing(lake, brought, rows_at_once=at_once).problems)
    assert "180 of the 180 minutes of AEMD on 2025-11-03 that" in problem or "of the 90 minutes of AEMD" in problem
    assert "--on-conflict keep" in problem
    assert stored(lake).is_empty() or at_once == 100
    assert not quarantined(lake)


def test_other_bars_of_a_minute_are_quarantined_and_copies_counted(lake: Lake, brought: Path) -> None:
    bars = of_day(MON)
    few = bars[:9].with_columns(doubled("AEMD"))
    put(brought / "symbol=AEMD" / "1.parquet", without(bars, "vwap"))
    put(brought / "symbol=AEMD" / "2.parquet", without(pl.concat([few, bars[9:]]), "transactions"))
    result = importing(lake, brought)
    assert not result.problems
    assert (result.figures["rows_repeated"], result.figures["rows_quarantined"]) == (171, 9)
    assert quarantined(lake) == {"symbol=AEMD/2025-11.parquet": {"another bar of a minute that has one": 9}}
    # missing values are filled in from the equal bar
    assert_frame_equal(stored(lake), pl.concat([without(bars[:9], "vwap"), bars[9:]]))


def test_a_session_with_imported_bars_is_covered(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", ONE.filter(DAY != MON))
    importing(lake, brought)
    assert BarsStore(lake).covered("AEMD") == {FRI, TUE}


@pytest.mark.parametrize("apart", [False, True])
def test_complete_files_cover_sessions_between_their_bars(apart: bool, lake: Lake, brought: Path) -> None:
    first = bars_from("2025-10-28 10:00", ROWS)
    if apart:  # in two files, imported one after the other
        put(brought / "1.parquet", first)
        put(brought / "2.parquet", bars_from("2025-11-04 10:00", ROWS))
    else:
        put(brought / "1.parquet", pl.concat([first, bars_from("2025-11-04 10:00", ROWS)]))
    importing(lake, brought, rows_at_once=2 if apart else ROWS_AT_ONCE, complete=True)
    between = {date(2025, 10, 28), date(2025, 10, 29), date(2025, 10, 30), FRI, MON, TUE}
    assert BarsStore(lake).covered("AEMD") == between
    before = files_below(lake.root)
    assert not importing(lake, brought, rows_at_once=2 if apart else ROWS_AT_ONCE, complete=True).figures
    assert files_below(lake.root) == before
