"""`smallcaps detect --bars` on users' files: hidden copies, test symbols, prices in parts of a dollar."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

DAYS = sessions_between(date(2025, 11, 3), date(2025, 11, 12))
BARS = lively_bars(5, 1, DAYS).filter(DAY.is_in(DAYS))
ONE = BARS["symbol"][0]
PRICES = ("open", "high", "low", "close", "vwap")
Run = Callable[..., str]


@pytest.fixture(autouse=True)
def home(fresh_home: Path) -> Path:
    """A folder like a fresh clone, in which the test works beside its bars."""
    Path("in").mkdir()
    BARS.write_parquet("in/bars.parquet")
    return fresh_home


@pytest.fixture
def detect(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `smallcaps detect --bars in`; returns what it printed, to stderr if it is to fail."""

    def run(*arguments: str, code: int = 0) -> str:
        result = main(["detect", "--bars", "in", *arguments])
        output = capsys.readouterr()
        assert result == code, output.err
        return output.out if code == 0 else output.err

    return run


def events() -> pl.DataFrame:
    return pl.read_parquet("out.parquet")


def test_hidden_copies_find_no_events(detect: Run) -> None:
    assert "left out" not in detect("--out", "out.parquet")
    expected = events()
    assert expected.height > 5
    Path("in/.ipynb_checkpoints").mkdir()
    stale = BARS.with_columns(
        pl.when(pl.int_range(pl.len()) % 10 == 0).then(999_999.0).otherwise("volume").alias("volume")
    )
    stale.write_parquet("in/.ipynb_checkpoints/bars-checkpoint.parquet")
    text = detect("--out", "out.parquet")
    assert text.startswith(
        "left out 1 hidden file or backup copy, e.g. in/.ipynb_checkpoints/bars-checkpoint.parquet\n"
    )
    assert_frame_equal(events(), expected)


def test_test_symbols_are_named_and_have_no_events_unless_asked_for(detect: Run) -> None:
    for name in ("ZVZZT", "NTEST.A", "ZTST"):
        BARS.with_columns(symbol=pl.lit(name)).write_parquet(f"in/{name}.parquet")
    text = detect("--out", "out.parquet")
    assert (
        "3 test symbols of exchanges (NTEST.A, ZTST, ZVZZT): no events are made of them, unless --symbols-from" in text
    )
    assert events()["symbol"].unique().to_list() == [ONE]
    found = events().height
    figures = json.loads(detect("--compare", "out.parquet", "--json"))
    assert figures["test_symbols_left_out"] == ["NTEST.A", "ZTST", "ZVZZT"]
    Path("mine.csv").write_text("symbol\nZVZZT\n")
    assert "test symbol" not in detect("--out", "out.parquet", "--symbols-from", "mine.csv")
    assert events()["symbol"].to_list() == ["ZVZZT"] * found
    detect("--out", "out.parquet", "--set", "universe.symbols=[ZTST]")
    assert events()["symbol"].unique().sort().to_list() == sorted([ONE, "ZTST"])


def test_files_of_test_symbols_only_are_no_success(detect: Run) -> None:
    BARS.with_columns(symbol=pl.lit("ZVZZT")).write_parquet("in/bars.parquet")
    assert "1 test symbol of exchanges (ZVZZT)" in detect("--out", "out.parquet", code=2)


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64])
@pytest.mark.parametrize("name", ["bars.parquet", f"{ONE}.parquet"])
def test_prices_in_parts_of_a_dollar_are_asked_about(dtype: type[pl.DataType], name: str, detect: Run) -> None:
    detect("--out", "out.parquet")
    expected = events()
    Path("in/bars.parquet").unlink()
    whole = BARS.with_columns((pl.col(PRICES) * 10**9).round(0).cast(pl.Int64).cast(dtype))
    whole.write_parquet(f"in/{name}")
    message = detect("--out", "out.parquet", code=2)
    assert message.startswith(f"smallcaps detect: in/{name}: ")
    assert "give --price-scale 1e-9" in message
    detect("--out", "out.parquet", "--price-scale", "1e-9")
    assert_frame_equal(events(), expected)


def test_a_column_that_contradicts_its_folder_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in/ticker=ABCD").mkdir()
    BARS.head(3).write_parquet("in/ticker=ABCD/OHLCV.parquet")
    assert main(["detect", "--bars", "in", "--out", "out.parquet"]) == 1
    output = capsys.readouterr()
    message = f"in/ticker=ABCD/OHLCV.parquet: the path says symbol ABCD, the column symbol {ONE}. The 3 rows"
    assert message in output.err
    assert "3 the path says another symbol" in output.out


def test_a_scale_is_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "--out", "out.parquet", "--price-scale", "1e-9"]) == 2
    assert "--price-scale is the unit of files: give --bars PATH as well" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["detect", "--bars", "in", "--out", "out.parquet", "--price-scale", "100"])
    assert "argument --price-scale: '100' is not a number above 0 and up to 1, such as 1e-4" in capsys.readouterr().err
