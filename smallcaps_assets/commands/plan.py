"""`smallcaps plan`: the cost of a capture or, with --bars, of the minute bars, before it is paid for."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.commands.console import Line, show
from smallcaps_assets.commands.flag_types import positive_number
from smallcaps_assets.commands.inspecting.report import describe_damaged
from smallcaps_assets.commands.planning.bars import add_bars_flags, run_bars
from smallcaps_assets.commands.planning.cohorts import changed_cohorts, document_of_cohorts, lines_of_cohorts
from smallcaps_assets.commands.planning.document import plan_document
from smallcaps_assets.commands.planning.listings import plan_listings
from smallcaps_assets.commands.planning.next_step import describe_next_step
from smallcaps_assets.commands.planning.text import plan_text
from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.defs.resources import client_of
from smallcaps_assets.defs.runs.pool import vendor_slot
from smallcaps_assets.domain.manifests.selection import trial
from smallcaps_assets.domain.research.controls.tables import with_controls
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.contradictions import describe_contradicted
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import MarketDataError
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.operations.readiness import request_tick
from smallcaps_assets.pipeline.progress import log_if_long, with_progress
from smallcaps_assets.pipeline.source import profile_tape, require_payable
from smallcaps_assets.pipeline.tape.cost_estimate import CapturePlan, Planner, require_room
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings, lake_path

NEEDS: Final = "a manifest; with --bars nothing."
EXAMPLE: Final = "smallcaps plan --profile core --wave PM --best 100"

_DAMAGED: Final = 1
DENIED: Final = 2
ALLOWED: Final = "allowed"


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="whose manifest (default: active_profile)")
    parser.add_argument("--wave", choices=WAVES, help="only this wave")
    parser.add_argument("--best", type=positive_number, metavar="N", help="a trial: only the N best-ranked events")
    parser.add_argument("--one-per-symbol", action="store_true", help="a trial: only the best event of each symbol")
    parser.add_argument(
        "--upgrade", action="store_true", help="also fetch stale windows again: those whose files lack columns"
    )
    parser.add_argument(
        "--retry-empty",
        action="store_true",
        help="also ask again for windows that are empty although bars or trades show trading",
    )
    parser.add_argument(
        "--check", action="store_true", help="ask the vendor whether the key and the plan allow it (2 requests)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_bars_flags(parser)


def run(arguments: Namespace) -> int:
    """Print the plan of one profile's capture; with `--check`, ask the vendor whether it would be allowed.

    Returns 1 where the plan fetches windows again because their files are damaged, or leaves out controls or
    listings because theirs are; 2 where the vendor denies it.

    Raises:
        InputError: there is no manifest, or `--check` would ask another source than the lake's, or for a universe that
            is above the limits.
        LakeError: the disk does not hold what the plan needs; the plan is printed before.
    """
    if arguments.bars:
        return run_bars(arguments)
    settings = enter(arguments)
    profile: Profile = arguments.profile or settings.active_profile
    lake = Lake(lake_path(settings))
    store = ManifestStore.in_lake(lake, profile)
    current = store.current()
    manifest_id = current.sidecar["manifest_id"]
    manifest = trial(current.rows, arguments.best, arguments.one_per_symbol)
    controls = ControlStore(lake, profile).find(current)
    captured = with_controls(manifest, controls.rows)
    if arguments.wave:
        manifest, captured = (rows.filter(pl.col("session") == arguments.wave) for rows in (manifest, captured))
    capture = settings.capture
    tape = replace(profile_tape(lake, profile, settings), watched=_watched)
    planner = Planner(tape, capture.assumptions, settings.source.requests_per_minute)
    plan = planner.plan(captured, upgrade=arguments.upgrade, retry_empty=arguments.retry_empty)
    contradicted = {} if arguments.retry_empty else planner.count_contradicted(plan)
    check: dict[str, str] = {}
    if arguments.check and plan.newest is not None:
        require_payable(UniverseStore(lake), settings)
        check = _check(settings, plan.newest)
    next_step = describe_next_step(plan, profile, arguments)
    damaged = _damaged(plan, tape, captured["symbol"].unique().to_list())
    beside = {"controls": controls.problem, "bars": plan.problem}
    damaged += [f"  {name}: {problem}" for name, problem in beside.items() if problem]
    listings = plan_listings(lake, settings)
    changed = changed_cohorts(lake, profile, current.sidecar, damaged)
    if arguments.json:
        document = plan_document(plan, settings, check, arguments) | {"contradicted": contradicted, "damaged": damaged}
        document |= {"manifest_id": manifest_id, "outdated_controls": controls.outdated, "next": next_step}
        document |= listings.document
        print(json.dumps(document | document_of_cohorts(current.sidecar, changed)))
    else:
        title = f"profile {profile}: {_selected(arguments)}{count_noun(manifest.height, 'event')} of "
        symbols = count_noun(manifest["symbol"].n_unique(), "symbol")
        show(Line(f"{title}{symbols} in {manifest_id}", "heading"), *plan_text(plan, settings, check, arguments))
        show(*lines_of_cohorts(current.sidecar, changed), *listings.lines(settings))
        for text in damaged:
            show(Line(text, "bad"))
        if controls.outdated:
            show(Line(f"  {controls.outdated}", "note"))
        if words := describe_contradicted(contradicted):
            show(Line(f"  not in this plan: {words}; --retry-empty plans them as well", "note"))
        show(Line(f"  next: {next_step}", "note"))
    require_room(plan, capture.free_disk)
    if any(answer != ALLOWED for answer in check.values()):
        return DENIED
    return _DAMAGED if damaged or listings.problem else 0


def _damaged(plan: CapturePlan, tape: TapeStore, symbols: Sequence[str]) -> list[str]:
    """The damaged files of tape, whose windows the plan fetches again."""
    return describe_damaged(
        [error for kind, backlog in plan.backlogs.items() for error in tape.damaged(kind, backlog.published, symbols)]
    )


def _watched(files: Sequence[Path]) -> Iterable[Path]:
    """Shows how many footers are read, which takes most of the time of planning."""
    log = log_if_long(lambda line: show(line, file=sys.stderr))
    return with_progress(files, len(files), "footers read", log)


def _check(settings: Settings, span: Span) -> dict[str, str]:
    """The vendor's answer to one request of each kind."""
    answers: dict[str, str] = {}
    with open_state(settings) as instance, vendor_slot(instance, partial(show, file=sys.stderr)):
        for kind in TAPE_KINDS:
            try:
                request_tick(client_of(settings.source, instance), kind, span.symbol, span.start)
                answers[kind] = ALLOWED
            except MarketDataError as error:
                answers[kind] = str(error)
    return answers


def _selected(arguments: Namespace) -> str:
    parts = [
        "a trial, the best event of each symbol" * arguments.one_per_symbol,
        f"the {arguments.best:,} best" if arguments.best is not None else "",
        f"wave {arguments.wave}" if arguments.wave else "",
    ]
    named = ", ".join(part for part in parts if part)
    return f"{named}: " if named else ""
