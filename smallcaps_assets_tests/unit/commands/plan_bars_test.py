"""`smallcaps plan --bars` before a lake or a key exists."""

import json
from pathlib import Path

import pytest

from smallcaps_assets.cli import main


def test_the_command_needs_no_lake(
    fresh_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MASSIVE", "POLYGON"):
        monkeypatch.delenv(f"{name}_S3_ACCESS_KEY", raising=False)
    assert main(["plan", "--bars", "--for-symbols", "2000", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    # 28 sessions from 22 October to 1 December 2025: 2,000 symbols in three months
    assert (document["sessions"], document["symbol_sessions_missing"]) == (28, 56_000)
    rest, files = document["roads"]
    assert (rest["road"], rest["requests"]) == ("rest", 6_000)
    assert (files["road"], files["requests"], files["files"]) == ("flat_files", 3 + 28, 28)
    assert document["keys_missing"] == []
    # lists of tickers of 22 October, 3 November and 1 December, which is the last session as well: 12 pages each; 25 of
    # the list of delisted ones
    assert document["listings"] == {
        "lists_missing": 3,
        "pages_per_list": 12,
        "requests_for_lists": 36,
        "requests_for_delisted": 25,
        "requests_for_borders_at_most": 0,
        "requests_for_shares": None,
    }
    config = fresh_home / "config" / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("kind: embedded", "kind: vendor"), encoding="utf-8")
    assert main(["plan", "--bars", "--check"]) == 2
    printed = capsys.readouterr().out
    assert "access key of flat files: set the environment variable MASSIVE_S3_ACCESS_KEY" in printed
    assert "  listings: 3 lists of tickers are missing, about 36 requests; then some 200 for" in printed
    assert "  shares outstanding: unknown until events are detected: one to two requests per symbol" in printed
    assert "56,000 symbol-sessions missing of 2,000 symbols (assumed" in printed


def test_listings_that_no_one_uses_are_no_part_of_a_plan(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = fresh_home / "config" / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("as_of: event", "as_of: today", 1), encoding="utf-8")
    assert main(["plan", "--bars", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["listings"], document["listings_problem"]) == (None, None)
    assert main(["plan", "--bars"]) == 0
    assert "listings" not in capsys.readouterr().out
