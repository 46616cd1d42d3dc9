"""How well bars and trades agree, for the ledger and its report: only what is up to date with the tape of this moment.

The ledger does not depend on the research tables: it is made where they are switched off, and then says nothing here.
What it takes from them was computed of the very tape, bars, events and settings that are there now; all else is null.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.controls.tables import serves_controls_only
from smallcaps_assets.domain.research.tables.bar_tables import BAR_RECONCILIATION, EVENT_RECONCILIATION
from smallcaps_assets.domain.research.tape.reconciliation import count_classes, count_exact
from smallcaps_assets.domain.research.tape.tape_blocks import covered_windows
from smallcaps_assets.domain.tape.cost_estimate import minutes_of
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.tables import RECONCILED_EVENTS, RECONCILED_MINUTES
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets.pipeline.tape.capture import Pair

_ASSET: Final = "bar_reconciliation"
_OF_EVENTS: Final = "event_reconciliation"


class Reconciled(NamedTuple):
    """What is up to date.

    Attributes:
        events: RECONCILED_EVENTS, of the events whose comparison is up to date.
        minutes: RECONCILED_MINUTES, of the waves in which it is of every event with published trades.
        damaged: what is wrong with files that therefore count as none.
    """

    events: pl.DataFrame
    minutes: pl.DataFrame
    damaged: tuple[LakeError, ...] = ()

    @property
    def problem(self) -> str | None:
        """What is missing for damage, as a clause with the first file and its remedy; None where nothing is."""
        if not self.damaged:
            return None
        files = count_noun(len(self.damaged), "damaged file")
        return f"bars and trades are not compared for {files}: {self.damaged[0]}"


class _Current(NamedTuple):
    """Of a pair whose table of events exists: its events that are up to date, and whether all its minutes are."""

    events: pl.DataFrame
    whole: bool


def reconciled_windows(
    research: TapeResearch, manifest: pl.DataFrame, published: Mapping[TapeKind, pl.DataFrame] | None = None
) -> Reconciled:
    """What the research tables of the tape say about the windows of a manifest; they stay as they are.

    A file that is damaged or cannot be read counts as none, and is named.

    Args:
        research: of the profile.
        manifest: the events (MANIFEST).
        published: what `tape.listing` returned; listed here if it is not given.

    Raises:
        LakeError: the tape cannot be listed.
    """
    tape, found = research.tape, Reconciled(RECONCILED_EVENTS.to_frame(), RECONCILED_MINUTES.to_frame())
    if not (tape.lake.research / tape.profile / _OF_EVENTS).is_dir():
        return found
    listing = published or tape.listing()
    captured = covered_windows(manifest, listing["trades"]).select("event_id", "symbol", "wave")
    pairs: list[Pair] = captured.select("symbol", "wave").unique().sort("wave", "symbol").rows()
    damaged = list[LakeError]()
    try:
        current = _current(research, manifest, pairs, listing, damaged)
    except LakeError as error:  # of what it is compared by, such as the trade conditions
        return found._replace(damaged=(*damaged, error))
    events = pl.concat([found.events, *(part.events for part in current.values())]).unique("event_id")
    missing = captured.join(events, on="event_id", how="anti")["wave"].unique().to_list()
    by_wave = defaultdict[str, list[Pair]](list)
    for pair in pairs:
        by_wave[pair[1]].append(pair)
    minutes, left_out = list[tuple[str, int, int]](), _minutes_of_controls(listing["trades"])
    for wave, own in by_wave.items():
        if wave not in missing and all(current[pair].whole for pair in own):
            counts = _count_minutes(research, own, left_out)
            minutes += [] if counts is None else [(wave, *counts)]
    return Reconciled(events, pl.DataFrame(minutes, RECONCILED_MINUTES, orient="row"), tuple(damaged))


def _current(
    research: TapeResearch,
    manifest: pl.DataFrame,
    pairs: Sequence[Pair],
    listing: Mapping[TapeKind, pl.DataFrame],
    damaged: list[LakeError],
) -> dict[Pair, _Current]:
    """The state of each pair; `damaged` receives what is wrong with its files."""
    known = research.known_parts(manifest)
    unchanged = {pair for pair in pairs if known.unchanged(pair, [_ASSET]) is not None}
    others = [pair for pair in pairs if pair not in unchanged]
    plan = research.plan(manifest, others, listing) if others else None
    found = dict[Pair, _Current]()
    for pair in pairs:
        events, whole = RECONCILED_EVENTS.to_frame(), pair in unchanged
        try:
            rows = research.parts.store.read(research.parts.path(pair, _OF_EVENTS), EVENT_RECONCILIATION)
            events = rows.select(*RECONCILED_EVENTS)
        except LakeError as error:
            damaged.append(error)
        is_sound = _is_sound(research, pair, damaged)
        if plan is not None and pair not in unchanged:
            of_events, of_minutes = (research.parts.current(pair, plan, table) for table in (_OF_EVENTS, _ASSET))
            own = plan.events.filter(
                pl.col("symbol") == pair[0], pl.col("wave") == pair[1], pl.col("block").is_in(sorted(of_events))
            )
            events = events.join(own.select("event_id"), on="event_id", how="semi", maintain_order="left")
            whole = of_minutes == plan.expected[pair][_ASSET].keys()
        found[pair] = _Current(events, whole and is_sound)
    return found


def _is_sound(research: TapeResearch, pair: Pair, damaged: list[LakeError]) -> bool:
    """Whether the minutes of a pair can be read; where not, `damaged` receives why. A missing file is sound."""
    path = research.parts.path(pair, _ASSET)
    try:
        if is_stored(path):
            research.parts.store.prove(path)
    except LakeError as error:
        damaged.append(error)
        return False
    return True


def _minutes_of_controls(trades: pl.DataFrame) -> pl.DataFrame:
    """`symbol` and `timestamp` of the minutes of published trades (PUBLISHED) that controls alone have."""
    of_controls, of_events = (minutes_of(trades.filter(serves_controls_only() == which)) for which in (True, False))
    key = ["symbol", "timestamp"]
    return of_controls.select(key).join(of_events, on=key, how="anti").unique()


def _count_minutes(research: TapeResearch, pairs: Sequence[Pair], left_out: pl.DataFrame) -> tuple[int, int] | None:
    """How many minutes of some pairs are exact, and how many are compared; None where a file cannot be read.

    Minutes of `left_out` (columns symbol, timestamp) do not count.
    """
    files = [research.parts.path(pair, _ASSET) for pair in pairs]
    with suppress(LakeError), disk_errors("read", research.tape.lake.research):
        rows = research.parts.store.scan(files, BAR_RECONCILIATION)
        counted = rows.join(left_out.lazy(), on=["symbol", "timestamp"], how="anti") if left_out.height else rows
        return count_exact(count_classes(counted).collect())
    return None
