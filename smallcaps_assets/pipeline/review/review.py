"""Publishing a review sheet of a manifest, and the precision estimated from its labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.review.precision import PrecisionVerdict, estimate_precision, judge_precision
from smallcaps_assets.domain.review.sample import ChartRules, Charts, chart_frames, draw_sample, sample_id
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.review import SAMPLED_EVENTS, ReviewStore, Sheet
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.review.page import Heading, render_sheet
from smallcaps_assets.settings.settings import Profile, Settings


class PublishedSheet(NamedTuple):
    """A published sheet: its path, its size, and the chart data that it shows."""

    sheet: Sheet
    path: Path
    bytes: int
    charts: Charts


class ReviewResult(NamedTuple):
    """The precision of a manifest (PRECISION), and the verdict on it."""

    sheet: Sheet
    table: pl.DataFrame
    verdict: PrecisionVerdict


@dataclass(frozen=True)
class Review:
    """The review of one profile's manifests."""

    lake: Lake
    profile: Profile
    settings: Settings

    @property
    def store(self) -> ReviewStore:
        """The stored sheets and labels."""
        return ReviewStore(self.lake, self.profile)

    def make(self) -> PublishedSheet:
        """Publish the sheet of the current manifest; deterministic for one manifest and settings."""
        params = self.settings.review
        manifest, sidecar = ManifestStore.in_lake(self.lake, self.profile).current()
        events = draw_sample(manifest, params)
        sheet = Sheet(sidecar["manifest_id"], sample_id(sidecar["manifest_id"], events), events.select(*SAMPLED_EVENTS))
        charts = self._charts(events)
        heading = Heading(self.profile, sheet.manifest_id, sheet.sample_id, manifest.height, params)
        page = render_sheet(heading, events, charts)
        return PublishedSheet(sheet, self.store.publish(sheet, page), len(page.encode()), charts)

    def assess(self, sheet: Sheet) -> ReviewResult:
        """The precision estimated from the labels of a sheet."""
        table = estimate_precision(sheet.events, self.store.labels(sheet))
        return ReviewResult(sheet, table, judge_precision(table, self.settings.review.min_precision_pct))

    def _charts(self, events: pl.DataFrame) -> Charts:
        days = [date.fromisoformat(day) for day in events["date"].unique()] or [self.settings.history.first_session]
        return chart_frames(
            events,
            pl.concat([BARS.to_frame(), *self._days_of(events)]),
            sessions_between(min(days), max(days), self.settings.sessions),
            ChartRules(
                self.settings.features,
                self.settings.detectors.opening_range_break.range_min,
                self.settings.review,
            ),
        )

    def _days_of(self, events: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The bars of each symbol and day with events, one day at a time."""
        bars = BarsStore(self.lake)
        for symbol, day in events.select("symbol", "date").unique().sort("symbol", "date").iter_rows():
            yield bars.read(symbol, date.fromisoformat(day), date.fromisoformat(day))
