"""The code location: `build_defs` makes it, `defs` is the one that Dagster loads."""

import warnings
from collections.abc import Mapping

import dagster as dg

from smallcaps_assets.defs.asset_checks import published_checks
from smallcaps_assets.defs.assets.bars import minute_bars_asset
from smallcaps_assets.defs.assets.coverage import coverage
from smallcaps_assets.defs.assets.events import event_shards_asset, master_events
from smallcaps_assets.defs.assets.nightly import nightly_report
from smallcaps_assets.defs.assets.profiles import profile_assets
from smallcaps_assets.defs.assets.review import review_sheet_asset
from smallcaps_assets.defs.assets.universe import universe
from smallcaps_assets.defs.automation import automation
from smallcaps_assets.defs.io_managers import LakeTableIOManager
from smallcaps_assets.defs.lateness import WATCHED, up_to_date_check
from smallcaps_assets.defs.registry import catalogued
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.run_log import RUN_LOG, people_logger
from smallcaps_assets.settings.settings import PROFILES, Settings, lake_path, load_settings

# Dagster calls backfill policies beta; its version is pinned and what we lean on has tests. The other is its own doing
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
warnings.filterwarnings("ignore", message=".* `(with_source_code_references|.*CodeReference.*)`")
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDefinition")


def build_defs(settings: Settings, resources: Mapping[str, object] | None = None) -> dg.Definitions:
    """Assets and resources for `settings`; `resources` replace those of the same name."""
    per_run = settings.partitions_per_run
    own_settings = SettingsResource(document=settings.model_dump_json())
    root = str(lake_path(settings))
    assets = [
        universe,
        minute_bars_asset(per_run),
        event_shards_asset(per_run),
        master_events,
        *(asset for profile in PROFILES for asset in profile_assets(profile, settings)),
        *(review_sheet_asset(profile) for profile in PROFILES),
        nightly_report,
        coverage,
    ]
    by_itself = automation(settings)
    return dg.Definitions(
        assets=catalogued(assets, settings),
        asset_checks=[*published_checks(), *(up_to_date_check(asset) for asset in WATCHED)],
        jobs=by_itself.jobs,
        schedules=by_itself.schedules,
        sensors=by_itself.sensors,
        resources={
            "settings": own_settings,
            "lake": LakeResource(root=root),
            "market_data": MarketDataResource(settings=own_settings),
            "lake_tables": LakeTableIOManager(base_dir=root),
            **(resources or {}),
        },
        loggers={RUN_LOG: people_logger},
        # a run is one process: steps in processes of their own would outlive it when it is killed, and work beside
        # its retry
        executor=dg.in_process_executor,
    )


defs = build_defs(load_settings())
