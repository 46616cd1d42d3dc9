"""The cohorts that select the events of a manifest, as they are kept with it: their identity, and what has changed.

Costs that become known later change cohorts of the past. A manifest is selected by the cohorts that are kept with the
first one of its `as_of`, also after these have changed.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.domain.manifests.follow_up import Admitted, CohortSelection
from smallcaps_assets.domain.manifests.selection import RankingParams
from smallcaps_assets.domain.research.cohorts.follow_up import FollowUp, events_of_winning, may_select, select_follow_up
from smallcaps_assets.domain.research.cohorts.ranking import describe_costed
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.research.tables.cohort_tables import (
    BEYOND_SPECIFICATION,
    COHORT_COLUMNS,
    SELECTING_COHORTS,
)
from smallcaps_assets.domain.tables import ADMISSION
from smallcaps_assets.domain.words import count_noun

SELECTING: Final = "causal"
# Figures that differ by less, relative to the larger one, are the same: sums have no prescribed order.
SAME_FIGURE: Final = 1e-9
_NAMED: Final = 3
_FIGURES: Final = tuple(name for name, column in COHORT_COLUMNS.items() if column.dtype == pl.Float64())
_COUNTS: Final = tuple(name for name, column in COHORT_COLUMNS.items() if column.dtype == pl.Int64())


def cohorts_at(cohorts: pl.DataFrame, members: pl.DataFrame | None, as_of: date, label_spec: str) -> pl.DataFrame:
    """The cohorts (SELECTING_COHORTS) of the selection `causal` at one as_of, sorted by cohort_id; perhaps none.

    Args:
        cohorts: COHORTS.
        members: COHORT_MEMBERS; None if they are not known.
        as_of: first day of a month.
        label_spec: of the labels.
    """
    rows = cohorts.filter(selection=SELECTING, as_of=as_of, label_spec=label_spec).sort("cohort_id")
    if members is None:
        return rows.match_to_schema(SELECTING_COHORTS, missing_columns="insert")
    own = members.filter(selection=SELECTING, as_of=as_of, label_spec=label_spec).sort("cohort_id", "event_id")
    of_cohort = own.group_by("cohort_id", maintain_order=True).agg(members="event_id")
    joined = rows.join(of_cohort, on="cohort_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("members").fill_null([])).match_to_schema(SELECTING_COHORTS)


def identity_of_cohorts(cohorts: pl.DataFrame) -> str:
    """The SHA-256 of the values of SELECTING_COHORTS, as canonical JSON: the same in every file and release.

    Columns that earlier releases did not keep do not count where they have no value.
    """
    unknown = [name for name in BEYOND_SPECIFICATION if cohorts[name].null_count() == cohorts.height]
    rows = cohorts.select(*SELECTING_COHORTS).drop(unknown).to_dicts()
    text = json.dumps(rows, default=date.isoformat, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def admit_events(
    events: pl.DataFrame,
    cohorts: pl.DataFrame,
    choice: CohortSelection,
    max_per_symbol: int,
    ranking: RankingParams,
) -> Admitted:
    """Step 2b: the events that winning cohorts select, and why.

    `in_selection_sample` says whether the event's label was in the sample of the cohorts. It is null where the members
    of the cohorts are not known and the event is before `as_of`; from `as_of` on no label is in it.

    Args:
        events: EVENTS with `time_bucket`.
        cohorts: SELECTING_COHORTS at the as_of of `choice`.
        choice: which cohorts, and how many events of a month.
        max_per_symbol: events of one symbol in a month.
        ranking: weights of the rank.
    """
    limits = FollowUp(
        choice.as_of, choice.label_spec, choice.top_n_per_month, max_per_symbol, earlier_events=choice.earlier_events
    )
    chosen = select_follow_up(events, cohorts, limits, ranking)
    sample = _sample(cohorts)
    is_member = pl.lit(None, pl.Boolean) if sample is None else pl.col("event_id").is_in(sample.implode())
    inside = pl.when(pl.col("date") < choice.as_of.isoformat()).then(is_member).otherwise(pl.lit(value=False))
    admitted = chosen.with_columns(in_selection_sample=inside).select("event_id", *ADMISSION)
    offered = events_of_winning(events, cohorts, limits).height
    return Admitted(admitted.match_to_schema({"event_id": pl.String(), **ADMISSION}), offered)


def differences_of_cohorts(kept: pl.DataFrame, now: pl.DataFrame) -> list[str]:
    """What has become of kept cohorts, in words; empty where nothing has changed that a figure shows.

    Args:
        kept: SELECTING_COHORTS of an as_of, when events were first selected by them.
        now: those of the same as_of and label spec as they are now.
    """
    won, wins = (set(rows.filter("winning")["cohort_id"]) for rows in (kept, now))
    words = [
        f"{_names(won - wins)} no longer winning" if won - wins else "",
        f"{_names(wins - won)} winning now" if wins - won else "",
    ]
    might, may = (set(rows.filter(may_select())["cohort_id"]) for rows in (kept, now))
    few, enough = won & wins & (might - may), won & wins & (may - might)
    words += [f"{_names(few)} still winning, but costs are known of too few labels to select"] if few else []
    words += [f"{_names(enough)} selecting now: costs are known of enough labels"] if enough else []
    both = kept.join(now, on="cohort_id", how="full", coalesce=True)
    unknown = [name for name in BEYOND_SPECIFICATION if kept[name].null_count() == kept.height]
    differ = both.filter(pl.any_horizontal(*_differences(unknown))).height
    words += [f"figures of {count_noun(differ, 'cohort')} differ"] if differ else []
    before, after = (_sample(rows) for rows in (kept, now))
    if before is not None and after is not None and (moved := set(before) ^ set(after)):
        words.append(f"{count_noun(len(moved), 'event')} came into or left the samples of winning cohorts")
    return [word for word in words if word]


def describe_winning(cohorts: pl.DataFrame) -> str:
    """The winning cohorts (COHORTS) that may select, with n, mean, q and the share of labels with costs; best first."""
    best = cohorts.filter(may_select()).sort("mean", "cohort_id", descending=[True, False])
    shown = [
        f"{row['cohort_id']} (n {row['n']:,}, mean {row['mean'] * BPS:+.1f} bps, q {row['q_value']:.3f}"
        + ("" if row["costed_share"] is None else f", costs of {describe_costed(row['costed_share'])}")
        + ")"
        for row in best.head(_NAMED).iter_rows(named=True)
    ]
    more = best.height - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "") or "none"


def _sample(cohorts: pl.DataFrame) -> pl.Series | None:
    """The events of the sample that have a winning cohort; None where they are not known."""
    members = cohorts["members"]
    return None if members.null_count() else members.explode().drop_nulls()


def _differences(unknown: Collection[str]) -> Iterator[pl.Expr]:
    for name in _FIGURES:
        if name in unknown:
            continue
        before, after = pl.col(name), pl.col(f"{name}_right")
        larger = pl.max_horizontal(before.abs(), after.abs())
        yield (before.is_null() != after.is_null()) | ((before - after).abs() > SAME_FIGURE * larger).fill_null(
            value=False
        )
    yield from (pl.col(name).ne_missing(pl.col(f"{name}_right")) for name in _COUNTS)


def _names(cohorts: set[str]) -> str:
    named = sorted(cohorts)
    more = f" and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
    return f"{', '.join(named[:_NAMED])}{more} {'is' if len(named) == 1 else 'are'}"
