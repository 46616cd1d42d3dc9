"""`smallcaps cohorts`: which kinds of events paid after costs and which did not, as known when a month began."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.commands.console import Line, Printable, TextTable, show
from smallcaps_assets.commands.flag_types import month_begin, positive_number
from smallcaps_assets.commands.outcomes.shown import SPEC_NAMES, bps_interval, bps_text, share_text
from smallcaps_assets.commands.workplace import add_data_flags, enter, existing_lake
from smallcaps_assets.domain.research.cohorts.follow_up import PRIMARY_SPEC, may_select
from smallcaps_assets.domain.research.cohorts.ranking import (
    RankedCohorts,
    describe_costed,
    describe_q,
    describe_withheld,
    rank_cohorts,
)
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.cohorts import load_cohorts
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.research.cohort_source import (
    CohortSource,
    how_to_know_costs,
    source_of_cohorts,
    why_untested,
)
from smallcaps_assets.pipeline.research.joined_cohorts import changes_of_cohorts
from smallcaps_assets.pipeline.research.joined_outcomes import JoinedOutcomes
from smallcaps_assets.pipeline.research.label_figures import require_labels
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

NEEDS: Final = "the asset <profile>/cohorts, which nights, captures and the demo make."
EXAMPLE: Final = "smallcaps cohorts --profile core --top 5"

_TOP: Final = 10
_COLUMNS: Final = (
    *("n", "eff. n", "days", "symbols", "wins", "mean bps", "95 %", "q", "confirm n", "confirm bps", "costed"),
    "winning",
)


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="whose costs (default: the active profile)")
    parser.add_argument(
        "--as-of",
        type=month_begin,
        metavar="MONTH",
        help="as known when this month began, such as 2025-12 (default: the last there is)",
    )
    parser.add_argument(
        "--spec",
        choices=SPEC_NAMES,
        default=PRIMARY_SPEC,
        metavar="SPEC",
        help=f"minutes, profit and stop of the labels: {', '.join(map(repr, SPEC_NAMES))} (default: {PRIMARY_SPEC})",
    )
    parser.add_argument(
        "--top", type=positive_number, default=_TOP, metavar="N", help=f"best and worst to print (default: {_TOP})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text; returns are fractions")


class _Shown(NamedTuple):
    """The cohorts of one sample; why none is tested, why winning ones select no event, what has changed since."""

    as_of: date | None
    selection: str
    rows: pl.DataFrame
    ranked: RankedCohorts
    source: CohortSource
    why: str | None
    withheld: str | None
    changes: list[str]


def run(arguments: Namespace) -> int:
    """Print the best and the worst of the tested cohorts; where none is tested, why, and the largest.

    Raises:
        InputError: no label has costs yet, or there are no cohorts at --as-of.
        LakeError: they are not made yet, or a file is damaged.
    """
    settings = enter(arguments)
    lake = existing_lake(arguments, settings)
    profile: Profile = arguments.profile or settings.active_profile
    require_labels(lake, profile)
    shown = _choose(lake, profile, settings, arguments)
    if arguments.json:
        print(json.dumps(_document(lake, profile, arguments.spec, shown), default=date.isoformat))
    else:
        show(Line(f"lake {lake.root}", "heading"), *_text(profile, arguments.spec, shown))
    return 0


def _choose(lake: Lake, profile: Profile, settings: Settings, arguments: Namespace) -> _Shown:
    """The cohorts of the causal sample at --as-of, or of MASTER where no candidates are kept.

    Raises:
        InputError: there are no cohorts at --as-of.
        LakeError: see `run`.
    """
    everything = load_cohorts(lake, profile)
    known = everything["as_of"].unique().sort().to_list()
    if arguments.as_of is not None and arguments.as_of not in known:
        there_are = f"There are {known[0]} to {known[-1]}." if known else "There are none yet."
        raise InputError(f"--as-of {arguments.as_of}: {profile} has no cohorts of this month. {there_are}")
    as_of = arguments.as_of or (known[-1] if known else None)
    of_spec = everything.filter(pl.col("as_of") == pl.lit(as_of, pl.Date), label_spec=arguments.spec)
    causal = of_spec.filter(selection="causal")
    selection = "causal" if causal.height or of_spec.is_empty() else "master"
    rows = causal if selection == "causal" else of_spec
    outcomes = JoinedOutcomes(lake, settings.research.params, settings.sessions, settings.ranking, settings.universe)
    source = source_of_cohorts(lake, profile, arguments.spec)
    params = settings.research.params
    return _Shown(
        as_of=as_of,
        selection=selection,
        rows=rows,
        ranked=rank_cohorts(rows, arguments.top),
        source=source,
        why=why_untested(rows, params, source, profile),
        withheld=describe_withheld(rows, params),
        changes=changes_of_cohorts(outcomes, profile),
    )


def _text(profile: Profile, label_spec: str, shown: _Shown) -> list[Printable]:
    notes = [f"{shown.withheld}: {how_to_know_costs(profile)}"] if shown.withheld else []
    notes += shown.source.notes(profile)
    if shown.changes:
        notes.append(f"made before {', '.join(shown.changes)} changed: materialize {profile}/cohorts")
    behind = [Line(f"note: {words}", "note", hanging=2) for words in notes]
    if shown.rows.is_empty():
        return [f"cohorts of {profile}, {label_spec}: none", Line(f"why: {shown.why}", "note", hanging=2), *behind]
    tested, winning = int(shown.rows["tested"][0]), int(shown.rows["winning"].sum())
    sample = "causal sample" if shown.selection == "causal" else "MASTER, chosen with hindsight: no candidates are kept"
    title = f"cohorts of {profile}, {label_spec}, as of {shown.as_of} ({sample}): {shown.rows.height:,} in all"
    if shown.why is not None:
        table = _table("largest, not tested", shown.ranked.largest)
        return [title, Line(f"none is tested: {shown.why}", "note", hanging=2), table, *behind]
    title += f", {tested:,} tested together, {winning or 'none'} winning"
    tables = [_table(name, rows) for name, rows in _tables(shown.ranked) if rows.height]
    left_out = tested - shown.ranked.best.height - shown.ranked.worst.height
    more = [f"  {left_out:,} of the tested are between them"] if left_out else []
    proof = f"the proof of a winning cohort is the events from {shown.as_of} on, which none of these figures has seen"
    return [title, *tables, *more, Line(proof, hanging=2), *behind]


def _tables(ranked: RankedCohorts) -> Sequence[tuple[str, pl.DataFrame]]:
    return ("best", ranked.best), ("worst", ranked.worst)


def _table(title: str, rows: pl.DataFrame) -> TextTable:
    return TextTable((title, *_COLUMNS), [_cells(row) for row in rows.to_dicts()])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["cohort_id"],
        f"{row['n']:,}",
        f"{row['effective_n']:,.1f}",
        f"{row['n_days']:,}",
        f"{row['n_symbols']:,}",
        share_text(row["win_rate"]),
        bps_text(row["mean"]),
        bps_interval(row),
        describe_q(row["q_value"]),
        f"{row['confirm_n']:,}",
        bps_text(row["confirm_mean"]),
        describe_costed(row["costed_share"]),
        _winning_text(row),
    )


def _winning_text(row: dict[str, Any]) -> str:
    if not row["winning"]:
        return ""
    return "yes, selects nothing" if row["selects"] is False else "yes"


def _document(lake: Lake, profile: Profile, label_spec: str, shown: _Shown) -> dict[str, Any]:
    rows = shown.rows
    return {
        "lake": str(lake.root),
        "profile": profile,
        "label_spec": label_spec,
        "as_of": shown.as_of,
        "selection": shown.selection,
        "cohorts": rows.height,
        "tested": int(rows["tested"][0]) if rows.height else 0,
        "winning": int(rows["winning"].sum()),
        "selecting": rows.filter(may_select()).height,
        "why_withheld": shown.withheld,
        "why_none_tested": shown.why,
        "changed_since": shown.changes,
        "labels": shown.source._asdict() | {"costed_share": shown.source.costed_share},
        **{name: table.to_dicts() for name, table in _tables(shown.ranked)},
        "largest": shown.ranked.largest.to_dicts() if shown.why is not None else [],
    }
