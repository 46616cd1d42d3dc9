"""The tables of a lake that are read by their name: events, features, outcomes, cohorts, tape and bars."""

import warnings
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.listings.as_of import EVENT_LISTINGS
from smallcaps_assets.domain.research.cohorts.follow_up import PRIMARY_SPEC
from smallcaps_assets.domain.research.tables.cohort_tables import BEYOND_SPECIFICATION, COHORTS
from smallcaps_assets.domain.research.tables.enriched_table import ENRICHED
from smallcaps_assets.domain.research.tables.research_labels import RESEARCH_LABELS
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE_COLUMNS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES
from smallcaps_assets.domain.tables import BARS, EVENTS, match_columns
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.proven_files import prove_once
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore, require_part
from smallcaps_assets.lake.research_inputs import StaleTable, describe_stale_tables, stale_features, stale_outcomes
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.research.arguments import require_date, require_profile, require_spec
from smallcaps_assets.research.control_views import ControlViews
from smallcaps_assets.settings.settings import COHORTS_FROM, Profile, Settings, load_settings

# what is known of an event when its minute is over, and what identifies it
_KNOWN: Final = {
    name: column.dtype for name, column in RESEARCH_TABLE_COLUMNS.items() if column.availability in {"key", "pre"}
}
# what follows an event, of the events with waves
_FOLLOWED: Final = {name: dtype for name, dtype in EVENT_OUTCOMES.items() if name not in RESEARCH_LABELS}
# The columns of `outcomes`.
OUTCOMES: Final = pl.Schema({**RESEARCH_LABELS, **_FOLLOWED})
# folders of which a lake has at least one
_PARTS: Final = ("bars", "events", "manifests", "tape", "reference")


class StaleTableWarning(UserWarning):
    """A table that is read was made before something that it is made from changed.

    Its rows are right for what it was made from. `warnings.simplefilter("error", StaleTableWarning)` makes it an error.
    """


def open_lake(path: str | Path, settings: Settings | None = None) -> "ResearchLake":
    """Open the lake in a folder, to read it.

    Args:
        path: the folder, `lake.path` of the configuration.
        settings: how tape was captured; those of the configuration in force if not given.

    Raises:
        InputError: there is no lake in the folder.
    """
    root = Path(path)
    if not root.is_dir():
        raise InputError(f"{root}: is no folder. Give the folder of a lake, lake.path of its configuration.")
    if not any((root / name).is_dir() for name in _PARTS):
        raise InputError(f"{root}: holds no lake, which has folders such as {', '.join(_PARTS[:3])}. Give its folder.")
    return ResearchLake(root, settings)


class ResearchLake(ControlViews):
    """The tables of one lake; see `open_lake`."""

    def __init__(self, root: Path, settings: Settings | None) -> None:
        """`root` is the folder of a lake."""
        self._lake, self._given = Lake(root), settings

    def __repr__(self) -> str:
        return f"open_lake({str(self._lake.root)!r})"

    @cached_property
    def _settings(self) -> Settings:
        return self._given or load_settings()

    def events(self) -> pl.LazyFrame:
        """MASTER (EVENTS): one row per detected event, sorted by symbol, timestamp and event_type.

        `timestamp` is the start of the event's minute; the event is known one minute later. `dollar_volume_day`,
        `rvol_day` and which events there are at all are known at the end of the day only.

        Raises:
            InputError: no events are detected yet.
            LakeError: the file is damaged or cannot be read.
        """
        master = self._lake.master
        if not is_stored(master):
            raise InputError(f"{master}: no MASTER yet. Materialize master_events first.")
        return self._scan(master, EVENTS)

    def event_listings(self) -> pl.LazyFrame:
        """The listing of each event of MASTER and whether its symbol was in the universe then (EVENT_LISTINGS).

        One row per event of the MASTER that it was made from, in its order; `in_universe_at_event` is null where that
        is not known. All but `next_symbol`, which is hindsight, was known when the event's minute was over.

        Raises:
            InputError: the lake has no listings, or `event_listings` was not materialized since.
            LakeError: the file is damaged or cannot be read.
        """
        path = self._lake.event_listings
        if not is_stored(path):
            raise InputError(f"{path}: no listings of events yet. Materialize listings, then event_listings.")
        return self._scan(path, EVENT_LISTINGS)

    def features(self, profile: Profile = "core") -> pl.LazyFrame:
        """What was known of each event of the current manifest when its minute was over, one row per event.

        The columns are those of the research specification that are `key` or `pre`: figures of bars, and of the tape
        with the segment as suffix, `_pre3` and `_pre_all` before the event and `_bar` in its minute. None is known
        later than one minute after `timestamp`. A figure is null where it is not defined, or its input is not captured.
        Sorted by symbol, timestamp and event_type. StaleTableWarning where the table was made from another manifest, or
        from other files than there are now.

        Args:
            profile: core, plus or premium.

        Raises:
            InputError: there is no such profile.
            LakeError: the table is not there yet, damaged or cannot be read.
        """
        path = self._lake.research_table("research_table", require_profile(profile))
        require_part(ResearchStore(self._lake), path)
        _warn(stale_features(self._lake, profile, COHORTS_FROM))
        # earlier releases had no cohorts
        return self._research(path, _KNOWN, added=("cohort_was_winning",))

    def cohorts(self, as_of: date | str | None = None, profile: Profile = "core") -> pl.LazyFrame:
        """Hindsight: which kinds of events paid after costs (COHORTS), as it was known when each month began.

        One row per as_of, label_spec, selection and cohort. Claims about returns need `selection` "causal". `tested`
        says how many cohorts were tested together; events from its `as_of` on prove it. Sorted by keys.

        Args:
            as_of: the first day of a month, as a date or `YYYY-MM-DD`; all if not given.
            profile: core, plus or premium, whose costs they are.

        Raises:
            InputError: there is no such profile, `as_of` is no date, or the profile has no cohorts at it.
            LakeError: the table is not there yet, damaged or cannot be read.
        """
        day = None if as_of is None else require_date(as_of)
        path = self._lake.research_table("cohorts", require_profile(profile))
        require_part(ResearchStore(self._lake), path)
        rows = self._research(path, COHORTS, BEYOND_SPECIFICATION)
        if day is None:
            return rows
        known = rows.select(pl.col("as_of").unique().sort()).collect()["as_of"].to_list()
        if day not in known:
            there_are = f"{known[0]} to {known[-1]}, the first day of each month" if known else "none yet"
            raise InputError(f"as_of {day}: {profile} has no cohorts of this day. There are {there_are}.")
        return rows.filter(pl.col("as_of") == day)

    def outcomes(self, label_spec: str = PRIMARY_SPEC, profile: Profile = "core") -> pl.LazyFrame:
        """Hindsight: what came after each event of the current manifest, one row per event with labels (OUTCOMES).

        The columns are those of `research_labels` (entry, barriers, label, times, costs, net return) and, of each
        event, legs, velocities, excursions and outcome. All but those that identify the event, `date`, `t0` and
        `feature_from` is known after the event only: use it as what is to be explained, never as a feature. Sorted by
        symbol, timestamp and event_type. StaleTableWarning where one of these tables, or their costs, was made from
        another manifest, or from other files than there are now.

        Args:
            label_spec: minutes, profit and stop barrier: 5,1,1 or 15,1,1 or 60,1,1.
            profile: core, plus or premium, whose manifest and costs they are.

        Raises:
            InputError: there is no such profile or label spec.
            LakeError: a table is not there yet, damaged or cannot be read.
        """
        require_spec(label_spec)
        labels = self._lake.research_table("research_labels", require_profile(profile))
        enriched = self._lake.research_table("events_with_waves_enriched")
        for path in (labels, enriched):
            require_part(ResearchStore(self._lake), path)
        _warn(stale_outcomes(self._lake, profile))
        rows = self._research(labels, RESEARCH_LABELS).filter(pl.col("label_spec") == label_spec)
        followed = self._research(enriched, ENRICHED).select("event_id", *_FOLLOWED)
        return rows.join(followed, on="event_id", how="left", maintain_order="left")

    def trades(self, event_ids: Iterable[str], profile: Profile = "core") -> pl.LazyFrame:
        """Trades in the windows of events: event_id and the columns of the profile (TRADES or TRADES_ALL).

        Each event has the trades with window start <= `timestamp` < window end; a trade in the windows of two events is
        there for both. Sorted by event_id, timestamp (ns) and sequence_number; `size` counts shares. Columns that a
        file of an earlier release lacks are null.

        Args:
            event_ids: of the current manifest; repeated ids count once.
            profile: core, plus or premium.

        Raises:
            InputError: there is no such profile, an event is not in its manifest, or its tape is not captured yet.
            LakeError: a file is damaged or cannot be read.
        """
        return self._tape("trades", event_ids, profile)

    def quotes(
        self, event_ids: Iterable[str], profile: Profile = "core", *, opening_book: bool = False
    ) -> pl.LazyFrame:
        """Best bids and offers in the windows of events: event_id and the profile's columns (QUOTES or QUOTES_ALL).

        As `trades`. Quotes are thinned as the profile says; sizes are in the unit that the vendor gave them in.

        Args:
            event_ids: of the current manifest; repeated ids count once.
            profile: core, plus or premium.
            opening_book: add the last stored quote before each window, where there is one.

        Raises:
            InputError: as `trades`.
            LakeError: as `trades`.
        """
        return self._tape("quotes", event_ids, profile, opening_book=opening_book)

    def bars(self, symbol: str) -> pl.LazyFrame:
        """Minute bars (BARS) of a symbol, sorted by timestamp, the start of the minute.

        Minutes without trades have no bar. `volume` counts shares; prices are as traded, not adjusted for splits.

        Raises:
            InputError: there are no bars of the symbol.
            LakeError: a file is damaged or cannot be read.
        """
        store = BarsStore(self._lake)
        folder = self._lake.bars(symbol)
        files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
        if not files:
            known = store.symbols()
            some = f"{len(known):,} symbols have some, such as {known[0]}" if known else "no symbol has any"
            raise InputError(f"{symbol}: no bars in {self._lake.root}; {some}. Check the symbol's spelling.")
        for file in files:
            prove_once(file)
        with disk_errors("read", folder):
            return store.scan([symbol], tuple(BARS)).sort("timestamp")

    def _tape(
        self, kind: TapeKind, event_ids: Iterable[str], profile: Profile, *, opening_book: bool = False
    ) -> pl.LazyFrame:
        wanted = [event_ids] if isinstance(event_ids, str) else event_ids
        store = TapeStore(self._lake, require_profile(profile), self._settings.profiles[profile])
        rows = store.scan(kind, wanted, opening_book=opening_book)
        return rows.sort("event_id", "timestamp", "sequence_number", maintain_order=True)

    def _research(
        self, path: Path, schema: dict[str, pl.DataType] | pl.Schema, added: Sequence[str] = ()
    ) -> pl.LazyFrame:
        """A research table, as `_scan`; one of another profile or symbol has rows that are not those of its path."""
        ResearchStore(self._lake).prove(path)
        return self._scan(path, schema, added)

    @staticmethod
    def _scan(path: Path, schema: dict[str, pl.DataType] | pl.Schema, added: Sequence[str] = ()) -> pl.LazyFrame:
        prove_once(path)
        with disk_errors("read", path):
            return match_columns(pl.scan_parquet(path, hive_partitioning=False, glob=False), schema, str(path), added)


def _warn(stale: Sequence[StaleTable]) -> None:
    """Warn whoever called a method of the lake."""
    if stale:
        warnings.warn(describe_stale_tables(stale), StaleTableWarning, stacklevel=3)
