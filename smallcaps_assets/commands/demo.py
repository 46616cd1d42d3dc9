"""`smallcaps demo`: the whole product on the simulated exchange, through the same assets that the web UI shows."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from smallcaps_assets.commands.console import Line, show
from smallcaps_assets.commands.demonstrating.failed_window import choose_partition, spoiled_exchange
from smallcaps_assets.commands.demonstrating.first_clicks import first_clicks, tape_snippet
from smallcaps_assets.commands.demonstrating.stages import (
    LEFT_PROFILE,
    RESEARCH_PROFILE,
    Stage,
    control_stages,
    left_symbol,
    review_stage,
    run_config,
    stages,
    tape_assets,
    universe_stage,
)
from smallcaps_assets.commands.inspecting.report import capture_report
from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.commands.workplace import add_data_flags, enter, flags_of
from smallcaps_assets.defs.partitions import SYMBOLS, range_tags, tape_key
from smallcaps_assets.defs.resources import client_of
from smallcaps_assets.defs.runs.run_log import was_interrupted
from smallcaps_assets.defs.runs.run_tags import DEMO_TAG, describe_run
from smallcaps_assets.defs.runs.workers import process_tag
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import CaptureIncomplete, LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.files.publish import require_writable
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.research.joined import RESEARCH_TABLE_NAME
from smallcaps_assets.pipeline.source import is_simulated
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings, lake_path

NEEDS: Final = "nothing."
EXAMPLE: Final = "smallcaps demo --seed 3"


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--all", action="store_true", help="leave nothing to do by hand in the web UI")


def run(arguments: Namespace) -> int:
    """Materialize the assets, then print what is complete, what is left to do by hand, and how to read the tape."""
    began = time.monotonic()
    settings = enter(arguments, embedded=True)
    lake = Lake(lake_path(settings))
    require_writable(lake.root)
    # a replay of a user's files captures all of their events
    everything = arguments.all or not is_simulated(settings.source)
    with open_state(settings) as instance:
        client = client_of(settings.source, instance)
        before = client.totals()
        demo = _Demo(settings, lake, instance)
        failed = demo.materialize(everything=everything)
        spoiled = 0 if everything or failed else demo.spoil_one_window()
        failed += [] if failed else demo.draw_review_sheets()
    profiles = [profile for profile in PROFILES if everything or profile != LEFT_PROFILE]
    damaged, unreadable = show_reports(lake, profiles, settings)
    after = client.totals()
    requests, retries = after.requests_sent - before.requests_sent + spoiled, after.retries - before.retries
    show(
        f"\nlake {lake.root}: {count_noun(requests, 'request')}, {count_clause(retries, 'retry', 'retries')} "
        f"in {time.monotonic() - began:.0f} s"
    )
    if failed:
        raise CaptureIncomplete(f"these stages did not finish: {', '.join(failed)}. Run the demo again to continue.")
    if unreadable:
        raise unreadable[0]
    _print_next_steps(lake, settings, arguments)
    return 1 if damaged else 0


def show_reports(lake: Lake, profiles: Sequence[Profile], settings: Settings) -> tuple[int, list[LakeError]]:
    """Print the state of each capture; returns how many files of tape are damaged, and what stopped a report.

    Every byte of the tape is read: what is altered counts as missing, as in the ledger.
    """
    damaged, unreadable = 0, list[LakeError]()
    for profile in profiles:
        if (lake.manifests(profile) / "current.json").exists():
            try:
                report = capture_report(lake, profile, settings, datetime.now(UTC), proves=True)
                show("", *report.items)
                damaged += report.damaged
            except LakeError as error:
                show(Line(f"\nprofile {profile}: {error}", "bad"))
                unreadable.append(error)
    return damaged, unreadable


def _print_next_steps(lake: Lake, settings: Settings, arguments: Namespace) -> None:
    clicks = first_clicks(lake, settings)
    show(f"open it in the web UI: smallcaps ui{flags_of(arguments)}")
    if clicks:
        show("\n".join(["left to do there:", *clicks]))
    table = lake.research_table(RESEARCH_TABLE_NAME, RESEARCH_PROFILE)
    if table.is_file():
        show(f"what was known of each event at its time, one row each (the group research_core there): {table}")
    snippet = tape_snippet(lake, "core", arguments.config)
    if snippet:
        show(f"\nread the tape of one event in Python:\n\n{snippet}")


class _Demo:
    """The runs of a demo."""

    def __init__(self, settings: Settings, lake: Lake, instance: dg.DagsterInstance) -> None:
        self.settings, self.lake, self.instance = settings, lake, instance
        self.job = _asset_job(settings)

    def materialize(self, *, everything: bool) -> list[str]:
        """Run the stages in order; returns the titles of those that failed."""
        with_research = self.settings.research.enabled
        universe = universe_stage(with_research=with_research)
        if not self._succeeds(universe):
            return [universe.title]
        active = UniverseStore(self.lake).followed()
        followed = [key for key in self.instance.get_dynamic_partitions(SYMBOLS.name or "") if key in active]
        left = None if everything else left_symbol(followed)
        # what was done by hand, or by an earlier release, is kept up to date
        if left and BarsStore(self.lake).covered(left):
            left = None
        is_certified = self.lake.ledger(LEFT_PROFILE).is_file()
        planned = stages(
            followed,
            left,
            captures_all=everything,
            certifies_all=everything or is_certified,
            with_research=with_research,
        )
        failed = [stage.title for stage in planned if not self._succeeds(stage)]
        return failed if failed or not with_research else self._compare(followed)

    def _compare(self, symbols: Sequence[str]) -> list[str]:
        """Capture the controls, and compute their features; returns the titles of the stages that failed."""
        manifest = ManifestStore.in_lake(self.lake, RESEARCH_PROFILE).load()
        chosen = ControlStore(self.lake, RESEARCH_PROFILE).load(manifest)
        windows = set(chosen.select("symbol", "session").iter_rows())
        pairs = [(symbol, wave) for symbol in symbols for wave in WAVES if (symbol, wave) in windows]
        return [stage.title for stage in control_stages(pairs) if not self._succeeds(stage)] if pairs else []

    def draw_review_sheets(self) -> list[str]:
        """Run the last stage; returns its title if it failed."""
        stage = review_stage()
        return [] if self._succeeds(stage) else [stage.title]

    def spoil_one_window(self) -> int:
        """Let one window of the profile that is left fail, unless one did before; returns the requests sent."""
        pair = choose_partition(self.lake, self.settings)
        if pair is None:
            return 0
        symbol, wave = pair
        title = f"{LEFT_PROFILE}: one window of {symbol} in wave {wave}, whose quotes the exchange spoils on purpose"
        key = tape_key(symbol, wave)
        with spoiled_exchange(self.settings, symbol) as market_data:
            self.job = _asset_job(self.settings, {"market_data": market_data})
            self._succeeds(Stage(title, tape_assets(LEFT_PROFILE), key, key))
            return market_data.vendor.totals().requests_sent

    def _succeeds(self, stage: Stage) -> bool:
        show(Line(f"-- {stage.title}", "heading"))
        tags = range_tags(stage.first, stage.last) if stage.first and stage.last else {}
        symbols = self.instance.get_dynamic_partitions(SYMBOLS.name or "")
        shown = {DEMO_TAG: stage.title, **describe_run(tags, stage.assets, symbols)}
        result = self.job.execute_in_process(
            run_config=run_config(stage, self.settings),
            instance=self.instance,
            asset_selection=list(stage.assets),
            tags=tags | shown | process_tag(),
            raise_on_error=False,
        )
        failures = (event.step_failure_data for event in result.all_events if event.is_step_failure)
        if any(was_interrupted(failure.error) for failure in failures):
            raise KeyboardInterrupt
        return result.success


def _asset_job(settings: Settings, resources: Mapping[str, object] | None = None) -> dg.JobDefinition:
    from smallcaps_assets.definitions import build_defs  # noqa: PLC0415 -- it loads the settings that enter() set

    return build_defs(settings, resources).resolve_implicit_global_asset_job_def()
