"""The source of market data that the settings name: the vendor, or the simulated exchange in this process."""

from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from smallcaps_assets.domain.addresses import VENDOR_HOSTS
from smallcaps_assets.domain.universe import measure_composition
from smallcaps_assets.errors import InputError, SettingsError
from smallcaps_assets.lake.imports import ImportKind, imported_kinds
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.flat_files.bucket import Keys
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.settings.sections import EmbeddedParams, SourceParams
from smallcaps_assets.settings.settings import Profile, Settings, api_key, flat_file_keys
from smallcaps_assets.simulated.bucket.service import EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY
from smallcaps_assets.simulated.corporate.market import CorporateMarket
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.replay.market import ReplayMarket

# Longest delay between the reserved start of a request and its arrival at the vendor.
LATE_S: Final = 0.5
_SEPARATE_LAKE: Final = "a separate lake: lake.path in the settings, or --lake DIR."


def market_data_client(source: SourceParams, slots: int = 1) -> MarketDataClient:
    """The client for a source, one per process, so that all steps in it share one rate limit.

    Args:
        source: where data comes from.
        slots: number of processes that may send requests at once; each gets an equal share of the rate limit.

    Raises:
        NotAuthenticated: the source is the vendor and no key is set.
    """
    return _client(source.model_dump_json(), slots)


@lru_cache(maxsize=4)
def _client(document: str, slots: int) -> MarketDataClient:
    source = SourceParams.model_validate_json(document)
    budget = budget_share(source.requests_per_minute, slots)
    burst = source.burst if budget is None else max(1, min(source.burst, int(budget)))
    # Requests that another process sent a moment ago are unknown here.
    bucket = TokenBucket(budget, burst, LATE_S, fresh=budget is None)
    return MarketDataClient(
        Transport(
            embedded_exchange(source.embedded) if source.kind == "embedded" else source.base_url,
            api_key(source).get_secret_value(),
            bucket=bucket,
            timeout_s=source.timeout_s,
            deadline_s=source.deadline_s,
            max_retries=source.max_retries,
        )
    )


def flat_files(source: SourceParams) -> FlatFiles:
    """The client for the flat files of a source, one per process.

    Raises:
        NotAuthenticated: the source is the vendor and a key is not set.
        SettingsError: the environment names a proxy or certificates that cannot be used.
    """
    return _flat_files(source.model_dump_json())


@lru_cache(maxsize=4)
def _flat_files(document: str) -> FlatFiles:
    source = SourceParams.model_validate_json(document)
    params = source.flat_files
    given = flat_file_keys(source)
    if given is None:
        endpoint, keys = embedded_exchange(source.embedded), Keys(EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY)
    else:
        endpoint = params.endpoint
        keys = Keys(
            given[0].get_secret_value(),
            given[1].get_secret_value(),
            " or ".join(params.access_key_variables),
            " or ".join(params.secret_key_variables),
        )
    return FlatFiles(
        endpoint,
        bucket=params.bucket,
        prefix=params.prefix,
        keys=keys,
        region=params.region,
        timeout_s=source.timeout_s,
        deadline_s=source.deadline_s,
        max_retries=source.max_retries,
    )


@lru_cache(maxsize=4)
def embedded_exchange(params: EmbeddedParams) -> str:
    """Start the simulated exchange, once per process; returns its address, on loopback."""
    return serve(Exchange(build_market(params))).base_url


def budget_share(requests_per_minute: float | None, slots: int) -> float | None:
    """The rate limit of one of `slots` processes, rounded down so that the sum does not exceed the limit.

    Raises:
        SettingsError: there are more slots than requests per minute.
    """
    if requests_per_minute is None or slots == 1:
        return requests_per_minute
    if slots > requests_per_minute:
        raise SettingsError(
            f"source.requests_per_minute is {requests_per_minute:g}, too few for the {slots} steps that may send "
            "requests at once: lower the limit of the pool `vendor` (dagster.yaml, or Deployment > Concurrency)."
        )
    return float(requests_per_minute // slots)


def profile_tape(lake: Lake, profile: Profile, settings: Settings) -> TapeStore:
    """The tape store of a profile under the settings that decide which spans are sufficient."""
    capture = settings.capture
    return TapeStore(
        lake,
        profile,
        settings.profiles[profile],
        capture.size_budget,
        capture.quotes_without_trades,
        settings.research.quote_sizes_in_shares_from,
    )


def require_same_source(store: UniverseStore, source: SourceParams) -> None:
    """Make sure that a lake holds no data of another source.

    Raises:
        InputError: it does; names both sources.
    """
    found = store.source()
    if found not in (None, source_identity(source)):
        raise InputError(
            f"{store.lake.root}: holds data of another source ({found}, not {source_identity(source)}). "
            f"Give this source {_SEPARATE_LAKE}"
        )
    kinds = imported_kinds(store.lake)
    if kinds and is_simulated(source):
        raise InputError(
            f"{store.lake.root}: holds data of another source (imported {', '.join(kinds)} of a real market, not "
            f"{source_identity(source)}). Give the simulated market {_SEPARATE_LAKE}"
        )


def require_real(store: UniverseStore, source: SourceParams, kind: ImportKind) -> None:
    """Make sure that data of a real market is not imported into a lake of the simulated market.

    Raises:
        InputError: it would be, or the lake holds data of another source than the settings name.
    """
    if store.source() is None:
        return
    require_same_source(store, source)
    if is_simulated(source):
        raise InputError(
            f"{store.lake.root}: holds data of a simulated market, which must not be mixed with {kind} of a real one. "
            f"Give the real market {_SEPARATE_LAKE}"
        )


def require_payable(store: UniverseStore, settings: Settings) -> None:
    """Make sure, before paid requests, that a lake belongs to the configured source and its universe to small caps.

    Raises:
        InputError: it does not; names the shares, their limits, the worst symbols and the remedy.
    """
    require_same_source(store, settings.source)
    limits = settings.universe.limits
    problems = measure_composition(store.read(), limits).problems(limits)
    if problems:
        raise InputError(
            f"{store.lake.universe}: {'; '.join(problems)}. No request was sent. Remove such symbols (from "
            "universe.file or universe.symbols; from the vendor's list by universe.max_market_cap_usd and "
            "universe.ticker_types); request unknown values (by universe.reference_data: true; for the vendor list by "
            "universe.max_market_cap_usd) or, where the plan lacks them, give them in the columns ticker_type and "
            "market_cap_usd of universe.file; or raise the limit; then materialize universe again."
        )


def build_market(params: EmbeddedParams) -> SimulatedMarket | ReplayMarket | CorporateMarket:
    """The market of the simulated exchange: files to replay where the settings name a folder, else a simulation."""
    if params.corporate:
        return CorporateMarket(seed=params.seed)
    if params.replay is not None:
        return ReplayMarket(Path(params.replay))
    return SimulatedMarket(seed=params.seed, symbols=params.symbols, drill=params.drill)


def is_simulated(source: SourceParams) -> bool:
    """Whether a source simulates its market; a replay of files counts as real."""
    return source.kind == "embedded" and source.embedded.replay is None


def source_identity(source: SourceParams) -> str:
    """A name for a source; data of sources with different names must not be mixed in one lake."""
    if source.kind == "vendor":
        host = urlsplit(source.base_url).netloc
        return "vendor" if host in VENDOR_HOSTS else f"vendor's protocol at {host}"
    embedded = source.embedded
    if embedded.replay:
        return f"replay of {embedded.replay}"
    companies = ", companies with a history" if embedded.corporate else ""
    return f"simulated market{companies}, seed {embedded.seed}"
