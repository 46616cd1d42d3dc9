"""The flags of `smallcaps import`."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from smallcaps_assets.commands.flag_types import column_names, positive_number
from smallcaps_assets.settings.settings import PROFILES

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Subparsers = _SubParsersAction[ArgumentParser]

BARS_NEED: Final = """Take in minute bars. Needs: parquet, csv or csv.gz files; symbol=X/date=Y.parquet, one file per
symbol (X.parquet in capitals, symbol=X.parquet), or files of many symbols with a column symbol. Columns,
in capitals or not: symbol, timestamp, open, high, low, close, volume, and vwap and transactions where
there are any; the vendor's flat files (ticker, window_start) are read as they are. Others are left out.
A price of 32 bits becomes the shortest decimal that it stands for: 12.34, not 12.340000152587890625.

Bars must be as traded. Split-adjusted prices cannot be told from prices as traded: whoever imports
them finds wrong events, and compares them with a tape that is not adjusted.

A session that has bars afterwards is not downloaded any more, also where the files hold only a part
of it. Bars on days that are no session, or of a session that is not over, are left out and counted;
bad bars are set aside with the reason. A file with many bars outside of every session, and a session
many of whose minutes differ from the lake's or among the files, are refused: most likely the time zone
is wrong. Run it again at any time: what is there is not read again."""


EVENTS_NEED: Final = """Make MASTER of that of an earlier system, or of its shards: a manifest can be chosen from it.
Needs: parquet files with symbol (or symbol=X in their path), event_type, timestamp, direction, spike_x,
open, high, low, close, volume, dollar_volume and score. Events of earlier imports stay; of two rows of
an event the one with the higher score counts, and ranks are made anew over all of them."""
WINDOWS_NEED: Final = """Take in trades and quotes of events of the current manifest; no capture asks for them again.
Needs: symbol=X/event=ID/trades.parquet and quotes.parquet, or ID_trades.parquet and ID_quotes.parquet."""


class Kind(NamedTuple):
    """What can be imported."""

    name: str
    summary: str
    needs: str
    example: str
    flags: Callable[[ArgumentParser], None]


def add_kinds(kinds: "Subparsers", data_flags: Callable[[ArgumentParser], None]) -> None:
    """Everything that `smallcaps import` takes in; `data_flags` adds the flags that say into which lake."""
    for kind in (
        Kind("bars", "minute bars", BARS_NEED, "bars minute --timezone America/New_York", _bars),
        Kind("events", "events of an earlier system", EVENTS_NEED, "events old/master.parquet --timezone UTC", _events),
        Kind(
            "windows",
            "trades and quotes around events",
            WINDOWS_NEED,
            "windows old/tape --profile core --before 3 --after 7 --resolution full",
            _windows,
        ),
    ):
        parser = kinds.add_parser(
            kind.name,
            help=kind.summary,
            description=kind.needs,
            epilog=f"example:\n  smallcaps import {kind.example}",
            formatter_class=RawDescriptionHelpFormatter,
        )
        kind.flags(parser)
        data_flags(parser)


def _bars(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a file, a folder (searched to its depths), or a quoted pattern")
    parser.add_argument("--timezone", metavar="ZONE", help="of times without one, such as America/New_York or UTC")
    parser.add_argument("--unit", choices=("s", "ms", "us", "ns"), help="of timestamps that are numbers since 1970")
    parser.add_argument(
        "--timestamp-is", choices=("start", "end"), default="start", help="of the minute (default: start)"
    )
    parser.add_argument(
        "--columns", type=column_names, default={}, metavar="OURS=THEIRS,...", help="such as timestamp=t,open=o,high=h"
    )
    parser.add_argument(
        "--on-conflict",
        choices=("keep", "replace"),
        help="where bars of a minute differ: keep the lake's, or else the first of the files (default), or replace it "
        "by the last. Without it, sessions of which many minutes differ are refused",
    )
    parser.add_argument(
        "--allow-outside",
        action="store_true",
        help="take in files of which many bars lie outside 04:00 to 20:00 New York or on days without a session",
    )
    parser.add_argument(
        "--complete",
        action="store_true",
        help="the files hold everything between a symbol's first bar and its last: ask for no session in between",
    )
    parser.add_argument(
        "--followed-only", action="store_true", help="leave out symbols that the universe does not follow"
    )


def _events(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a parquet file, a folder, or a quoted pattern")
    parser.add_argument("--timezone", metavar="ZONE", help="where clocks without a zone stood, such as UTC")
    parser.add_argument("--unit", choices=("s", "ms", "us", "ns"), help="of timestamps that are numbers since 1970")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write (default: of the lake)")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="start over: give up the events of earlier imports (default: add to them)",
    )
    parser.add_argument(
        "--allow-outside", action="store_true", help="also if many rows lie outside every session (default: refuse)"
    )
    parser.add_argument(
        "--allow-other-bars",
        action="store_true",
        help="also if most events lie on no bar of the lake with their close and volume (default: refuse)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _windows(parser: ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="PATH", help="the folder that holds them")
    parser.add_argument("--profile", choices=PROFILES, help="whose manifest and tape (default: active_profile)")
    held = parser.add_argument_group("what the files hold, which they do not say themselves")
    held.add_argument("--before", type=positive_number, metavar="MIN", help="minutes before each event")
    held.add_argument("--after", type=positive_number, metavar="MIN", help="minutes after each event")
    held.add_argument("--manifest", type=Path, metavar="FILE", help="or the manifest they were downloaded for")
    held.add_argument(
        "--held-for-sure",
        action="store_true",
        help="also where no file has rows near the first and the last of these minutes (default: refuse them all)",
    )
    held.add_argument("--resolution", metavar="HOW", help="of quotes: full, 20 (a second), or changes,5")
    held.add_argument("--timezone", metavar="ZONE", help="where clocks without a zone stood, such as UTC")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
