"""What a shard covers: its footer, and the difference to it while its events stay the same."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.tables import SHARD
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.months import FileState, MonthCoverage
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.content_hash import DOCUMENT_KEY, ProofState, document_proof
from smallcaps_assets.lake.files.publish import provenance_of, publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import event, files_below, master_of

ONE = "ABCD"
FIRST = date(2025, 1, 2)
NO_EVENTS = SHARD.to_frame()


def month(*fingerprints: str) -> MonthCoverage:
    days = {FIRST + timedelta(days=number): fingerprint for number, fingerprint in enumerate(fingerprints)}
    return MonthCoverage.of(FileState(len(fingerprints), 7), days, dict.fromkeys(days, 0.1))


COVERAGE = ShardCoverage({"flush": "f00d"}, [0.6], {"2024-12": month(), "2025-01": month("1-a")}, 0)


@pytest.fixture
def store(lake: Lake) -> ShardStore:
    """A shard without events that covers a session."""
    made = ShardStore(lake)
    made.replace(ONE, NO_EVENTS, COVERAGE)
    return made


def covered(store: ShardStore, symbol: str = ONE) -> ShardCoverage:
    found = store.coverage(symbol)
    assert found is not None
    return found


def grow(store: ShardStore, symbol: str = ONE, **months: MonthCoverage) -> None:
    """The next sessions, none with an event."""
    before = covered(store, symbol)
    store.replace(symbol, NO_EVENTS, replace(before, months=before.months | months))


def table(store: ShardStore) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(store.lake.shard_coverage(ONE).read_text(encoding="utf-8"))
    assert document_proof(content).state is ProofState.INTACT
    del content[DOCUMENT_KEY]
    return content


def test_the_footer_of_a_shard_holds_its_coverage(store: ShardStore) -> None:
    assert [path.name for path in store.lake.shards.iterdir()] == [f"symbol={ONE}.parquet"]
    footer = provenance_of(store.lake.shard(ONE))
    assert footer is not None
    assert footer["coverage"] == {
        "detections": {"flush": "f00d"},
        "tiers": [0.6],
        "events": 0,
        "files": {
            "2024-12": {"stamp": [0, 7], "sessions": ""},
            "2025-01": {"stamp": [1, 7], "sessions": "2025-01-02 1-a 0.1"},
        },
    }
    found = covered(store)
    assert found.content == footer["content"] == store.version(ONE)
    assert replace(found, content=None) == COVERAGE


def test_sessions_without_an_event_leave_the_shard_and_record_only_what_changed(store: ShardStore) -> None:
    shard = store.lake.shard(ONE)
    before = shard.stat().st_mtime_ns, shard.read_bytes()
    grow(store, **{"2025-01": month("1-a", "2-b")})
    grow(store, **{"2025-02": month("3-c")})
    assert (shard.stat().st_mtime_ns, shard.read_bytes()) == before
    assert list(table(store)) == [ONE]
    assert list(table(store)[ONE]["files"]) == ["2025-01", "2025-02"]
    found = covered(ShardStore(store.lake))
    assert found == covered(store)
    assert found.months == {"2024-12": month(), "2025-01": month("1-a", "2-b"), "2025-02": month("3-c")}
    assert (found.detections, found.tiers, found.events) == ({"flush": "f00d"}, [0.6], 0)


def test_a_footer_that_is_more_than_six_months_behind_is_written_again(store: ShardStore) -> None:
    content = store.version(ONE)
    months = {f"2025-{number:02}": month(f"{number}-a") for number in range(2, 9)}
    *six, seventh = months
    grow(store, **{name: months[name] for name in six})
    assert list(table(store)[ONE]["files"]) == six
    footer = provenance_of(store.lake.shard(ONE))
    assert footer is not None
    assert list(footer["coverage"]["files"]) == ["2024-12", "2025-01"]
    grow(store, **{seventh: months[seventh]})
    footer = provenance_of(store.lake.shard(ONE))
    assert footer is not None
    assert list(footer["coverage"]["files"]) == ["2024-12", "2025-01", *months]
    found = covered(ShardStore(store.lake))
    assert found.months == COVERAGE.months | months
    # MASTER is made of the events, which are the same
    assert store.version(ONE) == found.content == content
    grow(store, **{"2025-09": month("9-a")})
    assert list(table(store)[ONE]["files"]) == ["2025-09"]


def test_events_that_another_process_published_are_not_covered_by_a_late_writer(store: ShardStore) -> None:
    late = covered(store)
    events = master_of(event(symbol=ONE)).select(*SHARD)
    theirs = replace(COVERAGE, detections={"flush": "beef"}, events=1)
    store.replace(ONE, events, theirs)
    months = {f"2025-{number:02}": month(f"{number}-a") for number in range(2, 9)}
    store.replace(ONE, NO_EVENTS, replace(late, months=late.months | months))
    found = covered(ShardStore(store.lake))
    assert (found.months, found.detections, found.events) == (COVERAGE.months, {"flush": "beef"}, 1)
    assert store.read(ONE).height == 1


def test_other_settings_that_find_the_same_events_leave_the_shard(store: ShardStore) -> None:
    before = store.lake.shard(ONE).read_bytes()
    store.replace(ONE, NO_EVENTS, replace(COVERAGE, detections={"flush": "beef"}, tiers=[0.7]))
    assert store.lake.shard(ONE).read_bytes() == before
    assert table(store)[ONE]["files"] == {}
    found = covered(store)
    assert (found.detections, found.tiers, found.months) == ({"flush": "beef"}, [0.7], COVERAGE.months)


def test_a_file_of_bars_that_is_gone_is_no_longer_covered(store: ShardStore) -> None:
    before = covered(store)
    store.replace(ONE, NO_EVENTS, replace(before, months={"2025-01": before.months["2025-01"]}))
    assert table(store)[ONE]["files"] == {"2024-12": None}
    assert covered(store).months == {"2025-01": month("1-a")}
    grow(store, **{"2024-12": month("0-e")})
    assert covered(store).months == {"2024-12": month("0-e"), "2025-01": month("1-a")}


def rewrite(store: ShardStore, detections: dict[str, str]) -> None:
    """The shard as another process leaves it that detected the symbol again after it was lost."""
    store.lake.shard(ONE).unlink()
    store.replace(ONE, NO_EVENTS, replace(COVERAGE, detections=detections))


def test_a_difference_to_another_footer_is_ignored(store: ShardStore) -> None:
    late = covered(store)
    rewrite(store, {"flush": "beef"})
    store.replace(ONE, NO_EVENTS, replace(late, months=late.months | {"2025-01": month("1-a", "2-b")}))
    found = covered(store)
    assert (found.detections, found.months) == ({"flush": "beef"}, COVERAGE.months)


def test_a_shard_that_is_written_again_no_longer_needs_its_difference(store: ShardStore) -> None:
    grow(store, **{"2025-01": month("1-a", "2-b")})
    rewrite(store, {"flush": "beef"})
    assert covered(store).months == COVERAGE.months
    grow(store, **{"2025-01": month("1-a", "2-c")})
    assert covered(store).months["2025-01"] == month("1-a", "2-c")
    assert covered(store).detections == {"flush": "beef"}


def test_writers_of_different_symbols_keep_the_updates_of_each_other(lake: Lake) -> None:
    symbols = [f"A{number}" for number in range(8)]
    for symbol in symbols:
        ShardStore(lake).replace(symbol, NO_EVENTS, COVERAGE)

    def write(symbol: str) -> None:
        for number in range(5):
            grow(ShardStore(lake), symbol, **{"2025-02": month(*["3-c"] * (number + 1))})

    with ThreadPoolExecutor(len(symbols)) as pool:
        list(pool.map(write, symbols))
    assert {symbol: len(covered(ShardStore(lake), symbol).months["2025-02"]) for symbol in symbols} == dict.fromkeys(
        symbols, 5
    )


@pytest.mark.parametrize("damaged", [b"", b"[]", b'{"ABCD": {"of"', bytes(50), b"\xff\xfe"])
def test_a_damaged_table_claims_nothing_and_is_written_again(store: ShardStore, damaged: bytes) -> None:
    grow(store, **{"2025-01": month("1-a", "2-b")})
    store.lake.shard_coverage(ONE).write_bytes(damaged)
    assert covered(store).months == COVERAGE.months
    grow(store, **{"2025-01": month("1-a", "2-c")})
    assert covered(store).months["2025-01"] == month("1-a", "2-c")


def test_a_table_that_cannot_be_written_fails_its_symbols_and_claims_nothing(lake: Lake) -> None:
    store = ShardStore(lake)
    for symbol in ("A", "B"):
        store.replace(symbol, NO_EVENTS, COVERAGE)
    lake.shard_coverage("A").mkdir(parents=True)
    grown = {symbol: covered(store, symbol) for symbol in ("A", "B")}
    grown = {name: replace(one, months=one.months | {"2025-02": month("3-c")}) for name, one in grown.items()}
    failed = store.replace_together(NO_EVENTS, grown)
    assert list(failed) == ["A"]
    assert f"{lake.shard_coverage('A')}: is a folder" in str(failed["A"])
    assert covered(store, "A").months == COVERAGE.months
    assert list(covered(store, "B").months) == ["2024-12", "2025-01", "2025-02"]


def test_symbols_whose_initial_differs_only_in_case_share_a_table(lake: Lake) -> None:
    assert lake.shard_coverage("abc") == lake.shard_coverage("ABCD") == lake.root / "events" / "coverage" / "A.json"


def beside_the_shards(lake: Lake) -> Path:
    """Where a table was before it had a folder of its own."""
    return lake.shards / "coverage=A.json"


def test_a_table_beside_the_shards_is_read_and_moved(store: ShardStore) -> None:
    grow(store, **{"2025-01": month("1-a", "2-b")})
    old = store.lake.shard_coverage(ONE).rename(beside_the_shards(store.lake))
    anew = ShardStore(store.lake)
    assert covered(anew).months["2025-01"] == month("1-a", "2-b")
    anew.differences.move()
    assert not old.exists()
    assert covered(anew).months["2025-01"] == month("1-a", "2-b")


@pytest.mark.parametrize(
    "place", [lambda lake: lake.shard(ONE), lambda lake: lake.shard_coverage(ONE), beside_the_shards]
)
def test_the_state_changes_with_every_shard_and_table(place: Callable[[Lake], Path], store: ShardStore) -> None:
    grow(store, **{"2025-01": month("1-a", "2-b")})
    beside_the_shards(store.lake).touch()
    for path in (store.lake.shard(ONE), store.lake.shard_coverage(ONE), beside_the_shards(store.lake)):
        os.utime(path, ns=(2_000, 2_000))
    before = store.state()
    assert ShardStore(store.lake).state() == before
    os.utime(place(store.lake), ns=(1_000, 1_000))  # an older copy was restored
    assert store.state() != before


def test_a_newer_table_wins_over_one_beside_the_shards(store: ShardStore) -> None:
    """As after a kill before the old one was removed."""
    grow(store, **{"2025-01": month("1-a", "2-b")})
    older = table(store)
    grow(store, **{"2025-01": month("1-a", "2-b", "3-c")})
    beside_the_shards(store.lake).write_text(json.dumps(older | {"ABCE": older[ONE]}), encoding="utf-8")
    assert covered(store).months["2025-01"] == month("1-a", "2-b", "3-c")
    grow(store, **{"2025-02": month("4-d")})
    assert table(store).keys() == {ONE, "ABCE"}, "what others recorded is kept"
    assert not beside_the_shards(store.lake).exists()


# ------------------------------------------------------------------------------- the text files of releases up to 0.1

CONTENT = "0123456789abcdef"
WHOLE = (
    '{"id": "1d", "content": "0123456789abcdef", "detections": {"flush": "f00d"}, "tiers": [0.6], "events": 0, "files":'
    ' {"2024-12": {"stamp": null, "sessions": ""}, "2025-01": {"stamp": [1, 7], "sessions": "2025-01-02 1-a 0.1"}}}'
)
SECOND = (
    '{"of": "1d", "after": 0, "files": {"2025-01": {"stamp": [2, 7], "sessions": "2025-01-02 1-a 0.1;2025-01-03 2-b"}}}'
)
THIRD = '{"of": "1d", "after": 1, "files": {"2025-02": {"stamp": [1, 7], "sessions": "2025-02-03 3-c 0.1"}}}'


def old_shard(lake: Lake, *lines: str, content: str = CONTENT) -> Path:
    """A shard of a release up to 0.1, whose events have the digest `content`."""
    publish_frame(lake.shard(ONE), NO_EVENTS, {"content": content}, below=lake.root)
    path = lake.shard(ONE).with_suffix(".jsonl")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def sessions(lake: Lake) -> list[str] | None:
    found = ShardStore(lake).coverage(ONE)
    return None if found is None else [f"{day:%m-%d} {fingerprint}" for day, fingerprint in found.sessions.items()]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([WHOLE], ["01-02 1-a"]),
        ([WHOLE, SECOND, THIRD], ["01-02 1-a", "01-03 2-b", "02-03 3-c"]),
        ([WHOLE, SECOND[:40], THIRD], ["01-02 1-a", "02-03 3-c"]),
        ([WHOLE, THIRD], ["01-02 1-a"]),
        ([WHOLE, SECOND.replace("1d", "2e")], ["01-02 1-a"]),
        ([WHOLE[:100], SECOND], None),
        ([WHOLE.replace(CONTENT, "f" * 16)], None),
        ([""], None),
    ],
    ids=["whole", "lines", "torn line", "out of place", "of another", "torn", "of other events", "empty"],
)
def test_the_old_text_file_is_read(lake: Lake, lines: list[str], expected: list[str] | None) -> None:
    old_shard(lake, *lines)
    assert sessions(lake) == expected


def add_quiet_session(store: ShardStore) -> None:
    grow(store, **{"2025-03": month("4-d")})


def detect_again(store: ShardStore) -> None:
    store.replace(ONE, NO_EVENTS, replace(COVERAGE, months={"2025-03": month("4-d")}))


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (add_quiet_session, ["01-02 1-a", "01-03 2-b", "01-02 4-d"]),
        (detect_again, ["01-02 4-d"]),
    ],
)
def test_the_next_publication_replaces_the_old_text_file(
    lake: Lake, write: Callable[[ShardStore], None], expected: list[str]
) -> None:
    path = old_shard(lake, WHOLE, SECOND)
    write(ShardStore(lake))
    assert not path.exists()
    found = covered(ShardStore(lake))
    parsed = [
        (day, fingerprint)
        for name in sorted(found.months)
        for day, fingerprint in found.months[name].fingerprints().items()
    ]
    assert [f"{day:%m-%d} {fingerprint}" for day, fingerprint in parsed] == expected


def test_the_events_of_a_shard_of_an_old_release_stay(lake: Lake) -> None:
    path = old_shard(lake, WHOLE)
    before = files_below(lake.shards)[f"symbol={ONE}.parquet"]
    add_quiet_session(ShardStore(lake))
    assert files_below(lake.shards).keys() == {f"symbol={ONE}.parquet"}
    assert lake.shard_coverage(ONE).is_file()
    assert files_below(lake.shards)[f"symbol={ONE}.parquet"] == before
    path.write_text(WHOLE, encoding="utf-8")  # as after a kill before it was removed: the newer record is read
    assert len(covered(ShardStore(lake)).months) == 3


def test_a_shard_of_another_origin_is_an_error_that_names_it(lake: Lake) -> None:
    lake.shards.mkdir(parents=True)
    NO_EVENTS.write_parquet(lake.shard(ONE))
    with pytest.raises(LakeError, match=r"symbol=ABCD\.parquet: its footer has no provenance"):
        ShardStore(lake).coverage(ONE)
    assert pl.read_parquet(lake.shard(ONE)).is_empty()


@pytest.mark.parametrize(
    "garbage", ["x", [1], {}, {"files": {}}, {"files": []}, {"detections": {}, "tiers": [], "events": 0}]
)
def test_an_invalid_entry_counts_as_absent(store: ShardStore, garbage: Any) -> None:
    footer = covered(store).footer
    assert footer is not None
    entry = garbage | {"of": footer.id} if isinstance(garbage, dict) else garbage
    content = json.dumps({ONE: entry, "ABCE": entry})
    store.lake.shard_coverage(ONE).parent.mkdir()
    store.lake.shard_coverage(ONE).write_text(content, encoding="utf-8")
    assert replace(covered(store), content=None) == COVERAGE
    grow(store, **{"2025-02": month("1-b")})
    assert table(store).keys() == {ONE}


def test_a_table_nested_too_deeply_counts_as_absent(store: ShardStore) -> None:
    store.lake.shard_coverage(ONE).parent.mkdir()
    store.lake.shard_coverage(ONE).write_text("[" * 200_000, encoding="utf-8")
    assert replace(covered(store), content=None) == COVERAGE
