"""The one window of a demo that fails: the simulated exchange spoils the answer that holds its quotes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
import polars as pl

from smallcaps_assets.commands.demonstrating.stages import LEFT_PROFILE
from smallcaps_assets.defs.resources import LakeResource
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.source import build_market, profile_tape
from smallcaps_assets.settings.settings import Settings, api_key
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.faults import Fault, FaultyExchange
from smallcaps_assets.simulated.protocol.server import serve

Partition = tuple[str, str]


@dataclass(frozen=True)
class SpoiledMarketData:
    """Stands in for the resource `market_data`: a client of an exchange that answers with faults."""

    vendor: MarketDataClient

    def client(self, lake: LakeResource, instance: dg.DagsterInstance) -> MarketDataClient:  # noqa: ARG002 -- unused
        """The client."""
        return self.vendor


@contextmanager
def spoiled_exchange(settings: Settings, symbol: str) -> Iterator[SpoiledMarketData]:
    """The simulated exchange, which answers requests for quotes of `symbol` with a web page, as vendors at work do."""
    source = settings.source
    faults = [Fault("html", rate=1.0, path=f"/v3/quotes/{symbol}")]
    exchange = FaultyExchange(Exchange(build_market(source.embedded)), faults)
    key = api_key(source).get_secret_value()
    with (
        serve(exchange) as server,
        MarketDataClient(Transport(server.base_url, key, bucket=TokenBucket(None))) as client,
    ):
        yield SpoiledMarketData(client)


def choose_partition(lake: Lake, settings: Settings) -> Partition | None:
    """Symbol and wave of the window to spoil.

    None where no partition has exactly one window, or a window failed before, or tape of other partitions is published:
    then somebody works with it.
    """
    pair = first_of_one_window(ManifestStore.in_lake(lake, LEFT_PROFILE).load())
    tape = profile_tape(lake, LEFT_PROFILE, settings)
    if pair is None or any(tape.failures(kind) or tape.damaged_failures(kind) for kind in TAPE_KINDS):
        return None
    return pair if _is_untouched(tape, pair) else None


def first_of_one_window(manifest: pl.DataFrame) -> Partition | None:
    """The first partition of exactly one event of a manifest, by wave and symbol; None if there is none."""
    counts = manifest.group_by("symbol", "session").len().filter(pl.col("len") == 1)
    pairs = counts.select("symbol", "session").iter_rows()
    return min(pairs, key=lambda pair: (WAVES.index(pair[1]), pair[0]), default=None)


def _is_untouched(tape: TapeStore, pair: Partition) -> bool:
    """Whether no tape is published; a killed demo may have published the trades of `pair`."""
    published = tape.listing()
    touched = {*published["trades"].select("symbol", "wave").iter_rows()}
    return published["quotes"].is_empty() and touched <= {pair}
