"""`smallcaps import bars`: import minute bars into the lake and record them as materialized."""

import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import dagster as dg

from smallcaps_assets.commands.console import show
from smallcaps_assets.commands.files import table_files
from smallcaps_assets.commands.flag_types import column_names, price_scale
from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.defs.metadata.entries import limit_lines
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.recording.events import report_imported
from smallcaps_assets.domain.bars.unknown import describe_unknown
from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.imports.columns import require_timezone
from smallcaps_assets.domain.symbols import ExchangeTestSymbols, describe_test_symbols
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bar_files.month_files import combine_fingerprints, count_bars
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.publish import require_writable
from smallcaps_assets.lake.imports import record_import
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.imports.bar_files import BarReader, describe_absent
from smallcaps_assets.pipeline.imports.bar_messages import describe_bad_rows
from smallcaps_assets.pipeline.imports.bars import BarImport
from smallcaps_assets.pipeline.imports.symbol_names import SUFFIXES
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.source import require_real
from smallcaps_assets.pipeline.unexpected import UnexpectedErrors
from smallcaps_assets.settings.settings import Settings, lake_path

NEEDS: Final = """parquet, csv or csv.gz files: symbol=X/date=Y.parquet, one file per symbol (X.parquet in capitals,
symbol=X.parquet), or files of many symbols with a column symbol. Columns, in capitals or not: symbol, timestamp,
open, high, low, close, volume, and optionally vwap and transactions; the vendor's flat files (ticker, window_start)
are read as they are. Other columns are ignored. A 32-bit price becomes the shortest decimal that it stands for:
12.34, not 12.340000152587890625.

Bars must be as traded. Split-adjusted prices cannot be told apart from prices as traded: with them you find wrong
events, and compare them with a tape that is not adjusted.

A session that has bars afterwards is not downloaded any more, even if the files hold only a part of it. Bars on days
without a session, or of a session that is not over, are left out and counted; bad bars are quarantined with the
reason. A file with many bars outside every session, and a session in which many minutes differ from the lake's or
between the files, are rejected: most likely the time zone is wrong. So are sessions of bars of 5 minutes, an hour or
seconds. Run it again at any time: what is published is not read again."""
EXAMPLE: Final = "smallcaps import bars minute --timezone America/New_York"

_UNIVERSE: Final = dg.AssetKey("universe")
MINUTE_BARS: Final = dg.AssetKey("minute_bars")
# no bars of US stocks by the minute are older
EARLIEST: Final = date(1990, 1, 1)
# symbols recorded in Dagster together, so that few are unrecorded when a process is killed
RECORDED_AT_ONCE: Final = 100
_MOST_NAMES: Final = 10
# figures of a symbol that say that its bars are not what they were
CHANGES: Final = ("bars_new", "bars_replaced", "bars_filled", "sessions_covered")
_INCOMPLETE: Final = 1


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("path", metavar="PATH", help="a file, a folder (searched recursively), or a quoted pattern")
    parser.add_argument(
        "--timezone", metavar="ZONE", help="time zone of timestamps without one, such as America/New_York"
    )
    parser.add_argument("--unit", choices=("s", "ms", "us", "ns"), help="unit of numeric timestamps")
    parser.add_argument(
        "--timestamp-is",
        choices=("start", "end"),
        default="start",
        help="end of the minute that a timestamp marks (default: start)",
    )
    parser.add_argument(
        "--columns",
        type=column_names,
        default={},
        metavar="OURS=THEIRS,...",
        help="column names of the files, such as timestamp=t,open=o,high=h",
    )
    parser.add_argument(
        "--price-scale",
        type=price_scale,
        metavar="DOLLARS",
        help="dollars that a price of 1 stands for: 1e-9, 1e-4, 0.01 for cents, or 1 for whole dollars",
    )
    parser.add_argument(
        "--on-conflict",
        choices=("keep", "replace"),
        help="if bars of one minute differ: keep the lake's bar, else the first of the files (default), or replace it "
        "by the last of the files. Without this flag, sessions in which many minutes differ are rejected",
    )
    parser.add_argument(
        "--allow-outside",
        action="store_true",
        help="accept files with many bars outside 04:00 to 20:00 New York or on days without a session",
    )
    parser.add_argument(
        "--complete",
        action="store_true",
        help="the files hold every session between a symbol's first and last bar: fetch none in between",
    )
    parser.add_argument("--followed-only", action="store_true", help="ignore symbols that the universe does not follow")
    add_data_flags(parser)


def run(arguments: Namespace) -> int:
    """Import every bar of `path` that is not in the lake, and report the result.

    Returns 1 where some files or symbols could not be imported and others were, or where many rows are bad.

    Raises:
        InputError: there is no file, or none could be imported.
    """
    settings = enter(arguments)
    form = _form(arguments)
    paths = table_files(arguments.path, SUFFIXES, show)
    lake = Lake(lake_path(settings))
    universe = UniverseStore(lake)
    require_real(universe, settings.source, "bars")
    files = BarReader(
        form,
        only=_followed(universe) if arguments.followed_only else None,
        unexpected=UnexpectedErrors(lake, "read bars"),
    )
    require_writable(lake.root)
    work = BarImport(
        store=BarsStore(lake),
        files=files,
        over=_sessions_over(settings),
        replace=arguments.on_conflict == "replace",
        complete=arguments.complete,
        decided=arguments.on_conflict is not None,
        allow_outside=arguments.allow_outside,
        begin=lambda: record_import(lake, "bars"),
    )
    problems: list[str] = []
    sources = files.sources(paths, work.options, problems)
    figures = Counter[str]()
    with open_state(settings) as instance:
        recorder = _Recorder(instance, settings, work.store, str(Path(arguments.path).resolve()))
        outcomes = work.run(sources, show)
        while some := list(islice(outcomes, RECORDED_AT_ONCE)):
            recorder.record(some)
            problems += [problem for outcome in some for problem in outcome.problems]
            for outcome in some:
                figures.update({name: int(count) for name, count in outcome.figures.items()})
            figures["before"] += sum(not (outcome.figures or outcome.problems) for outcome in some)
    notes = describe_unknown(figures) + describe_absent(work.files.absent)
    notes += _describe_symbols(recorder.symbols, universe.followed(), universe.test_symbols(settings.universe))
    _report(paths, figures, recorder.symbols, work, notes)
    first = recorder.first
    if first and first < settings.history.first_session:
        show(
            f"bars from {first} on lie before history.first_session {settings.history.first_session}: nothing so "
            f"early is fetched by itself; set it to {first} to have holes filled, which `smallcaps coverage` shows"
        )
    return _verdict(arguments.path, problems, figures, recorder.symbols, work)


def _describe_symbols(symbols: set[str], followed: Collection[str], test_symbols: ExchangeTestSymbols) -> list[str]:
    """Sentences on symbols of which no events are made, and on those that the universe does not follow."""
    tests = test_symbols.among(symbols)
    notes = [describe_test_symbols(tests)] if tests else []
    others = sorted(symbols.difference(followed, tests))
    if others:
        more = f" and {len(others) - _MOST_NAMES:,} more" if len(others) > _MOST_NAMES else ""
        notes.append(
            f"{count_noun(len(others), 'symbol')} that the universe does not follow: "
            f"{', '.join(others[:_MOST_NAMES])}{more}. Their bars are used, but nothing is fetched for them"
        )
    return notes


def _verdict(path: str, problems: Sequence[str], figures: Mapping[str, int], symbols: set[str], work: BarImport) -> int:
    """Report problems; returns the exit code."""
    if problems:
        show(limit_lines(problems), file=sys.stderr)
        many = f"{path}: {count_noun(len(problems), 'problem')} with files or symbols, named above"
        if not symbols:
            raise InputError(f"{many}; not a bar was imported. Mend what they say, then run again.")
        show(
            f"{many}: what they name was not imported whole, everything else is in the lake. Mend or remove it, then "
            "run the same again: what is imported and unchanged is not read again.",
            file=sys.stderr,
        )
    # rows of files that are not read again count as they did, so that the same files give the same exit code
    bad_rows, rows = work.rejected.bad + work.before.bad, figures["rows_read"] + work.before.rows
    bad = describe_bad_rows(path, bad_rows, rows)
    if bad:
        show(
            f"{bad[0]} If they were read wrongly, say how they are to be read and run again: those that come right "
            "leave the quarantine.",
            file=sys.stderr,
        )
    return _INCOMPLETE if problems or bad else 0


class _Recorder:
    """Records imported symbols in Dagster."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings, store: BarsStore, path: str) -> None:
        self._instance, self._settings, self._store, self._path = instance, settings, store, path
        self._known = set(instance.get_materialized_partitions(MINUTE_BARS))
        self.symbols: set[str] = set()
        # the first session with bars of the symbols that changed
        self.first: date | None = None

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Add partitions for the symbols; record those that changed or were never materialized."""
        symbols = {outcome.partition[0] for outcome in outcomes if outcome.partition and self._has_bars(outcome)}
        self._instance.add_dynamic_partitions(SYMBOLS.name or "", sorted(symbols))
        by_symbol: dict[str, Counter[str]] = {symbol: Counter() for symbol in symbols}
        for outcome in outcomes:
            for symbol in symbols.intersection(outcome.partition):
                by_symbol[symbol].update({name: int(count) for name, count in outcome.figures.items()})
        changed = {symbol for symbol, figures in by_symbol.items() if any(figures[name] for name in CHANGES)}
        to_record = sorted(changed | (symbols - self._known))
        report_imported(
            self._instance,
            self._settings,
            MINUTE_BARS,
            {symbol: self._outcome(symbol, by_symbol[symbol]) for symbol in to_record},
            upstream=[_UNIVERSE],
            metadata={"imported_from": dg.MetadataValue.path(self._path)},
        )
        self._known |= symbols
        self.symbols |= symbols

    def _has_bars(self, outcome: Outcome) -> bool:
        return not outcome.problems and bool(not outcome.figures or outcome.figures["sessions"])

    def _outcome(self, symbol: str, figures: Mapping[str, int]) -> Outcome:
        marks = self._store.fingerprints(symbol)
        with_bars = [day for day, mark in marks.items() if count_bars(mark)]
        self.first = min([*with_bars, *([self.first] if self.first else [])], default=None)
        rows = sum(map(count_bars, marks.values()))
        return Outcome(
            (symbol,), {**figures, "sessions_in_lake": len(marks)}, rows=rows, version=combine_fingerprints(marks)
        )


def _form(arguments: Namespace) -> BarForm:
    require_timezone(arguments.timezone)
    return BarForm(arguments.timezone, arguments.unit, arguments.timestamp_is, arguments.columns, arguments.price_scale)


def _followed(universe: UniverseStore) -> frozenset[str]:
    """The symbols that are followed.

    Raises:
        InputError: there are none, so that every file would be left aside.
    """
    followed = frozenset(universe.followed())
    if not followed:
        raise InputError(
            f"--followed-only: the universe of {universe.lake.root} follows no symbol, so nothing would be imported. "
            "Materialize universe first, or leave the flag out."
        )
    return followed


def _sessions_over(settings: Settings) -> list[date]:
    since = settings.history.model_copy(update={"first_session": EARLIEST, "last_session": None})
    return completed_sessions(since, settings.sessions, datetime.now(UTC))


def _report(
    paths: Sequence[Path], figures: Counter[str], symbols: set[str], work: BarImport, notes: Sequence[str]
) -> None:
    kept = figures["bars_differing"] - figures["bars_replaced"]
    if figures["before"]:
        show("files that were imported before, and whose bars are all there, were not read again")
        for line in work.before.lines():
            show(line)
    show(
        f"{count_noun(len(paths), 'file')}, {count_noun(len(symbols), 'symbol')}: "
        f"{count_noun(figures['bars_new'], 'bar')} new, {figures['bars_equal']:,} "
        f"as the lake has them, {count_clause(kept, 'differs', 'differ')} and the lake's stay, "
        f"{figures['bars_replaced']:,} replaced"
    )
    if figures["bars_filled"]:
        show(f"{count_noun(figures['bars_filled'], 'bar')} that lacked vwap or transactions have them now")
    show(
        f"left out: {count_noun(figures['rows_on_other_days'], 'bar')} on days without a session, "
        f"{figures['rows_not_over']:,} of "
        "sessions that are not over"
    )
    if figures["bars_off_hours"]:
        show(
            f"kept: {count_noun(figures['bars_off_hours'], 'bar')} outside 04:00 to 20:00 New York, of which no event "
            "is made"
        )
    if figures["rows_repeated"]:
        show(
            f"{count_clause(figures['rows_repeated'], 'row repeats', 'rows repeat')} another of the same "
            f"import exactly: counted once"
        )
    if figures["rows_quarantined"]:
        copies = (
            f" ({count_clause(figures['rows_copies'], 'exact copy', 'exact copies')} of them)"
            if figures["rows_copies"]
            else ""
        )
        show(
            f"{count_noun(figures['rows_quarantined'], 'bad row')} quarantined in {work.store.lake.quarantine}{copies}:"
        )
        show(*work.rejected.lines())
    if work.files.extra:
        show(f"ignored columns: {', '.join(sorted(work.files.extra))}")
    for note in notes:
        show(note)
    if any(figures[name] for name in CHANGES):
        show("next: materialize event_shards of these symbols, then master_events and the manifests")
