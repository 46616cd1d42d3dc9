"""`smallcaps audit`: fetch some published spans again and report what the vendor changed since."""

import json
import random
import sys
from argparse import ArgumentParser, Namespace
from datetime import datetime
from functools import partial
from typing import Any, Final

import polars as pl

from smallcaps_assets.commands.console import Line, Printable, TextTable, show
from smallcaps_assets.commands.flag_types import positive_number
from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.defs.resources import client_of
from smallcaps_assets.defs.runs.pool import vendor_slot
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.source import require_payable
from smallcaps_assets.pipeline.tape.audit import Audit
from smallcaps_assets.pipeline.unexpected import is_unexpected
from smallcaps_assets.settings.settings import PROFILES, Profile, lake_path

NEEDS: Final = "a lake with tape, and the source it came from."
EXAMPLE: Final = "smallcaps audit --profile core --sample 20"

SEEDS: Final = 1_000_000
_UNEXPECTED: Final = 1
_CHANGES: Final = ("added", "removed", "altered")


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="whose windows (default: active_profile)")
    parser.add_argument("--sample", type=positive_number, default=10, metavar="N", help="number of spans (default: 10)")
    parser.add_argument("--sample-seed", type=int, metavar="N", help="the same seed draws the same sample")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: Namespace) -> int:
    """Print which of the sampled spans changed, and how. Changes are no error: the exit code is 0.

    It is 1 where files of tape are damaged, or a span met an error that nobody foresaw.

    Raises:
        InputError: there is no tape, the lake holds data of another source, or its universe is above the limits.
        NotAuthenticated, NotEntitled: the vendor refuses.
    """
    settings = enter(arguments)
    profile: Profile = arguments.profile or settings.active_profile
    lake = Lake(lake_path(settings))
    require_payable(UniverseStore(lake), settings)
    seed = random.randrange(SEEDS) if arguments.sample_seed is None else arguments.sample_seed  # noqa: S311 -- no secret
    report = partial(show, file=sys.stderr if arguments.json else sys.stdout)
    tape = TapeStore(lake, profile, settings.profiles[profile])
    report(Line(f"profile {profile}:", "heading"))
    with open_state(settings) as instance:
        client = client_of(settings.source, instance)
        before = client.totals().requests_sent
        audit = Audit(tape, client, settings.fetch_threads, lambda line: report(f"  {line}"))
        with vendor_slot(instance, lambda line: report(f"  {line}")):
            found = audit.run(arguments.sample, seed)
    figures = _figures(found) | {"requests": client.totals().requests_sent - before}
    if arguments.json:
        document = {"profile": profile, "sample_seed": seed, **figures, "spans": found.to_dicts()}
        print(json.dumps(document, default=datetime.isoformat))
    else:
        show(*_text(found, figures))
    return _UNEXPECTED if audit.damaged or any(map(is_unexpected, found["cause"].drop_nulls())) else 0


def _has_changes() -> pl.Expr:
    return pl.sum_horizontal(_CHANGES) > 0


def _figures(found: pl.DataFrame) -> dict[str, Any]:
    compared = found.filter(pl.col("cause").is_null())
    changed = compared.filter(_has_changes()).height
    return {
        "sampled": found.height,
        "compared": compared.height,
        "changed": changed,
        "changed_pct": 100 * changed / compared.height if compared.height else None,
        "rows": int(compared["rows"].sum()),
        **{name: int(compared[name].sum()) for name in _CHANGES},
        "oldest_fetched_at": found["fetched_at"].min(),
        "newest_fetched_at": found["fetched_at"].max(),
    }


def _text(found: pl.DataFrame, figures: dict[str, Any]) -> list[Printable]:
    lines: list[Printable] = []
    changed = found.filter(_has_changes()).to_dicts()
    if changed:
        columns = ("kind", "symbol", "wave", "span, UTC", "fetched at, UTC", "rows", *_CHANGES)
        lines.append(TextTable(columns, [_row(row) for row in changed], left=5))
    lines += [
        f"  not compared: {row['kind']} {row['symbol']} {row['wave']} {row['start']:%Y-%m-%d %H:%M}: {row['cause']}"
        for row in found.filter(pl.col("cause").is_not_null()).to_dicts()
    ]
    share = "none could be compared" if figures["changed_pct"] is None else f"{figures['changed_pct']:.1f} %"
    of_rows = ", ".join(f"{figures[name]:,} {name}" for name in _CHANGES)
    return [
        *lines,
        f"  {figures['changed']:,} of {count_noun(figures['compared'], 'span')} compared changed ({share})",
        f"  of {count_noun(figures['rows'], 'stored row')}: {of_rows}; {count_noun(figures['requests'], 'request')}",
        f"  fetched between {_minute(figures['oldest_fetched_at'])} and {_minute(figures['newest_fetched_at'])} UTC",
    ]


def _row(row: dict[str, Any]) -> list[str]:
    span = f"{row['start']:%Y-%m-%d %H:%M} - {row['end']:%H:%M}"
    counts = [f"{row[name]:,}" for name in ("rows", *_CHANGES)]
    return [row["kind"], row["symbol"], row["wave"], span, _minute(row["fetched_at"]), *counts]


def _minute(moment: datetime | None) -> str:
    return "unknown" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
