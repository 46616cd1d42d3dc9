"""`smallcaps exchange`: the vendor's protocol on this machine, over a simulated market or a folder of files."""

import os
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from datetime import date
from pathlib import Path
from typing import Final

from smallcaps_assets.commands.console import show
from smallcaps_assets.commands.flag_types import host_name, port_number, positive_number, seed_number
from smallcaps_assets.commands.services.exposure import add_consent_flag, require_consent
from smallcaps_assets.commands.services.ports import port_problem
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError
from smallcaps_assets.market_data.http.api_key import SHORTEST_KEY
from smallcaps_assets.pipeline.source import build_market
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets.simulated.bucket.faults import FILE_FAULTS
from smallcaps_assets.simulated.bucket.folder import FolderFiles
from smallcaps_assets.simulated.bucket.service import BUCKET, EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import PLAN_PARTS, Exchange
from smallcaps_assets.simulated.protocol.faults import Fault, FaultyExchange, fault_script
from smallcaps_assets.simulated.protocol.server import ExchangeServer, serve
from smallcaps_assets.simulated.protocol.wire import Answering

NEEDS: Final = "a free port."
EXAMPLE: Final = "smallcaps exchange --port 8900 --symbols 50"


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings to use instead of config/config.yaml")
    parser.add_argument(
        "--host", type=host_name, default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=port_number, default=8900, help="port to listen on (default: 8900)")
    add_consent_flag(parser)
    parser.add_argument("--symbols", type=positive_number, metavar="N", help="number of simulated symbols")
    parser.add_argument("--seed", type=seed_number, metavar="N", help="seed of the simulated market")
    parser.add_argument("--replay", metavar="DIR", help="serve the parquet files of a folder instead")
    parser.add_argument("--requests-per-minute", type=positive_number, metavar="N", help="answer 429 beyond this rate")
    parser.add_argument(
        "--require-key", metavar="VARIABLE", help="accept only the key in this environment variable; answer others 401"
    )
    parser.add_argument(
        "--denied",
        type=endpoint_names,
        default=[],
        metavar="NAMES",
        help=f"answer 403, as for a plan without these: {', '.join(PLAN_PARTS)}; separated by commas",
    )
    parser.add_argument(
        "--flat-files",
        type=Path,
        metavar="DIR",
        help="serve the files of a folder as the bucket of flat files, by path below it, instead of the market's bars",
    )
    parser.add_argument("--faults", metavar="FILE", help="JSON list of faults to answer with (see docs/faults.md)")
    parser.add_argument(
        "--fault-seed", type=seed_number, default=0, metavar="N", help="seed that decides which requests fail"
    )
    parser.add_argument(
        "--truth",
        nargs="?",
        const="events",
        choices=("events", "plants", "sides"),
        help="list as CSV instead of serving: the planted events (default), what is planted in the tape and bars of "
        "DRILL, or the aggressor of each of its trades",
    )
    parser.add_argument("--first", type=date.fromisoformat, metavar="DATE", help="first session of --truth")
    parser.add_argument("--last", type=date.fromisoformat, metavar="DATE", help="last session of --truth")


def endpoint_names(text: str) -> list[str]:
    """Endpoints of the simulated exchange, separated by commas.

    Raises:
        ArgumentTypeError: a name is unknown.
    """
    names = text.split(",")
    for name in names:
        if name not in PLAN_PARTS:
            raise ArgumentTypeError(f"{name!r} is none of {', '.join(PLAN_PARTS)}")
    return names


def run(arguments: Namespace) -> int:
    """Serve until interrupted; with `--truth`, list what is planted instead."""
    faults = () if arguments.faults is None else _faults(arguments.faults)
    given = {"seed": arguments.seed, "symbols": arguments.symbols, "replay": arguments.replay}
    changes = {name: value for name, value in given.items() if value is not None}
    settings = load_settings(arguments.config, {"source": {"embedded": changes}})
    params = settings.source.embedded
    market = build_market(params)
    if arguments.truth:
        if not isinstance(market, SimulatedMarket):
            raise InputError("--truth lists the events of the simulated market; a replayed folder has no such list.")
        first = arguments.first or settings.history.first_session
        last = arguments.last or settings.history.last_session or date.today()  # noqa: DTZ011 -- the user's date
        if arguments.truth != "events" and not params.drill:
            raise InputError(f"--truth {arguments.truth}: there is no DRILL in this market. Set source.embedded.drill.")
        tables = {"events": market.truth, "plants": market.plants, "sides": market.sides}
        print(tables[arguments.truth](first, last).write_csv(), end="")
        return 0
    exchange: Answering = Exchange(
        market,
        api_key=None if arguments.require_key is None else _key_in(arguments.require_key),
        requests_per_minute=arguments.requests_per_minute,
        denied=arguments.denied,
        files=None if arguments.flat_files is None else _folder(arguments.flat_files),
        file_faults=[fault for fault in faults if fault.fault in FILE_FAULTS],
        fault_seed=arguments.fault_seed,
    )
    if faults:
        exchange = FaultyExchange(exchange, faults, arguments.fault_seed)
    with _served(exchange, arguments) as server:
        market_words = f"{count_noun(len(market.symbols()), 'symbol')}, seed {params.seed}"
        what = Path(params.replay).resolve() if params.replay else market_words
        key = "any key" if arguments.require_key is None else f"only the key in {arguments.require_key}"
        show(f"serving {what} at {server.base_url}; {key} is accepted; Ctrl-C ends it")
        show(
            f"flat files: bucket {BUCKET} at the same address, access key {EMBEDDED_ACCESS_KEY}, secret key "
            f"{EMBEDDED_SECRET_KEY}"
        )
        if arguments.denied:
            show(f"not in the plan, answered with 403: {', '.join(arguments.denied)}")
        if faults:
            show(f"faults, seed {arguments.fault_seed}: {'; '.join(str(fault) for fault in faults)}")
        while True:
            time.sleep(3600)


def _folder(folder: Path) -> FolderFiles:
    if not folder.is_dir():
        raise InputError(f"--flat-files {folder}: there is no such folder. Give one with us_stocks_sip/ in it.")
    return FolderFiles(folder)


def _key_in(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(f"--require-key {variable}: this environment variable is not set. Set it to any key.")
    if len(key) < SHORTEST_KEY:
        raise InputError(
            f"--require-key {variable}: give a key of {SHORTEST_KEY} characters or more, as the vendor's are."
        )
    return key


def _faults(given: str) -> tuple[Fault, ...]:
    """Fault rules from a JSON list, or from a file that contains one."""
    if given.lstrip().startswith("["):
        return fault_script(given)
    try:
        text = Path(given).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the faults in {given} ({error}). Give a JSON file or a JSON list.") from error
    try:
        return fault_script(text)
    except InputError as error:
        raise InputError(f"{given}: {error}") from error


def _served(exchange: Answering, arguments: Namespace) -> ExchangeServer:
    require_consent("the exchange", "read its data", arguments.host, consented=arguments.open_to_network)
    problem = port_problem(arguments.host, arguments.port)
    if problem:
        raise InputError(problem)
    return serve(exchange, host=arguments.host, port=arguments.port)
