"""The review sheet as Dagster shows it, and the command that imports labels."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.commands.inspecting.report import profile_report
from smallcaps_assets.definitions import build_defs
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.review import ReviewStore
from smallcaps_assets.pipeline.review.review import Review
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import LATER, event, files_below, manifest_of
from smallcaps_assets_tests.demo.conftest import Home
from smallcaps_assets_tests.review_scenes import MANIFEST_ID, fill_lake, scene_manifest
from smallcaps_assets_tests.scenarios import default_settings

KEY = dg.AssetKey(["core", "review_sheet"])
EVENTS = scene_manifest()["event_id"].to_list()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A folder like a fresh clone whose lake holds the scene; the environment is restored afterwards."""
    made = Home.make(tmp_path / "home")
    fill_lake(made.lake)
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(made.folder))
    return made


def materialize(
    instance: dg.DagsterInstance, lake: Lake, overrides: Mapping[str, Any] | None = None
) -> dg.ExecuteInProcessResult:
    settings = load_settings(overrides={"lake": {"path": str(lake.root)}, **(overrides or {})})
    job = build_defs(settings).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, asset_selection=[KEY])


def make_sheet(lake: Lake) -> None:
    Review(lake, "core", default_settings()).make()


def metadata_and_check(result: dg.ExecuteInProcessResult) -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
    """Metadata and verdict of a materialization."""
    (materialized,) = result.asset_materializations_for_node("core__review_sheet")
    (evaluation,) = result.get_asset_check_evaluations()
    return {name: value.value for name, value in materialized.metadata.items()}, evaluation


def export(lake: Lake, path: Path, labels: Mapping[str, str | None], minute: int = 0, **changes: Any) -> Path:
    """A file of labels, as the page exports it."""
    document = {
        "format": "smallcaps review marks",
        "version": 1,
        "profile": "core",
        "manifest_id": MANIFEST_ID,
        "sample_id": ReviewStore(lake, "core").sheet(MANIFEST_ID).sample_id,
        "exported_at": "2025-12-03T10:00:00.000Z",
        "marks": {name: {"mark": label, "at": f"2025-12-03T09:{minute:02}:00.000Z"} for name, label in labels.items()},
    }
    path.write_text(json.dumps(document | changes), encoding="utf-8")
    return path


def test_the_sheet_is_materialized_and_labels_are_imported(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        metadata, check = metadata_and_check(materialize(instance, home.lake))
        assert metadata["page"] == home.lake.review_sheet("core", MANIFEST_ID).name
        assert check.description == "Not judged yet: none of 3 events is labeled yet. Required: at least 70 %."
        assert {row.data["% (95 % interval)"] for row in metadata["precision"].records} == {"-"}
        assert (metadata["dagster/row_count"], metadata["marked"], metadata["events without bars"]) == (3, 0, 1)
        assert (check.check_name, check.passed, check.severity) == ("precision", False, dg.AssetCheckSeverity.WARN)
        assert metadata["review"] == "not judged: none of 3 events is labeled yet. Required: at least 70 %."
        published = files_below(home.lake.root)
        materialize(instance, home.lake)
        assert {name: content for name, (_, content) in files_below(home.lake.root).items()} == {
            name: content for name, (_, content) in published.items()
        }

        first = export(home.lake, tmp_path / "first.json", {EVENTS[0]: "good", EVENTS[1]: "bad"})
        assert main(["review", str(first)]) == 0
        assert "not judged: 1 of 3 labels are missing; precision 50.0 %" in capsys.readouterr().out
        # another reviewer later labels the second event good
        more = export(home.lake, tmp_path / "more.json", {EVENTS[1]: "good", EVENTS[2]: "bad"}, minute=5)
        for _ in range(2):
            assert main(["review", str(more)]) == 0
            output = capsys.readouterr().out
            assert "precision 66.7 % (95 % interval 20.8 to 93.9). Required: at least 70 %. Not met." in output
        assert len(list(home.lake.review_labels("core", MANIFEST_ID).iterdir())) == 2

        metadata, check = metadata_and_check(materialize(instance, home.lake, {"review": {"min_precision_pct": 60.0}}))
        assert check.passed
        assert metadata["marked"] == 3
        assert metadata["precision_pct"] == pytest.approx(66.67, abs=0.01)
        assert metadata["low_pct"] == pytest.approx(20.77, abs=0.01)
        whole = metadata["precision"].records[0].data
        assert (whole["good"], whole["% (95 % interval)"]) == ("2 of 3", "67 (21 to 94)")


def test_the_command_records_the_review_in_dagster(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sheet(home.lake)
    file = export(home.lake, tmp_path / "labels.json", dict.fromkeys(EVENTS, "bad"))
    assert main(["review", str(file), "--profile", "core"]) == 0
    output = capsys.readouterr().out
    assert "precision 0.0 % (95 % interval 0.0 to 56.1). Required: at least 70 %. Not met." in output
    assert "consolidation_break" in output
    with dg.DagsterInstance.get() as instance:
        (observed,) = instance.fetch_observations(KEY, limit=5).records
        assert observed.asset_observation
        assert observed.asset_observation.metadata["precision_pct"].value == 0.0
        key = dg.AssetCheckKey(KEY, "precision")
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
        evaluation = record.evaluation
        assert evaluation
        assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_status_shows_the_review(home: Home, tmp_path: Path) -> None:
    def line() -> str:
        text = profile_report(home.lake, "core", load_settings(overrides={}), LATER)
        return next(line for line in text.splitlines() if line.startswith("  review"))

    assert line() == "  review: no sheet yet, materialize core/review_sheet"
    make_sheet(home.lake)
    assert line() == f"  review of {MANIFEST_ID}: not judged: none of 3 events is labeled yet. Required: at least 70 %."
    assert main(["review", str(export(home.lake, tmp_path / "m.json", dict.fromkeys(EVENTS, "good")))]) == 0
    assert "precision 100.0 %" in line()
    # the sheet of the next manifest has no labels yet
    one = Selection(manifest_of(event("2025-11-05 10:10", event_id="another")), [], {})
    later = datetime(2025, 12, 4, tzinfo=UTC)
    manifests = ManifestStore.in_lake(home.lake, "core")
    manifests.freeze(one, config_hash="1" * 16, master_sha256="1" * 64, now=later)
    make_sheet(home.lake)
    assert line().startswith(f"  review of {MANIFEST_ID}: precision 100.0 %")


@pytest.mark.parametrize(
    "case",
    [
        ({}, {}, "marks is empty. Label events in the page, export again"),
        ({"nobody": "good"}, {}, "marks names 1 event outside sample"),
        ({EVENTS[0]: "fine"}, {}, f"marks.{EVENTS[0]}.mark = 'fine': Input should be 'good' or 'bad'"),
        ({EVENTS[0]: "good"}, {"profile": "gold"}, "profile = 'gold' is not one of core, plus, premium"),
        (
            {EVENTS[0]: "good"},
            {"manifest_id": "core_20251202_031501"},
            f"no review sheet of manifest core_20251202_031501; found: {MANIFEST_ID}",
        ),
        (
            {EVENTS[0]: "good"},
            {"sample_id": "f" * 16},
            f"sample_id = '{'f' * 16}', but the sheet of",
        ),
        ({EVENTS[0]: "good"}, {"profile": "plus"}, "profile = 'plus', not 'core'. Omit --profile"),
    ],
)
def test_wrong_labels_are_rejected_and_not_stored(
    home: Home,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: tuple[dict[str, str], dict[str, Any], str],
) -> None:
    labels, changes, words = case
    make_sheet(home.lake)
    before = files_below(home.lake.root)
    file = export(home.lake, tmp_path / "labels.json", labels, **changes)
    flags = ["--profile", "core"] if changes.get("profile") == "plus" else []
    assert main(["review", str(file), *flags]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"smallcaps review: {file}: ")
    assert words in error
    assert "\n" not in error
    assert files_below(home.lake.root) == before


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"<html>"])
def test_a_file_that_is_not_an_export_is_rejected(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    file = tmp_path / "labels.json"
    if content is not None:
        file.write_bytes(content)
    assert main(["review", str(file)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"smallcaps review: {file}: ")
    assert "Traceback" not in error
    assert not home.lake.review("core").exists()


def test_a_damaged_sample_is_named(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sheet(home.lake)
    file = export(home.lake, tmp_path / "labels.json", {EVENTS[0]: "good"})
    sample = home.lake.review_sheet("core", MANIFEST_ID).with_suffix(".json")
    for content in ("{", "[]", '{"events": 5, "sample_id": "x"}', "{}"):
        sample.write_text(content, encoding="utf-8")
        assert main(["review", str(file)]) == 2
        assert str(sample) in capsys.readouterr().err
