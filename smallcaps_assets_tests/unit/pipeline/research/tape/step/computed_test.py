"""Which events are computed, from which tape, and which figures they get."""

from dataclasses import replace
from datetime import UTC

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tape.nbbo import Thinning
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.pipeline.research.tape.block_tables import TAPE_TABLES
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.scenarios import flip_bit, new_york
from smallcaps_assets_tests.tape_scenes import (
    EARLY,
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
from smallcaps_assets_tests.unit.pipeline.research.tape.step.computing import (
    ALL,
    PAIRS,
    PARAMS,
    capture_minute,
    classes,
    compute,
    computed,
    research,
    rows,
)


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


def test_quotes_whose_rate_the_grid_does_not_divide_are_refused_by_name(lake: Lake) -> None:
    tape = tape_of(lake)
    odd = replace(tape, params=tape.params.model_copy(update={"quotes": Thinning(by_change_only=False, max_hz=7)}))
    step = replace(research(lake), tape=odd)
    with pytest.raises(InputError, match=r"profile core: quotes\.max_hz 7 is not a multiple of research\.grid_hz 5"):
        list(step.run(manifest_with(FIRST), PAIRS))
