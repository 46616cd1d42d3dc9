"""Coverage of minute bars: expected sessions, from calendar and listings, against published ones."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.checks import (
    REGULAR_MINUTES,
    SESSION_BARS,
    lost_runs,
    minute_counts,
    missing_minutes,
)
from smallcaps_assets.domain.bars.coverage import (
    STATES_OF_SYMBOLS,
    VOLUMES,
    by_symbol,
    coverage_table,
    doubled_volumes,
    holes,
    session_states,
    session_volumes,
    symbols_to_report,
    with_volumes,
    without_absences,
)
from smallcaps_assets.domain.bars.suspect_prints import (
    COLUMNS_READ,
    LISTED_PRINTS,
    count_touched,
    suspect_print,
    suspect_prints,
)
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.listings.presence import RENAMED, absences, renamed
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.bars.suspect_prints import list_prints
from smallcaps_assets.pipeline.calendar import completed_sessions, sessions_between
from smallcaps_assets.pipeline.progress import with_progress
from smallcaps_assets.settings.settings import Settings

# bars per batch of whole symbols: bounds memory and keeps every core busy
_BARS_AT_ONCE: Final = 2_000_000


class Coverage(NamedTuple):
    """Coverage of the minute bars of a lake."""

    table: pl.DataFrame  # COVERAGE
    holes: pl.DataFrame  # HOLES
    lost: pl.DataFrame  # LOST
    prints: pl.DataFrame  # LISTED_PRINTS
    due: list[date]  # sessions expected of followed symbols
    first_bar: date | None  # the first session with bars before history.first_session
    symbols_before: int  # with bars before history.first_session
    causes: dict[str, str]  # why the files of a symbol cannot be read
    # from the bars themselves; empty if they were not read
    findings: tuple[Finding, ...]
    renamed: pl.DataFrame  # RENAMED

    def figures(self) -> dict[str, int]:
        """Counts of complete and missing sessions and symbols."""
        symbols, table = by_symbol(self.table), self.table
        states = {state: symbols.filter(pl.col("state") == state).height for state in STATES_OF_SYMBOLS}
        counted = ("expected", "here", "missing", "with_bars", "empty_between", "beyond")
        return {
            "sessions_due": len(self.due),
            "symbols": symbols.height,
            **{f"symbols_{state}": count for state, count in states.items()},
            "symbols_not_followed": symbols.filter(~pl.col("active")).height,
            "symbols_listing_unknown": symbols.filter(pl.col("active"), pl.col("listed").is_null()).height,
            "symbols_unreadable": len(self.causes),
            "symbols_before_history": self.symbols_before,
            **{f"symbol_sessions_{name}": int(table[f"sessions_{name}"].sum()) for name in counted},
            "symbol_sessions_doubled": int(table["sessions_doubled"].sum()),
            "bars": int(table["bars"].sum()),
            "minutes_lost": int(self.lost["minutes"].sum()),
            "bars_with_a_suspect_print": count_touched(self.prints).bars,
        }


@dataclass(frozen=True)
class Inventory:
    """Everything that it takes to see what bars are there."""

    bars: BarsStore
    universe: UniverseStore
    settings: Settings
    log: Callable[[str], None]

    def run(self, now: datetime, symbols: Sequence[str] | None = None, *, read_bars: bool = True) -> Coverage:
        """Take stock of all symbols that are followed or have bars, or of some of them.

        A symbol whose files cannot be read counts as missing, with the cause, and stops no other.

        Args:
            now: sessions that are over by then are due.
            symbols: only these; bars that are missing for many symbols at once then go unnoticed.
            read_bars: look for lost minutes and doubled volumes in the bars themselves, which is most of the work.

        Raises:
            InputError: a symbol that was asked for is neither followed nor has bars.
        """
        params, causes = self.settings.checks.bars, dict[str, str]()
        due = completed_sessions(self.settings.history, self.settings.sessions, now)
        listings = self.universe.listings()
        followed, stored = listings.filter("active")["symbol"].to_list(), self.bars.symbols()
        wanted = sorted({*followed, *stored}) if symbols is None else _known(symbols, {*followed, *stored})
        here = pl.concat([SESSION_BARS.to_frame(), *self._footers(wanted, causes)])
        placed_symbols = symbols_to_report(listings, here).filter(pl.col("symbol").is_in(wanted))
        since, calendar = self.settings.history.first_session, self._calendar(due, here)
        states = session_states(placed_symbols, here, due, calendar, since)
        listings_known = ListingStore(self.bars.lake).table()
        if listings_known is not None:
            states = without_absences(states, absences(states, listings_known, "day"))
        before = here.filter(pl.col("bars") > 0, pl.col("day") < since)
        table, minutes, findings = coverage_table(states, placed_symbols), REGULAR_MINUTES.to_frame(), list[Finding]()
        prints = LISTED_PRINTS.to_frame()
        if read_bars:
            volumes, minutes, suspects = self._read(here, causes, by_minute=symbols is None)
            table, prints = with_volumes(table, volumes, params), list_prints(suspects, self.bars.lake)
            findings += [doubled_volumes(table, params), missing_minutes(minutes, params)]
            findings.append(suspect_print(prints, int(table["bars"].sum())))
        texts = pl.DataFrame({"symbol": list(causes), "cause": list(causes.values())}, schema_overrides=_TEXTS)
        table = table.drop("cause").join(texts, on="symbol", how="left", maintain_order="left")
        return Coverage(
            table=table,
            holes=holes(states, calendar),
            lost=lost_runs(minutes, params),
            prints=prints,
            due=due,
            first_bar=before["day"].min(),  # type: ignore[arg-type]
            symbols_before=before["symbol"].n_unique(),
            causes=causes,
            findings=tuple(findings),
            renamed=RENAMED.to_frame() if listings_known is None else renamed(listings_known, wanted),
        )

    def _calendar(self, due: Sequence[date], here: pl.DataFrame) -> list[date]:
        """The sessions from the first that is due or here to the last."""
        days = [*due[:1], *due[-1:], *here["day"].unique()]
        return sessions_between(min(days), max(days), self.settings.sessions)["date"].to_list() if days else []

    def _footers(self, symbols: Sequence[str], causes: dict[str, str]) -> Iterator[pl.DataFrame]:
        """The sessions (SESSION_BARS) of each symbol, from footers."""
        for symbol in with_progress(symbols, len(symbols), "symbols counted", self.log):
            try:
                yield self.bars.session_bars([symbol])
            except LakeError as error:
                causes[symbol] = str(error)

    def _read(
        self, here: pl.DataFrame, causes: dict[str, str], *, by_minute: bool
    ) -> tuple[pl.DataFrame, pl.DataFrame, list[pl.DataFrame]]:
        """Volumes (VOLUMES), minutes (REGULAR_MINUTES, if asked for) and suspect prints of the bars of all sessions."""
        volumes, minutes, prints = [VOLUMES.to_frame()], REGULAR_MINUTES.to_frame(), list[pl.DataFrame]()
        if here.is_empty():
            return volumes[0], minutes, prints
        batches = _batches(here)
        sessions = sessions_between(here["day"].min(), here["day"].max(), self.settings.sessions)  # type: ignore[arg-type]
        for batch in with_progress(batches, len(batches), "batches of bars read", self.log):
            for bars in self._readable(batch, causes):
                volumes.append(session_volumes(bars.lazy()).collect())
                prints.append(suspect_prints(bars, self.settings.checks.bars.suspect_print))
                if by_minute:
                    counts = minute_counts(bars, sessions, self.settings.checks.bars)
                    minutes = pl.concat([minutes, counts]).group_by("minute").sum()
        return pl.concat(volumes), minutes, prints

    def _readable(self, symbols: Sequence[str], causes: dict[str, str]) -> Iterator[pl.DataFrame]:
        """The bars of `symbols`, in one frame if they can be read, else of each that can."""
        try:
            yield self.bars.load(symbols, (*COLUMNS_READ, "volume"))
        except LakeError as error:
            if len(symbols) == 1:
                causes[symbols[0]] = str(error)
                return
            for symbol in symbols:
                yield from self._readable([symbol], causes)


_TEXTS: Final = {"symbol": pl.String(), "cause": pl.String()}


def _known(symbols: Sequence[str], known: set[str]) -> list[str]:
    strangers = sorted(set(symbols) - known)
    if strangers:
        raise InputError(
            f"{', '.join(strangers)}: neither followed nor with bars in the lake. Symbols are written as the vendor "
            "does, in capitals; `smallcaps coverage` without --symbol shows all."
        )
    return sorted(set(symbols))


def _batches(here: pl.DataFrame) -> list[list[str]]:
    """Symbols that have bars, those together that are read together."""
    sizes = here.group_by("symbol").agg(pl.col("bars").sum()).filter(pl.col("bars") > 0).sort("symbol")
    numbered = sizes.with_columns(batch=(pl.col("bars").cum_sum() - 1) // _BARS_AT_ONCE)
    return [batch["symbol"].to_list() for batch in numbered.partition_by("batch", maintain_order=True)]
