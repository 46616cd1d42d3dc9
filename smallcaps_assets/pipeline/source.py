"""The road to market data that settings name: the vendor, or the exchange in a box inside this process."""

from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from smallcaps_assets.domain.universe import measure_composition
from smallcaps_assets.errors import InputError, SettingsError
from smallcaps_assets.lake.imports import ImportKind, imported_kinds
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.pacing import TokenBucket
from smallcaps_assets.market_data.transport import Transport
from smallcaps_assets.settings.sections import EmbeddedParams, SourceParams
from smallcaps_assets.settings.settings import Profile, Settings, api_key
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.replay.market import ReplayMarket

# how late a request may leave this machine, and arrive
LATE_S: Final = 0.5
_OWN_LAKE: Final = "a lake of its own: lake.path in the settings, or --lake DIR."
# one vendor under its former and its present name
VENDOR_HOSTS: Final = ("api.massive.com", "api.polygon.io")


def market_data_client(source: SourceParams, slots: int = 1) -> MarketDataClient:
    """The one client for a source in this process, so that all its steps share one budget.

    Args:
        source: where data comes from.
        slots: how many processes may talk to the source at once; each owns its share of the budget.

    Raises:
        NotAuthenticated: the source is the vendor and no key is set.
    """
    return _client(source.model_dump_json(), slots)


@lru_cache(maxsize=4)
def _client(document: str, slots: int) -> MarketDataClient:
    source = SourceParams.model_validate_json(document)
    budget = budget_share(source.requests_per_minute, slots)
    burst = source.burst if budget is None else max(1, min(source.burst, int(budget)))
    # what another process sent a moment ago is not known here
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


@lru_cache(maxsize=4)
def embedded_exchange(params: EmbeddedParams) -> str:
    """Start the exchange in a box, once in this process; returns its address, on loopback."""
    return serve(Exchange(build_market(params))).base_url


def budget_share(requests_per_minute: float | None, slots: int) -> float | None:
    """The budget of one of `slots` processes: whole requests, so that no minute sees more than all may send.

    Raises:
        SettingsError: there are more slots than requests a minute.
    """
    if requests_per_minute is None or slots == 1:
        return requests_per_minute
    if slots > requests_per_minute:
        raise SettingsError(
            f"source.requests_per_minute is {requests_per_minute:g}, too few for the {slots} steps that may talk "
            "to the vendor at once: lower the limit of the pool `vendor` (dagster.yaml, or Deployment > Concurrency)."
        )
    return float(requests_per_minute // slots)


def profile_tape(lake: Lake, profile: Profile, settings: Settings) -> TapeStore:
    """The tape of a profile, with all that says what of it is good enough."""
    capture = settings.capture
    return TapeStore(lake, profile, settings.profiles[profile], capture.size_budget, capture.quotes_without_trades)


def require_same_source(store: UniverseStore, source: SourceParams) -> None:
    """Make sure that a lake holds nothing of another source.

    Raises:
        InputError: it does; names both.
    """
    held = store.source()
    if held not in (None, source_identity(source)):
        raise InputError(
            f"{store.lake.root}: holds data of another source ({held}, not {source_identity(source)}). "
            f"Give this source {_OWN_LAKE}"
        )
    kinds = imported_kinds(store.lake)
    if kinds and is_simulated(source):
        raise InputError(
            f"{store.lake.root}: holds data of another source (imported {', '.join(kinds)} of a real market, not "
            f"{source_identity(source)}). Give the simulated market {_OWN_LAKE}"
        )


def require_real(store: UniverseStore, source: SourceParams, kind: ImportKind) -> None:
    """Make sure that what people have of a real market does not enter a lake of the simulated one.

    Raises:
        InputError: it would, or the lake is of another source than settings say.
    """
    if store.source() is None:
        return
    require_same_source(store, source)
    if is_simulated(source):
        raise InputError(
            f"{store.lake.root}: holds a simulated market, and {kind} of a real one must not mix with it. "
            f"Give the real one {_OWN_LAKE}"
        )


def require_payable(store: UniverseStore, settings: Settings) -> None:
    """Make sure, before anything is paid for, that a lake is of the source in force and its universe one of small caps.

    Raises:
        InputError: it is not; names the shares, their limits, the worst symbols and the remedy.
    """
    require_same_source(store, settings.source)
    limits = settings.universe.limits
    problems = measure_composition(store.read(), limits).problems(limits)
    if problems:
        raise InputError(
            f"{store.lake.universe}: {'; '.join(problems)}. Nothing is asked for. Leave such symbols out (of "
            "universe.file or universe.symbols; of the vendor's list by universe.max_market_cap_usd and "
            "universe.ticker_types); have what is unknown asked for (by universe.reference_data: true, of the vendor's "
            "list by universe.max_market_cap_usd) or, where the plan lacks it, say it in columns ticker_type and "
            "market_cap_usd of universe.file; or raise the limit; then materialize universe again."
        )


def build_market(params: EmbeddedParams) -> SimulatedMarket | ReplayMarket:
    """The market behind the exchange in a box: a folder of files where settings name one, else the simulation."""
    if params.replay is not None:
        return ReplayMarket(Path(params.replay))
    return SimulatedMarket(seed=params.seed, symbols=params.symbols)


def is_simulated(source: SourceParams) -> bool:
    """Whether no data of it are of a real market."""
    return source.kind == "embedded" and source.embedded.replay is None


def source_identity(source: SourceParams) -> str:
    """What tells data of one source from data of another: they must not meet in one lake."""
    if source.kind == "vendor":
        host = urlsplit(source.base_url).netloc
        return "vendor" if host in VENDOR_HOSTS else f"vendor's protocol at {host}"
    embedded = source.embedded
    return f"replay of {embedded.replay}" if embedded.replay else f"simulated market, seed {embedded.seed}"
