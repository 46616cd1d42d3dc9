"""`smallcaps import events`: import the MASTER table of an earlier system, for manifests to be chosen from it."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.commands.console import Printable, TextTable, show
from smallcaps_assets.commands.files import parquet_files
from smallcaps_assets.commands.flag_types import price_scale
from smallcaps_assets.commands.imports.command import choose_from
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.domain.imports.clocks import TimestampForm
from smallcaps_assets.domain.imports.columns import require_timezone
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.publish import require_writable
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.imports.events import EventsImport, EventsOutcome
from smallcaps_assets.pipeline.source import require_real
from smallcaps_assets.settings.settings import lake_path

NEEDS: Final = """parquet files with symbol (or symbol=X in their path), event_type, timestamp, direction, spike_x,
open, high, low, close, volume, dollar_volume and score: the MASTER of an earlier system, or its shards. They become a
MASTER from which a manifest can be chosen. Events of earlier imports stay; of two rows of one event the higher score
counts, and ranks are computed again over all events."""
EXAMPLE: Final = "smallcaps import events old/master.parquet --timezone UTC"

_INCOMPLETE: Final = 1


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("path", metavar="PATH", help="a parquet file, a folder, or a quoted pattern")
    parser.add_argument("--timezone", metavar="ZONE", help="time zone of timestamps without one, such as UTC")
    parser.add_argument("--unit", choices=("s", "ms", "us", "ns"), help="unit of numeric timestamps")
    parser.add_argument(
        "--price-scale",
        type=price_scale,
        metavar="DOLLARS",
        help="dollars that a price of 1 stands for: 1e-9, 1e-4, 0.01 for cents, or 1 for whole dollars",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the file to write (default: the imported events of the lake)"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="replace the events of earlier imports (default: add to them)",
    )
    parser.add_argument(
        "--allow-outside", action="store_true", help="accept files with many rows outside every session"
    )
    parser.add_argument(
        "--allow-other-bars",
        action="store_true",
        help="accept events although most match no bar of the lake by close and volume",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_data_flags(parser)


def run(arguments: Namespace) -> int:
    """Import the events of PATH and report the repairs; 1 where files could not be read.

    Raises:
        InputError: no files, no time zone or a wrong one, not one event, bars that contradict most of them, or `--out`
            holds something else.
        LakeError: the disk refuses.
    """
    require_timezone(arguments.timezone)
    settings = enter(arguments)
    lake = Lake(lake_path(settings))
    out, quarantine = _places(lake, arguments.out)
    files = parquet_files(arguments.path, [out, quarantine], _log if arguments.json else show)
    universe = UniverseStore(lake)
    require_real(universe, settings.source, "events")
    require_writable(lake.root if arguments.out is None else out.parent)
    done = EventsImport(
        bars=BarsStore(lake),
        params=settings.detection,
        sessions=settings.sessions,
        clock=TimestampForm(arguments.timezone, arguments.unit),
        scale=arguments.price_scale,
        test_symbols=universe.test_symbols(settings.universe),
        replace=arguments.replace,
        allow_outside=arguments.allow_outside,
        allow_other_bars=arguments.allow_other_bars,
        log=_log,
    ).run(files, out, quarantine)
    if arguments.json:
        print(json.dumps({"out": str(out), "problems": done.problems, "written": done.written, **done.repairs}))
    else:
        choice = choose_from(lake, settings.active_profile, out, arguments.config)
        show(*_text(done, out, quarantine), f"choose from it: {choice}")
    for problem in done.problems:
        show(f"not imported: {problem}", file=sys.stderr)
    return _INCOMPLETE if done.problems else 0


def _log(line: str) -> None:
    show(line, file=sys.stderr)


def _places(lake: Lake, given: Path | None) -> tuple[Path, Path]:
    """The file of the events, and that of rejected rows."""
    if given is None:
        return lake.imported_events, lake.quarantine_path(lake.imported_events)
    if given.resolve() in (lake.master.resolve(), *(shard.resolve() for shard in lake.shards.glob("*.parquet"))):
        raise InputError(f"--out {given}: belongs to the events that the lake detects itself. Choose another file.")
    return given, given.with_name(f"{given.stem}.quarantine.parquet")


def _counts(what: str, unit: str, counts: Mapping[str, int]) -> list[Printable]:
    return [TextTable((what, unit), [(name, f"{count:,}") for name, count in counts.items()])] if counts else []


def _text(done: EventsOutcome, out: Path, quarantine: Path) -> list[Printable]:
    repairs = done.repairs
    lines: list[Printable] = [
        (
            f"{count_noun(repairs['rows'], 'row')} read: {count_noun(repairs['events'], 'event')}, "
            f"{count_clause(repairs['copies_removed'], 'exact copy', 'exact copies')} "
            f"and {count_clause(repairs['differing_copies_removed'], 'copy', 'copies')} with other values "
            f"removed (up to "
            f"{count_noun(repairs['most_rows_of_one_event'], 'row')} of one event), "
            f"{count_noun(repairs['quarantined'], 'row')} quarantined"
        )
    ]
    lines += _counts("quarantined because", "rows", repairs["quarantined_because"])
    lines.append(_union(repairs))
    share = 100 * repairs["sessions_changed"] / max(repairs["events"], 1)
    lines.append(
        f"{count_noun(repairs['sessions_changed'], 'session')} changed ({share:.1f} %), by the New York clock "
        f"and the calendar"
    )
    lines += _counts("session changed", "events", repairs["sessions_changed_from_to"])
    lines += [
        (
            f"changed as well: {count_noun(repairs['dates_changed'], 'date')}, "
            f"{repairs['event_biases_changed']:,} event_bias, "
            f"{repairs['colours_changed']:,} close_vs_open, {count_noun(repairs['tiers_changed'], 'tier')}"
        ),
        "score is the percentile rank of score_raw within event_type and session: mean rank / number of events",
        (
            f"bars of the lake fill in VWAP and volumes of "
            f"{count_noun(repairs['with_the_bar_of_the_lake'], 'event')}; unknown "
            f"for {repairs['without_a_bar_in_the_lake']:,} without a bar there and for "
            f"{repairs['with_another_bar_in_the_lake']:,} whose bar has another close or volume"
        ),
        (
            f"kept as they are: {count_noun(repairs['dollar_volume_is_not_close_times_volume'], 'event')} "
            f"whose dollar_volume is "
            f"not close x volume, {repairs['spike_x_unknown']:,} without spike_x"
        ),
    ]
    if repairs["left_quarantine"]:
        lines.append(
            f"{count_noun(repairs['left_quarantine'], 'row')} left the quarantine: imported now, or removed "
            f"by --replace"
        )
    if repairs["in_quarantine"]:
        lines.append(
            f"{quarantine} holds "
            f"{count_noun(repairs['in_quarantine'], 'different rejected row')} whose event no other row has, each "
            "with its reason"
        )
    lines.append(f"{out} {'written' if done.written else 'is unchanged'}")
    return lines


def _union(repairs: Mapping[str, Any]) -> str:
    """What happened to the events of earlier imports."""
    if repairs["events_left_out"]:
        return (
            f"--replace: {count_noun(repairs['events_left_out'], 'event')} of earlier imports removed, "
            f"{repairs['events']:,} now"
        )
    return (
        f"{count_noun(repairs['events_before'], 'event')} of earlier imports, "
        f"{repairs['events_before_replaced']:,} of them "
        f"replaced by a better row; {repairs['events_new']:,} new, {repairs['events_in_all']:,} in all"
    )
