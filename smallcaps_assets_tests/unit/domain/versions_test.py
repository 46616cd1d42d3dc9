"""Identification of code, settings and rows."""

import re
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.defs.registry import REGISTRY
from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.versions import code_version, rows_digest
from smallcaps_assets.settings.settings import PROFILES, load_settings


class Rules(Params):
    least: float
    by_type: dict[str, int]


def test_a_code_version_contains_the_version_and_depends_on_settings() -> None:
    rules = Rules(least=1.0, by_type={"a": 1, "b": 2})
    version = code_version("7", rules)
    assert re.fullmatch(r"7-[0-9a-f]{8}", version)
    assert code_version("7", Rules(least=1.0, by_type={"b": 2, "a": 1})) == version
    others = [
        code_version("8", rules),
        code_version("7", Rules(least=1.5, by_type={"a": 1, "b": 2})),
        code_version("7", Rules(least=1.0, by_type={"a": 2, "b": 1})),
        code_version("7", rules, None),
        code_version("7"),
    ]
    assert len({version, *others}) == 6
    assert code_version("7") == "7"


# tables that read the features of detection, which scale legs and barriers
FEATURES_READ = {"event_bar_features", "event_waves", "event_labels"}
OF_BARS = {"event_bar_features", "halts", "event_waves", "event_labels", "market_state_day"}


def of_profiles(name: str) -> set[str]:
    return {f"{profile}/{name}" for profile in PROFILES}


# features and outcomes of controls are computed as those of events
OF_CONTROLS = of_profiles("control_features")
OF_TAPE = of_profiles("micro_features") | of_profiles("bar_reconciliation") | of_profiles("event_tape_state")


@pytest.mark.parametrize(
    ("path", "value", "assets"),
    [
        ("detectors.flush.min_spike_x", 4.5, {"event_shards", "master_events"}),
        (
            "features.rvol_days",
            10,
            {"event_shards", "master_events"} | FEATURES_READ | of_profiles("review_sheet") | OF_CONTROLS,
        ),
        (
            "sessions.premarket_open",
            "05:00",
            {"event_shards", "master_events", "event_scores"}
            | OF_BARS
            | OF_TAPE
            | of_profiles("review_sheet")
            | of_profiles("event_costs")
            | of_profiles("control_manifest")
            | OF_CONTROLS,
        ),
        ("research.halt_min_trades", 60, OF_BARS - {"event_waves"} | of_profiles("event_tape_state") | OF_CONTROLS),
        ("research.split_days", 30, {"event_bar_features", "market_state_day"} | OF_CONTROLS),
        ("research.rvol_to_time_days", 30, {"event_bar_features"} | OF_CONTROLS),
        ("research.causal_min_dollars", 5.0, FEATURES_READ | {"event_scores"}),
        ("research.cost_days", 30, of_profiles("event_costs") | OF_CONTROLS),
        ("research.control_min_bars", 4, of_profiles("control_manifest")),
        ("research.score_days", 30, {"event_scores"}),
        ("research.wave_horizon_min", 45, {"event_waves"} | OF_CONTROLS),
        ("research.fee_bps", 2.0, of_profiles("event_costs") | OF_CONTROLS),
        ("research.enabled", False, set()),
        ("cooldown.group_window_min", 7, {"master_events"}),
        # the tiers of events build on it
        ("profiles.core.min_event_score", 0.7, {"event_shards", "master_events", "core/manifest"}),
        ("profiles.plus.max_events", 7, {"plus/manifest"}),
        ("ranking.type_weights.flush", 0.1, of_profiles("manifest")),
        ("profiles.plus.quotes.max_hz", 7, {"plus/manifest", "plus/tape_quotes"}),
        ("profiles.plus.columns", "all", {"plus/manifest", "plus/tape_quotes", "plus/tape_trades"}),
        ("capture.size_budget.event_mb", 7.0, of_profiles("tape_quotes")),
        ("capture.quotes_without_trades", True, of_profiles("tape_quotes")),
        ("kpis.min_success_pct", 7.0, of_profiles("capture_report")),
        ("review.seed", 8, of_profiles("review_sheet")),
        ("history.first_session", "2025-11-03", {"listings", "universe", "splits", "minute_bars", "coverage"}),
        ("checks.bars.min_volumes", 60, {"coverage"}),
        ("universe.min_price_usd", 2.0, {"universe", "event_listings"}),
        ("universe.limits.from_symbols", 7, set()),
        ("fetch_threads", 3, set()),
        ("source.requests_per_minute", 5.0, set()),
        ("capture.free_disk.keep_gb", 7.0, set()),
        ("checks.master.max_type_share_pct", 7.0, set()),
    ],
)
def test_a_setting_changes_the_version_of_what_it_decides_and_of_nothing_else(
    path: str, value: Any, assets: set[str]
) -> None:
    overrides = value
    for name in reversed(path.split(".")):
        overrides = {name: overrides}
    before, after = load_settings(overrides={}), load_settings(overrides=overrides)
    changed = {name for name, facts in REGISTRY.items() if facts.code_version(before) != facts.code_version(after)}
    assert changed == assets


def test_row_digests_depend_on_the_values() -> None:
    rows = pl.DataFrame({"a": ["x", None], "b": [0.1, 2.0]})
    assert rows_digest(pl.concat([rows[:1], rows[1:]], rechunk=False)) == rows_digest(rows)
    others = [
        rows.reverse(),
        rows.with_columns(pl.col("a").fill_null("")),
        rows.with_columns(pl.col("b").replace(0.1, 0.1 + 2**-56)),
        rows.rename({"b": "c"}),
        rows[:1],
        rows[:0],
        rows[:0].rename({"b": "c"}),
    ]
    assert len({rows_digest(one) for one in [rows, *others]}) == 8
