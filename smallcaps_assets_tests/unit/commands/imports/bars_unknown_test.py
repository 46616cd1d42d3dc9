"""Imported counts of 0 or -1: they are unknown, they are counted, and a later import of the true ones fills them in."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.imports.bar_files import describe_absent
from smallcaps_assets_tests.scenarios import default_settings, sessions_of
from smallcaps_assets_tests.unit.commands.imports.bar_imports import NOV, importing, put, quarantined, stored
from smallcaps_assets_tests.unknown_counts import DAYS, NULL, TRUE, UNKNOWN, with_unknown

FLAT = {"symbol": "ticker", "timestamp": "window_start"}


def of_earlier_release(lake: Lake, bars: pl.DataFrame) -> BarsStore:
    """A lake in which an earlier release stored bars as they came."""
    store = BarsStore(lake)
    days = sorted(set(bars.select(DAY).to_series()))
    store.add("ABCD", NOV, days, bars, QUARANTINED_BARS.to_frame())
    return store


def types_detected(bars: pl.DataFrame) -> list[str]:
    events = detect(bars, sessions_of(DAYS[0], DAYS[-1]), default_settings().detection).events
    return events["event_type"].unique().to_list()


@pytest.mark.parametrize("value", [0, -1, 2**31 - 1])
@pytest.mark.parametrize("layout", ["bars.parquet", "bars.csv", "flat.csv.gz"])
def test_unknown_counts_are_null_and_counted(value: int, layout: str, lake: Lake, brought: Path) -> None:
    bars = with_unknown(value)
    if layout.startswith("flat"):
        bars = bars.with_columns(pl.col("timestamp").dt.epoch("ns")).rename(FLAT)
    put(brought / layout, bars)
    result = importing(lake, brought)
    assert not result.problems
    assert_frame_equal(stored(lake), NULL)
    assert result.figures["bars_new"] == TRUE.height
    assert result.figures["transactions_unknown"] == UNKNOWN
    assert result.figures["vwap_unknown"] == result.figures["rows_quarantined"] == 0
    # as counts, each minute of 60 trades would be six times as fast as the mean of those before it
    assert types_detected(stored(lake)) == []


def test_a_missing_count_is_not_counted(lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", NULL)
    assert importing(lake, brought).figures["transactions_unknown"] == 0


@pytest.mark.parametrize("value", [None, 0, -1])
@pytest.mark.parametrize("replace", [False, True])
def test_true_counts_fill_in_what_was_imported_as_unknown(
    value: int | None, replace: bool, lake: Lake, brought: Path
) -> None:
    put(brought / "1.parquet", with_unknown(value))
    importing(lake, brought)
    put(brought / "2.parquet", TRUE)
    result = importing(lake, brought / "2.parquet", replace=replace)
    assert not result.problems
    assert [result.figures[f"bars_{name}"] for name in ("new", "equal", "filled", "differing")] == [
        *(0, TRUE.height),
        *(UNKNOWN, 0),
    ]
    assert_frame_equal(stored(lake), TRUE)


@pytest.mark.parametrize("value", [0, -1])
def test_true_counts_fill_in_what_an_earlier_release_stored(value: int, lake: Lake, brought: Path) -> None:
    store = of_earlier_release(lake, with_unknown(value))
    before = store.fingerprints("ABCD")
    put(brought / "bars.parquet", TRUE.filter(pl.col("timestamp").dt.day() == 4))
    result = importing(lake, brought)
    assert not result.problems
    assert [result.figures[f"bars_{name}"] for name in ("new", "filled", "differing")] == [0, 325, 0]
    filled = [NULL, TRUE]
    expected = pl.concat([filled[day == DAYS[1]].filter(pl.lit(day).str.to_date() == DAY) for day in DAYS])
    assert_frame_equal(stored(lake), expected)
    after = store.fingerprints("ABCD")
    # only the session that changed is detected again
    assert [f"{day}" for day in before if before[day] != after[day]] == [DAYS[1]]


@pytest.mark.parametrize("value", [0, -1])
def test_the_same_file_again_changes_no_bar_of_an_earlier_release(value: int, lake: Lake, brought: Path) -> None:
    store = of_earlier_release(lake, with_unknown(value))
    before = store.fingerprints("ABCD")
    put(brought / "bars.parquet", with_unknown(value))
    figures = importing(lake, brought).figures
    assert [figures[f"bars_{name}"] for name in ("equal", "filled", "differing")] == [TRUE.height, 0, 0]
    assert figures["transactions_unknown"] == UNKNOWN
    assert store.fingerprints("ABCD") == before
    assert_frame_equal(stored(lake), NULL)


def test_a_count_known_in_another_file_is_not_counted(lake: Lake, brought: Path) -> None:
    put(brought / "symbol=ABCD" / "1.parquet", with_unknown(0))
    put(brought / "symbol=ABCD" / "2.parquet", TRUE[:390])
    figures = importing(lake, brought).figures
    assert figures["transactions_unknown"] == UNKNOWN - 325
    assert_frame_equal(stored(lake), pl.concat([TRUE[:390], NULL[390:]]))


def test_sessions_that_are_not_imported_are_not_counted(lake: Lake, brought: Path) -> None:
    bars = with_unknown(0)
    late = bars[:390].with_columns(pl.col("timestamp").dt.offset_by("52w"))
    put(brought / "bars.parquet", pl.concat([bars, late]))
    figures = importing(lake, brought).figures
    assert (figures["rows_not_over"], figures["transactions_unknown"]) == (390, UNKNOWN)


@pytest.mark.parametrize(
    ("values", "unknown"),
    [
        # a fraction, one that 64 bits cannot hold, and nothing at all; NaN is how tables without nulls say nothing
        (pl.Series([60.5, 1e19, None, float("nan"), 60.0, 61.0]), 2),
        (pl.Series([60.5, None, 3e9, 0.0, -1.0, 61.0], dtype=pl.Float32), 4),
        (pl.Series([2**64 - 1, 2**63, None, 0, 60, 61], dtype=pl.UInt64), 3),
        (pl.Series(["60.5", "0", None, "-1", "60", "61"]).cast(pl.Decimal(10, 1)), 3),
    ],
    ids=["Float64", "Float32", "UInt64", "Decimal"],
)
def test_a_count_that_is_none_is_unknown_and_counted(
    values: pl.Series, unknown: int, lake: Lake, brought: Path
) -> None:
    put(brought / "bars.parquet", TRUE[:6].with_columns(values.alias("transactions")))
    figures = importing(lake, brought).figures
    assert (figures["bars_new"], figures["transactions_unknown"], figures["rows_quarantined"]) == (6, unknown, 0)
    known = [60, 61] if values.dtype != pl.Float32 else [61]
    assert stored(lake)["transactions"].drop_nulls().to_list() == known


def test_a_count_in_text_that_is_none_is_unknown_and_counted(lake: Lake, brought: Path) -> None:
    counts = ["60.5", "n/a", "", "NaN", " 60 ", "-1"]
    vwaps = ["0", "n/a", "", "NaN", "10.01", "1e308"]
    lines = TRUE[:6].with_columns(pl.Series("transactions", counts), pl.Series("vwap", vwaps))
    put(brought / "bars.csv", lines)
    figures = importing(lake, brought).figures
    assert (figures["bars_new"], figures["transactions_unknown"], figures["vwap_unknown"]) == (6, 3, 3)
    assert stored(lake)["transactions"].to_list() == [None] * 4 + [60, None]
    assert stored(lake)["vwap"].to_list() == [None] * 4 + [10.01, None]


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), 1e308])
def test_an_unknown_vwap_is_null_and_counted(value: float, lake: Lake, brought: Path) -> None:
    put(brought / "bars.parquet", TRUE.with_columns(vwap=pl.lit(value)))
    figures = importing(lake, brought).figures
    assert (figures["bars_new"], figures["vwap_unknown"], figures["transactions_unknown"]) == (TRUE.height, 1950, 0)
    assert stored(lake)["vwap"].null_count() == TRUE.height
    put(brought / "bars.parquet", TRUE)
    assert importing(lake, brought).figures["bars_filled"] == TRUE.height
    assert_frame_equal(stored(lake), TRUE)


def test_a_row_without_a_time_leaves_the_quarantine_whatever_its_count(lake: Lake, brought: Path) -> None:
    bars = with_unknown(-1)[:20]
    put(brought / "bars.csv", bars)
    text = (brought / "bars.csv").read_text()
    stamps = [line.split(",")[1] for line in text.splitlines()[1:3]]
    (brought / "bars.csv").write_text(text.replace(stamps[0], "soon").replace(stamps[1], "later"))
    importing(lake, brought)
    assert quarantined(lake) == {"symbol=ABCD/undated.parquet": {"timestamp is missing or implausible": 2}}
    put(brought / "bars.csv", bars)
    importing(lake, brought)
    assert not quarantined(lake)


@pytest.mark.parametrize("absent", [("vwap",), ("transactions",), ("vwap", "transactions")])
def test_absent_columns_are_said_once(absent: tuple[str, ...], lake: Lake, brought: Path) -> None:
    for number in range(3):
        put(brought / "symbol=ABCD" / f"{number}.parquet", TRUE[650 * number : 650 * (number + 1)].drop(absent))
    result = importing(lake, brought)
    assert_frame_equal(stored(lake), TRUE.with_columns(pl.lit(None, BARS[name]).alias(name) for name in absent))
    lines = describe_absent(result.files.absent)
    assert [line.split(":")[0] for line in lines] == [f"3 files have no column {name}" for name in absent]
    assert result.figures["transactions_unknown"] == 0


@pytest.mark.parametrize("absent", [("vwap",), ("transactions",), ("vwap", "transactions")])
def test_columns_may_be_absent_beside_names_that_are_given(absent: tuple[str, ...], lake: Lake, brought: Path) -> None:
    names: dict[str, Any] = {"timestamp": "t", "open": "o", "transactions": "n", "vwap": "vw"}
    given = {ours: theirs for ours, theirs in names.items() if ours not in absent}
    put(brought / "bars.parquet", TRUE.drop(absent).rename(given))
    result = importing(lake, brought, BarForm(names=given))
    assert not result.problems
    assert result.figures["bars_new"] == TRUE.height
    assert set(result.files.absent) == set(absent)
