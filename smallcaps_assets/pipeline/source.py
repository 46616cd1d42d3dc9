"""The road to market data that settings name: the vendor, or the exchange in a box inside this process."""

from functools import lru_cache
from pathlib import Path

from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.pacing import TokenBucket
from smallcaps_assets.settings import EmbeddedParams, SourceParams, api_key
from smallcaps_assets.simulated.exchange import Exchange
from smallcaps_assets.simulated.market import SimulatedMarket
from smallcaps_assets.simulated.replay import ReplayMarket
from smallcaps_assets.simulated.server import serve


def market_data_client(source: SourceParams) -> MarketDataClient:
    """The one client for a source in this process, so that all its steps share one budget.

    Raises:
        NotAuthenticated: the source is the vendor and no key is set.
    """
    return _client(source.model_dump_json())


@lru_cache(maxsize=4)
def _client(document: str) -> MarketDataClient:
    source = SourceParams.model_validate_json(document)
    return MarketDataClient(
        embedded_exchange(source.embedded) if source.kind == "embedded" else source.base_url,
        api_key(source).get_secret_value(),
        bucket=TokenBucket(source.requests_per_minute),
        timeout_s=source.timeout_s,
        max_retries=source.max_retries,
    )


@lru_cache(maxsize=4)
def embedded_exchange(params: EmbeddedParams) -> str:
    """Start the exchange in a box, once in this process; returns its address, on loopback."""
    return serve(Exchange(market_of(params))).base_url


def market_of(params: EmbeddedParams) -> SimulatedMarket | ReplayMarket:
    """The market behind the exchange in a box: a folder of files where settings name one, else the simulation."""
    if params.replay is not None:
        return ReplayMarket(Path(params.replay))
    return SimulatedMarket(seed=params.seed, symbols=params.symbols)


def identity(source: SourceParams) -> str:
    """What tells data of one source from data of another: they must not meet in one lake."""
    if source.kind == "vendor":
        return "vendor"
    embedded = source.embedded
    return f"replay of {embedded.replay}" if embedded.replay else f"simulated market, seed {embedded.seed}"
