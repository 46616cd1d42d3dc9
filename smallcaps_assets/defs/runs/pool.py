"""The pool of steps that send vendor requests. Its limit is set in dagster.yaml, or in the web UI."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from smallcaps_assets.defs.runs.leases import COMMAND_LEASE_S, Leases, sign_of_command, signs_of_life
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.runtime.processes import is_alive, is_elsewhere, process_identity

VENDOR_POOL: Final = "vendor"
# a command holds a slot without a run, under this prefix and the identity of its process
COMMAND: Final = "command "
_WAIT_S: Final = 1.0


def vendor_slots(instance: dg.DagsterInstance) -> int:
    """How many steps may send vendor requests at once; each has an equal share of the rate limit.

    Raises:
        SettingsError: the pool has no limit, or the limit 0.
    """
    storage = instance.event_log_storage
    limits = {pool.name: pool.limit for pool in storage.get_pool_limits()}
    slots = limits.get(VENDOR_POOL, storage.get_pool_config().default_pool_limit)
    if not slots:
        raise SettingsError(
            f"the pool {VENDOR_POOL!r} of Dagster has {'no limit' if slots is None else 'the limit 0'}, so that no "
            "step can be given a share of the rate limit. Set concurrency.pools.default_limit in "
            "dagster.yaml, or a limit of the pool under Deployment > Concurrency."
        )
    return slots


def settle_limit(instance: dg.DagsterInstance) -> None:
    """Give the pool the limit of dagster.yaml before runs need it. A limit set in the web UI stays.

    Dagster does so when it dequeues a run, but on PostgreSQL it cannot change an existing limit.
    """
    storage = instance.event_log_storage
    default = storage.get_pool_config().default_pool_limit
    present = next((pool for pool in storage.get_pool_limits() if pool.name == VENDOR_POOL), None)
    if present and present.from_default and present.limit != default:
        storage.delete_concurrency_limit(VENDOR_POOL)
        present = None
    if present is None and default is not None:
        storage.initialize_concurrency_limit_to_default(VENDOR_POOL)


def slots_are_taken(instance: dg.DagsterInstance) -> bool:
    """Whether runs or commands hold every slot of the pool, so that a command would have to wait for one."""
    found = instance.event_log_storage.get_concurrency_info(VENDOR_POOL)
    return found.active_slot_count >= vendor_slots(instance)


@contextmanager
def vendor_slot(instance: dg.DagsterInstance, log: Callable[[str], None]) -> Iterator[None]:
    """Hold a slot of the pool while a command sends vendor requests, so that it and runs keep the rate limit together.

    Args:
        instance: Dagster's state.
        log: called once if the command has to wait for a slot.

    Raises:
        SettingsError: see `vendor_slots`.
    """
    vendor_slots(instance)
    settle_limit(instance)
    storage, holder = instance.event_log_storage, f"{COMMAND}{process_identity()}"
    logged, leases = False, Leases()
    try:
        while not storage.claim_concurrency_slot(VENDOR_POOL, holder, COMMAND).is_claimed:
            if not logged:
                log("runs are sending vendor requests: waiting for a slot of the pool ...")
            logged = True
            time.sleep(_WAIT_S)
            free_orphaned_slots(instance, leases)
        with signs_of_life(instance, holder):
            yield
    finally:
        storage.free_concurrency_slots_for_run(holder)


def free_orphaned_slots(instance: dg.DagsterInstance, leases: Leases | None = None) -> None:
    """Free the slots of commands that were killed while holding one.

    Args:
        instance: Dagster's state.
        leases: of a caller that calls again and again, for commands on other machines, which are known to have ended
            when they give no sign of life. Without it their slots stay taken.
    """
    storage = instance.event_log_storage
    for holder in storage.get_concurrency_run_ids():
        if not holder.startswith(COMMAND):
            continue
        identity = holder.removeprefix(COMMAND)
        silent = (
            leases is not None
            and is_elsewhere(identity)
            and leases.is_over(holder, sign_of_command(instance, holder), COMMAND_LEASE_S)
        )
        if silent or not is_alive(identity):
            storage.free_concurrency_slots_for_run(holder)
