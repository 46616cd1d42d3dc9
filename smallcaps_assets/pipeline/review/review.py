"""A review sheet from a manifest and the bars around its events; what came of it when marks were taken in."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.review.precision import Verdict, estimate_precision, judge_precision
from smallcaps_assets.domain.review.sample import ChartRules, Charts, chart_frames, draw_sample, sample_id
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.review import DRAWN, ReviewStore, Sheet
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.review.page import Heading, render_sheet
from smallcaps_assets.settings.settings import Profile, Settings


class PublishedSheet(NamedTuple):
    """A sheet that was published: where, and the frames that it shows."""

    sheet: Sheet
    path: Path
    bytes: int
    charts: Charts


class ReviewResult(NamedTuple):
    """What is known of the precision of a manifest (PRECISION)."""

    sheet: Sheet
    table: pl.DataFrame
    verdict: Verdict


@dataclass(frozen=True)
class Review:
    """The review of one profile's manifests."""

    lake: Lake
    profile: Profile
    settings: Settings

    @property
    def store(self) -> ReviewStore:
        """Sheets and marks."""
        return ReviewStore(self.lake, self.profile)

    def make(self) -> PublishedSheet:
        """Publish the sheet of the current manifest; of one manifest and settings it is always the same."""
        params = self.settings.review
        manifest, sidecar = ManifestStore(self.lake.manifests(self.profile), self.profile).current()
        events = draw_sample(manifest, params)
        sheet = Sheet(sidecar["manifest_id"], sample_id(sidecar["manifest_id"], events), events.select(*DRAWN))
        charts = self._charts(events)
        heading = Heading(self.profile, sheet.manifest_id, sheet.sample_id, manifest.height, params)
        page = render_sheet(heading, events, charts)
        return PublishedSheet(sheet, self.store.publish(sheet, page), len(page.encode()), charts)

    def assess(self, sheet: Sheet) -> ReviewResult:
        """The precision that the marks on a sheet speak for."""
        table = estimate_precision(sheet.events, self.store.marks(sheet))
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
        """The bars of each symbol and day with events, one day at a time; nothing else is read."""
        bars = BarsStore(self.lake)
        for symbol, day in events.select("symbol", "date").unique().sort("symbol", "date").iter_rows():
            yield bars.read(symbol, date.fromisoformat(day), date.fromisoformat(day))
