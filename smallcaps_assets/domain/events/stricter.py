"""Detection with stricter thresholds, from candidates instead of bars; the same to the last digit.

A condition with stricter thresholds holds on no bar on which the condition of the candidates does not hold, so it is
decided on their `condition_bars` alone. Where it begins to hold is decided by the rule of the detectors, see `happens`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.events.detection import (
    Detection,
    DetectionParams,
    as_shard,
    count_removed,
    judge_edges,
    reference_verdicts,
)
from smallcaps_assets.domain.events.detectors import DetectorParams, happens
from smallcaps_assets.domain.tables import DIRECTIONS, REFERENCE

_SPIKE: Final = ("min_spike_x", "min_volume_shares", "min_dollar_volume_usd")
# Thresholds that are stricter when raised.
RAISED: Final = frozenset(
    {
        *(f"volume_spike.{hours}.{name}" for hours in ("regular", "extended") for name in _SPIKE),
        *(f"volume_spike.{name}" for name in ("min_range_share", "down_min_red_run_bars", "down_min_drop_share")),
        *(f"vwap_break.{way}_{name}" for way in DIRECTIONS for name in ("min_run_bars", "min_spike_x")),
        *(f"price_momentum.{name}" for name in ("up_min_return", "up_min_spike_x")),
        *(f"price_momentum.down_{name}" for name in ("min_acceleration_x", "min_earlier_return")),
        *(f"consolidation_break.{name}" for name in ("min_spike_x", "up_min_above_share", "down_min_below_share")),
        *(f"opening_range_break.{name}" for name in ("min_spike_x", "up_min_above_share", "down_min_below_share")),
        "opening_range_break.min_range_bars",
        *(f"tape_speed.{name}" for name in ("min_transactions", "min_speed_x")),
        *(f"flush.{name}" for name in ("min_drop_share", "min_spike_x", "min_red_run_bars")),
    }
)
# Thresholds that are stricter when lowered.
LOWERED: Final = frozenset({"price_momentum.down_max_return", "consolidation_break.max_flatness"})
# more than the bars of a day
_DAY_BARS: Final = 4096


def needs_bars(kept: DetectionParams, wanted: DetectionParams) -> list[str]:
    """The settings because of which the candidates of `kept` do not decide the events of `wanted`; empty if they do.

    Candidates decide stricter thresholds, any filter except a lower dollar volume of a day, and any weight, cooldown
    and tier. Settings that `condition_bars` cannot be compared with, such as the length of a look-back and the distance
    from the VWAP that makes a run, need bars whichever way they change. Names as in config.yaml, sorted.
    """
    found = []
    before, after = (dict(_leaves(params.detectors.model_dump())) for params in (kept, wanted))
    for name in sorted(before):
        old, new = before[name], after[name]
        stricter = (name in RAISED and new >= old) or (name in LOWERED and new <= old)
        if new != old and not stricter:
            found.append(f"detectors.{name}")
    found += [
        f"features.{name}"
        for name, value in kept.features.model_dump().items()
        if value != getattr(wanted.features, name)
    ]
    least = kept.filters.least_dollar_volume_day_usd
    if wanted.filters.least_dollar_volume_day_usd < least:
        found += [
            f"filters.{name}"
            for name in ("min_dollar_volume_day_bearish_usd", "min_dollar_volume_day_bullish_usd")
            if getattr(wanted.filters, name) < least
        ]
    return sorted(found)


def detect_in_candidates(
    condition_bars: pl.DataFrame, daily: pl.DataFrame, params: DetectionParams, reference: pl.DataFrame | None = None
) -> Detection:
    """The events that `detect` finds in the bars of the candidates, if `needs_bars` names no setting.

    Args:
        condition_bars: CONDITION_BARS of the candidates of any symbols, symbol by symbol, each in order of candidates.
        daily: DAILY of the same symbols and days, also of those without candidates.
        params: thresholds.
        reference: REFERENCE of the known symbols; unknown values pass and are counted.

    Returns:
        Events and counts as of `detect`; bars outside of the sessions are not known, hence 0.
    """
    least = params.filters.least_dollar_volume_day_usd
    eligible = daily.filter(pl.col("dollar_volume_day") >= least)
    edges = _find_edges(condition_bars, params.detectors, least)
    verdicts = reference_verdicts(REFERENCE.to_frame() if reference is None else reference, params.filters)
    judged = judge_edges(edges, verdicts, params)
    counts = count_removed(
        outside=daily.clear(),
        days=daily,
        eligible_days=eligible,
        found=edges,
        passed=judged.passed,
        kept=judged.kept,
    )
    return Detection(as_shard(judged.kept, params.tier_min_scores), daily, counts)


def _number(bars: pl.DataFrame) -> pl.DataFrame:
    """Condition bars, in their order, whose `bar` counts on from day to day; `bar_of_day` is its number in the day."""
    another_day = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in ("symbol", "date"))
    day_start = another_day.cum_sum().cast(pl.Int64) * _DAY_BARS
    return bars.with_columns(day_start=day_start, bar_of_day="bar", bar=day_start + pl.col("bar"))


def _find_edges(condition_bars: pl.DataFrame, params: DetectorParams, least_dollars: float) -> pl.DataFrame:
    """The condition bars of days of that dollar volume at which the conditions of `params` begin to hold."""
    bars = _number(condition_bars)
    kind, up = pl.col("event_type"), pl.col("direction") == "up"
    holds = [(kind == name) & reached.fill_null(value=False) for name, reached in _tests(params).items()]
    # the run of a break of the VWAP begins there
    run_begins = pl.col("bar") - pl.when(up).then("run_above").otherwise("run_below") + 1
    # only the columns of this test are copied until the edges are known
    holding = bars.select(
        "event_type",
        "direction",
        "bar",
        "day_start",
        run_begins=run_begins,
        holds=pl.any_horizontal(holds) & (pl.col("dollar_volume_day") >= least_dollars),
    )
    holding = holding.with_row_index("row").filter("holds")
    since = {"vwap_break": pl.col("run_begins"), "opening_range_break": pl.col("day_start")}
    rows = [
        of_kind.filter(happens(pl.col("holds"), since.get(str(event_type))))["row"]
        for (event_type, _), of_kind in holding.partition_by("event_type", "direction", as_dict=True).items()
    ]
    return bars[pl.concat(rows) if rows else []].with_columns(day=pl.col("date").str.to_date("%Y-%m-%d"))


def _tests(params: DetectorParams) -> Mapping[str, pl.Expr]:
    """By event type, whether a condition bar reaches the thresholds that can be made stricter."""
    up = pl.col("direction") == "up"
    close, spike_x = pl.col("close"), pl.col("spike_x")
    drop = (pl.col("day_high") - close) / pl.col("day_high")
    change, earlier = pl.col("return_5"), pl.col("earlier_return").abs()
    spike, regular = params.volume_spike, pl.col("session") == "RTH"
    vwap, momentum, flat = params.vwap_break, params.price_momentum, params.consolidation_break
    opening, speed, flush = params.opening_range_break, params.tape_speed, params.flush

    def either(of_up: pl.Expr, of_down: pl.Expr) -> pl.Expr:
        return pl.when(up).then(of_up).otherwise(of_down)

    reaches = {
        hours: (spike_x >= least.min_spike_x)
        & (pl.col("volume") >= least.min_volume_shares)
        & (pl.col("dollar_volume") >= least.min_dollar_volume_usd)
        for hours, least in (("regular", spike.regular), ("extended", spike.extended))
    }
    base = pl.max_horizontal(earlier, momentum.down_min_earlier_return)
    return {
        "volume_spike": pl.when(regular).then(reaches["regular"]).otherwise(reaches["extended"])
        & ((pl.col("high") - pl.col("low")) / pl.col("open") >= spike.min_range_share)
        & (up | ((pl.col("red_run") >= spike.down_min_red_run_bars) & (drop >= spike.down_min_drop_share))),
        "vwap_break": either(
            (pl.col("run_above") >= vwap.up_min_run_bars) & (spike_x >= vwap.up_min_spike_x),
            (pl.col("run_below") >= vwap.down_min_run_bars) & (spike_x >= vwap.down_min_spike_x),
        ),
        "price_momentum": either(
            (change >= momentum.up_min_return) & (spike_x >= momentum.up_min_spike_x),
            (change <= momentum.down_max_return) & (change.abs() / base >= momentum.down_min_acceleration_x),
        ),
        "consolidation_break": (pl.col("flatness") <= flat.max_flatness)
        & (spike_x >= flat.min_spike_x)
        & either(
            close >= pl.col("base_high") * (1 + flat.up_min_above_share),
            close <= pl.col("base_low") * (1 - flat.down_min_below_share),
        ),
        "opening_range_break": (pl.col("range_bars") >= opening.min_range_bars)
        & (spike_x >= opening.min_spike_x)
        & either(
            close >= pl.col("range_high") * (1 + opening.up_min_above_share),
            close <= pl.col("range_low") * (1 - opening.down_min_below_share),
        ),
        "tape_speed": (pl.col("transactions") >= speed.min_transactions)
        & ((pl.col("transactions") / pl.col("transactions_baseline")).fill_nan(None) >= speed.min_speed_x),
        "flush": (drop >= flush.min_drop_share)
        & (spike_x >= flush.min_spike_x)
        & (pl.col("red_run") >= flush.min_red_run_bars),
    }


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
