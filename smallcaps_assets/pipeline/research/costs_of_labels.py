"""Costs and net returns of all labels of a lake, by the tape of a profile (research specification, section 4.4).

Memory is bounded by the events with tape, which stand for others, and by the rows of a part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.cohorts.follow_up import PRIMARY_SPEC
from smallcaps_assets.domain.research.cohorts.spec_rows import SELECTIONS
from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.outcome_params import CostParams
from smallcaps_assets.domain.research.outcomes.event_costs import OWN_COSTS, event_costs, net_outcomes
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS, EVENT_LABELS
from smallcaps_assets.domain.research.tables.research_labels import by_spec, label_figures
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES
from smallcaps_assets.domain.sessions import SessionParams, with_session
from smallcaps_assets.lake.files.stored_tables import naming_damaged
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.research.event_ranges import EventRange, event_ranges, in_slices
from smallcaps_assets.pipeline.research.joined_files import JoinedFiles

EVENT_CLOSES: Final = pl.Schema({name: BAR_FEATURES[name] for name in ("event_id", "timestamp", "close")})
OWN: Final = pl.Schema({**OWN_COSTS, "segment": MICRO_FEATURES["segment"]})
OF_MINUTE: Final = pl.col("segment") == "bar"
_GROSS: Final = pl.Schema({name: EVENT_LABELS[name] for name in ("event_id", "label_spec", "gross_return")})
_KNOWN: Final = pl.Schema({name: BAR_FEATURES[name] for name in ("event_id", "in_causal_sample")})
_MASTER: Final = pl.Schema({name: EVENT_OUTCOMES[name] for name in ("event_id", "in_master")})
_OF_COSTS: Final = ("event_id", "net_return", "win")


@dataclass(frozen=True)
class LabelCosts:
    """Computes the costs of the labels in some files.

    Attributes:
        files: the research tables of the lake.
        params: settings.
        sessions: bounds of the sessions.
        labels: files of EVENT_LABELS, one per symbol.
        features: files of BAR_FEATURES, of the same symbols.
        micro: files of MICRO_FEATURES of the profile.
        rows_at_once: rows of labels whose costs are computed at a time, and of a part of the file.
    """

    files: JoinedFiles
    params: CostParams
    sessions: SessionParams
    labels: Sequence[Path]
    features: Sequence[Path]
    micro: Sequence[Path]
    rows_at_once: int = 200_000

    def parts(self) -> Iterator[pl.DataFrame]:
        """EVENT_COSTS of all labels, by event_id and in the order of the specs, some at a time.

        Raises:
            LakeError: a file is damaged, cannot be read or has other columns.
        """
        for path in self.labels:
            self.files.prove(path)
        with naming_damaged(self.labels, self.files.lake.research, EVENT_LABELS):
            ranges = event_ranges(self.labels, self.rows_at_once)
        return in_slices(map(self._of_range, ranges), self.rows_at_once)

    def figures(self, costs: Sequence[Path], outcomes: Sequence[Path]) -> pl.DataFrame:
        """LABEL_FIGURES of the labels of the primary spec, by `selection`, causal and master.

        Args:
            costs: the file of EVENT_COSTS, if there is one.
            outcomes: files of EVENT_OUTCOMES, of the same symbols.

        Raises:
            LakeError: as `parts`.
        """
        of_symbols = _by_symbol(outcomes)
        primary = pl.col("label_spec") == PRIMARY_SPEC
        with naming_damaged(self.labels, self.files.lake.research, EVENT_LABELS):
            ranges = event_ranges(self.labels, self.rows_at_once)
        kept = []
        for some in ranges:
            of_range = primary & some.holds()
            rows = self._read(some.files, EVENT_LABELS, of_range, ("event_id", "state", "tie"))
            symbols = [symbol_of(path.stem) for path in some.files]
            for table, schema, files in (
                (_OF_COSTS, EVENT_COSTS, costs),
                (tuple(_KNOWN), _KNOWN, _of(self._features, symbols)),
                (tuple(_MASTER), _MASTER, _of(of_symbols, symbols)),
            ):
                condition = of_range if schema is EVENT_COSTS else some.holds()
                rows = rows.join(self._read(files, schema, condition, table), on="event_id", how="left")
            kept.append(rows.drop("event_id").cast({"state": pl.Categorical}))
        every = pl.concat(kept or [_NOTHING.to_frame()]).lazy()
        return pl.concat(
            label_figures(every.filter(column)).with_columns(selection=pl.lit(selection))
            for selection, column in SELECTIONS.items()
        ).collect()

    def _of_range(self, some: EventRange) -> pl.DataFrame:
        labels = self._read(some.files, _GROSS, some.holds()).with_columns(by_spec()).sort("event_id", "label_spec")
        closes = self._closes(_of(self._features, [symbol_of(path.stem) for path in some.files]), some.holds())
        # these events, and those with tape that may stand for them
        others = self._standing.join(closes, on="event_id", how="anti")
        costed = costed_events(pl.concat([closes, others]), self._calendar)
        costs = event_costs(costed, self._own, self._calendar, self.params)
        return net_outcomes(labels.cast({"label_spec": pl.String}), costs).match_to_schema(EVENT_COSTS)

    @cached_property
    def _features(self) -> dict[str, Path]:
        return _by_symbol(self.features)

    @cached_property
    def _own(self) -> pl.DataFrame:
        """OWN_COSTS of the events with tape."""
        return self._read(self.micro, OWN, OF_MINUTE, tuple(OWN_COSTS))

    @cached_property
    def _standing(self) -> pl.DataFrame:
        """EVENT_CLOSES of the events with tape."""
        if self._own.is_empty():
            return EVENT_CLOSES.to_frame()
        return self._closes(self.features, pl.col("event_id").is_in(self._own["event_id"].implode()))

    @cached_property
    def _calendar(self) -> pl.DataFrame:
        """Every session from the first event to the last."""
        bounds = self.files.scan(self.features, EVENT_CLOSES).select(
            first=pl.col("timestamp").min().dt.date(), last=pl.col("timestamp").max().dt.date()
        )
        with naming_damaged(self.features, self.files.lake.research, EVENT_CLOSES):
            first, last = bounds.collect(engine="streaming").row(0)
        some_day = date(2000, 1, 3)
        return sessions_and_earlier(first or some_day, last or some_day, 0, self.sessions)

    def _closes(self, files: Sequence[Path], condition: pl.Expr) -> pl.DataFrame:
        return self._read(files, EVENT_CLOSES, condition)

    def _read(
        self, files: Sequence[Path], schema: pl.Schema, condition: pl.Expr, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Rows of files, each proved first, in their order."""
        rows = self.files.scan(files, schema).filter(condition)
        with naming_damaged(files, self.files.lake.research, schema):
            return (rows if columns is None else rows.select(columns)).collect(engine="streaming")


_NOTHING: Final = pl.Schema(
    {
        "state": pl.Categorical(),
        "tie": EVENT_LABELS["tie"],
        "net_return": EVENT_COSTS["net_return"],
        "win": EVENT_COSTS["win"],
        "in_causal_sample": _KNOWN["in_causal_sample"],
        "in_master": _MASTER["in_master"],
    }
)


def costed_events(closes: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """COSTED_EVENTS of `event_id`, `timestamp` and `close`, in the sessions (SESSION_TABLE)."""
    date_of = pl.col("day").dt.to_string("%Y-%m-%d").alias("date")
    return with_session(closes, sessions).select("event_id", pl.col("session").cast(pl.String), date_of, "close")


def _by_symbol(files: Sequence[Path]) -> dict[str, Path]:
    return {symbol_of(path.stem): path for path in files}


def _of(files: dict[str, Path], symbols: Sequence[str]) -> list[Path]:
    return [files[symbol] for symbol in symbols if symbol in files]
