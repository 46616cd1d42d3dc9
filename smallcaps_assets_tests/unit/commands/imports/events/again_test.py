"""Imports of events one after another, and what they find in the lake."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.lake.imports import imported_kinds
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.unit.commands.imports.events.old_events import (
    DIRTY,
    EARLY,
    GOOD,
    INF,
    LATE,
    NAN,
    REGULAR,
    import_events,
    old,
    summary,
    table,
)


def test_repeating_an_import_changes_no_byte(shards: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_events(shards) == 0
    before = files_below(home)
    (shards / "a.parquet").rename(shards / "z.parquet")  # the order of the files does not matter
    capsys.readouterr()
    assert import_events(shards, "--json") == 0
    assert not summary(capsys)["written"]
    assert files_below(home) == before


def test_files_of_other_origin_are_not_overwritten(
    shards: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    master = home / "lake" / "events" / "master.parquet"
    assert import_events(shards, "--out", master) == 2
    assert "belongs to the events that the lake detects" in capsys.readouterr().err
    mine = home / "mine.parquet"
    mine.write_bytes(b"something of mine")
    assert import_events(shards, "--out", mine) == 2
    assert "not a file of imported events" in capsys.readouterr().err
    assert mine.read_bytes() == b"something of mine"
    assert import_events(shards, "--out", home / "out.parquet") == 0
    assert (home / "out.quarantine.parquet").is_file()
    assert import_events(shards, "--out", home / "out.parquet") == 0
    assert not master.exists()


def test_real_events_are_rejected_by_a_lake_of_the_simulated_market(
    shards: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = UniverseStore(new_lake(home / "lake"))
    store.replace(store.read(), {"source": "simulated market, seed 7"})
    assert import_events(shards) == 2
    assert (
        "holds data of a simulated market, which must not be mixed with events of a real one" in capsys.readouterr().err
    )
    assert not store.lake.imported_events.exists()
    assert import_events(shards, "--lake", home / "other") == 0
    assert imported_kinds(Lake(home / "other")) == ["events"]


def imported_in(home: Path, parts: Sequence[pl.DataFrame], *flags: str) -> tuple[bytes, bytes]:
    """Events and quarantine of a new lake after the parts were imported in order."""
    lake = Lake(home / f"lake of {len(list(home.iterdir()))}")
    for part in parts:
        part.write_parquet(home / "part.parquet")
        assert import_events(home / "part.parquet", "--lake", lake.root, *flags) == 0
    return lake.imported_events.read_bytes(), lake.quarantine_path(lake.imported_events).read_bytes()


@pytest.mark.slow
def test_order_and_batches_of_files_do_not_matter(home: Path) -> None:
    whole = table(DIRTY)
    # copies, conflicting and bad rows of one event are in different parts, and each part ranks separately
    parts = [whole[number::4] for number in range(4)]
    at_once = imported_in(home, [whole])
    assert imported_in(home, parts) == at_once
    assert imported_in(home, [*parts[::-1], parts[2], whole]) == at_once


def test_a_second_import_adds_to_the_first(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rows in (("one", [*REGULAR[:10], *EARLY]), ("two", [*REGULAR[8:], *LATE])):
        table(rows).write_parquet(tmp_path / f"{name}.parquet")
    assert import_events(tmp_path / "one.parquet") == 0
    assert (
        "0 events of earlier imports, 0 of them replaced by a better row; 12 new, 12 in all" in capsys.readouterr().out
    )
    assert import_events(tmp_path / "two.parquet") == 0
    assert (
        "12 events of earlier imports, 0 of them replaced by a better row; 11 new, 23 in all" in capsys.readouterr().out
    )
    events = pl.read_parquet(home / "lake" / "events" / "adopted.parquet")
    regular = events.filter(pl.col("session") == "RTH").sort("symbol")
    scores = [1, 2, 3, 4.5, 4.5, *range(6, 21)]
    assert regular["score"].to_list() == [rank / 20 for rank in scores]
    before = files_below(home)
    assert import_events(tmp_path / "one.parquet") == 0
    assert files_below(home) == before
    capsys.readouterr()
    table([REGULAR[3] | {"score": 0.26}]).write_parquet(tmp_path / "better.parquet")
    assert import_events(tmp_path / "better.parquet", "--json") == 0
    figures = summary(capsys)
    assert [figures[f"events_{name}"] for name in ("before", "before_replaced", "new", "in_all")] == [23, 1, 0, 23]


def test_replace_removes_earlier_imports(
    shards: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_events(shards) == 0
    table(LATE).write_parquet(tmp_path / "late.parquet")
    capsys.readouterr()
    assert import_events(tmp_path / "late.parquet", "--replace") == 0
    printed = capsys.readouterr().out
    assert "--replace: 23 events of earlier imports removed, 1 now" in printed
    assert "16 rows left the quarantine" in printed
    lake = Lake(home / "lake")
    assert pl.read_parquet(lake.imported_events)["symbol"].to_list() == ["S22"]
    assert pl.read_parquet(lake.quarantine_path(lake.imported_events)).is_empty()


def test_a_corrected_row_leaves_the_quarantine(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = [old("2025-11-03 10:00", "S30", score=NAN), old("2025-11-03 10:00", "S31", close=INF)]
    table([*GOOD, *bad]).write_parquet(tmp_path / "bad.parquet")
    assert import_events(tmp_path / "bad.parquet") == 0
    lake = Lake(home / "lake")
    aside = lake.quarantine_path(lake.imported_events)
    assert pl.read_parquet(aside)["symbol"].to_list() == ["S30", "S31"]
    table([old("2025-11-03 10:00", "S30")]).write_parquet(tmp_path / "mended.parquet")
    capsys.readouterr()
    assert import_events(tmp_path / "mended.parquet", "--json") == 0
    figures = summary(capsys)
    assert (figures["left_quarantine"], figures["in_quarantine"]) == (1, 1)
    assert pl.read_parquet(aside)["symbol"].to_list() == ["S31"]
    # the bad row does not return
    assert import_events(tmp_path / "bad.parquet") == 0
    assert pl.read_parquet(aside)["symbol"].to_list() == ["S31"]
