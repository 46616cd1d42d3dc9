"""The pool of steps that talk to the vendor: its limit stands in dagster.yaml, or is set in the web UI."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from smallcaps_assets.errors import SettingsError
from smallcaps_assets.runtime.processes import is_alive, process_identity

VENDOR_POOL: Final = "vendor"
# what holds a slot without being a run: this and the mark of its process
COMMAND: Final = "command "
WAIT_S: Final = 1.0


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


def settle_limit(instance: dg.DagsterInstance) -> None:
    """Give the pool the limit that dagster.yaml says, before runs need it; one set in the web UI stays.

    Dagster itself does so when a run is due, but on PostgreSQL it cannot change a limit that is there.
    """
    storage = instance.event_log_storage
    default = storage.get_pool_config().default_pool_limit
    own = next((pool for pool in storage.get_pool_limits() if pool.name == VENDOR_POOL), None)
    if own and own.from_default and own.limit != default:
        storage.delete_concurrency_limit(VENDOR_POOL)
        own = None
    if own is None and default is not None:
        storage.initialize_concurrency_limit_to_default(VENDOR_POOL)


@contextmanager
def vendor_slot(instance: dg.DagsterInstance, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a slot of the pool while a command talks to the vendor, so that runs and it together keep the budget.

    Args:
        instance: Dagster's state.
        say: is told once if the slot has to be waited for.

    Raises:
        SettingsError: see `vendor_slots`.
    """
    vendor_slots(instance)
    settle_limit(instance)
    storage, holder = instance.event_log_storage, f"{COMMAND}{process_identity()}"
    said = False
    try:
        while not storage.claim_concurrency_slot(VENDOR_POOL, holder, COMMAND).is_claimed:
            if not said:
                say("runs are talking to the vendor: waiting for a slot of the pool ...")
            said = True
            time.sleep(WAIT_S)
        yield
    finally:
        storage.free_concurrency_slots_for_run(holder)


def free_slots_of_the_dead(instance: dg.DagsterInstance) -> None:
    """Free the slots of commands that were killed while they held one."""
    storage = instance.event_log_storage
    for holder in storage.get_concurrency_run_ids():
        if holder.startswith(COMMAND) and not is_alive(holder.removeprefix(COMMAND)):
            storage.free_concurrency_slots_for_run(holder)
