"""Checks of the research tables of tape, on tables that are right, and on tables that break one rule each."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.defs.checks.tape_research import TAPE_RESEARCH_CHECKS
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.checks import run_checks
from smallcaps_assets.pipeline.research.tape.around_event import around_events
from smallcaps_assets.pipeline.research.tape.look_ahead import find_peeking
from smallcaps_assets.pipeline.research.tape.tape_checks import checks_of_tape_research
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.tape_scenes import (
    EVENTS,
    FIRST,
    MINUTE,
    SECOND,
    SYMBOL,
    capture,
    fill_bars,
    manifest_with,
    quote_rows,
    tape_of,
    window_of,
)

MANIFEST = manifest_with(*EVENTS)


@pytest.fixture(scope="module")
def research(tmp_path_factory: pytest.TempPathFactory) -> TapeResearch:
    """Everything computed."""
    lake = Lake(tmp_path_factory.mktemp("checked") / "lake")
    lake.root.mkdir()
    fill_bars(lake)
    for name in EVENTS:
        capture(tape_of(lake), name, "trades")
        capture(tape_of(lake), name, "quotes")
    made = TapeResearch(tape_of(lake), ResearchParams(), default_settings().sessions)
    list(made.run(MANIFEST, [(SYMBOL, wave) for wave in ("PM", "RTH")]))
    return made


def findings(research: TapeResearch, asset: str) -> dict[str, Finding]:
    checks = checks_of_tape_research(research, MANIFEST, asset)
    return {found.name: found for found in run_checks(checks, checks.keys())}


@pytest.mark.parametrize("asset", TAPE_RESEARCH_CHECKS)
def test_tables_that_are_right_pass(research: TapeResearch, asset: str) -> None:
    found = findings(research, asset)
    assert set(found) == set(TAPE_RESEARCH_CHECKS[asset])
    assert {name: one.sentence() for name, one in found.items()} == dict.fromkeys(found, "Passed.")


@pytest.mark.parametrize(
    ("asset", "check", "change"),
    [
        ("micro_features", "shares", {"normal_share": pl.lit(0.9)}),
        ("micro_features", "finite_values", {"spread_bps_mean": pl.lit(float("nan"))}),
        ("micro_features", "explained_share", {"kyle_r2": pl.lit(1.1)}),
        (
            "micro_features",
            "spread_parts",
            {
                "n_realized_5": pl.col("n_effective"),
                "realized_spread_5_bps": pl.lit(1.0),
                "price_impact_5_bps": pl.lit(2.0),
            },
        ),
        ("bar_reconciliation", "exact_minutes", {"class": pl.lit("price_only")}),
    ],
)
def test_a_broken_rule_is_found(research: TapeResearch, asset: str, check: str, change: dict[str, pl.Expr]) -> None:
    path = research.tape.lake.research_wave("core", asset, "RTH", SYMBOL)
    intact = path.read_bytes()
    rows = pl.read_parquet(path, hive_partitioning=False).with_columns(**change)
    ResearchStore(research.tape.lake).publish(path, rows, {})
    broken = findings(research, asset)
    path.write_bytes(intact)
    assert not broken[check].holds


def test_a_value_that_looks_ahead_is_named(research: TapeResearch) -> None:
    assert find_peeking(research, MANIFEST, list(EVENTS)).is_empty()
    # said to be known at the event, although it describes all of the window
    peeking = find_peeking(research, MANIFEST, [FIRST], known=["post_all"])
    assert set(peeking["event_id"]) == {FIRST}
    assert {"volume_shares", "trades"} <= set(peeking["column"])


def test_nothing_is_judged_before_anything_is_computed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    empty = TapeResearch(tape_of(lake), ResearchParams(), default_settings().sessions)
    assert findings(empty, "bar_reconciliation")["exact_minutes"].unjudged
    assert findings(empty, "micro_features")["nothing_peeks"].unjudged


def test_months_whose_quote_sizes_contradict_their_unit_are_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.root.mkdir()
    # 7 of 10 sizes before the event are below 100, but none of those after it
    start, end = window_of(FIRST)
    known = pl.col("timestamp") < start + 3 * MINUTE
    small = quote_rows(start, end).with_columns(
        bid_size=pl.when(known).then(7.0).otherwise(100.0), ask_size=pl.when(known).then(9.0).otherwise(200.0)
    )
    capture(tape_of(lake), FIRST, "quotes", small)
    capture(tape_of(lake), SECOND, "quotes")
    sizes = {}
    for day in (None, date(2025, 12, 1)):
        params = ResearchParams(quote_sizes_in_shares_from=day)
        research = TapeResearch(tape_of(lake), params, default_settings().sessions)
        found = findings(research, "micro_features")["quote_size_unit"]
        assert not found.severe
        sizes[day] = found
    assert sizes[None].examples.rows() == [("2025-11", "shares", 2, 1)]
    assert (
        sizes[None]
        .sentence()
        .startswith(
            "Sizes of quotes contradict their unit in 2025-11 (1 of 2 spans in shares). A few spans may do so by chance"
        )
    )
    # small odd sizes are lots; SECOND has whole hundreds on one side only
    assert sizes[date(2025, 12, 1)].holds
    capture(tape_of(lake), SECOND, "quotes", quote_rows(*window_of(SECOND)).with_columns(bid_size=pl.lit(300.0)))
    as_lots = TapeResearch(
        tape_of(lake), ResearchParams(quote_sizes_in_shares_from=date(2025, 12, 1)), default_settings().sessions
    )
    found = findings(as_lots, "micro_features")["quote_size_unit"]
    assert (found.holds, found.examples.rows()) == (False, [("2025-11", "lots", 2, 1)])


def test_a_file_with_other_columns_is_named(research: TapeResearch) -> None:
    path = research.tape.lake.research_wave("core", "tape_halts", "RTH", SYMBOL)
    intact = path.read_bytes()
    rows = pl.read_parquet(path, hive_partitioning=False).drop("seconds")
    ResearchStore(research.tape.lake).publish(path, rows, {})
    found = findings(research, "event_tape_state")["registry_complete"]
    path.write_bytes(intact)
    file = path.relative_to(research.tape.lake.root).as_posix()
    assert found.examples.rows() == [("tape_halts", "seconds", "is not in the file", file)]


def test_means_around_events_are_those_of_their_tape(research: TapeResearch, tmp_path: Path) -> None:
    captured = MANIFEST["event_id"]
    found = around_events(research, MANIFEST, captured)
    assert (found.drawn, found.captured) == (4, 4)
    by_second = {second: rest for _, second, *rest in found.means.iter_rows()}
    # a book of 9.99 by 10.01; one trade at second 40 of each minute, bought, and one at 10, sold after the first
    assert by_second[40] == [4, pytest.approx(20.0), pytest.approx(0.2), pytest.approx(1.0)]
    assert by_second[10] == [4, pytest.approx(20.0), pytest.approx(0.2), pytest.approx(-1.0)]
    assert by_second[-175] == [4, pytest.approx(20.0), 0.0, None]
    nothing = TapeResearch(tape_of(Lake(tmp_path)), ResearchParams(), default_settings().sessions)
    assert around_events(nothing, MANIFEST, captured).drawn == 0


def test_damaged_tape_costs_no_other_event_its_place_in_the_means(research: TapeResearch) -> None:
    lines = list[str]()
    (path,) = (research.tape.lake.tape_wave("core", "trades", "PM", SYMBOL)).glob("*.parquet")
    intact = path.read_bytes()
    # another time of change, too: a file is proved once while it is unchanged
    path.write_bytes(intact[:60] + bytes([intact[60] ^ 4]) + intact[61:])
    found = around_events(replace(research, log=lines.append), MANIFEST, MANIFEST["event_id"])
    path.write_bytes(intact)
    # EARLY and OPENING overlap, and share a block
    assert (found.drawn, found.captured) == (2, 4)
    assert [line for line in lines if str(path) in line]
