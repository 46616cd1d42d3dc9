"""Research tables of a lake over all symbols: the scores of events, and the table of a profile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.events.detection import FilterParams
from smallcaps_assets.domain.manifests.selection import RankingParams, time_bucket
from smallcaps_assets.domain.research.bars.event_scores import ScoreNormParams, event_scores
from smallcaps_assets.domain.research.bars.market_state import MARKET_STATE
from smallcaps_assets.domain.research.cohorts.follow_up import COHORT_FACTS, cohort_was_winning
from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.sample import SampleParams, may_be_causal, with_causal_sample
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES, EVENT_SCORES
from smallcaps_assets.domain.research.tables.cohort_tables import COHORTS, WAS_WINNING
from smallcaps_assets.domain.research.tables.research_table import (
    RESEARCH_TABLE,
    TABLE_SEGMENTS,
    ResearchParts,
    research_table,
)
from smallcaps_assets.domain.research.tape.tape_halts import EVENT_TAPE_STATE
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.tables import CANDIDATES, EVENTS
from smallcaps_assets.domain.versions import code_version, digest
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.lake.events.candidates import CandidateStore
from smallcaps_assets.lake.events.master import load_imported_events, load_master
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.proven_files import prove_once
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.files.stored_tables import is_stored, naming_damaged, prove
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.research import content_of
from smallcaps_assets.lake.research_inputs import (
    CONTENTS,
    MANIFEST_INPUT,
    contents_of,
    inputs_of_research_table,
    profile_of_cohorts,
)
from smallcaps_assets.lake.symbol_paths import KEY, symbol_of
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.research.bars.symbol_tables import MARKET_STATE_DAY
from smallcaps_assets.pipeline.research.joined_files import JoinedFiles, JoinedTable
from smallcaps_assets.settings.settings import COHORTS_FROM, Profile

EVENT_SCORES_TABLE: Final = "event_scores"
RESEARCH_TABLE_NAME: Final = "research_table"
# Raised with every code change that changes rows.
SCORES_VERSION: Final = "1"
TABLE_VERSION: Final = "2"
# what the scores are computed from, as their footer names it, in words
_INPUTS_OF_SCORES: Final = {
    "code": "settings",
    "master": "MASTER",
    "candidates": "candidates",
    "imported": "imported events",
}
_KEPT: Final = ("symbol", "timestamp", "event_id", "event_type", "session", "date", "score")
_SCORED: Final = pl.Schema({name: EVENTS[name] for name in _KEPT})
_DECIDING: Final = ("direction", "close", "dollar_volume_to_event")
_OF_COHORTS: Final = pl.Schema(
    {
        name: COHORTS[name]
        for name in ("as_of", "label_spec", "selection", "cohort_id", "winning", "flatness_b1", "flatness_b2")
    }
)
_CANDIDATES: Final = pl.Schema({name: CANDIDATES[name] for name in (*_KEPT, *_DECIDING)})
# files of candidates that are read together
_FILES_AT_ONCE: Final = 200


@dataclass(frozen=True)
class JoinedResearch:
    """Makes the research tables over all symbols of a lake; one whose inputs are the same is not made again.

    Attributes:
        lake: the lake.
        params: settings of the research tables.
        filters: those of detection, whose prices bound the causal sample.
        sessions: bounds of the sessions.
    """

    lake: Lake
    params: ResearchParams
    filters: FilterParams
    sessions: SessionParams

    def scores(self) -> JoinedTable:
        """Publish EVENT_SCORES of every MASTER row, of the candidates of the causal sample and of imported events.

        Rows are in MASTER order; MASTER alone is the reference.

        Raises:
            InputError: there is no MASTER yet.
            LakeError: a file is damaged or cannot be read or written.
        """
        candidates = self._candidate_files()
        return self._files.publish(
            self.lake.research_table(EVENT_SCORES_TABLE),
            EVENT_SCORES,
            self._inputs_of_scores(candidates),
            partial(self._scores, candidates),
        )

    def changes_of_scores(self) -> list[str]:
        """What has changed since the published scores were computed, in words; empty where they are up to date.

        Raises:
            InputError: there is no MASTER yet.
            LakeError: a file is damaged or cannot be read.
        """
        known = self._files.store.recorded(self.lake.research_table(EVENT_SCORES_TABLE)) or {}
        now = self._inputs_of_scores(self._candidate_files())
        return [words for name, words in _INPUTS_OF_SCORES.items() if known.get(name) != now.get(name)]

    def table(self, profile: Profile, ranking: RankingParams) -> JoinedTable:
        """Publish RESEARCH_TABLE of the current manifest of a profile.

        Columns are null where the table that they come from has no row of the event yet. `ranking` has the time buckets
        of cohorts. `cohort_was_winning` is by the cohorts that selected the events where cohorts did, else by those of
        the profile.

        Raises:
            InputError: there is no manifest yet.
            LakeError: a file is damaged or cannot be read or written.
        """
        current = ManifestStore.in_lake(self.lake, profile).current()
        symbols = set(current.rows["symbol"])
        cohorts_of = profile_of_cohorts(current.sidecar, profile, COHORTS_FROM)
        files = inputs_of_research_table(self.lake, profile, symbols, cohorts_of)
        parts = self._files.proofs([path for paths in files.values() for path in paths])
        buckets = ranking.model_dump(mode="json", include={"time_buckets"})
        inputs = {
            "code": code_version(TABLE_VERSION, buckets),
            MANIFEST_INPUT: current.sidecar["sha256"],
            "parts": digest(parts),
            CONTENTS: contents_of(self.lake, files),
        }

        def join() -> pl.DataFrame:
            known = current.rows["event_id"]
            of_segments = pl.col("segment").is_in(TABLE_SEGMENTS)
            read = ResearchParts(
                features=self._files.rows_of(files["event_bar_features"], BAR_FEATURES, known),
                scores=self._files.rows_of(files[EVENT_SCORES_TABLE], EVENT_SCORES, known),
                micro=self._files.rows_of(files["micro_features"], MICRO_FEATURES, known, of_segments),
                state=self._files.rows_of(files["event_tape_state"], EVENT_TAPE_STATE, known),
                winning=self._winning(current.rows, files[COHORTS_TABLE], ranking),
            )
            return research_table(current.rows, read)

        return self._files.publish(self.lake.research_table(RESEARCH_TABLE_NAME, profile), RESEARCH_TABLE, inputs, join)

    def _winning(self, manifest: pl.DataFrame, cohorts: Sequence[Path], ranking: RankingParams) -> pl.DataFrame:
        """WAS_WINNING of the events of a manifest; without rows where there are no cohorts."""
        if not cohorts:
            return WAS_WINNING.to_frame()
        events = manifest.with_columns(time_bucket=time_bucket(ranking)).select(*COHORT_FACTS)
        return cohort_was_winning(events, self._files.scan(cohorts, _OF_COHORTS).collect())

    def market_by_month(self) -> pl.DataFrame:
        """Days of symbols with a short sale restriction triggered, and halts: `month`, `ssr_days`, `halts`."""
        files = self._files.store.parts(self.lake.research / MARKET_STATE_DAY)
        counts = (pl.col("ssr_triggered").sum().cast(pl.Int64), pl.col("halts").sum())
        with disk_errors("read", self.lake.research):
            days = self._files.scan(files, MARKET_STATE).group_by(month=pl.col("date").str.head(7)).agg(*counts)
            return days.rename({"ssr_triggered": "ssr_days"}).sort("month").collect()

    @property
    def _files(self) -> JoinedFiles:
        return JoinedFiles(self.lake)

    def _candidate_files(self) -> list[Path]:
        return [*filter(self._belongs, sorted(list_paths(self.lake.candidates, f"{KEY}*.parquet")))]

    def _inputs_of_scores(self, candidates: list[Path]) -> dict[str, str]:
        if not is_stored(self.lake.master):
            raise InputError(f"{self.lake.master}: no MASTER yet. Materialize master_events first.")
        inputs = {
            "code": code_version(SCORES_VERSION, *settings_of_scores(self.params, self.filters), self.sessions),
            "master": prove_once(self.lake.master),
            "candidates": digest(f"{path.name} {content_of(path)}" for path in candidates),
        }
        if is_stored(self.lake.imported_events):
            inputs["imported"] = prove_once(self.lake.imported_events)
        return inputs

    def _belongs(self, candidates: Path) -> bool:
        """Whether the candidates in a file were detected with the settings of their shard."""
        symbol = symbol_of(candidates.stem)
        origin, coverage = CandidateStore(self.lake).origin(symbol), ShardStore(self.lake).coverage(symbol)
        return origin is not None and coverage is not None and origin.has_settings_of(coverage)

    def _scores(self, candidates: list[Path]) -> pl.DataFrame:
        master = load_master(self.lake, _SCORED)
        known = master["event_id"].implode()
        others = [
            self._causal(candidates[start : start + _FILES_AT_ONCE])
            .filter(~pl.col("event_id").is_in(known))
            .select(*_SCORED)
            for start in range(0, len(candidates), _FILES_AT_ONCE)
        ]
        imported = load_imported_events(self.lake, _SCORED).filter(pl.col("score").is_not_null())
        rows = [
            master.with_columns(in_master=True),
            *(part.with_columns(in_master=False) for part in [*others, imported]),
        ]
        events = pl.concat(rows).unique("event_id", keep="first", maintain_order=True)
        events = events.sort("symbol", "timestamp", "event_type", maintain_order=True)
        if events.is_empty():
            return EVENT_SCORES.to_frame()
        first, last = events.select(first=pl.col("date").min(), last=pl.col("date").max()).row(0)
        days = (date.fromisoformat(first), date.fromisoformat(last))
        sessions = sessions_and_earlier(*days, self.params.score_days, self.sessions)
        return event_scores(events, sessions, self.params)

    def _causal(self, files: list[Path]) -> pl.DataFrame:
        """The candidates of the causal sample in some files."""
        with naming_damaged(files, self.lake.candidates, _CANDIDATES):
            for path in files:
                prove(path)
            # files of a release without condition bars lie beside others
            rows = pl.scan_parquet(
                files, hive_partitioning=False, glob=False, schema=_CANDIDATES, extra_columns="ignore"
            )
            able = rows.filter(may_be_causal(self.filters, self.params)).collect()
        return with_causal_sample(able, self.filters, self.params).filter("in_causal_sample")


def settings_of_scores(params: ResearchParams, filters: FilterParams) -> tuple[Any, ...]:
    """The settings that decide the scores."""
    of_scores = set(ScoreNormParams.model_fields) | set(SampleParams.model_fields)
    return params.model_dump(mode="json", include=of_scores), filters.min_close_usd, filters.max_close_usd
