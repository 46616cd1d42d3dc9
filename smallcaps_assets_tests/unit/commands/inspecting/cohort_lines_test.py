"""What `smallcaps status` and `smallcaps verify` say of cohorts."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.commands.console import plain_text
from smallcaps_assets.commands.inspecting.research_status import cohort_lines
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_MEMBERS
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.lake.verification.lake_files import verify_files
from smallcaps_assets.pipeline.research.joined_cohorts import publish_cohorts
from smallcaps_assets_tests.outcome_lake import fill_outcomes, outcomes_of_lake
from smallcaps_assets_tests.scenarios import flip_bit
from smallcaps_assets_tests.unit.domain.research.cohorts.cohort_events import event_of, frame_of

EVENTS = frame_of(event_of(number, date(2024, 3, 4 + number % 5), 0.001 * (number % 7)) for number in range(40))
# limits that these few events reach
FEW = {"cohort_test_min_events": 5, "cohort_test_min_days": 2}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return fill_outcomes(tmp_path / "lake", EVENTS)


def lines(lake: Lake, **changed: float) -> tuple[list[str], int]:
    items, damaged = cohort_lines(outcomes_of_lake(lake, **changed))
    return plain_text(items).splitlines(), damaged


def test_the_cohorts_of_a_profile_are_in_one_line(lake: Lake) -> None:
    assert lines(lake) == (["cohorts: core has none yet: materialize core/cohorts"], 0)
    publish_cohorts(outcomes_of_lake(lake), "core")
    why = "`smallcaps cohorts --profile core` says why"
    assert lines(lake) == ([f"cohorts: core: as of 2024-04-01 none is tested, {why}"], 0)
    behind = "; made before settings changed: materialize core/cohorts"
    assert lines(lake, **FEW) == ([f"cohorts: core: as of 2024-04-01 none is tested, {why}{behind}"], 0)
    publish_cohorts(outcomes_of_lake(lake, **FEW), "core")
    assert lines(lake, **FEW) == (["cohorts: core: as of 2024-04-01 3 tested together, none winning"], 0)
    # costs of 2 of 3 labels: 4 of the 5 dates have one
    won = FEW | {"cohort_max_q": 1.0, "cohort_min_symbols": 1, "cohort_max_symbol_share": 1.0}
    won |= {"cohort_confirm_min_events": 1, "cohort_min_mean_bps": -1e4}
    less = EVENTS.with_columns(pl.when(pl.int_range(pl.len()) % 3 > 0).then(pl.col("net_return", "cost_bps")))
    fewer = fill_outcomes(lake.root.parent / "fewer", less)
    publish_cohorts(outcomes_of_lake(fewer, **won), "core")
    words = "as of 2024-04-01 3 tested together, 3 winning, 3 of them without enough costs to select events"
    assert lines(fewer, **won) == ([f"cohorts: core: {words}"], 0)
    # other costs: their hash is another
    path = lake.research_table("event_costs", "core")
    ResearchStore(lake).publish(path, pl.read_parquet(path).head(30), {})
    assert lines(lake, **FEW)[0][0].endswith("; made before event_costs changed: materialize core/cohorts")


def test_no_costs_no_line_and_no_cohorts_a_reason(tmp_path: Path) -> None:
    assert lines(fill_outcomes(tmp_path / "none", EVENTS, without=("event_costs",))) == ([], 0)
    lake = fill_outcomes(tmp_path / "lake", EVENTS.head(1))
    publish_cohorts(outcomes_of_lake(lake), "core")
    assert lines(lake) == (["cohorts: core: none, `smallcaps cohorts --profile core` says why"], 0)


def test_damaged_cohorts_are_counted(lake: Lake) -> None:
    publish_cohorts(outcomes_of_lake(lake), "core")
    flip_bit(lake.research_table("cohorts", "core"))
    (line,), damaged = lines(lake)
    assert damaged == 1
    assert "cohorts.parquet: is damaged" in line
    assert "Materialize core/cohorts" in line


def found(lake: Lake, profile: str | None = None) -> list[tuple[str, str, str | None]]:
    return [(one.file, one.what, one.remedy) for one in verify_files(lake, profile).findings if "research/" in one.file]


REMEDY = "Materialize core/cohorts, which sets it aside in the quarantine and makes it again without a request."


@pytest.mark.parametrize("profile", [None, "core"])
@pytest.mark.parametrize(("gone", "other"), [("cohorts", "cohort_members"), ("cohort_members", "cohorts")])
def test_one_file_of_cohorts_without_the_other_is_found(lake: Lake, gone: str, other: str, profile: str | None) -> None:
    publish_cohorts(outcomes_of_lake(lake), "core")
    assert found(lake, profile) == []
    lake.research_table(gone, "core").unlink()
    assert found(lake, profile) == [(f"research/core/{gone}.parquet", "is missing", REMEDY)]
    assert lake.research_table(other, "core").is_file()


def test_members_of_other_cohorts_are_found(lake: Lake) -> None:
    publish_cohorts(outcomes_of_lake(lake), "core")
    members = lake.research_table("cohort_members", "core")
    ResearchStore(lake).publish(members, COHORT_MEMBERS.to_frame(), {"code": "another"})
    expected = [("research/core/cohort_members.parquet", "was made from other inputs than cohorts.parquet", REMEDY)]
    assert found(lake) == expected
    flip_bit(members)
    # one for its bytes, one for its inputs
    assert [(file, remedy) for file, _, remedy in found(lake)] == [(expected[0][0], REMEDY)] * 2
