"""`smallcaps coverage`: the summary, the holes, JSON, and what it advises."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.unit.pipeline.bars.coverage.covered import EXPECTED, publish_universe


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped settings with the history of these tests."""
    text = (REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8")
    changes = {
        "first_session: 2025-10-22": "first_session: 2025-10-27",
        "last_session: 2025-12-01": "last_session: 2025-11-10",
        "min_active_symbols: 30": "min_active_symbols: 2",
        "active_minutes_pct: 80.0": "active_minutes_pct: 50.0",
    }
    for before, after in changes.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "config.yaml"


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(mixed: Lake, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `smallcaps coverage` on the mixed lake; returns its exit code and output."""
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["coverage", "--config", str(config), "--lake", str(mixed.root), *arguments])
        return code, capsys.readouterr().out

    return run


def test_the_summary_is_followed_by_the_holes(command: Command) -> None:
    code, output = command()
    assert code == 0
    lines, between = output.splitlines(), "1 has no bar between sessions with bars"
    others = "expected of these are the sessions between the first bar and the last"
    assert lines[1:8] == [
        "expected: 11 sessions from 2025-10-27 to 2025-11-10",
        f"symbols:  5: 2 complete, 2 with holes, 1 without a bar; 1 is not followed: {others}",
        f"sessions: 25 of 40 symbol-sessions are published (62.5 %), 15 missing; {between}",
        "bars:     8,566; doubled volumes in 2 symbol-sessions (5 of 8 symbol-months have enough bars to tell)",
        "minutes:  5 of 3,120 regular minutes are missing for most active symbols",
        "prints:   no bar with a suspect high or low",
        "listing:  unknown of 2 symbols, whose sessions are expected from 2025-10-27 on",
    ]
    assert lines[8:] == [
        "minutes lost, New York:",
        "  date        from .. to      minutes  most symbols with a bar  active symbols",
        "  2025-11-05  10:30 .. 10:34        5                        0               3",
        "doubled volumes:",
        "  symbol  month    sessions  odd volumes  volumes",
        "  LATE    2025-11         2          384    1,316",
        "holes:",
        "  symbol  hole     from .. to                sessions",
        "  GAP     missing  2025-10-29 .. 2025-10-30         2",
        "  GAP     empty    2025-11-04 .. 2025-11-04         1",
        "  GAP     missing  2025-11-10 .. 2025-11-10         1",
        "  LEFT    missing  2025-10-28 .. 2025-10-28         1",
        "  NONE    missing  2025-10-27 .. 2025-11-10        11",
        "next: materialize minute_bars of GAP, NONE; only what is missing is fetched",
    ]


def test_with_strict_missing_sessions_are_an_error(command: Command) -> None:
    assert command("--strict", "--fast")[0] == 1
    code, output = command("--strict", "--symbol", "FULL", "--symbol", "LATE")
    assert code == 0
    assert "symbols:  2: 2 complete" in output
    assert "minutes:  too few active symbols to tell" in output
    assert "holes:" not in output
    assert "next:" not in output


def history_from(config: Path, day: str) -> None:
    text = config.read_text(encoding="utf-8")
    assert text.count("first_session: 2025-10-27") == 1
    config.write_text(text.replace("first_session: 2025-10-27", f"first_session: {day}"), encoding="utf-8")


def test_holes_before_the_history_are_shown(mixed: Lake, command: Command, config: Path) -> None:
    publish_universe(mixed)
    history_from(config, "2025-11-10")
    code, output = command("--strict", "--symbol", "FULL", "--symbol", "GAP", "--fast")
    assert code == 1
    lines = output.splitlines()
    assert lines[1] == "expected: from the first bar to the last of each symbol, as none of them is followed"
    assert lines[2].startswith(
        "earlier:  2 symbols have bars from 2025-10-27 on, before history.first_session 2025-11-10"
    )
    assert "set history.first_session to 2025-10-27 to fill the holes of followed symbols" in lines[2]
    assert lines[3] == "symbols:  2: 1 complete, 1 with holes, 0 without a bar; 2 are not followed"
    assert lines[4].startswith("sessions: 19 of 21 symbol-sessions are published (90.5 %), 2 missing; 1 has no bar")
    assert "  GAP     missing  2025-10-29 .. 2025-10-30         2" in lines
    assert "next:" not in output
    document = json.loads(command("--json", "--fast", "--symbol", "GAP")[1])
    assert [document[name] for name in ("first_bar_before_history", "symbols_before_history")] == ["2025-10-27", 1]


def test_no_materialization_is_advised_for_holes_before_the_history(command: Command, config: Path) -> None:
    history_from(config, "2025-11-04")
    _, output = command("--fast")
    # NONE misses sessions of the history, GAP one of them, LEFT is not followed
    assert "next: materialize minute_bars of GAP, NONE; only" in output
    assert "  GAP     missing  2025-10-29 .. 2025-10-30         2" in output
    _, output = command("--fast", "--symbol", "FULL")
    assert "earlier:  1 symbol has bars from 2025-10-27 on" in output
    shorter = config.read_text(encoding="utf-8").replace("last_session: 2025-11-10", "last_session: 2025-11-07")
    config.write_text(shorter, encoding="utf-8")
    _, output = command("--fast", "--symbol", "GAP")
    assert "  GAP     missing  2025-10-29 .. 2025-10-30         2" in output
    assert "next:" not in output


def test_only_the_first_of_many_holes_are_shown_by_default(mixed: Lake, command: Command) -> None:
    assert mixed.root.is_dir()
    rows = {f"S{number:02}": (True, EXPECTED[-1], None) for number in range(22)}
    publish_universe(mixed, **rows)
    _, output = command("--fast")
    assert len(re.findall("^  S.. +missing", output, re.MULTILINE)) == 20 - 3, "GAP has two holes, LEFT one"
    assert "volumes" not in output.replace("not read", "")
    more = re.search(
        r"^  and (\d+) more: `smallcaps (coverage --config .*) --missing` lists all$", output, re.MULTILINE
    )
    assert more
    assert more[2].endswith("--fast")
    _, all_of_them = command("--fast", "--missing")
    assert len(re.findall("^  S.. +missing", all_of_them, re.MULTILINE)) == 22
    assert " more:" not in all_of_them


def test_json_output_is_complete(command: Command) -> None:
    _, text = command("--json")
    output = json.loads(text)
    assert output["symbol_sessions_missing"] == 15
    assert {row["symbol"]: row["state"] for row in output["symbols_in_all"]} == {
        "FULL": "complete",
        "GAP": "holes",
        "LATE": "complete",
        "LEFT": "holes",
        "NONE": "without",
    }
    assert output["holes"][0] == {
        "symbol": "GAP",
        "hole": "missing",
        "first": "2025-10-29",
        "last": "2025-10-30",
        "sessions": 2,
    }
    assert [(row["first"], row["minutes"]) for row in output["lost_minutes"]] == [("2025-11-05T15:30:00+00:00", 5)]
    assert [(row["symbol"], row["sessions_doubled"]) for row in output["doubled"]] == [("LATE", 2)]
    assert output["unreadable"] == {}


def test_an_unknown_symbol_is_rejected_by_name(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--symbol", "NOPE")[0] == 2
    assert "NOPE: neither followed nor with bars" not in capsys.readouterr().out
