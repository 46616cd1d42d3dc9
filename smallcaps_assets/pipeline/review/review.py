"""Publishing a review sheet of a manifest, the page of one event, and the precision estimated from labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.presence import name_notes
from smallcaps_assets.domain.review.precision import PrecisionVerdict, estimate_precision, judge_precision
from smallcaps_assets.domain.review.sample import ChartRules, Charts, chart_frames, draw_sample, sample_id
from smallcaps_assets.domain.review.tape_drawing import DrawingLimits
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.review import SAMPLED_EVENTS, ReviewStore, Sheet
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.review.drawn_outcomes import drawn_outcomes
from smallcaps_assets.pipeline.review.drawn_tape import TapeReader
from smallcaps_assets.pipeline.review.market_marks import market_marks
from smallcaps_assets.pipeline.review.page import Heading, render_sheet
from smallcaps_assets.pipeline.review.tape_document import tape_entries
from smallcaps_assets.settings.settings import Profile, Settings

# What a chart of tape draws at most. The charts of a larger sample share what SHEET_CHARTS of them have, so that a
# sheet has at most about 9 MB of tape.
SHEET_LIMITS: Final = DrawingLimits(trades=2_000, quotes=1_500, volumes=1_800)
SHEET_CHARTS: Final = 100
EVENT_LIMITS: Final = DrawingLimits(trades=10_000, quotes=10_000, volumes=7_200)


class PublishedSheet(NamedTuple):
    """A published sheet: its path, its size, the chart data, and the events whose tape and whose outcome it shows."""

    sheet: Sheet
    path: Path
    bytes: int
    charts: Charts
    tapes: int
    outcomes: int


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
        tapes = tapes_of_page(self._tape, events, self.settings, SHEET_LIMITS.shared_by(events.height, SHEET_CHARTS))
        outcomes = self._outcomes(events)
        page = render_sheet(heading, events, charts, tapes, outcomes, names=self._names(events))
        shown = sum("damage" not in tape for tape in tapes.values())
        known = sum("missing" not in outcome for outcome in outcomes.values())
        return PublishedSheet(sheet, self.store.publish(sheet, page), len(page.encode()), charts, shown, known)

    def page_of(self, event: pl.DataFrame, manifest_id: str, manifest_events: int) -> str:
        """The page of one event of the current manifest (MANIFEST, one row), in which nothing is labeled.

        Raises:
            LakeError: its tape or a file of bars is damaged.
        """
        tapes = tapes_of_page(self._tape, event, self.settings, EVENT_LIMITS)
        for tape in tapes.values():
            if "damage" in tape:
                raise LakeError(str(tape["damage"]))
        heading = Heading(self.profile, manifest_id, None, manifest_events, self.settings.review)
        return render_sheet(heading, event, self._charts(event), tapes, self._outcomes(event), names=self._names(event))

    def assess(self, sheet: Sheet) -> ReviewResult:
        """The precision estimated from the labels of a sheet."""
        table = estimate_precision(sheet.events, self.store.labels(sheet))
        return ReviewResult(sheet, table, judge_precision(table, self.settings.review.min_precision_pct))

    @property
    def _tape(self) -> TapeStore:
        return TapeStore(self.lake, self.profile, self.settings.profiles[self.profile])

    def _outcomes(self, events: pl.DataFrame) -> dict[str, dict[str, Any]]:
        return drawn_outcomes(self.lake, self.profile, events, enabled=self.settings.research.enabled)

    def _names(self, events: pl.DataFrame) -> dict[str, str]:
        """By event, other names and owners of its ticker; none where listings are not known."""
        listings = ListingStore(self.lake).table()
        return {} if listings is None else name_notes(events.select("event_id", "symbol", "date"), listings)

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


def tapes_of_page(
    store: TapeStore, events: pl.DataFrame, settings: Settings, limits: DrawingLimits
) -> dict[str, dict[str, Any]]:
    """By event, what a page shows of its tape, or `damage`, why it cannot; events without tape are left out.

    Raises:
        LakeError: a file of bars is damaged.
    """
    tapes, damage = TapeReader(store, events, settings, limits).read()
    captured = events.join(tapes.windows, on="event_id", how="semi")
    symbols = dict(events.select("event_id", "symbol").iter_rows())
    entries = tape_entries(tapes, market_marks(store.lake, captured, settings), symbols)
    return entries | {event: {"damage": reason} for event, reason in damage.items()}
