"""`smallcaps demo`: the whole product on the simulated exchange, through the same assets that the web UI shows."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import dagster as dg

from smallcaps_assets.commands.report import profile_report
from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.commands.workplace import add_data_flags, enter, flags_of
from smallcaps_assets.defs.partitions import SYMBOLS, range_tags, tape_key
from smallcaps_assets.defs.resources import client_of
from smallcaps_assets.defs.runs.run_log import RUN_LOG, was_interrupted
from smallcaps_assets.defs.runs.workers import process_tag
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.errors import CaptureIncomplete
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import require_writable
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.settings.settings import PROFILES, lake_path

NEEDS: Final = "nothing."
EXAMPLE: Final = "smallcaps demo --seed 3"


class _Stage(NamedTuple):
    """One run: the assets it materializes, over a range of partitions if they have any."""

    title: str
    assets: Sequence[dg.AssetKey]
    first: str | None = None
    last: str | None = None


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)


def run(arguments: Namespace) -> int:
    """Materialize every asset for every symbol, then print what is complete and how to open it in the web UI."""
    began = time.monotonic()
    settings = enter(arguments, embedded=True)
    lake = Lake(lake_path(settings))
    require_writable(lake.root)
    from smallcaps_assets.definitions import build_defs  # noqa: PLC0415 -- it loads the settings that enter() set

    job = build_defs(settings).resolve_implicit_global_asset_job_def()
    with open_state(settings) as instance:
        client = client_of(settings.source, instance)
        before = client.totals()
        failed = _materialize(job, lake, instance)
    for profile in PROFILES:
        if (lake.manifests(profile) / "current.json").is_file():
            print("\n" + profile_report(lake, profile, settings, datetime.now(UTC)))
    after = client.totals()
    requests, retries = after.requests_sent - before.requests_sent, after.retries - before.retries
    print(
        f"\nlake {lake.root}: {requests:,} requests, {retries:,} retries "
        f"in {time.monotonic() - began:.0f} s\nopen it in the web UI: smallcaps ui{flags_of(arguments)}"
    )
    if failed:
        raise CaptureIncomplete(f"these stages did not finish: {', '.join(failed)}. Run the demo again to continue.")
    return 0


def _materialize(job: dg.JobDefinition, lake: Lake, instance: dg.DagsterInstance) -> list[str]:
    """Run the stages in order; returns the titles of those that failed."""

    def succeeds(stage: _Stage) -> bool:
        print(f"-- {stage.title}", flush=True)
        tags = range_tags(stage.first, stage.last) if stage.first and stage.last else {}
        result = job.execute_in_process(
            run_config={"loggers": {RUN_LOG: {}}},
            instance=instance,
            asset_selection=list(stage.assets),
            tags=tags | process_tag(),
            raise_on_error=False,
        )
        failures = (event.step_failure_data for event in result.all_events if event.is_step_failure)
        if any(was_interrupted(failure.error) for failure in failures):
            raise KeyboardInterrupt
        return result.success

    universe = _Stage("universe: the symbols to follow", [dg.AssetKey("universe")])
    if not succeeds(universe):
        return [universe.title]
    active = UniverseStore(lake).followed()
    followed = [key for key in instance.get_dynamic_partitions(SYMBOLS.name or "") if key in active]
    return [stage.title for stage in _stages(followed[0], followed[-1]) if not succeeds(stage)]


def _stages(first: str, last: str) -> Iterator[_Stage]:
    """Everything below the universe, in order, for the symbols from `first` to `last`."""
    yield _Stage("minute bars of every symbol", [dg.AssetKey("minute_bars")], first, last)
    yield _Stage("events of every symbol", [dg.AssetKey("event_shards")], first, last)
    manifests = [dg.AssetKey([profile, "manifest"]) for profile in PROFILES]
    yield _Stage("MASTER and the three manifests", [dg.AssetKey("master_events"), *manifests])
    yield _Stage("review sheets", [dg.AssetKey([profile, "review_sheet"]) for profile in PROFILES])
    # the widest windows first: their trades serve the narrower ones
    for profile in reversed(PROFILES):
        tapes = [dg.AssetKey([profile, f"tape_{kind}"]) for kind in ("trades", "quotes")]
        for wave in WAVES:
            yield _Stage(f"{profile}: tape of wave {wave}", tapes, tape_key(first, wave), tape_key(last, wave))
        tables = [dg.AssetKey([profile, f"capture_{table}"]) for table in ("ledger", "report")]
        yield _Stage(f"{profile}: ledger and report", tables)
