"""What a shard covers: a text that grows by lines while its events stay."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from smallcaps_assets.domain.tables import SHARD
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.months import Month, Stamp
from smallcaps_assets.lake.shards import MOST_LINES, Coverage, ShardStore

ONE = "ABCD"
FIRST = date(2025, 1, 2)


def month(*marks: str) -> Month:
    days = {FIRST + timedelta(days=number): mark for number, mark in enumerate(marks)}
    return Month.of(Stamp(len(marks), 7), days, dict.fromkeys(days, 0.1))


@pytest.fixture
def store(lake: Lake) -> ShardStore:
    """A shard without events that covers a session."""
    held = ShardStore(lake)
    held.replace(
        ONE, SHARD.to_frame(), Coverage({"flush": "f00d"}, [0.6], {"2024-12": month(), "2025-01": month("1-a")}, 0)
    )
    return held


def path_of(store: ShardStore) -> Path:
    return store.lake.shard(ONE).with_suffix(".jsonl")


def grow(store: ShardStore, **months: Month) -> None:
    """The next sessions, none with an event."""
    before = store.coverage(ONE)
    assert before is not None
    store.replace(ONE, SHARD.to_frame(), replace(before, months=before.months | months))


def lines_of(store: ShardStore) -> list[str]:
    return path_of(store).read_text(encoding="utf-8").split("\n")


def test_a_line_says_only_what_changed(store: ShardStore) -> None:
    whole = path_of(store).read_bytes()
    grow(store, **{"2025-01": month("1-a", "2-b")})
    grow(store, **{"2025-02": month("3-c")})
    first, *lines = lines_of(store)
    assert first.encode() == whole
    assert [list(json.loads(line)["files"]) for line in lines] == [["2025-01"], ["2025-02"]]
    found = store.coverage(ONE)
    assert found is not None
    assert found.months == {"2024-12": month(), "2025-01": month("1-a", "2-b"), "2025-02": month("3-c")}
    assert (found.detections, found.tiers, found.events) == ({"flush": "f00d"}, [0.6], 0)


def test_after_some_lines_it_is_written_anew(store: ShardStore) -> None:
    for number in range(MOST_LINES):
        grow(store, **{"2025-01": month(*["1-a"] * (number + 2))})
    assert len(lines_of(store)) == 1 + MOST_LINES
    grow(store, **{"2025-01": month(*["1-a"] * (MOST_LINES + 2))})
    assert len(lines_of(store)) == 1
    found = store.coverage(ONE)
    assert found is not None
    assert len(found.months["2025-01"]) == MOST_LINES + 2


def test_a_file_of_bars_that_is_gone_is_no_longer_covered(store: ShardStore) -> None:
    before = store.coverage(ONE)
    assert before is not None
    store.replace(ONE, SHARD.to_frame(), replace(before, months={"2025-01": before.months["2025-01"]}))
    after = store.coverage(ONE)
    assert after is not None
    assert list(after.months) == ["2025-01"]
    assert len(lines_of(store)) == 1


def test_lines_of_another_document_are_not_its_own(store: ShardStore) -> None:
    """As two processes leave it that detect one symbol with different settings at the same time."""
    late = store.coverage(ONE)
    assert late is not None
    store.replace(ONE, SHARD.to_frame(), Coverage({"flush": "beef"}, [0.6], {"2025-01": month("1-a")}, 0))
    store.replace(ONE, SHARD.to_frame(), replace(late, months=late.months | {"2025-01": month("1-a", "2-b")}))
    found = store.coverage(ONE)
    assert found is not None
    assert found.detections == {"flush": "beef"}
    assert found.months == {"2025-01": month("1-a")}


def test_of_two_lines_that_know_nothing_of_each_other_one_is_heard(store: ShardStore) -> None:
    """What both say together neither has seen; the sessions of the other are looked at again."""
    early = store.coverage(ONE)
    assert early is not None
    grow(store, **{"2025-01": month("1-a", "2-b")})
    store.replace(ONE, SHARD.to_frame(), replace(early, months=early.months | {"2025-02": month("3-c")}))
    found = store.coverage(ONE)
    assert found is not None
    assert found.months == {"2024-12": month(), "2025-01": month("1-a", "2-b")}
    grow(store, **{"2025-02": month("3-c")})
    found = store.coverage(ONE)
    assert found is not None
    assert list(found.months) == ["2024-12", "2025-01", "2025-02"]


@pytest.mark.parametrize("kept", [0, 1, 30, -1])
def test_a_torn_line_is_none_and_the_next_one_counts(store: ShardStore, kept: int) -> None:
    whole = path_of(store).read_bytes()
    grow(store, **{"2025-01": month("1-a", "2-b")})
    line = path_of(store).read_bytes()[len(whole) :]
    path_of(store).write_bytes(whole + line[:kept])
    torn = store.coverage(ONE)
    assert torn is not None
    assert torn.months["2025-01"] == month("1-a")
    grow(store, **{"2025-01": month("1-a", "2-c")})
    found = store.coverage(ONE)
    assert found is not None
    assert found.months["2025-01"] == month("1-a", "2-c")
