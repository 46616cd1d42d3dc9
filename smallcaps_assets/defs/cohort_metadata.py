"""Metadata of the cohorts of a profile: what won, pictures of the last month and of all, and figures to plot."""

from typing import Final

import polars as pl

from smallcaps_assets.defs.metadata import FIRST_ROWS, Metadata, picture, round_value, table
from smallcaps_assets.domain.research.cohorts.follow_up import PRIMARY_SPEC
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.pipeline.cohort_pictures import as_of_picture, cohorts_picture
from smallcaps_assets.pipeline.research.joined_cohorts import JoinedCohorts

_MOST_DRAWN: Final = 12


def cohorts_metadata(made: JoinedCohorts) -> Metadata:
    """Metadata of `<profile>/cohorts`; figures are of the primary label spec at the last as_of.

    They are of the causal sample, or of MASTER where there is none.
    """
    primary = made.cohorts.rows.filter(label_spec=PRIMARY_SPEC)
    causal = primary.filter(selection="causal")
    shown = primary if causal.is_empty() else causal
    selection = "master" if causal.is_empty() else "causal"
    last = shown.filter(pl.col("as_of") == pl.col("as_of").max())
    metadata: Metadata = {"verdict": _verdict(last), "dagster/row_count": made.cohorts.rows.height}
    if not last.is_empty():
        best = last.sort("mean", "cohort_id", descending=[True, False])
        drawn = best.filter(level="L1").head(_MOST_DRAWN)
        as_of, title = last["as_of"][0], f"Mean net return in bps of {PRIMARY_SPEC}, {selection}"
        metadata |= {
            "picture/cohorts": picture(cohorts_picture(drawn, f"{title}, at {as_of}"), f"cohorts at {as_of}"),
            "picture/as_of": picture(as_of_picture(shown.filter(level="L1"), title), "cohorts by as_of"),
            "best": table(_in_short(best.head(FIRST_ROWS))),
            "worst": table(_in_short(best.reverse().head(FIRST_ROWS))),
            "tested": int(last["tested"][0]),
            "winning": int(last["winning"].sum()),
            "members": made.members.rows["event_id"].n_unique(),
            **_figures(last.filter(level="L1")),
        }
    return metadata | {"unchanged": made.cohorts.unchanged}


def _verdict(last: pl.DataFrame) -> str:
    if last.is_empty():
        return "There are no cohorts yet: no label with costs was over when a month began."
    tested, winning = last["tested"][0], int(last["winning"].sum())
    clause = count_clause(tested, "cohort was", "cohorts were")
    return f"At {last['as_of'][0]} {clause} tested together, {count_clause(winning, 'is', 'are')} winning."


def _in_short(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        "cohort_id",
        "n",
        "n_days",
        mean_bps=(pl.col("mean") * BPS).round(1),
        win_pct=(100 * pl.col("win_rate")).round(1),
        q=pl.col("q_value").round(3),
    )


def _figures(rows: pl.DataFrame) -> Metadata:
    """Win rate and mean net return by event type and direction, of which there are events."""
    figures: Metadata = {}
    for cohort, win_rate, mean in rows.sort("cohort_id").select("cohort_id", "win_rate", "mean").iter_rows():
        words = " ".join(cohort.split("|")[1:]).replace("_", " ")
        figures[f"win pct {words}"] = round_value(100 * win_rate)
        figures[f"net bps {words}"] = round_value(BPS * mean)
    return figures
