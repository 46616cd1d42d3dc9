"""`smallcaps status`: what is done and what is left, counted from what is published."""

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Collection
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.commands.report import profile_report
from smallcaps_assets.commands.workplace import add_data_flags, enter, existing_lake
from smallcaps_assets.domain.tables import match_columns
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import disk_errors
from smallcaps_assets.lake.shards import ShardStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.calendar import sessions_due
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.operations.nightly import BEHIND
from smallcaps_assets.settings.settings import PROFILES, Settings

NEEDS: Final = "a lake."
EXAMPLE: Final = "smallcaps status --profile core"

NAMED: Final = 5


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="only this profile")


def run(arguments: Namespace) -> int:
    """Print the state of the lake, the active profile first.

    Raises:
        InputError: the lake that was named is not there.
    """
    settings = enter(arguments)
    lake = existing_lake(arguments, settings)
    print(_history(lake, settings))
    if lake.nightly_report.is_file():
        print(_night(lake.nightly_report))
    for profile in sorted(PROFILES, key=settings.active_profile.__ne__):
        if arguments.profile not in (None, profile):
            continue
        if (lake.manifests(profile) / "current.json").is_file():
            print(profile_report(lake, profile, settings, datetime.now(UTC)))
        else:
            print(f"profile {profile}: no manifest yet")
    return 0


def _night(report: Path) -> str:
    """Who stayed behind in the last night, by its report."""
    with disk_errors("read", report):
        rows = (
            match_columns(pl.scan_parquet(report, hive_partitioning=False), BEHIND, str(report))
            .sort("symbol")
            .collect()
        )
    if rows.is_empty():
        return "night:  no symbol stayed behind"
    names = rows["symbol"].head(NAMED).to_list()
    more = f" and {rows.height - NAMED:,} more" if rows.height > NAMED else ""
    oldest: date | None = rows.select(pl.col("first_missing").min()).item()
    since = f", sessions are missing since {oldest}" if oldest else ", of sessions that are here events are missing"
    return f"night:  {rows.height:,} stayed behind ({', '.join(names)}{more}){since}; nightly_report says why"


def _history(lake: Lake, settings: Settings) -> str:
    due = set(sessions_due(settings.history, settings.sessions, datetime.now(UTC)))
    universe = UniverseStore(lake).followed()
    followed = {symbol: {day for day in due if day <= last} for symbol, last in universe.items()}
    bars, shards = BarsStore(lake), ShardStore(lake)
    detector = Detector(bars, shards, settings.detection, settings.sessions, UniverseStore(lake).reference())
    told = Counter[str]()
    for symbol, days in followed.items():
        coverage = shards.coverage(symbol)
        marks = detector.fetched(symbol, coverage)
        told += Counter(fetched=len(days & marks.keys()))
        if coverage is None:
            continue
        told += Counter(shards=1)
        if not detector.is_current(symbol, coverage):
            told += Counter(others=1)
        else:
            told += Counter(detected=len(days & coverage.sessions.keys()), behind=int(marks != coverage.sessions))
    wanted = sum(len(days) for days in followed.values())
    return (
        f"lake {lake.root}\n{len(followed):,} symbols, {len(due):,} sessions due\n"
        f"bars:   {told['fetched']:,} of {wanted:,} symbol-sessions, {wanted - told['fetched']:,} left\n"
        f"events: {told['detected']:,} of {wanted:,} symbol-sessions detected, {wanted - told['detected']:,} left\n"
        f"shards: {told['shards']:,}{_out_of_date(told['others'], told['behind'])}"
        f"{_others(bars, shards, universe)}"
    )


def _others(bars: BarsStore, shards: ShardStore, universe: Collection[str]) -> str:
    """What is there of symbols that are not followed, such as of imported ones; nothing is fetched for them."""
    others = [symbol for symbol in bars.symbols() if symbol not in universe]
    if not others:
        return ""
    sessions = bars.session_bars(others).filter(pl.col("bars") > 0)
    detected = len({*others} & {*shards.symbols()})
    more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
    why = "" if universe else "; there is no universe yet, so no symbol is followed: materialize universe"
    return (
        f"\nnot followed: {len(others):,} symbols with {sessions['bars'].sum():,} bars in {sessions.height:,} "
        f"symbol-sessions ({', '.join(others[:NAMED])}{more}), events detected of {detected:,}{why}"
    )


def _out_of_date(others: int, behind: int) -> str:
    """How many shards are not what would be detected now, why, and what to do."""
    if not others + behind:
        return ", all up to date"
    return (
        f", {others + behind:,} out of date ({others:,} detected with other settings, code or reference data, "
        f"{behind:,} before bars came or changed): materialize event_shards, then master_events"
    )
