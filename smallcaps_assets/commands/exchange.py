"""`smallcaps exchange`: the vendor's protocol on this machine, over a simulated market or a folder of files."""

import time
from argparse import Namespace
from datetime import date
from pathlib import Path

from smallcaps_assets.errors import InputError
from smallcaps_assets.pipeline.source import market_of
from smallcaps_assets.settings import load_settings
from smallcaps_assets.simulated.exchange import Exchange
from smallcaps_assets.simulated.market import SimulatedMarket
from smallcaps_assets.simulated.server import ExchangeServer, serve


def run(arguments: Namespace) -> int:
    """Serve until interrupted; with `--truth`, list the planted events instead."""
    given = {"seed": arguments.seed, "symbols": arguments.symbols, "replay": arguments.replay}
    changes = {name: value for name, value in given.items() if value is not None}
    settings = load_settings(arguments.config, {"source": {"embedded": changes}})
    params = settings.source.embedded
    market = market_of(params)
    if arguments.truth:
        if not isinstance(market, SimulatedMarket):
            raise InputError("--truth lists what the simulated market planted; a replayed folder has no such list.")
        first = arguments.first or settings.history.first_session
        last = arguments.last or settings.history.last_session or date.today()  # noqa: DTZ011 -- the user's own day
        print(market.truth(first, last).write_csv(), end="")
        return 0
    exchange = Exchange(market, api_key=None, requests_per_minute=arguments.requests_per_minute)
    with _served(exchange, arguments) as server:
        what = Path(params.replay).resolve() if params.replay else f"{params.symbols} symbols, seed {params.seed}"
        print(f"serving {what} at {server.base_url}; any key is accepted; Ctrl-C ends it", flush=True)
        while True:
            time.sleep(3600)


def _served(exchange: Exchange, arguments: Namespace) -> ExchangeServer:
    try:
        return serve(exchange, host=arguments.host, port=arguments.port)
    except OSError as error:
        raise InputError(
            f"cannot listen on {arguments.host}:{arguments.port} ({error.strerror}). Choose another --port or --host."
        ) from error
