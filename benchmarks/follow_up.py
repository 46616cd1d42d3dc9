"""What a follow-up selection finds where one kind of event pays: from cohorts to the manifest, and what came after.

python benchmarks/follow_up.py [--seeds 3] [--symbols 100] [--sessions 90] [--as-of 2023-04-01] [--effect-bps 15]
Prices have no drift (see driftless.py). An effect is added to the net returns of all events of one cohort, the L2
cohort with the most events, before and after the as_of. Profile plus without limits of liquidity then selects by the
cohorts at the as_of. Of each seed: what wins, how many events are selected, and the mean net return of those from the
as_of on, which prove the cohort, beside that of the other MASTER events of these months. The same without the effect.
Each selection is repeated with all outcomes from the as_of on changed: it must be the same. `cohort_was_winning` counts
the proving events, also those that a better one of their group keeps out of the manifest. The last line is one JSON
object.
"""

import argparse
import json
import time
from datetime import date
from typing import Any

import polars as pl
from driftless import COSTS, FIRST, LAST, PRIMARY, outcomes_of, plant, planted_cohort
from memory import peak_mb

from smallcaps_assets.domain.manifests.selection import ProfileParams
from smallcaps_assets.domain.research.cohorts.cohorts import cohort_tables
from smallcaps_assets.domain.research.cohorts.follow_up import COHORT_FACTS, cohort_was_winning
from smallcaps_assets.domain.research.cohorts.selecting import cohorts_at
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.lake.selecting_cohorts import SelectingCohorts
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.manifests.selecting import limits_of, select_manifest
from smallcaps_assets.settings.settings import Settings, load_settings


def settings_of(as_of: date) -> Settings:
    """Costs of 0, and a profile plus whose events are selected by cohorts and score alone."""
    plus = {
        "cohorts": {"as_of": as_of.isoformat(), "top_n_per_month": 100_000},
        "max_events": 1_000_000,
        "max_per_symbol": 100_000,
        "max_per_symbol_day": 1_000,
        "min_event_score": 0.0,
        "max_bar_spread_pct": 1e6,
        **dict.fromkeys(("min_bar_dollar_volume_usd", "min_bar_volume_shares", "min_day_dollar_volume_usd"), 0.0),
        "min_day_rvol": 0.0,
    }
    return load_settings(
        overrides={**COSTS, "profiles": {"core": {}, "plus": plus, "premium": {"min_event_score": 0.0}}}
    )


def select(rows: pl.DataFrame, master: pl.DataFrame, settings: Settings, profile: ProfileParams) -> pl.DataFrame:
    """The manifest of a profile, selected by the cohorts of labels (COHORT_EVENTS)."""
    made, choice = cohort_tables(rows, settings.research), profile.cohorts
    if choice is None:
        raise SystemExit("the profile has no cohorts, nothing measured")
    at = cohorts_at(made.cohorts, made.members, choice.as_of, PRIMARY)
    cohorts = SelectingCohorts.of(at, limits_of(profile, settings.ranking))
    return select_manifest(master, profile, settings.ranking, cohorts).manifest


def net(rows: pl.DataFrame) -> dict[str, Any]:
    """Number, mean net return and its error clustered by date, in bps."""
    by_date = rows.group_by("date").agg(n=pl.len(), total=(pl.col("net_return") * BPS).sum())
    events, days = by_date["n"].sum(), by_date.height
    if days <= 1:
        return {"n": events}
    mean = by_date["total"].sum() / events
    rest = by_date.select((pl.col("total") - pl.col("n") * mean).pow(2).sum()).item()
    return {"n": events, "mean_bps": round(mean, 2), "error_bps": round((days / (days - 1) * rest) ** 0.5 / events, 2)}


def follow(rows: pl.DataFrame, master: pl.DataFrame, settings: Settings, as_of: date) -> dict[str, Any]:
    """What is selected, and what came after."""
    profile = settings.profiles["plus"]
    chosen = select(rows, master, settings, profile)
    later = pl.col("date") >= as_of.isoformat()
    changed = rows.with_columns(net_return=pl.when(later).then(0.5 - pl.col("net_return")).otherwise("net_return"))
    same = select(changed, master, settings, profile).equals(chosen)
    proof = rows.filter(later, pl.col("in_master"), state="ok")
    selected = pl.col("event_id").is_in(chosen["event_id"].implode())
    cohorts = cohort_tables(rows.filter(~later), settings.research).cohorts
    facts = proof.select(*COHORT_FACTS)
    was = cohort_was_winning(facts, cohorts, PRIMARY).filter("cohort_was_winning")["event_id"]
    return {
        "winning": sorted(chosen["cohort_id"].unique()),
        "selected": chosen.height,
        "in_selection_sample": int(chosen["in_selection_sample"].sum()),
        "proof": net(proof.filter(selected)),
        "other_events": net(proof.filter(~selected)),
        "same_with_other_later_outcomes": same,
        "cohort_was_winning": len(was),
        "selected_without_it": len(set(proof.filter(selected)["event_id"]) - set(was)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=90)
    parser.add_argument("--as-of", type=date.fromisoformat, default=date(2023, 4, 1))
    parser.add_argument("--effect-bps", type=float, default=15.0)
    arguments = parser.parse_args()
    settings = settings_of(arguments.as_of)
    sessions = sessions_between(FIRST, LAST, settings.sessions).head(arguments.sessions)
    started, seeds = time.perf_counter(), []
    for seed in range(1, arguments.seeds + 1):
        rows, bars, master = outcomes_of(seed, arguments.symbols, sessions, settings, 1.0)
        at = cohort_tables(rows, settings.research).cohorts.filter(selection="causal", as_of=arguments.as_of)
        keys = planted_cohort(at)
        planted = follow(plant(rows, keys, arguments.effect_bps), master, settings, arguments.as_of)
        without = follow(rows, master, settings, arguments.as_of)
        seeds.append(
            {"seed": seed, "bars": bars, "planted_in": f"L2|{'|'.join(keys)}", "with": planted, "without": without}
        )
        print(json.dumps(seeds[-1], indent=1), f"{time.perf_counter() - started:.0f} s", flush=True)
    print(json.dumps({"seeds": seeds, "wall_s": round(time.perf_counter() - started, 1), "peak_mb": round(peak_mb())}))


if __name__ == "__main__":
    main()
