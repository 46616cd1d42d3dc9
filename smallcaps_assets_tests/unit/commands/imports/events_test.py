"""`smallcaps import events` on a table of the earlier system, with every repair counted by hand."""

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS, master_problems
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.tables import EVENTS, MANIFEST
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.imports import imported_kinds
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.month_files import DAY
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.calendar import sessions_between as bounds_between
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat, new_york
from smallcaps_assets_tests.strategies import lively_bars, sessions_between

COLUMNS = list(EVENTS)[:17]
OLD = {
    **dict.fromkeys(COLUMNS, pl.Float32),
    **dict.fromkeys(("symbol", "event_type", "direction", "session", "event_bias", "close_vs_open"), pl.String),
    "timestamp": pl.Datetime("ms"),
    "date": pl.Date,
    "tier": pl.Int32,
    "volume": pl.Int64,
    "score": pl.Float64,
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone; the environment is restored afterwards."""
    folder = tmp_path / "home"
    shutil.copytree(REPOSITORY / "config", folder / "config")
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(folder))
    return folder


def old(at: str, symbol: str, session: str = "RTH", score: float = 0.5, **values: Any) -> dict[str, Any]:
    """A row of the earlier table at a New York time, with date and session by the UTC clock."""
    moment = new_york(at).astimezone(UTC).replace(tzinfo=None)
    return {
        "symbol": symbol,
        "event_type": "volume_spike",
        "timestamp": moment,
        "direction": "up",
        "session": session,
        "spike_x": 7.5,
        "open": 12.3,
        "high": 12.41,
        "low": 12.29,
        "close": 12.34,
        "volume": 20_000,
        "dollar_volume": 246_800.0,
        "score": score,
        "date": moment.date(),
        "event_bias": "bullish",
        "close_vs_open": "green",
        "tier": 1,
    } | values


def table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=OLD, orient="row")


# 20 of regular hours, 6 of them called after-hours; 2 before the open called regular; 1 after the close on the next
# UTC day, called pre-market: 9 of 23 are 39 %. Scores 0.05 to 1 in regular hours, but the fourth equals the fifth.
REGULAR = [
    old(
        f"2025-11-{3 + number % 5:02} 1{1 if number < 6 else 0}:{10 + number}",
        f"S{number:02}",
        "AH" if number < 6 else "RTH",
        0.25 if number == 3 else (number + 1) / 20,
    )
    for number in range(20)
]
EARLY = [old("2025-07-07 08:00", "S20", score=0.3), old("2025-11-05 08:00", "S21", score=0.3)]
LATE = [old("2025-11-05 19:30", "S22", "PM", 0.01, direction="down", event_bias="bullish", close_vs_open="red")]
GOOD = [*REGULAR, *EARLY, *LATE]
# of S03, raw score 0.25: a lower score, the other direction, and a smaller spike
RIVALS = [
    REGULAR[3] | {"score": 0.2, "spike_x": 99.0},
    REGULAR[3] | {"direction": "down", "spike_x": 99.0},
    REGULAR[3] | {"spike_x": 7.0},
]
NAN, INF = float("nan"), float("inf")
BAD = {
    "score is missing, NaN or infinite": [old("2025-11-03 10:00", "S30", score=NAN)] * 4
    + [old("2025-11-03 10:00", "S31", score=None)],
    "close is missing, NaN or infinite": [old("2025-11-03 10:00", "S30", close=INF)],
    "volume is missing, NaN or infinite": [old("2025-11-03 10:00", "S30", volume=None)],
    "spike_x is NaN or infinite": [old("2025-11-03 10:00", "S30", spike_x=NAN)],
    "event_type is not one of the seven": [old("2025-11-03 10:00", "S30", event_type="gap_up")],
    "direction is neither up nor down": [old("2025-11-03 10:00", "S30", direction="long")],
    "outside every session of the calendar": [
        *[old("2025-11-03 21:00", "S30")] * 2,
        old("2025-11-08 10:00", "S30"),  # a Saturday
        old("2025-11-28 17:00", "S30"),  # four hours after an early close
    ],
    "timestamp is not the start of a minute": [
        old("2025-11-03 10:00", "S30", timestamp=datetime(2025, 11, 3, 15, 0, 30))  # noqa: DTZ001
    ],
    "timestamp is missing or implausible": [old("2025-11-03 10:00", "S30", timestamp=datetime(1970, 1, 21, 3))],  # noqa: DTZ001
    "symbol is not usable as a name": [old("2025-11-03 10:00", "A|B")],
    "high or low contradicts open and close": [old("2025-11-03 10:00", "S30", high=12.3)],
    "a price is not positive": [old("2025-11-03 10:00", "S30", low=0.0)],
    "volume or dollar_volume is not positive": [old("2025-11-03 10:00", "S30", volume=0)],
}
# one to eight rows of each event
COPIED = [row for number, row in enumerate(GOOD) for _ in range(number % 8 + 1)]
DIRTY = [*COPIED, *RIVALS, *(row for rows in BAD.values() for row in rows)]
ROWS = 23 + (28 + 28 + 21) + 3 + 20


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """The dirty table in shards: one has dates as text, one has categorical symbols and an extra column."""
    folder = tmp_path / "old"
    folder.mkdir()
    whole = table(DIRTY)
    assert whole.height == ROWS
    whole[::3].write_parquet(folder / "a.parquet")
    dated = pl.col("date").dt.to_string("%Y-%m-%d")
    whole[1::3].with_columns(dated).write_parquet(folder / "b.parquet")
    whole[2::3].with_columns(pl.col("symbol").cast(pl.Categorical), extra=1).write_parquet(folder / "c.parquet")
    return folder


def import_events(path: Path, *flags: object) -> int:
    return main(["import", "events", str(path), "--timezone", "UTC", *map(str, flags)])


def summary(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_every_repair_is_counted(shards: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_events(shards, "--json") == 0
    figures = summary(capsys)
    assert figures["quarantined_because"] == {reason: len(rows) for reason, rows in BAD.items()}
    expected = {
        "rows": 123,
        "events": 23,
        "copies_removed": 77,
        "differing_copies_removed": 3,
        "most_rows_of_one_event": 8,
        "quarantined": 20,
        "sessions_changed": 9,
        "sessions_changed_from_to": {"AH to RTH": 6, "RTH to PM": 2, "PM to AH": 1},
        "dates_changed": 1,
        "event_biases_changed": 1,
        "colours_changed": 1,
        "dollar_volume_is_not_close_times_volume": 0,
        "spike_x_unknown": 0,
        "without_a_bar_in_the_lake": 23,
        "with_the_bar_of_the_lake": 0,
        "with_another_bar_in_the_lake": 0,
        "problems": [],
        "written": True,
        "events_before": 0,
        "events_new": 23,
        "events_in_all": 23,
        "in_quarantine": 16,
    }
    assert figures | expected == figures
    quarantined = pl.read_parquet(home / "lake" / "quarantine" / "events" / "adopted.parquet")
    assert quarantined.height == 16
    assert figures["out"] == str(home / "lake" / "events" / "adopted.parquet")


def test_imported_events_are_repaired_and_ranked(shards: Path, home: Path) -> None:
    assert import_events(shards) == 0
    events = pl.read_parquet(home / "lake" / "events" / "adopted.parquet")
    assert events.schema == {**EVENTS, "score_raw": pl.Float64}
    assert master_problems(events) == []
    row = {one["symbol"]: one for one in events.to_dicts()}
    assert list(row) == [f"S{number:02}" for number in range(23)]
    assert row["S03"] | {"score_raw": 0.25, "direction": "up", "spike_x": 7.5} == row["S03"]
    # mean ranks of 20: the fourth and fifth have rank 4.5
    scores = [1, 2, 3, 4.5, 4.5, *range(6, 21)]
    assert [row[f"S{number:02}"]["score"] for number in range(20)] == [rank / 20 for rank in scores]
    assert [row[symbol]["score"] for symbol in ("S20", "S21", "S22")] == [0.75, 0.75, 1.0]
    assert [row[symbol]["tier"] for symbol in ("S00", "S07", "S09", "S11", "S22")] == [4, 3, 2, 1, 1]
    assert row["S00"] | {"open": 12.3, "high": 12.41, "low": 12.29, "close": 12.34, "volume": 20_000.0} == row["S00"]
    late = {
        "session": "AH",
        "date": "2025-11-05",
        "timestamp": datetime(2025, 11, 6, 0, 30, tzinfo=UTC),
        "known_at": datetime(2025, 11, 6, 0, 31, tzinfo=UTC),
        "event_bias": "bearish",
        "close_vs_open": "green",
        "is_afterhours": True,
        "is_premarket": False,
        "event_group_id": "S22_20251106_003000",
        "score_raw": 0.01,
        "vwap_at_event": None,
        "dollar_volume_day": None,
    }
    assert row["S22"] | late == row["S22"]


def test_event_ids_are_stable(tmp_path: Path, home: Path) -> None:
    table([old("2022-10-10 09:30", "ATRA", event_type="vwap_break")]).write_parquet(tmp_path / "one.parquet")
    assert import_events(tmp_path / "one.parquet") == 0
    events = pl.read_parquet(home / "lake" / "events" / "adopted.parquet")
    assert events["event_id"].to_list() == ["ATRA_vwap_break_20221010_133000_1ba26d93"]


def test_a_manifest_can_be_selected_and_names_unknown_figures(
    shards: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_events(shards) == 0
    master, folder = home / "lake" / "events" / "adopted.parquet", home / "lake" / "manifests" / "core"
    assert main(["manifest", "--master", str(master), "--profile", "core", "--out", str(folder)]) == 0
    store = ManifestStore(folder, "core")
    manifest, sidecar = store.current()
    assert manifest.schema == MANIFEST
    # 0.6 and more: 12/20 to 20/20 in regular hours, both before the open, the one after the close
    assert sorted(manifest["symbol"]) == [*(f"S{number:02}" for number in range(11, 20)), "S20", "S21", "S22"]
    steps = {step["step"]: step for step in sidecar["funnel"]}
    assert steps["bar_liquidity"] == {"step": "bar_liquidity", "rows": 12, "vwap_at_event_unknown": 12}
    assert steps["day_liquidity"]["dollar_volume_day_unknown"] == steps["day_liquidity"]["rvol_day_unknown"] == 12
    assert "12 without dollar_volume_day" in capsys.readouterr().out


def test_repeating_an_import_changes_no_byte(shards: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_events(shards) == 0
    before = files_below(home)
    (shards / "a.parquet").rename(shards / "z.parquet")  # the order of the files does not matter
    capsys.readouterr()
    assert import_events(shards, "--json") == 0
    assert not summary(capsys)["written"]
    assert files_below(home) == before


def test_an_unreadable_file_stops_no_other(shards: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (shards / "b.parquet").read_bytes()
    (shards / "b.parquet").write_bytes(whole[: len(whole) // 2])
    table(GOOD).drop("score").write_parquet(shards / "d.parquet")
    assert import_events(shards, "--json") == 1
    printed = capsys.readouterr()
    problems = json.loads(printed.out)["problems"]
    assert [("b.parquet" in problems[0]), ("no column score" in problems[1])] == [True, True]
    assert "not imported: " in printed.err
    assert pl.read_parquet(home / "lake" / "events" / "adopted.parquet").height == 23


@pytest.mark.parametrize(
    ("zone", "flags", "hour"),
    [
        (None, ["--timezone", "UTC"], 15),
        (None, ["--timezone", "America/New_York"], 20),
        ("Europe/Berlin", [], 14),
        ("Europe/Berlin", ["--timezone", "UTC"], 14),  # the zone in the data takes precedence
    ],
)
def test_the_given_time_zone_is_used(tmp_path: Path, home: Path, zone: str | None, flags: list[str], hour: int) -> None:
    rows = table([old("2025-11-05 10:00", "S00")])
    if zone:
        rows = rows.with_columns(pl.col("timestamp").dt.replace_time_zone(zone))
    rows.write_parquet(tmp_path / "one.parquet")
    assert main(["import", "events", str(tmp_path / "one.parquet"), *flags]) == 0
    events = pl.read_parquet(home / "lake" / "events" / "adopted.parquet")
    assert events["timestamp"].to_list() == [datetime(2025, 11, 5, hour, tzinfo=UTC)]


def test_a_missing_time_zone_is_never_guessed(shards: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "events", str(shards)]) == 2
    printed = capsys.readouterr().err
    assert "has no time zone" in printed
    assert "--timezone UTC" in printed
    assert main(["import", "events", str(shards), "--timezone", "Mars"]) == 2
    assert "--timezone Mars" in capsys.readouterr().err
    assert main(["import", "events", str(shards), "--timezone", "EST"]) == 2
    assert "--timezone EST: is without summer time" in capsys.readouterr().err
    assert not list(home.rglob("*.parquet"))


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


def test_events_may_be_imported_to_a_file_outside_the_lake(shards: Path, home: Path) -> None:
    assert import_events(shards, "--out", home / "out.parquet") == 0
    assert not imported_kinds(Lake(home / "lake"))


def test_a_table_without_events_is_rejected(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table([old("2025-11-05 21:00", "S00")] * 3).write_parquet(tmp_path / "one.parquet")
    assert import_events(tmp_path / "one.parquet") == 2
    assert "not one event, so nothing was written: 3 rows: outside every session" in capsys.readouterr().err
    assert not list(home.rglob("*.parquet"))


def test_missing_figures_are_computed_from_the_bars_of_the_lake(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = sessions_between(date(2025, 11, 20), date(2025, 12, 2))
    bars = lively_bars(11, 2, days).filter(DAY.is_in(days))
    settings = default_settings()
    found = detect(bars, bounds_between(days[0], days[-1], settings.sessions), settings.detection)
    master = build_master(found.events, settings.cooldown)
    one, other = bars["symbol"].unique().sort().to_list()
    store = BarsStore(new_lake(home / "lake"))
    for month in (date(2025, 11, 1), date(2025, 12, 1)):
        of_month = [day for day in days if day.month == month.month]
        of_symbol = bars.filter(pl.col("symbol") == one)
        store.add(one, month, of_month, of_symbol.filter(DAY.is_in(of_month)), QUARANTINED_BARS.to_frame())
    prices = ["open", "high", "low", "close", "spike_x", "dollar_volume"]
    rows = master.select(COLUMNS).with_columns(pl.col(prices).cast(pl.Float32))
    # for one event the earlier system had another bar, such as one adjusted for a split
    halved = pl.when(pl.int_range(pl.len()) == 0).then(pl.col(prices[:4]) / 2).otherwise(pl.col(prices[:4]))
    rows.with_columns(halved).write_parquet(tmp_path / "old.parquet")
    assert main(["import", "events", str(tmp_path / "old.parquet"), "--json"]) == 0
    figures = summary(capsys)
    of_one = master.filter(pl.col("symbol") == one)
    assert of_one.height > 5
    counted = [figures[f"with{name}_in_the_lake"] for name in ("_another_bar", "out_a_bar")]
    assert counted == [1, master.height - of_one.height]
    assert figures["with_the_bar_of_the_lake"] == of_one.height - 1
    adopted = pl.read_parquet(home / "lake" / "events" / "adopted.parquet")
    filled = [
        "vwap_at_event",
        "flatness_score",
        "rvol_day",
        "dollar_volume_day",
        "dollar_volume_to_event",
        "transactions",
    ]
    # the first row has the other bar
    assert_frame_equal(
        adopted.filter(pl.col("symbol") == one)[1:].select("event_id", *filled), of_one[1:].select("event_id", *filled)
    )
    assert of_one[1:].select(pl.col(filled).null_count() < pl.len()).row(0) == (True,) * 6
    assert (
        adopted.filter(pl.col("symbol") == other).select(pl.col(filled).null_count() == pl.len()).row(0) == (True,) * 6
    )
    assert adopted[:1].select(pl.col(filled).null_count()).row(0) == (1,) * 6
    same = ["event_id", "event_group_id", "session", "date", *prices[:4], "known_at", "is_premarket", "event_bias"]
    assert_frame_equal(adopted[1:].select(same), master[1:].select(same))


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


# three events a day; with a clock that is five hours off, the one before the open is at night
EVERY_DAY = [
    old(f"2025-11-{day:02} {clock}", "S00") for day in (3, 4, 5, 6, 7) for clock in ("07:30", "10:00", "15:00")
]


@pytest.mark.parametrize(
    ("zone", "flags", "words"),
    [
        (
            None,
            ["--timezone", "America/New_York"],
            (
                "33.3% of the rows lie outside every session, on days without one or at night in New York; so "
                "nothing was written. Most likely times of UTC were read as those of America/New_York: then 0.0% "
                "lie outside. Give --timezone UTC"
            ),
        ),
        ("America/New_York", [], 'where the files name America/New_York themselves, .dt.replace_time_zone("UTC")'),
        # Tokyo is fourteen hours ahead of New York, so neither zone fits
        ("UTC", ["--timezone", "UTC"], "give the right --timezone"),
    ],
)
def test_a_wrong_time_zone_is_detected_from_the_hours(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], *, zone: str | None, flags: list[str], words: str
) -> None:
    rows = table(EVERY_DAY).with_columns(pl.col("timestamp").dt.replace_time_zone(zone))
    if zone == "UTC":
        rows = rows.with_columns(pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo").dt.replace_time_zone("UTC"))
    rows.write_parquet(tmp_path / "old.parquet")
    assert main(["import", "events", str(tmp_path / "old.parquet"), *flags]) == 2
    assert words in capsys.readouterr().err
    assert not list((home / "lake").rglob("*.parquet"))
    assert main(["import", "events", str(tmp_path / "old.parquet"), *flags, "--allow-outside"]) == 0
    assert "outside every session" in capsys.readouterr().out


def test_the_symbol_may_be_part_of_the_path(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shards" / "ticker=S%2E1"
    folder.mkdir(parents=True)
    for symbol, path in (("S00", folder.parent / "symbol=S00.parquet"), ("S.1", folder / "part-0.parquet")):
        table([old("2025-11-05 10:00", symbol)]).drop("symbol", "session", "date", "tier").write_parquet(path)
    # a column may repeat it, or lack it in some rows
    rows = [old("2025-11-06 10:00", "S.1"), old("2025-11-07 10:00", "S.1") | {"symbol": None}]
    table(rows).write_parquet(folder / "same.parquet")
    assert import_events(tmp_path / "shards") == 0
    events = pl.read_parquet(home / "lake" / "events" / "adopted.parquet")
    assert events["symbol"].to_list() == ["S.1", "S.1", "S.1", "S00"]
    # but not contradict it
    table([old("2025-11-05 10:00", "S02")]).write_parquet(folder / "other.parquet")
    capsys.readouterr()
    assert import_events(tmp_path / "shards") == 1
    message = f"not imported: {folder / 'other.parquet'}: the path says symbol S.1, the column symbol S02. Rename"
    assert message in capsys.readouterr().err
    assert (
        pl.read_parquet(home / "lake" / "events" / "adopted.parquet")["symbol"].to_list() == events["symbol"].to_list()
    )


def test_hidden_copies_of_shards_are_left_out(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shards"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    table(GOOD).write_parquet(folder / "a.parquet")
    table([old("2025-11-05 10:00", "S50")]).write_parquet(folder / ".ipynb_checkpoints" / "a-checkpoint.parquet")
    assert import_events(folder) == 0
    hidden = folder / ".ipynb_checkpoints" / "a-checkpoint.parquet"
    assert f"left out 1 hidden file or backup copy, e.g. {hidden}" in capsys.readouterr().out
    assert pl.read_parquet(home / "lake" / "events" / "adopted.parquet").height == len(GOOD)
    # with --json stdout is one document
    assert import_events(folder, "--json") == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["events"] == len(GOOD)
    assert "left out 1 hidden file" in output.err


def test_prices_in_parts_of_a_dollar_are_asked_about(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(GOOD).write_parquet(tmp_path / "dollars.parquet")
    assert import_events(tmp_path / "dollars.parquet") == 0
    expected = pl.read_parquet(home / "lake" / "events" / "adopted.parquet")
    scaled = ("open", "high", "low", "close", "dollar_volume")
    whole = table(GOOD).with_columns((pl.col(scaled) * 10_000).round(0))
    whole.write_parquet(tmp_path / "whole.parquet")
    assert import_events(tmp_path / "whole.parquet", "--replace") == 2
    message = "its prices are whole numbers, such as 123,400"
    error = capsys.readouterr().err
    assert f"{tmp_path / 'whole.parquet'}: {message}" in error
    assert "give --price-scale 1e-4" in error
    assert import_events(tmp_path / "whole.parquet", "--replace", "--price-scale", "1e-4") == 0
    assert_frame_equal(pl.read_parquet(home / "lake" / "events" / "adopted.parquet"), expected)
    whole.with_columns(pl.col("dollar_volume") / 10_000).write_parquet(tmp_path / "volume.parquet")
    assert import_events(tmp_path / "volume.parquet", "--replace", "--price-scale", "1e-4") == 0
    assert_frame_equal(pl.read_parquet(home / "lake" / "events" / "adopted.parquet"), expected)
    whole.with_columns(pl.col(scaled).cast(pl.Int64)).head(1).write_parquet(tmp_path / "one.parquet")
    assert import_events(tmp_path / "one.parquet") == 2
    assert "columns open, high, low, close (Int64) are whole numbers, such as 123,400" in capsys.readouterr().err


def test_events_of_test_symbols_are_rejected(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tests = [old("2025-11-05 10:00", name) for name in ("ZVZZT", "NTEST.A", "ZTST")]
    dear = [old("2025-11-05 10:00", "S50", high=1_000_001.0)]
    table([*GOOD, *tests, *dear]).write_parquet(tmp_path / "old.parquet")
    assert import_events(tmp_path / "old.parquet", "--json") == 0
    assert summary(capsys)["quarantined_because"] == {
        "NTEST.A is a test symbol of an exchange": 1,
        "ZTST is a test symbol of an exchange": 1,
        "ZVZZT is a test symbol of an exchange": 1,
        "a price is above 1,000,000 dollars": 1,
    }
    # one that a user names is like any other
    config = home / "config" / "config.yaml"
    config.write_text(config.read_text().replace("symbols: null", "symbols: [ZVZZT]"))
    assert import_events(tmp_path / "old.parquet", "--json") == 0
    assert summary(capsys)["events_new"] == 1


def test_only_required_columns_must_exist(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(GOOD).drop("score", "symbol", "date").write_parquet(tmp_path / "one.parquet")
    assert import_events(tmp_path / "one.parquet") == 2
    assert (
        "no column symbol, score. Events need symbol, event_type, timestamp, direction, spike_x, open, high, low, "
        "close, volume, dollar_volume, score; session, date, event_bias, close_vs_open, tier are derived"
    ) in capsys.readouterr().err
    assert not list((home / "lake").rglob("*.parquet"))


@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_epoch_numbers_use_the_given_unit(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], unit: str, per_second: int
) -> None:
    moment = datetime(2025, 11, 5, 15, tzinfo=UTC)
    rows = table([old("2025-11-05 10:00", "S00")]).with_columns(timestamp=pl.lit(int(moment.timestamp()) * per_second))
    rows.write_parquet(tmp_path / "one.parquet")
    assert main(["import", "events", str(tmp_path / "one.parquet")]) == 2
    assert "column timestamp is Int" in capsys.readouterr().err
    assert main(["import", "events", str(tmp_path / "one.parquet"), "--unit", unit]) == 0
    events = pl.read_parquet(home / "lake" / "events" / "adopted.parquet")
    assert events["timestamp"].to_list() == [moment]
    other = "ms" if unit == "ns" else "ns"
    assert main(["import", "events", str(tmp_path / "one.parquet"), "--unit", other]) == 2
    assert "timestamp is missing or implausible" in capsys.readouterr().err


def test_text_files_are_rejected_with_the_advice_to_convert(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(GOOD).write_csv(tmp_path / "old.csv")
    assert import_events(tmp_path / "old.csv") == 2
    assert "old.csv: is not named as parquet. Rename it if it is, else convert it" in capsys.readouterr().err
    (tmp_path / "old.csv").rename(tmp_path / "old.parquet")
    assert import_events(tmp_path / "old.parquet") == 2
    assert "old.parquet: is no" in capsys.readouterr().err
    (tmp_path / "old.parquet").unlink()
    assert import_events(tmp_path) == 2
    assert "no parquet file there" in capsys.readouterr().err
    assert not list((home / "lake").rglob("*.parquet"))


def minutes_of(day: str, symbol: str) -> pl.DataFrame:
    """Bars of every minute from 04:00 to 20:00, each with a unique volume."""
    volumes = pl.int_range(pl.len()).cast(pl.Float64) + 1_000
    return bars_from(f"{day} 04:00", flat(960, price=12.34), symbol).with_columns(volume=volumes)


def on_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Events of minutes of regular hours, as the earlier system wrote them: in New York time without a zone."""
    clock = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    rows = bars.with_columns(
        clock.dt.cast_time_unit("ms").alias("timestamp"),
        event_type=pl.lit("volume_spike"),
        direction=pl.lit("up"),
        spike_x=7.5,
        dollar_volume=pl.col("close") * pl.col("volume"),
        score=pl.lit(0.5),
    )
    columns = ["symbol", "event_type", "timestamp", "direction", "spike_x", "open", "high", "low", "close", "volume"]
    regular = pl.col("timestamp").dt.time().is_between(time(9, 30), time(15, 59))
    return rows.filter(regular).select(*columns, "dollar_volume", "score")


# winter time, with another UTC offset, begins between them
TRADED = ("2025-10-30", "2025-10-31", "2025-11-03", "2025-11-04")


@pytest.fixture
def with_bars(home: Path) -> pl.DataFrame:
    """A lake with the bars of S00 on four days; returns the events on them, 65 a day."""
    bars = pl.concat([minutes_of(day, "S00") for day in TRADED])
    for month in (date(2025, 10, 1), date(2025, 11, 1)):
        days = [date.fromisoformat(day) for day in TRADED if day[:7] == f"{month:%Y-%m}"]
        of_month = bars.filter(DAY.is_in(days))
        BarsStore(new_lake(home / "lake")).add("S00", month, days, of_month, QUARANTINED_BARS.to_frame())
    return on_bars(bars).filter(pl.int_range(pl.len()).over(pl.col("timestamp").dt.date()) % 6 == 0)


@pytest.mark.parametrize(
    ("zone", "flags", "matching", "words"),
    [
        (None, ["--timezone", "UTC"], 0, "times of America/New_York were read as those of UTC: then 195 of 195"),
        ("UTC", [], 0, "(100.0%) lie on such a bar. Give --timezone America/New_York, or, where the files name UTC"),
    ],
)
def test_a_time_zone_that_contradicts_the_bars_of_the_lake_is_rejected(
    tmp_path: Path,
    home: Path,
    with_bars: pl.DataFrame,
    capsys: pytest.CaptureFixture[str],
    *,
    zone: str | None,
    flags: list[str],
    matching: int,
    words: str,
) -> None:
    # a symbol and a day without bars are not counted
    other = with_bars.with_columns(symbol=pl.lit("S01"))
    rows = with_bars.filter(pl.col("timestamp").dt.date() != date(2025, 11, 4))
    rows = pl.concat([rows, other]).with_columns(pl.col("timestamp").dt.replace_time_zone(zone))
    rows.write_parquet(tmp_path / "old.parquet")
    assert main(["import", "events", str(tmp_path / "old.parquet"), *flags]) == 2
    printed = capsys.readouterr().err
    assert f"195 events lie on days of which the lake has bars of their symbol, and only {matching} of them" in printed
    assert words in printed
    assert not Lake(home / "lake").imported_events.exists()
    assert main(["import", "events", str(tmp_path / "old.parquet"), *flags, "--allow-other-bars"]) == 0
    assert pl.read_parquet(Lake(home / "lake").imported_events).height == 195 + 260
    # events that are already imported are not judged again
    right = rows.with_columns(pl.col("timestamp").dt.replace_time_zone(None))
    right.write_parquet(tmp_path / "old.parquet")
    assert main(["import", "events", str(tmp_path / "old.parquet"), "--timezone", "America/New_York"]) == 0


def test_events_that_match_the_bars_in_no_time_zone_are_reported(
    tmp_path: Path, home: Path, with_bars: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = ["open", "high", "low", "close"]
    with_bars.with_columns(pl.col(prices) / 10).write_parquet(tmp_path / "old.parquet")
    assert main(["import", "events", str(tmp_path / "old.parquet"), "--timezone", "America/New_York"]) == 2
    printed = capsys.readouterr().err
    assert "only 0 of them (0.0%)" in printed
    assert "Nor are there enough with clocks of UTC" in printed
    assert "the prices are adjusted for splits" in printed
    assert not Lake(home / "lake").imported_events.exists()


def test_few_events_with_bars_are_not_judged(tmp_path: Path, home: Path, with_bars: pl.DataFrame) -> None:
    def code(rows: pl.DataFrame) -> int:
        rows.write_parquet(tmp_path / "old.parquet")
        flags = ("--timezone", "America/New_York", "--out", home / "out.parquet", "--replace")
        return main(["import", "events", str(tmp_path / "old.parquet"), *map(str, flags)])

    def halved(count: int, of: int) -> pl.DataFrame:
        few = pl.int_range(pl.len()) < count
        return with_bars[:of].with_columns(volume=pl.when(few).then(pl.col("volume") / 2).otherwise("volume"))

    assert [code(halved(99, 99)), code(halved(100, 100))] == [0, 2]
    assert [code(halved(60, 120)), code(halved(61, 120))] == [0, 2]
