"""`smallcaps import bars` and `smallcaps detect --bars` judge the same bars alike, also by their exit codes."""

import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.quality import NOT_A_MINUTE, reasons
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import bars_from, flat

DAYS = [date(2025, 11, day) for day in (10, 11, 12, 13, 14)]
MINUTES = pl.concat([bars_from(f"{day} 09:30", flat(390), "ABCD") for day in DAYS])
STAMP = pl.col("timestamp")
MINUTE_OF_DAY = STAMP.dt.hour().cast(pl.Int32) * 60 + STAMP.dt.minute()
HALVES = pl.concat([MINUTES, MINUTES.with_columns(STAMP + pl.duration(seconds=30))])
FIVES = MINUTES.filter(MINUTE_OF_DAY % 5 == 0)
SECONDS = pl.concat([MINUTES.head(60).with_columns(STAMP + pl.duration(seconds=second)) for second in range(60)])
# by name: the bars, what is rejected, and the exit code
CASES: dict[str, tuple[pl.DataFrame, dict[str, int], int]] = {
    "minutes": (MINUTES, {}, 0),
    "half minutes": (HALVES, {NOT_A_MINUTE: 1950}, 1),
    "stamped 59": (MINUTES.with_columns(STAMP + pl.duration(seconds=59)), {NOT_A_MINUTE: 1950}, 2),
    "seconds": (SECONDS, {NOT_A_MINUTE: 3540, "bars of seconds, not of one minute": 60}, 2),
    "five minutes": (FIVES, {"bars of 5 minutes, not of one minute": 390}, 2),
    "hours": (MINUTES.filter(MINUTE_OF_DAY % 60 == 30), {"bars of 1 hour, not of one minute": 35}, 2),
    "a session of five minutes": (
        pl.concat([MINUTES.filter(DAYS[2] != DAY), FIVES.filter(DAYS[2] == DAY)]),
        {"bars of 5 minutes, not of one minute": 78},
        1,
    ),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone as working directory; the environment is restored."""
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    for name in (
        *("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"),
        "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS",
    ):
        monkeypatch.setenv(name, "restored at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.long
def test_imports_and_detection_reject_the_same_rows_with_the_same_exit_code(home: Path) -> None:
    for name, (bars, rejected, code) in CASES.items():
        folder = home / name
        folder.mkdir()
        bars.sort("timestamp").write_parquet(folder / "b.parquet")
        lake, events = Lake(home / "lakes" / name), home / f"{name}.parquet"
        assert main(["detect", "--bars", str(folder), "--out", str(events)]) == code, name
        assert main(["import", "bars", str(folder), "--lake", str(lake.root)]) == code, name
        aside = events.with_name(f"{name}.quarantine.parquet")
        assert (reasons(pl.read_parquet(aside)) if aside.exists() else {}) == rejected, name
        quarantine = lake.quarantine / "bars" / "minute" / "symbol=ABCD" / "2025-11.parquet"
        assert (reasons(pl.read_parquet(quarantine)) if quarantine.exists() else {}) == rejected, name
        usable = bars.height - sum(rejected.values())
        assert BarsStore(lake).read("ABCD").height == usable, name
