"""Plan a capture before paying for it: what is missing, what it costs, and whether the disk has room for it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.controls.tables import CONTROLS, is_control_id, serves_controls_only
from smallcaps_assets.domain.tape.cost_estimate import (
    LearnedRatios,
    PlanAssumptions,
    Rates,
    Terms,
    choose_rates,
    estimate_cost,
    expect_trades,
    learn_ratios,
    minutes_of,
)
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.tape.tables import SPANS, SPANS_TO_FETCH
from smallcaps_assets.domain.tape.windows import event_windows, uncovered_windows
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.lake.tape.bar_minutes import read_minutes
from smallcaps_assets.lake.tape.contradictions import add_contradicted, contradicted_windows
from smallcaps_assets.lake.tape.files import Span, spans_of
from smallcaps_assets.lake.tape.store import TapeBacklog, TapeStore
from smallcaps_assets.market_data.client import ROWS_PER_PAGE
from smallcaps_assets.settings.sections import FreeDiskParams

BYTES_PER_GB: Final = 1e9
# ratios are measured on the tape of at most this many symbols, evenly spread over the alphabet
SYMBOLS_TO_LEARN_FROM: Final = 300

_NOTHING_LEARNED: Final = LearnedRatios(None, None, None, None, 0, 0, 0)

_COUNTED: Final = ("symbol", "timestamp", "transactions")


@dataclass(frozen=True)
class CapturePlan:
    """Cost of a capture, the figures it is based on, and the free disk space."""

    table: pl.DataFrame  # PLAN
    learned: LearnedRatios
    rates: Rates
    bars: int  # minute bars inside the windows
    bars_without_transactions: int
    windows_without_bars: int
    newest: Span | None  # the latest missing span
    folder: Path
    free_bytes: int
    backlogs: Mapping[TapeKind, TapeBacklog]
    damaged_bars: tuple[LakeError, ...] = ()

    @property
    def problem(self) -> str | None:
        """That trades are assumed where bars are damaged, as a clause with the first file; None where none are."""
        if not self.damaged_bars:
            return None
        files = count_clause(len(self.damaged_bars), "file is", "files are")
        return f"{files} damaged, and trades are assumed there: {self.damaged_bars[0]}"

    @property
    def bytes(self) -> float:
        """Bytes of parquet, in total."""
        return float(self.table["bytes"][-1])

    @property
    def spans(self) -> int:
        """Spans to fetch, of both kinds."""
        return int(self.table["trades_spans"][-1] + self.table["quotes_spans"][-1])

    def fits(self, params: FreeDiskParams) -> bool:
        """Whether the disk has room for it and keeps the reserve free; a plan without spans always fits."""
        return self.spans == 0 or self.bytes + params.keep_gb * BYTES_PER_GB <= self.free_bytes


@dataclass(frozen=True)
class Planner:
    """Plans the capture of one profile; sends no request."""

    tape: TapeStore
    assumptions: PlanAssumptions
    requests_per_minute: float | None

    def plan(
        self,
        captured: pl.DataFrame,
        kinds: Sequence[TapeKind] = TAPE_KINDS,
        pairs: Sequence[tuple[str, str]] | None = None,
        *,
        upgrade: bool = False,
        retry_empty: bool = False,
    ) -> CapturePlan:
        """The cost of the missing tape of a manifest and its controls, or of their `pairs` of (symbol, wave).

        Args:
            captured: the events and controls (CAPTURED).
            kinds: trades, quotes or both.
            pairs: the partitions; all if they are not given.
            upgrade: plan to fetch stale windows again as well.
            retry_empty: plan to ask again for empty windows that are contradicted as well.

        Raises:
            LakeError: a file of the lake cannot be read.
        """
        windows = event_windows(captured)
        if pairs is not None:
            asked = pl.DataFrame(pairs, schema={"symbol": pl.String, "wave": pl.String}, orient="row")
            windows = windows.join(asked, on=["symbol", "wave"], how="semi")
        damaged = list[LakeError]()
        bars = self._bars(windows, damaged)
        per_bar = self.assumptions.trades_per_bar
        expected = expect_trades(windows, bars, per_bar)
        backlogs = {kind: self.tape.backlog(kind, windows, upgrade=upgrade) for kind in kinds}
        if retry_empty:
            backlogs = {kind: add_contradicted(self.tape, kind, backlog) for kind, backlog in backlogs.items()}
        spans = pl.concat([self._expect(kind, backlog, bars) for kind, backlog in backlogs.items()])
        # reading footers takes most of the time of planning
        ratios = _NOTHING_LEARNED if spans.is_empty() else self._history()
        figures = choose_rates(ratios, self.assumptions)
        terms = Terms(ROWS_PER_PAGE, self.requests_per_minute, self.tape.params.quotes.max_hz)
        newest = spans.select(*SPANS).sort("end", "symbol", descending=True, maintain_order=True).head(1)
        root = self.tape.lake.root
        return CapturePlan(
            table=estimate_cost(*_apart(spans, expected), figures, terms),
            learned=ratios,
            rates=figures,
            bars=bars.height,
            bars_without_transactions=bars["transactions"].null_count(),
            windows_without_bars=expected.filter(pl.col("bars") == 0).height,
            newest=next(iter(spans_of(newest)), None),
            folder=root,
            free_bytes=free_bytes(root),
            backlogs=backlogs,
            damaged_bars=tuple(damaged),
        )

    def count_contradicted(self, plan: CapturePlan) -> dict[TapeKind, int]:
        """Contradicted windows that a plan does not ask for again, by kind; reads rows of files of several windows.

        Raises:
            LakeError: a file of the lake cannot be read.
        """
        return {
            kind: contradicted_windows(self.tape, kind, backlog.windows, backlog.published).height
            for kind, backlog in plan.backlogs.items()
            if backlog.retried.is_empty()
        }

    def _expect(self, kind: TapeKind, backlog: TapeBacklog, bars: pl.DataFrame) -> pl.DataFrame:
        """The spans of a backlog, with the trades expected in each (SPANS_TO_FETCH)."""
        numbered = backlog.spans.with_columns(event_id=pl.int_range(pl.len()).cast(pl.String))
        again = numbered.join(backlog.retried, on=["symbol", "wave", "start", "end"], how="semi")["event_id"]
        to_fetch = pl.concat([uncovered_windows(numbered, backlog.in_other_profiles)["event_id"], again])
        copied = ~pl.col("event_id").is_in(to_fetch.implode())
        spans = numbered.with_columns(kind=pl.lit(kind), copied=copied)
        return expect_trades(spans, bars, self.assumptions.trades_per_bar).select(*SPANS_TO_FETCH)

    def _bars(self, windows: pl.DataFrame, damaged: list[LakeError]) -> pl.DataFrame:
        """Bars inside windows: symbol, timestamp, transactions. Reads only these columns of the months concerned.

        They only say what a capture costs: those that are damaged stop none, and `damaged` receives why.
        """
        return read_minutes(self.tape.lake, minutes_of(windows), _COUNTED, damaged)

    def _history(self) -> LearnedRatios:
        """Ratios of the published tape, of a sample of symbols if there are many."""
        folders = [
            folder
            for kind in TAPE_KINDS
            for folder in list_paths(self.tape.lake.tape(self.tape.profile, kind), "wave=*/symbol=*")
        ]
        symbols = sorted({symbol_of(folder.name) for folder in folders})
        some = symbols[:: -(-len(symbols) // SYMBOLS_TO_LEARN_FROM) or 1]
        asked = pl.col("skipped").is_null()
        return learn_ratios(*(self.tape.published(kind, some).filter(asked) for kind in TAPE_KINDS))


def _apart(spans: pl.DataFrame, windows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Spans to fetch and windows; the wave of controls, and of spans that no event needs, is `controls`."""
    by_span = pl.when(serves_controls_only()).then(pl.lit(CONTROLS)).otherwise("wave")
    by_window = pl.when(is_control_id(pl.col("event_id"))).then(pl.lit(CONTROLS)).otherwise("wave")
    return spans.with_columns(wave=by_span), windows.with_columns(wave=by_window)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk where `folder` is or will be.

    Raises:
        LakeError: the system does not report it.
    """
    place = next(place for place in (folder, *folder.parents) if place.exists())
    with disk_errors("read", place):
        return shutil.disk_usage(place).free


def require_room(plan: CapturePlan, params: FreeDiskParams) -> None:
    """Check that the disk has room for what a plan fetches and keeps the reserve free.

    Raises:
        LakeError: it has not, with the figures; never if `params` disable the check.
    """
    if params.check and not plan.fits(params):
        raise LakeError(
            f"{plan.folder}: not enough disk. The plan needs {plan.bytes / BYTES_PER_GB:,.2f} GB and keeps "
            f"{params.keep_gb:,.1f} GB free, the disk has {plan.free_bytes / BYTES_PER_GB:,.2f} GB. "
            "Free space, choose fewer events with a trial, keep less free (capture.free_disk.keep_gb), or set "
            f"capture.free_disk.check: false.{describe_reserve(plan.folder, params)}",
            plan.folder,
        )


def describe_reserve(folder: Path, params: FreeDiskParams) -> str:
    """A sentence, after a space, where the whole disk of `folder` is smaller than the space to be kept free."""
    place = next(place for place in (folder, *folder.parents) if place.exists())
    with disk_errors("read", place):
        total = shutil.disk_usage(place).total / BYTES_PER_GB
    if total >= params.keep_gb:
        return ""
    return (
        f" The whole disk has {total:,.2f} GB, less than capture.free_disk.keep_gb ({params.keep_gb:,.1f} GB), so no "
        "capture can ever begin on it."
    )
