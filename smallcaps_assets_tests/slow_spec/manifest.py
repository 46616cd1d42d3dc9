"""The manifest of a profile (section 5)."""

from datetime import time
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any

import polars as pl

from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets_tests.slow_spec.bars import EASTERN, Row
from smallcaps_assets_tests.slow_spec.params import DEFAULTS, Params

if TYPE_CHECKING:
    from collections.abc import Callable


def manifest(
    master: pl.DataFrame, profile: str, params: Params = DEFAULTS
) -> tuple[pl.DataFrame, list[tuple[str, int]]]:
    """The rows of the manifest, and the number of rows left after each of the eight steps."""
    rules = params["profiles"][profile]
    rows = sorted(master.iter_rows(named=True), key=lambda row: _rank_key(row, params["type_weights"]))
    steps: list[tuple[str, Callable[[list[Row]], list[Row]]]] = [
        ("time_range", lambda found: [row for row in found if _in_range(row, rules)]),
        ("score", lambda found: [row for row in found if row["score"] >= rules["min_event_score"]]),
        ("bar_liquidity", lambda found: [row for row in found if _bar_is_liquid(row, rules["bar"])]),
        ("day_liquidity", lambda found: [row for row in found if _day_is_liquid(row, rules["day"])]),
        ("group", lambda found: _best(found, 1, "event_group_id")),
        ("max_per_symbol_day", lambda found: _best(found, rules["max_per_symbol_day"], "symbol", "date")),
        ("max_per_symbol", lambda found: _best(found, rules["max_per_symbol"], "symbol")),
        ("max_events", lambda found: _bucketed(found, rules["max_events"], params["bucket_shares"])),
    ]
    funnel = []
    for name, step in steps:
        rows = step(rows)
        funnel.append((name, len(rows)))
    chosen = _extended(rows, rules)["chosen"]
    done = []
    for rank, row in enumerate(rows, start=1):
        extended = row["event_id"] in chosen
        window = rules["extended_window" if extended else "window"]
        done.append(
            {
                **row,
                "rank": rank,
                "time_bucket": bucket_of(row),
                "window_before_min": window["before_min"],
                "window_after_min": window["after_min"],
                "extended": extended,
            }
        )
    return pl.DataFrame([{name: row[name] for name in MANIFEST} for row in done], schema=MANIFEST, orient="row"), funnel


def extension(frame: pl.DataFrame, profile: str, params: Params = DEFAULTS) -> dict[str, Any]:
    """The extension figures of the manifest `frame`: both thresholds, the triggered and the extended rows."""
    result = _extended(list(frame.iter_rows(named=True)), params["profiles"][profile])
    return {**{name: value for name, value in result.items() if name != "chosen"}, "extended": len(result["chosen"])}


def _rank_key(row: Row, weights: Params) -> tuple[Any, ...]:
    rvol = row["rvol_day"]
    return (
        -(row["score"] * weights[row["event_type"]]),
        rvol is None,
        -(rvol or 0.0),
        -row["dollar_volume"],
        row["event_id"],
    )


def _in_range(row: Row, rules: Params) -> bool:
    return (
        row["session"] in rules["sessions"]
        and (rules["first_date"] is None or row["date"] >= str(rules["first_date"]))
        and (rules["last_date"] is None or row["date"] <= str(rules["last_date"]))
    )


def _spread(row: Row) -> float:
    return float((row["high"] - row["low"]) / row["vwap_at_event"])


def _bar_is_liquid(row: Row, bar: Params) -> bool:
    traded = row["dollar_volume"] >= bar["min_dollar_volume"] and row["volume"] >= bar["min_volume"]
    return bool(traded and _spread(row) <= bar["max_spread_pct"] / 100)


def _day_is_liquid(row: Row, day: Params) -> bool:
    rvol = row["rvol_day"]
    return row["dollar_volume_day"] >= day["min_dollar_volume"] and (rvol is None or rvol >= day["min_rvol"])


def _best(rows: list[Row], most: int, *columns: str) -> list[Row]:
    """The first `most` rows of each group; rows come in rank order."""
    seen: dict[tuple[Any, ...], int] = {}
    kept = []
    for row in rows:
        key = tuple(row[column] for column in columns)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= most:
            kept.append(row)
    return kept


def bucket_of(row: Row) -> str:
    if row["session"] == "PM":
        return "0400-0930"
    if row["session"] == "AH":
        return "1600-2000"
    clock = row["timestamp"].astimezone(EASTERN).time()
    return "0930-1015" if clock < time(10, 15) else "1015-1400" if clock < time(14) else "1400-1600"


def _bucketed(rows: list[Row], most: int, shares: Params) -> list[Row]:
    if len(rows) <= most:
        return rows
    chosen = set()
    for bucket, share in shares.items():
        in_bucket = [index for index, row in enumerate(rows) if bucket_of(row) == bucket]
        chosen.update(in_bucket[: floor(share * most + 1e-9)])
    for index in range(len(rows)):
        if len(chosen) < most:
            chosen.add(index)
    return [rows[index] for index in sorted(chosen)]


def _extended(rows: list[Row], rules: Params) -> dict[str, Any]:
    extension_params = rules["extension"]
    speed = percentile([row["transactions"] for row in rows], extension_params["speed_percentile"])
    spread = percentile([_spread(row) for row in rows], extension_params["spread_percentile"])
    triggered = [
        row["event_id"]
        for row in rows
        if (speed is not None and row["transactions"] is not None and row["transactions"] >= speed)
        or (spread is not None and _spread(row) >= spread)
        or (row["spike_x"] is not None and row["spike_x"] >= extension_params["vol_spike_x"])
    ]
    most = floor(extension_params["max_extended_share"] * len(rows) + 1e-9)
    return {
        "speed_threshold": speed,
        "spread_threshold": spread,
        "triggered": len(triggered),
        "chosen": set(triggered[:most]),
    }


def percentile(values: list[float | None], percent: float) -> float | None:
    """Quantile by linear interpolation, without nulls; the position is exact."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    position = Fraction(str(percent)) * (len(known) - 1) / 100
    below = floor(position)
    if position == below:
        return float(known[below])
    return known[below] + (known[below + 1] - known[below]) * float(position - below)
