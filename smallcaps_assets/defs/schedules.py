"""The schedule of the nightly run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from smallcaps_assets.defs.failures import explain_failures
from smallcaps_assets.defs.jobs import NIGHTLY_TAGS, UNFINISHED, nightly_config
from smallcaps_assets.defs.partitions import SYMBOLS, range_tags
from smallcaps_assets.defs.resources import LAST_SESSION_TAG, LakeResource, SettingsResource
from smallcaps_assets.defs.runs.run_tags import NIGHTLY
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.pipeline.operations.nightly import Night, has_simulated_nights, night_of, simulated_night
from smallcaps_assets.settings.settings import Settings

SESSION_TAG: Final = "smallcaps/session"


def nightly_schedule(settings: Settings, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Every evening of a session, at `nightly.start`."""
    start = settings.nightly.start

    @dg.schedule(
        name=NIGHTLY,
        job=job,
        cron_schedule=f"{start.minute} {start.hour} * * *",
        execution_timezone=NEW_YORK,
        description=f"At {start:%H:%M} New York time after each session: everything from the universe to the "
        "manifests. Missed nights are caught up by the next. In the simulated market each night brings the next "
        "session of its calendar, regardless of today's date.",
    )
    @explain_failures
    def nightly(
        context: dg.ScheduleEvaluationContext, settings: SettingsResource, lake: LakeResource
    ) -> dg.RunRequest | dg.SkipReason:
        return night_request(context.instance, settings.load(), lake, context.scheduled_execution_time)

    return nightly


def night_request(
    instance: dg.DagsterInstance, settings: Settings, lake: LakeResource, at: datetime
) -> dg.RunRequest | dg.SkipReason:
    """The run of the night that `at` falls in, one per session; or the reason why there is none."""
    active = lake.universe().followed()
    followed = [key for key in instance.get_dynamic_partitions(SYMBOLS.name or "") if key in active]
    night, tags = _night(settings, lake, followed, at)
    if night.session is None:
        return dg.SkipReason(night.reason)
    if not followed:
        return dg.SkipReason("There are no symbols yet: materialize the asset universe first.")
    unfinished = instance.get_runs(dg.RunsFilter(job_name=NIGHTLY, statuses=UNFINISHED), limit=1)
    if unfinished:
        return dg.SkipReason(f"The run {unfinished[0].run_id} of an earlier night is not finished yet.")
    return dg.RunRequest(
        run_key=f"{night.session}",
        run_config=nightly_config(settings),
        tags={SESSION_TAG: f"{night.session}", **tags, **NIGHTLY_TAGS, **range_tags(followed[0], followed[-1])},
    )


def _night(
    settings: Settings, lake: LakeResource, followed: Sequence[str], at: datetime
) -> tuple[Night, dict[str, str]]:
    """The night that `at` falls in, and the tags of its run; in a simulated market, the next one there."""
    if not has_simulated_nights(settings):
        return night_of(at, settings.history, settings.sessions), {}
    night = simulated_night(lake.bars(), followed, settings, at)
    return night, {} if night.session is None else {LAST_SESSION_TAG: f"{night.session}"}
