"""`smallcaps detect` with bars of another length than a minute: rejected, named, and told by the exit code."""

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.quality import NOT_A_MINUTE, QUARANTINED_BARS, reasons
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

DAYS = sessions_between(date(2025, 11, 3), date(2025, 11, 14))
MINUTES = lively_bars(5, 1, DAYS).filter(DAY.is_in(DAYS))
SYMBOL = MINUTES["symbol"][0]
STAMP = pl.col("timestamp")
FIVES = "bars of 5 minutes, not of one minute"


@pytest.fixture(autouse=True)
def home(fresh_home: Path) -> Path:
    Path("in").mkdir()
    return fresh_home


def five_minutes(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.filter(STAMP.dt.minute() % 5 == 0)


def detected(bars: pl.DataFrame, name: str = "clean") -> pl.DataFrame:
    """The events of clean bars."""
    folder = Path(name)
    folder.mkdir()
    bars.write_parquet(folder / "bars.parquet")
    assert main(["detect", "--bars", name, "--out", f"{name}.parquet"]) == 0
    return pl.read_parquet(f"{name}.parquet")


def test_one_session_of_five_minutes_is_rejected_and_the_others_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    is_wide = DAYS[5] == DAY
    wide = five_minutes(MINUTES.filter(is_wide))
    expected = detected(MINUTES.filter(~is_wide))
    pl.concat([MINUTES.filter(~is_wide), wide]).write_parquet("in/bars.parquet")
    capsys.readouterr()
    assert main(["detect", "--bars", "in", "--out", "e.parquet"]) == 1
    printed = capsys.readouterr()
    assert f"{wide.height} bars rejected and written to e.quarantine.parquet: {wide.height} {FIVES}" in printed.out
    assert printed.err == (
        f"in: {FIVES} ({SYMBOL} on 2025-11-10). None of these {wide.height} rows is used, they are "
        "quarantined: give bars of one minute.\n"
        f"in: 96 of {MINUTES.filter(~is_wide).height + 96:,} rows are bad, for the reasons above.\n"
    )
    assert_frame_equal(pl.read_parquet("e.parquet"), expected)
    assert reasons(pl.read_parquet("e.quarantine.parquet")) == {FIVES: wide.height}


def test_json_is_not_disturbed_by_what_was_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    is_wide = DAYS[5] == DAY
    wide = five_minutes(MINUTES.filter(is_wide))
    pl.concat([MINUTES.filter(~is_wide), wide]).write_parquet("in/bars.parquet")
    arguments = ["--bars", "in", "--compare", "config/config.yaml", "--json"]
    assert main(["detect", *arguments]) == 1
    assert json.loads(capsys.readouterr().out)["bars_set_aside"] == {FIVES: wide.height}


@pytest.mark.parametrize(
    ("step", "words"),
    [(pl.duration(minutes=0), FIVES), (pl.duration(seconds=59), NOT_A_MINUTE)],
    ids=["five minutes", "at second 59"],
)
def test_bars_none_of_which_is_a_minute_are_an_error(
    step: pl.Expr, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = five_minutes(MINUTES).with_columns(STAMP + step)
    bars.write_parquet("in/bars.parquet")
    assert main(["detect", "--bars", "in", "--out", "e.parquet"]) == 2
    message = capsys.readouterr().err
    assert f"no usable bar in {bars.height:,} requested rows ({bars.height:,} bars rejected" in message
    assert f"{bars.height:,} {words}" in message
    assert not Path("e.parquet").exists()


def test_minutes_beside_five_minutes_of_the_same_sessions_are_the_ones_that_count() -> None:
    """The file of five minutes comes first, and would win each fifth minute."""
    expected = detected(MINUTES)
    wide = five_minutes(MINUTES)
    for folder, named in (("in", True), ("mixed", False)):
        Path(folder, f"symbol={SYMBOL}" if named else ".").mkdir(parents=True, exist_ok=True)
        where = Path(folder, f"symbol={SYMBOL}" if named else ".")
        wide.with_columns(pl.col("volume") * 5).write_parquet(where / "5min.parquet")
        MINUTES.write_parquet(where / "minutes.parquet")
        assert main(["detect", "--bars", folder, "--out", f"{folder}.parquet"]) == 1
        assert_frame_equal(pl.read_parquet(f"{folder}.parquet"), expected)
        assert reasons(pl.read_parquet(f"{folder}.quarantine.parquet")) == {FIVES: wide.height}


def test_five_minutes_in_a_lake_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As an earlier release imported them."""
    lake = new_lake(tmp_path / "lake")
    is_wide = DAYS[5] == DAY
    bars = pl.concat([MINUTES.filter(~is_wide), five_minutes(MINUTES.filter(is_wide))]).sort("timestamp")
    BarsStore(lake).add(SYMBOL, date(2025, 11, 1), DAYS, bars, QUARANTINED_BARS.to_frame())
    assert main(["detect", "--lake", str(lake.root), "--out", "e.parquet"]) == 1
    assert f"{FIVES} ({SYMBOL} on 2025-11-10)" in capsys.readouterr().err
