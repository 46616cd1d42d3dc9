"""A file whose name is no text: one among many, which it does not stop."""

import os
import sys
from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.scenarios import bars_from, flat
from smallcaps_assets_tests.unit.commands.imports.window_imports import make_home


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_a_file_whose_name_is_no_text_stops_no_other_of_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = make_home(tmp_path, monkeypatch)
    folder = home / "mine"
    folder.mkdir()
    bars = bars_from("2025-11-05 10:00", flat(30, 10.03))
    bars.write_parquet(folder / "good.parquet")
    other = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.parquet"))
    (folder / "later.parquet").write_bytes((folder / "good.parquet").read_bytes())
    (folder / "good.parquet").rename(other)
    assert main(["import", "bars", str(folder), "--timezone", "UTC"]) == 1
    printed = capsys.readouterr()
    assert "caf" in printed.err
    assert "Traceback" not in printed.err
    (kept,) = (home / "lake" / "quarantine" / "unexpected").iterdir()
    assert str(kept) in printed.err
    assert BarsStore(Lake(home / "lake")).read("AEMD").height == 30
