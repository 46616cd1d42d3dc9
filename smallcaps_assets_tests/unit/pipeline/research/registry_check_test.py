"""Files of features and of hindsight are kept apart."""

from pathlib import Path

import polars as pl

from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES, EVENT_SCORES
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.research.registry_check import check_hindsight_apart


def test_a_file_of_features_with_a_column_of_hindsight_is_named(tmp_path: Path) -> None:
    store = ResearchStore(Lake(tmp_path))
    lake = store.lake
    tables = {
        lake.research_symbol("event_bar_features", "AVLO"): BAR_FEATURES.to_frame(),
        lake.research_table("event_scores"): EVENT_SCORES.to_frame(),
        lake.research_table("research_table", "core"): RESEARCH_TABLE.to_frame(),
    }
    for path, table in tables.items():
        store.publish(path, table, {})
    assert check_hindsight_apart(store, list(tables)).holds
    assert check_hindsight_apart(store, []).unjudged
    mixed = lake.research_table("research_table", "core")
    store.publish(mixed, tables[mixed].with_columns(net_return=pl.lit(0.1), mfe_15_bps=pl.lit(3.0)), {})
    found = check_hindsight_apart(store, list(tables))
    assert not found.holds
    assert found.breaking == 2
