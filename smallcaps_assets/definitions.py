"""The code location: `build_defs` makes it, `defs` is the one that Dagster loads."""

import warnings
from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

import dagster as dg

from smallcaps_assets.defs import assets
from smallcaps_assets.defs.backup import backup_job, backup_schedule
from smallcaps_assets.defs.checks.asset_checks import published_checks
from smallcaps_assets.defs.checks.controls import control_checks
from smallcaps_assets.defs.checks.research import research_checks
from smallcaps_assets.defs.checks.tape_research import tape_research_checks
from smallcaps_assets.defs.failures import foreseen_errors, log_without_stack_traces, with_explained_failures
from smallcaps_assets.defs.io_managers import LakeTableIOManager, StateIOManager
from smallcaps_assets.defs.jobs import nightly_job, waves_job
from smallcaps_assets.defs.redetection import redetect_job
from smallcaps_assets.defs.registry import with_facts
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.retention.job import retention_job, retention_schedule
from smallcaps_assets.defs.runs.run_log import RUN_LOG, people_logger, say_failures_once
from smallcaps_assets.defs.runs.sqlite_engines import reuse_engines
from smallcaps_assets.defs.schedules import nightly_schedule
from smallcaps_assets.defs.sensors import capture_sensor, failure_notice, lateness
from smallcaps_assets.defs.staleness import staleness
from smallcaps_assets.settings.settings import PROFILES, Settings, lake_path, load_settings

# backfill policies and source code references are beta in Dagster: its version is pinned, and tests cover their use
warnings.filterwarnings("ignore", message="Parameter `(backfill_policy|execution_type)`")
warnings.filterwarnings("ignore", message=".* `(with_source_code_references|.*CodeReference.*)`")
# raised by Dagster's own code
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDefinition")


def build_defs(settings: Settings, resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """Assets, checks, jobs and resources for `settings`; `resources` replace those of the same name."""
    settings_resource = SettingsResource(document=settings.model_dump_json())
    root = str(lake_path(settings))
    nightly, waves = nightly_job(settings), {profile: waves_job(profile) for profile in PROFILES}
    retention, backup = retention_job(), backup_job()
    return dg.Definitions(
        assets=[with_explained_failures(asset) for asset in with_facts(_build_assets(settings), settings)],
        asset_checks=[
            with_explained_failures(check)
            for check in (
                *published_checks(settings),
                *research_checks(),
                *tape_research_checks(),
                *control_checks(),
            )
        ],
        jobs=[nightly, redetect_job(), retention, backup, *waves.values()],
        schedules=[
            nightly_schedule(settings, nightly),
            retention_schedule(settings, retention),
            backup_schedule(settings, backup),
        ],
        sensors=[capture_sensor(settings, waves[settings.active_profile]), failure_notice, lateness, staleness],
        resources={
            "settings": settings_resource,
            "lake": LakeResource(root=root),
            "market_data": MarketDataResource(settings=settings_resource),
            "lake_tables": LakeTableIOManager(base_dir=root),
            "state": StateIOManager(),
            **(resources or {}),
        },
        loggers={RUN_LOG: people_logger},
        # one process per run: step processes would outlive a killed run and work beside its retry
        executor=dg.in_process_executor,
    )


def _build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets of every module of the package `defs.assets`; each has a function `build_assets(settings)`."""
    modules = [import_module(f"{assets.__name__}.{module.name}") for module in iter_modules(assets.__path__)]
    return [asset for module in modules for asset in module.build_assets(settings)]


log_without_stack_traces()
say_failures_once()
reuse_engines()
with foreseen_errors():  # in the settings
    defs = build_defs(load_settings())
