"""What a review sheet knows of the outcome of its events."""

import json
from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.review.drawn_outcomes import OFF, drawn_outcomes
from smallcaps_assets.pipeline.review.review import Review
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.review_scenes import (
    consolidation_break,
    fill_lake,
    opening_range_break,
    record_costs,
    record_outcomes,
    scene_manifest,
    without_bars,
)
from smallcaps_assets_tests.scenarios import default_settings, flip_bit

BREAK_ID = opening_range_break()["event_id"]


@pytest.fixture
def filled(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    fill_lake(lake)
    return lake


def found(lake: Lake) -> dict[str, dict[str, Any]]:
    return drawn_outcomes(lake, "core", scene_manifest(), enabled=True)


def test_entry_barriers_exit_and_furthest_moves(filled: Lake) -> None:
    made = record_outcomes(filled)
    outcome = found(filled)[BREAK_ID]
    # The 20 bars before have a range of 0.02 at 10: 0.2 % x sqrt(15) / 1.5958 = 0.485 %, raised to 0.5 %. The event is
    # of 10:10; its entry is the open of 10:11, 10.40. 10:12 opens at 10.41 and rises to 10.47, over 10.40 x 1.005.
    assert outcome == {
        "spec": "15,1,1",
        "entry": [1, 10.4],
        "until": 16,
        "profit": 10.452,
        "stop": 10.348,
        "exit": [2, 10.452],
        "label": 1,
        "tie": False,
        "gap": False,
        "gross": 0.005,
        "cost": None,
        "cost_source": None,
        "net": None,
        "without_net": "core/event_costs does not exist yet",
        # 10.47 / 10.40 - 1 in the bar of 10:12, 10.37 / 10.40 - 1 in that of 10:11
        "mfe": [2, 10.47, 67.3],
        "mae": [1, 10.37, -28.8],
        "outcome": "stall",
    }
    record_costs(filled, made.labels, 20.0)
    costs = {"cost": 20.0, "cost_source": "nbbo", "net": 0.003, "without_net": None}
    assert found(filled)[BREAK_ID] == outcome | costs
    # 8:31 to 8:40 is flat: the label is decided at the horizon, by the close of the last bar
    flat_one = found(filled)[consolidation_break()["event_id"]]
    assert (flat_one["label"], flat_one["exit"], flat_one["until"], flat_one["net"]) == (0, [10, 10.4], 16, -0.002)


def test_without_tables_the_page_says_why(filled: Lake) -> None:
    assert set(found(filled)[BREAK_ID]) == {"missing"}
    assert found(filled)[BREAK_ID]["missing"].startswith("The lake has no event_labels of AEMD yet.")
    record_outcomes(filled)
    assert found(filled)[without_bars()["event_id"]]["missing"].startswith("The lake has no event_labels of GONE yet.")
    assert drawn_outcomes(filled, "core", scene_manifest(), enabled=False)[BREAK_ID] == {"missing": OFF}
    # rows of another event only
    renamed = scene_manifest().with_columns(event_id=scene_manifest()["event_id"] + "_again")
    again = drawn_outcomes(filled, "core", renamed, enabled=True)[f"{BREAK_ID}_again"]
    assert again["missing"].startswith("The lake has no outcome of this event")
    flip_bit(filled.research_symbol("event_outcomes", "AEMD"))
    assert str(filled.research_symbol("event_outcomes", "AEMD")) in found(filled)[BREAK_ID]["missing"]


def test_the_sheet_has_the_outcomes_and_stays_small(filled: Lake) -> None:
    plain = Review(filled, "core", default_settings()).make()
    record_outcomes(filled)
    made = Review(filled, "core", default_settings()).make()
    assert (plain.outcomes, made.outcomes) == (0, 2)
    # labels of the sheet belong to the same sample
    assert made.sheet.sample_id == plain.sheet.sample_id
    document = json.loads(made.path.read_text(encoding="utf-8").split('id="data">')[1].split("</script>")[0])
    per_event = len(json.dumps(document["outcomes"]["of"][BREAK_ID]))
    assert per_event < 500
    off = Review(filled, "core", load_settings(overrides={"research": {"enabled": False}})).make()
    assert off.outcomes == 0
