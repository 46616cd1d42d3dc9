"""`smallcaps import events` repairs, ranks and rejects rows, and names files that it leaves out."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS, master_problems
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.tables import EVENTS, MANIFEST
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.imports import imported_kinds
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.pipeline.calendar import sessions_between as bounds_between
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between
from smallcaps_assets_tests.unit.commands.imports.events.old_events import (
    BAD,
    COLUMNS,
    GOOD,
    import_events,
    old,
    summary,
    table,
)


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
