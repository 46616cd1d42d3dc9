"""Flags of `smallcaps exchange` about flat files."""

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.commands.exchange import endpoint_names


def test_a_plan_may_lack_flat_files() -> None:
    assert endpoint_names("quotes,flat_files") == ["quotes", "flat_files"]
    with pytest.raises(ArgumentTypeError, match=r"'files' is none of .*splits, flat_files"):
        endpoint_names("files")


def test_a_folder_of_flat_files_must_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exchange", "--flat-files", str(tmp_path / "none")]) == 2
    assert "there is no such folder. Give one with us_stocks_sip/ in it." in " ".join(capsys.readouterr().err.split())
