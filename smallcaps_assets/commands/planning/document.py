"""A plan as JSON."""

from argparse import Namespace
from typing import Any

from smallcaps_assets.pipeline.tape.cost_estimate import BYTES_PER_GB, CapturePlan
from smallcaps_assets.settings.settings import Settings


def plan_document(plan: CapturePlan, settings: Settings, check: dict[str, str], arguments: Namespace) -> dict[str, Any]:
    """What `--json` prints of a plan.

    Args:
        plan: the plan.
        settings: those in force.
        check: the vendor's answer, by kind of tape; empty where it was not asked.
        arguments: of the command.
    """
    disk = settings.capture.free_disk
    return {
        "profile": arguments.profile or settings.active_profile,
        "wave": arguments.wave,
        "best": arguments.best,
        "one_per_symbol": arguments.one_per_symbol,
        "upgrade": arguments.upgrade,
        "retry_empty": arguments.retry_empty,
        "stale": {kind: backlog.stale.height for kind, backlog in plan.backlogs.items()},
        "requests_per_minute": settings.source.requests_per_minute,
        "waves": plan.table.to_dicts(),
        "rates": {
            name: {"value": rate.value, "learned": rate.spans > 0, "spans": rate.spans}
            for name, rate in plan.rates._asdict().items()
        },
        "bars": plan.bars,
        "bars_without_transactions": plan.bars_without_transactions,
        "windows_without_bars": plan.windows_without_bars,
        "disk": {
            "needs_bytes": plan.bytes,
            "keep_bytes": disk.keep_gb * BYTES_PER_GB,
            "free_bytes": plan.free_bytes,
            "enough": plan.fits(disk),
            "checked": disk.check,
        },
        "check": check or None,
    }
