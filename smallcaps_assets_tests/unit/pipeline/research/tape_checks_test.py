"""Checks of the research tables of tape, on tables that are right, and on tables that break one rule each."""

from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.defs.tape_research_checks import TAPE_RESEARCH_CHECKS
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.checks import run_checks
from smallcaps_assets.pipeline.research.look_ahead import find_peeking
from smallcaps_assets.pipeline.research.tape_checks import checks_of_tape_research
from smallcaps_assets.pipeline.research.tape_step import TapeResearch
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.tape_scenes import EVENTS, FIRST, SYMBOL, capture, fill_bars, manifest_with, tape_of

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
