"""Checks `up_to_date` of bars and MASTER, and the sensor that keeps their verdicts current."""

import json
from collections.abc import Callable, Mapping
from typing import Final

import dagster as dg

from smallcaps_assets.defs.asset_checks import evaluation
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.pipeline.operations.lateness import Lateness, Watch, session_expected

UP_TO_DATE: Final = "up_to_date"
EVERY_S: Final = 600
WATCHED: Final[Mapping[str, Callable[[Watch], Lateness]]] = {
    "minute_bars": Watch.of_bars,
    "master_events": Watch.of_master,
}
Seen = tuple[str, bool, int]


def watch_of(settings: SettingsResource, lake: LakeResource) -> Watch:
    """What must be there by now, and where to look."""
    loaded = settings.load()
    session = session_expected(settings.now(), loaded.history, loaded.sessions, loaded.nightly.due)
    followed = lake.universe().followed().items()
    symbols = [symbol for symbol, last in followed if session is None or session <= last]
    return Watch(lake.bars(), lake.shards(), symbols, session)


def up_to_date_check(asset: str) -> dg.AssetChecksDefinition:
    """The check of one asset, to be run by hand or with it."""

    @dg.asset_check(
        name=UP_TO_DATE,
        asset=asset,
        description="The last session is here whose deadline (nightly.due, New York time) has passed. Weekends and "
        "holidays expect nothing new.",
    )
    def up_to_date(settings: SettingsResource, lake: LakeResource) -> dg.AssetCheckResult:
        return _verdict(WATCHED[asset](watch_of(settings, lake)))

    return up_to_date


@dg.sensor(
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks every ten minutes whether minute_bars and master_events hold the session that is due, and "
    "reports their check up_to_date when the answer changes. It starts no run.",
)
def lateness(
    context: dg.SensorEvaluationContext, settings: SettingsResource, lake: LakeResource
) -> dg.SensorResult | dg.SkipReason:
    """Report the verdict of each watched asset where it changed since the last look."""
    watch = watch_of(settings, lake)
    before: dict[str, Seen] = {asset: tuple(seen) for asset, seen in json.loads(context.cursor or "{}").items()}
    now, told = dict(before), []
    for asset, look in WATCHED.items():
        if asset in before and before[asset][:2] == (f"{watch.session}", True):
            continue  # what was there is there
        found = look(watch)
        now[asset] = (f"{found.session}", not found.is_late, len(found.symbols))
        if now[asset] != before.get(asset):
            context.instance.report_runless_asset_event(evaluation(dg.AssetKey(asset), _verdict(found)))
            told.append(f"{asset}: {found.told()}")
    return dg.SensorResult(cursor=json.dumps(now), skip_reason=" ".join(told) or "Nothing changed.")


def _verdict(found: Lateness) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if found.is_wholly_late else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=UP_TO_DATE,
        passed=not found.is_late,
        severity=severity,
        metadata={
            "verdict": found.told(),
            "session": f"{found.session}",
            "symbols_late": len(found.symbols),
            "symbols": found.of,
        },
    )
