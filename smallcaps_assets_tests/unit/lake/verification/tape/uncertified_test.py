"""Tape that no certificate is about, or that changed since it was certified, and what `verify` says of it."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest
from pyarrow import parquet

from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import PROVENANCE, provenance_of, publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets_tests.unit.lake.verification.tape.damage import (
    A_TRADES,
    C_QUOTES,
    C_TRADES,
    LEDGER_FILE,
    MANIFEST,
    certify,
    checked,
    fill,
    findings,
    freeze,
    only,
    relabel,
    rewrite,
)


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
