"""Scans of the tape of many events."""

import os
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.domain.tables import QUOTES
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets_tests.conftest import manifest_of, trades_at
from smallcaps_assets_tests.unit.lake.tape.spans import (
    FIRST,
    KINDS,
    MANIFEST,
    at,
    freeze,
    minutes,
    params,
    put,
    span,
    tape,
)


def rows_by_event(found: pl.DataFrame) -> dict[str, list[float]]:
    return {str(name): sorted(minutes(rows)) for (name,), rows in found.group_by("event_id")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_returns_each_event_the_rows_of_its_window(lake: Lake, kind: TapeKind) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 12, -3, -1, 2, 6.999, 7, 11, kind=kind)
    put(tape(lake), 20, 40, 26, 27, 36.5, 37, kind=kind)
    put(tape(lake), -3, 7, 5, kind=kind, symbol="BRK.B")
    found = tape(lake).scan(kind, ["later", "first", "other", "second", "first"]).collect()
    assert found.columns == ["event_id", *tape(lake).schema(kind)]
    # 2 and 6.999 lie in the windows of both
    assert rows_by_event(found) == {
        "first": [-3, -1, 2, 6.999],
        "second": [2, 6.999, 7, 11],
        "later": [27, 36.5],
        "other": [5],
    }


def test_a_scan_is_lazy_and_reads_only_the_selected_columns_and_rows(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 12, 0, 3, 6, 9)
    scan = tape(lake).scan("trades", ["first", "second"])
    assert isinstance(scan, pl.LazyFrame)
    counted = scan.group_by("event_id").agg(pl.len(), pl.col("price").max()).sort("event_id").collect()
    # prices rise by a cent from 10.00: at 0, 3, 6, 9
    assert counted.rows() == [("first", 3, 10.02), ("second", 3, 10.03)]


def alter(path: Path, *, in_silence: bool) -> None:
    """Change one bit of a file in place; in silence its times stay as they were known."""
    content, before = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    if in_silence:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("is_known", [False, True], ids=["new to this process", "proved before"])
@pytest.mark.parametrize("in_silence", [False, True], ids=["mtime changes", "mtime kept"])
def test_a_scan_names_a_damaged_file(lake: Lake, is_known: bool, in_silence: bool) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 12, 0)
    put(tape(lake), 20, 40, 30)
    later = next(lake.root.rglob("*T152000_*.parquet"))
    if is_known:
        tape(lake).scan("trades", ["first", "later"])
    if in_silence and is_known and os.name == "nt":
        pytest.skip("Windows has no time of change of a file's content besides the one that is kept")
    alter(later, in_silence=in_silence)
    assert minutes(tape(lake).trades("first")) == [0]
    with pytest.raises(LakeError, match=f"{later.name}: is damaged"):
        tape(lake).scan("trades", ["first", "later"])
    with pytest.raises(LakeError, match=f"{later.name}: is damaged"):
        tape(lake).trades("later")
    tape(lake).scan("trades", ["first", "later"], prove=False)


def test_a_scan_of_no_event_has_no_rows(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    found = tape(lake).scan("quotes", []).collect()
    assert found.schema == {"event_id": pl.String(), **QUOTES}
    assert found.is_empty()


def test_a_scan_names_the_events_that_it_cannot_read(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 7)
    with pytest.raises(InputError, match=r"not in the current manifest of profile core: a, b, c, d, e and 2 more\."):
        tape(lake).scan("trades", ["first", *"abcdefg"])
    with pytest.raises(
        InputError, match="the trades of second, later are not in the lake yet: materialize core/tape_tr"
    ):
        tape(lake).scan("trades", ["second", "first", "later"])


def test_trades_of_another_profile_with_all_columns_are_used(lake: Lake) -> None:
    fetched = {"fetched_at": "2026-01-05T12:00:00+00:00"}
    windows = event_windows(manifest_of(FIRST))

    def elsewhere(columns: str) -> int:
        store = TapeStore(lake, "plus", params(columns=columns))
        store.publish("trades", span(-3, 7), trades_at(at(0)).select(*store.schema("trades")), fetched)
        return tape(lake, columns="all").backlog("trades", windows).in_other_profiles.height

    assert elsewhere("minimal") == 0
    assert elsewhere("all") == 1
