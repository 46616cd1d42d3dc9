"""Metadata of the controls: how many there are, why others have none, then figures to plot and the first rows."""

from typing import Final

import polars as pl

from smallcaps_assets.defs.metadata.entries import FIRST_ROWS, Metadata, in_words, new_york, round_value, table
from smallcaps_assets.domain.research.cohorts.follow_up import PRIMARY_SPEC
from smallcaps_assets.domain.research.tables.research_labels import label_figures
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.pipeline.research.controls.selecting import ChosenControls
from smallcaps_assets.settings.settings import Profile

# what became of events, in words
_REASONS: Final = {
    "tape_not_complete": "tape not complete",
    "at_symbol_limit": "symbol has enough controls",
    "no_earlier_day": "no earlier trading day",
    "other_session": "other session on all days",
    "early_close": "early close on one day only",
    "split_since": "split since then",
    "other_listing": "another company's ticker then",
    "event_near": "events near the minute",
    "few_bars": "fewer bars than needed",
    "beyond_share": "after the last control allowed",
}


def choice_metadata(chosen: ChosenControls, profile: Profile) -> Metadata:
    """Metadata of `<profile>/control_manifest`."""
    selection = chosen.selection
    figures = selection.figures
    counts = {**selection.without, **{name: count for name, count in figures.items() if name in _REASONS}}
    reasons = {words: counts[name] for name, words in _REASONS.items() if counts.get(name)}
    columns = {"event without a control": pl.String, "events": pl.Int64}
    listed = pl.DataFrame(list(reasons.items()), schema=columns, orient="row")
    windows = count_noun(figures["windows"], "window")
    cost = f"`smallcaps plan --profile {profile}` shows what capturing them costs" if figures["windows"] else ""
    verdict = f"{count_noun(figures['controls'], 'control')} in {windows} for {count_noun(figures['events'], 'event')}"
    first = selection.controls.head(FIRST_ROWS)
    shown = ("rank", "symbol", new_york("timestamp"), in_words("session"), "control_of")
    return {
        "verdict": "; ".join(filter(None, (verdict, cost))),
        **({"without": table(listed)} if reasons else {}),
        **({"long windows": chosen.long_windows} if chosen.long_windows else {}),
        **({} if chosen.splits_known else {"splits": "never fetched: no day was left out for a split"}),
        "dagster/row_count": figures["controls"],
        **{name: count for name, count in figures.items() if name != "controls"},
        **{f"without/{name}": count for name, count in selection.without.items()},
        **({"first_rows": table(first.select(shown))} if first.height else {}),
        "manifest_id": chosen.manifest_id,
    }


def features_metadata(rows: pl.DataFrame, labels: pl.DataFrame) -> Metadata:
    """Metadata of `<profile>/control_features`, from its rows (CONTROL_FEATURES) and those of CONTROL_LABELS."""
    with_tape = rows.filter(pl.col("capture_state_bar") == "complete/complete").height
    with_bar = rows["close"].count()
    figures = label_figures(labels.lazy().filter(label_spec=PRIMARY_SPEC)).collect().row(0, named=True)
    return {
        "verdict": f"{count_noun(rows.height, 'control')}: {with_tape:,} with complete tape, {with_bar:,} with a bar "
        "in their minute",
        "dagster/row_count": rows.height,
        "with complete tape": with_tape,
        "with a bar": with_bar,
        **{name.replace("_", " "): round_value(value) for name, value in figures.items() if value is not None},
    }
