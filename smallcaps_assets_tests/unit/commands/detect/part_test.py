"""`smallcaps detect` on part of the universe: days, symbols, samples, batches."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.commands.detecting.experiment import Experiment
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.pipeline.calendar import sessions_between as bounds_between
from smallcaps_assets.pipeline.imports.bar_files import BarReader
from smallcaps_assets.pipeline.imports.bars_by_symbol import BarsBySymbol
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between
from smallcaps_assets_tests.unit.commands.detect.lively_home import DAYS, LIVELY, SYMBOLS, RunDetect, master_with


def test_events_from_a_first_day_on_equal_those_of_a_full_run(run_detect: RunDetect) -> None:
    """Relative volumes need the 20 days before, and more calendar days for a symbol that skipped a session."""
    first, last = DAYS[22], DAYS[-2]
    run_detect("--bars", "bars.parquet", "--out", "part.parquet", "--first", first, "--last", last)
    part = pl.read_parquet("part.parquet")
    assert part.height > 20
    assert part["rvol_day"].null_count() == 0
    whole = master_with().filter(pl.col("date").is_between(pl.lit(f"{first}"), pl.lit(f"{last}")))
    assert_frame_equal(part, whole)
    traded = LIVELY.select("symbol", day=DAY).unique().filter(pl.col("day") < first).group_by("symbol").len()
    assert traded["len"].min() < 22


def test_events_after_months_without_bars_are_those_of_all_days(run_detect: RunDetect) -> None:
    """The baseline of relative volume reaches over the 19 sessions before the first day, and not over the 99 before."""
    parts = [(date(2025, 2, 3), date(2025, 3, 5)), (date(2025, 7, 29), date(2025, 8, 29)), (date(2025, 9, 29), DAYS[9])]
    days = [day for part in parts for day in sessions_between(*part)]
    bars = lively_bars(5, 2, days).filter(DAY.is_in(days))
    bars.write_parquet("bars.parquet")
    settings = default_settings()
    found = detect(bars, bounds_between(days[0], days[-1], settings.sessions), settings.detection)
    whole = build_master(found.events, settings.cooldown)
    for first, unknown in ((parts[1][0], True), (parts[2][0], False)):
        run_detect("--bars", "bars.parquet", "--out", "part.parquet", "--first", first)
        part = pl.read_parquet("part.parquet")
        assert_frame_equal(part, whole.filter(pl.col("date") >= f"{first}"))
        on_first = part.filter(pl.col("date") == part["date"].min())
        assert on_first["rvol_day"].is_null().all() == unknown


@pytest.mark.slow
def test_a_sample_is_reproducible_and_part_of_a_larger_one(run_detect: RunDetect) -> None:
    def drawn(*flags: object) -> set[str]:
        run_detect("--bars", "bars.parquet", "--out", "e.parquet", *flags)
        return set(pl.read_parquet("e.parquet")["symbol"])

    one, two = drawn("--sample", 1), drawn("--sample", 2)
    assert drawn("--sample", 1) == one < two
    assert drawn("--sample", 9) == set(SYMBOLS)
    assert {next(iter(drawn("--sample", 1, "--sample-seed", seed))) for seed in range(12)} == set(SYMBOLS)
    pl.concat([LIVELY, LIVELY.with_columns(symbol=pl.lit("NEW"))]).write_parquet("bars.parquet")
    assert len(drawn("--sample", 2) & two) >= 1


def test_symbols_are_read_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.csv").write_text(f"symbol\n{SYMBOLS[1]}\nNOBARS\n")
    flags = ["detect", "--bars", "bars.parquet", "--out", "e.parquet", "--symbols-from"]
    assert main([*flags, "mine.csv"]) == 0
    assert "1 of 2 symbols have no bars: NOBARS" in capsys.readouterr().err
    assert_frame_equal(pl.read_parquet("e.parquet"), master_with().filter(symbol=SYMBOLS[1]))
    assert main([*flags, "none.csv"]) == 2
    assert "none.csv: cannot be read" in capsys.readouterr().err
    Path("mine.csv").write_text("symbol\nNOBARS\n")
    assert main([*flags, "mine.csv"]) == 2
    assert "mine.csv: none of its symbols has bars" in capsys.readouterr().err


def test_batches_of_one_symbol_find_the_same_events_as_a_single_batch(tmp_path: Path) -> None:
    """Batches of one symbol, with one file for each day and two configurations."""
    for (day,), rows in LIVELY.group_by(DAY):
        Path("days").mkdir(exist_ok=True)
        rows.write_parquet(f"days/{day}.parquet")
    lowered = load_settings(overrides={"detectors": {"tape_speed": {"min_transactions": 20}}})
    files = BarsBySymbol.scan(BarReader(BarForm(), rows_at_once=1), sorted(Path("days").iterdir()), lambda _: None)
    experiment = Experiment(files, SYMBOLS, None, None, [default_settings(), lowered], None)
    (tmp_path / "scratch").mkdir()
    lines: list[str] = []
    batches = list(experiment.run(tmp_path / "scratch", lines.append))
    assert [batch.symbols for batch in batches] == [[symbol] for symbol in SYMBOLS]
    assert sum(batch.rows for batch in batches) == LIVELY.height
    for number, expected in enumerate((master_with(), master_with(detectors={"tape_speed": {"min_transactions": 20}}))):
        assert_frame_equal(pl.concat(batch.found[number].master for batch in batches), expected)
    assert lines[-1].startswith("symbols detected: 3 of 3 done, ")
