"""Which cohorts select: those of core when events were first selected, until others are asked for."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tables import FOLLOW_UP_MANIFEST
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.lake.selecting_cohorts import describe_selecting
from smallcaps_assets.lake.verification.lake_files import verify_files
from smallcaps_assets.pipeline.manifests.selecting import ChosenCohorts, changes_of_kept, choose_cohorts
from smallcaps_assets.pipeline.research.joined_cohorts import publish_cohorts
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests.conftest import event, manifest_of
from smallcaps_assets_tests.outcome_lake import fill_outcomes, outcomes_of_lake
from smallcaps_assets_tests.scenarios import flip_bit
from smallcaps_assets_tests.unit.domain.research.cohorts.cohort_events import random_events

AS_OF: Final = date(2024, 4, 1)
TODAY: Final = date(2024, 4, 20)
NOW: Final = datetime(2024, 4, 20, 12, tzinfo=UTC)
EVENTS: Final = random_events(1_500, date(2024, 1, 20), 90, 3, flush=0.02)
ROWS: Final = manifest_of(event(event_id="one")).with_columns(
    selected_by_cohort=True, cohort_id=pl.lit("L1|flush|up"), as_of=AS_OF, in_selection_sample=False
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with cohorts of core, of which some are winning."""
    made = fill_outcomes(tmp_path / "lake", EVENTS)
    publish_cohorts(outcomes_of_lake(made), "core")
    return made


def settings(**changed: Any) -> Settings:
    plus = {"cohorts": {"as_of": AS_OF.isoformat(), **changed}}
    return load_settings(overrides={"profiles": {"plus": plus}})


def choose(lake: Lake, of: Settings | None = None, today: date = TODAY, *, renew: bool = False) -> ChosenCohorts:
    chosen = choose_cohorts(lake, of or settings(), "plus", today, renew=renew)
    assert chosen
    return chosen


def freeze(lake: Lake, chosen: ChosenCohorts, hour: int = 0) -> dict[str, Any]:
    """A manifest that these cohorts selected."""
    selection = Selection(ROWS.match_to_schema(FOLLOW_UP_MANIFEST), [{"step": "max_events", "rows": 1}], {})
    return ManifestStore.in_lake(lake, "plus").freeze(
        selection, config_hash="c", master_sha256="m", now=NOW + timedelta(hours=hour), cohorts=chosen.cohorts
    )


def learn(lake: Lake) -> None:
    """As when a capture tells costs: most events that paid did not."""
    path = lake.research_table("event_costs", "core")
    costs = pl.read_parquet(path)
    ResearchStore(lake).publish(path, costs.with_columns(pl.col("net_return") - 0.03), {"more": "tape"})
    publish_cohorts(outcomes_of_lake(lake), "core")


def test_cohorts_that_first_selected_select_until_others_are_asked_for(lake: Lake) -> None:
    first = choose(lake)
    assert first.cohorts.entry["winning"]
    assert first.notice("plus") is None
    sidecar = freeze(lake, first)
    assert ManifestStore.in_lake(lake, "plus").load().schema == FOLLOW_UP_MANIFEST
    assert describe_selecting(sidecar["cohorts"]).startswith(
        "cohorts: selected by those of core at 2024-04-01 (15,1,1)"
    )
    learn(lake)
    again = choose(lake)
    assert again.cohorts.identity == first.cohorts.identity
    assert again.cohorts.rows.equals(first.cohorts.rows)
    assert freeze(lake, again, 1)["manifest_id"] == sidecar["manifest_id"]
    notice = again.notice("plus") or ""
    assert notice == changes_of_kept(lake, "plus", sidecar)
    assert "no longer winning" in notice
    assert "materialize plus/manifest with the run config {renew_cohorts: true}" in notice
    # other limits are another manifest of the same cohorts
    assert choose(lake, settings(top_n_per_month=7)).cohorts.identity == first.cohorts.identity
    renewed = choose(lake, renew=True)
    other = freeze(lake, renewed, 2)
    assert other["manifest_id"] != sidecar["manifest_id"]
    assert other["cohorts"]["winning"] != sidecar["cohorts"]["winning"]
    assert choose(lake).cohorts.identity == renewed.cohorts.identity
    assert verify_files(lake, "plus").findings == ()
    # the cohorts that the current manifest names count, not those of a later one
    freeze(lake, first, 3)
    assert choose(lake).cohorts.identity == first.cohorts.identity


def test_kept_cohorts_that_are_damaged_are_made_again_or_named(lake: Lake) -> None:
    first = choose(lake)
    sidecar = freeze(lake, first)
    kept = lake.manifests("plus") / sidecar["cohorts"]["file"]
    before = kept.read_bytes()
    for harm in (lambda: flip_bit(kept), kept.unlink):
        harm()
        assert [finding.file for finding in verify_files(lake, "plus").findings] == [f"manifests/plus/{kept.name}"]
        # core still says the same: they are written again
        freeze(lake, choose(lake), 1)
        assert kept.read_bytes() == before
    learn(lake)
    flip_bit(kept)
    with pytest.raises(LakeError, match=r"cohorts_20240401_.*renew_cohorts: true"):
        choose(lake)
    assert [finding.file for finding in verify_files(lake, "plus").findings] == [f"manifests/plus/{kept.name}"]
    assert choose(lake, renew=True).cohorts.identity != first.cohorts.identity
    # of the same file, but other rows
    first.cohorts.rows.head(1).write_parquet(kept)
    with pytest.raises(LakeError, match="SHA-256 of its values"):
        choose(lake)


def test_cohorts_that_cannot_be_had_are_named_with_the_remedy(lake: Lake) -> None:
    assert choose_cohorts(lake, load_settings(overrides={}), "plus", TODAY) is None
    with pytest.raises(InputError, match=r"as_of 2024-04-01 has not come yet \(it is 2024-03-31 in New York\)"):
        choose(lake, today=date(2024, 3, 31))
    with pytest.raises(InputError, match=r"no cohorts as of 2020-01-01 .* those of 2024-02-01 to 2024-05-01"):
        choose(lake, settings(as_of="2020-01-01"))
    with pytest.raises(InputError, match="label spec 60,1,1"):
        choose(lake, settings(label_spec="60,1,1"))
    others = load_settings(
        overrides={
            "profiles": {"plus": {"cohorts": {"as_of": AS_OF.isoformat()}}},
            "research": {"cohort_max_q": 0.2},
        }
    )
    with pytest.raises(InputError, match=r"core/cohorts were made with other settings or code\. Materialize"):
        choose(lake, others)
    sidecar = freeze(lake, choose(lake))
    # kept ones are used under any settings of core
    assert choose(lake, others).cohorts.identity == sidecar["cohorts"]["sha256"]
    buckets = [bucket.model_dump(mode="json") for bucket in others.ranking.time_buckets]
    buckets[0]["share"] = 0.01
    moved = load_settings(
        overrides={
            "profiles": {"plus": {"cohorts": {"as_of": AS_OF.isoformat()}}},
            "ranking": {"time_buckets": buckets},
        }
    )
    with pytest.raises(InputError, match=r"ranking\.time_buckets has changed"):
        choose(lake, moved)
    lake.research_table("cohorts", "core").unlink()
    assert "whether they have is unknown" in (changes_of_kept(lake, "plus", sidecar) or "")
    with pytest.raises(LakeError, match=r"cohorts\.parquet"):
        choose(lake, renew=True)


@pytest.mark.parametrize("command", ["plan", "status"])
def test_plan_and_status_name_the_cohorts_and_what_has_become_of_them(
    lake: Lake, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar = freeze(lake, choose(lake))
    arguments = [command, "--lake", str(lake.root), "--profile", "plus"]
    assert main(arguments) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert describe_selecting(sidecar["cohorts"]) in printed
    assert "have changed since" not in printed
    learn(lake)
    assert main(arguments) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (changes_of_kept(lake, "plus", sidecar) or "-") in printed
    if command == "plan":
        assert main([*arguments, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["cohorts"] == sidecar["cohorts"]
        assert document["changed_cohorts"] == changes_of_kept(lake, "plus", sidecar)
