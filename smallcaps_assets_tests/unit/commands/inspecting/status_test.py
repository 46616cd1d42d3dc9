"""`smallcaps status` names what needs a person's attention in lines that fit a terminal."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets_tests.scenarios import bars_from, flat

DAY = date(2025, 11, 26)


def follow(lake: Lake, *symbols: str) -> None:
    lake.root.mkdir(exist_ok=True)
    rows = pl.DataFrame({"symbol": symbols}).with_columns(active=pl.lit(value=True))
    UniverseStore(lake).replace(rows.match_to_schema(UNIVERSE, missing_columns="insert"), {})


def fetch(lake: Lake, symbol: str, bars: pl.DataFrame) -> None:
    BarsStore(lake).add(symbol, DAY.replace(day=1), [DAY], bars, QUARANTINED_BARS.to_frame())


@pytest.mark.parametrize(
    ("lacking", "line"),
    [
        (["BBB"], "1 symbol of the universe has no bars: BBB"),
        (["BBB", "CCC"], "2 symbols of the universe have no bars: BBB, CCC"),
        (
            [f"SYM{number:02}" for number in range(40)],
            "40 symbols of the universe have no bars: SYM00, SYM01, SYM02, SYM03 and 36 more",
        ),
        ([], None),
    ],
)
def test_symbols_without_bars_are_named_in_one_line(
    fresh_home: Path, capsys: pytest.CaptureFixture[str], lacking: list[str], line: str | None
) -> None:
    lake = Lake(fresh_home / "lake")
    follow(lake, "AAA", *lacking)
    fetch(lake, "AAA", bars_from(f"{DAY} 09:30", flat(5), "AAA"))
    assert main(["status"]) == 0
    found = [printed for printed in capsys.readouterr().out.splitlines() if "no bars" in printed]
    assert found == ([] if line is None else [line])
    assert all(len(printed) <= 80 for printed in found)


def test_a_symbol_of_which_the_vendor_has_no_bar_has_none(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = Lake(fresh_home / "lake")
    follow(lake, "AAA")
    fetch(lake, "AAA", BARS.to_frame())
    assert main(["status"]) == 0
    assert "1 symbol of the universe has no bars: AAA" in capsys.readouterr().out.splitlines()
