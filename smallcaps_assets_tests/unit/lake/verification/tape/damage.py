"""A small lake with the tape of four events, ways to damage it, and what `verify` finds."""

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.files.publish import provenance_of, publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.discrepancy import Discrepancy
from smallcaps_assets.lake.verification.verify import Verification, verify
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets_tests.conftest import LATER, event, files_below, manifest_of
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
