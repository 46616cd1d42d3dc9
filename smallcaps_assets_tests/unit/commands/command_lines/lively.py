"""Lively bars, what is detected in them, and how commands are run on them."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.cli import main
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.pipeline.calendar import sessions_between as bounds_between
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

DAYS = sessions_between(date(2025, 11, 24), date(2025, 12, 1))
LIVELY = lively_bars(11, 2, DAYS).filter(DAY.is_in(DAYS))
DETECTED = detect(LIVELY, bounds_between(DAYS[0], DAYS[-1], default_settings().sessions), default_settings().detection)
OUTSIDE = DETECTED.counts["bars_outside_sessions"]
ONE, OTHER = LIVELY["symbol"].unique().sort().to_list()


ErrorOf = Callable[..., str]


def expected() -> pl.DataFrame:
    """MASTER of the lively bars."""
    return build_master(DETECTED.events, default_settings().cooldown)


def written(path: str = "events.parquet") -> pl.DataFrame:
    return pl.read_parquet(path)


def run_detect(bars: object, out: object = "events.parquet") -> None:
    assert main(["detect", "--bars", str(bars), "--out", str(out)]) == 0


def put(path: str, frame: pl.DataFrame) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


def config(home: Path, old: str, new: str) -> Path:
    text = (home / "config" / "config.yaml").read_text()
    assert old in text
    file = home / "other.yaml"
    file.write_text(text.replace(old, new, 1))
    return file
