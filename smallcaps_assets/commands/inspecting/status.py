"""`smallcaps status`: what is done, what is missing and what runs, from published files and Dagster's state."""

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.commands.console import Line, Printable, show, watch
from smallcaps_assets.commands.flag_types import positive_number
from smallcaps_assets.commands.inspecting.report import capture_report
from smallcaps_assets.commands.inspecting.research_status import research_status
from smallcaps_assets.commands.inspecting.universe_status import universe_status
from smallcaps_assets.commands.services.active_runs import ActiveRun, active_runs
from smallcaps_assets.commands.services.disk_watch import OF_LAKE, describe_disk, is_on_disk_of
from smallcaps_assets.commands.services.state_folder import state_folder
from smallcaps_assets.commands.workplace import add_data_flags, enter, existing_lake, flags_of
from smallcaps_assets.domain.words import count_clause, count_noun, describe_duration
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.lake.bar_files.month_files import count_bars
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listing_borders import load_borders
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.lake.unlisted_sessions import unlisted_sessions
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.operations.nightly import BEHIND
from smallcaps_assets.runtime.disk_space import why_unwritable
from smallcaps_assets.settings.settings import PROFILES, Settings

NEEDS: Final = "a lake."
EXAMPLE: Final = "smallcaps status --profile core"

_DAMAGED: Final = 1
_SHOWN: Final = 5
_COLUMNS: Final = 80
_WATCH_EVERY_S: Final = 5


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="only this profile")
    parser.add_argument(
        "--watch",
        type=positive_number,
        nargs="?",
        const=_WATCH_EVERY_S,
        metavar="SECONDS",
        help=f"print it again every SECONDS (default: {_WATCH_EVERY_S}) until Ctrl-C",
    )


def run(arguments: Namespace) -> int:
    """Print the state of the lake, the active profile first; with `--watch`, until interrupted (0).

    Returns 1 where it names damaged files of tape, damaged splits, imported events or cohorts, a missing
    `current.json`, or a state of Dagster that cannot be read or written.

    Raises:
        InputError: the folder of --lake does not exist.
        LakeError: another file that it needs is damaged; names it.
    """
    settings = enter(arguments)
    lake = existing_lake(arguments, settings)
    if arguments.watch is None:
        status = take_status(lake, settings, arguments, datetime.now(UTC))
        show(*status.items)
        return _DAMAGED if status.damaged else 0
    with suppress(KeyboardInterrupt):
        watch(lambda: take_status(lake, settings, arguments, datetime.now(UTC)).items, arguments.watch)
    return 0


class Status(NamedTuple):
    """What to print of a lake, and how many damaged files it names."""

    items: list[Printable]
    damaged: int


def take_status(lake: Lake, settings: Settings, arguments: Namespace, now: datetime) -> Status:
    """What is done and missing in a lake, what runs, and what to do next."""
    counts, without_bars = count_history(lake, settings, now)
    runs, problem = _runs(settings)
    of_research, unreadable = research_status(lake, settings)
    of_universe, damaged_listings = universe_status(lake, settings)
    history = [*_history(lake, counts, without_bars), *of_universe, *of_research]
    items: list[Printable] = [*history, *describe_runs(runs, problem, now)]
    damaged = unreadable + damaged_listings + int(problem is not None)
    state = state_folder(settings)
    if state.is_dir() and (reason := why_unwritable(state)):
        items.append(Line(f"state:  {describe_disk(state, reason)}", "bad", hanging=8))
        damaged += 1
    if not is_on_disk_of(lake.root, state) and (reason := why_unwritable(lake.root)):
        # an archive is read like this on purpose
        items.append(Line(f"disk:   {describe_disk(lake.root, reason, OF_LAKE)}", "bad", hanging=8))
    if is_stored(lake.nightly_report):
        items.append(_night(lake.nightly_report))
    for profile in sorted(PROFILES, key=settings.active_profile.__ne__):
        if arguments.profile not in (None, profile):
            continue
        manifests = ManifestStore.in_lake(lake, profile)
        if missing := manifests.missing_pointer():
            items.append(Line(f"profile {profile}: {missing}", "bad"))
            damaged += 1
        elif is_stored(manifests.pointer):
            is_running = any(run.is_running and run.profile in {"", profile} for run in runs)
            report = capture_report(lake, profile, settings, now, is_running=is_running)
            items += report.items
            damaged += report.damaged
        elif is_stored(lake.ledger(profile)):
            lost = f"{manifests.folder}: has no manifest, although {lake.ledger(profile)} certifies the tape of one."
            items.append(Line(f"profile {profile}: {lost} {how_to_restore(manifests.pointer)}", "bad"))
            damaged += 1
        else:
            items.append(Line(f"profile {profile}: no manifest yet", "heading"))
    if step := _next_step(lake, counts, settings, flags_of(arguments)):
        items.append(Line(f"next: {step}", "note"))
    return Status(items, damaged)


def _runs(settings: Settings) -> tuple[list[ActiveRun], str | None]:
    """The unfinished runs; or why they cannot be read, which is no reason to show nothing of the lake."""
    try:
        return active_runs(settings), None
    except SettingsError as error:
        return [], str(error)


def describe_runs(runs: Sequence[ActiveRun], problem: str | None, now: datetime) -> list[Printable]:
    """What runs now and what waits, each with the last line of its log; or why that is not known."""
    if problem:
        return [Line(f"runs:   {problem}", "bad")]
    if not runs:
        return ["runs:   nothing runs now"]
    running = sum(run.is_running for run in runs)
    others = [
        state for state in ("queued", "not started", "its process is gone") if any(run.state == state for run in runs)
    ]
    parts = [f"{running:,} running now", *(f"{sum(run.state == state for run in runs):,} {state}" for state in others)]
    shown = [line for run in runs[:_SHOWN] for line in _describe_run(run, now)]
    more = [f"  and {len(runs) - _SHOWN:,} more"] if len(runs) > _SHOWN else []
    gone: list[Printable] = []
    if "its process is gone" in others:
        gone.append(Line("  the next `smallcaps ui` ends a run whose process is gone, and repeats it", "note"))
    return [Line(f"runs:   {', '.join(parts)}", "good" if running else "note"), *shown, *more, *gone]


def _describe_run(run: ActiveRun, now: datetime) -> list[Printable]:
    """What a run works on, since when, and the last line of its log; narrow enough for a terminal of 80 columns."""
    about = [run.job, *([f"wave {run.wave}"] if run.wave else []), *([run.symbols] if run.symbols else [])]
    lasts = describe_duration(max(0.0, (now - run.since).total_seconds()))
    where = f" on {run.machine}" if run.machine else ""
    logged = [Line(f"    at {run.logged_at:%H:%M:%S}: {run.log_line}", hanging=6)] if run.log_line else []
    return [
        f"  {run.run_id[:8]}  {', '.join(about)}",
        f"    {run.state}{where} for {lasts}, since {run.since:%Y-%m-%d %H:%M} UTC",
        *logged,
    ]


def _next_step(lake: Lake, counts: Mapping[str, int], settings: Settings, flags: str) -> str | None:
    """What to do next; None where the active profile is captured."""
    profile, ui = settings.active_profile, f"`smallcaps ui{flags}`"
    demo = "`smallcaps demo`, or " if settings.source.kind == "embedded" and not flags else ""
    incomplete = counts["detected"] < counts["expected"]
    steps = (
        (not counts["followed"], f"{demo}`smallcaps check{flags}`, then materialize universe in {ui}"),
        (counts["published"] < counts["expected"], f"materialize minute_bars in {ui}"),
        (counts["stale"], f"launch the job redetect in {ui}"),
        (incomplete, f"materialize event_shards, then master_events in {ui}"),
        (not lake.master.is_file(), f"materialize master_events in {ui}"),
        (not (lake.manifests(profile) / "current.json").is_file(), f"materialize {profile}/manifest in {ui}"),
        (
            not lake.ledger(profile).is_file(),
            f"`smallcaps plan --profile {profile}{flags}` shows what its capture costs",
        ),
    )
    return next((step for is_next, step in steps if is_next), None)


def _night(report: Path) -> str:
    """The symbols that were behind after the last night, from its report."""
    rows = read_table(report, BEHIND).sort("symbol")
    if rows.is_empty():
        return "night:  no symbol is behind"
    oldest: date | None = rows.select(pl.col("first_missing").min()).item()
    missing = f"sessions are missing since {oldest}" if oldest else "events of published sessions are missing"
    return f"night:  {rows.height:,} behind ({_names(rows['symbol'].to_list())}), {missing}; see nightly_report"


class History(NamedTuple):
    """Sessions of followed symbols: expected, published, detected; shards that are stale, and why; who has no bars."""

    counts: Counter[str]
    without_bars: list[str]


def count_history(lake: Lake, settings: Settings, now: datetime) -> History:
    """What is published and detected of the followed symbols."""
    expected = set(completed_sessions(settings.history, settings.sessions, now))
    universe = UniverseStore(lake)
    last_days = universe.followed()
    unlisted = unlisted_sessions(lake, last_days, expected)
    followed = {
        symbol: {day for day in expected if day <= last}.difference(unlisted.get(symbol, ()))
        for symbol, last in last_days.items()
    }
    bars, shards = BarsStore(lake), ShardStore(lake)
    reference, test_symbols = universe.reference(), universe.test_symbols(settings.universe)
    rules = settings.detection, settings.sessions, reference, test_symbols
    detector = Detector(bars, shards, *rules, borders=load_borders(lake))
    counts = Counter[str](followed=len(followed), sessions=len(expected), expected=sum(map(len, followed.values())))
    without_bars = []
    for symbol, days in followed.items():
        coverage = shards.coverage(symbol)
        fingerprints = detector.fetched_sessions(symbol, coverage)
        counts.update(published=len(days & fingerprints.keys()))
        if days and not any(map(count_bars, fingerprints.values())):
            without_bars.append(symbol)
        if coverage is None:
            continue
        counts.update(shards=1)
        if not detector.is_current(symbol, coverage):
            counts.update(other_inputs=1, stale=1)
        else:
            counts.update(detected=len(days & coverage.sessions.keys()))
            other_bars = int(fingerprints != coverage.sessions)
            counts.update(other_bars=other_bars, stale=other_bars)
    return History(counts, sorted(without_bars))


def _history(lake: Lake, counts: Mapping[str, int], without_bars: Sequence[str]) -> list[Printable]:
    total, published, detected = counts["expected"], counts["published"], counts["detected"]
    return [
        Line(f"lake {lake.root}", "heading"),
        f"{count_noun(counts['followed'], 'symbol')}, {count_noun(counts['sessions'], 'session')} expected",
        f"bars:   {published:,} of {count_noun(total, 'symbol-session')}, {total - published:,} missing",
        *_without_bars(without_bars),
        f"events: {detected:,} of {count_noun(total, 'symbol-session')} detected, {total - detected:,} missing",
        Line(
            f"shards: {counts['shards']:,}, {_stale(counts['other_inputs'], counts['other_bars'])}",
            "note" if counts["stale"] else "",
        ),
        *_not_followed(BarsStore(lake), ShardStore(lake), UniverseStore(lake).followed()),
    ]


def _without_bars(symbols: Sequence[str]) -> list[str]:
    """The symbols of the universe that have no bars at all: as many names as one line has room for."""
    if not symbols:
        return []
    line = f"{count_clause(len(symbols), 'symbol of the universe has', 'symbols of the universe have')} no bars: "
    for shown in range(len(symbols), 0, -1):
        more = f" and {len(symbols) - shown:,} more" if shown < len(symbols) else ""
        names = ", ".join(symbols[:shown]) + more
        if len(line) + len(names) <= _COLUMNS or shown == 1:
            return [line + names]
    return []


def _not_followed(bars: BarsStore, shards: ShardStore, universe: Collection[str]) -> list[str]:
    """What is published of symbols that are not followed, such as imported ones; nothing is fetched for them."""
    others = [symbol for symbol in bars.symbols() if symbol not in universe]
    if not others:
        return []
    sessions = bars.session_bars(others).filter(pl.col("bars") > 0)
    detected = len({*others} & {*shards.symbols()})
    why = "" if universe else "; there is no universe yet, so no symbol is followed: materialize universe"
    bars_of = f"{count_noun(len(others), 'symbol')} with {count_noun(int(sessions['bars'].sum()), 'bar')}"
    where = f"{count_noun(sessions.height, 'symbol-session')} ({_names(others)})"
    return [f"not followed: {bars_of} in {where}, events detected of {detected:,}{why}"]


def _stale(other_inputs: int, other_bars: int) -> str:
    """How many shards are stale, why, and the remedy."""
    if not other_inputs + other_bars:
        return "none stale"
    return (
        f"{other_inputs + other_bars:,} stale ({other_inputs:,} detected with other settings, code or reference data, "
        f"{other_bars:,} before bars were added or changed): launch the job redetect"
    )


def _names(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - _SHOWN:,} more" if len(symbols) > _SHOWN else ""
    return ", ".join(symbols[:_SHOWN]) + more
