"""`smallcaps import windows`: tape downloaded elsewhere becomes the tape of the lake, and is asked for by nobody."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import AssetKey
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.commands.services.state import open_state_as_is
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tables import BARS, TRADES
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.imports import imported_kinds
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import LATER, Gate, event, files_below, manifest_of, quotes_at, trades_at
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import default_settings

PARAMS = default_settings().profiles["core"]
# two windows of AVLO that are one span, one of CRVO, and one of AVLO before the open
MARKET = manifest_of(
    event("2025-11-26 10:00", event_id="AVLO_a_1", symbol="AVLO"),
    event("2025-11-26 10:05", event_id="AVLO_a_2", symbol="AVLO"),
    event("2025-11-26 11:00", event_id="CRVO_c_1", symbol="CRVO"),
    event("2025-11-26 08:00", event_id="AVLO_p_1", symbol="AVLO", session="PM"),
)
PAIRS = [("AVLO", "RTH"), ("CRVO", "RTH"), ("AVLO", "PM")]
# by hand: windows [-3, +7) around ten and around eleven o'clock in New York
TEN = datetime(2025, 11, 5, 15, tzinfo=UTC)
HAND = manifest_of(
    event("2025-11-05 10:00", event_id="one"),
    event("2025-11-05 10:05", event_id="near"),
    event("2025-11-05 11:00", event_id="two"),
)
HELD = ["--before", "3", "--after", "7"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone; the environment is put back afterwards."""
    folder = tmp_path / "home"
    shutil.copytree(REPOSITORY / "config", folder / "config")
    shutil.copy(REPOSITORY / "dagster.yaml", folder / "dagster.yaml")
    for name in (
        *("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"),
        "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS",
    ):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(folder))
    return folder


@pytest.fixture
def lake(home: Path) -> Lake:
    """The lake of the folder."""
    return Lake(home / "lake")


def freeze(lake: Lake, manifest: pl.DataFrame, profile: str = "core") -> None:
    store = ManifestStore.in_lake(lake, profile)
    store.freeze(Selection(manifest, [], {}), config_hash="c", master_sha256="m", now=LATER)


Import = Callable[..., dict[str, Any]]


@pytest.fixture
def take_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Import:
    """Run the command over `old` and return what it says; `code` is what it must return."""

    def run(*flags: object, code: int = 0, held: list[str] = HELD, profile: str = "core") -> dict[str, Any]:
        arguments = ["import", "windows", str(tmp_path / "old"), "--profile", profile, "--json", *held]
        assert main([*arguments, *map(str, flags)]) == code
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        return said

    return run


def write(folder: Path, kind: TapeKind, event_id: str, rows: pl.DataFrame, *, flat: bool = False) -> Path:
    path = (
        folder / f"{event_id}_{kind}.parquet"
        if flat
        else folder / "symbol=AEMD" / f"event={event_id}" / f"{kind}.parquet"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(path)
    return path


def at(*minutes: float) -> list[datetime]:
    return [TEN + timedelta(minutes=minute) for minute in minutes]


def trades(*minutes: float) -> pl.DataFrame:
    return trades_at(*at(*minutes)).with_columns(exchange=pl.lit(4, pl.Int64), trade_id=pl.lit("t"))


def quotes(*minutes: float) -> pl.DataFrame:
    return quotes_at(*at(*minutes))


def ledger(lake: Lake, profile: str = "core") -> dict[str, dict[str, Any]]:
    return {row["event_id"]: row for row in pl.read_parquet(lake.ledger(profile)).to_dicts()}


# --------------------------------------------------------------------------------- a whole lake, there and back


def capture(lake: Lake, client: MarketDataClient, profile: str = "core") -> None:
    params = default_settings().profiles["core" if profile == "core" else "plus"]
    for kind in TAPE_KINDS:
        tape = TapeStore(lake, profile, params, default_settings().capture.size_budget)
        work = Capture(kind, tape, client, threads=2, config_hash="c", log=lambda line: None)  # noqa: ARG005
        assert not [problem for outcome in work.run(MARKET, PAIRS) for problem in outcome.problems]


def exported(client: MarketDataClient, folder: Path) -> None:
    """The windows of MARKET as the earlier system kept them; of one symbol under the vendor's names, in flat files."""
    for row in MARKET.to_dicts():
        start, end = (row["timestamp"] + timedelta(minutes=minutes) for minutes in (-3, 7))
        for kind, download in (("trades", client.trades), ("quotes", client.quotes)):
            frame = download(row["symbol"], start, end).frame
            if row["symbol"] == "CRVO":
                raw = {"timestamp": "sip_timestamp", "trade_id": "id"}
                frame = frame.rename({name: raw[name] for name in raw if name in frame.columns})
                frame = frame.with_columns(pl.col(pl.Datetime("ns", "UTC")).dt.epoch("ns"))
                if frame["conditions"].null_count() == frame.height:
                    frame = frame.drop("conditions")
                path = folder / f"{row['event_id']}_{kind}.parquet"
            else:
                path = folder / f"symbol={row['symbol']}" / f"event={row['event_id']}" / f"{kind}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(path)


@pytest.fixture
def adopted(lake: Lake, client: MarketDataClient, gate: Gate, tmp_path: Path, take_in: Import) -> dict[str, Any]:
    """What the import of MARKET's windows said; afterwards nothing was asked of the vendor."""
    exported(client, tmp_path / "old")
    freeze(lake, MARKET)
    gate.asked.clear()
    said = take_in("--resolution", "full")
    assert gate.asked == []
    return said


def tape_of(lake: Lake) -> dict[str, pl.DataFrame]:
    return {
        path.relative_to(lake.root).as_posix(): pl.read_parquet(path, hive_partitioning=False)
        for path in sorted((lake.root / "tape").rglob("wave=*/symbol=*/*.parquet"))
    }


def test_the_tape_is_the_one_a_capture_makes(
    adopted: dict[str, Any], lake: Lake, client: MarketDataClient, tmp_path: Path
) -> None:
    other = Lake(tmp_path / "captured")
    freeze(other, MARKET)
    capture(other, client)
    mine, theirs = tape_of(lake), tape_of(other)
    assert list(mine) == list(theirs)
    assert len(mine) == 6
    for name, frame in mine.items():
        assert_frame_equal(frame, theirs[name])
    assert sum(frame.height for frame in mine.values()) > 100
    assert adopted["events"] == {"complete": 4}
    assert adopted["refused"] == []
    assert [adopted[kind]["adopted"] for kind in TAPE_KINDS] == [4, 4]


@pytest.mark.usefixtures("adopted")
def test_a_capture_asks_for_nothing(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    before = files_below(lake.root)
    capture(lake, client)
    assert gate.asked == []
    assert files_below(lake.root) == before
    # nor does another profile ask for the trades, which are not thinned
    freeze(lake, MARKET, "plus")
    capture(lake, client, "plus")
    assert gate.asked
    assert {path.split("/")[2] for path, _ in gate.asked} == {"quotes"}
    tape = TapeStore(lake, "plus", default_settings().profiles["plus"])
    names = build_ledger(MARKET, tape)["trades_adopted_from"].to_list()
    assert all(names)


@pytest.mark.usefixtures("adopted")
def test_the_ledger_certifies_what_was_taken_in(lake: Lake) -> None:
    rows = ledger(lake)
    assert {row["state"] for row in rows.values()} == {"complete"}
    assert {row[f"{kind}_requests"] for row in rows.values() for kind in TAPE_KINDS} == {0}
    assert rows["CRVO_c_1"]["trades_adopted_from"] == ["CRVO_c_1_trades.parquet"]
    assert rows["AVLO_a_1"]["quotes_adopted_from"] == [
        "symbol=AVLO/event=AVLO_a_1/quotes.parquet",
        "symbol=AVLO/event=AVLO_a_2/quotes.parquet",
    ]
    assert rows["AVLO_a_1"]["trades_fetched_at"] is None
    assert capture_effort(TapeStore(lake, "core", PARAMS))["requests"].sum() == 0


@pytest.mark.usefixtures("adopted")
def test_verify_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--profile", "core"]) == 0
    assert "every file is as certified" in capsys.readouterr().out


def test_dagster_is_told_of_whole_partitions(adopted: dict[str, Any], take_in: Import) -> None:
    assert adopted["partitions_told_to_dagster"] == {"trades": 3, "quotes": 3}
    with open_state_as_is(load_settings()) as instance:
        assert set(instance.get_dynamic_partitions("symbols")) == {"AVLO", "CRVO"}
        for kind in TAPE_KINDS:
            found = instance.get_materialized_partitions(AssetKey(["core", f"tape_{kind}"]))
            assert set(found) == {"AVLO|RTH", "CRVO|RTH", "AVLO|PM"}
    assert take_in("--resolution", "full")["partitions_told_to_dagster"] == {"trades": 0, "quotes": 0}


@pytest.mark.usefixtures("adopted")
def test_the_same_again_changes_no_byte(lake: Lake, take_in: Import) -> None:
    before = files_below(lake.root)
    again = take_in("--resolution", "full")
    assert files_below(lake.root) == before
    assert [again[kind]["there_already"] for kind in TAPE_KINDS] == [4, 4]
    assert [again[kind]["adopted"] for kind in TAPE_KINDS] == [0, 0]


@pytest.mark.usefixtures("adopted")
def test_what_is_lost_is_taken_in_again(lake: Lake, take_in: Import) -> None:
    before = files_below(lake.root)
    lost = lake.tape_wave("core", "trades", "RTH", "AVLO") / "20251126T145700_20251126T151200.parquet"
    lost.unlink()
    again = take_in("--resolution", "full")
    assert (again["trades"]["adopted"], again["quotes"]["adopted"]) == (2, 0)
    assert {name: content for name, (_, content) in files_below(lake.root).items()} == {
        name: content for name, (_, content) in before.items()
    }


# -------------------------------------------------------------------------------------------- file by file


def test_bad_files_are_named_and_stop_no_other(lake: Lake, tmp_path: Path, take_in: Import) -> None:
    freeze(lake, HAND)
    old = tmp_path / "old"
    sound = trades(59, 60, 61)
    write(old, "trades", "two", sound)
    write(old, "trades", "strange", trades(0))
    (old / "notes.parquet").write_bytes(b"no tape at all")
    bad = write(old, "trades", "one", trades(0, 1), flat=True)
    bad.write_bytes(bad.read_bytes()[:-20])
    said = take_in(code=1)
    assert said["trades"] | {"files": 3, "adopted": 1, "refused": 1, "not_in_manifest": 1, "rows": 3} == said["trades"]
    assert [(row["file"], row["kind"], row["event_id"]) for row in said["refused"]] == [
        ("one_trades.parquet", "trades", "one")
    ]
    aside = pl.read_parquet(lake.root / "quarantine" / "tape" / "core" / "adopted.parquet")
    assert aside.to_dicts() == said["refused"]
    before = files_below(lake.root)
    take_in(code=1)
    assert files_below(lake.root) == before
    write(old, "trades", "one", trades(0, 1), flat=True)
    mended = take_in()
    assert (mended["trades"]["there_already"], mended["trades"]["adopted"], mended["refused"]) == (1, 1, [])
    path = lake.tape_wave("core", "trades", "RTH", "AEMD") / "20251105T155700_20251105T160700.parquet"
    assert_frame_equal(pl.read_parquet(path, hive_partitioning=False), sound.select(*TRADES))


def in_microseconds(rows: pl.DataFrame) -> pl.DataFrame:
    """Nanoseconds written down as if they were microseconds: the year 57808."""
    return rows.with_columns(pl.col("timestamp").dt.epoch("ns").cast(pl.Datetime("us", "UTC")))


@pytest.mark.parametrize(
    ("kind", "rows", "reason"),
    [
        ("trades", in_microseconds(trades(0, 1)), "nanoseconds read in another unit"),
        ("trades", trades(0, 1).with_columns(pl.col("timestamp").dt.epoch("us")), "timestamp cannot be"),
        ("trades", trades(0, 8), "rows outside its span: 1 of 2"),
        ("trades", trades(0, 1).with_columns(price=pl.lit(float("nan"))), "price is not a finite number: 2 of 2"),
        ("trades", trades(0, 1).with_columns(price=-pl.col("price")), "price is not above 0"),
        ("trades", trades(0, 1).with_columns(size=pl.lit(None, pl.Float64)), "size is missing in 2 of 2"),
        ("trades", trades(0, 1).drop("price", "trade_id"), "no column price, trade_id"),
        ("trades", trades(0, 1).with_columns(price=pl.lit("10.2")), "column price is String, not a number"),
        ("trades", trades(0, 1).with_columns(exchange=pl.lit(4.5)), "exchange cannot be Int64 in 2 of 2"),
        ("trades", trades(0, 0).with_columns(sequence_number=pl.lit(1)), "rows more than once: 2 of 2"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit("a,b")), "in 2 of 2 rows, such as a,b"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit("@ T")), "in 2 of 2 rows, such as @ T"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit("[12, 37")), "such as [12, 37"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit("[12.5, 37.0]")), "such as [12.5, 37.0]"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit("1" * 20)), "such as 11111111111111111111"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit([1.5, 2.0])), "such as [1.5, 2.0]"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit(["12", "T"])), "such as ['12', 'T']"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit([True])), "conditions is List(Boolean), not a list"),
        ("trades", trades(0, 1).with_columns(exchange=pl.lit(2**63, pl.UInt64)), "such as 9223372036854775808 ("),
        ("trades", pl.concat([trades(0)] * 50_000).with_row_index("n").select(
            pl.exclude("n", "sequence_number"), sequence_number="n"), "looks cut off: its 50,000 rows"),
        (
            "quotes",
            quotes(0, 1, 2).rename({"bid_price": "ask_price", "ask_price": "bid_price"}),
            "the book is crossed: 3 of 3",
        ),
        ("quotes", quotes(0, 1).with_columns(bid_size=pl.lit(-1.0)), "bid_size is below 0"),
    ],
)  # fmt: skip
def test_what_is_not_sound_is_refused_with_the_reason(
    lake: Lake, tmp_path: Path, take_in: Import, *, kind: TapeKind, rows: pl.DataFrame, reason: str
) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", kind, "one", rows)
    said = take_in("--resolution", "full", code=1)
    assert reason in said["refused"][0]["reason"]
    assert said["events"] == {"missing": 3}
    assert tape_of(lake) == {}


@pytest.mark.parametrize(
    "rows",
    [
        trades(0, 1)[::-1],  # order is put right
        pl.concat([trades(0, 1), trades(0, 1)]),  # pages that overlap
        trades(0, 1, 7),  # who asked up to the end has the end
        trades(0, 1).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "America/New_York"))),
        trades(0, 1).with_columns(pl.col("timestamp").dt.epoch("ns").cast(pl.UInt64)),
        trades(0, 1).with_columns(pl.col("price").cast(pl.Float32), pl.col("size").cast(pl.Int32)),
        trades(0, 1).with_columns(conditions=pl.lit("12"), sequence_number=pl.col("sequence_number").cast(pl.Float64)),
        trades(0, 1).drop("tape", "trf_id", "correction").with_columns(a_column_of_mine=1),
    ],
)
def test_whatever_says_the_same_is_the_same(lake: Lake, tmp_path: Path, take_in: Import, rows: pl.DataFrame) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "one", rows)
    assert take_in()["trades"]["rows"] == 2
    (found,) = tape_of(lake).values()
    assert_frame_equal(found, trades(0, 1).select(*TRADES))


def test_clocks_without_a_zone_are_not_guessed(lake: Lake, tmp_path: Path, take_in: Import) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "one", trades(0, 1).with_columns(pl.col("timestamp").dt.replace_time_zone(None)))
    assert "no time zone" in take_in(code=1)["refused"][0]["reason"]
    assert take_in("--timezone", "UTC")["trades"]["adopted"] == 1


def test_a_file_that_lacks_what_its_neighbour_has_is_refused(lake: Lake, tmp_path: Path, take_in: Import) -> None:
    freeze(lake, HAND)
    # [-3, 7) and [2, 12) share five minutes, of which the second file lacks a trade
    numbered = trades(0, 3, 4, 8)
    write(tmp_path / "old", "trades", "one", numbered[:3])
    write(tmp_path / "old", "trades", "near", numbered[2:])
    said = take_in(code=1)
    assert [(row["event_id"], row["reason"]) for row in said["refused"]] == [
        ("near", "has 2 rows, with its neighbours there are 3")
    ]
    assert list(tape_of(lake)) == ["tape/core/trades/wave=RTH/symbol=AEMD/20251105T145700_20251105T150700.parquet"]


def test_files_that_hold_less_than_the_window_are_left_for_the_capture(
    lake: Lake, tmp_path: Path, take_in: Import
) -> None:
    freeze(lake, HAND.with_columns(window_before_min=pl.Series([3, 10, 3])))
    write(tmp_path / "old", "trades", "one", trades(0))
    write(tmp_path / "old", "trades", "near", trades(5))
    told = take_in()["trades"]
    assert (told["adopted"], told["shorter_than_the_window"], told["refused"]) == (1, 1, 0)
    told = take_in(held=["--before", "10", "--after", "20"])["trades"]
    assert (told["adopted"], told["shorter_than_the_window"], told["there_already"]) == (1, 0, 1)


def test_the_manifest_that_files_were_made_for_says_what_they_hold(lake: Lake, tmp_path: Path, take_in: Import) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "one", trades(-9, 0))
    write(tmp_path / "old", "trades", "two", trades(60))
    minutes = pl.DataFrame({"event_id": ["one"], "window_before_min": [10], "window_after_min": [20]})
    minutes.cast({"window_before_min": pl.Int32}).write_parquet(tmp_path / "for.parquet")
    told = take_in(held=["--manifest", str(tmp_path / "for.parquet")])["trades"]
    # of the other nobody knows
    assert (told["adopted"], told["shorter_than_the_window"], told["rows"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--before MIN and --after MIN, or --manifest FILE"),
        (["--before", "3"], "--before MIN and --after MIN"),
        ([*HELD, "--manifest", "x.parquet"], "--before MIN and --after MIN"),
        (HELD, "--resolution is missing: no file records how quotes were thinned"),
        ([*HELD, "--resolution", "fast"], "--resolution fast"),
        ([*HELD, "--resolution", "4"], "a multiple of that rate is needed"),
        ([*HELD, "--resolution", "7"], "a multiple of that rate is needed"),
        ([*HELD, "--resolution", "full", "--timezone", "Mars"], "--timezone Mars"),
        ([*HELD, "--resolution", "full", "--timezone", "EST"], "--timezone EST: is without summer time"),
    ],
)
def test_what_files_do_not_say_is_not_guessed(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "quotes", "one", quotes(0))
    assert main(["import", "windows", str(tmp_path / "old"), "--profile", "core", *flags]) == 2
    assert words in capsys.readouterr().err
    assert tape_of(lake) == {}


def test_a_simulated_market_takes_no_real_windows(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], take_in: Import
) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "one", trades(0))
    store = UniverseStore(lake)
    store.replace(store.read(), {"source": "simulated market, seed 7"})
    assert main(["import", "windows", str(tmp_path / "old"), "--profile", "core", *HELD]) == 2
    assert (
        "holds data of a simulated market, which must not be mixed with windows of a real one"
        in capsys.readouterr().err
    )
    assert tape_of(lake) == {}
    lake.universe.unlink()
    assert take_in()["trades"]["adopted"] == 1
    assert imported_kinds(lake) == ["windows"]


def test_quotes_that_are_too_thin_for_a_profile_are_refused(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], take_in: Import
) -> None:
    freeze(lake, HAND)
    freeze(lake, HAND, "plus")
    write(tmp_path / "old", "quotes", "one", quotes(0, 0.001, 1))
    arguments = ["import", "windows", str(tmp_path / "old"), "--profile", "plus", *HELD]
    assert main([*arguments, "--resolution", "changes,20"]) == 2
    assert "every quote that is last in its interval" in capsys.readouterr().err
    # two quotes within a fifth of a second, of which the first of all stays
    assert take_in("--resolution", "changes,20")["quotes"]["rows"] == 3
    (said,) = {row["thinning"] for row in ledger(lake).values() if row["quotes_rows"]}
    assert said == "changes, 5 Hz"


def test_a_window_without_quotes_is_still_to_be_captured(lake: Lake, tmp_path: Path, take_in: Import) -> None:
    freeze(lake, HAND)
    for name in ("one", "two"):
        write(tmp_path / "old", "trades", name, trades(0) if name == "one" else trades(60))
    write(tmp_path / "old", "quotes", "one", quotes().select(pl.all()))
    said = take_in("--resolution", "full")
    # quotes of the first are known to be none; of the second nobody knows
    assert {name: row["state"] for name, row in ledger(lake).items()} == {
        "one": "trades_only",
        "near": "missing",
        "two": "missing",
    }
    assert said["partitions_told_to_dagster"] == {"trades": 0, "quotes": 0}


def test_a_file_among_those_of_another_symbol_is_refused(lake: Lake, tmp_path: Path, take_in: Import) -> None:
    freeze(lake, HAND.with_columns(symbol=pl.lit("ATRA")))
    write(tmp_path / "old", "trades", "one", trades(0))
    assert take_in(code=1)["refused"][0]["reason"] == "is in the folder of AEMD, but the event is of ATRA"


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        *[(text, [12, 37]) for text in ("12,37", "12 37", "[12, 37]", " [ 12 37 ] ", "[12.0, 37.0]", "12. ,37")],
        ("[-1, 12]", [-1, 12]),
        ("", []),
        ("[]", []),
        ([12.0, 37.0], [12, 37]),
        (["12", " 37.0"], [12, 37]),
        ([12, None], [12, None]),
    ],
)
def test_conditions_are_read_exactly(
    lake: Lake, tmp_path: Path, take_in: Import, *, said: object, numbers: list[int | None]
) -> None:
    freeze(lake, HAND)
    told = pl.Series([said, None])
    write(tmp_path / "old", "trades", "one", trades(0, 1).with_columns(conditions=told))
    assert take_in()["trades"]["rows"] == 2
    (found,) = tape_of(lake).values()
    assert found["conditions"].to_list() == [numbers, None]


def test_a_file_of_another_type_stops_no_other(lake: Lake, tmp_path: Path, take_in: Import) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "one", trades(0, 1).with_columns(conditions=pl.lit([b"12"])))
    write(tmp_path / "old", "trades", "near", trades(5, 6).with_columns(sequence_number=pl.lit(2**64 - 1, pl.UInt64)))
    write(tmp_path / "old", "trades", "two", trades(59, 60))
    said = take_in(code=1)
    assert [row["event_id"] for row in said["refused"]] == ["one", "near"]
    assert ledger(lake)["two"]["trades_rows"] == 2


# --------------------------------------------------------------------------- what files do not hold is not certified


def bars_of(lake: Lake, *minutes: float) -> None:
    """The session of the events, with bars of so many minutes after ten o'clock."""
    rows = [{"symbol": "AEMD", "timestamp": moment, "volume": 100.0} for moment in at(*minutes)]
    bars = pl.DataFrame(rows, schema=BARS, orient="row").with_columns(pl.col(pl.Float64).fill_null(1.0))
    BarsStore(lake).add("AEMD", date(2025, 11, 1), [date(2025, 11, 5)], bars, QUARANTINED_BARS.to_frame())


@pytest.mark.parametrize("rows", [trades(), trades(-9, 20)], ids=["no row", "none in the window"])
def test_a_window_without_trades_is_believed_where_the_bars_say_the_same(
    lake: Lake, tmp_path: Path, take_in: Import, rows: pl.DataFrame
) -> None:
    freeze(lake, HAND.with_columns(volume=pl.lit(50_000.0)))
    write(tmp_path / "old", "trades", "one", rows)
    held = ["--before", "10", "--after", "30"]
    assert take_in(code=1, held=held)["refused"][0]["reason"] == (
        "holds no trade from 2025-11-05 14:57 to 15:07 UTC, of which the event's own bar has a volume of 50,000; left "
        "to the capture"
    )
    # minutes 3 and 6 are within [-3, 7), minute 7 is not
    bars_of(lake, 3, 6, 7)
    assert "the bars of the lake have a volume of 200;" in take_in(code=1, held=held)["refused"][0]["reason"]
    assert ledger(lake)["one"]["trades_rows"] is None
    shutil.rmtree(lake.bars("AEMD"))
    bars_of(lake, 7, 8)
    assert take_in(held=held)["trades"]["adopted"] == 1
    assert ledger(lake)["one"]["trades_rows"] == 0


# every half hour from half past nine to seven in the evening: 20 events
MANY = [f"e{number:02}" for number in range(20)]
DAY_LONG = manifest_of(
    *(event(f"2025-11-05 {9 + (30 + 30 * n) // 60:02}:{30 * ((n + 1) % 2):02}", event_id=MANY[n]) for n in range(20))
)


def test_files_that_never_come_near_what_is_said_of_them_are_refused(
    lake: Lake, tmp_path: Path, take_in: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(lake, DAY_LONG)
    for number, name in enumerate(MANY):
        # from ten minutes before to twenty after, and a few seconds less
        around = trades(*(30 * number - 30 + minute for minute in (-9.9 + number / 10, 0, 19.5)))
        write(tmp_path / "old", "trades", name, around)
    arguments = ["import", "windows", str(tmp_path / "old"), "--profile", "core"]
    assert main([*arguments, "--before", "15", "--after", "30"]) == 2
    said = capsys.readouterr().err
    assert "20 that should reach to 15 minutes before their event, none comes within 60 seconds" in said
    assert "the farthest reaches to 9.9; of 20 that should reach to 30 minutes after" in said
    assert "They seem to cover --before 10 --after 20: give that" in said
    assert tape_of(lake) == {}
    said = take_in(held=["--before", "10", "--after", "20"])
    assert said["trades"]["adopted"] == 20
    shutil.rmtree(lake.root / "tape")
    assert take_in("--held-for-sure", held=["--before", "15", "--after", "30"])["trades"]["adopted"] == 20
    # one file fewer says nothing: they may all be of quiet minutes
    shutil.rmtree(lake.root / "tape")
    shutil.rmtree(tmp_path / "old" / "symbol=AEMD" / "event=e07")
    assert take_in(held=["--before", "15", "--after", "30"])["trades"]["adopted"] == 19


def test_what_was_published_before_the_disk_refuses_is_certified(
    lake: Lake, tmp_path: Path, take_in: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(lake, MARKET)
    ten = datetime(2025, 11, 26, 15, tzinfo=UTC)
    for name, minutes in (("AVLO_p_1", -120), ("AVLO_a_1", 0), ("CRVO_c_1", 60)):
        rows = trades_at(ten + timedelta(minutes=minutes)).with_columns(exchange=pl.lit(4, pl.Int64))
        write(tmp_path / "old", "trades", name, rows.with_columns(trade_id=pl.lit("t")), flat=True)
    # the symbol after AVLO has no folder to be written into
    blocked = lake.tape_wave("core", "trades", "RTH", "CRVO")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("no folder")
    assert main(["import", "windows", str(tmp_path / "old"), "--profile", "core", *HELD]) == 2
    assert "symbol=CRVO" in capsys.readouterr().err
    assert {name for name, row in ledger(lake).items() if row["trades_rows"]} == {"AVLO_p_1", "AVLO_a_1"}
    with open_state_as_is(load_settings()) as instance:
        assert instance.get_materialized_partitions(AssetKey(["core", "tape_trades"])) == {"AVLO|PM"}
    blocked.unlink()
    assert take_in()["trades"]["adopted"] == 1


def test_what_is_missing_is_said_by_kind(
    lake: Lake, tmp_path: Path, take_in: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(lake, HAND)
    for name, minute in (("one", 0), ("two", 60)):
        write(tmp_path / "old", "trades", name, trades(minute))
    write(tmp_path / "old", "quotes", "two", quotes(60))
    arguments = ["import", "windows", str(tmp_path / "old"), "--profile", "core", "--resolution", "full", *HELD]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "  published: trades of 2, quotes of 1" in said
    assert "  still to capture: trades of 1, quotes of 2" in said
    assert take_in("--resolution", "full")["held"] == {"trades": 2, "quotes": 1}


def test_without_a_manifest_it_is_said_how_to_choose_one(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "old", "trades", "one", trades(0))
    assert main(["import", "windows", str(tmp_path / "old"), "--profile", "core", *HELD]) == 2
    said = capsys.readouterr().err
    folder = lake.manifests("core")
    assert f'smallcaps manifest --master "{lake.imported_events}" --profile core --out "{folder}"; else' in said
    assert not lake.imports.exists()


def test_a_refused_file_is_remembered_until_something_replaces_it(lake: Lake, tmp_path: Path, take_in: Import) -> None:
    freeze(lake, HAND)
    old = tmp_path / "old"
    aside = lake.root / "quarantine" / "tape" / "core" / "adopted.parquet"
    for name in ("one", "two"):
        write(old, "trades", name, trades(0, 30))
    take_in(code=1)
    assert pl.read_parquet(aside)["event_id"].to_list() == ["one", "two"]
    shutil.rmtree(old)
    # another folder, with one of them mended
    write(old, "trades", "two", trades(60))
    said = take_in()
    assert (said["trades"]["adopted"], said["refused"]) == (1, [])
    assert pl.read_parquet(aside)["event_id"].to_list() == ["one"]
    write(old, "trades", "one", trades(0))
    take_in()
    assert pl.read_parquet(aside).is_empty()
