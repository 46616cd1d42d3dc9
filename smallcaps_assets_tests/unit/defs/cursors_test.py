"""A damaged cursor of a sensor: it begins anew, and says so."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.defs.sensors import lateness
from smallcaps_assets.defs.staleness import staleness
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.settings.settings import load_settings

DAMAGED = ["no JSON", "null", "[1]", '{"state": 7}', "[" * 30_000, "\ud800"]
CASES = [(sensor, cursor) for sensor in (lateness, staleness) for cursor in DAMAGED] + [
    (lateness, '{"minute_bars": "x"}'),
    (lateness, '{"minute_bars": [1]}'),
    (staleness, '{"results": {"x": [1]}}'),
]


@pytest.mark.parametrize(("sensor", "cursor"), CASES, ids=range(len(CASES)))
def test_a_sensor_with_a_damaged_cursor_begins_anew(
    sensor: dg.SensorDefinition, cursor: str, lake: Lake, capfd: pytest.CaptureFixture[str]
) -> None:
    now = datetime(2025, 11, 26, 12, tzinfo=UTC)
    settings = SettingsResource(document=load_settings(overrides={}).model_dump_json(), at=now.isoformat())
    resources = {"settings": settings, "lake": LakeResource(root=str(lake.root))}
    found = []
    with dg.DagsterInstance.ephemeral() as instance:
        for text in (None, cursor):
            with dg.build_sensor_context(instance=instance, cursor=text, resources=resources) as context:
                found.append(sensor(context))
    assert isinstance(found[1], dg.SensorResult)
    assert found[1].cursor == found[0].cursor
    assert capfd.readouterr().err.count("The cursor of this sensor is not one that it wrote") == 1
