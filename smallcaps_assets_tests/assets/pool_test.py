"""The pool of steps that send vendor requests, and the share of the rate limit of each slot."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from smallcaps_assets.defs.resources import client_of
from smallcaps_assets.defs.runs.pool import (
    COMMAND,
    VENDOR_POOL,
    free_orphaned_slots,
    settle_limit,
    vendor_slot,
    vendor_slots,
)
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.pipeline.source import budget_share
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.assets.conftest import IN_BOTH
from smallcaps_assets_tests.repository import REPOSITORY


@pytest.fixture
def home(storage: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Dagster's state as dagster.yaml of the repository configures it."""
    document = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text()) | storage
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:  # noqa: ARG001
    with dg.DagsterInstance.get() as made:
        yield made


def claimed(instance: dg.DagsterInstance) -> int:
    return instance.event_log_storage.get_concurrency_info(VENDOR_POOL).active_slot_count


def budget(instance: dg.DagsterInstance, **source: Any) -> float | None:
    changes = {"source": {"kind": "embedded", **source}}
    return client_of(load_settings(overrides=changes).source, instance).requests_per_minute


def test_the_limit_of_dagster_yaml_gives_the_whole_rate_limit_to_one_step(instance: dg.DagsterInstance) -> None:
    assert vendor_slots(instance) == 1
    assert budget(instance, requests_per_minute=100) == 100


@IN_BOTH
def test_each_slot_has_its_share_of_the_rate_limit(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots(VENDOR_POOL, 3)
    assert vendor_slots(instance) == 3
    assert budget(instance, requests_per_minute=100) == 33
    assert budget(instance, requests_per_minute=None) is None
    with pytest.raises(SettingsError, match="too few for the 3 steps"):
        budget(instance, requests_per_minute=2)


@pytest.mark.parametrize(("total", "slots"), [(5, 2), (60, 7), (6000, 4), (1, 1), (0.5, 1)])
def test_shares_never_add_up_to_more_than_the_rate_limit(total: float, slots: int) -> None:
    one = budget_share(total, slots)
    assert one is not None
    assert 0 < one * slots <= total


def test_a_pool_without_limit_cannot_share_a_rate_limit() -> None:
    with dg.DagsterInstance.ephemeral() as unlimited:
        with pytest.raises(SettingsError, match="has no limit"):
            budget(unlimited, requests_per_minute=100)
        assert budget(unlimited, requests_per_minute=None) is None


def test_a_command_holds_a_slot_while_it_sends_requests(instance: dg.DagsterInstance) -> None:
    logged: list[str] = []
    with vendor_slot(instance, logged.append):
        assert claimed(instance) == 1
    assert claimed(instance) == 0
    assert logged == []


@IN_BOTH
def test_a_command_waits_for_an_occupied_slot(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(VENDOR_POOL)
    assert storage.claim_concurrency_slot(VENDOR_POOL, "a run", "its step").is_claimed
    logged: list[str] = []

    def the_run_ends(line: str) -> None:
        logged.append(line)
        storage.free_concurrency_slots_for_run("a run")

    with vendor_slot(instance, the_run_ends):
        assert claimed(instance) == 1
    assert logged == ["runs are sending vendor requests: waiting for a slot of the pool ..."]


@IN_BOTH
def test_the_slot_of_a_killed_command_is_freed_and_those_of_others_are_not(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    storage.set_concurrency_slots(VENDOR_POOL, 3)
    assert storage.claim_concurrency_slot(VENDOR_POOL, f"{COMMAND}999999999-1", "audit").is_claimed
    assert storage.claim_concurrency_slot(VENDOR_POOL, "a run", "its step").is_claimed
    with vendor_slot(instance, print):
        free_orphaned_slots(instance)
        assert claimed(instance) == 2
    assert claimed(instance) == 1


STEP = textwrap.dedent("""
    import signal, time
    import dagster as dg
    from smallcaps_assets.defs.runs.workers import process_tag
    from smallcaps_assets.defs.runs.pool import VENDOR_POOL

    # a shell that starts tests in the background lets its children ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)

    @dg.asset(pool=VENDOR_POOL)
    def long_one() -> None:
        print("at work", flush=True)
        time.sleep(600)

    with dg.DagsterInstance.get() as instance:
        job = dg.Definitions(assets=[long_one]).resolve_implicit_global_asset_job_def()
        job.execute_in_process(instance=instance, tags=process_tag(), raise_on_error=False)
""")


def at_work(home: Path) -> subprocess.Popen[str]:
    """A process whose step holds a slot."""
    process = subprocess.Popen(
        [sys.executable, "-c", STEP],
        env=os.environ | {"DAGSTER_HOME": str(home)},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "at work\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_canceled_step_frees_its_slot(instance: dg.DagsterInstance, home: Path) -> None:
    with at_work(home) as process:
        assert claimed(instance) == 1
        process.send_signal(signal.SIGINT)
        process.wait(60)
    assert claimed(instance) == 0


def test_the_slot_of_a_killed_step_is_freed_by_the_next_command(instance: dg.DagsterInstance, home: Path) -> None:
    from smallcaps_assets.defs.runs.orphans import fail_orphans  # noqa: PLC0415

    with at_work(home) as process:
        process.kill()
        process.wait(60)
    assert claimed(instance) == 1
    # the system may show a killed process a little longer
    deadline = time.monotonic() + 30
    while not fail_orphans(instance) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert claimed(instance) == 0


def limited(home: Path, limit: int) -> Iterator[dg.DagsterInstance]:
    """The state of a home whose dagster.yaml sets another limit."""
    text = (home / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text(re.sub(r"default_limit: \d", f"default_limit: {limit}", text))
    with dg.DagsterInstance.get() as made:
        yield made


@IN_BOTH
def test_a_changed_limit_of_dagster_yaml_applies_from_the_next_start(home: Path) -> None:
    for limit in (1, 3, 2):
        for instance in limited(home, limit):
            settle_limit(instance)
            (pool,) = instance.event_log_storage.get_pool_limits()
            assert (pool.name, pool.limit, pool.from_default) == (VENDOR_POOL, limit, True)
            assert instance.event_log_storage.get_concurrency_info(VENDOR_POOL).slot_count == limit


@IN_BOTH
def test_a_limit_set_in_the_web_ui_stays(home: Path) -> None:
    for instance in limited(home, 1):
        instance.event_log_storage.set_concurrency_slots(VENDOR_POOL, 5)
        settle_limit(instance)
        assert vendor_slots(instance) == 5
