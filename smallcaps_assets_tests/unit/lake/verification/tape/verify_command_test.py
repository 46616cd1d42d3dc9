"""`smallcaps verify` over an intact lake and over damaged ones."""

import json
from collections.abc import Callable

import polars as pl
import pytest

from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.unit.lake.verification.tape.damage import A_TRADES, LEDGER_FILE


def test_the_command_reports_an_intact_lake(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert command() == 0
    output = capsys.readouterr().out
    assert "profile core: 6 files" in output
    assert "against the ledger of core_20260105_120000" in output
    assert "4 events: 3 complete, 1 empty" in output
    assert "10 files" in output
    assert "  every file is as published\n" in output
    assert output.endswith("  every file is as certified\n")


def test_the_command_prints_the_findings(
    lake: Lake, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (lake.root / A_TRADES).unlink()
    assert command("--profile", "core") == 1
    output = capsys.readouterr().out
    assert f"  {A_TRADES}: is missing; expected a file, found nothing (events a1, a2)" in output
    assert "materialize core/tape_trades" in output
    assert command("--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["holds"] is False
    (profile,) = document["profiles"]
    assert profile["findings"][0] | {"file": A_TRADES, "event_ids": ["a1", "a2"]} == profile["findings"][0]
    assert (profile["profile"], profile["files"]) == ("core", 5)


def test_the_command_shows_fifty_findings_and_counts_the_rest(
    lake: Lake, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = pl.read_parquet(lake.ledger("core"))
    many = pl.concat(ledger[3:].with_columns(event_id=pl.lit(f"x{n}"), state=pl.lit("complete")) for n in range(60))
    publish_frame(lake.ledger("core"), pl.concat([ledger, many]))
    assert command() == 1
    output = capsys.readouterr().out
    assert output.count("does not follow from its rows") == 49
    assert "and 11 more" in output
    assert "remedy: materialize core/capture_ledger again" in output


def test_the_command_without_any_ledger(
    lake: Lake, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--profile", "plus") == 2
    assert "no ledger of profile plus yet" in capsys.readouterr().err
    lake.ledger("core").unlink()
    assert command() == 1
    output = capsys.readouterr().out
    assert f"{LEDGER_FILE}: is missing; expected certificates of 6 tape files, found nothing" in output
    assert "6 files not certified yet" in output
    assert "remedy: materialize core/capture_ledger again" in output
