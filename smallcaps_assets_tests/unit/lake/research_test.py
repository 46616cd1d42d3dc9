"""Research tables in the lake: a part is read back, proved, set aside where it is damaged, and known by its place."""

from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore, require_part, research_place
from smallcaps_assets.lake.verification.file_kinds import kind_of

ROWS = pl.DataFrame({"event_id": ["a", "b"], "seconds": [1.0, 2.0]})


def _files(lake: Lake) -> dict[Path, dict[str, str]]:
    wave = {"profile": "core", "table": "micro_features", "wave": "PM", "symbol": "BCpC"}
    return {
        lake.research_table("event_scores"): {"table": "event_scores"},
        lake.research_table("research_table", "core"): {"profile": "core", "table": "research_table"},
        lake.research_symbol("halts", "BCpC"): {"table": "halts", "symbol": "BCpC"},
        lake.research_wave("core", "micro_features", "PM", "BCpC"): wave,
    }


def test_each_file_is_known_by_its_place_to_readers_verification_and_remedies(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for path, place in _files(lake).items():
        assert research_place(lake, path) == place
        kind = kind_of(path.relative_to(tmp_path).as_posix())
        assert kind is not None
        assert kind.name == "research tables"
        asset = "/".join([*([place["profile"]] if "profile" in place else []), place["table"]])
        assert how_to_restore(path).startswith(f"Materialize {asset}, which sets it aside")


def test_a_published_part_reads_back_with_what_it_was_computed_from(tmp_path: Path) -> None:
    store = ResearchStore(Lake(tmp_path))
    path = store.lake.research_wave("core", "micro_features", "PM", "ABCD")
    assert store.computed_from(path) is None
    assert store.read(path, ROWS.schema).height == 0
    store.publish(path, ROWS, {"settings": "1f"})
    assert store.computed_from(path) == {"settings": "1f"}
    assert store.read(path, ROWS.schema).equals(ROWS)
    other = store.lake.research_wave("core", "micro_features", "AH", "ABCD")
    store.publish(other, ROWS, {})
    folder = tmp_path / "research" / "core" / "micro_features"
    assert store.parts(folder) == [other, path]
    assert store.parts(folder / "wave=PM") == [path]
    assert store.scan([other, path], ROWS.schema).collect().equals(pl.concat([ROWS, ROWS]))
    store.remove(path)
    assert store.parts(folder) == [other]


def test_parts_of_an_earlier_release_are_read_beside_later_ones_with_more_columns(tmp_path: Path) -> None:
    store = ResearchStore(Lake(tmp_path))
    earlier, later = (store.lake.research_symbol("halts", symbol) for symbol in ("ABCD", "EFGH"))
    for path, rows in ((earlier, ROWS), (later, ROWS.with_columns(added=1))):
        path.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(path)
    for files in ([earlier, later], [later, earlier]):
        assert store.scan(files, ROWS.schema).collect().equals(pl.concat([ROWS, ROWS]))


def test_a_damaged_part_and_one_of_another_symbol_are_set_aside(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    store = ResearchStore(lake)
    mine, theirs = lake.research_symbol("halts", "ABCD"), lake.research_symbol("halts", "EFGH")
    for path in (mine, theirs):
        store.publish(path, ROWS, {})
    theirs.replace(mine)
    kind = kind_of("research/halts/symbol=ABCD.parquet")
    assert kind is not None
    assert [fault.found for fault in kind.faults(mine, kind.state(mine))] == ["symbol EFGH, table halts"]
    assert store.computed_from(mine) is None
    assert not mine.exists()
    store.publish(mine, ROWS, {})
    content = bytearray(mine.read_bytes())
    content[len(content) // 2] ^= 1
    mine.write_bytes(content)
    with pytest.raises(LakeError, match=r"symbol=ABCD\.parquet: is damaged.*Materialize halts"):
        store.read(mine, ROWS.schema)
    assert store.computed_from(mine) is None
    aside = sorted(path.name for path in (tmp_path / "quarantine" / "damaged").rglob("*.damaged"))
    assert len(aside) == 2


def test_a_part_that_is_asked_for_and_absent_says_what_makes_it(tmp_path: Path) -> None:
    store = ResearchStore(Lake(tmp_path))
    with pytest.raises(LakeError, match=r"research_table\.parquet: does not exist\. Materialize core/research_table"):
        require_part(store, store.lake.research_table("research_table", "core"))
