"""`smallcaps import events`: a MASTER table of an earlier system, put right, for manifests to be chosen from."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.commands.files import parquet_files
from smallcaps_assets.commands.imports.command import choose_from
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.domain.imports.clocks import TimestampForm
from smallcaps_assets.domain.imports.columns import require_timezone
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import require_writable
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.imports.events import EventsAdopted, EventsImport
from smallcaps_assets.pipeline.source import require_real
from smallcaps_assets.settings.settings import lake_path

NEEDS: Final = """parquet files with symbol (or symbol=X in their path), event_type, timestamp, direction, spike_x,
open, high, low, close, volume, dollar_volume and score: the MASTER of an earlier system, or its shards. They become a
MASTER from which a manifest can be chosen. Events of earlier imports stay; of two rows of one event the higher score
counts, and ranks are computed again over all events."""
EXAMPLE: Final = "smallcaps import events old/master.parquet --timezone UTC"

NOT_ALL: Final = 1


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("path", metavar="PATH", help="a parquet file, a folder, or a quoted pattern")
    parser.add_argument("--timezone", metavar="ZONE", help="time zone of timestamps without one, such as UTC")
    parser.add_argument("--unit", choices=("s", "ms", "us", "ns"), help="unit of numeric timestamps")
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
    """Take in the events of PATH and say what was repaired; 1 where files could not be read.

    Raises:
        InputError: no files, no time zone or a wrong one, not one event, bars that contradict most of them, or `--out`
            holds something else.
        LakeError: the disk refuses.
    """
    require_timezone(arguments.timezone)
    settings = enter(arguments)
    lake = Lake(lake_path(settings))
    out, refused_to = _places(lake, arguments.out)
    files = parquet_files(arguments.path, but=[out, refused_to])
    require_real(UniverseStore(lake), settings.source, "events")
    require_writable(out.parent)
    done = EventsImport(
        bars=BarsStore(lake),
        params=settings.detection,
        sessions=settings.sessions,
        clock=TimestampForm(arguments.timezone, arguments.unit),
        replace=arguments.replace,
        allow_outside=arguments.allow_outside,
        allow_other_bars=arguments.allow_other_bars,
        log=lambda line: print(line, file=sys.stderr),
    ).run(files, out, refused_to)
    if arguments.json:
        print(json.dumps({"out": str(out), "problems": done.problems, "written": done.written, **done.repairs}))
    else:
        print(
            "\n".join(
                [*_text(done, out, refused_to), f"choose from it: {choose_from(lake, settings.active_profile, out)}"]
            )
        )
    for problem in done.problems:
        print(f"not taken in: {problem}", file=sys.stderr)
    return NOT_ALL if done.problems else 0


def _places(lake: Lake, asked: Path | None) -> tuple[Path, Path]:
    """Where events go, and rows that are none."""
    if asked is None:
        return lake.imported_events, lake.quarantine_path(lake.imported_events)
    if asked.resolve() in (lake.master.resolve(), *(shard.resolve() for shard in lake.shards.glob("*.parquet"))):
        raise InputError(f"--out {asked}: belongs to the events that the lake detects itself. Choose another file.")
    return asked, asked.with_name(f"{asked.stem}.quarantine.parquet")


def _text(done: EventsAdopted, out: Path, refused_to: Path) -> list[str]:
    told = done.repairs
    lines = [
        (
            f"{told['rows']:,} rows read: {told['events']:,} events, {told['copies_removed']:,} exact copies and "
            f"{told['differing_copies_removed']:,} copies with other values removed (up to "
            f"{told['most_rows_of_one_event']:,} rows of one event), {told['quarantined']:,} rows quarantined"
        )
    ]
    lines += [f"  quarantined: {count:>9,}  {reason}" for reason, count in told["quarantined_because"].items()]
    lines.append(_union(told))
    share = 100 * told["sessions_changed"] / max(told["events"], 1)
    lines.append(
        f"{told['sessions_changed']:,} sessions changed ({share:.1f} %), by the New York clock and the calendar"
    )
    lines += [f"  {move:<12} {count:>9,}" for move, count in told["sessions_changed_from_to"].items()]
    lines += [
        (
            f"changed as well: {told['dates_changed']:,} dates, {told['event_biases_changed']:,} event_bias, "
            f"{told['colours_changed']:,} close_vs_open, {told['tiers_changed']:,} tiers"
        ),
        "score is the percentile rank of score_raw within event_type and session: mean rank / number of events",
        (
            f"bars of the lake fill in VWAP and volumes of {told['with_the_bar_of_the_lake']:,} events; unknown "
            f"for {told['without_a_bar_in_the_lake']:,} without a bar there and for "
            f"{told['with_another_bar_in_the_lake']:,} whose bar has another close or volume"
        ),
        (
            f"kept as they are: {told['dollar_volume_is_not_close_times_volume']:,} events whose dollar_volume is not "
            f"close x volume, {told['spike_x_unknown']:,} without spike_x"
        ),
    ]
    if told["left_quarantine"]:
        lines.append(
            f"{told['left_quarantine']:,} rows left the quarantine: their events are here now, or started over"
        )
    if told["in_quarantine"]:
        lines.append(
            f"{refused_to} holds the {told['in_quarantine']:,} different rows that were refused and of whose event no "
            "other row tells, each with its reason"
        )
    lines.append(f"{out} {'written' if done.written else 'is what it was: nothing written'}")
    return lines


def _union(told: Mapping[str, Any]) -> str:
    """What became of the events that were there."""
    if told["events_left_out"]:
        return f"--replace: {told['events_left_out']:,} events of earlier imports given up, {told['events']:,} now"
    return (
        f"{told['events_before']:,} events were there before, {told['events_before_replaced']:,} of them replaced by a "
        f"better row; {told['events_new']:,} new, {told['events_in_all']:,} in all"
    )
