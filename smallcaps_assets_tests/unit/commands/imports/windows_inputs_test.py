"""`smallcaps import windows` on users' folders: hidden copies, symbols of paths and columns, prices in other units."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tables import TRADES
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import event, manifest_of, new_lake, trades_at
from smallcaps_assets_tests.scenarios import new_york
from smallcaps_assets_tests.unit.commands.imports.window_imports import (
    COVERAGE,
    freeze,
    ledger,
    make_home,
    run_import,
    tape_of,
)

pytestmark = pytest.mark.slow

# an id with the dot of a share class, which partitioned writers encode
EVENT = "BRK.B_flush_20251105_150000_0a1b2c3d"
WINDOW = manifest_of(event("2025-11-05 10:00", event_id=EVENT, symbol="BRK.B"))
MOMENTS = [new_york("2025-11-05 10:00"), new_york("2025-11-05 10:01")]
TRADED = trades_at(*MOMENTS).with_columns(exchange=pl.lit(4, pl.Int64), trade_id=pl.lit("t"))


@pytest.fixture(autouse=True)
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake with the manifest of one event."""
    lake = new_lake(make_home(tmp_path / "home", monkeypatch) / "lake")
    freeze(lake, WINDOW)
    return lake


def put(folder: Path, name: str, rows: pl.DataFrame = TRADED) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(path)
    return path


def stored(lake: Lake) -> pl.DataFrame:
    (frame,) = tape_of(lake).values()
    return frame


@pytest.mark.parametrize("key", ["symbol", "ticker", "Symbol"])
def test_encoded_folders_are_decoded(key: str, lake: Lake, tmp_path: Path) -> None:
    put(tmp_path / "old", f"{key}=BRK%2EB/event={EVENT.replace('.', '%2E')}/trades.parquet")
    output = run_import(tmp_path / "old", *COVERAGE)
    assert output["trades"]["adopted"] == 1
    assert_frame_equal(stored(lake), TRADED.select(*TRADES))


@pytest.mark.parametrize(
    ("name", "rows", "reason"),
    [
        (f"ticker=AEMD/event={EVENT}/trades.parquet", TRADED, "is in the folder of AEMD, but the event is of BRK.B"),
        (
            f"ticker=AEMD/symbol=BRK.B/event={EVENT}/trades.parquet",
            TRADED,
            "its path says different symbols, ticker=AEMD and symbol=BRK.B. Correct the names of the folders.",
        ),
        (
            f"{EVENT}_trades.parquet",
            TRADED.with_columns(Ticker=pl.lit("AEMD")),
            "its column Ticker says AEMD, but the event is of BRK.B",
        ),
    ],
)
def test_other_symbols_than_the_events_are_rejected(
    name: str, rows: pl.DataFrame, reason: str, lake: Lake, tmp_path: Path
) -> None:
    put(tmp_path / "old", name, rows)
    output = run_import(tmp_path / "old", *COVERAGE, code=1)
    assert [(row["file"], row["reason"]) for row in output["refused"]] == [(name, reason)]
    assert not tape_of(lake)


def test_a_column_may_repeat_the_symbol(tmp_path: Path) -> None:
    put(tmp_path / "old", f"{EVENT}_trades.parquet", TRADED.with_columns(symbol=pl.lit("brk.b"), sym=pl.lit(7)))
    assert run_import(tmp_path / "old", *COVERAGE)["trades"]["adopted"] == 1


def test_hidden_copies_are_left_out(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "old", f"event={EVENT}/trades.parquet")
    copy = put(tmp_path / "old", f".Trash/event={EVENT}/trades.parquet", TRADED.head(1))
    output = run_import(tmp_path / "old", *COVERAGE)
    assert (output["trades"]["files"], output["trades"]["rows"]) == (1, 2)
    assert f"left out 1 hidden file or backup copy, e.g. {copy}" in capsys.readouterr().err
    assert ledger(lake)[EVENT]["trades_adopted_from"] == [f"event={EVENT}/trades.parquet"]


def test_prices_in_other_units_are_rejected_with_the_likely_scale(lake: Lake, tmp_path: Path) -> None:
    scaled = TRADED.with_columns((pl.col("price") * 10**9).round(0).cast(pl.Int64))
    put(tmp_path / "old", f"{EVENT}_trades.parquet", scaled)
    (refused,) = run_import(tmp_path / "old", *COVERAGE, code=1)["refused"]
    assert "but the event's bar closes at 10.2. Most likely they are whole numbers of 1e-9 dollars" in refused["reason"]
    assert run_import(tmp_path / "old", *COVERAGE, "--price-scale", "1e-9")["trades"]["adopted"] == 1
    assert stored(lake)["price"].to_list() == [10.0, 10.01]
