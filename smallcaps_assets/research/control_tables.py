"""The published tables of the controls of a profile, and how events differ from their controls, as lazy tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.controls.features import CONTROL_FEATURES
from smallcaps_assets.domain.research.controls.labels import CONTROL_LABELS, matched_labels
from smallcaps_assets.domain.research.controls.matched_returns import matched_returns
from smallcaps_assets.domain.research.controls.outcomes import CONTROL_OUTCOMES, matched_outcomes
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS, EVENT_LABELS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore, require_part

_OF = "control_of"
_AFTER_LABELS: Final = {name: dtype for name, dtype in CONTROL_LABELS.items() if name not in CONTROL_FEATURES}
_AFTER_OUTCOMES: Final = {
    name: dtype
    for name, dtype in CONTROL_OUTCOMES.items()
    if name not in CONTROL_FEATURES and name not in CONTROL_LABELS
}
# The columns of `ControlTables.with_outcomes`.
CONTROLS_WITH_OUTCOMES: Final = pl.Schema({**CONTROL_FEATURES, **_AFTER_LABELS, **_AFTER_OUTCOMES})


@dataclass(frozen=True)
class ControlTables:
    """The tables of one profile; every method raises LakeError where a file is not there yet, or is damaged."""

    lake: Lake
    profile: str

    def features(self) -> pl.LazyFrame:
        """CONTROL_FEATURES."""
        return self._scan([self._path("control_features")], CONTROL_FEATURES)

    def labels(self) -> pl.LazyFrame:
        """CONTROL_LABELS; hindsight."""
        return self._after("control_labels", CONTROL_LABELS)

    def outcomes(self) -> pl.LazyFrame:
        """CONTROL_OUTCOMES; hindsight."""
        return self._after("control_outcomes", CONTROL_OUTCOMES)

    def with_outcomes(self, label_spec: str) -> pl.LazyFrame:
        """Features with labels of a spec, costs, excursions and outcome beside them (CONTROLS_WITH_OUTCOMES)."""
        labels = self.labels().filter(pl.col("label_spec") == label_spec).select(_OF, *_AFTER_LABELS)
        outcomes = self.outcomes().select(_OF, *_AFTER_OUTCOMES)
        rows = self.features().join(labels, on=_OF, how="left", maintain_order="left")
        return rows.join(outcomes, on=_OF, how="left", maintain_order="left").select(*CONTROLS_WITH_OUTCOMES)

    def matched_labels(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """MATCHED_LABELS of `events`, those of the research table of the profile."""
        costs = self._scan([self._path("event_costs")], EVENT_COSTS)
        return matched_labels(events, self._of_events("event_labels", EVENT_LABELS), costs, self.labels())

    def matched_outcomes(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """MATCHED_OUTCOMES of `events`, as of `matched_labels`."""
        return matched_outcomes(events, self._of_events("event_outcomes", EVENT_OUTCOMES), self.outcomes())

    def matched_returns(self, events: pl.LazyFrame) -> pl.LazyFrame:
        """MATCHED_RETURNS of `events`, as of `matched_labels`."""
        return matched_returns(self.matched_labels(events).collect()).lazy()

    def _path(self, table: str) -> Path:
        return self.lake.research_table(table, self.profile)

    def _after(self, table: str, schema: pl.Schema) -> pl.LazyFrame:
        return self._scan([self._path(table)], schema)

    def _of_events(self, table: str, schema: pl.Schema) -> pl.LazyFrame:
        """A table of events, of the symbols that have controls."""
        symbols = self.features().select(pl.col("symbol").unique().sort()).collect()["symbol"]
        files = [self.lake.research_symbol(table, symbol) for symbol in symbols]
        return self._scan(files, schema)

    def _scan(self, files: Sequence[Path], schema: pl.Schema) -> pl.LazyFrame:
        """The rows of files, which must be there."""
        store = ResearchStore(self.lake)
        for path in files:
            require_part(store, path)
            store.prove(path)
        return store.scan([*files], schema)
