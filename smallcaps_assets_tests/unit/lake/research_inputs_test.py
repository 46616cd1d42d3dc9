"""Who reads a table that is older than what it is made from is warned: what has changed, and what to materialize."""

import warnings
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.research.joined import JoinedResearch
from smallcaps_assets.pipeline.research.joined_cohorts import publish_cohorts
from smallcaps_assets.research import StaleTableWarning, open_lake
from smallcaps_assets_tests.conftest import LATER, event, manifest_of
from smallcaps_assets_tests.outcome_lake import fill_outcomes, forget_outcomes, outcomes_of_lake
from smallcaps_assets_tests.scenarios import default_settings, flip_bit
from smallcaps_assets_tests.unit.domain.research.cohorts.cohort_events import random_events

EVENTS = random_events(200, date(2024, 1, 20), 30, 3)
SYMBOL = "S1"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with a manifest of events of two symbols, and every table that is made of it."""
    made = fill_outcomes(tmp_path / "lake", EVENTS)
    freeze(made, "one")
    make(made)
    return made


def freeze(lake: Lake, name: str, hour: int = 0) -> None:
    rows = manifest_of(event("2024-02-10 10:00", event_id=name, symbol=SYMBOL))
    selection = Selection(rows, [{"step": "max_events", "rows": rows.height}], {})
    ManifestStore.in_lake(lake, "core").freeze(
        selection, config_hash="c", master_sha256=name, now=LATER + timedelta(hours=hour)
    )


def make(lake: Lake) -> None:
    """Bring every table up to date, each after those that it is made from."""
    settings, outcomes = default_settings(), outcomes_of_lake(lake)
    outcomes.enriched()
    outcomes.costs("core")
    outcomes.labels("core")
    publish_cohorts(outcomes, "core")
    JoinedResearch(lake, settings.research.params, settings.filters, settings.sessions).table("core", settings.ranking)


def warned(read: Callable[[], pl.LazyFrame]) -> str:
    """What is warned of when a table is read; empty where nothing is."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read().collect()
    found = [one for one in caught if issubclass(one.category, StaleTableWarning)]
    # shown at the line of who reads
    assert all(Path(one.filename) == Path(__file__) for one in found)
    return "".join(f"{one.message}" for one in found)


def change(lake: Lake, path: Path) -> None:
    """As when a step made a file anew with another row."""
    rows = pl.read_parquet(path, glob=False)
    ResearchStore(lake).publish(path, rows.head(rows.height - 1), {"other": "inputs"})


def test_another_manifest_is_named_until_the_tables_are_made_of_it(lake: Lake) -> None:
    reader = open_lake(lake.root)
    assert (warned(reader.features), warned(reader.outcomes)) == ("", "")
    freeze(lake, "other", 1)
    name = ManifestStore.in_lake(lake, "core").current_id()
    assert warned(reader.features) == (
        f"core/research_table was made before manifest {name} changed. Materialize core/research_table, without a "
        "request."
    )
    assert warned(reader.outcomes) == (
        f"core/research_labels was made before manifest {name} changed. Materialize core/research_labels, without a "
        "request."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", StaleTableWarning)
        with pytest.raises(StaleTableWarning):
            reader.features("core")
    make(lake)
    assert (warned(reader.features), warned(reader.outcomes)) == ("", "")


@pytest.mark.parametrize("table", ["event_bar_features", "cohorts"])
def test_features_name_a_table_that_changed(lake: Lake, table: str) -> None:
    path = lake.research_table(table, "core") if table == "cohorts" else lake.research_symbol(table, SYMBOL)
    change(lake, path)
    assert warned(open_lake(lake.root).features) == (
        f"core/research_table was made before {table} changed. Materialize core/research_table, without a request."
    )


def test_outcomes_name_labels_costs_and_waves_that_changed_in_the_order_of_what_to_make(lake: Lake) -> None:
    reader = open_lake(lake.root)
    change(lake, lake.research_symbol("event_labels", SYMBOL))
    assert warned(reader.outcomes) == (
        "core/event_costs was made before event_labels changed; core/research_labels was made before event_labels "
        "changed. Materialize core/event_costs, then core/research_labels, without a request."
    )
    make(lake)
    assert warned(reader.outcomes) == ""
    change(lake, lake.research_table("event_costs", "core"))
    assert warned(reader.outcomes).startswith("core/research_labels was made before event_costs changed. ")
    make(lake)
    forget_outcomes(lake, EVENTS["event_id"][0])
    assert warned(reader.outcomes) == (
        "events_with_waves_enriched was made before event_waves changed. Materialize events_with_waves_enriched, "
        "without a request."
    )
    # of a symbol without events of the manifest: features do not have it
    change(lake, lake.research_symbol("event_bar_features", "S2"))
    assert warned(reader.features) == ""


def test_a_table_of_an_earlier_release_is_compared_as_far_as_it_says_what_it_was_made_from(lake: Lake) -> None:
    store, path = ResearchStore(lake), lake.research_table("research_table", "core")
    known = dict(store.recorded(path) or {})
    del known["contents"]
    store.publish(path, pl.read_parquet(path), known)
    change(lake, lake.research_symbol("event_bar_features", SYMBOL))
    assert warned(open_lake(lake.root).features) == ""
    freeze(lake, "other", 1)
    assert "manifest" in warned(open_lake(lake.root).features)


def test_a_damaged_manifest_does_not_keep_the_tables_from_being_read(lake: Lake) -> None:
    name = ManifestStore.in_lake(lake, "core").current_id()
    flip_bit(lake.manifests("core") / f"{name}.parquet")
    found = warned(open_lake(lake.root).features)
    assert found.startswith("Whether core/research_table is of the current manifest is not known: ")
    assert found.endswith("in a manifest beside it, without a request.")
