"""Cursors of sensors in the storage of Dagster, in files and in PostgreSQL."""

import json

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData

from smallcaps_assets_tests.assets.conftest import IN_BOTH


@IN_BOTH
def test_the_cursor_of_a_sensor_is_kept_whatever_its_length(instance: dg.DagsterInstance) -> None:
    """That of `staleness` grows with the symbols."""
    cursor = json.dumps({"results": {f"S{number:05d}": "é" * 20 for number in range(20_000)}}, ensure_ascii=False)
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("any"), "any"), "staleness")
    kept = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, SensorInstigatorData(cursor=cursor))
    instance.add_instigator_state(kept)
    (found,) = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    assert isinstance(found.instigator_data, SensorInstigatorData)
    assert found.instigator_data.cursor == cursor
