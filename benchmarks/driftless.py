"""What labels and cohorts find where there is nothing to find: events of simulated prices without drift.

python benchmarks/driftless.py [--seeds 20] [--symbols 300] [--others 100] [--sessions 60] [--effect-bps 15]
                               [--violence 1]
Every price is a martingale: whatever is known when an event is, its mean return afterwards is 0. Of the first seed
(--symbols) the mean gross return of 15,1,1 is printed by event type, of the causal sample and of MASTER, whose events
were chosen with hindsight; of all seeds (--others symbols after the first) the same, in how many a cohort wins, and in
how many one is found into which an effect was planted. --violence makes minutes of bursts as many times as volatile as
others: bars then touch both barriers, which counts as the stop. The last line is one JSON object.
"""

import argparse
import json
import time
from collections.abc import Iterator
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from memory import peak_mb

from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.research.bars.bar_features import MarketData
from smallcaps_assets.domain.research.cohorts.cohorts import cohort_tables
from smallcaps_assets.domain.research.cohorts.events import cohort_events
from smallcaps_assets.domain.research.outcomes.event_costs import OWN_COSTS, event_costs, net_outcomes
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.research.sample import research_events, with_causal_sample
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.research.bars.from_bars import BarRules, tables_of_events
from smallcaps_assets.settings.settings import Settings, load_settings

FIRST, LAST = date(2023, 1, 3), date(2024, 12, 31)
PRIMARY: Final = "15,1,1"
SAMPLES: Final = {"causal": "in_causal_sample", "master": "in_master"}
# costs of 0, so that a net return is the gross one
COSTS: Final = {"research": {"cost_bps_default": 0.0, "fee_bps": 0.0}}
KEYS: Final = ("event_type", "direction", "time_bucket")
BATCH: Final = 30
# Shares of minutes that trade, of minutes in which an episode of a quarter of an hour begins, and within one of bursts.
TRADED, EPISODES, EPISODE_MIN, BURSTS = 0.35, 0.002, 12, 0.5
# Of a minute: standard deviation of the return (of a median day), that of the part of it which all symbols share, and
# that of the gap before the open.
DEVIATION, COMMON, GAP = 0.005, 0.0005, 0.0003
# Trades beyond the path, in standard deviations of the minute: as many above as below it.
WICK: Final = 0.9
# Steps of the price within a minute.
STEPS: Final = 12
LARGEST_STEP: Final = 0.2
TWO_ERRORS: Final = 2.0


class Seed(NamedTuple):
    """COHORT_EVENTS with `gross_return`, the number of bars they come from, and MASTER of these."""

    rows: pl.DataFrame
    bars: int
    master: pl.DataFrame


def driftless_bars(
    symbol: str, rng: np.random.Generator, minutes: pl.DataFrame, common: np.ndarray, violence: float
) -> pl.DataFrame:
    """Minute bars (BARS) whose every price is the one before it times 1 plus a symmetric step.

    When a minute trades, and how much, does not depend on prices. Days differ in volatility. High and low are those of
    the path, and beyond it as far on either side.

    Args:
        symbol: the symbol.
        rng: random numbers.
        minutes: `timestamp` and `day`, the number of its session, of every minute of the sessions.
        common: a symmetric return of each minute, in units of its standard deviation, that all symbols share.
        violence: how many times as volatile a minute of a burst is.
    """
    begins = rng.random(minutes.height) < EPISODES
    lively = np.convolve(begins, np.ones(EPISODE_MIN))[: minutes.height] > 0
    traded = lively | (rng.random(minutes.height) < TRADED)
    lively, rows = lively[traded], int(traded.sum())
    burst = lively & (rng.random(rows) < BURSTS)
    force = np.where(burst, rng.lognormal(1.6, 1.0, rows), 1)
    days = minutes["day"].to_numpy()[traded]
    scale = DEVIATION * rng.lognormal(0, 0.3, days[-1] + 1)[days] * np.where(burst, violence, 1)
    steps = np.empty((rows, STEPS + 2))
    steps[:, 0] = GAP * rng.standard_normal(rows)
    steps[:, 1 : STEPS + 1] = scale[:, None] / np.sqrt(STEPS) * rng.standard_normal((rows, STEPS))
    steps[:, STEPS + 1] = COMMON * common[traded]
    start = rng.lognormal(1.8, 0.5)
    path = start * np.cumprod(1 + np.clip(steps, -LARGEST_STEP, LARGEST_STEP).ravel()).reshape(rows, -1)
    path = np.round(path, 6)
    wick = WICK * scale * np.abs(rng.standard_normal((2, rows)))
    volume = np.floor(rng.gamma(4, 0.25, rows) * rng.lognormal(7.5, 0.6) * force) + 1
    return pl.DataFrame(
        {
            "symbol": pl.repeat(symbol, rows, eager=True),
            "timestamp": minutes["timestamp"].filter(pl.Series(traded)),
            "open": path[:, 0],
            "high": path.max(axis=1) * (1 + wick[0]),
            "low": path.min(axis=1) * (1 - np.minimum(wick[1], LARGEST_STEP)),
            "close": path[:, -1],
            "volume": volume,
            "vwap": path.mean(axis=1),
            "transactions": (volume / 60).astype(np.int64) + 1,
        },
        schema=BARS,
    )


def batches(seed: int, symbols: int, sessions: pl.DataFrame, violence: float) -> Iterator[pl.DataFrame]:
    """The bars of some symbols at a time."""
    minutes = sessions.select(
        day=pl.int_range(pl.len()),
        timestamp=pl.datetime_ranges("premarket_open", "afterhours_close", "1m", closed="left", time_unit="us"),
    ).explode("timestamp")
    common = np.random.default_rng([seed, 0]).standard_normal(minutes.height)
    for first in range(1, symbols + 1, BATCH):
        numbers = range(first, min(first + BATCH, symbols + 1))
        yield pl.concat(
            driftless_bars(f"S{number:04d}", np.random.default_rng([seed, number]), minutes, common, violence)
            for number in numbers
        )


def outcomes_of(seed: int, symbols: int, sessions: pl.DataFrame, settings: Settings, violence: float) -> Seed:
    """Detect the events of a seed, with candidates, and label them."""
    rules = BarRules(sessions, settings.detection, settings.research.params)
    rows, masters, bars = [], [], 0
    for batch in batches(seed, symbols, sessions, violence):
        bars += batch.height
        found = detect(batch, sessions, settings.detection, keep_candidates=True)
        sampled = with_causal_sample(require(found.candidates), settings.filters, settings.research)
        masters.append(build_master(found.events, settings.cooldown))
        events = research_events(masters[-1], sampled)
        made = tables_of_events(events, MarketData(batch, sessions, sampled), rules)
        costs = event_costs(made.costed, OWN_COSTS.to_frame(), sessions, settings.research)
        net = net_outcomes(made.labels, costs)
        labels = made.labels.join(net, on=["event_id", "label_spec"], maintain_order="left", validate="1:1")
        outcomes = made.outcomes.join(events.select("event_id", "direction", "session"), on="event_id")
        joined = cohort_events(labels, outcomes, made.features, settings.ranking)
        rows.append(joined.filter(label_spec=PRIMARY).with_columns(gross_return="net_return"))
    return Seed(pl.concat(rows), bars, pl.concat(masters))


def require(candidates: pl.DataFrame | None) -> pl.DataFrame:
    """The candidates that detection was asked to keep."""
    if candidates is None:
        raise SystemExit("detection kept no candidates, nothing measured")
    return candidates


def means(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each sample and event type: events, share of ties, mean gross return in bps, its error by date, and t.

    `ties_bps` is the part of the mean that is due to ties, which count as the stop: in the middle of both barriers they
    would add nothing.
    """
    parts = []
    for sample, flag in SAMPLES.items():
        gross = pl.col("gross_return") * BPS
        of_sample = rows.filter(pl.col(flag), state="ok").with_columns(r=gross, mean=gross.mean().over("event_type"))
        by_date = of_sample.group_by("event_type", "date").agg(
            n=pl.len(),
            ties=pl.col("tie").sum(),
            of_ties=pl.col("r").filter("tie").sum(),
            total=pl.col("r").sum(),
            rest=(pl.col("r") - pl.col("mean")).sum(),
        )
        days = pl.len()
        error = (days / (days - 1) * (pl.col("rest") ** 2).sum()).sqrt() / pl.col("n").sum()
        parts.append(
            by_date.group_by("event_type")
            .agg(
                n=pl.col("n").sum(),
                tie_pct=100 * pl.col("ties").sum() / pl.col("n").sum(),
                ties_bps=pl.col("of_ties").sum() / pl.col("n").sum(),
                mean_bps=pl.col("total").sum() / pl.col("n").sum(),
                error_bps=error,
            )
            .select(pl.lit(sample).alias("sample"), pl.all(), t=pl.col("mean_bps") / pl.col("error_bps"))
        )
    return pl.concat(parts).sort("event_type", "sample")


def last_cohorts(rows: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """The cohorts of the causal sample, as they are known after the last month."""
    made = cohort_tables(rows, settings.research).cohorts.filter(selection="causal")
    return made.filter(pl.col("as_of") == pl.col("as_of").max())


def plant(rows: pl.DataFrame, cohort: tuple[str, ...], effect_bps: float) -> pl.DataFrame:
    """The same with an effect added to the net return of the events of one cohort (KEYS)."""
    inside = pl.all_horizontal(pl.col(key) == value for key, value in zip(KEYS, cohort, strict=True))
    return rows.with_columns(net_return=pl.col("net_return") + inside.cast(pl.Float64) * effect_bps / BPS)


def planted_cohort(cohorts: pl.DataFrame) -> tuple[str, ...]:
    """The keys of the L2 cohort with the most events."""
    largest = cohorts.filter(level="L2").sort("n", "cohort_id", descending=[True, False]).row(0, named=True)
    return tuple(largest["cohort_id"].split("|")[1:])


def found_by_plant(rows: pl.DataFrame, settings: Settings, none: pl.DataFrame, effect_bps: float) -> dict[str, Any]:
    """Plant an effect into one L2 cohort: its figures, and which others win because of it.

    Those inside it, its terciles, have the effect as well. Its neighbours are its parent, in which the effect is thin,
    and those that differ from it in one key. Others may win too, as 10 % of discoveries may be false.
    """
    keys = planted_cohort(none)
    of_keys = "|".join(keys)
    cohorts = last_cohorts(plant(rows, keys, effect_bps), settings)
    (own,) = cohorts.filter(cohort_id=f"L2|{of_keys}").to_dicts()
    inside = pl.col("cohort_id").str.starts_with(f"L3|{of_keys}|") | (pl.col("cohort_id") == own["cohort_id"])
    before = none.filter("winning")["cohort_id"]
    winning = cohorts.filter(pl.col("winning"), ~inside, ~pl.col("cohort_id").is_in(before.implode()))["cohort_id"]
    neighbours = [one for one in winning if _shared_keys(one, keys) >= len(KEYS) - 1]
    return {
        "cohort": own["cohort_id"],
        "n": own["n"],
        "mean_bps": round(own["mean"] * BPS, 2),
        "error_bps": round(own["se"] * BPS, 2),
        "q": own["q_value"],
        "tested": own["tested"],
        "found": own["winning"],
        "neighbours": neighbours,
        "others": sorted(set(winning) - set(neighbours)),
    }


def _shared_keys(cohort_id: str, keys: tuple[str, ...]) -> int:
    """How many keys of a cohort, of any level, are those given; its parent has two."""
    return sum(one == other for one, other in zip(cohort_id.split("|")[1:], keys, strict=False))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--symbols", type=int, default=300)
    parser.add_argument("--others", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--effect-bps", type=float, default=15.0)
    parser.add_argument("--violence", type=float, default=1.0)
    arguments = parser.parse_args()
    settings = load_settings(overrides=COSTS)
    sessions = sessions_between(FIRST, LAST, settings.sessions).head(arguments.sessions)
    started = time.perf_counter()
    every, quiet, found, within, figures = [], 0, [], 0, {}
    for seed in range(1, arguments.seeds + 1):
        symbols = arguments.symbols if seed == 1 else arguments.others
        rows, bars, _ = outcomes_of(seed, symbols, sessions, settings, arguments.violence)
        of_seed, cohorts = means(rows), last_cohorts(rows, settings)
        causal = of_seed.filter(sample="causal")
        within += causal.filter(pl.col("t").abs() <= TWO_ERRORS).height
        quiet += not cohorts["winning"].any()
        found.append(found_by_plant(rows, settings, cohorts, arguments.effect_bps))
        # dates of different seeds are different draws
        every.append(rows.with_columns(date=pl.format("{} {}", pl.lit(seed), "date")))
        print(f"seed {seed}: {bars:,} bars, {rows.height:,} events, {time.perf_counter() - started:.0f} s", flush=True)
        print(f"  winning: {cohorts.filter('winning')['cohort_id'].to_list()}; planted: {found[-1]}", flush=True)
        if seed == 1:
            figures = {"bars": bars, "events": rows.height, "by_type": show(of_seed), "planted": found[-1]}
    pooled = means(pl.concat(every))
    print("all seeds")
    document = {
        **{
            name: getattr(arguments, name)
            for name in ("seeds", "symbols", "others", "sessions", "effect_bps", "violence")
        },
        "first_seed": figures,
        "all_seeds": {
            "by_type": show(pooled),
            "types_within_two_errors": f"{within} of {arguments.seeds * causal.height}",
            "seeds_without_winning": quiet,
            "planted_found": sum(one["found"] for one in found),
            "seeds_with_winning_neighbours": sum(bool(one["neighbours"]) for one in found),
            "seeds_with_winning_others": sum(bool(one["others"]) for one in found),
        },
        "wall_s": round(time.perf_counter() - started, 1),
        "peak_mb": round(peak_mb()),
    }
    print(json.dumps(document))


def show(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Print a table of `means`; its rows, rounded."""
    rounded = table.with_columns(pl.col("tie_pct", "ties_bps", "mean_bps", "error_bps", "t").round(2))
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        print(rounded, flush=True)
    return rounded.to_dicts()


if __name__ == "__main__":
    main()
