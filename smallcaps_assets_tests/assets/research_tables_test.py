"""The research assets, materialized on a small lake: what is recorded of them, and what fails with them."""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from smallcaps_assets.defs.recording.completeness import PROBLEMS
from smallcaps_assets.domain.research.columns import ResearchColumn
from smallcaps_assets.domain.research.tables.enriched_table import ENRICHED
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE, RESEARCH_TABLE_COLUMNS, TABLE_KEYS
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.pipeline.research.bars.bar_checks import UP_TO_DATE, UP_TO_DATE_TABLES
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_ASSETS
from smallcaps_assets_tests.assets.conftest import ALL
from smallcaps_assets_tests.assets.platform import SYMBOLS_OF_MARKET, Platform, failure, recorded_by
from smallcaps_assets_tests.assets.redetection_test import evaluation, tick
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.scenarios import flip_bit

TABLE = ["core", "research_table"]
INPUT = "dagster/input_data_version/core/{}"
OUTCOMES = ("events_with_waves_enriched", ["core", "event_costs"], ["core", "research_labels"], ["core", "cohorts"])


def figures(platform: Platform, *asset: str) -> dict[str, object]:
    """The metadata of the last materialization of an asset."""
    (record,) = platform.instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    assert record.asset_materialization
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def tags(platform: Platform, *asset: str) -> Mapping[str, str]:
    """The tags of the last materialization of an asset."""
    (record,) = platform.instance.fetch_materializations(dg.AssetKey(asset), limit=1).records
    assert record.asset_materialization
    return record.asset_materialization.tags or {}


def test_all_tables_are_made_without_a_request(made: Platform) -> None:
    before = files_below(made.root)
    result = made.run(*SYMBOL_ASSETS, **ALL)
    for table in SYMBOL_ASSETS:
        assert recorded_by(made, result, table) == set(SYMBOLS_OF_MARKET)
    made.run("event_scores", TABLE, *OUTCOMES)
    assert made.gate.requests == []
    after = files_below(made.root)
    # bars, shards, MASTER and manifests are what they were
    assert {name: state for name, state in after.items() if not name.startswith("research/")} == before
    manifest = ManifestStore.in_lake(made.lake, "core").load()
    table = pl.read_parquet(made.lake.research_table("research_table", "core"))
    assert table.schema == RESEARCH_TABLE
    order = manifest.sort("symbol", "timestamp", "event_type")
    assert table.select(TABLE_KEYS).equals(order.select(TABLE_KEYS))
    assert table["close"].equals(order["close"])
    assert table["score_n"].null_count() == 0
    shown = figures(made, *TABLE)
    assert shown["verdict"] == (
        f"Of {manifest.height} events not known yet: tape before of {manifest.height}, tape of the minute of "
        f"{manifest.height}; their columns are null."
    )
    assert figures(made, "event_scores")["dagster/row_count"] == pl.read_parquet(made.lake.master).height
    hindsight = check_outcomes(made, manifest)
    # one step made them: each is recorded as made from what the step made just before it
    for table, upstream in (("cohorts", "event_costs"), ("research_labels", "event_costs"), (TABLE[1], "cohorts")):
        assert tags(made, "core", table)[INPUT.format(upstream)] == tags(made, "core", upstream)[DATA_VERSION_TAG]
    # nothing changed: nothing is written
    made.run(*SYMBOL_ASSETS, **ALL)
    made.run("event_scores", TABLE, *OUTCOMES)
    assert files_below(made.root) == after
    for asset in (
        TABLE,
        ["events_with_waves_enriched"],
        ["core", "event_costs"],
        ["core", "research_labels"],
        ["core", "cohorts"],
    ):
        assert figures(made, *asset)["unchanged"] is True
    assert check_outcomes(made, manifest) == hindsight


def check_outcomes(made: Platform, manifest: pl.DataFrame) -> dict[str, object]:
    """The tables of outcomes agree with each other and with what is shown of them; returns what is shown of labels."""
    lake = made.lake
    enriched = pl.read_parquet(lake.research_table("events_with_waves_enriched"))
    costs = pl.read_parquet(lake.research_table("event_costs", "core"))
    labels = pl.read_parquet(lake.research_table("research_labels", "core"))
    parts = [pl.read_parquet(path, glob=False) for path in sorted((lake.research / "event_labels").glob("*.parquet"))]
    assert enriched.schema == ENRICHED
    assert enriched["event_id"].equals(pl.read_parquet(lake.master)["event_id"])
    # a row per event and spec, in the order of the specs; without tape or a default no cost is known
    assert costs["label_spec"].to_list() == ["5,1,1", "15,1,1", "60,1,1"] * enriched.height
    assert costs["event_id"].unique(maintain_order=True).equals(enriched["event_id"].sort())
    assert costs["cost_source"].unique().to_list() == ["none"]
    gross = labels.select("event_id", "label_spec", "t1", "gross_return", "uniqueness")
    assert gross.join(pl.concat(parts), on=gross.columns, how="anti", nulls_equal=True).is_empty()
    order = manifest.sort("symbol", "timestamp", "event_type")
    assert labels.filter(label_spec="60,1,1").select(TABLE_KEYS).equals(order.select(TABLE_KEYS))
    # without tape features go back to the start of the date: 00:00 in New York is 05:00 UTC in winter, else 04:00
    assert set(labels["feature_from"].dt.hour()) <= {4, 5}
    shown = figures(made, "core", "research_labels")
    assert shown["verdict"] == f"The cost of 0 of {manifest.height} events is known."
    primary = labels.filter(label_spec="15,1,1")
    ties = primary["tie"].drop_nulls()
    assert shown["tie pct"] == pytest.approx(100 * ties.sum() / ties.len(), abs=0.1)
    assert "win pct" not in shown
    outcomes = dict(enriched["outcome"].drop_nulls().value_counts(normalize=True).iter_rows())
    assert figures(made, "events_with_waves_enriched")["continuation pct"] == pytest.approx(
        100 * outcomes["continuation"], abs=0.1
    )
    own = pl.concat(parts).filter(label_spec="15,1,1", state="ok")
    assert figures(made, "core", "event_costs")["labels, master"] == own.height
    return {name: value for name, value in shown.items() if name != "unchanged"}


def test_no_column_of_the_table_is_hindsight() -> None:
    assert {column.availability for column in RESEARCH_TABLE_COLUMNS.values()} == {"key", "pre"}
    hindsight = {"rvol_day", "dollar_volume_day", "rank", "extended", "window_before_min", "halt_in_window"}
    assert not hindsight.intersection(RESEARCH_TABLE)
    assert RESEARCH_TABLE_COLUMNS["spread_bps_at_end_bar"] == ResearchColumn(
        "spread_bps_at_end_bar", pl.Float64(), "bps", "pre", "quotes"
    )


def test_a_symbol_that_fails_is_named_and_stops_no_other(made: Platform) -> None:
    flip_bit(next(made.lake.bars("CRVO").glob("*.parquet")))
    result = made.run(*SYMBOL_ASSETS, **ALL, fails=True)
    assert "1 of 4 partitions failed" in failure(result)
    assert "is damaged" in failure(result)
    for table in SYMBOL_ASSETS:
        assert recorded_by(made, result, table) == set(SYMBOLS_OF_MARKET) - {"CRVO"}
        (record,) = made.instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(table), asset_partitions=["CRVO"]), limit=1
        ).records
        assert record.asset_materialization
        assert "is damaged" in str(record.asset_materialization.metadata[PROBLEMS].value)


def test_a_damaged_table_is_set_aside_and_made_again(made: Platform) -> None:
    made.run(*SYMBOL_ASSETS, **ALL)
    made.run("event_scores")
    path = made.lake.research_table("event_scores")
    before = path.read_bytes()
    flip_bit(path)
    made.run("event_scores")
    assert path.read_bytes() == before
    assert len(list((made.root / "quarantine").rglob("event_scores.parquet.*.damaged"))) == 1


def test_scores_before_there_is_a_master_name_it(made: Platform) -> None:
    made.lake.master.unlink()
    assert "no MASTER yet" in failure(made.run("event_scores", fails=True))
    # a night continues, and names it at its end
    result = made.run("event_scores", config={"event_scores": {"go_on": True}})
    noted = made.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    observed = [log.dagster_event.asset_observation_data.asset_observation for log in noted if log.dagster_event]
    assert ["no MASTER yet" in str(one.metadata[PROBLEMS].value) for one in observed] == [True]
    assert recorded_by(made, result, "event_scores") == set()


def shown_up_to_date(platform: Platform) -> dict[str, tuple[bool, str]]:
    """What the web UI shows of the check `up_to_date`: whether it passed, and its sentence."""
    found = {table: evaluation(platform, dg.AssetKey(table), UP_TO_DATE) for table in UP_TO_DATE_TABLES}
    return {table: (one.passed, f"{one.description}") for table, one in found.items()}


@pytest.mark.long
def test_imported_events_are_scored_against_master_and_make_features_and_scores_stale(made: Platform) -> None:
    made.run(*SYMBOL_ASSETS, **ALL)
    made.run("event_scores")
    cursor, message = tick(made)
    assert message == "Made with the settings in force."
    assert shown_up_to_date(made) == {
        "event_bar_features": (True, "The tables of 4 symbols are up to date."),
        "event_scores": (True, "Up to date."),
    }
    path = made.lake.research_table("event_scores")
    before, first = pl.read_parquet(path), pl.read_parquet(made.lake.master).head(1)
    moved = first.with_columns(pl.col("timestamp") - timedelta(minutes=1), event_id=pl.lit("imported"))
    publish_frame(made.lake.imported_events, pl.concat([moved, first]).with_columns(score_raw="score"))
    # an import is no run: the sensor shows what lacks its events
    cursor, message = tick(made, cursor)
    words = "event_bar_features up_to_date, event_scores up_to_date"
    assert message == f"Stale: {words}. Materialize event_bar_features and event_scores."
    verdict = "The tables of 1 of 4 symbols were computed from other bars, events, splits or settings."
    assert shown_up_to_date(made) == {
        "event_bar_features": (False, f"{verdict} Materialize event_bar_features."),
        "event_scores": (False, "Changed since: imported events. Materialize event_scores."),
    }
    assert evaluation(made, dg.AssetKey("event_scores"), UP_TO_DATE).severity is dg.AssetCheckSeverity.WARN
    made.run("event_scores")
    cursor, message = tick(made, cursor)
    assert message == "Stale: event_bar_features up_to_date. Materialize event_bar_features."
    made.run(*SYMBOL_ASSETS, **ALL)
    assert tick(made, cursor)[1] == "Made with the settings in force."
    assert {passed for passed, _ in shown_up_to_date(made).values()} == {True}
    after = pl.read_parquet(path)
    assert after.filter(pl.col("event_id") != "imported").equals(before)
    own, detected = (after.filter(event_id=name).drop("event_id") for name in ("imported", first["event_id"].item()))
    assert own.equals(detected)
