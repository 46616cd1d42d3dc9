"""Hidden files and backup copies in users' folders: nothing reads them, and each command says so."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.imports.windows import tape_files
from smallcaps_assets.simulated.replay.market import ReplayMarket
from smallcaps_assets_tests.unit.commands.imports.bar_imports import BOTH, ONE, importing, put, stored

STALE = ONE.with_columns(volume=pl.lit(999_999.0), close=pl.col("close") + 0.01)
COPIES = (
    ".ipynb_checkpoints/AEMD-checkpoint.parquet",
    ".Trash/AEMD.parquet",
    "__MACOSX/._AEMD.parquet",
    "AEMD.bak.parquet",
    "old~/AEMD.csv",
)


def test_stale_copies_do_not_win(lake: Lake, brought: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They sort before the file itself, and the first bar of a minute stays."""
    put(brought / "AEMD.parquet", ONE.drop("symbol"))
    for name in COPIES:
        put(brought / name, STALE)
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), ONE)
    hidden = brought / ".Trash" / "AEMD.parquet"
    assert f"left out 5 hidden files or backup copies, e.g. {hidden}" in capsys.readouterr().out


def test_a_copy_that_is_named_is_read(lake: Lake, brought: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(brought / ".Trash" / "AEMD.parquet", ONE)
    importing(lake, brought / ".Trash")
    assert_frame_equal(stored(lake), ONE)
    assert "left out" not in capsys.readouterr().out


def test_a_folder_of_hidden_files_only_is_not_empty_without_a_word(lake: Lake, brought: Path) -> None:
    put(brought / ".Trash" / "AEMD.parquet", ONE)
    with pytest.raises(InputError, match=r"file there \(left out 1 hidden file or backup copy, e\.g\. .*: name it to"):
        importing(lake, brought)


def test_copies_of_tape_are_no_tape(tmp_path: Path) -> None:
    names = ("symbol=AEMD/event=one/trades.parquet", "two_quotes.parquet")
    for name in (*names, f".Trash/{names[0]}", ".ipynb_checkpoints/two_quotes.parquet", "old.bak/one_trades.parquet"):
        put(tmp_path / name, pl.DataFrame())
    said: list[str] = []
    assert {file.path for file in tape_files(tmp_path, said.append)} == {tmp_path / name for name in names}
    assert said == [f"left out 3 hidden files or backup copies, e.g. {tmp_path / '.Trash' / names[0]}"]


def test_copies_are_not_replayed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path / "bars.parquet", BOTH)
    put(tmp_path / "bars~.parquet", STALE)
    market = ReplayMarket(tmp_path)
    first = ONE["timestamp"][0].date()
    served = market.bars("AEMD", first, first + timedelta(days=9))
    assert_frame_equal(served, ONE)
    assert f"left out 1 hidden file or backup copy, e.g. {tmp_path / 'bars~.parquet'}" in caplog.text
