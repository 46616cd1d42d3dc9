"""Research tables over all symbols of what came after events: hindsight, in files of their own.

Each is made in parts, so that memory does not grow with the lake, and only when what it is made from has changed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.manifests.selection import RankingParams
from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.outcome_params import CostParams
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS, EVENT_LABELS
from smallcaps_assets.domain.research.tables.research_labels import (
    RESEARCH_LABELS,
    LabelParts,
    research_labels,
)
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.domain.universe import UniverseParams
from smallcaps_assets.domain.versions import code_version, digest
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.research_inputs import CONTENTS, MANIFEST_INPUT, contents_of, inputs_of_research_labels
from smallcaps_assets.pipeline.research.costs_of_labels import OF_MINUTE, LabelCosts
from smallcaps_assets.pipeline.research.joined import RESEARCH_TABLE_NAME
from smallcaps_assets.pipeline.research.joined_enriched import EnrichedEvents
from smallcaps_assets.pipeline.research.joined_files import JoinedFile, JoinedFiles, JoinedTable
from smallcaps_assets.settings.settings import Profile

EVENT_COSTS_TABLE: Final = "event_costs"
RESEARCH_LABELS_TABLE: Final = "research_labels"
# The tables of a profile in one file, in the order in which they are made.
JOINED_OF_PROFILES: Final = (EVENT_COSTS_TABLE, RESEARCH_LABELS_TABLE, COHORTS_TABLE, RESEARCH_TABLE_NAME)
# Raised with every code change that changes rows.
COSTS_VERSION: Final = "1"
LABELS_VERSION: Final = "1"
_STATES: Final = pl.Schema({name: MICRO_FEATURES[name] for name in ("event_id", "segment", "capture_state")})
# what `outcomes_of` takes from each table
_OF_LABELS: Final = ("event_id", "label_spec", "state", "entry_at", "t1", "tie", "label", "halt_in_label")
_OF_COSTS: Final = ("event_id", "label_spec", "cost_bps", "net_return")
_OF_OUTCOMES: Final = ("event_id", "symbol", "event_type", "timestamp", "in_master", "mfe_15_bps")
_OF_EVENTS: Final = pl.Schema({name: EVENTS[name] for name in ("event_id", "direction", "date", "session")})
_OF_FEATURES: Final = ("event_id", "flatness_score", "in_causal_sample", "close")


@dataclass(frozen=True)
class JoinedOutcomes:
    """Makes the tables of outcomes over all symbols of a lake.

    Attributes:
        lake: the lake.
        params: settings of the research tables.
        sessions: bounds of the sessions.
        ranking: its time buckets are those of cohorts.
        universe: whose events cohorts are of, as of the events' dates, where listings are known; None: of all events.
    """

    lake: Lake
    params: ResearchParams
    sessions: SessionParams
    ranking: RankingParams
    universe: UniverseParams | None = None

    def enriched(self) -> JoinedFile:
        """Publish ENRICHED of every event of which there are outcomes, in MASTER order; see EnrichedEvents.

        Raises:
            InputError: there is no MASTER yet.
            LakeError: a file is damaged or cannot be read or written.
        """
        return EnrichedEvents(self.lake).publish()

    def costs(self, profile: Profile) -> JoinedFile:
        """Publish EVENT_COSTS of every event with labels, by event_id and in the order of the specs.

        The own cost of an event is that of its minute in the tape of the profile.

        Raises:
            LakeError: a file is damaged or cannot be read or written.
        """
        made = self._label_costs(profile)
        contents = {"labels": made.labels, "features": made.features, "micro": made.micro}
        inputs = {"code": code_version(COSTS_VERSION, settings_of_costs(self.params), self.sessions)} | {
            name: self._files.contents(paths) for name, paths in contents.items()
        }
        path = self.lake.research_table(EVENT_COSTS_TABLE, profile)
        return self._files.publish_parts(path, EVENT_COSTS, inputs, made.parts)

    def labels(self, profile: Profile) -> JoinedTable:
        """Publish RESEARCH_LABELS of the current manifest of a profile.

        Events whose labels are not made yet have no row; figures of costs that are not made yet are null.

        Raises:
            InputError: there is no manifest yet.
            LakeError: a file is damaged or cannot be read or written.
        """
        files, current = self._files, ManifestStore.in_lake(self.lake, profile).current()
        symbols = set(current.rows["symbol"])
        given = inputs_of_research_labels(self.lake, profile, symbols)
        labels, micro, costs = (given[name] for name in ("event_labels", "micro_features", "event_costs"))
        parts = digest(files.proofs([*labels, *micro, *costs]))
        inputs = {
            "code": LABELS_VERSION,
            MANIFEST_INPUT: current.sidecar["sha256"],
            "parts": parts,
            CONTENTS: contents_of(self.lake, given),
        }

        def join() -> pl.DataFrame:
            known = current.rows["event_id"]
            read = LabelParts(
                labels=files.rows_of(labels, EVENT_LABELS, known),
                costs=files.rows_of(costs, EVENT_COSTS, known),
                states=files.rows_of(micro, _STATES, known, OF_MINUTE).drop("segment"),
            )
            return research_labels(current.rows, read)

        path = self.lake.research_table(RESEARCH_LABELS_TABLE, profile)
        return files.publish(path, RESEARCH_LABELS, inputs, join)

    def outcomes_of(self, profile: Profile) -> pl.LazyFrame:
        """A row per event and label spec of `event_costs` of a profile, to be aggregated; in no order.

        Columns: event_id, label_spec, state, entry_at, t1, tie, label, halt_in_label, cost_bps, net_return, symbol,
        event_type, timestamp, in_master, mfe_15_bps, direction, date, session, flatness_score, in_causal_sample, close.
        Those of an event are null where its symbol's outcomes are behind, or it is no longer detected. Files are proved
        first. No file is read that depends on the tape of another profile: its manifest may depend on these rows.

        Raises:
            LakeError: a file is damaged, cannot be read or has other columns.
        """
        files, folder = self._files, self.lake.research
        labels = files.scan(files.of_symbols(folder / "event_labels"), EVENT_LABELS).select(*_OF_LABELS)
        costs = files.scan(files.of_lake(EVENT_COSTS_TABLE, profile), EVENT_COSTS).select(*_OF_COSTS)
        outcomes = files.scan(files.of_symbols(folder / "event_outcomes"), EVENT_OUTCOMES).select(*_OF_OUTCOMES)
        features = files.scan(files.of_symbols(folder / "event_bar_features"), BAR_FEATURES).select(*_OF_FEATURES)
        of_events = outcomes.join(facts_of_events(self.lake), on="event_id").join(features, on="event_id", how="left")
        return costs.join(labels, on=["event_id", "label_spec"]).join(of_events, on="event_id", how="left")

    def figures(self, profile: Profile) -> pl.DataFrame:
        """What labels of the primary spec gave, by `selection`, causal and master (LABEL_FIGURES).

        Raises:
            LakeError: a file is damaged, cannot be read or has other columns.
        """
        costs = self._files.of_lake(EVENT_COSTS_TABLE, profile)
        outcomes = self._files.of_symbols(self.lake.research / "event_outcomes")
        return self._label_costs(profile).figures(costs, outcomes)

    @property
    def _files(self) -> JoinedFiles:
        return JoinedFiles(self.lake)

    def _label_costs(self, profile: Profile) -> LabelCosts:
        files, folder = self._files, self.lake.research
        return LabelCosts(
            files,
            self.params,
            self.sessions,
            labels=files.of_symbols(folder / "event_labels"),
            features=files.of_symbols(folder / "event_bar_features"),
            micro=files.of_symbols(folder / profile / "micro_features"),
        )


def files_of_events(lake: Lake) -> list[Path]:
    """The files that say what each event is: MASTER, the imported events and the candidates."""
    tables = [path for path in (lake.master, lake.imported_events) if is_stored(path)]
    return [*tables, *JoinedFiles(lake).of_symbols(lake.candidates)]


def facts_of_events(lake: Lake) -> pl.LazyFrame:
    """event_id, direction, date and session of every event; of one that several files have, as in the first of them.

    Raises:
        LakeError: a file is damaged or cannot be read.
    """
    files = files_of_events(lake)
    if not files:
        return _OF_EVENTS.to_frame().lazy()
    for path in files:
        JoinedFiles(lake).prove(path)
    # these files have more columns, and not all the same ones
    rows = pl.scan_parquet(files, hive_partitioning=False, glob=False, schema=_OF_EVENTS, extra_columns="ignore")
    return rows.unique("event_id", keep="first", maintain_order=True)


def settings_of_costs(params: ResearchParams) -> dict[str, Any]:
    """The settings that decide the costs."""
    return params.model_dump(mode="json", include=set(CostParams.model_fields))
