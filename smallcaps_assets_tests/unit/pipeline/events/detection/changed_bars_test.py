"""Changed, late, removed and damaged bars, lost shards: detected again as if for the first time."""

import json
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.sessions import midnight
from smallcaps_assets.domain.tables import BARS, SHARD
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import PROVENANCE, provenance_of
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.events.lost_bars import log_lost_bars
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.unit.pipeline.events.detection.detecting import (
    BARS_OF_ONE,
    DAYS,
    ONE,
    detector,
    expected_of,
    run,
    store,
)


def test_changed_session_and_all_later_ones_are_detected_again(detected: Lake) -> None:
    day = DAYS[8]
    coarse = BARS_OF_ONE.filter(day == DAY).with_columns(volume=pl.col("volume") * 3)
    BarsStore(detected).add(ONE, day.replace(day=1), [day], coarse, QUARANTINED_BARS.to_frame())
    before = ShardStore(detected).read(ONE)
    (outcome,) = run(detected, [ONE])
    # later days compare their volume with this one
    assert outcome.figures["sessions_detected"] == len(DAYS) - 8
    after = ShardStore(detected).read(ONE)
    early = pl.col("date") < f"{day}"
    assert_frame_equal(after.filter(early), before.filter(early))
    assert not after.equals(before)
    assert_frame_equal(after, expected_of(detected), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("place", [0, 8, -1])
def test_late_session_is_inserted_in_order(lake: Lake, place: int) -> None:
    late = DAYS[place]
    store(lake, BARS_OF_ONE.filter(late != DAY), [day for day in DAYS if day != late])
    run(lake, [ONE])
    store(lake, BARS_OF_ONE.filter(late == DAY), [late])
    run(lake, [ONE])
    found = ShardStore(lake).read(ONE)
    assert_frame_equal(found, expected_of(lake), rel_tol=1e-9, abs_tol=1e-9)
    assert found["timestamp"].is_sorted()


@pytest.mark.parametrize("month", ["2025-10", "2025-11"])
def test_removed_month_is_dropped_from_the_shard(detected: Lake, month: str) -> None:
    days = len([day for day in DAYS if f"{day}".startswith(month)])
    (detected.bars(ONE) / f"{month}.parquet").unlink()
    logged: list[str] = []
    (outcome,) = log_lost_bars(run(detected, [ONE]), detected, logged.append)
    assert outcome.figures["sessions_gone"] == days
    (line,) = logged
    assert line.startswith(f"{detected.bars(ONE)}: the bars of {days} sessions are gone that events of {ONE} were")
    (again,) = log_lost_bars(run(detected, [ONE]), detected, logged.append)
    assert ("sessions_gone" in again.figures, len(logged)) == (False, 1)
    found = ShardStore(detected).read(ONE)
    assert found.filter(pl.col("date").str.starts_with(month)).is_empty()
    assert found.height
    assert_frame_equal(found, expected_of(detected), rel_tol=1e-9, abs_tol=1e-9)


def test_symbol_without_bars_has_an_empty_shard(lake: Lake) -> None:
    (outcome,) = run(lake, ["NONE"])
    assert outcome.figures["events"] == 0
    assert_frame_equal(ShardStore(lake).read("NONE"), SHARD.to_frame())
    before = files_below(lake.root)
    run(lake, ["NONE"])
    assert files_below(lake.root) == before


def test_symbol_with_only_empty_sessions_has_an_empty_shard(lake: Lake) -> None:
    BarsStore(lake).add(
        "HALT", date(2025, 11, 1), [date(2025, 11, 5)], BARS_OF_ONE.clear(), QUARANTINED_BARS.to_frame()
    )
    (outcome,) = run(lake, ["HALT"])
    assert (outcome.figures["sessions"], outcome.figures["sessions_detected"], outcome.figures["events"]) == (1, 1, 0)
    assert run(lake, ["HALT"])[0].figures["sessions_detected"] == 0


def test_session_without_events_leaves_the_events_unchanged(lake: Lake) -> None:
    store(lake, BARS_OF_ONE.filter(DAYS[-1] != DAY), DAYS[:-1])
    run(lake, [ONE])
    before = files_below(lake.root / "events")
    quiet = BARS_OF_ONE.filter(DAYS[-1] == DAY).head(3)
    store(lake, quiet, [DAYS[-1]])
    (outcome,) = run(lake, [ONE])
    assert (outcome.figures["sessions_detected"], outcome.figures["events_detected"]) == (1, 0)
    after = files_below(lake.root / "events")
    shard, table = f"shards/symbol={ONE}.parquet", lake.shard_coverage(ONE)
    candidates = f"candidates/symbol={ONE}.parquet"
    conditions = f"condition_bars/symbol={ONE}.parquet"
    assert before.keys() == {shard, candidates, conditions}
    assert after.keys() == {shard, candidates, conditions, f"coverage/{table.name}"}
    assert after[shard] == before[shard]
    assert detector(lake).backlog(ONE).undetected == set()
    assert run(lake, [ONE])[0].figures["sessions_detected"] == 0
    # as after a process was killed before it published the table
    table.unlink()
    assert detector(lake).backlog(ONE).undetected == {DAYS[-1]}
    (outcome,) = run(lake, [ONE])
    assert (outcome.figures["sessions_detected"], outcome.figures["events_detected"]) == (1, 0)
    assert {name: content for name, (_, content) in files_below(lake.root / "events").items()} == {
        name: content for name, (_, content) in after.items()
    }


def test_lost_shard_is_rebuilt_byte_for_byte(detected: Lake) -> None:
    path = detected.shard(ONE)
    before = path.read_bytes()
    path.unlink()
    run(detected, [ONE])
    assert path.read_bytes() == before


def test_bars_of_another_symbol_are_reported_within_a_batch(lake: Lake) -> None:
    """As after a ticker was renamed and its folder moved; the bars would count for another company."""
    bars = lively_bars(11, 4, DAYS).filter(DAY.is_in(DAYS))
    moved, *others = bars["symbol"].unique().sort().to_list()
    store(lake, bars, DAYS)
    lake.bars(moved).rename(lake.bars("NEWER"))
    outcomes = {outcome.partition[0]: outcome for outcome in run(lake, ["NEWER", *others])}
    (problem,) = outcomes.pop("NEWER").problems
    assert f"has bars of {moved}, not of NEWER" in problem
    assert not lake.shard("NEWER").exists()
    assert [outcome.problems for outcome in outcomes.values()] == [()] * 3
    assert all(outcome.figures["events"] for outcome in outcomes.values())


def test_bars_rewritten_without_the_column_symbol_are_not_detected_again(lake: Lake) -> None:
    bars = lively_bars(11, 2, DAYS).filter(DAY.is_in(DAYS))
    symbols = bars["symbol"].unique().sort().to_list()
    store(lake, bars, DAYS)
    for path in sorted(lake.minute_bars.rglob("*.parquet")):
        footer = {name: value for name, value in (provenance_of(path) or {}).items() if name != "symbol"}
        of_month = pl.read_parquet(path, hive_partitioning=True).select(*BARS)
        of_month.write_parquet(path, metadata={PROVENANCE: json.dumps(footer)})
    run(lake, symbols)
    before = files_below(lake.root / "events")
    assert before
    for symbol in symbols:
        BarsStore(lake).renew(symbol)
    assert "symbol" not in pl.read_parquet_schema(path)
    assert [outcome.figures["sessions_detected"] for outcome in run(lake, symbols)] == [0, 0]
    assert files_below(lake.root / "events") == before


def test_damaged_file_of_any_kind_fails_only_its_symbol(lake: Lake) -> None:
    bars = lively_bars(11, 4, DAYS).filter(DAY.is_in(DAYS))
    thin, mixed, odd, sound = bars["symbol"].unique().sort().to_list()
    store(lake, bars, DAYS)
    november = bars.filter(pl.col("timestamp") >= midnight(date(2025, 11, 1)))
    november.filter(symbol=thin).drop("transactions").write_parquet(lake.bars(thin) / "2025-11.parquet")
    stranger = november.filter(symbol=mixed).reverse()
    pl.concat([stranger, stranger.head(5).with_columns(symbol=pl.lit("ELSE"))]).write_parquet(
        lake.bars(mixed) / "2025-11.parquet"
    )
    run(lake, [odd, sound])
    pl.concat([ShardStore(lake).read(odd), ShardStore(lake).read(sound).head(1)]).write_parquet(
        lake.shard(odd), metadata={PROVENANCE: json.dumps(provenance_of(lake.shard(odd)))}
    )
    later = bars.filter(DAYS[-1] == DAY).with_columns(volume=pl.col("volume") + 1)
    store(lake, later.filter(pl.col("symbol").is_in([odd, sound])), [DAYS[-1]])
    figures = {outcome.partition[0]: outcome for outcome in run(lake, [thin, mixed, odd, sound])}
    outcomes = {symbol: outcome.problems for symbol, outcome in figures.items()}
    assert (outcomes.pop(sound), outcomes.pop(odd)) == ((), ())
    # what is damaged of a shard is detected again, from the bars
    assert (figures[odd].figures["damaged_shard_set_aside"], figures[odd].figures["sessions_detected"]) == (
        1,
        len(DAYS),
    )
    reported = {symbol: problems[0] for symbol, problems in outcomes.items()}
    assert all(problem.startswith(f"{symbol}: ") for symbol, problem in reported.items())
