"""`smallcaps manifest --cohorts`: winning cohorts of a file select the events, without Dagster and without a lake."""

import re
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.commands.detecting.comparison import Baseline, Comparison
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_MEMBERS, COHORTS
from smallcaps_assets.domain.tables import FOLLOW_UP_MANIFEST
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import event, files_below, master_of

L2: Final = "L2|volume_spike|up|0930-1015"
KEYS: Final = {"as_of": date(2025, 11, 1), "label_spec": "15,1,1", "selection": "causal", "cohort_id": L2}
COHORT: Final = {**KEYS, "level": "L2", "n": 60, "mean": 0.004, "q_value": 0.02, "tested": 7, "winning": True}
MASTER: Final = master_of(
    event("2025-10-20 09:45", event_id="old", symbol="A"),
    event("2025-11-05 09:45", event_id="new", symbol="B"),
    event("2025-11-05 12:00", event_id="noon", symbol="C"),
)
ASKED: Final = ("--set", "profiles.plus.cohorts.as_of=2025-11-01")
COMMAND: Final = ("manifest", "--master", "master.parquet", "--profile", "plus")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MASTER, cohorts and their members in the working folder."""
    monkeypatch.chdir(tmp_path)
    MASTER.write_parquet("master.parquet")
    put_cohorts(COHORT)
    members = [{**KEYS, "event_id": "old", "part": "select"}]
    pl.DataFrame(members, schema=COHORT_MEMBERS).write_parquet("members.parquet")


def put_cohorts(*rows: dict[str, object]) -> None:
    pl.DataFrame(rows, schema=COHORTS, strict=False).write_parquet("cohorts.parquet")


def error_of(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main([*COMMAND, "--out", "out", *flags]) != 0
    return capsys.readouterr().err


def test_cohorts_of_a_file_select_and_are_kept_with_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    given = (*COMMAND, *ASKED, "--cohorts", "cohorts.parquet", "--cohort-members", "members.parquet", "--out", "out")
    assert main([*given]) == 0
    printed = capsys.readouterr().out
    assert f"cohorts at 2025-11-01 (15,1,1): 1 winning of 7 tested: {L2} (n 60, mean +40.0 bps, q 0.020)" in printed
    assert re.search(r"^  winning_cohorts +2 +1  2 of winning cohorts$", printed, re.MULTILINE)
    assert all(len(line) <= 80 for line in printed.splitlines() if line.startswith("  "))
    rows, sidecar = ManifestStore(Path("out"), "plus").current()
    assert rows.schema == FOLLOW_UP_MANIFEST
    assert sorted(rows.select("event_id", "cohort_id", "in_selection_sample").rows()) == [
        ("new", L2, False),
        ("old", L2, True),
    ]
    entry = sidecar["cohorts"]
    assert (entry["as_of"], entry["label_spec"], entry["top_n_per_month"]) == ("2025-11-01", "15,1,1", 200)
    assert (entry["winning"], entry["tested"], entry["profile"]) == ([L2], 7, "cohorts.parquet")
    assert (Path("out") / entry["file"]).is_file()
    before = files_below(Path("out"))
    assert main([*given]) == 0
    assert files_below(Path("out")) == before
    # other cohorts are another manifest, although settings and MASTER are the same
    put_cohorts({**COHORT, "mean": 0.005})
    assert main([*given]) == 0
    other = ManifestStore(Path("out"), "plus").sidecar()
    assert other["config_hash"] == sidecar["config_hash"]
    assert other["manifest_id"] != sidecar["manifest_id"]
    assert set(before.items()) - set(files_below(Path("out")).items()) == {
        (name, state) for name, state in before.items() if name == "current.json"
    }


def test_without_members_it_is_unknown_who_was_in_the_sample() -> None:
    assert main([*COMMAND, *ASKED, "--cohorts", "cohorts.parquet", "--out", "out"]) == 0
    rows = ManifestStore(Path("out"), "plus").load()
    assert dict(rows.select("event_id", "in_selection_sample").iter_rows()) == {"old": None, "new": False}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--cohorts", "cohorts.parquet"), "profiles.plus.cohorts is null, so no cohorts select"),
        (ASKED, "profiles.plus.cohorts: the events are selected by cohorts. Give their file with --cohorts"),
        ((*ASKED, "--cohorts", "nowhere.parquet"), "nowhere.parquet"),
        ((*ASKED, "--cohorts", "master.parquet"), "no column as_of, label_spec"),
        (
            ("--set", "profiles.plus.cohorts.as_of=2025-12-01", "--cohorts", "cohorts.parquet"),
            "has no cohorts as of 2025-12-01 of label spec 15,1,1. There are those of 2025-11-01 to 2025-11-01",
        ),
        (
            (*ASKED, "--set", "profiles.plus.cohorts.label_spec='5,1,1'", "--cohorts", "cohorts.parquet"),
            "of label spec 5,1,1. There are those of 2025-11-01",
        ),
        (
            ("--set", "profiles.plus.cohorts.as_of=2199-01-01", "--cohorts", "cohorts.parquet"),
            "as_of 2199-01-01 has not come yet",
        ),
        (("--set", "profiles.plus.cohorts.as_of=2025-11-02"), "as_of 2025-11-02 is not the first day of a month"),
        ((*ASKED, "--set", "profiles.plus.cohorts.label_spec=15"), "label_spec"),
        ((*ASKED, "--set", "profiles.plus.cohorts.top_n_per_month=0"), "greater than 0"),
        (("--set", "profiles.core.cohorts.as_of=2025-11-01"), "profiles.core.cohorts must be null"),
    ],
)
def test_cohorts_that_cannot_select_are_rejected(
    flags: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in error_of(capsys, *flags)
    assert not Path("out").exists()


def test_only_the_causal_sample_selects(capsys: pytest.CaptureFixture[str]) -> None:
    put_cohorts({**COHORT, "selection": "master"})
    assert "has no cohorts of the causal sample yet" in error_of(capsys, *ASKED, "--cohorts", "cohorts.parquet")


def test_a_comparison_of_settings_says_that_it_leaves_cohorts_out() -> None:
    settings = load_settings(overrides={"profiles": {"plus": {"cohorts": {"as_of": "2025-11-01"}}}})
    compared = Comparison(Baseline("A", None, MASTER.clear()), "B", settings)
    assert compared.document()["profiles_without_cohorts"] == ["plus"]
    assert "  plus: before winning cohorts select, which this comparison leaves out" in compared.text()
