"""`smallcaps plan`: the cost of a capture, before it is paid for."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.commands.console import Line, Printable, TextTable, show
from smallcaps_assets.commands.flag_types import positive_number
from smallcaps_assets.commands.inspecting.report import describe_damaged
from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.commands.workplace import add_data_flags, enter, flags_of
from smallcaps_assets.defs.resources import client_of
from smallcaps_assets.defs.runs.pool import vendor_slot
from smallcaps_assets.domain.manifests.selection import trial
from smallcaps_assets.domain.research.controls.tables import CONTROLS, with_controls
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.budget import BYTES_PER_MB
from smallcaps_assets.domain.tape.contradictions import describe_contradicted
from smallcaps_assets.domain.tape.cost_estimate import Rate
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind, describe_stale
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import LakeError, MarketDataError
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.selecting_cohorts import COHORTS_ENTRY, describe_selecting
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.manifests.selecting import changes_of_kept
from smallcaps_assets.pipeline.operations.readiness import request_tick
from smallcaps_assets.pipeline.progress import log_if_long, with_progress
from smallcaps_assets.pipeline.source import profile_tape, require_payable
from smallcaps_assets.pipeline.tape.cost_estimate import BYTES_PER_GB, CapturePlan, Planner, require_room
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings, lake_path

NEEDS: Final = "a manifest."
EXAMPLE: Final = "smallcaps plan --profile core --wave PM --best 100"

_DAMAGED: Final = 1
DENIED: Final = 2
ALLOWED: Final = "allowed"
DAYS_FROM_HOURS: Final = 48
HOURS_PER_DAY: Final = 24

_WORDS: Final = {
    "quotes_per_trade": "quotes per trade",
    "bytes_per_trade": "bytes per trade",
    "bytes_per_quote": "bytes per quote kept",
    "quotes_kept": "of the quotes kept",
}


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


def run(arguments: Namespace) -> int:
    """Print the plan of one profile's capture; with `--check`, ask the vendor whether it would be allowed.

    Returns 1 where the plan fetches windows again because their files are damaged, or leaves out controls because
    theirs is; 2 where the vendor denies it.

    Raises:
        InputError: there is no manifest, or `--check` would ask another source than the lake's, or for a universe that
            is above the limits.
        LakeError: the disk does not hold what the plan needs; the plan is printed before.
    """
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
    next_step = _next_step(plan, profile, arguments)
    damaged = _damaged(plan, tape, captured["symbol"].unique().to_list())
    beside = {"controls": controls.problem, "bars": plan.problem}
    damaged += [f"  {name}: {problem}" for name, problem in beside.items() if problem]
    changed = _changed(lake, profile, current.sidecar, damaged)
    if arguments.json:
        document = _document(plan, settings, check, arguments) | {"contradicted": contradicted, "damaged": damaged}
        document |= {"manifest_id": manifest_id, "outdated_controls": controls.outdated, "next": next_step}
        print(json.dumps(document | _of_cohorts(current.sidecar, changed)))
    else:
        title = f"profile {profile}: {_selected(arguments)}{count_noun(manifest.height, 'event')} of "
        symbols = count_noun(manifest["symbol"].n_unique(), "symbol")
        show(Line(f"{title}{symbols} in {manifest_id}", "heading"), *_text(plan, settings, check, arguments))
        show(*_lines_of_cohorts(current.sidecar, changed))
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
    return _DAMAGED if damaged else 0


def _of_cohorts(sidecar: dict[str, Any], changed: str | None) -> dict[str, Any]:
    """What JSON says of the cohorts that selected the events; nothing where none did."""
    return {"cohorts": sidecar[COHORTS_ENTRY], "changed_cohorts": changed} if COHORTS_ENTRY in sidecar else {}


def _lines_of_cohorts(sidecar: dict[str, Any], changed: str | None) -> list[Printable]:
    """The same as text."""
    if COHORTS_ENTRY not in sidecar:
        return []
    selected = Line(f"  {describe_selecting(sidecar[COHORTS_ENTRY])}", hanging=4)
    return [selected, *([Line(f"  {changed}", "note", hanging=4)] if changed else [])]


def _changed(lake: Lake, profile: Profile, sidecar: dict[str, Any], damaged: list[str]) -> str | None:
    """That the cohorts which selected the events have changed since; `damaged` receives why that cannot be said."""
    try:
        return changes_of_kept(lake, profile, sidecar)
    except LakeError as error:
        damaged.append(f"  cohorts: {error}")
        return None


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


def _next_step(plan: CapturePlan, profile: Profile, arguments: Namespace) -> str:
    """One line: what to do with the plan."""
    flags = flags_of(arguments)
    if plan.spans == 0:
        return f"nothing is left to fetch; `smallcaps status --profile {profile}{flags}` shows what is published"
    missing = {wave: _missing_kinds(plan, wave) for wave in WAVES}
    wave = next(wave for wave, kinds in missing.items() if kinds)
    kind, *further = missing[wave]
    backfill = f"launch the backfill of wave {wave} of {profile} / tape_{kind} in `smallcaps ui{flags}`"
    then = "".join(f", then of tape_{other}" for other in further)
    asked = {name: getattr(arguments, name) for name in ("best", "one_per_symbol", "upgrade", "retry_empty")}
    if not any(asked.values()):
        return f"{backfill}{then}"
    config = ", ".join(f"{name}: {json.dumps(value)}" for name, value in asked.items() if value)
    same = f"{then} with the same config" if then else ""
    return f"{backfill} with the run config `ops: {{{profile}__tape_{kind}: {{config: {{{config}}}}}}}`{same}"


def _missing_kinds(plan: CapturePlan, wave: str) -> list[TapeKind]:
    """The kinds of tape of which a wave has spans to fetch."""
    return [kind for kind, backlog in plan.backlogs.items() if wave in backlog.spans["wave"]]


def _text(plan: CapturePlan, settings: Settings, check: dict[str, str], arguments: Namespace) -> list[Printable]:
    disk = settings.capture.free_disk
    limit = settings.source.requests_per_minute
    rate_limit = f"at {limit:,g} request{'s' * (limit != 1)} a minute" if limit else "no rate limit set"
    lines: list[Printable] = [
        _table(plan.table),
        f"  hours: {rate_limit}; bytes: parquet",
        *(["  controls: windows that no event needs; `all` has their cost"] if CONTROLS in plan.table["wave"] else []),
        *_basis(plan),
        f"  disk: needs {plan.bytes / BYTES_PER_GB:,.2f} GB and keeps {disk.keep_gb:,.1f} GB free, has "
        f"{plan.free_bytes / BYTES_PER_GB:,.2f} GB: {'enough' if plan.fits(disk) else 'not enough'}"
        + ("" if disk.check else " (not checked before a capture)"),
    ]
    lines += _stale(plan)
    lines += [f"  check of {kind}: {answer}" for kind, answer in check.items()]
    if arguments.check and not check:
        lines.append("  check: nothing is left to fetch, no request was sent")
    return lines


def _stale(plan: CapturePlan) -> list[str]:
    """Windows that the plan leaves stale, by kind."""
    stale = {kind: describe_stale(backlog.stale["missing_columns"]) for kind, backlog in plan.backlogs.items()}
    parts = [f"{kind} of {words}" for kind, words in stale.items() if words]
    return [f"  stale, not in this plan: {'; '.join(parts)}; --upgrade plans them as well"] if parts else []


def _table(table: pl.DataFrame) -> TextTable:
    columns = ("wave", "events", "missing", "trades spans", "quotes spans", "requests", "hours", "MB")
    rows = [
        (
            row["wave"],
            *(f"{row[name]:,}" for name in ("events", "events_due", "trades_spans", "quotes_spans", "requests")),
            _hours(row["hours"]),
            f"{row['bytes'] / BYTES_PER_MB:,.2f}",
            _megabytes(row["bytes_p50"]),
            _megabytes(row["bytes_p90"]),
        )
        for row in table.to_dicts()
    ]
    return TextTable((*columns, "MB/event p50", "p90"), rows)


def _hours(hours: float | None) -> str:
    if hours is None:
        return "-"
    days = f" ({hours / HOURS_PER_DAY:,.1f} days)" if hours > DAYS_FROM_HOURS else ""
    return f"{hours:,.2f}{days}"


def _megabytes(size: float | None) -> str:
    return "-" if size is None else f"{size / BYTES_PER_MB:,.3f}"


def _basis(plan: CapturePlan) -> list[str]:
    """The basis of the figures: bars, measured ratios, assumptions."""
    rates = plan.rates._asdict()
    assumed = [_figure(name, rate) for name, rate in rates.items() if not rate.spans and name != "trades_per_bar"]
    learned = [
        f"{_figure(name, rate)} (from {count_noun(rate.spans, 'span')})" for name, rate in rates.items() if rate.spans
    ]
    unknown = [
        f"{count_noun(plan.bars_without_transactions, 'bar')} without a count" * (plan.bars_without_transactions > 0),
        f"{count_noun(plan.windows_without_bars, 'window')} without bars" * (plan.windows_without_bars > 0),
    ]
    where = " and ".join(filter(None, unknown))
    there = f"; {rates['trades_per_bar'].value:g} per minute assumed in {where}" if where else ""
    lines = [f"  trades: as counted by {count_noun(plan.bars, 'minute bar')}{there}"]
    if learned:
        lines.append(f"  measured: {', '.join(learned)}")
    if assumed:
        lines.append(f"  assumed: {', '.join(assumed)}")
    return lines


def _figure(name: str, rate: Rate) -> str:
    value = f"{100 * rate.value:.1f} %" if name == "quotes_kept" else f"{rate.value:,.2f}"
    return f"{value} {_WORDS[name]}"


def _document(plan: CapturePlan, settings: Settings, check: dict[str, str], arguments: Namespace) -> dict[str, Any]:
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
