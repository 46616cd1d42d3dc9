"""Choose the controls of a profile from the lake: manifest, ledger, MASTER, bars and splits; no request is sent."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders
from smallcaps_assets.domain.manifests.selection import ProfileParams
from smallcaps_assets.domain.research.controls.candidates import (
    CANDIDATE_DAYS,
    ControlMarket,
    candidate_days,
    judge_bars,
)
from smallcaps_assets.domain.research.controls.checks import describe_long_windows
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.domain.research.controls.selection import ControlSelection, select_controls
from smallcaps_assets.domain.sessions import SessionParams, new_york_date
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.domain.tape.kpis import ledger_problems
from smallcaps_assets.domain.tape.tables import LEDGER
from smallcaps_assets.domain.versions import code_version, digest, rows_digest
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.controls import MANIFEST_OF_CONTROLS, ControlStore
from smallcaps_assets.lake.events.master import load_imported_events, load_master
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import Current, ManifestStore
from smallcaps_assets.lake.reference_tables import SPLITS_INPUT, SPLITS_UNKNOWN, ReferenceTables
from smallcaps_assets.lake.tape.bar_minutes import read_days
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.imports.bar_tables import in_batches

# Raised with every code change that changes which controls are chosen.
CONTROLS_VERSION: Final = "1"
# candidate days whose bars are in memory at a time
_DAYS_AT_ONCE: Final = 10_000
_MOMENTS: Final = pl.Schema({name: EVENTS[name] for name in ("symbol", "timestamp")})
_CERTIFIED: Final = pl.Schema({name: LEDGER[name] for name in ("profile", "manifest_id", "event_id", "state")})


class ChosenControls(NamedTuple):
    """The published controls of a profile.

    Attributes:
        selection: the controls, and what became of the events.
        manifest_id: the manifest of the events.
        sha256: of the file.
        splits_known: whether splits were fetched; if not, no day was left out for one.
        long_windows: the windows of the profile that are longer than its controls are kept clear of events, if any.
    """

    selection: ControlSelection
    manifest_id: str
    sha256: str
    splits_known: bool
    long_windows: str | None = None


@dataclass(frozen=True)
class ControlChoice:
    """Chooses the controls of one profile.

    Attributes:
        lake: the lake.
        profile: the profile.
        limits: its settings.
        params: the rules.
        sessions: bounds of the sessions.
        borders: where tickers change their owners.
        tick: called after each batch of bars.
    """

    lake: Lake
    profile: str
    limits: ProfileParams
    params: ControlParams
    sessions: SessionParams
    borders: ListingBorders = NO_BORDERS
    tick: Callable[[], None] = lambda: None

    def publish(self) -> ChosenControls:
        """Choose the controls of the events of the current manifest with complete tape, and publish them.

        The same manifest, ledger, MASTER, bars and splits give the same file. A damaged one is set aside, also where
        none can be chosen: the ledger, without which none is, cannot be made beside it.

        Raises:
            InputError: there is no manifest, MASTER or ledger yet.
            LakeError: the ledger is of another manifest; a file is damaged or cannot be read or written.
        """
        ControlStore(self.lake, self.profile).set_aside_damaged()
        current = ManifestStore.in_lake(self.lake, self.profile).current()
        complete = self._complete(current)
        master, splits = self.moments_of_events(), ReferenceTables(self.lake).splits()
        events = current.rows.filter(pl.col("event_id").is_in(complete.implode()))
        days = self._days(events, master, splits)
        selection = select_controls(current.rows, complete, days, self.params, self.limits.max_per_symbol)
        manifest_id = str(current.sidecar["manifest_id"])
        made_from: dict[str, Any] = {
            "code": code_version(CONTROLS_VERSION, self._settings(), self.limits.max_per_symbol, self.sessions),
            MANIFEST_OF_CONTROLS: manifest_id,
            "manifest": current.sidecar["sha256"],
            "complete": digest(complete.sort()),
            "master": rows_digest(master),
            SPLITS_INPUT: SPLITS_UNKNOWN if splits is None else rows_digest(splits),
        }
        if borders := self.borders.of_symbols(events["symbol"].unique().sort()):
            made_from["listings"] = digest(f"{symbol} {borders.text(symbol)}" for symbol in borders.by_symbol)
        sha256 = ControlStore(self.lake, self.profile).publish(selection.controls, made_from)
        long_windows = describe_long_windows(self.limits, self.params)
        return ChosenControls(selection, manifest_id, sha256, splits is not None, long_windows)

    def _settings(self) -> dict[str, Any]:
        return self.params.model_dump(mode="json", include=set(ControlParams.model_fields))

    def _complete(self, current: Current) -> pl.Series:
        """The events with complete tape, by the ledger of the current manifest."""
        path, remedy = self.lake.ledger(self.profile), f"Materialize {self.profile}/capture_ledger."
        if not is_stored(path):
            raise InputError(f"{path}: no ledger yet, so it is unknown which tape is complete. {remedy}")
        ledger = read_table(path, _CERTIFIED)
        if problems := ledger_problems(ledger, self.profile, current.sidecar["manifest_id"]):
            raise LakeError(f"{path}: {'; '.join(problems)}. {remedy}", path)
        return ledger.filter(state="complete")["event_id"]

    def moments_of_events(self) -> pl.DataFrame:
        """`symbol` and `timestamp` of all events, those of MASTER and imported ones.

        Raises:
            InputError: there are none yet.
            LakeError: a file is damaged or cannot be read.
        """
        if not is_stored(self.lake.master) and not is_stored(self.lake.imported_events):
            raise InputError(f"{self.lake.master}: no MASTER yet. Materialize master_events first.")
        detected = load_master(self.lake, _MOMENTS) if is_stored(self.lake.master) else _MOMENTS.to_frame()
        return pl.concat([detected, load_imported_events(self.lake, _MOMENTS)]).unique().sort(*_MOMENTS)

    def _days(self, events: pl.DataFrame, master: pl.DataFrame, splits: pl.DataFrame | None) -> pl.DataFrame:
        """The judged candidate days (CANDIDATE_DAYS) of events."""
        if events.is_empty():
            return CANDIDATE_DAYS.to_frame()
        first, last = events.select(
            first=new_york_date(pl.col("timestamp")).min(), last=new_york_date(pl.col("timestamp")).max()
        ).row(0)
        calendar = sessions_and_earlier(first, last, self.params.control_days, self.sessions)
        market = ControlMarket(master, splits, calendar, self.sessions, self.borders)
        days = candidate_days(events, market, self.params).sort("symbol", maintain_order=True)
        return pl.concat([CANDIDATE_DAYS.to_frame(), *self._with_bars(days)])

    def _with_bars(self, days: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Candidate days of whole symbols, judged by their bars, a bounded number of days at a time."""
        sizes: list[tuple[str, int]] = days.group_by("symbol", maintain_order=True).len().rows()
        for batch in in_batches(sizes, _DAYS_AT_ONCE):
            of_batch = days.filter(pl.col("symbol").is_in([symbol for symbol, _ in batch]))
            able = of_batch.filter(pl.col("lost").is_null())
            bars = read_days(self.lake, able.select("symbol", "day"), tuple(_MOMENTS))
            self.tick()
            yield judge_bars(of_batch, bars, self.params)
