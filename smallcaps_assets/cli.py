"""`smallcaps`: the command line. Each command is a module of `commands/`, imported only when it is asked for."""

import os
import sys
import textwrap
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from datetime import date
from importlib import import_module
from pathlib import Path

from smallcaps_assets.commands.flag_types import port_number, positive_number
from smallcaps_assets.commands.imports.flags import add_kinds
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.errors import SmallcapsError
from smallcaps_assets.settings.settings import PROFILES

USERS_MISTAKE = 2
INTERRUPTED = 130
# commands whose name is no name of a module
MODULES = {"import": "imports.command"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    It is 0, 1 where it was done and something was refused, 2 for anything the user can mend, 130 when interrupted.
    """
    arguments = _parser().parse_args(argv)
    try:
        result: int = import_module(f"smallcaps_assets.commands.{_module(arguments)}").run(arguments)
    except SmallcapsError as error:
        print(f"smallcaps {arguments.command}: {error}", file=sys.stderr)
        return USERS_MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough, as in `smallcaps status | head`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 -- for the interpreter's last flush
        return 0
    return result


def _module(arguments: Namespace) -> str:
    command: str = arguments.command
    return MODULES.get(command, command)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="smallcaps", description="The tape around intraday events in US small caps.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str, needs: str, example: str) -> ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=textwrap.fill(f"{summary} Needs: {needs}", 100),
            epilog=f"example:\n  {example}",
            formatter_class=RawDescriptionHelpFormatter,
        )

    _demo(command("demo", "Run the whole product on the exchange in a box.", "nothing.", "smallcaps demo --seed 3"))
    _ui(command("ui", "Open the web UI on the lake.", "a free port.", "smallcaps ui --port 3001"))
    _exchange(
        command(
            "exchange",
            "Serve the vendor's protocol on this machine.",
            "a free port.",
            "smallcaps exchange --port 8900 --symbols 50",
        )
    )
    _detect(
        command(
            "detect",
            "Find events in minute bars, without Dagster, and say what other thresholds would change.",
            "a lake with bars, or parquet files with the columns symbol, timestamp, open, high, low, close, volume, "
            "vwap, transactions.",
            'smallcaps detect --bars "bars/*.parquet" --out events.parquet',
        )
    )
    _manifest(
        command(
            "manifest",
            "Choose the events of a profile from a MASTER file.",
            "a MASTER file, such as `smallcaps detect` writes.",
            "smallcaps manifest --master events.parquet --profile core --out manifests --dry-run",
        )
    )
    _plan(
        command(
            "plan",
            "Say what a capture costs before it is paid for: requests, hours, bytes.",
            "a manifest.",
            "smallcaps plan --profile core --wave PM --best 100",
        )
    )
    _verify(
        command(
            "verify",
            "Hold every file of the tape against its certificate, the ledger.",
            "a lake with a ledger.",
            "smallcaps verify --profile core",
        )
    )
    _audit(
        command(
            "audit",
            "Fetch some published windows again and say what the vendor changed since.",
            "a lake with tape, and the source it came from.",
            "smallcaps audit --profile core --sample 20",
        )
    )
    _review(
        command(
            "review",
            "Take in the marks of a review sheet and say how many events are good.",
            "the file that the page exported.",
            "smallcaps review core_20251202_031500_marks.json",
        )
    )
    _coverage(
        command(
            "coverage",
            "Say which bars should be there and are not: sessions, minutes, doubled volumes.",
            "a lake.",
            "smallcaps coverage --symbol AVLO --symbol CRVO",
        )
    )
    _import(
        command(
            "import",
            "Take in bars, events or windows that you already have, without downloading them again.",
            "files; each kind says which.",
            "smallcaps import bars minute --timezone America/New_York",
        )
    )
    _status(command("status", "Say what is done and what is left.", "a lake.", "smallcaps status --profile core"))
    return parser


def _data_flags(parser: ArgumentParser) -> None:
    """The flags that say which data a command works on; `commands.workplace` reads them."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings to use instead of config/config.yaml")
    parser.add_argument("--lake", type=Path, metavar="DIR", help="folder of the lake, instead of lake.path")
    market = parser.add_argument_group("the exchange in a box")
    market.add_argument("--symbols", type=int, metavar="N", help="how many simulated symbols")
    market.add_argument("--sessions", type=int, metavar="N", help="how many sessions, the last ones of the history")
    market.add_argument("--seed", type=int, metavar="N", help="another seed is another market")
    market.add_argument("--replay", type=Path, metavar="DIR", help="serve the parquet files of a folder instead")


def _demo(parser: ArgumentParser) -> None:
    _data_flags(parser)


def _ui(parser: ArgumentParser) -> None:
    _data_flags(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=port_number, default=3000, help="port to listen on (default: 3000)")
    parser.add_argument(
        "--read-only",
        action="store_true",
        help="only look: nothing can be launched or changed in it, and no daemon runs; also beside an open web UI",
    )


def _exchange(parser: ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings to use instead of config/config.yaml")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=port_number, default=8900, help="port to listen on (default: 8900)")
    parser.add_argument("--symbols", type=int, metavar="N", help="how many simulated symbols")
    parser.add_argument("--seed", type=int, metavar="N", help="another seed is another market")
    parser.add_argument("--replay", metavar="DIR", help="serve the parquet files of a folder instead")
    parser.add_argument("--requests-per-minute", type=positive_number, metavar="N", help="answer 429 beyond this rate")
    parser.add_argument("--faults", metavar="FILE", help="JSON list of faults to answer with (see docs/faults.md)")
    parser.add_argument("--fault-seed", type=int, default=0, metavar="N", help="which requests the rates hit")
    parser.add_argument("--truth", action="store_true", help="list the planted events as CSV instead of serving")
    parser.add_argument("--first", type=date.fromisoformat, metavar="DATE", help="first session of --truth")
    parser.add_argument("--last", type=date.fromisoformat, metavar="DATE", help="last session of --truth")


def _detect(parser: ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--bars", metavar="PATH", help="a parquet file, a folder, or a quoted pattern")
    place.add_argument("--lake", type=Path, metavar="DIR", help="the bars of this lake (default: those of lake.path)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the parquet file to write")
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="settings to lay over config/config.yaml; several times: one over the other",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; several times too"
    )
    part = parser.add_argument_group("part of the universe")
    part.add_argument("--symbols-from", type=Path, metavar="FILE", help="only the symbols of a .csv or .parquet file")
    part.add_argument("--sample", type=positive_number, metavar="N", help="only N symbols, drawn at random")
    part.add_argument("--sample-seed", type=int, default=0, metavar="N", help="another seed draws others (default: 0)")
    part.add_argument("--first", type=date.fromisoformat, metavar="DATE", help="first New York date of events")
    part.add_argument("--last", type=date.fromisoformat, metavar="DATE", help="last New York date of events")
    other = parser.add_argument_group("what would change")
    other.add_argument(
        "--compare", type=Path, metavar="OTHER", help="events (.parquet), or settings (.yaml) to find them with as well"
    )
    other.add_argument("--gained", type=Path, metavar="FILE", help="write the events that OTHER does not have")
    other.add_argument("--lost", type=Path, metavar="FILE", help="write the events that only OTHER has")
    other.add_argument("--json", action="store_true", help="print JSON instead of tables")


def _manifest(parser: ArgumentParser) -> None:
    parser.add_argument("--master", required=True, metavar="FILE", help="a parquet file with the columns of MASTER")
    parser.add_argument("--profile", required=True, choices=PROFILES, help="which selection")
    parser.add_argument("--out", metavar="DIR", default="manifests", help="folder to freeze it in (default: manifests)")
    parser.add_argument("--dry-run", action="store_true", help="print the funnel, write nothing")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings to use instead of config/config.yaml")


def _plan(parser: ArgumentParser) -> None:
    _data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="whose manifest (default: active_profile)")
    parser.add_argument("--wave", choices=WAVES, help="only this wave")
    parser.add_argument("--best", type=positive_number, metavar="N", help="a trial: only the N best-ranked events")
    parser.add_argument("--one-per-symbol", action="store_true", help="a trial: only the best event of each symbol")
    parser.add_argument(
        "--upgrade", action="store_true", help="also fetch stale windows again: those whose files lack columns"
    )
    parser.add_argument(
        "--check", action="store_true", help="ask the vendor whether key and plan allow it (2 requests)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _verify(parser: ArgumentParser) -> None:
    _data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="only this profile")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _audit(parser: ArgumentParser) -> None:
    _data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="whose windows (default: active_profile)")
    parser.add_argument("--sample", type=positive_number, default=10, metavar="N", help="how many spans (default: 10)")
    parser.add_argument("--sample-seed", type=int, metavar="N", help="the same seed takes the same sample")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _review(parser: ArgumentParser) -> None:
    _data_flags(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="what the page saved under `Export marks`")
    parser.add_argument("--profile", choices=PROFILES, help="refuse marks of another profile")


def _coverage(parser: ArgumentParser) -> None:
    _data_flags(parser)
    parser.add_argument("--symbol", action="append", metavar="X", help="only this symbol; may be given again")
    parser.add_argument("--missing", action="store_true", help="list all that is lacking, not only the first of it")
    parser.add_argument("--fast", action="store_true", help="count sessions, do not look into the bars themselves")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where sessions are missing")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _import(parser: ArgumentParser) -> None:
    add_kinds(parser.add_subparsers(dest="what", required=True, metavar="WHAT"), _data_flags)


def _status(parser: ArgumentParser) -> None:
    _data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="only this profile")


if __name__ == "__main__":
    raise SystemExit(main())
