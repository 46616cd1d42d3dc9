"""Research tables of the tape of a lake: what they hold, what is kept, what is computed again."""

import os
import shutil
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.tape.nbbo import Thinning
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.pipeline.research.tape.block_tables import TAPE_TABLES
from smallcaps_assets.pipeline.research.tape.tape_parts import PartResult
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.scenarios import default_settings, flip_bit, new_york
from smallcaps_assets_tests.tape_scenes import (
    EARLY,
    EVENTS,
    FIRST,
    MINUTE,
    OPENING,
    SECOND,
    SYMBOL,
    TRADES_OF_MINUTE,
    capture,
    fill_bars,
    manifest_with,
    tape_of,
    trade_rows,
    window_of,
)

PAIRS = [(SYMBOL, wave) for wave in ("PM", "AH", "RTH")]
PARAMS = ResearchParams()
ALL = tuple(EVENTS)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Bars and tape of all events, which agree."""
    made = Lake(tmp_path / "lake")
    made.root.mkdir()
    fill_bars(made)
    for name in ALL:
        for kind in ("trades", "quotes"):
            capture(tape_of(made), name, kind)  # type: ignore[arg-type]
    return made


def research(lake: Lake, params: ResearchParams = PARAMS) -> TapeResearch:
    return TapeResearch(tape_of(lake), params, default_settings().sessions)


def compute(lake: Lake, names: Collection[str] = ALL, params: ResearchParams = PARAMS) -> list[PartResult]:
    return list(research(lake, params).run(manifest_with(*names), PAIRS))


def computed(results: list[PartResult]) -> set[str]:
    """The events that were computed; none of the parts has a problem."""
    assert [outcome.problems for found in results for outcome in found.outcomes.values() if outcome.problems] == []
    return {event for found in results for event in found.computed}


def rows(lake: Lake, table: str, wave: str = "RTH") -> pl.DataFrame:
    path = lake.research_wave("core", table, wave, SYMBOL)
    return pl.read_parquet(path, hive_partitioning=False) if path.is_file() else TAPE_TABLES[table].to_frame()


def classes(lake: Lake) -> dict[str, int]:
    minutes = pl.concat(rows(lake, "bar_reconciliation", wave) for wave in ("PM", "RTH"))
    return dict(minutes.group_by("class").len().iter_rows())


def capture_minute(lake: Lake, trades: tuple[tuple[float, float, float], ...]) -> None:
    """Publish the tape of FIRST again with other trades in the third minute of its window."""
    start, end = window_of(FIRST)
    capture(tape_of(lake), FIRST, "trades", trade_rows(start, end, {start + 2 * MINUTE: trades}))


def test_every_minute_of_an_intact_lake_is_exact_and_in_one_part(lake: Lake) -> None:
    assert computed(compute(lake)) == set(ALL)
    early, regular = (rows(lake, "bar_reconciliation", wave)["timestamp"].to_list() for wave in ("PM", "RTH"))
    opened = new_york("2025-11-05 09:25").astimezone(UTC)
    # the window of EARLY reaches into regular hours, where that of OPENING begins: these minutes stay with PM
    assert early == [opened + number * MINUTE for number in range(10)]
    assert regular[:5] == [opened + number * MINUTE for number in range(10, 15)]
    assert len(regular) == 5 + 10 + 10
    assert classes(lake) == {"exact": 35}
    for wave, names in (("PM", [EARLY]), ("RTH", [FIRST, OPENING, SECOND])):
        of_events = rows(lake, "event_reconciliation", wave)
        assert of_events.rows() == [(name, 1.0, "exact", "exact") for name in names]
        assert rows(lake, "event_tape_state", wave)["event_id"].to_list() == names
        micro = rows(lake, "micro_features", wave)
        assert micro["event_id"].unique(maintain_order=True).to_list() == names
        assert micro.filter(segment="bar")["spread_usd_mean"].to_list() == [pytest.approx(0.02)] * len(names)
        assert set(micro["capture_state"]) == {"complete/complete"}
        assert set(micro["none_share"]) == {0.0}, "the opening book is in force at the start of every window"


@pytest.mark.parametrize(
    ("trades", "name"),
    [
        (TRADES_OF_MINUTE[:1], "price_and_volume"),
        ((*TRADES_OF_MINUTE[:1], (20.0, 10.0, 50.0), *TRADES_OF_MINUTE[1:]), "volume_only"),
        ((TRADES_OF_MINUTE[0], (40.0, 10.01, 200.5)), "fractional"),
    ],
    ids=["removed", "added", "size"],
)
def test_a_trade_that_differs_is_named_by_class_and_event(
    lake: Lake, trades: tuple[tuple[float, float, float], ...], name: str
) -> None:
    capture_minute(lake, trades)
    compute(lake)
    assert classes(lake) == {"exact": 34, name: 1}
    differs = rows(lake, "bar_reconciliation").filter(pl.col("class") == name)
    assert differs["timestamp"].to_list() == [window_of(FIRST)[0] + 2 * MINUTE]
    of_events = {event: found for event, *found in rows(lake, "event_reconciliation").iter_rows()}
    assert of_events[FIRST] == [0.9, name, "exact"]
    assert of_events[SECOND] == [1.0, "exact", "exact"]


def test_what_did_not_change_is_neither_computed_nor_written(lake: Lake) -> None:
    compute(lake)
    before = files_below(lake.research)
    assert len(before) == 10, "five tables of two waves; AH has no events"
    assert computed(compute(lake)) == set()
    assert files_below(lake.research) == before


def test_only_the_block_whose_tape_changed_is_computed(lake: Lake) -> None:
    compute(lake)
    micro = rows(lake, "micro_features")
    capture_minute(lake, TRADES_OF_MINUTE[:1])
    early = files_below(lake.research / "core" / "micro_features" / "wave=PM")
    assert computed(compute(lake)) == {FIRST}
    assert files_below(lake.research / "core" / "micro_features" / "wave=PM") == early
    now = rows(lake, "micro_features")
    others = pl.col("event_id") != FIRST
    assert_frame_equal(now.filter(others), micro.filter(others), check_exact=True)
    changed = now.filter(event_id=FIRST, segment="pre_all")["volume_shares"].item()
    assert changed == micro.filter(event_id=FIRST, segment="pre_all")["volume_shares"].item() - 200
    whole = {path.name: path.read_bytes() for path in lake.research.rglob("*.parquet") if "RTH" in str(path)}
    for path in lake.research.rglob("*.parquet"):
        path.unlink()
    compute(lake)
    again = {path.name: path.read_bytes() for path in lake.research.rglob("*.parquet") if "RTH" in str(path)}
    assert again == whole, "kept and new rows make the file that a computation of everything makes"


def test_a_window_of_two_waves_is_computed_again_with_either(lake: Lake) -> None:
    compute(lake)
    start, end = window_of(EARLY)
    capture(tape_of(lake), EARLY, "trades", trade_rows(start, end, {start: TRADES_OF_MINUTE[:1]}))
    assert computed(compute(lake)) == {EARLY, OPENING}


def test_rows_of_events_that_left_the_manifest_are_removed(lake: Lake) -> None:
    compute(lake)
    minutes = rows(lake, "bar_reconciliation")
    assert computed(compute(lake, (OPENING, SECOND))) == set()
    for table in ("micro_features", "event_reconciliation", "event_tape_state"):
        assert set(rows(lake, table)["event_id"]) == {OPENING, SECOND}
        assert rows(lake, table, "PM").is_empty()
    assert_frame_equal(rows(lake, "bar_reconciliation"), minutes)
    assert not lake.research_wave("core", "micro_features", "PM", SYMBOL).exists()


def test_changed_bars_leave_the_figures_of_the_tape_as_they_are(lake: Lake) -> None:
    compute(lake)
    before = files_below(lake.research)
    fill_bars(lake, volume=301.0)
    # the tables that bars decide are computed of the whole day
    assert computed(compute(lake)) == set(ALL)
    changed = {name.split("/")[1] for name, file in files_below(lake.research).items() if before[name] != file}
    assert changed == set(TAPE_TABLES) - {"micro_features"}


def test_other_settings_compute_everything(lake: Lake) -> None:
    compute(lake)
    other = PARAMS.model_copy(update={"large_print_usd": 1_000.0})
    assert computed(compute(lake, params=other)) == set(ALL)
    assert rows(lake, "micro_features").filter(segment="bar")["large_prints"].to_list() == [2, 2, 2]


def test_an_event_without_tape_has_no_rows_and_half_a_tape_leaves_the_other_half_null(lake: Lake) -> None:
    tape = tape_of(lake)
    for name, kinds in ((FIRST, ("trades", "quotes")), (SECOND, ("quotes",)), (OPENING, ("trades",))):
        start, end = window_of(name)
        for kind in kinds:
            folder = lake.tape_wave("core", kind, "RTH", SYMBOL)
            next(path for path in folder.iterdir() if path.name.startswith(f"{start:%Y%m%dT%H%M%S}")).unlink()
            tape.record_failure(kind, Span(SYMBOL, "RTH", start, end, (name,)), "failed", "HTTP 503")  # type: ignore[arg-type]
    compute(lake)
    micro = rows(lake, "micro_features")
    states = dict(micro.select("event_id", "capture_state").unique().iter_rows())
    # the trades of OPENING failed, and its window is not whole in the span of EARLY
    assert states == {SECOND: "complete/failed", OPENING: "failed/complete"}
    bar = micro.filter(segment="bar").rows_by_key("event_id", named=True, unique=True)
    assert (bar[SECOND]["trades"], bar[SECOND]["spread_usd_mean"], bar[SECOND]["imbalance_dollars"]) == (2, None, None)
    assert (bar[OPENING]["trades"], bar[OPENING]["spread_usd_mean"]) == (None, pytest.approx(0.02))
    state = rows(lake, "event_tape_state").rows_by_key("event_id", named=True, unique=True)
    assert (state[SECOND]["ssr_condition"], state[OPENING]["ssr_condition"]) == (False, None)
    of_events = {event: found for event, *found in rows(lake, "event_reconciliation").iter_rows()}
    assert of_events[OPENING] == [1.0, "exact", "exact"], "of the minutes that the span of EARLY holds"
    capture(tape, FIRST, "trades")
    capture(tape, FIRST, "quotes")
    assert computed(compute(lake)) == {FIRST}


def test_damaged_tape_is_named_and_costs_no_other_event(lake: Lake) -> None:
    folder = lake.tape_wave("core", "trades", "RTH", SYMBOL)
    start, _ = window_of(SECOND)
    damaged = next(path for path in folder.iterdir() if path.name.startswith(f"{start:%Y%m%dT%H%M%S}"))
    flip_bit(damaged)
    outcomes = [found.outcomes["micro_features"] for found in compute(lake)]
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    assert len(problems) == 1
    assert str(damaged) in problems[0]
    assert set(rows(lake, "micro_features")["event_id"]) == {FIRST, OPENING}
    flip_bit(damaged)
    assert computed(compute(lake)) == {SECOND}


def test_a_block_that_only_some_tables_lack_is_in_no_table_twice(lake: Lake) -> None:
    # the tape of OPENING is in the block of EARLY, whose minutes are then current, and whose events are not
    compute(lake, (EARLY,))
    compute(lake)
    grown = files_below(lake.research)
    for path in lake.research.rglob("*.parquet"):
        path.unlink()
    compute(lake)
    assert {name: pl.read_parquet(lake.research / name).height for name in grown} == {
        path.relative_to(lake.research).as_posix(): pl.read_parquet(path).height
        for path in lake.research.rglob("*.parquet")
    }


def test_damaged_bars_cost_no_figure_of_the_tape(lake: Lake) -> None:
    compute(lake)
    micro = rows(lake, "micro_features")
    month = next(lake.bars(SYMBOL).glob("*.parquet"))
    content = month.read_bytes()
    month.write_bytes(content[:-9])
    outcomes = [found.outcomes for found in compute(lake)]
    assert [problem for found in outcomes for problem in found["bar_reconciliation"].problems]
    assert not [problem for found in outcomes for problem in found["micro_features"].problems]
    assert_frame_equal(rows(lake, "micro_features"), micro)
    month.write_bytes(content)
    compute(lake)
    assert_frame_equal(rows(lake, "micro_features"), micro)
    assert set(rows(lake, "bar_reconciliation")["class"]) == {"exact"}


def test_a_damaged_part_is_set_aside_and_made_again(lake: Lake) -> None:
    compute(lake)
    path = lake.research_wave("core", "micro_features", "RTH", SYMBOL)
    intact = path.read_bytes()
    flip_bit(path)
    capture_minute(lake, TRADES_OF_MINUTE[:1])
    assert computed(compute(lake)) == {FIRST, OPENING, SECOND}
    assert pl.read_parquet(path)["event_id"].n_unique() == 3
    assert path.read_bytes() != intact
    assert list(lake.damaged_path(path).parent.glob(f"{path.name}*"))


def test_a_damaged_part_is_made_again_although_nothing_else_changed(lake: Lake) -> None:
    compute(lake)
    sound = files_below(lake.research)
    path = lake.research_wave("core", "micro_features", "RTH", SYMBOL)
    flip_bit(path)
    assert computed(compute(lake)) == {FIRST, OPENING, SECOND}
    assert {name: content for name, (_, content) in files_below(lake.research).items()} == {
        name: content for name, (_, content) in sound.items()
    }


def test_a_folder_in_the_place_of_a_part_costs_no_other_part(lake: Lake) -> None:
    path = lake.research_wave("core", "tape_halts", "RTH", SYMBOL)
    path.mkdir(parents=True)
    made = {found.pair[1]: found.outcomes for found in compute(lake)}
    (problem,) = {problem for outcome in made["RTH"].values() for problem in outcome.problems}
    assert (
        problem
        == f"{SYMBOL} RTH: {path}: is a folder, where a file belongs: move the folder away. " + how_to_restore(path)
    )
    assert not [problem for outcome in made["PM"].values() for problem in outcome.problems]
    assert rows(lake, "micro_features", "PM").height
    path.rmdir()
    assert computed(compute(lake)) == {FIRST, OPENING, SECOND}


def test_quotes_whose_rate_the_grid_does_not_divide_are_refused_by_name(lake: Lake) -> None:
    tape = tape_of(lake)
    odd = replace(tape, params=tape.params.model_copy(update={"quotes": Thinning(by_change_only=False, max_hz=7)}))
    step = replace(research(lake), tape=odd)
    with pytest.raises(InputError, match=r"profile core: quotes\.max_hz 7 is not a multiple of research\.grid_hz 5"):
        list(step.run(manifest_with(FIRST), PAIRS))


# --------------------------------------------------------------------------------------- what is known to be up to date


def inputs(lake: Lake) -> list[Path]:
    return sorted([*(lake.root / "tape").rglob("*.parquet"), *lake.minute_bars.rglob("*.parquet")])


def date_inputs(lake: Lake, seconds: float) -> None:
    """Have tape and bars last changed so many seconds from now."""
    for path in inputs(lake):
        os.utime(path, (time.time() + seconds,) * 2)


def garble(lake: Lake) -> None:
    """Replace tape and bars by bytes of no meaning; size and time stay."""
    for path in inputs(lake):
        state = path.stat()
        path.write_bytes(b"x" * state.st_size)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def shown(results: list[PartResult]) -> list[tuple[object, ...]]:
    return [
        (result.pair, asset, outcome.figures["events"], outcome.version)
        for result in sorted(results)
        for asset, outcome in result.outcomes.items()
    ]


def test_files_of_the_same_size_and_time_are_not_opened(lake: Lake) -> None:
    date_inputs(lake, -3600)
    first = compute(lake)
    intact = {path: path.read_bytes() for path in inputs(lake)}
    garble(lake)
    again = compute(lake)
    assert computed(again) == set()
    assert shown(again) == shown(first)
    # a copy has other times: the footers say that nothing is new, and are not read a second time
    for path, content in intact.items():
        path.write_bytes(content)
    date_inputs(lake, -1800)
    before = files_below(lake.research)
    assert computed(compute(lake)) == set()
    assert files_below(lake.research) == before
    garble(lake)
    assert computed(compute(lake)) == set()
    assert shown(compute(lake)) == shown(first)
    os.utime(inputs(lake)[-1])
    compute(lake)
    assert rows(lake, "micro_features").is_empty(), "what is no tape file counts as missing"


def test_files_that_changed_a_moment_ago_are_opened_again(lake: Lake) -> None:
    date_inputs(lake, 60)
    compute(lake)
    garble(lake)
    compute(lake)
    assert rows(lake, "micro_features").is_empty()


def test_other_events_settings_and_lost_parts_are_noticed_where_no_file_changed(lake: Lake) -> None:
    date_inputs(lake, -3600)
    compute(lake)
    assert computed(compute(lake, (OPENING, SECOND))) == set()
    assert set(rows(lake, "micro_features")["event_id"]) == {OPENING, SECOND}
    other = PARAMS.model_copy(update={"large_print_usd": 1_000.0})
    assert computed(compute(lake, (OPENING, SECOND), other)) == {OPENING, SECOND}
    lake.research_wave("core", "tape_halts", "RTH", SYMBOL).unlink()
    assert computed(compute(lake, (OPENING, SECOND), other)) == {OPENING, SECOND}
    assert computed(compute(lake, (OPENING, SECOND), other)) == set()


def test_a_damaged_list_of_states_costs_a_look_into_the_footers(lake: Lake) -> None:
    date_inputs(lake, -3600)
    compute(lake)
    (states,) = lake.cache.iterdir()
    states.write_bytes(b"{")
    assert computed(compute(lake)) == set()
    garble(lake)
    assert computed(compute(lake)) == set()


def test_partitions_with_tape_or_with_files_are_present(lake: Lake, tmp_path: Path) -> None:
    assert research(Lake(tmp_path / "empty")).present_pairs(manifest_with(*ALL)) == []
    assert research(lake).present_pairs(manifest_with(FIRST)) == [(SYMBOL, "RTH")]
    compute(lake)
    # EARLY has left the manifest, and its rows are still there
    assert research(lake).present_pairs(manifest_with(FIRST)) == [(SYMBOL, "PM"), (SYMBOL, "RTH")]


# ------------------------------------------------------------------------- damaged footers, and runs at the same time


def flip_footer(path: Path) -> None:
    """The length of the footer, before the last four bytes."""
    content = bytearray(path.read_bytes())
    content[-6] ^= 0x40
    path.write_bytes(content)


def test_a_file_without_a_readable_footer_is_named_and_costs_no_other_event(lake: Lake) -> None:
    compute(lake)
    folder, (start, _) = lake.tape_wave("core", "quotes", "RTH", SYMBOL), window_of(SECOND)
    damaged = next(path for path in folder.iterdir() if path.name.startswith(f"{start:%Y%m%dT%H%M%S}"))
    sound = damaged.read_bytes()
    flip_footer(damaged)
    for _ in range(2):
        by_wave = {found.pair[1]: found.outcomes for found in compute(lake)}
        for asset, outcome in by_wave["RTH"].items():
            (problem,) = outcome.problems
            assert problem.startswith(f"{SYMBOL} RTH: {damaged}: cannot be read ("), asset
            assert how_to_restore(damaged) in problem
        assert not [outcome.problems for outcome in by_wave["PM"].values() if outcome.problems]
    micro = rows(lake, "micro_features").filter(segment="bar").rows_by_key("event_id", named=True, unique=True)
    assert {event: found["capture_state"] for event, found in micro.items()} == {
        FIRST: "complete/complete",
        OPENING: "complete/complete",
        SECOND: "complete/missing",
    }
    damaged.write_bytes(sound)
    assert computed(compute(lake)) == {SECOND}


def test_a_file_that_is_gone_since_it_was_listed_costs_no_other_event(lake: Lake) -> None:
    listing = tape_of(lake).listing()
    path = Path(listing["trades"].filter(start=window_of(SECOND)[0])["path"].item())
    path.unlink()
    made = list(research(lake).run(manifest_with(*ALL), PAIRS, listing=listing))
    problems = {f"{problem}" for found in made for outcome in found.outcomes.values() for problem in outcome.problems}
    assert len(problems) == 1
    assert f"{path}: cannot be read (No such file or directory)" in problems.pop()
    assert set(rows(lake, "micro_features")["event_id"]) == {FIRST, OPENING}


def test_a_damaged_record_of_a_failed_window_is_named_and_costs_nothing_else(lake: Lake) -> None:
    tape, (start, end) = tape_of(lake), window_of(SECOND)
    next(lake.tape_wave("core", "quotes", "RTH", SYMBOL).glob(f"{start:%Y%m%dT%H%M%S}*")).unlink()
    tape.record_failure("quotes", Span(SYMBOL, "RTH", start, end, (SECOND,)), "failed", "HTTP 503")
    (record,) = lake.quarantine.rglob("*.json")
    record.write_text("{}", encoding="utf-8")
    problems = {
        f"{problem}" for found in compute(lake) for outcome in found.outcomes.values() for problem in outcome.problems
    }
    assert problems == {f"{SYMBOL} RTH: {record}: has no usable state, cause, wave, events. {how_to_restore(record)}"}
    assert set(rows(lake, "micro_features")["event_id"]) == {FIRST, OPENING, SECOND}


def test_two_runs_at_the_same_time_make_the_same_files(lake: Lake) -> None:
    compute(lake)
    capture_minute(lake, TRADES_OF_MINUTE[:1])
    others = list[PartResult]()
    meanwhile = replace(research(lake), tick=lambda: others.extend(compute(lake)))
    assert computed(list(meanwhile.run(manifest_with(*ALL), PAIRS))) == {FIRST}
    assert computed(others) == {FIRST}
    made = files_below(lake.research)
    assert computed(compute(lake)) == set()
    shutil.rmtree(lake.research)
    compute(lake)
    assert {name: content for name, (_, content) in files_below(lake.research).items()} == {
        name: content for name, (_, content) in made.items()
    }


@pytest.mark.parametrize("others", [(SECOND,), ()], ids=["other events", "none"])
def test_rows_that_another_run_removed_meanwhile_are_not_taken_for_kept(lake: Lake, others: tuple[str, ...]) -> None:
    compute(lake)
    before = rows(lake, "micro_features")
    capture_minute(lake, TRADES_OF_MINUTE[:1])
    meanwhile = replace(research(lake), tick=lambda: [*compute(lake, others)])
    found = {result.pair[1]: result for result in meanwhile.run(manifest_with(*ALL), PAIRS)}
    problems = found["RTH"].outcomes["micro_features"].problems
    assert problems
    assert all(f"{SYMBOL}.parquet: another run replaced it meanwhile" in problem for problem in problems)
    assert set(rows(lake, "micro_features")["event_id"]) == {FIRST, *others}
    # what is missing is stale, and nothing else
    assert computed(compute(lake)) >= {OPENING}
    others_of = pl.col("event_id") != FIRST
    assert_frame_equal(rows(lake, "micro_features").filter(others_of), before.filter(others_of))
    assert computed(compute(lake)) == set()


def test_runs_that_find_the_same_damage_at_the_same_time_all_end_well(lake: Lake) -> None:
    compute(lake)
    sound = files_below(lake.research)
    for path in lake.research.rglob("*.parquet"):
        flip_footer(path)
    with ThreadPoolExecutor(4) as pool:
        for made in [pool.submit(compute, lake) for _ in range(4)]:
            computed(made.result())
    assert {name: content for name, (_, content) in files_below(lake.research).items()} == {
        name: content for name, (_, content) in sound.items()
    }
