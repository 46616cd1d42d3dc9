"""`smallcaps status`: what is done and what is missing, counted from published files."""

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Collection, Sequence
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
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.operations.nightly import BEHIND
from smallcaps_assets.settings.settings import PROFILES, Settings

NEEDS: Final = "a lake."
EXAMPLE: Final = "smallcaps status --profile core"

_SHOWN: Final = 5


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="only this profile")


def run(arguments: Namespace) -> int:
    """Print the state of the lake, the active profile first.

    Raises:
        InputError: the folder of --lake does not exist.
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
    """The symbols that were behind after the last night, from its report."""
    with disk_errors("read", report):
        rows = (
            match_columns(pl.scan_parquet(report, hive_partitioning=False, glob=False), BEHIND, str(report))
            .sort("symbol")
            .collect()
        )
    if rows.is_empty():
        return "night:  no symbol is behind"
    oldest: date | None = rows.select(pl.col("first_missing").min()).item()
    missing = f"sessions are missing since {oldest}" if oldest else "events of published sessions are missing"
    return f"night:  {rows.height:,} behind ({_names(rows['symbol'].to_list())}), {missing}; see nightly_report"


def _history(lake: Lake, settings: Settings) -> str:
    expected = set(completed_sessions(settings.history, settings.sessions, datetime.now(UTC)))
    universe = UniverseStore(lake)
    followed = {symbol: {day for day in expected if day <= last} for symbol, last in universe.followed().items()}
    bars, shards = BarsStore(lake), ShardStore(lake)
    reference, test_symbols = universe.reference(), universe.test_symbols(settings.universe)
    detector = Detector(bars, shards, settings.detection, settings.sessions, reference, test_symbols)
    counts = Counter[str]()
    for symbol, days in followed.items():
        coverage = shards.coverage(symbol)
        fingerprints = detector.fetched_sessions(symbol, coverage)
        counts += Counter(published=len(days & fingerprints.keys()))
        if coverage is None:
            continue
        counts += Counter(shards=1)
        if not detector.is_current(symbol, coverage):
            counts += Counter(other_inputs=1)
        else:
            counts += Counter(detected=len(days & coverage.sessions.keys()))
            counts += Counter(other_bars=int(fingerprints != coverage.sessions))
    total = sum(len(days) for days in followed.values())
    detected = counts["detected"]
    return (
        f"lake {lake.root}\n{len(followed):,} symbols, {len(expected):,} sessions expected\n"
        f"bars:   {counts['published']:,} of {total:,} symbol-sessions, {total - counts['published']:,} missing\n"
        f"events: {detected:,} of {total:,} symbol-sessions detected, {total - detected:,} missing\n"
        f"shards: {counts['shards']:,}, {_stale(counts['other_inputs'], counts['other_bars'])}"
        f"{_not_followed(bars, shards, followed)}"
    )


def _not_followed(bars: BarsStore, shards: ShardStore, universe: Collection[str]) -> str:
    """What is published of symbols that are not followed, such as imported ones; nothing is fetched for them."""
    others = [symbol for symbol in bars.symbols() if symbol not in universe]
    if not others:
        return ""
    sessions = bars.session_bars(others).filter(pl.col("bars") > 0)
    detected = len({*others} & {*shards.symbols()})
    why = "" if universe else "; there is no universe yet, so no symbol is followed: materialize universe"
    return (
        f"\nnot followed: {len(others):,} symbols with {sessions['bars'].sum():,} bars in {sessions.height:,} "
        f"symbol-sessions ({_names(others)}), events detected of {detected:,}{why}"
    )


def _stale(other_inputs: int, other_bars: int) -> str:
    """How many shards are stale, why, and the remedy."""
    if not other_inputs + other_bars:
        return "none stale"
    return (
        f"{other_inputs + other_bars:,} stale ({other_inputs:,} detected with other settings, code or reference data, "
        f"{other_bars:,} before bars were added or changed): materialize event_shards, then master_events"
    )


def _names(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - _SHOWN:,} more" if len(symbols) > _SHOWN else ""
    return ", ".join(symbols[:_SHOWN]) + more
