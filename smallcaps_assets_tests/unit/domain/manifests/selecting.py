"""Selections of rows of MASTER with the shipped settings of the core profile."""

from typing import Any

from smallcaps_assets.domain.manifests.selection import ProfileParams, RankingParams, Selection, select_events
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.scenarios import default_settings

STEPS = [
    "range_and_sessions",
    "min_event_score",
    "bar_liquidity",
    "day_liquidity",
    "best_of_group",
    "max_per_symbol_day",
    "max_per_symbol",
    "max_events",
]
# nothing is triggered by a percentile of equal values: see the tests of extensions
GENEROUS = {"max_per_symbol": 1000, "max_per_symbol_day": 1000}


def core(**changes: Any) -> ProfileParams:
    return ProfileParams.model_validate(default_settings().profiles["core"].model_dump() | changes)


def ranking(**changes: Any) -> RankingParams:
    return RankingParams.model_validate(default_settings().ranking.model_dump() | changes)


def selected(*rows: dict[str, Any], **changes: Any) -> Selection:
    return select_events(master_of(*rows), core(**changes), default_settings().ranking)


def ids(selection: Selection) -> list[str]:
    return selection.manifest["event_id"].to_list()


def funnel(selection: Selection) -> list[int | str]:
    assert [step["step"] for step in selection.funnel] == STEPS
    return [step["rows"] for step in selection.funnel]


GOOD = event(event_id="good", symbol="GOOD")
