"""Cohorts by plain loops over events (research specification, section 6)."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
Key = tuple[date, str, str, str]
EASTERN = ZoneInfo("America/New_York")
Z = 1.959964
FLAGS = {"causal": "in_causal_sample", "master": "in_master"}


def months_later(day: date, months: int) -> date:
    number = day.year * 12 + day.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


def quantile(values: Iterable[float], share: Fraction) -> float:
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + float(place - low) * (ordered[high] - ordered[low])


def mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed else None


def wilson(rate: float, n: float) -> tuple[float, float]:
    middle = rate + Z * Z / (2 * n)
    half = Z * math.sqrt(rate * (1 - rate) / n + Z * Z / (4 * n * n))
    # a share: rounding may leave it
    return max((middle - half) / (1 + Z * Z / n), 0.0), min((middle + half) / (1 + Z * Z / n), 1.0)


def student_tail(t: float, degrees: int) -> float:
    """P(T > t) by the finite series for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    theta = math.atan2(t, math.sqrt(degrees))
    sine, cosine = math.sin(theta), math.cos(theta)
    if degrees % 2:
        term, total = cosine, 0.0
        for k in range(1, (degrees - 1) // 2 + 1):
            total += term
            term *= cosine * cosine * (2 * k) / (2 * k + 1)
        inside = (theta + sine * total) * 2 / math.pi
    else:
        term, total = 1.0, 0.0
        for k in range(1, degrees // 2 + 1):
            total += term
            term *= cosine * cosine * (2 * k - 1) / (2 * k)
        inside = sine * total
    return (1 - inside) / 2


def uniqueness(events: list[Row]) -> float:
    """Sum over the events of the mean of 1/c over their minutes."""

    def minutes(row: Row) -> list[tuple[str, int]]:
        start, end = (row[name].timestamp() for name in ("entry_at", "t1"))
        return [(row["symbol"], minute) for minute in range(math.floor(start / 60), math.ceil(end / 60))]

    held = Counter(minute for row in events for minute in minutes(row))
    return math.fsum(math.fsum(1 / held[minute] for minute in minutes(row)) / len(minutes(row)) for row in events)


def clustered_error(events: list[Row], middle: float) -> float | None:
    by_date: dict[str, list[float]] = defaultdict(list)
    for row in events:
        by_date[row["date"]].append(row["net_return"] - middle)
    count = len(by_date)
    if count < 2:
        return None
    squares = math.fsum(math.fsum(values) ** 2 for values in by_date.values())
    error = math.sqrt(count / (count - 1) * squares) / len(events)
    largest = max(abs(row["net_return"]) for row in events)
    return error if error > 1e-12 * largest else 0.0


class Sample:
    """The sample of one as_of, label_spec and selection."""

    def __init__(self, events: list[Row], as_of: date, selection: str) -> None:
        midnight = datetime(as_of.year, as_of.month, 1, tzinfo=EASTERN)
        first = months_later(as_of, -24)
        own = [row for row in events if row[FLAGS[selection]]]
        labels = [
            row
            for row in own
            if row["state"] == "ok" and row["t1"] < midnight and first <= date.fromisoformat(row["date"]) < as_of
        ]
        self.events = [row for row in labels if row["net_return"] is not None]
        self.uncosted = [row for row in labels if row["net_return"] is None]
        dates = sorted({row["date"] for row in self.events})
        self.select_dates = set(dates[: math.floor(Fraction(3, 4) * len(dates))])
        flatness = [row["flatness_score"] for row in self.events if row["flatness_score"] is not None]
        thirds = Fraction(1, 3), Fraction(2, 3)
        self.bounds = [quantile(flatness, share) for share in thirds] if flatness else [None, None]
        self.no_entry = [row for row in own if row["state"] == "no_entry" and row["date"] in self.select_dates]

    def ids(self, row: Row) -> list[str]:
        """Finest first."""
        flatness, (low, high) = row["flatness_score"], self.bounds
        tercile = "na"
        if flatness is not None and low is not None:
            tercile = "1" if flatness <= low else "2" if flatness <= high else "3"
        keys = [row["event_type"], row["direction"], row["time_bucket"], tercile]
        return ["|".join([f"L{level}", *keys[: level + 1]]) for level in (3, 2, 1)]

    def figures(self, cohort: str) -> Row | None:
        own = [row for row in self.events if cohort in self.ids(row)]
        select = [row for row in own if row["date"] in self.select_dates]
        if not select:
            return None
        confirm = [row for row in own if row["date"] not in self.select_dates]
        n = len(select)
        net = [row["net_return"] for row in select]
        middle = math.fsum(net) / n
        symbols = Counter(row["symbol"] for row in select)
        effective = uniqueness(select)
        rate = sum(value > 0 for value in net) / n
        error = clustered_error(select, middle)
        t = middle / error if error else None
        days = len({row["date"] for row in select})
        uncosted = sum(cohort in self.ids(row) for row in self.uncosted)
        no_entry = sum(cohort in self.ids(row) for row in self.no_entry)
        (lo, hi), (eff_lo, eff_hi) = wilson(rate, n), wilson(rate, effective)
        return {
            "level": cohort[:2],
            "n": n,
            "n_days": days,
            "n_symbols": len(symbols),
            "max_symbol_share": max(symbols.values()) / n,
            "effective_n": effective,
            "win_rate": rate,
            "wilson_lo": lo,
            "wilson_hi": hi,
            "wilson_eff_lo": eff_lo,
            "wilson_eff_hi": eff_hi,
            "mean": middle,
            "median": quantile(net, Fraction(1, 2)),
            "p05": quantile(net, Fraction(1, 20)),
            "p95": quantile(net, Fraction(19, 20)),
            "se": error,
            "t": t,
            "p": None if t is None else student_tail(t, days - 1),
            "share_up": sum(row["label"] == 1 for row in select) / n,
            "share_down": sum(row["label"] == -1 for row in select) / n,
            "tie_share": sum(row["tie"] for row in select) / n,
            "mean_mfe_15": mean(row["mfe_15_bps"] for row in select if row["mfe_15_bps"] is not None),
            "cost_bps_median": quantile([row["cost_bps"] for row in select], Fraction(1, 2)),
            "halt_share": mean(row["halt_in_label"] for row in select if row["halt_in_label"] is not None),
            "no_entry_share": no_entry / (no_entry + n),
            "confirm_n": len(confirm),
            "confirm_mean": mean(row["net_return"] for row in confirm),
            "costed_share": len(own) / (len(own) + uncosted),
            "flatness_b1": self.bounds[0],
            "flatness_b2": self.bounds[1],
        }


def judge(family: dict[str, Row], limits: Row) -> None:
    """Add q_value, tested and winning to the cohorts of one as_of, label_spec and selection."""
    tested = [
        row
        for row in family.values()
        if row["n"] >= limits["cohort_test_min_events"]
        and row["n_days"] >= limits["cohort_test_min_days"]
        and row["p"] is not None
    ]
    ordered = sorted(tested, key=lambda row: row["p"])
    for row in family.values():
        row.update(tested=len(tested), q_value=None)
    lowest = 1.0
    for rank in range(len(ordered), 0, -1):
        lowest = min(lowest, ordered[rank - 1]["p"] * len(ordered) / rank)
        ordered[rank - 1]["q_value"] = lowest
    for row in family.values():
        row["winning"] = (
            row["q_value"] is not None
            and row["q_value"] <= limits["cohort_max_q"]
            and row["mean"] >= limits["cohort_min_mean_bps"] / 1e4
            and row["n_symbols"] >= limits["cohort_min_symbols"]
            and row["max_symbol_share"] <= limits["cohort_max_symbol_share"]
            and row["confirm_n"] >= limits["cohort_confirm_min_events"]
            and row["confirm_mean"] > 0
        )
        row["selects"] = row["winning"] and row["costed_share"] >= limits["cohort_min_costed_share"]


def slow_cohorts(events: list[Row], limits: Row) -> tuple[dict[Key, Row], set[tuple[Any, ...]]]:
    """Cohorts by their key, and members (event_id, as_of, label_spec, selection, cohort_id, part).

    Args:
        events: a row per event and label_spec.
        limits: the settings of tests and of what is winning, by name.
    """
    cohorts: dict[Key, Row] = {}
    members: set[tuple[Any, ...]] = set()
    dates = [date.fromisoformat(row["date"]) for row in events]
    last = months_later(max(dates), 1)
    as_of = months_later(min(dates), 1)
    while as_of <= last:
        for spec in {row["label_spec"] for row in events}:
            for selection in FLAGS:
                sample = Sample([row for row in events if row["label_spec"] == spec], as_of, selection)
                ids = {cohort for row in sample.events for cohort in sample.ids(row)}
                family = {cohort: row for cohort in ids if (row := sample.figures(cohort))}
                judge(family, limits)
                cohorts |= {(as_of, spec, selection, cohort): row for cohort, row in family.items()}
                for row in sample.events:
                    part = "select" if row["date"] in sample.select_dates else "confirm"
                    for cohort in sample.ids(row):
                        if cohort in family and family[cohort]["winning"]:
                            members.add((row["event_id"], as_of, spec, selection, cohort, part))
                            break
        as_of = months_later(as_of, 1)
    return cohorts, members
