"""Damage is noticed by whoever reads a file, never published again as sound, and set aside for a new file."""

import json
from collections.abc import Callable
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS, EVENTS
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.month_files import fingerprint_sessions
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.master import load_master
from smallcaps_assets.lake.files.content_hash import DAMAGE, ProofState, document_proof, proof_of
from smallcaps_assets.lake.files.damaged_files import set_aside
from smallcaps_assets.lake.files.publish import publish_changed, publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.bar_minutes import read_minutes
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets_tests.scenarios import bars_from, flat, flip_bit, sessions_of, without_hash

ONE = "AEMD"
DAY, NEXT = date(2025, 11, 5), date(2025, 11, 6)
MONTH = DAY.replace(day=1)
MINUTES = bars_from(f"{DAY} 09:30", flat(30), ONE)
NOTHING = QUARANTINED_BARS.to_frame()


@pytest.fixture
def store(lake: Lake) -> BarsStore:
    """Bars of a session of two symbols."""
    made = BarsStore(lake)
    made.add(ONE, MONTH, [DAY], MINUTES, NOTHING)
    made.add("OTHR", MONTH, [DAY], bars_from(f"{DAY} 09:30", flat(30), "OTHR"), NOTHING)
    return made


READERS: dict[str, Callable[[BarsStore], object]] = {
    "all bars of a symbol": lambda store: store.read(ONE),
    "bars of several symbols": lambda store: store.read_together([ONE, "OTHR"], DAY),
    "some columns": lambda store: store.scan([ONE], ["timestamp", "close"]),
    "minutes of all symbols": lambda store: store.regular_minutes(sessions_of(f"{DAY}")),
    "minutes of windows": lambda store: read_minutes(store.lake, MINUTES, ["symbol", "timestamp"]),
    "one more session": lambda store: store.add(ONE, MONTH, [NEXT], BARS.to_frame(), NOTHING),
    "imported bars": lambda store: store.merge(ONE, MONTH, MINUTES.head(3)),
    "bars to compare": lambda store: store.agreement(ONE, MINUTES),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_takes_damaged_bars(reader: str, store: BarsStore) -> None:
    READERS[reader](store)
    path = store.lake.bars(ONE) / "2025-11.parquet"
    flip_bit(path)
    damaged = path.read_bytes()
    remedy = rf"materialize minute_bars of {ONE} with the run config {{refetch_damaged: true}}.*about one request"
    with pytest.raises(LakeError, match=rf"2025-11\.parquet: is damaged: .*SHA-256.*{remedy}"):
        READERS[reader](store)
    assert path.read_bytes() == damaged, "damage is not published again"
    assert store.read("OTHR").height == 30


def test_damaged_months_are_set_aside_with_their_reason(store: BarsStore) -> None:
    path = store.lake.bars(ONE) / "2025-11.parquet"
    store.add(ONE, date(2025, 12, 1), [date(2025, 12, 1)], BARS.to_frame(), NOTHING)
    assert store.set_aside_damaged(ONE) == {}
    flip_bit(path)
    damaged = path.read_bytes()
    assert store.set_aside_damaged(ONE) == {"2025-11": DAMAGE}
    assert store.covered(ONE) == {date(2025, 12, 1)}
    place = store.lake.quarantine / "damaged" / "bars" / "minute" / f"symbol={ONE}"
    (kept,) = place.glob("*.damaged")
    assert kept.name.startswith("2025-11.parquet.")
    assert kept.read_bytes() == damaged
    record = json.loads(kept.with_name(f"{kept.name}.json").read_text())
    assert (record["file"], record["reason"]) == (f"bars/minute/symbol={ONE}/2025-11.parquet", DAMAGE)
    assert document_proof(record).state is ProofState.INTACT
    assert list(place.glob("*.parquet")) == [], "no reader of folders takes it for bars"


def test_several_damaged_files_of_one_path_are_kept(lake: Lake) -> None:
    for content in (b"one", b"two", b"two"):
        lake.master.parent.mkdir(exist_ok=True)
        lake.master.write_bytes(content)
        set_aside(lake, lake.master, "a reason")
    assert sorted(path.read_bytes() for path in lake.quarantine.rglob("*.damaged")) == [b"one", b"two"]


@pytest.mark.parametrize("name", ["2025-12", "2025-10"])
def test_a_month_under_the_name_of_another_is_noticed(name: str, store: BarsStore) -> None:
    folder = store.lake.bars(ONE)
    (folder / "2025-11.parquet").rename(folder / f"{name}.parquet")
    with pytest.raises(LakeError, match=rf"{name}\.parquet: has sessions of another month, such as {DAY}\. .*renamed"):
        store.covered(ONE)
    assert list(store.set_aside_damaged(ONE)) == [name]


# ------------------------------------------------------------------------------------------------- earlier releases


def test_files_of_an_earlier_release_get_their_hash_when_minute_bars_is_materialized(store: BarsStore) -> None:
    path = store.lake.bars(ONE) / "2025-11.parquet"
    before, marks = store.read(ONE), store.fingerprints(ONE)
    without_hash(path)
    assert_frame_equal(store.read(ONE), before)
    assert store.renew(ONE) == store.fingerprints(ONE) == marks
    assert proof_of(path).state is ProofState.INTACT
    assert_frame_equal(store.read(ONE), before)


def test_damage_of_a_file_of_an_earlier_release_gets_no_hash(store: BarsStore) -> None:
    """The fingerprints in its footer show it."""
    path = store.lake.bars(ONE) / "2025-11.parquet"
    footer = {name: text for name, text in pl.read_parquet_metadata(path).items() if name == "smallcaps"}
    other = pl.read_parquet(path, hive_partitioning=False).with_columns(close=pl.col("close") + 0.01)
    assert fingerprint_sessions(other) != store.fingerprints(ONE)
    other.write_parquet(path, metadata=footer)
    before = path.read_bytes()
    for touch in (store.renew, lambda symbol: store.add(symbol, MONTH, [NEXT], BARS.to_frame(), NOTHING)):
        with pytest.raises(LakeError, match=r"2025-11\.parquet: is damaged: has bars other than its footer records"):
            touch(ONE)
    assert path.read_bytes() == before
    assert list(store.set_aside_damaged(ONE)) == ["2025-11"]


# ------------------------------------------------------------------------------------------------- other tables


def test_rejected_rows_are_added_beside_a_damaged_file_of_them(store: BarsStore) -> None:
    rejected = MINUTES.head(1).with_columns(reason=pl.lit("a reason"))
    store.quarantine(ONE, rejected)
    path = store.lake.quarantine / "bars" / "minute" / f"symbol={ONE}" / "undated.parquet"
    flip_bit(path)
    store.quarantine(ONE, rejected.with_columns(reason=pl.lit("another")))
    assert pl.read_parquet(path, hive_partitioning=False)["reason"].to_list() == ["another"]
    assert len(list((store.lake.quarantine / "damaged").rglob("undated.parquet.*.damaged"))) == 1


def test_a_damaged_universe_is_named_with_what_it_costs(lake: Lake) -> None:
    universe = UniverseStore(lake)
    universe.replace(UNIVERSE.to_frame(), {"source": "mine"})
    assert universe.followed() == {}
    flip_bit(lake.universe, -60)
    with pytest.raises(LakeError, match=r"universe\.parquet: is damaged: .* requests of its lists"):
        universe.followed()


def test_a_damaged_master_is_named(lake: Lake) -> None:
    publish_frame(lake.master, EVENTS.to_frame(), below=lake.root)
    assert load_master(lake).is_empty()
    flip_bit(lake.master, -60)
    with pytest.raises(
        LakeError, match=r"master\.parquet: is damaged: .* Materialize master_events.*without a request"
    ):
        load_master(lake)


@pytest.mark.parametrize("spoil", [flip_bit, without_hash], ids=["damaged", "of an earlier release"])
def test_equal_rows_are_published_again_where_the_file_is_not_proven(spoil: Callable[..., None], lake: Lake) -> None:
    path = lake.root / "table.parquet"
    table = pl.DataFrame({"number": range(50)})
    assert publish_changed(path, table, {"made": "here"})
    assert not publish_changed(path, table, {"made": "here"})
    spoil(path)
    assert publish_changed(path, table, {"made": "here"})
    assert proof_of(path).state is ProofState.INTACT
