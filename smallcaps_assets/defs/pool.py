"""The pool of steps that talk to the vendor: its limit stands in dagster.yaml, or is set in the web UI."""

from typing import Final

import dagster as dg

from smallcaps_assets.errors import SettingsError

VENDOR_POOL: Final = "vendor"


def vendor_slots(instance: dg.DagsterInstance) -> int:
    """How many steps may talk to the vendor at once: each owns its share of the budget of requests.

    Raises:
        SettingsError: there is no limit, or it is 0.
    """
    storage = instance.event_log_storage
    own = {pool.name: pool.limit for pool in storage.get_pool_limits()}
    slots = own.get(VENDOR_POOL, storage.get_pool_config().default_pool_limit)
    if not slots:
        raise SettingsError(
            f"the pool {VENDOR_POOL!r} of Dagster has {'no limit' if slots is None else 'the limit 0'}, so that no "
            "share of the budget of requests can be given to a step. Set concurrency.pools.default_limit in "
            "dagster.yaml, or a limit of the pool under Deployment > Concurrency."
        )
    return slots
