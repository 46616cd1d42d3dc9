"""Resources: configuration only. They build plain objects, independent of Dagster, that do the work."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

import dagster as dg
import polars as pl
from pydantic import PrivateAttr

from smallcaps_assets.defs.failures import foreseen_errors
from smallcaps_assets.defs.runs.pool import vendor_slots
from smallcaps_assets.defs.runs.settings_tag import require_settings
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import require_writable
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listing_borders import load_borders
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.flat_files.client import FlatFiles
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.operations.nightly import extend_history
from smallcaps_assets.pipeline.research.bars.by_symbol import SymbolResearch
from smallcaps_assets.pipeline.research.controls.features import PREFIX, ControlFeatures
from smallcaps_assets.pipeline.research.controls.selecting import ControlChoice
from smallcaps_assets.pipeline.research.joined import JoinedResearch
from smallcaps_assets.pipeline.research.joined_outcomes import JoinedOutcomes
from smallcaps_assets.pipeline.research.tape.around_event import AroundEvents, around_events
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets.pipeline.source import (
    flat_files,
    market_data_client,
    profile_tape,
    require_payable,
    require_same_source,
)
from smallcaps_assets.settings.sections import SourceParams
from smallcaps_assets.settings.settings import Profile, Settings

# of runs in a night of a simulated market: the last session of their history
LAST_SESSION_TAG: Final = "smallcaps/last_session"


class SettingsResource(dg.ConfigurableResource["SettingsResource"]):
    """The settings in force, as JSON of the validated model, and the clock.

    `at` is an ISO time that replaces the clock, to rehearse another night. The tag LAST_SESSION_TAG of a run extends
    the history.
    """

    document: str
    at: str | None = None
    _last_session: date | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Take the last session from the tag of the run, if it has one.

        Raises:
            ForeseenFailure: the run was launched with other settings.
        """
        if context.run:
            with foreseen_errors():
                require_settings(context.run.tags, _settings(self.document))
        tagged = context.run.tags.get(LAST_SESSION_TAG) if context.run else None
        self._last_session = date.fromisoformat(tagged) if tagged else None

    def load(self) -> Settings:
        """The settings."""
        settings = _settings(self.document)
        return settings if self._last_session is None else extend_history(settings, self._last_session)

    def now(self) -> datetime:
        """The present time in UTC. Assets read the clock nowhere else."""
        return datetime.now(UTC) if self.at is None else datetime.fromisoformat(self.at).astimezone(UTC)


class LakeResource(dg.ConfigurableResource["LakeResource"]):
    """The lake and its stores."""

    root: str

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Create the lake at the beginning of a run if it does not exist; sensors and schedules do not create it.

        Raises:
            LakeError: it cannot be created.
        """
        if context.run is not None and not self.lake.root.is_dir():
            require_writable(self.lake.root)

    @property
    def lake(self) -> Lake:
        """The paths of the lake."""
        return Lake(Path(self.root))

    def universe(self) -> UniverseStore:
        """The store of the universe."""
        return UniverseStore(self.lake)

    def bars(self) -> BarsStore:
        """The store of minute bars."""
        return BarsStore(self.lake)

    def flat_bars(self) -> FlatBarsStore:
        """The store of flat files."""
        return FlatBarsStore(self.lake)

    def shards(self) -> ShardStore:
        """The store of event shards."""
        return ShardStore(self.lake)

    def detector(self, settings: Settings) -> Detector:
        """The detector with these settings."""
        universe = self.universe()
        reference, test_symbols = universe.reference(), universe.test_symbols(settings.universe)
        return Detector(
            self.bars(),
            self.shards(),
            settings.detection,
            settings.sessions,
            reference,
            test_symbols,
            keeps_candidates=settings.research.enabled,
            borders=load_borders(self.lake),
        )

    def symbol_research(self, settings: Settings) -> SymbolResearch:
        """What makes the research tables of symbols."""
        splits = ReferenceTables(self.lake).splits()
        return SymbolResearch(self.detector(settings), settings.research.params, splits)

    def tape_research(
        self,
        profile: Profile,
        settings: Settings,
        log: Callable[[str], None] = lambda line: None,  # noqa: ARG005
        tick: Callable[[], None] = lambda: None,
    ) -> TapeResearch:
        """What makes the research tables of the tape of a profile."""
        return TapeResearch(self.tape(profile, settings), settings.research.params, settings.sessions, log, tick)

    def joined_research(self, settings: Settings) -> JoinedResearch:
        """What makes the research tables over all symbols."""
        return JoinedResearch(self.lake, settings.research.params, settings.filters, settings.sessions)

    def joined_outcomes(self, settings: Settings) -> JoinedOutcomes:
        """What makes the tables of outcomes over all symbols."""
        research, universe = settings.research.params, settings.universe
        return JoinedOutcomes(self.lake, research, settings.sessions, settings.ranking, universe)

    def around_events(
        self, profile: Profile, settings: Settings, table: pl.DataFrame, log: Callable[[str], None]
    ) -> AroundEvents:
        """The tape around a sample of the events of a profile; `table` is its research table (RESEARCH_TABLE)."""
        captured = table.filter(capture_state_bar="complete/complete")["event_id"]
        research = self.tape_research(profile, settings, log)
        return around_events(research, self.manifests(profile).load(), captured)

    def manifests(self, profile: str) -> ManifestStore:
        """The store of the frozen manifests of a profile."""
        return ManifestStore.in_lake(self.lake, profile)

    def control_choice(self, profile: Profile, settings: Settings) -> ControlChoice:
        """What chooses the controls of a profile."""
        limits, params = settings.profiles[profile], settings.research.params
        return ControlChoice(self.lake, profile, limits, params, settings.sessions, load_borders(self.lake))

    def control_features(self, profile: Profile, settings: Settings, log: Callable[[str], None]) -> ControlFeatures:
        """What computes the features of the controls of a profile."""
        tape = replace(self.tape_research(profile, settings, log), prefix=PREFIX)
        return ControlFeatures(tape, self.symbol_research(settings))

    def controls(self, profile: str) -> ControlStore:
        """The controls of a profile."""
        return ControlStore(self.lake, profile)

    def tape(self, profile: Profile, settings: Settings) -> TapeStore:
        """The store of the tape of a profile."""
        return profile_tape(self.lake, profile, settings)


class MarketDataResource(dg.ConfigurableResource["MarketDataResource"]):
    """The client of the vendor, or of the simulated exchange, which then runs inside this process."""

    settings: SettingsResource

    def client(self, lake: LakeResource, instance: dg.DagsterInstance) -> MarketDataClient:
        """The client of this process, to fetch for `lake`; all steps of a process share it and its rate limit.

        Raises:
            InputError: the lake holds data of another source, or its universe exceeds the limits.
            SettingsError: there is a rate limit, but the pool has no limit.
        """
        settings = self.settings.load()
        require_payable(lake.universe(), settings)
        return client_of(settings.source, instance)

    def reference_client(self, lake: LakeResource, instance: dg.DagsterInstance) -> MarketDataClient:
        """The same client, to build the universe of `lake`, even if the present one is invalid.

        Raises:
            InputError: the lake holds data of another source.
            SettingsError: there is a rate limit, but the pool has no limit.
        """
        source = self.settings.load().source
        require_same_source(lake.universe(), source)
        return client_of(source, instance)

    def flat_files(self, lake: LakeResource) -> FlatFiles:
        """The client of this process for the flat files of the source, to fetch for `lake`.

        Raises:
            InputError: the lake holds data of another source, or its universe exceeds the limits.
            NotAuthenticated: a key of the flat files is not set.
        """
        settings = self.settings.load()
        require_payable(lake.universe(), settings)
        return flat_files(settings.source)


def client_of(source: SourceParams, instance: dg.DagsterInstance) -> MarketDataClient:
    """The client of this process, with its share of the rate limit: one part per slot of the vendor pool.

    Raises:
        SettingsError: there is a rate limit, but the pool has no limit.
    """
    return market_data_client(source, 1 if source.requests_per_minute is None else vendor_slots(instance))


@lru_cache(maxsize=4)
def _settings(document: str) -> Settings:
    return Settings.model_validate_json(document)
