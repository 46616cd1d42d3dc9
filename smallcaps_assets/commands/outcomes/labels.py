"""`smallcaps labels`: how labels ended, what they returned before and after costs, and why some say nothing."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any, Final

from smallcaps_assets.commands.console import Line, Printable, TextTable, show
from smallcaps_assets.commands.outcomes.shown import SPEC_NAMES, bps_interval, bps_text, share_text
from smallcaps_assets.commands.workplace import add_data_flags, enter, existing_lake
from smallcaps_assets.domain.research.outcomes.event_costs import COST_SOURCES
from smallcaps_assets.domain.research.outcomes.label_summary import LABEL_COUNTS, NOT_COSTED, RETURN_KINDS
from smallcaps_assets.domain.research.statistics.mean_returns import MEAN_RETURNS
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.research.label_figures import LabelFigures, figures_of_labels
from smallcaps_assets.settings.settings import PROFILES, Profile

NEEDS: Final = "the assets event_labels and <profile>/event_costs, which nights, captures and the demo make."
EXAMPLE: Final = "smallcaps labels --profile core --spec 15,1,1"

_KEYS: Final = ("label_spec", "event_type", "selection")
_HINDSIGHT: Final = "MASTER is chosen with hindsight: what is said about returns needs the causal sample"
_OF_GROSS: Final = "net has fewer events than gross where costs are not known: never compare the two"


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="whose costs (default: the active profile)")
    parser.add_argument(
        "--spec",
        action="append",
        choices=SPEC_NAMES,
        metavar="SPEC",
        help=f"only labels of these minutes, profit and stop: {', '.join(map(repr, SPEC_NAMES))}; may be repeated "
        "(default: all)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text; returns are fractions")


def run(arguments: Namespace) -> int:
    """Print counts, returns and sources of costs by label spec, event type and sample.

    Raises:
        InputError: there are no events, labels or costs yet; says what to materialize.
        LakeError: a file is damaged.
    """
    settings = enter(arguments)
    lake = existing_lake(arguments, settings)
    profile: Profile = arguments.profile or settings.active_profile
    found = figures_of_labels(lake, profile)
    specs = [spec for spec in SPEC_NAMES if spec in (arguments.spec or SPEC_NAMES)]
    rows = [row for row in found.summary.to_dicts() if row["label_spec"] in specs]
    if arguments.json:
        print(json.dumps(_document(lake, profile, found, rows)))
    else:
        title = f"labels of {count_noun(found.symbols, 'symbol')}, with the costs of {profile}"
        show(Line(f"lake {lake.root}", "heading"), title, *_missing(found))
        for spec in specs:
            show(*_tables(spec, [row for row in rows if row["label_spec"] == spec]))
        some_unknown = any(row["net_n"] < row["gross_n"] for row in rows)
        show(Line(_HINDSIGHT, hanging=2), *([Line(_OF_GROSS, hanging=2)] if some_unknown else []))
    return 0


def _missing(found: LabelFigures) -> list[Printable]:
    """MASTER events without labels."""
    if not found.unlabeled:
        return []
    clause = count_clause(found.unlabeled, "MASTER event has no labels", "MASTER events have no labels")
    why = "their tables are behind (materialize event_labels), or they have no bar of their own"
    return [Line(f"{clause}, such as {', '.join(found.unlabeled_named)}: {why}", "note", hanging=2)]


def _tables(spec: str, rows: list[dict[str, Any]]) -> list[Printable]:
    """How labels of one spec ended, what they returned, and where costs come from."""
    if not rows:
        return [f"{spec}: no labels"]
    ends = [
        (
            *_names(row),
            *(f"{row[name]:,}" for name in ("events", "no_entry", "no_scale", "ok")),
            *(share_text(row[name], row["ok"]) for name in ("profit", "stop", "neither", "ties")),
        )
        for row in rows
    ]
    returns = [(*_names(row), *_returns(row, "gross"), *_returns(row, "net")) for row in rows]
    sources = [
        (*_names(row), *(share_text(row[f"cost_{name}"], row["ok"]) for name in COST_SOURCES), f"{row[NOT_COSTED]:,}")
        for row in rows
    ]
    of_returns = ("days", "wins", "mean bps", "95 %")
    return [
        TextTable(
            (f"ends {spec}", "sample", "events", "no entry", "no scale", "ok", "profit", "stop", "neither", "ties"),
            ends,
            left=2,
        ),
        TextTable((f"returns {spec}", "sample", "gross n", *of_returns, "net n", *of_returns), returns, left=2),
        TextTable((f"costs {spec}", "sample", *COST_SOURCES, "not made yet"), sources, left=2),
    ]


def _names(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["event_type"].replace("_", " "), "MASTER" if row["selection"] == "master" else row["selection"]


def _returns(row: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    return (
        f"{row[f'{kind}_n']:,}",
        f"{row[f'{kind}_n_days']:,}",
        share_text(row[f"{kind}_win_rate"]),
        bps_text(row[f"{kind}_mean"]),
        bps_interval(row, f"{kind}_mean_lo", f"{kind}_mean_hi"),
    )


def _document(lake: Lake, profile: Profile, found: LabelFigures, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "lake": str(lake.root),
        "profile": profile,
        "symbols": found.symbols,
        "master_events_without_labels": found.unlabeled,
        "labels": [
            {
                **{name: row[name] for name in (*_KEYS, *LABEL_COUNTS)},
                **{kind: {name: row[f"{kind}_{name}"] for name in MEAN_RETURNS} for kind in RETURN_KINDS},
            }
            for row in rows
        ],
    }
