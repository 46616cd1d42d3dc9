"""Metadata of the cohorts of a profile: what won, pictures of the last month and of all, and figures to plot."""

from typing import Final

import polars as pl

from smallcaps_assets.defs.metadata.drawn import drawn
from smallcaps_assets.defs.metadata.entries import FIRST_ROWS, Metadata, round_value, table
from smallcaps_assets.domain.research.cohorts.follow_up import PRIMARY_SPEC, may_select
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.ranking import (
    RankedCohorts,
    describe_q,
    describe_withheld,
    name_cohort,
    rank_cohorts,
)
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.pipeline.cohort_pictures import as_of_picture, cohorts_picture
from smallcaps_assets.pipeline.research.cohort_source import CohortSource, how_to_know_costs, why_untested
from smallcaps_assets.pipeline.research.joined_cohorts import JoinedCohorts
from smallcaps_assets.settings.settings import Profile

# best and worst cohorts in the picture
_DRAWN: Final = 8


def cohorts_metadata(made: JoinedCohorts, source: CohortSource, params: CohortParams, profile: Profile) -> Metadata:
    """Metadata of `<profile>/cohorts`; figures are of the primary label spec at the last as_of.

    They are of the causal sample, or of MASTER where there is none. Only tested cohorts are ranked and plotted.

    Args:
        made: the cohorts.
        source: what those of the primary spec are made of.
        params: what a test needs.
        profile: whose they are.
    """
    primary = made.cohorts.rows.filter(label_spec=PRIMARY_SPEC)
    causal = primary.filter(selection="causal")
    shown, selection = (primary, "master") if causal.is_empty() else (causal, "causal")
    last = shown.filter(pl.col("as_of") == pl.col("as_of").max())
    why = why_untested(last, params, source, profile)
    metadata: Metadata = {"verdict": _verdict(last, why, source, params, profile)}
    metadata["dagster/row_count"] = made.cohorts.rows.height
    if not last.is_empty():
        ranked, months = rank_cohorts(last, _DRAWN), shown.filter(level="L1")
        of = f"{PRIMARY_SPEC}, {selection}"
        metadata |= {
            "picture/cohorts": drawn(
                "cohorts", cohorts_picture, _to_draw(ranked), f"{last['as_of'][0]}, {of}: mean net bps, 95 %"
            ),
            "picture/as_of": drawn(
                "cohorts by as_of",
                as_of_picture,
                months.select("cohort_id", "as_of", "mean", "win_rate").sort("cohort_id", "as_of"),
                f"Cohorts of {of}, by as-of month",
            ),
            **_tables(ranked),
            "tested": int(last["tested"][0]),
            "winning": int(last["winning"].sum()),
            "selecting": last.filter(may_select()).height,
            "members": made.members.rows["event_id"].n_unique(),
            **_figures(last.filter(pl.col("q_value").is_not_null(), level="L1")),
        }
    if source.costed_share is not None:
        metadata["costed pct"] = round_value(100 * source.costed_share)
    metadata["events left out"] = source.not_costed + source.not_followed
    return metadata | {"unchanged": made.cohorts.unchanged}


def _verdict(last: pl.DataFrame, why: str | None, source: CohortSource, params: CohortParams, profile: Profile) -> str:
    if last.is_empty():
        words = f"There are no cohorts yet: {why}."
    elif why is not None:
        count = count_clause(last.height, "cohort", "cohorts")
        words = f"At {last['as_of'][0]} none of {count} is tested: {why}."
    else:
        tested, winning = int(last["tested"][0]), int(last["winning"].sum())
        clause = count_clause(tested, "cohort was", "cohorts were")
        words = f"At {last['as_of'][0]} {clause} tested together, {winning or 'none'} won."
        if withheld := describe_withheld(last, params):
            words = f"{words} {withheld}: {how_to_know_costs(profile)}."
    return " ".join([words, *(f"{note[0].upper()}{note[1:]}." for note in source.notes(profile))])


def _to_draw(ranked: RankedCohorts) -> pl.DataFrame:
    """The best and the worst, in the order of their means; the largest where none is tested."""
    tested = pl.concat([ranked.best, ranked.worst.reverse()])
    return ranked.largest if tested.is_empty() else tested


def _tables(ranked: RankedCohorts) -> Metadata:
    """The first of each order that has any; the largest only where none is tested."""
    if ranked.best.is_empty():
        return {"largest_not_tested": table(_in_short(ranked.largest.head(FIRST_ROWS)))}
    tables = {"best": ranked.best, "worst": ranked.worst}
    return {name: table(_in_short(rows.head(FIRST_ROWS))) for name, rows in tables.items() if rows.height}


def _in_short(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        # words wrap: a table that is wider than the page moves everything beside it out of sight
        pl.Series("cohort", [name_cohort(name) for name in rows["cohort_id"]], dtype=pl.String),
        "n",
        days="n_days",
        bps=(pl.col("mean") * BPS).round(1),
        wins=(100 * pl.col("win_rate")).round(0),
        costed=(100 * pl.col("costed_share")).floor(),
        q=pl.Series([describe_q(value) for value in rows["q_value"]], dtype=pl.String),
    )


def _figures(rows: pl.DataFrame) -> Metadata:
    """Win rate and mean net return by event type and direction, of which there are events."""
    figures: Metadata = {}
    for cohort, win_rate, mean in rows.sort("cohort_id").select("cohort_id", "win_rate", "mean").iter_rows():
        figures[f"win pct {name_cohort(cohort)}"] = round_value(100 * win_rate)
        figures[f"net bps {name_cohort(cohort)}"] = round_value(BPS * mean)
    return figures
