"""Features, labels, costs and waves of controls, from the tape of their windows and from the bars, as of events."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.controls.features import control_features, control_rows
from smallcaps_assets.domain.research.controls.labels import control_labels
from smallcaps_assets.domain.research.controls.outcomes import control_outcomes, control_waves
from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.outcomes.event_costs import COSTS, OWN_COSTS
from smallcaps_assets.domain.research.sample import RESEARCH_EVENTS
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.research.tables.label_tables import EVENT_LABELS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES, EVENT_WAVES
from smallcaps_assets.domain.research.tape.tape_halts import EVENT_TAPE_STATE
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.versions import digest, rows_digest
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.research.bars.by_symbol import SymbolResearch
from smallcaps_assets.pipeline.research.bars.from_bars import BarRules, tables_of_events
from smallcaps_assets.pipeline.research.costs_of_labels import EVENT_CLOSES, OF_MINUTE
from smallcaps_assets.pipeline.research.costs_of_others import CostsOfOthers
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch

CONTROL_FEATURES_TABLE: Final = "control_features"
CONTROL_LABELS_TABLE: Final = "control_labels"
CONTROL_OUTCOMES_TABLE: Final = "control_outcomes"
CONTROL_WAVES_TABLE: Final = "control_waves"
# What came after controls: files beside the features, made by the same asset.
TABLES_AFTER: Final = (CONTROL_LABELS_TABLE, CONTROL_OUTCOMES_TABLE, CONTROL_WAVES_TABLE)
# Before the names of the tables of tape whose windows are those of controls.
PREFIX: Final = "control_"
# Raised with every code change that changes rows.
CONTROL_FEATURES_VERSION: Final = "2"
# the tables of tape that are made of controls
_ASSETS: Final = ("micro_features", "event_tape_state")


class _FromBars(NamedTuple):
    """What bars say of the minutes of controls that have one, by the `event_id` of their rows.

    Attributes:
        features: BAR_FEATURES.
        labels: EVENT_LABELS.
        outcomes: EVENT_OUTCOMES.
        waves: EVENT_WAVES.
    """

    features: pl.DataFrame
    labels: pl.DataFrame
    outcomes: pl.DataFrame
    waves: pl.DataFrame


class PublishedFeatures(NamedTuple):
    """The published tables of controls, and what could not be computed.

    Attributes:
        rows: CONTROL_FEATURES.
        labels: CONTROL_LABELS.
        sha256: of the file of the features.
        problems: what could not be computed.
    """

    rows: pl.DataFrame
    labels: pl.DataFrame
    sha256: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class ControlFeatures:
    """Computes the features of the controls of one profile.

    Attributes:
        tape: what makes the research tables of the profile's tape; its `prefix` is PREFIX.
        bars: what makes the research tables of bars.
        tick: called after each symbol and wave.
    """

    tape: TapeResearch
    bars: SymbolResearch
    tick: Callable[[], None] = lambda: None

    def publish(self) -> PublishedFeatures:
        """Bring the tables of the controls' tape up to date, and publish those of the controls.

        CONTROL_FEATURES is published last; beside it, in files of their own, CONTROL_LABELS, CONTROL_OUTCOMES and
        CONTROL_WAVES, which are hindsight. A control without tape, or without a bar in its minute, has nulls in those
        columns; without a bar, it has no row in the other files.

        Raises:
            InputError: there is no manifest yet.
            LakeError: a file is damaged or cannot be read or written.
        """
        lake, profile = self.tape.tape.lake, self.tape.tape.profile
        manifest = ManifestStore.in_lake(lake, profile).load()
        rows = control_rows(ControlStore(lake, profile).load(manifest))
        problems = self._renew_tape(rows)
        bars = self._from_bars(rows)
        files = {name: self._files(f"{PREFIX}{name}") for name in _ASSETS}
        micro = self._read(files["micro_features"], MICRO_FEATURES)
        state = self._read(files["event_tape_state"], EVENT_TAPE_STATE)
        made = control_features(rows, bars.features, micro, state)
        every = [path for paths in files.values() for path in paths]
        parts = (f"{path.relative_to(lake.root).as_posix()} {self._store.prove(path)}" for path in every)
        made_from = {
            "code": CONTROL_FEATURES_VERSION,
            "controls": rows_digest(rows),
            "features": rows_digest(bars.features),
            "parts": digest(parts),
        }
        costs = self._costs(bars.features, micro)
        labels = control_labels(rows, bars.labels, costs)
        self._publish_after(CONTROL_LABELS_TABLE, labels, rows, bars.labels, costs)
        self._publish_after(CONTROL_OUTCOMES_TABLE, control_outcomes(rows, bars.outcomes), rows, bars.outcomes)
        self._publish_after(CONTROL_WAVES_TABLE, control_waves(rows, bars.waves), rows, bars.waves)
        path = lake.research_table(CONTROL_FEATURES_TABLE, profile)
        return PublishedFeatures(made, labels, self._store.publish(path, made, made_from), tuple(problems))

    @property
    def _store(self) -> ResearchStore:
        return ResearchStore(self.tape.tape.lake)

    def _renew_tape(self, rows: pl.DataFrame) -> list[str]:
        """Bring the tables of tape of all controls up to date; returns what failed."""
        problems = dict[str, None]()
        for result in self.tape.run(rows, self.tape.present_pairs(rows), _ASSETS):
            for outcome in result.outcomes.values():
                problems |= dict.fromkeys(outcome.problems)
            self.tick()
        return list(problems)

    def _publish_after(self, table: str, made: pl.DataFrame, rows: pl.DataFrame, *parts: pl.DataFrame) -> None:
        """Publish a table of what came after controls, made of `parts` by `rows`."""
        made_from = {
            "code": CONTROL_FEATURES_VERSION,
            "controls": rows_digest(rows),
            "parts": digest(rows_digest(part) for part in parts),
        }
        self._store.publish(self.tape.tape.lake.research_table(table, self.tape.tape.profile), made, made_from)

    def _costs(self, features: pl.DataFrame, micro: pl.DataFrame) -> pl.DataFrame:
        """What `event_costs` says of the minutes of `features`; the costs of controls never stand for those of events.

        Args:
            features: BAR_FEATURES of controls.
            micro: MICRO_FEATURES of controls.
        """
        if features.is_empty():
            return COSTS.to_frame()
        params, sessions = self.bars.params, self.bars.detector.sessions
        costs = CostsOfOthers(self.tape.tape.lake, params, sessions, self.tape.tape.profile)
        return costs.of(features.select(*EVENT_CLOSES), micro.filter(OF_MINUTE).select(*OWN_COSTS))

    def _from_bars(self, rows: pl.DataFrame) -> _FromBars:
        own = rows.with_columns(in_master=pl.lit(value=False)).match_to_schema(
            RESEARCH_EVENTS, missing_columns="insert", extra_columns="ignore"
        )
        days = rows.group_by("symbol").agg(since=new_york_date(pl.col("timestamp")).min())
        detection, params = self.bars.detector.params, self.bars.params
        made = [
            tables_of_events(
                own.filter(pl.col("symbol").is_in(market.bars["symbol"].unique().implode())),
                market,
                BarRules(market.sessions, detection, params),
            )
            for market in self.bars.markets(dict(days.iter_rows()))
        ]
        return _FromBars(
            pl.concat([BAR_FEATURES.to_frame(), *(part.features for part in made)]),
            pl.concat([EVENT_LABELS.to_frame(), *(part.labels for part in made)]),
            pl.concat([EVENT_OUTCOMES.to_frame(), *(part.outcomes for part in made)]),
            pl.concat([EVENT_WAVES.to_frame(), *(part.waves for part in made)]),
        )

    def _files(self, table: str) -> list[Path]:
        lake = self.tape.tape.lake
        return self._store.parts(lake.research / self.tape.tape.profile / table)

    def _read(self, files: list[Path], schema: pl.Schema) -> pl.DataFrame:
        return pl.concat([schema.to_frame(), *(self._store.read(path, schema) for path in files)])
