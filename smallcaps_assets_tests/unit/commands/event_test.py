"""`smallcaps event`: the page of one event, or one sentence on why there is none."""

import json
import re
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets_tests.conftest import event, files_below, master_of
from smallcaps_assets_tests.review_scenes import (
    MANIFEST_ID,
    capture_break,
    consolidation_break,
    fill_lake,
    opening_range_break,
)
from smallcaps_assets_tests.scenarios import flip_bit
from smallcaps_assets_tests.unit.domain.listings.listing_scenes import listing, market

EVENT = opening_range_break()["event_id"]
WITHOUT_TAPE = consolidation_break()["event_id"]
LEFT_OUT = "AEMD_flush_20251105_190000_00000000"


@pytest.fixture
def lake(fresh_home: Path) -> Lake:
    """A lake whose manifest is that of core and plus; core captured one event."""
    made = Lake(fresh_home / "lake")
    fill_lake(made, profiles=("core", "plus"))
    capture_break(made)
    publish_frame(
        made.master, master_of(opening_range_break(), event("2025-11-05 14:00", event_id=LEFT_OUT)), below=made.root
    )
    return made


def document_of(page: Path) -> dict[str, Any]:
    match = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert match
    document: dict[str, Any] = json.loads(match[1])
    return document


def test_the_page_is_written_and_opened(
    lake: Lake, fresh_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    before = files_below(lake.root)
    assert main(["event", EVENT, "--open"]) == 0
    page = fresh_home / f"{EVENT}.html"
    assert capsys.readouterr().out.startswith(f"{page.name}: {EVENT}, tape of core, 0.")
    assert opened == [page.as_uri()]
    document = document_of(page)
    (shown,) = document["events"]
    assert (shown["id"], shown["tape"]["trades"]["of"]) == (EVENT, 6)
    # nothing to label
    assert (document["profile"], document["manifest_id"], document["sample_id"]) == ("core", MANIFEST_ID, None)
    assert main(["event", EVENT, "--profile", "core", "--out", "other.html"]) == 0
    assert (fresh_home / "other.html").read_bytes() == page.read_bytes()
    assert len(opened) == 1
    assert files_below(lake.root) == before


def test_the_page_says_the_other_names_of_the_security(lake: Lake, fresh_home: Path) -> None:
    row = opening_range_break()
    assert main(["event", EVENT]) == 0
    page = fresh_home / f"{EVENT}.html"
    assert "names" not in document_of(page)
    known = market(listing(row["symbol"], "2025-01-02", former_symbol="OLDN"))
    ListingStore(lake).publish(known.listings, known.facts, {"first": "2025-01-02", "last": "2025-12-01"})
    assert main(["event", EVENT]) == 0
    assert document_of(page)["names"] == {EVENT: "formerly OLDN"}


def test_without_a_browser_the_page_is_written(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    assert main(["event", EVENT, "--open"]) == 0
    assert "no browser could be started: open the file yourself" in capsys.readouterr().out
    assert lake.root.is_dir()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            [f"{EVENT[:-1]}1"],
            f"event {EVENT[:-1]}1 is unknown: neither the current manifest of core or plus nor MASTER has it. Did",
        ),
        (["x"], "event x is unknown: neither the current manifest of core or plus nor MASTER has it. Ids are in"),
        ([LEFT_OUT], f"event {LEFT_OUT} is not in the current manifest of core or plus, so that no tape of it"),
        (
            [WITHOUT_TAPE],
            "is captured in core or plus yet: materialize core/tape_trades and core/tape_quotes, wave PM, symbol BRTX.",
        ),
        ([EVENT, "--profile", "plus"], f"no tape of event {EVENT} is captured in plus yet: materialize plus/tape_tr"),
        ([EVENT, "--profile", "premium"], "no manifest of profile premium yet. Materialize premium/manifest first."),
        ([EVENT, "--out", "nowhere/page.html"], "--out nowhere/page.html: there is no folder nowhere. Create it"),
    ],
)
def test_why_there_is_no_page(
    lake: Lake, fresh_home: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    expect_error(capsys, flags, words)
    assert not list(fresh_home.glob("*.html"))
    assert lake.root.is_dir()


def test_of_two_profiles_one_is_to_be_chosen(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    capture_break(lake, "plus")
    expect_error(capsys, [EVENT], "is captured in core and plus, with different windows and quotes: choose one by")
    assert main(["event", EVENT, "--profile", "plus"]) == 0


@pytest.mark.parametrize("kinds", [["trades"], ["quotes"], ["trades", "quotes"]])
@pytest.mark.parametrize("damage", [flip_bit, lambda file: file.write_bytes(b"PAR1")])
def test_damaged_tape_is_named(
    lake: Lake, capsys: pytest.CaptureFixture[str], kinds: list[str], damage: Callable[[Path], object]
) -> None:
    files = [file for kind in kinds for file in lake.tape("core", kind).rglob("*.parquet")]
    for file in files:
        damage(file)
    expect_error(capsys, [EVENT], files[0].name)


@pytest.mark.parametrize(
    "pattern", ["manifests/core/core_*.parquet", "manifests/core/c*.json", "bars/minute/symbol=AEMD/*"]
)
def test_other_damaged_files_are_named(lake: Lake, capsys: pytest.CaptureFixture[str], pattern: str) -> None:
    *_, file = sorted(lake.root.glob(pattern))
    file.write_bytes(b"PAR1")
    expect_error(capsys, [EVENT], str(file))


def test_a_damaged_table_that_the_page_can_do_without(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    lake.master.write_bytes(b"PAR1")
    assert main(["event", EVENT]) == 0
    capsys.readouterr()
    # MASTER only says more of an event that no manifest has
    expect_error(capsys, ["x"], str(lake.master))


def expect_error(capsys: pytest.CaptureFixture[str], flags: list[str], words: str) -> None:
    """The command ends with one sentence and exit code 2."""
    assert main(["event", *flags]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("smallcaps event: ")
    assert words in error
    assert "\n" not in error
