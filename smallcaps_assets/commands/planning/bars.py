"""`smallcaps plan --bars`: what the missing minute bars cost over REST and over flat files."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from smallcaps_assets.commands.console import Line, Printable, TextTable, show
from smallcaps_assets.commands.flag_types import positive_number
from smallcaps_assets.commands.planning.listings import plan_listings
from smallcaps_assets.commands.planning.text import in_hours
from smallcaps_assets.commands.workplace import enter
from smallcaps_assets.domain.bars.roads import RoadAssumptions, RoadCost
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import MarketDataError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.pipeline.bars.roads import ASSUMED_BARS, PLANNED_AT_ONCE, BarsPlan, plan_bars
from smallcaps_assets.pipeline.operations.readiness import FLAT_BYTES_PER_SESSION
from smallcaps_assets.pipeline.progress import log_if_long, with_progress
from smallcaps_assets.pipeline.source import flat_files
from smallcaps_assets.pipeline.tape.cost_estimate import BYTES_PER_GB
from smallcaps_assets.settings.settings import Settings, lake_path, missing_flat_file_keys

_DAMAGED: Final = 1
_DENIED: Final = 2
_BITS_PER_MEGABIT: Final = 1e6
_FROM: Final = {
    "lake": "followed",
    "settings": "named in the settings; the lake has no universe yet",
    "assumed": "assumed; the lake has no universe yet, give --for-symbols",
    "flag": "of --for-symbols, none of which has bars",
}


def add_bars_flags(parser: ArgumentParser) -> None:
    """Add the flags of `--bars`."""
    parser.add_argument(
        "--bars", action="store_true", help="plan minute bars instead: over REST and over the vendor's flat files"
    )
    parser.add_argument(
        "--for-symbols",
        type=positive_number,
        metavar="N",
        help="with --bars: for N symbols without any bars, instead of those of the lake",
    )
    parser.add_argument(
        "--megabits",
        type=positive_number,
        default=100,
        metavar="N",
        help="with --bars: megabits a second that the connection carries (default: 100)",
    )


def run_bars(arguments: Namespace) -> int:
    """Print the plan of the bars, and what listings cost beside them; with `--check`, list the vendor's bucket.

    Returns 1 where files of listings are damaged, 2 where the vendor denies its bucket.

    Raises:
        LakeError: files of the lake cannot be read.
    """
    settings = enter(arguments)
    check: dict[str, str] = {}
    bucket = _bucket(settings, check) if arguments.check else None
    bits = arguments.megabits * _BITS_PER_MEGABIT
    assumed = RoadAssumptions(ASSUMED_BARS, bits_per_second=bits, threads=settings.fetch_threads)
    lake = Lake(lake_path(settings))
    make = partial(plan_bars, lake, settings, datetime.now(UTC), symbols=arguments.for_symbols)
    make = partial(make, assumed=assumed, watched=_watched)
    try:
        plan = make(bucket=bucket)
    except MarketDataError as error:
        check["flat_files"] = str(error)
        plan = make()
    if bucket is not None and "flat_files" not in check:
        check["flat_files"] = _access(bucket, plan)
    listings = plan_listings(lake, settings)
    if arguments.json:
        print(json.dumps(_document(plan, settings, check) | listings.document))
    else:
        show(*_text(plan, settings), *listings.lines(settings), *_answers(check))
    if any(answer != "allowed" for answer in check.values()):
        return _DENIED
    return _DAMAGED if listings.problem else 0


def _bucket(settings: Settings, check: dict[str, str]) -> FlatFiles | None:
    try:
        return flat_files(settings.source)
    except MarketDataError as error:
        check["flat_files"] = str(error)
        return None


def _access(bucket: FlatFiles, plan: BarsPlan) -> str:
    """The vendor's answer to one byte of the newest file: LIST works without the plan, GET does not."""
    if plan.newest_file is None:
        return "allowed"
    try:
        bucket.require_access(plan.newest_file)
    except MarketDataError as error:
        return str(error)
    return "allowed"


def _watched(batches: Sequence[str]) -> Iterable[str]:
    log = log_if_long(lambda line: show(line, file=sys.stderr))
    return with_progress(batches, len(batches), f"batches of {PLANNED_AT_ONCE} symbols read", log)


def _document(plan: BarsPlan, settings: Settings, check: dict[str, str]) -> dict[str, Any]:
    return {
        "source_bars": settings.source.bars,
        "symbols": plan.symbols,
        "symbols_from": plan.symbols_from,
        "sessions": plan.sessions,
        "symbol_sessions_missing": plan.missing,
        "roads": [plan.rest.as_json(), plan.files.as_json()],
        "sessions_with_file": plan.files_published,
        "files_listed": plan.files_listed,
        "files_disk_bytes": plan.files.files * FLAT_BYTES_PER_SESSION,
        "assumed": {**plan.assumed._asdict(), "bars_per_session_measured": plan.measured_bars},
        "requests_per_minute": settings.source.requests_per_minute,
        "keys_missing": missing_flat_file_keys(settings.source),
        "check": check or None,
    }


def _text(plan: BarsPlan, settings: Settings) -> Iterator[Printable]:
    sessions = count_noun(plan.sessions, "session")
    yield Line(
        f"minute bars: {plan.missing:,} symbol-sessions missing of {count_noun(plan.symbols, 'symbol')} "
        f"({_FROM[plan.symbols_from]}) and {sessions} of history",
        "heading",
    )
    columns = ("road", "requests", "of them REST", "files", "GB", "hours")
    yield TextTable(columns, [_row(road) for road in (plan.rest, plan.files)])
    limit = settings.source.requests_per_minute
    assumed = plan.assumed
    rate = f"{limit:,g} requests a minute" if limit else f"no rate limit set, {assumed.answer_s:g} s an answer"
    yield f"  REST: one request per symbol and month; {rate}"
    sizes = (
        "each as large as listed"
        if plan.files_listed
        else f"{assumed.bytes_per_file / BYTES_PER_GB * 1000:,.0f} MB assumed each"
    )
    without = "sessions without a file over REST"
    yield f"  flat files: one a session for the whole market, {sizes}; {without}; no rate limit"
    kept = plan.files.files * FLAT_BYTES_PER_SESSION / BYTES_PER_GB
    yield f"  disk: about {kept:,.2f} GB for the tables of the flat files, which stay in the lake"
    measured = "as in the lake" if plan.measured_bars else "assumed"
    yield (
        f"  {assumed.bars_per_session:,.0f} bars a session and symbol ({measured}), {assumed.bytes_per_bar:g} bytes "
        f"each over REST; {assumed.bits_per_second / _BITS_PER_MEGABIT:,.0f} megabits a second (--megabits)"
    )
    yield f"  now: source.bars is {settings.source.bars}"
    for problem in missing_flat_file_keys(settings.source):
        yield Line(f"  {problem}", "note")


def _answers(check: dict[str, str]) -> Iterator[Line]:
    for name, answer in check.items():
        yield Line(f"  check of {name}: {answer}", "good" if answer == "allowed" else "bad")


def _row(road: RoadCost) -> tuple[str, ...]:
    counts = (f"{count:,}" for count in (road.requests, road.rest_requests, road.files))
    return (road.road, *counts, f"{road.download_bytes / BYTES_PER_GB:,.2f}", in_hours(road.hours))
