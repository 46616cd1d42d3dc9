"""Everything that runs by itself, or in an order of its own: jobs, schedules, sensors."""

from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from smallcaps_assets.defs.assets.nightly import nightly_job, nightly_schedule
from smallcaps_assets.defs.jobs import capture_sensor, waves_job
from smallcaps_assets.defs.lateness import lateness
from smallcaps_assets.defs.sensors import failure_notice
from smallcaps_assets.settings.settings import PROFILES, Settings


@dataclass(frozen=True)
class Automation:
    """What the code location takes besides assets."""

    jobs: list[dg.JobDefinition | UnresolvedAssetJobDefinition]
    schedules: list[dg.ScheduleDefinition]
    sensors: list[dg.SensorDefinition]


def automation(settings: Settings) -> Automation:
    """Jobs, schedules and sensors for `settings`."""
    nightly, waves = nightly_job(), {profile: waves_job(profile) for profile in PROFILES}
    return Automation(
        jobs=[nightly, *waves.values()],
        schedules=[nightly_schedule(settings, nightly)],
        sensors=[capture_sensor(settings, waves[settings.active_profile]), failure_notice, lateness],
    )
