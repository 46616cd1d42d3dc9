"""What `status`, `demo`, `ui` and `exchange` say of a lake, a port or a market; errors in one paragraph."""

import json
import os
import re
import socket
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.commands.services.services import _free_port
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.operations.nightly import BEHIND
from smallcaps_assets_tests.unit.commands.command_lines.lively import DAYS, LIVELY, ErrorOf, config, put


def test_status_of_an_empty_lake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--profile", "plus"]) == 0
    printed = capsys.readouterr().out
    assert "0 symbols" in printed
    assert "profile plus: no manifest yet" in printed
    assert "runs:   nothing runs now" in printed
    assert printed.splitlines()[-1] == (
        "next: `smallcaps demo`, or `smallcaps check`, then materialize universe in `smallcaps ui`"
    )
    assert not (tmp_path / "home" / ".dagster").exists(), "no state is created"
    assert "profile core" not in printed
    assert not (tmp_path / "home" / "lake").exists()


def test_status_shows_the_active_profile_first(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--config", str(config(home, "active_profile: core", "active_profile: premium"))]) == 0
    assert re.findall(r"profile (\w+)", capsys.readouterr().out) == ["premium", "core", "plus"]


def test_status_names_damaged_files(error_of: ErrorOf, tmp_path: Path) -> None:
    folder = tmp_path / "lake" / "manifests" / "core"
    folder.mkdir(parents=True)
    (folder / "current.json").write_text('{"manifest_id": "core_20251106_084837"}')
    assert "core_20251106_084837.json" in error_of("status", "--lake", "lake")
    (folder / "current.json").write_text("{")
    assert "current.json" in error_of("status", "--lake", "lake")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "--sessions", "1000000"], "--sessions"),
        (["status", "--replay", "nowhere"], "nowhere"),
        (["exchange", "--replay", "nowhere"], "nowhere"),
        (["exchange", "--require-key", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE: this environment variable is not set"),
        (["demo", "--lake", "file/lake", "--symbols", "1", "--sessions", "1"], "file/lake"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_unusable_flag_is_rejected(arguments: list[str], words: str, error_of: ErrorOf) -> None:
    Path("file").write_text("no folder")
    assert words in error_of(*arguments)


def test_status_counts_sessions_up_to_a_leap_day(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (home / "config" / "config.yaml").read_text()
    text = text.replace("first_session: 2025-10-22", "first_session: 2024-02-01")
    text = text.replace("last_session: 2025-12-01", "last_session: 2024-02-29")
    (home / "config" / "config.yaml").write_text(text)
    assert main(["status", "--sessions", "2"]) == 0
    assert "2 sessions expected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "danger"),
    [
        ("ui", "the web UI has no login: whoever reaches it can launch runs, wipe assets and read its logs"),
        ("ui --read-only", "the web UI has no login: whoever reaches it can read its logs"),
        ("exchange", "the exchange has no login: whoever reaches it can read its data"),
    ],
)
@pytest.mark.usefixtures("home")
def test_other_machines_are_let_in_with_consent_only(
    command: str, danger: str, error_of: ErrorOf, capsys: pytest.CaptureFixture[str]
) -> None:
    everywhere = [*command.split(), "--host", "0.0.0.0"]  # noqa: S104
    assert danger in error_of(*everywhere)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([*everywhere, "--open-to-network", "--port", str(taken.getsockname()[1])]) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: --host 0.0.0.0: ")
    assert danger in warning
    assert "uses this port" in error


@pytest.mark.parametrize("command", ["ui", "exchange"])
def test_a_port_in_use_is_named(command: str, error_of: ErrorOf) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in error_of(command, "--port", port)


@pytest.mark.parametrize("command", ["demo", "ui"])
def test_a_folder_without_dagster_yaml_is_rejected_with_a_remedy(home: Path, command: str, error_of: ErrorOf) -> None:
    (home / "dagster.yaml").unlink()
    words = f"{home / 'dagster.yaml'}: is missing. The folder that holds config/ also needs a dagster.yaml"
    port = ["--port", _free_port()] if command == "ui" else []
    assert words in error_of(command, "--lake", "lake", *port)
    assert not (home / ".dagster" / "dagster.yaml").exists()


def test_a_demo_does_not_write_to_the_lake_of_the_vendor(home: Path, error_of: ErrorOf) -> None:
    file = config(home, "kind: embedded", "kind: vendor")
    assert "give --lake DIR" in error_of("demo", "--config", file, "--symbols", "1", "--sessions", "1")


def test_the_planted_events_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exchange", "--truth", "--symbols", "3", "--first", "2025-11-26", "--last", "2025-11-28"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("symbol,date,event_type,direction,timestamp")
    assert {line.split(",")[1] for line in lines[1:]} <= {"2025-11-26", "2025-11-28"}
    assert len(lines) > 3


def test_what_is_planted_in_drill_is_listed(capsys: pytest.CaptureFixture[str], home: Path, error_of: ErrorOf) -> None:
    day = ["--symbols", "1", "--first", "2025-11-18", "--last", "2025-11-18"]
    for table, columns in (
        ("plants", "symbol,date,kind,start,end,rows"),
        ("sides", "symbol,timestamp,sequence_number,side"),
    ):
        assert main(["exchange", "--truth", table, *day]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == columns
        assert len(lines) > 30
        assert all(line.startswith("DRILL,") for line in lines[1:])
    file = config(home, "drill: true", "drill: false")
    assert "there is no DRILL in this market" in error_of("exchange", "--config", file, "--truth", "sides", *day)


def bars_for_replay() -> pl.DataFrame:
    first = datetime.fromisoformat("2025-11-26T15:00:00+00:00")
    return LIVELY.filter(pl.col("timestamp") >= first)


def test_a_replay_has_the_sessions_of_its_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    put("capture/bars.parquet", bars_for_replay())
    Path("lake").mkdir()
    assert main(["status", "--replay", "capture", "--lake", "lake"]) == 0
    days = bars_for_replay().select(DAY.unique()).to_series()
    expected_sessions = len([day for day in DAYS if days.min() <= day <= days.max()])  # type: ignore[operator]
    assert f"{expected_sessions} sessions expected" in capsys.readouterr().out
    overrides: dict[str, Any] = json.loads(os.environ["SMALLCAPS_OVERRIDES"])
    assert overrides["source"]["embedded"]["replay"] == str(tmp_path / "capture")


WHY = "see nightly_report"


@pytest.mark.parametrize(
    ("behind", "line"),
    [
        ([], "night:  no symbol is behind"),
        (
            [("BBB", 1, date(2025, 11, 26), 0, "no"), ("AAA", 2, date(2025, 11, 25), 0, "no")],
            "night:  2 behind (AAA, BBB), sessions are missing since 2025-11-25; " + WHY,
        ),
        (
            [(f"S{number}", 1, date(2025, 11, 26), 0, "no") for number in range(7)],
            "night:  7 behind (S0, S1, S2, S3, S4 and 2 more), sessions are missing since 2025-11-26; " + WHY,
        ),
        (
            [("AAA", 0, None, 3, "no")],
            "night:  1 behind (AAA), events of published sessions are missing; " + WHY,
        ),
    ],
)
def test_status_names_symbols_that_are_behind(
    home: Path, capsys: pytest.CaptureFixture[str], behind: list[tuple[Any, ...]], line: str
) -> None:
    report = Lake(home / "lake").nightly_report
    report.parent.mkdir(parents=True)
    pl.DataFrame(behind, schema=BEHIND, orient="row").write_parquet(report)
    assert main(["status"]) == 0
    assert line in capsys.readouterr().out.splitlines()


def test_an_unreadable_nightly_report_is_named(home: Path, error_of: ErrorOf) -> None:
    report = Lake(home / "lake").nightly_report
    report.parent.mkdir(parents=True)
    report.write_bytes(b"PAR1 no more")
    assert "nightly.parquet: is damaged" in error_of("status")
