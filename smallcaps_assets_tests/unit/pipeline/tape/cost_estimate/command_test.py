"""`smallcaps plan`: what it prints, what it asks the vendor, and what it refuses."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import Gate, close_client, new_lake, refusal, trades_at
from smallcaps_assets_tests.listings import publish_untyped
from smallcaps_assets_tests.unit.pipeline.tape.cost_estimate.planned_lake import _minimal, put, tape


def config(home: Path, *changes: tuple[str, str]) -> str:
    """The shipped configuration with some texts replaced."""
    text = (home / "config" / "config.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = home / "other.yaml"
    file.write_text(text)
    return str(file)


SLOW = ("requests_per_minute: null", "requests_per_minute: 0.001")


@pytest.mark.usefixtures("home")
def test_a_plan_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"]) == 0
    output = capsys.readouterr().out
    assert "profile core: 4 events of 2 symbols in core_20251105_170000" in output
    assert re.search(r"^  PM +1 +1 +1 +1 +2 +- +0\.06 +0\.057 +0\.057$", output, re.MULTILINE)
    assert re.search(r"^  all +4 +4 +3 +3 +6 ", output, re.MULTILINE)
    assert "no rate limit set" in output
    assert (
        "as counted by 25 minute bars; 50 per minute assumed in 10 bars without a count and 1 window without bars"
        in output
    )
    assert "assumed: 6.00 quotes per trade, 18.00 bytes per trade, 16.00 bytes per quote kept, 100.0 % of the" in output
    assert "learned" not in output
    assert re.search(r"disk: needs 0\.00 GB and keeps 2.0 GB free, has [0-9.,]+ GB: enough", output)
    assert "next: launch the backfill of wave PM of core / tape_trades in `smallcaps ui`" in output


def test_the_next_step_is_the_kind_of_tape_that_is_missing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = new_lake(home / "lake")
    certificate = {"requests": 1, "pages": 1, "retries": 0, "throttled": 0, "received": 1}
    start = datetime(2025, 11, 26, 12, 57, tzinfo=UTC)
    before_open = Span("AVLO", "PM", start, start + timedelta(minutes=10), ("a0",))
    tape(lake).publish("trades", before_open, _minimal(trades_at(start), lake, "trades"), certificate)
    assert main(["plan", "--wave", "PM"]) == 0
    output = capsys.readouterr().out
    assert output.endswith("next: launch the backfill of wave PM of core / tape_quotes in `smallcaps ui`\n")
    assert main(["plan", "--wave", "PM", "--best", "100"]) == 0
    run_config = "`ops: {core__tape_quotes: {config: {best: 100}}}`"
    assert capsys.readouterr().out.endswith(f"`smallcaps ui` with the run config {run_config}\n")


def test_a_plan_prints_measured_ratios_and_its_duration(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(new_lake(home / "lake"))
    assert main(["plan", "--config", config(home, SLOW)]) == 0
    output = capsys.readouterr().out
    assert "measured: 2.00 quotes per trade (from 1 span)" in output
    assert "assumed" not in output.partition("measured: ")[2]
    assert "at 0.001 requests a minute" in output
    assert re.search(r"^  PM .* 33\.33  ", output, re.MULTILINE)
    assert re.search(r"^  all .* 66\.67 \(2\.8 days\)  ", output, re.MULTILINE)


def test_json_plan_of_a_trial_of_one_wave(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--profile", "core", "--wave", "RTH", "--best", "3", "--one-per-symbol", "--json"]
    assert main(["plan", *flags, "--config", config(home, SLOW)]) == 0
    document = json.loads(capsys.readouterr().out)
    # the best of AVLO and of CRVO
    assert [row["wave"] for row in document["waves"]] == ["RTH", "all"]
    row = document["waves"][0]
    assert (row["events"], row["trades_spans"], row["quotes_spans"], row["requests"]) == (2, 2, 2, 4)
    assert row["hours"] == pytest.approx(4 / 0.001 / 60)
    assert document["rates"]["bytes_per_trade"] == {"value": 18.0, "learned": False, "spans": 0}
    assert (document["profile"], document["best"], document["check"]) == ("core", 3, None)
    assert document["disk"]["enough"] is True
    assert document["disk"]["free_bytes"] > document["disk"]["keep_bytes"] == 2e9
    assert "`ops: {core__tape_trades: {config: {best: 3, one_per_symbol: true}}}`" in document["next"]


@pytest.mark.usefixtures("home")
def test_the_best_events_are_selected_before_the_wave(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--wave", "PM", "--best", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["waves"][-1]["events"] == 0
    assert "nothing is left to fetch" in document["next"]


@pytest.mark.usefixtures("home")
def test_a_profile_without_a_manifest_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--profile", "plus"]) == 2
    assert "no manifest of profile plus yet. Materialize plus/manifest first." in capsys.readouterr().err


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_full_disk_is_an_error_after_the_plan_is_printed(
    form: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep = ("keep_gb: 2.0", "keep_gb: 1000000.0")
    assert main(["plan", *form, "--config", config(home, keep)]) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"smallcaps plan: {home / 'lake'}: not enough disk.")
    assert "capture.free_disk.check: false" in output.err
    assert json.loads(output.out)["disk"]["enough"] is False if form else "GB: not enough" in output.out
    unchecked = ("    check: true", "    check: false")
    assert main(["plan", *form, "--config", config(home, keep, unchecked)]) == 0


@pytest.fixture
def vendor(home: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A configuration of the vendor at the gate; the client of this process is closed afterwards."""
    monkeypatch.setenv("MASSIVE_API_KEY", "a-key-of-tests")
    file = config(home, ("kind: embedded", "kind: vendor"), ("https://api.massive.com", gate.base_url))
    yield file
    monkeypatch.setenv("MASSIVE_API_KEY", "a-key-of-tests")
    close_client(load_settings(Path(file), {}).source)


def test_checking_the_vendor_plan_takes_two_requests(
    vendor: str, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--config", vendor]) == 0
    assert gate.requests == []
    assert main(["plan", "--check", "--config", vendor]) == 0
    assert [path for path, _ in gate.requests] == ["/v3/trades/CRVO", "/v3/quotes/CRVO"]
    output = capsys.readouterr().out
    assert "check of trades: allowed" in output
    assert "check of quotes: allowed" in output


def test_no_request_is_sent_for_a_universe_above_the_limits(
    vendor: str, home: Path, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_untyped(new_lake(home / "lake"), 20)
    assert main(["plan", "--config", vendor]) == 0
    assert main(["plan", "--check", "--config", vendor]) == 2
    assert "20 of 20 symbols (100.0 %) are of unknown type" in capsys.readouterr().err
    assert gate.requests == []


def test_a_vendor_plan_without_quotes_is_reported_before_the_capture(
    vendor: str, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    gate.rule = lambda path, query: refusal(403, "upgrade your plan") if "quotes" in path else None  # noqa: ARG005
    assert main(["plan", "--check", "--json", "--config", vendor]) == 2
    check = json.loads(capsys.readouterr().out)["check"]
    assert check["trades"] == "allowed"
    assert "upgrade your plan" in check["quotes"]


def test_a_missing_key_is_reported(
    vendor: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASSIVE_API_KEY")
    monkeypatch.delenv("POLYGON_API_KEY", raising=False)
    assert main(["plan", "--check", "--config", vendor]) == 2
    assert "check of quotes: no API key" in capsys.readouterr().out


@pytest.mark.usefixtures("home")
def test_no_request_is_sent_if_nothing_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--check", "--wave", "AH"]) == 0
    assert "check: nothing is left to fetch, no request was sent" in capsys.readouterr().out
