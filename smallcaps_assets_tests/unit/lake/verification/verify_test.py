"""Damage of every kind in a small lake, and the findings of `verify`."""

import json
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyarrow import parquet

from smallcaps_assets.cli import main
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tape.rules import tape_rules
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.content_hash import content_sha256
from smallcaps_assets.lake.files.publish import PROVENANCE, provenance_of, publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import LEDGER_OF_REPORT, build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.discrepancy import Discrepancy
from smallcaps_assets.lake.verification.verify import Verification, verify
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets_tests.conftest import (
    LATER,
    Gate,
    event,
    files_below,
    manifest_of,
    new_lake,
    quotes_at,
    refusal,
    trades_at,
)
from smallcaps_assets_tests.scenarios import default_settings

# two windows of AVLO that are one span, one of CRVO, and one of a Saturday, which has no tape
MANIFEST = manifest_of(
    event("2025-11-26 10:00", event_id="a1", symbol="AVLO"),
    event("2025-11-26 10:05", event_id="a2", symbol="AVLO"),
    event("2025-11-26 11:00", event_id="c1", symbol="CRVO"),
    event("2025-11-29 10:00", event_id="s1", symbol="AVLO"),
)
PAIRS = [("AVLO", "RTH"), ("CRVO", "RTH")]
PARAMS = default_settings().profiles["core"]
LEDGER_FILE = "tape/core/ledger.parquet"
A, C = "RTH/symbol=AVLO/20251126T145700_20251126T151200", "RTH/symbol=CRVO/20251126T155700_20251126T160700"
A_TRADES, A_QUOTES = (f"tape/core/{kind}/wave={A}.parquet" for kind in TAPE_KINDS)
C_TRADES, C_QUOTES = (f"tape/core/{kind}/wave={C}.parquet" for kind in TAPE_KINDS)


def freeze(lake: Lake, manifest: pl.DataFrame, config_hash: str = "c") -> str:
    store = ManifestStore.in_lake(lake, "core")
    sidecar = store.freeze(Selection(manifest, [], {}), config_hash=config_hash, master_sha256="m", now=LATER)
    return str(sidecar["manifest_id"])


def certify(lake: Lake, manifest: pl.DataFrame = MANIFEST) -> None:
    """Build the ledger of the lake as it is now."""
    manifest_id = ManifestStore.in_lake(lake, "core").sidecar()["manifest_id"]
    publish_frame(lake.ledger("core"), build_ledger(manifest, TapeStore(lake, "core", PARAMS), manifest_id))


def fill(lake: Lake, client: MarketDataClient) -> None:
    """Capture everything that is missing."""
    for kind in TAPE_KINDS:
        tape = TapeStore(lake, "core", PARAMS)
        capture = Capture(kind, tape, client, threads=2, config_hash="abc", log=lambda line: None)  # noqa: ARG005
        list(capture.run(MANIFEST, PAIRS))


@pytest.fixture(scope="session")
def whole(small_market: SimulatedMarket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with the tape of MANIFEST and its ledger, captured once; tests damage copies of it."""
    lake = Lake(tmp_path_factory.mktemp("whole"))
    freeze(lake, MANIFEST)
    with (
        serve(Exchange(small_market)) as server,
        MarketDataClient(Transport(server.base_url, "a-key-of-tests", bucket=TokenBucket(None))) as client,
    ):
        fill(lake, client)
    certify(lake)
    return lake.root


@pytest.fixture
def lake(whole: Path, tmp_path: Path) -> Lake:
    """The lake to damage."""
    shutil.copytree(whole, tmp_path / "lake")
    return Lake(tmp_path / "lake")


def checked(lake: Lake) -> Verification:
    before = files_below(lake.root)
    result = verify(TapeStore(lake, "core", PARAMS))
    assert files_below(lake.root) == before
    return result


def findings(lake: Lake) -> list[Discrepancy]:
    return list(checked(lake).findings)


def only(lake: Lake, file: str, *what: str, events: tuple[str, ...] = ("a1", "a2")) -> list[Discrepancy]:
    """All findings are of `file`, about these things, and name its events."""
    found = findings(lake)
    assert [(one.file, one.what) for one in found] == [(file, words) for words in what]
    assert {one.event_ids for one in found} == {events}
    assert all(one.expected != one.found for one in found)
    return found


def rewrite(
    lake: Lake,
    file: str,
    change: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows,
    changes: Mapping[str, Any] | None = None,
    *,
    certified: bool = True,
) -> None:
    """Replace a file by a changed one with the same footer, and let the ledger certify that one."""
    path = lake.root / file
    footer = provenance_of(path)
    assert footer is not None
    rows = change(pl.read_parquet(path, hive_partitioning=False))
    received = {"received": rows.height} if "trades" in file else {}
    publish_frame(path, rows, footer | {"rows": rows.height} | received | dict(changes or {}))
    if certified:
        certify(lake)


def relabel(lake: Lake, **columns: Any) -> None:
    """Change columns of the ledger."""
    publish_frame(lake.ledger("core"), pl.read_parquet(lake.ledger("core")).with_columns(**columns))


def test_every_file_of_a_capture_passes(lake: Lake) -> None:
    result = checked(lake)
    assert result.findings == ()
    assert (result.files, result.uncertified, result.parts) == (6, (), ())
    paths = [path for kind in TAPE_KINDS for path in lake.tape("core", kind).rglob("*.parquet")]
    assert result.bytes == sum(path.stat().st_size for path in paths)
    assert result.rows == sum(pl.read_parquet(path).height for path in paths) > 0
    assert result.states == {"complete": 3, "empty": 1}
    assert result.manifest_id == "core_20260105_120000"


# ---------------------------------------------------------------------------------------------- bytes


def test_a_flipped_byte(lake: Lake) -> None:
    path = lake.root / A_TRADES
    content = bytearray(path.read_bytes())
    content[100] ^= 0xFF
    path.write_bytes(content)
    found = findings(lake)
    assert {one.file for one in found} == {A_TRADES}
    assert found[0].what == "SHA-256 differs"
    assert {one.event_ids for one in found} == {("a1", "a2")}


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_flipped_byte_anywhere_is_found_and_stops_nothing(lake: Lake, place: int) -> None:
    path = lake.root / A_QUOTES
    content = bytearray(path.read_bytes())
    content[-1 - place * (len(content) - 1) // 100] ^= 0x5A
    path.write_bytes(content)
    found = findings(lake)
    assert {one.file for one in found} == {A_QUOTES}
    assert "SHA-256 differs" in {one.what for one in found}


@pytest.mark.parametrize("left", [0, 3, 500, -1])
def test_a_truncated_file(lake: Lake, left: int) -> None:
    path = lake.root / A_QUOTES
    path.write_bytes(path.read_bytes()[:left])
    only(lake, A_QUOTES, "SHA-256 differs", "cannot be read")


def test_a_deleted_file(lake: Lake) -> None:
    (lake.root / C_QUOTES).unlink()
    only(lake, C_QUOTES, "is missing", events=("c1",))


def test_a_file_in_the_place_of_another(lake: Lake) -> None:
    one, other = lake.root / A_TRADES, lake.root / C_TRADES
    mine, others = one.read_bytes(), other.read_bytes()
    one.write_bytes(others)
    other.write_bytes(mine)
    found = findings(lake)
    assert {(one.file, one.what) for one in found} == {
        (file, what)
        for file in (A_TRADES, C_TRADES)
        for what in ("SHA-256 differs", "the footer says another symbol", "rows outside its span")
    }
    assert f"which is that of {C_TRADES}" in found[0].found


def test_trades_in_the_place_of_quotes(lake: Lake) -> None:
    shutil.copy(lake.root / A_TRADES, lake.root / A_QUOTES)
    found = only(
        lake, A_QUOTES, "SHA-256 differs", "the footer says another kind", "columns are not those of its footer"
    )
    assert (found[1].expected, found[1].found) == ("quotes", "trades")


# ------------------------------------------------------------------------------------------------ rows


def test_rows_out_of_order(lake: Lake) -> None:
    rewrite(lake, A_TRADES, lambda rows: rows.reverse())
    (found,) = only(lake, A_TRADES, "rows out of order")
    assert found.expected == "sorted by (timestamp, sequence_number)"


def test_rows_of_one_time_out_of_order() -> None:
    now = datetime(2025, 11, 26, 15, tzinfo=UTC)
    rows = trades_at(now, now, now).with_columns(sequence_number=pl.Series([2, 3, 1]))
    rules = tape_rules("trades", now, now + timedelta(minutes=1))
    assert {rule.what for rule in rules if rows.select(rule.broken).item()} == {"rows out of order"}


def test_rows_more_than_once(lake: Lake) -> None:
    rewrite(lake, A_TRADES, lambda rows: pl.concat([rows, rows[3:5]]).sort("timestamp", "sequence_number"))
    (found,) = only(lake, A_TRADES, "rows more than once")
    assert found.found.startswith("4 of ")


def test_trades_with_equal_numbers_are_distinguished_by_their_id() -> None:
    now = datetime(2025, 11, 26, 15, tzinfo=UTC)
    rows = trades_at(now, now, now).with_columns(sequence_number=pl.lit(1, pl.Int64))
    twice, distinct = (rows.with_columns(trade_id=pl.Series(ids)) for ids in (["a", "b", "a"], ["a", "b", "c"]))
    rule = tape_rules("trades", now, now + timedelta(minutes=1))[1]
    assert (twice.select(rule.broken).item(), distinct.select(rule.broken).item()) == (2, 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_null_and_nan_values(lake: Lake, bad: float) -> None:
    first = pl.int_range(pl.len()) == 0
    rewrite(lake, A_QUOTES, lambda rows: rows.with_columns(bid_size=pl.when(first).then(bad).otherwise("bid_size")))
    what = ["bid_size is not a finite number"] + ["bid_size is below 0"] * (bad < 0)
    only(lake, A_QUOTES, *what)


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("price", 0.0, "price is not above 0"),
        ("price", None, "price is not above 0"),
        ("size", -1.0, "size is below 0"),
    ],
)
def test_numbers_that_cannot_be(lake: Lake, column: str, value: float | None, what: str) -> None:
    last = pl.int_range(pl.len()) == pl.len() - 1
    rewrite(lake, A_TRADES, lambda rows: rows.with_columns(pl.when(last).then(value).otherwise(column).alias(column)))
    only(lake, A_TRADES, what)


@pytest.mark.parametrize("moment", [datetime(2025, 11, 26, 15, 12), datetime(2055, 11, 26)])  # noqa: DTZ001
def test_times_outside_the_span(lake: Lake, moment: datetime) -> None:
    last, time = pl.int_range(pl.len()) == pl.len() - 1, pl.lit(moment.replace(tzinfo=UTC)).dt.cast_time_unit("ns")
    names = "timestamp", "participant_timestamp"
    moved = [pl.when(last).then(time).otherwise(name).alias(name) for name in names]
    rewrite(lake, A_TRADES, lambda rows: rows.with_columns(moved))
    (found,) = only(lake, A_TRADES, "rows outside its span")
    assert found.expected == "[2025-11-26 14:57:00, 2025-11-26 15:12:00) UTC"


@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        (pl.col("price").cast(pl.String), "price Float64", "price String"),
        (pl.col("timestamp").dt.cast_time_unit("us"), "ns", "us"),
        (pl.lit(1).alias("more"), "more absent", "more Int32"),
    ],
)
def test_columns_of_another_type(lake: Lake, change: pl.Expr, expected: str, found: str) -> None:
    rewrite(lake, A_TRADES, lambda rows: rows.with_columns(change), certified=False)
    finding = only(lake, A_TRADES, "SHA-256 differs", "columns are not those of its footer")[1]
    assert expected in finding.expected
    assert found in finding.found


def test_crossed_quotes(lake: Lake) -> None:
    rewrite(lake, A_QUOTES, lambda rows: rows.with_columns(bid_price="ask_price", ask_price="bid_price"))
    (found,) = only(lake, A_QUOTES, "the book is crossed")
    assert "90%" in found.expected


@pytest.mark.parametrize(("crossed", "broken"), [(0, False), (1, False), (20, False), (21, True)])
def test_a_briefly_crossed_book_is_not_damage(crossed: int, broken: bool) -> None:
    now = datetime(2025, 11, 26, 15, tzinfo=UTC)
    rows = quotes_at(*(now + timedelta(milliseconds=number) for number in range(200)))
    rows = rows.with_columns(bid_price=pl.when(pl.int_range(pl.len()) < crossed).then(99.0).otherwise("bid_price"))
    rules = tape_rules("quotes", now, now + timedelta(minutes=1))
    assert [rule.what for rule in rules if rows.select(rule.broken).item()] == ["the book is crossed"] * broken


def test_a_side_that_is_absent_crosses_nothing() -> None:
    now = datetime(2025, 11, 26, 15, tzinfo=UTC)
    rows = quotes_at(now, now + timedelta(seconds=1)).with_columns(
        ask_price=pl.lit(None, pl.Float64), ask_size=pl.lit(None, pl.Float64)
    )
    rules = tape_rules("quotes", now, now + timedelta(minutes=1))
    assert not [rule.what for rule in rules if rows.select(rule.broken).item()]


# ---------------------------------------------------------------------------------------------- footer


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rows": 7}, "the footer says another number of rows"),
        ({"received": 7}, "the footer says another number of rows received"),
        ({"kind": "quotes"}, "the footer says another kind"),
        ({"profile": "plus"}, "the footer says another profile"),
    ],
)
def test_a_footer_that_contradicts_the_rows(lake: Lake, changes: dict[str, Any], what: str) -> None:
    rewrite(lake, A_TRADES, changes=changes)
    only(lake, A_TRADES, what)


def test_a_file_that_is_not_named_by_what_it_covers(lake: Lake) -> None:
    other = A_TRADES.replace("T151200", "T151300")
    (lake.root / A_TRADES).rename(lake.root / other)
    files = pl.col("trades_files").list.eval(pl.element().str.replace(A_TRADES, other, literal=True))
    relabel(lake, trades_files=files)
    found = findings(lake)
    assert [(one.file, one.what) for one in found] == [(other, "is not named as its certificate says")]


# ---------------------------------------------------------------------------------------------- ledger


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


# -------------------------------------------------------------------------------------- not certified


def test_uncertified_files_are_reported_and_unreadable_ones_are_findings(lake: Lake) -> None:
    ledger = pl.read_parquet(lake.ledger("core"))
    freeze(lake, MANIFEST[:2], config_hash="d")
    current = ManifestStore.in_lake(lake, "core").sidecar()["manifest_id"]
    publish_frame(lake.ledger("core"), ledger[:2].with_columns(manifest_id=pl.lit(current)))
    (lake.root / A_TRADES).with_name(".x.parquet.1.2.part").touch()
    result = checked(lake)
    assert result.findings == ()
    assert (result.files, len(result.uncertified), len(result.parts)) == (2, 4, 1)
    (lake.root / C_TRADES).write_bytes(b"PAR1")
    (found,) = findings(lake)
    assert (found.file, found.what) == (C_TRADES, "is damaged")


def forget(lake: Lake, event: str, latest: timedelta) -> None:
    """Make the ledger say that an event is missing, and that its latest download is so much later than all files."""
    ledger = pl.read_parquet(lake.ledger("core"))
    times = [pl.col(f"{kind}_fetched_at") + latest for kind in TAPE_KINDS]
    of_tape = [name for name in ledger.columns if name.startswith(TAPE_KINDS)]
    is_it = pl.col("event_id") == event
    forgotten = ledger.filter(is_it).with_columns(
        pl.lit("missing").alias("state"), *(pl.lit(None, ledger.schema[name]).alias(name) for name in of_tape)
    )
    publish_frame(lake.ledger("core"), pl.concat([ledger.filter(~is_it).with_columns(times), forgotten]))


def test_a_ledger_that_is_older_than_a_capture_is_out_of_date_and_not_damaged(
    lake: Lake, client: MarketDataClient, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (A_TRADES, C_QUOTES):
        (lake.root / file).unlink()
    certify(lake)
    assert checked(lake).since == ()
    fill(lake, client)
    result = checked(lake)
    assert (result.findings, sorted(result.since)) == ((), ["a1", "a2", "c1"])
    assert command() == 0
    line = "the ledger is out of date: 3 windows were captured since it was made, such as a1: materialize core/capture"
    assert line in capsys.readouterr().out
    certify(lake)
    assert checked(lake).since == ()


def test_a_window_captured_before_the_ledger_was_made_is_missing_in_it(lake: Lake) -> None:
    whole = lake.ledger("core").read_bytes()
    forget(lake, "c1", timedelta(minutes=1))
    found = only(lake, LEDGER_FILE, "lacks certificates of trades", "lacks certificates of quotes", events=("c1",))
    assert {one.found for one in found} == {"none for 1 event"}
    assert checked(lake).since == ()
    # as recent as the others: its file may have been published after the ledger
    lake.ledger("core").write_bytes(whole)
    forget(lake, "c1", timedelta(seconds=1))
    result = checked(lake)
    assert (result.findings, result.since) == ((), ("c1",))


@pytest.mark.parametrize("of", ["taken_from", "adopted_from"])
def test_tape_that_was_not_fetched_may_have_come_at_any_time(lake: Lake, of: str) -> None:
    for file in (C_TRADES, C_QUOTES):
        rewrite(lake, file, changes={of: ["elsewhere.parquet"]})
    forget(lake, "c1", timedelta(minutes=1))
    result = checked(lake)
    assert (result.findings, result.since) == ((), ("c1",))


def test_a_file_fetched_anew_is_not_certified_yet(lake: Lake, client: MarketDataClient) -> None:
    (lake.root / A_TRADES).unlink()
    fill(lake, client)
    result = checked(lake)
    assert result.findings == ()
    assert result.uncertified == (A_TRADES,)
    certify(lake)
    assert checked(lake).uncertified == ()


def change_without_a_hash(lake: Lake, fetched_at: str, **columns: pl.Expr) -> None:
    """Change a tape file as an earlier release, or another tool, writes it."""
    path = lake.root / A_TRADES
    footer = (provenance_of(path) or {}) | {"fetched_at": fetched_at}
    rows = pl.read_parquet(path, hive_partitioning=False).with_columns(**columns)
    rows.write_parquet(path, metadata={PROVENANCE: json.dumps(footer)})


def test_a_changed_file_that_is_dated_anew_carries_another_hash(lake: Lake) -> None:
    path = lake.root / A_TRADES
    footer = parquet.read_metadata(path).metadata
    later = json.loads(footer[PROVENANCE.encode()]) | {"fetched_at": "2030-01-01T00:00:00+00:00"}
    metadata = {name.decode(): text.decode() for name, text in footer.items() if name != b"ARROW:schema"}
    rows = pl.read_parquet(path, hive_partitioning=False).with_columns(pl.col("price") + 1)
    rows.write_parquet(path, metadata=metadata | {PROVENANCE: json.dumps(later)})
    only(lake, A_TRADES, "SHA-256 differs")
    with pytest.raises(LakeError, match="is damaged: its content is not what was published"):
        certify(lake)


def test_a_replaced_file_without_a_hash(lake: Lake) -> None:
    change_without_a_hash(lake, "2030-01-01T00:00:00+00:00", price=pl.col("price") + 1)
    only(lake, A_TRADES, "was replaced, and carries no hash of its own")
    change_without_a_hash(lake, "2020-01-01T00:00:00+00:00")
    only(lake, A_TRADES, "SHA-256 differs")


def test_a_damaged_file_without_a_certificate(lake: Lake) -> None:
    lake.ledger("core").unlink()
    path = lake.root / C_TRADES
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    assert [(one.file, one.what) for one in findings(lake)] == [(LEDGER_FILE, "is missing"), (C_TRADES, "is damaged")]


@pytest.mark.parametrize("certified", [True, False])
def test_files_of_two_symbols_that_were_swapped_and_certified_so(lake: Lake, *, certified: bool) -> None:
    """Both cover the same time, so only their footers tell them apart."""
    other = lake.root / A_TRADES.replace("AVLO", "ZETA")
    other.parent.mkdir(parents=True)
    shutil.copy(lake.root / A_TRADES, other)
    if certified:
        as_zeta = MANIFEST.with_columns(
            symbol=pl.when(pl.col("event_id").is_in(["a1", "a2"])).then(pl.lit("ZETA")).otherwise("symbol")
        )
        freeze(lake, as_zeta, config_hash="z")
        certify(lake, as_zeta)
    found = {(one.file, one.what) for one in findings(lake)}
    assert (other.relative_to(lake.root).as_posix(), "the footer says another symbol") in found


def test_damaged_bars_do_not_abort(lake: Lake) -> None:
    bars = lake.bars("AVLO") / "2025-11.parquet"
    bars.parent.mkdir(parents=True)
    bars.write_bytes(b"no parquet")
    relabel(lake, trades_rows=pl.when(pl.col("event_id") == "c1").then(0).otherwise("trades_rows"))
    result = checked(lake)
    assert result.contradicted == ()
    assert {one.file for one in result.findings} == {LEDGER_FILE}


# --------------------------------------------------------------------------------------------- command


@pytest.fixture
def command(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    return lambda *flags: main(["verify", "--lake", str(lake.root), *flags])


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
