"""Resources: configuration only. Each builds the plain objects that do the work, which know nothing of Dagster."""

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import dagster as dg

from smallcaps_assets.defs.runs.pool import vendor_slots
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.shards import ShardStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.source import market_data_client, profile_tape, require_payable, require_same_source
from smallcaps_assets.settings.sections import SourceParams
from smallcaps_assets.settings.settings import Profile, Settings


class SettingsResource(dg.ConfigurableResource["SettingsResource"]):
    """The settings in force, as JSON of their checked form, and the clock.

    `at` is an ISO time that stands instead of the clock, to rehearse another night.
    """

    document: str
    at: str | None = None

    def load(self) -> Settings:
        """The settings."""
        return _settings(self.document)

    def now(self) -> datetime:
        """The time, in UTC: the one place where assets read the clock."""
        return datetime.now(UTC) if self.at is None else datetime.fromisoformat(self.at).astimezone(UTC)


class LakeResource(dg.ConfigurableResource["LakeResource"]):
    """The lake and its stores."""

    root: str

    @property
    def lake(self) -> Lake:
        """Where everything lies."""
        return Lake(Path(self.root))

    def universe(self) -> UniverseStore:
        """The symbols that are followed."""
        return UniverseStore(self.lake)

    def bars(self) -> BarsStore:
        """Minute bars."""
        return BarsStore(self.lake)

    def shards(self) -> ShardStore:
        """Events by symbol."""
        return ShardStore(self.lake)

    def detector(self, settings: Settings) -> Detector:
        """What finds events with these settings."""
        reference = self.universe().reference()
        return Detector(self.bars(), self.shards(), settings.detection, settings.sessions, reference)

    def manifests(self, profile: str) -> ManifestStore:
        """The frozen selections of a profile."""
        return ManifestStore(self.lake.manifests(profile), profile)

    def tape(self, profile: Profile, settings: Settings) -> TapeStore:
        """The tape windows of a profile."""
        return profile_tape(self.lake, profile, settings)


class MarketDataResource(dg.ConfigurableResource["MarketDataResource"]):
    """The road to the vendor, or to the exchange in a box, which then runs inside this process."""

    settings: SettingsResource

    def client(self, lake: LakeResource, instance: dg.DagsterInstance) -> MarketDataClient:
        """The client of this process, to fetch for `lake`; all steps of one process share it and its budget.

        Raises:
            InputError: the lake holds data of another source, or its universe is above the limits.
            SettingsError: there is a budget, but the pool has no limit.
        """
        settings = self.settings.load()
        require_payable(lake.universe(), settings)
        return client_of(settings.source, instance)

    def reference_client(self, lake: LakeResource, instance: dg.DagsterInstance) -> MarketDataClient:
        """The same client, to make the universe of `lake`: whatever is wrong with the one that is there.

        Raises:
            InputError: the lake holds data of another source.
            SettingsError: there is a budget, but the pool has no limit.
        """
        source = self.settings.load().source
        require_same_source(lake.universe(), source)
        return client_of(source, instance)


def client_of(source: SourceParams, instance: dg.DagsterInstance) -> MarketDataClient:
    """The client of this process, with its share of the budget: one part for each slot of the vendor's pool.

    Raises:
        SettingsError: there is a budget, but the pool has no limit.
    """
    return market_data_client(source, 1 if source.requests_per_minute is None else vendor_slots(instance))


@lru_cache(maxsize=4)
def _settings(document: str) -> Settings:
    return Settings.model_validate_json(document)
