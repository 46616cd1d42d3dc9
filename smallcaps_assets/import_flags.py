"""The flags of `smallcaps import`."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from smallcaps_assets.domain.tables import BARS

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Subparsers = _SubParsersAction[ArgumentParser]

BARS_NEED: Final = """Take in minute bars. Needs: parquet, csv or csv.gz files; symbol=X/date=Y.parquet, one file per
symbol (X.parquet, symbol=X.parquet), or files of many symbols with a column symbol. Columns: symbol,
timestamp, open, high, low, close, volume, and vwap and transactions where there are any; the vendor's
flat files (ticker, window_start) are read as they are. Others are left out. A price of 32 bits becomes
the shortest decimal that it stands for: 12.34, not 12.340000152587890625.

Bars must be as traded. Split-adjusted prices cannot be told from prices as traded: whoever imports
them finds wrong events, and compares them with a tape that is not adjusted.

A session that has bars afterwards is not downloaded any more, also where the files hold only a part
of it. Bars on days that are no session, or of a session that is not over, are left out and counted;
bad bars are set aside with the reason. Run it again at any time: what is there is not read again."""


def import_bars(kinds: "Subparsers", data_flags: Callable[[ArgumentParser], None]) -> None:
    """Flags of `smallcaps import bars`; `data_flags` adds those that say into which lake."""
    parser = kinds.add_parser(
        "bars",
        help="minute bars",
        description=BARS_NEED,
        epilog="example:\n  smallcaps import bars minute --timezone America/New_York",
        formatter_class=RawDescriptionHelpFormatter,
    )
    _bars(parser)
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
        default="keep",
        help="where a bar differs from that of the lake: keep the lake's (default), or replace it",
    )
    parser.add_argument(
        "--complete",
        action="store_true",
        help="the files hold everything between a symbol's first bar and its last: ask for no session in between",
    )
    parser.add_argument(
        "--followed-only", action="store_true", help="leave out symbols that the universe does not follow"
    )


def column_names(text: str) -> dict[str, str]:
    """`timestamp=t,open=o` as a mapping from our columns to theirs; the name is what argparse calls a wrong value.

    Raises:
        ValueError: anything else, or a column that bars have not.
    """
    names = dict(pair.split("=", 1) for pair in text.split(","))
    if not (names.keys() <= BARS.keys() and all(names.values())):
        raise ValueError(text)
    return names
