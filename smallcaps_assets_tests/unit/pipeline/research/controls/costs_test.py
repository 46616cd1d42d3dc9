"""What controls cost by the tape of a lake (research specification, sections 4.4 and 7)."""

from datetime import date

import polars as pl

from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.outcome_params import CostParams
from smallcaps_assets.domain.research.outcomes.event_costs import OWN_COSTS
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.research.costs_of_others import CostsOfOthers
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.research.controls.control_scenes import at

TAPE = {"a": 30.0, "b": 50.0}
CLOSES = pl.Schema({"event_id": pl.String(), "timestamp": UTC_US, "close": pl.Float64()})


def test_controls_without_a_book_cost_what_events_of_the_days_before_did(lake: Lake) -> None:
    store = ResearchStore(lake)
    micro = pl.DataFrame({"event_id": [*TAPE], "spread_bps_at_end": [*TAPE.values()], "segment": "bar"})
    store.publish(
        lake.research_wave("core", "micro_features", "RTH", "AAA"),
        micro.match_to_schema(MICRO_FEATURES, missing_columns="insert"),
        {},
    )
    moments = [at(date(2025, 11, day), "10:15") for day in (3, 4)]
    features = pl.DataFrame({"event_id": [*TAPE], "timestamp": moments, "close": 10.0})
    store.publish(
        lake.research_symbol("event_bar_features", "AAA"),
        features.match_to_schema(BAR_FEATURES, missing_columns="insert"),
        {},
    )
    days = {"early": 4, "own": 5, "bare": 5, "late": 6}
    controls = pl.DataFrame(
        [(name, at(date(2025, 11, day), "10:15"), 10.0) for name, day in days.items()], schema=CLOSES, orient="row"
    )
    own = pl.DataFrame([("own", 90.0, None), ("bare", None, None)], schema=OWN_COSTS, orient="row")
    costs = CostsOfOthers(lake, CostParams(cost_min_events=2), default_settings().sessions, "core")
    # the day before "early" has one event; the median of 30 and 50 is 40, also after the control that cost 90
    assert costs.of(controls, own).rows() == [
        ("early", None, "none"),
        ("own", 90.0, "nbbo"),
        ("bare", 40.0, "trailing"),
        ("late", 40.0, "trailing"),
    ]
