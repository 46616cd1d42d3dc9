"""Ledgers, certificates and manifests that are missing, damaged or of others, and the findings of `verify`."""

from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.files.content_hash import content_sha256
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import LEDGER_OF_REPORT
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.discrepancy import Discrepancy
from smallcaps_assets.lake.verification.verify import verify
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets_tests.conftest import Gate, new_lake, refusal
from smallcaps_assets_tests.unit.lake.verification.tape.damage import (
    A_TRADES,
    C_QUOTES,
    LEDGER_FILE,
    MANIFEST,
    PARAMS,
    certify,
    checked,
    fill,
    findings,
    freeze,
    relabel,
)


def unusable(lake: Lake) -> Discrepancy:
    """The only finding: no certificate can be used. The tape is checked all the same."""
    result = checked(lake)
    (found,) = result.findings
    assert found.file == LEDGER_FILE
    assert found.remedy.startswith("Materialize core/capture_ledger")
    assert (result.files, len(result.uncertified), result.states) == (0, 6, {})
    (lake.root / A_TRADES).write_bytes(b"PAR1")
    assert [one.file for one in findings(lake)] == [LEDGER_FILE, A_TRADES]
    return found


def test_a_missing_ledger_is_a_finding_where_there_is_tape(lake: Lake) -> None:
    lake.ledger("core").unlink()
    found = unusable(lake)
    assert (found.what, found.expected, found.found) == ("is missing", "certificates of 6 tape files", "nothing")


def test_a_capture_that_is_not_done_needs_no_ledger_yet(lake: Lake) -> None:
    lake.ledger("core").unlink()
    (lake.root / C_QUOTES).unlink()
    result = checked(lake)
    assert (result.findings, result.manifest_id, len(result.uncertified)) == ((), None, 5)
    # but a report was made from one
    publish_frame(lake.ledger("core").with_name("report.parquet"), pl.DataFrame({"value": [1.0]}))
    assert [one.what for one in findings(lake)] == ["is missing"]


def test_a_profile_without_tape_needs_no_ledger(lake: Lake) -> None:
    assert verify(TapeStore(lake, "plus", PARAMS)).findings == ()


def test_a_damaged_ledger(lake: Lake) -> None:
    content = bytearray(lake.ledger("core").read_bytes())
    content[len(content) // 2] ^= 4
    lake.ledger("core").write_bytes(content)
    found = unusable(lake)
    assert found.what == "cannot be used"
    assert "is damaged: its content is not what was published (SHA-256)" in found.found


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet" * 100])
def test_a_ledger_that_is_no_parquet(lake: Lake, content: bytes) -> None:
    lake.ledger("core").write_bytes(content)
    assert unusable(lake).what == "cannot be used"


def test_the_ledger_of_another_profile(lake: Lake) -> None:
    relabel(lake, profile=pl.lit("plus"))
    assert "is the ledger of profile plus, not of core" in unusable(lake).found


def test_a_ledger_with_other_columns(lake: Lake) -> None:
    publish_frame(lake.ledger("core"), pl.read_parquet(lake.ledger("core")).drop("state"))
    assert "no column state" in unusable(lake).found


@pytest.mark.parametrize(("event", "of"), [("a2", "c1"), ("c1", "a1"), ("s1", "a1"), ("a1", "a2")])
def test_the_certificate_of_another_event(lake: Lake, event: str, of: str) -> None:
    ledger = pl.read_parquet(lake.ledger("core"))
    taken = ledger.filter(pl.col("event_id") == of).with_columns(event_id=pl.lit(event))
    everything = pl.concat([ledger.filter(pl.col("event_id") != event), taken])
    publish_frame(lake.ledger("core"), everything)
    assert event in {name for found in findings(lake) for name in found.event_ids}


@pytest.mark.parametrize("kind", TAPE_KINDS)
@pytest.mark.parametrize(("event", "of"), [("a2", "c1"), ("c1", "a1"), ("s1", "a1")])
def test_the_certified_files_of_another_event(lake: Lake, kind: str, event: str, of: str) -> None:
    """Only what a certificate says of files is taken from the other event."""
    ledger = pl.read_parquet(lake.ledger("core"))
    names = [name for name in ledger.columns if name.startswith(f"{kind}_")]
    (row,) = ledger.filter(pl.col("event_id") == of).select(names).to_dicts()
    taken = pl.DataFrame([row], schema={name: ledger.schema[name] for name in names})
    here = ledger.filter(pl.col("event_id") == event).drop(names).hstack(taken).select(ledger.columns)
    publish_frame(lake.ledger("core"), pl.concat([ledger.filter(pl.col("event_id") != event), here]))
    assert event in {name for found in findings(lake) for name in found.event_ids}


def test_the_ledger_of_an_older_manifest(lake: Lake) -> None:
    now = freeze(lake, MANIFEST[:2], config_hash="d")
    (found,) = findings(lake)
    assert (found.file, found.what) == (LEDGER_FILE, "is not of the current manifest")
    assert (found.expected, found.found) == (now, "core_20260105_120000")


def test_an_event_missing_in_the_ledger(lake: Lake) -> None:
    ledger = pl.read_parquet(lake.ledger("core"))
    publish_frame(lake.ledger("core"), ledger.filter(pl.col("event_id") != "a2"))
    (found,) = findings(lake)
    assert (found.file, found.what) == (LEDGER_FILE, "lacks events of its manifest")
    assert found.event_ids == ("a2",)


def test_an_event_twice_or_too_many_in_the_ledger(lake: Lake) -> None:
    ledger = pl.read_parquet(lake.ledger("core"))
    strange = ledger[:1].with_columns(event_id=pl.lit("nobody"))
    publish_frame(lake.ledger("core"), pl.concat([ledger, ledger[:1], strange]))
    found = {one.what: one.event_ids for one in findings(lake)}
    assert found == {"has events that are not in its manifest": ("nobody",), "has events twice": ("a1",)}


def test_a_window_that_is_not_the_manifests(lake: Lake) -> None:
    relabel(lake, end=pl.col("end") + pl.duration(hours=1))
    found = findings(lake)
    assert found[0].what == "has other windows than its manifest"
    assert "trades of c1 lack a part of its window" in {one.what for one in found}


@pytest.mark.parametrize("column", ["trades_rows", "trades_first", "trades_last"])
def test_a_certificate_that_is_not_of_the_rows(lake: Lake, column: str) -> None:
    more = pl.col(column) + (1 if column == "trades_rows" else pl.duration(nanoseconds=1, time_unit="ns"))
    relabel(lake, **{column: pl.when(pl.col("event_id") == "c1").then(more).otherwise(column)})
    (found,) = findings(lake)
    assert (found.file, found.what) == (LEDGER_FILE, "trades of c1 are not those of its window")
    assert found.event_ids == ("c1",)


def test_a_state_that_does_not_follow(lake: Lake) -> None:
    relabel(lake, state=pl.lit("complete"))
    (found,) = findings(lake)
    assert (found.what, found.expected) == ("state of s1 does not follow from its rows", "empty")


def test_hashes_that_contradict_each_other(lake: Lake) -> None:
    other = pl.when(pl.col("event_id") == "a2").then(pl.lit(["00"])).otherwise("trades_sha256")
    relabel(lake, trades_sha256=other)
    found = findings(lake)
    assert (LEDGER_FILE, "contradicts itself") in {(one.file, one.what) for one in found}


def test_a_manifest_that_was_changed(lake: Lake) -> None:
    (path,) = lake.manifests("core").glob("*.parquet")
    publish_frame(path, MANIFEST[:1])
    (found,) = findings(lake)
    assert found.what == "its manifest cannot be used"
    assert "SHA-256" in found.found


def test_a_report_of_another_ledger_is_named_and_is_no_finding(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """As an older copy of it, or one beside a ledger that was made since."""
    ledger = lake.ledger("core")
    report = ledger.with_name("report.parquet")
    kpis = pl.DataFrame({"figure": ["x"], "value": [1.0]})
    publish_frame(report, kpis, {LEDGER_OF_REPORT: content_sha256(ledger)})
    assert not checked(lake).other_report
    publish_frame(report, kpis, {LEDGER_OF_REPORT: "0" * 64})
    result = checked(lake)
    assert (result.other_report, result.findings) == (True, ())
    assert main(["verify", "--lake", str(lake.root)]) == 0
    expected = "the report was made from another ledger than that: materialize core/capture_report"
    assert expected in " ".join(capsys.readouterr().out.split())
    # reports of earlier releases do not say
    publish_frame(report, kpis)
    assert not checked(lake).other_report


def test_windows_that_failed_are_counted_and_are_no_findings(
    tmp_path: Path, client: MarketDataClient, gate: Gate
) -> None:
    lake = new_lake(tmp_path / "other")
    freeze(lake, MANIFEST)
    gate.rule = lambda path, query: refusal(503) if path.endswith("quotes/CRVO") else None  # noqa: ARG005
    fill(lake, client)
    certify(lake)
    result = checked(lake)
    assert result.findings == ()
    assert result.states == {"complete": 2, "empty": 1, "failed": 1}
    assert result.files == 5
