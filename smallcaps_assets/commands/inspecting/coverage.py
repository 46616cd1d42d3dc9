"""`smallcaps coverage`: expected against published minute bars."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Final

import polars as pl

from smallcaps_assets.commands.console import Printable, TextTable, show
from smallcaps_assets.commands.detecting.prints import prints_table
from smallcaps_assets.commands.workplace import add_data_flags, enter, existing_lake, flags_of
from smallcaps_assets.domain.bars.coverage import by_symbol, doubled_months
from smallcaps_assets.domain.bars.suspect_prints import count_touched, describe_prints
from smallcaps_assets.domain.listings.presence import describe_renamed
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.bars.coverage import Coverage, Inventory
from smallcaps_assets.settings.settings import Settings

NEEDS: Final = "a lake."
EXAMPLE: Final = "smallcaps coverage --symbol AVLO --symbol CRVO"

_INCOMPLETE: Final = 1
_MOST_LINES: Final = 20
_MOST_NAMES: Final = 5


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--symbol", action="append", metavar="X", help="only this symbol; may be repeated")
    parser.add_argument("--missing", action="store_true", help="list everything that is missing, not only the first")
    parser.add_argument("--fast", action="store_true", help="count sessions without reading the bars")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if sessions are missing")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: Namespace) -> int:
    """Print counts of published and missing sessions, then details.

    Returns 1 where bars cannot be read, and with `--strict` where sessions are missing.

    Raises:
        InputError: a symbol is neither followed nor has bars, or the given lake does not exist.
    """
    settings = enter(arguments)
    lake = existing_lake(arguments, settings)
    log = partial(show, file=sys.stderr)
    inventory = Inventory(BarsStore(lake), UniverseStore(lake), settings, log)
    found = inventory.run(datetime.now(UTC), arguments.symbol, read_bars=not arguments.fast)
    figures = found.figures()
    if arguments.json:
        print(json.dumps(_document(found, figures, lake), default=_iso))
    else:
        show(f"lake {lake.root}")
        show(*_summary(found, figures, settings), *_details(found, arguments, settings))
    is_short = arguments.strict and figures["symbol_sessions_missing"]
    return _INCOMPLETE if found.causes or is_short else 0


def _iso(moment: date) -> str:
    return moment.isoformat()


def _document(found: Coverage, figures: dict[str, int], lake: Lake) -> dict[str, Any]:
    return {
        "lake": str(lake.root),
        **figures,
        "first_bar_before_history": found.first_bar,
        "symbols_in_all": by_symbol(found.table).drop("sessions_lost").to_dicts(),
        "holes": found.holes.to_dicts(),
        "lost_minutes": found.lost.to_dicts(),
        "suspect_prints": found.prints.to_dicts(),
        "doubled": doubled_months(found.table).to_dicts(),
        "unreadable": found.causes,
        **({"renamed": found.renamed.to_dicts()} if found.renamed.height else {}),
    }


def _summary(found: Coverage, figures: dict[str, int], settings: Settings) -> list[str]:
    of, here, left = (figures[f"symbol_sessions_{name}"] for name in ("expected", "here", "missing"))
    states = f"{figures['symbols_complete']:,} complete, {figures['symbols_holes']:,} with holes"
    if figures["symbols_beyond"]:
        states += f", {figures['symbols_beyond']:,} with bars where none are expected"
    others = (
        f"{figures['symbols_without']:,} without a bar; "
        f"{count_clause(figures['symbols_not_followed'], 'is', 'are')} not followed"
    )
    if 0 < figures["symbols_not_followed"] < figures["symbols"]:
        others += ": expected of these are the sessions between the first bar and the last"
    pct = f" ({100 * here / of:.1f} %)" if of else ""
    between = (
        f"{count_clause(figures['symbol_sessions_empty_between'], 'has', 'have')} no bar between sessions with bars"
    )
    beyond = (
        f"{count_noun(figures['symbol_sessions_beyond'], 'symbol-session')} with bars after "
        f"history.last_session or outside of a "
        "listing"
    )
    published = count_clause(of, "symbol-session is published", "symbol-sessions are published")
    unknown = figures["symbols_listing_unknown"]
    since = (
        f"unknown of {count_noun(unknown, 'symbol')}, whose sessions are expected from "
        f"{settings.history.first_session} on"
    )
    return [
        f"expected: {_expected(found, figures)}",
        *([f"earlier:  {_earlier(found, settings)}"] if found.first_bar else []),
        f"symbols:  {figures['symbols']:,}: {states}, {others}",
        f"sessions: {here:,} of {published}{pct}, {left:,} missing; {between}",
        *([f"beyond:   {beyond}"] if figures["symbol_sessions_beyond"] else []),
        f"bars:     {figures['bars']:,}; {_volumes(found, settings)}",
        f"minutes:  {_minutes(found)}",
        f"prints:   {_prints(found)}",
        *([f"listing:  {since}"] if unknown else []),
    ]


def _expected(found: Coverage, figures: dict[str, int]) -> str:
    """The expected sessions; without followed symbols they follow from the bars."""
    if figures["symbols"] == figures["symbols_not_followed"] > 0:
        return "from the first bar to the last of each symbol, as none of them is followed"
    return (
        f"{count_noun(len(found.due), 'session')} from {found.due[0]} to {found.due[-1]}" if found.due else "none yet"
    )


def _earlier(found: Coverage, settings: Settings) -> str:
    """Bars before the history, and how to fill the holes in them."""
    return (
        f"{count_clause(found.symbols_before, 'symbol has', 'symbols have')} bars from {found.first_bar} on, "
        f"before history.first_session "
        f"{settings.history.first_session}. Sessions between the first bar and the last of each are expected, but not "
        f"fetched: set history.first_session to {found.first_bar} to fill the holes of followed symbols"
    )


def _volumes(found: Coverage, settings: Settings) -> str:
    if not found.findings:
        return "not read"
    least = settings.checks.bars.min_volumes
    judged = found.table.filter(pl.col("volumes_judged") >= least).height
    doubled = int(found.table["sessions_doubled"].sum())
    result = f"doubled volumes in {count_noun(doubled, 'symbol-session')}" if doubled else "no doubled volumes"
    months = count_clause(found.table.height, "symbol-month has", "symbol-months have")
    return f"{result} ({judged:,} of {months} enough bars to tell)"


def _minutes(found: Coverage) -> str:
    judged = next((int(one.figures["minutes"] or 0) for one in found.findings if one.name == "missing_minutes"), 0)
    if not judged:
        return "too few active symbols to tell" if found.findings else "not read"
    lost = int(found.lost["minutes"].sum())
    minutes = count_clause(judged, "regular minute is", "regular minutes are")
    return f"{lost:,} of {minutes} missing for most active symbols"


def _prints(found: Coverage) -> str:
    if not found.findings:
        return "not read"
    touched = count_touched(found.prints)
    return describe_prints(touched) if touched.bars else "no bar with a suspect high or low"


def _details(found: Coverage, arguments: Namespace, settings: Settings) -> list[Printable]:
    """Everything that is missing, or the first rows of it."""
    most = None if arguments.missing else _MOST_LINES
    causes = list(found.causes.values())
    doubled, renamed = doubled_months(found.table), found.renamed[:most].to_dicts()
    parts: tuple[tuple[str, int, list[Printable]], ...] = (
        ("cannot be read", len(causes), [f"  {cause}" for cause in causes[:most]]),
        ("minutes lost, New York", found.lost.height, [_lost(found.lost[:most])]),
        ("suspect prints", found.prints.height, [prints_table(found.prints[:most])]),
        ("doubled volumes", doubled.height, [_doubled(doubled[:most])]),
        ("holes", found.holes.height, [_holes(found.holes[:most])]),
        ("other names", found.renamed.height, [f"  {line}" for line in map(describe_renamed, renamed)]),
    )
    items: list[Printable] = []
    for title, count, details in parts:
        more = 0 if most is None else count - most
        items += [f"{title}:", *details] if count else []
        if more > 0:
            items.append(f"  and {more:,} more: `smallcaps coverage{_again(arguments)} --missing` lists all")
    return items + _remedy(found, settings)


def _again(arguments: Namespace) -> str:
    symbols = "".join(f" --symbol {symbol}" for symbol in arguments.symbol or ())
    return flags_of(arguments) + symbols + (" --fast" if arguments.fast else "")


def _lost(lost: pl.DataFrame) -> TextTable:
    clock = pl.col("first", "last").dt.convert_time_zone(NEW_YORK)
    rows = [
        (
            f"{row['first']:%Y-%m-%d}",
            f"{row['first']:%H:%M} .. {row['last']:%H:%M}",
            *(f"{row[name]:,}" for name in ("minutes", "with_bar", "active")),
        )
        for row in lost.with_columns(clock).to_dicts()
    ]
    return TextTable(("date", "from .. to", "minutes", "most symbols with a bar", "active symbols"), rows, left=2)


def _doubled(doubled: pl.DataFrame) -> TextTable:
    rows = [
        (
            row["symbol"],
            f"{row['month']:%Y-%m}",
            *(f"{row[name]:,}" for name in ("sessions_doubled", "volumes_odd", "volumes_judged")),
        )
        for row in doubled.to_dicts()
    ]
    return TextTable(("symbol", "month", "sessions", "odd volumes", "volumes"), rows, left=2)


def _holes(holes: pl.DataFrame) -> TextTable:
    rows = [
        (row["symbol"], row["hole"], f"{row['first']} .. {row['last']}", f"{row['sessions']:,}")
        for row in holes.to_dicts()
    ]
    return TextTable(("symbol", "hole", "from .. to", "sessions"), rows, left=3)


def _remedy(found: Coverage, settings: Settings) -> list[Printable]:
    """What to do about missing sessions of followed symbols within the history."""
    missing = pl.col("last_missing") >= settings.history.first_session
    symbols = found.table.filter(missing & pl.col("active"))["symbol"].unique().sort()
    if symbols.is_empty():
        return []
    return [f"next: materialize minute_bars of {_named(symbols)}; only what is missing is fetched"]


def _named(symbols: Iterable[str]) -> str:
    names: Sequence[str] = list(symbols)
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
