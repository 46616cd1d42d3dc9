"""`smallcaps manifest` on any master; errors in one paragraph."""

import json
import re
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.settings.settings import PROFILES
from smallcaps_assets_tests.conftest import event, files_below, master_of
from smallcaps_assets_tests.unit.commands.command_lines.lively import LIVELY, ErrorOf, config, put, run_detect

MASTER = master_of(*(event(f"2025-11-{day:02} 10:00", symbol=symbol) for day in (4, 5, 6) for symbol in ("A", "B")))


def run_manifest(*flags: str) -> None:
    assert main(["manifest", "--master", "master.parquet", "--profile", "core", *flags]) == 0


def test_settings_of_a_manifest_may_be_only_those_that_differ(capsys: pytest.CaptureFixture[str]) -> None:
    put("master.parquet", MASTER)
    Path("one.yaml").write_text("profiles: {core: {max_per_symbol: 1}}")
    run_manifest("--dry-run", "--config", "one.yaml")
    # of the three events of each of the two symbols
    assert re.search(r"^  max_per_symbol +2 +4$", capsys.readouterr().out, re.MULTILINE)


def test_a_manifest_is_frozen_and_its_funnel_printed(capsys: pytest.CaptureFixture[str]) -> None:
    put("master.parquet", MASTER.with_columns(extra=pl.lit(1)))
    run_manifest("--out", "chosen")
    manifest = ManifestStore(Path("chosen"), "core").load()
    assert manifest.schema == MANIFEST
    assert manifest.height == 6
    printed = capsys.readouterr().out
    for step in ("MASTER", "range_and_sessions", "max_per_symbol_day", "max_events"):
        assert re.search(rf"^  {step} +6\b", printed, re.MULTILINE)
    assert "  session  events      %\n" in printed
    assert "  RTH           6  100.0\n" in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if line.startswith("  "))
    sidecar = json.loads(next(Path("chosen").glob("core_*.json")).read_text())
    assert sidecar["manifest_id"] in printed
    before = files_below(Path("chosen"))
    run_manifest("--out", "chosen")
    assert files_below(Path("chosen")) == before


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    put("master.parquet", MASTER)
    run_manifest("--out", "chosen", "--dry-run")
    assert not Path("chosen").exists()
    assert "dry run: nothing written" in capsys.readouterr().out


def test_manifest_reads_the_output_of_detect() -> None:
    put("bars.parquet", LIVELY)
    run_detect("bars.parquet", "master.parquet")
    for profile in PROFILES:
        assert main(["manifest", "--master", "master.parquet", "--profile", profile, "--out", profile]) == 0
        assert ManifestStore(Path(profile), profile).load().schema == MANIFEST


def test_an_empty_master_is_accepted() -> None:
    put("master.parquet", MASTER.clear())
    run_manifest("--out", "chosen")
    assert ManifestStore(Path("chosen"), "core").load().is_empty()


@pytest.mark.parametrize(
    ("master", "words"),
    [
        (MASTER.drop("score", "event_group_id"), ["no column score, event_group_id"]),
        (MASTER.with_columns(pl.col("score").cast(pl.String)), ["score is String, not Float64"]),
        (MASTER.with_columns(score=pl.lit(float("nan"))), ["NaN score in 6 rows"]),
        (MASTER.with_columns(score=pl.lit(None, dtype=pl.Float64)), ["null score in 6 rows"]),
        (pl.concat([MASTER, MASTER.head(1)]), ["repeated event_id in 2 rows"]),
        (MASTER.with_columns(event_type=pl.lit("gap_up")), ["gap_up"]),
        (MASTER.with_columns(score=pl.lit(float("inf"))), ["score"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_master_with_invalid_rows_is_rejected(master: pl.DataFrame, words: list[str], error_of: ErrorOf) -> None:
    put("master.parquet", master)
    printed = error_of("manifest", "--master", "master.parquet", "--profile", "core", "--out", "chosen")
    assert "master.parquet" in printed
    for word in words:
        assert word in printed
    assert not Path("chosen").exists()


def test_an_invalid_date_is_rejected_if_dates_are_filtered(home: Path, error_of: ErrorOf) -> None:
    file = config(home, "first_date: null", "first_date: 2025-11-05")
    put("master.parquet", MASTER.with_columns(date=pl.lit("5 Nov 2025")))
    printed = error_of("manifest", "--master", "master.parquet", "--profile", "core", "--dry-run", "--config", file)
    assert "master.parquet" in printed
    assert "date" in printed


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_missing_master_is_named(dry: list[str], error_of: ErrorOf) -> None:
    Path("folder").mkdir()
    Path("text.parquet").write_text("no parquet")
    for named in ("nowhere.parquet", "text.parquet", "folder"):
        assert named in error_of("manifest", "--master", named, "--profile", "core", *dry)
    assert "nowhere.parquet: does not exist. Check the path." in error_of(
        "manifest", "--master", "nowhere.parquet", "--profile", "core", *dry
    )
    assert not Path("manifests").exists()


def test_a_manifest_folder_that_cannot_be_created_is_named(error_of: ErrorOf) -> None:
    put("master.parquet", MASTER)
    Path("file").write_text("no folder")
    printed = error_of("manifest", "--master", "master.parquet", "--profile", "core", "--out", "file/chosen")
    assert "cannot be written" in printed
