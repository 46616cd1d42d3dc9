"""What the stores of bars and shards record as covered, and what stays when data are added."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from threading import Barrier
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS, SHARD
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import event, files_below, new_lake
from smallcaps_assets_tests.scenarios import bars_from, flat

MON, TUE, WED = date(2025, 11, 3), date(2025, 11, 4), date(2025, 11, 5)
OCT, NOV = date(2025, 10, 1), date(2025, 11, 1)
NOTHING = QUARANTINED_BARS.to_frame()


def day(number: int, minutes: int = 3, price: float = 10.0, month: int = 11) -> pl.DataFrame:
    return bars_from(f"2025-{month:02}-{number:02} 10:00", flat(minutes, price))


def rejected(bars: pl.DataFrame, reason: str = "bad") -> pl.DataFrame:
    return bars.with_columns(reason=pl.lit(reason))


@pytest.fixture
def store(lake: Lake) -> BarsStore:
    return BarsStore(lake)


def test_an_empty_lake_covers_nothing(store: BarsStore) -> None:
    assert store.covered("AEMD") == set()
    assert store.fingerprints("AEMD") == {}
    assert store.symbols() == []
    assert_frame_equal(store.read("AEMD"), BARS.to_frame())


def test_a_fetched_session_without_bars_is_covered(store: BarsStore) -> None:
    store.add("AEMD", NOV, [MON, TUE], day(3), NOTHING)
    assert store.covered("AEMD") == {MON, TUE}
    assert store.read("AEMD").height == 3
    store.add("BRK.B", NOV, [MON], BARS.to_frame(), NOTHING)
    assert store.covered("BRK.B") == {MON}
    assert store.symbols() == ["AEMD", "BRK.B"]


def test_other_sessions_stay_as_they_are(store: BarsStore) -> None:
    store.add("AEMD", NOV, [WED], day(5), NOTHING)
    wednesday = store.fingerprints("AEMD")[WED]
    store.add("AEMD", NOV, [MON], day(3, price=11.0), NOTHING)
    assert store.covered("AEMD") == {MON, WED}
    assert store.fingerprints("AEMD")[WED] == wednesday
    assert_frame_equal(store.read("AEMD"), pl.concat([day(3, price=11.0), day(5)]))


def test_a_session_that_is_added_again_is_replaced(store: BarsStore) -> None:
    store.add("AEMD", NOV, [MON, WED], pl.concat([day(3), day(5)]), NOTHING)
    store.add("AEMD", NOV, [MON], day(3, minutes=1, price=12.0), NOTHING)
    assert_frame_equal(store.read("AEMD"), pl.concat([day(3, minutes=1, price=12.0), day(5)]))


def test_bars_of_other_sessions_are_not_stored(store: BarsStore) -> None:
    store.add("AEMD", NOV, [MON], pl.concat([day(3), day(4)]), NOTHING)
    assert_frame_equal(store.read("AEMD"), day(3))
    assert store.covered("AEMD") == {MON}


def test_the_month_and_the_day_are_those_of_new_york(store: BarsStore, lake: Lake) -> None:
    # 19:59 in New York on 31 October is 23:59 UTC; 20:30 would be 1 November in UTC
    evening = bars_from("2025-10-31 20:30", flat(1))
    store.add("AEMD", OCT, [date(2025, 10, 31)], evening, NOTHING)
    assert (lake.bars("AEMD") / "2025-10.parquet").is_file()
    assert store.read("AEMD", date(2025, 10, 31), date(2025, 10, 31)).height == 1
    assert store.read("AEMD", date(2025, 11, 1)).is_empty()


def test_reading_takes_both_ends_and_several_months(store: BarsStore) -> None:
    store.add(
        "AEMD",
        OCT,
        [date(2025, 10, 30), date(2025, 10, 31)],
        pl.concat([day(30, month=10), day(31, month=10)]),
        NOTHING,
    )
    store.add("AEMD", NOV, [MON, TUE], pl.concat([day(3), day(4)]), NOTHING)
    assert_frame_equal(store.read("AEMD", date(2025, 10, 31), MON), pl.concat([day(31, month=10), day(3)]))
    assert store.read("AEMD").height == 12
    assert store.read("AEMD", date(2025, 12, 1)).is_empty()


def fingerprint(store: BarsStore, bars: pl.DataFrame) -> str:
    store.add("AEMD", NOV, [WED], bars, NOTHING)
    return store.fingerprints("AEMD")[WED]


BASE = bars_from("2025-11-05 10:00", [(10.0, 10.2, 9.9, 10.1, 500.0, 7), (10.1, 10.3, 10.0, 10.2, 600.0, None)])


@pytest.mark.parametrize(
    "change",
    [
        *({name: value} for name, value in (("open", 10.01), ("high", 10.21), ("low", 9.89), ("close", 10.11))),
        {"volume": 500.5},
        {"transactions": 8},
        {"transactions": None},
        {"transactions": 0},
        {"timestamp": datetime(2025, 11, 5, 14, 59, tzinfo=UTC)},
        # open and close change places
        {"open": 10.1, "close": 10.0},
    ],
)
def test_a_fingerprint_changes_with_its_bars(store: BarsStore, change: dict[str, Any]) -> None:
    before = fingerprint(store, BASE)
    altered = BASE.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(value, dtype=BARS[name])).otherwise(name).alias(name)
        for name, value in change.items()
    )
    assert fingerprint(store, altered) != before
    assert fingerprint(store, BASE) == before


def test_a_fingerprint_changes_with_the_order_of_bars(store: BarsStore) -> None:
    swapped = BASE.with_columns(pl.col("timestamp").reverse()).sort("timestamp")
    assert fingerprint(store, swapped) != fingerprint(store, BASE)
    assert fingerprint(store, BASE.head(1)) != fingerprint(store, BASE)
    assert fingerprint(store, BARS.to_frame()) != fingerprint(store, BASE.head(1))


def test_a_fingerprint_does_not_depend_on_what_else_is_in_the_file(store: BarsStore, lake: Lake) -> None:
    alone = fingerprint(store, BASE)
    store.add("AEMD", NOV, [MON], day(3), NOTHING)
    assert store.fingerprints("AEMD")[WED] == alone
    other = BarsStore(new_lake(lake.root.with_name("other")))
    other.add("AEMD", NOV, [MON, WED], pl.concat([BASE, day(3)]), NOTHING)
    assert other.fingerprints("AEMD")[WED] == alone


def test_files_without_provenance_cover_their_dates(store: BarsStore, lake: Lake) -> None:
    folder = lake.bars("AEMD")
    folder.mkdir(parents=True)
    pl.concat([day(3), day(5)]).write_parquet(folder / "2025-11.parquet")
    assert store.covered("AEMD") == {MON, WED}
    stated = BarsStore(new_lake(lake.root.with_name("other")))
    stated.add("AEMD", NOV, [MON, WED], pl.concat([day(3), day(5)]), NOTHING)
    assert store.fingerprints("AEMD") == stated.fingerprints("AEMD")
    # a session that is added makes the file ours, and the others stay
    store.add("AEMD", NOV, [TUE], day(4), NOTHING)
    assert store.covered("AEMD") == {MON, TUE, WED}
    assert store.read("AEMD").height == 9


def test_a_file_with_other_columns_is_rejected_by_name(store: BarsStore, lake: Lake) -> None:
    folder = lake.bars("AEMD")
    folder.mkdir(parents=True)
    day(3).rename({"vwap": "vw"}).write_parquet(folder / "2025-11.parquet")
    with pytest.raises(
        LakeError, match=r"symbol=AEMD/2025-11\.parquet: no column vwap.*materialize minute_bars of AEMD"
    ):
        store.read("AEMD")


def test_symbols_that_cannot_name_a_folder_never_reach_the_disk(store: BarsStore) -> None:
    with pytest.raises(InputError, match="not usable"):
        store.add("../x", NOV, [MON], day(3), NOTHING)


def quarantine(lake: Lake) -> pl.DataFrame:
    return pl.read_parquet(lake.quarantine_path(lake.bars("AEMD") / "2025-11.parquet"))


def test_rejected_rows_are_stored_per_session(store: BarsStore, lake: Lake) -> None:
    store.add("AEMD", NOV, [MON], day(3), rejected(day(3, minutes=2)))
    store.add("AEMD", NOV, [TUE], day(4), rejected(day(4, minutes=1)))
    assert quarantine(lake).height == 3
    # Monday comes again, this time without fault
    store.add("AEMD", NOV, [MON], day(3), NOTHING)
    assert quarantine(lake)["timestamp"].dt.day().to_list() == [4]


def test_rejected_rows_of_other_sessions_are_unchanged(store: BarsStore, lake: Lake) -> None:
    store.add("AEMD", NOV, [MON], day(3), rejected(pl.concat([day(3), day(4)])))
    assert quarantine(lake)["timestamp"].dt.day().unique().to_list() == [3]


def test_a_rejected_row_without_a_time_stays_when_sessions_are_added(store: BarsStore, lake: Lake) -> None:
    timeless = rejected(day(3, minutes=1).with_columns(timestamp=pl.lit(None, dtype=BARS["timestamp"])), "no timestamp")
    store.add("AEMD", NOV, [MON], day(3), timeless)
    store.add("AEMD", NOV, [TUE], day(4), NOTHING)
    assert quarantine(lake)["reason"].to_list() == ["no timestamp"]


def test_concurrent_additions_and_merges_are_all_stored(store: BarsStore) -> None:
    """Several threads add to one month; each reads it and publishes it with its rows."""
    work = [lambda number=number: store.merge("AEMD", NOV, day(number)) for number in (3, 4, 5, 6)]
    work.append(lambda: store.add("AEMD", NOV, [date(2025, 11, 7)], day(7), NOTHING))
    together = Barrier(len(work))

    def begin(one: Callable[[], object]) -> None:
        together.wait()
        one()

    with ThreadPoolExecutor(len(work)) as threads:
        list(threads.map(begin, work))
    assert_frame_equal(store.read("AEMD"), pl.concat(day(number) for number in (3, 4, 5, 6, 7)))
    assert len(store.covered("AEMD")) == 5


def test_no_quarantine_file_without_rejected_rows(store: BarsStore, lake: Lake) -> None:
    store.add("AEMD", NOV, [MON], day(3), NOTHING)
    assert not lake.quarantine.exists()


# ------------------------------------------------------------------------------------------------- shards


def shard(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{name: row[name] for name in SHARD} for row in rows], schema=SHARD, orient="row")


COVERAGE = ShardCoverage.of({"flush": "abc"}, [0.6, 0.5], {WED: "3-ff", MON: "0-00"}, {WED: 0.1 + 0.2, MON: 1e6}, 2)


def test_a_shard_reads_back_as_written(lake: Lake) -> None:
    store, events = ShardStore(lake), shard(event(event_type="flush"), event())
    store.replace("AEMD", events, COVERAGE)
    assert_frame_equal(store.read("AEMD"), events)
    found = store.coverage("AEMD")
    assert found is not None
    assert replace(found, content=None) == COVERAGE
    assert store.coverage("B") is None


def test_all_shards_together(lake: Lake) -> None:
    store = ShardStore(lake)
    assert_frame_equal(store.scan().collect(), SHARD.to_frame())
    store.replace("B", shard(event(symbol="B")), COVERAGE)
    store.replace("A", shard(), COVERAGE)
    assert [path.name for path in store.files()] == ["symbol=A.parquet", "symbol=B.parquet"]
    assert store.scan().collect()["symbol"].to_list() == ["B"]
    assert len(files_below(lake.root)) == 2


def test_remains_of_killed_writers_are_removed_for_this_shard_only(lake: Lake) -> None:
    lake.shards.mkdir(parents=True)
    left = [lake.shards / f".symbol={name}.0123abcd.0a.part" for name in ("A.parquet", "A.B.parquet", "B.parquet")]
    for path in left:
        path.write_bytes(b"half")
    ShardStore(lake).replace("A", shard(), COVERAGE)
    assert [path.exists() for path in left] == [False, True, True]


def test_a_shard_that_does_not_say_what_it_covers_is_rejected(lake: Lake) -> None:
    lake.shards.mkdir(parents=True)
    shard(event()).write_parquet(lake.shard("AEMD"))
    with pytest.raises(LakeError, match="its footer has no provenance"):
        ShardStore(lake).coverage("AEMD")
