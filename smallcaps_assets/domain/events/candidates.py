"""Find the bars at which events happen: cheap conditions on every bar, expensive ones only on the candidates."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.events.detectors import DetectorParams, Rule, happens, signals
from smallcaps_assets.domain.events.features import FeatureParams, with_spikes, with_windows

_EDGES_ONLY: Final = pl.lit(value=False)
# In names of columns: whether the rule of the column begins to hold.
_BEGINS: Final = " begins"


def find_events(
    features: pl.DataFrame,
    params: DetectorParams,
    look_back: FeatureParams,
    types: Collection[str],
    keep: pl.Expr = _EDGES_ONLY,
) -> pl.DataFrame:
    """One row per event of `types`, with the features and windows of its bar, `event_type` and `direction`.

    Args:
        features: features of every bar, see `with_features`.
        params: thresholds of the detectors.
        look_back: the parameters of the features.
        types: event types to detect.
        keep: a condition on the bars. Where it is true, every bar that meets the conditions of an event is a row, also
            those that only continue one.

    Returns:
        Rows by event type and direction, in the order of `features`; the features of the detectors are among the
        columns. `begins` is whether the row is an event, `kept_whole` whether `keep` is true. Rows that continue an
        event follow it.
    """
    by_type = {name: of_type for name, of_type in signals(params).items() if name in types}
    rules = {
        f"{name}/{direction}": rule
        for name, of_type in by_type.items()
        for direction, rule in (("up", of_type.up), ("down", of_type.down))
        if rule is not None
    }
    detector_features = {name: column for of_type in by_type.values() for name, column in of_type.features.items()}
    windows = {name: window for of_type in by_type.values() for name, window in of_type.windows.items()}

    every = features.with_columns(**detector_features)
    candidates = {name: rule.candidate.fill_null(value=False) for name, rule in rules.items()}
    # most candidates have no volume spike, so only the columns of that test are copied
    rows = _filter_any(every.select("bar", "day_start", "session", "volume", **candidates), rules)
    rows = with_spikes(rows, features, look_back)
    rows = _filter_any(rows.with_columns(**{name: _with_min_spike(name, rule) for name, rule in rules.items()}), rules)
    rows = every[rows["bar"]].hstack(rows.select("volume_baseline", "spike_x", *rules))
    # rules without a window are evaluated here, so that windows are computed for their rows only
    windowless = {name: rule for name, rule in rules.items() if rule.confirmed is None}
    rows = rows.with_columns(
        kept_whole=keep, **{name + _BEGINS: happens(pl.col(name), rule.since) for name, rule in windowless.items()}
    )
    wanted = {name: pl.col(name) & (pl.col("kept_whole") | pl.col(name + _BEGINS)) for name in windowless}
    rows = with_windows(_filter_any(rows.with_columns(**wanted), rules), features, look_back, windows)
    with_window = {name: rule for name, rule in rules.items() if name not in windowless}
    confirmed = {name: rule.confirmed for name, rule in with_window.items() if rule.confirmed is not None}
    rows = rows.with_columns(
        **{name: (pl.col(name) & condition).fill_null(value=False) for name, condition in confirmed.items()}
    )
    rows = rows.with_columns(
        **{name + _BEGINS: happens(pl.col(name), rule.since) for name, rule in with_window.items()}
    )
    wanted = {name: pl.col(name) & (pl.col("kept_whole") | pl.col(name + _BEGINS)) for name in with_window}
    return _one_row_per_rule(rows.with_columns(**wanted), list(rules)).drop(*rules, *(name + _BEGINS for name in rules))


def _filter_any(rows: pl.DataFrame, rules: Mapping[str, Rule]) -> pl.DataFrame:
    """The rows that meet the conditions of any rule so far; `rows` have a Boolean column named after each rule."""
    return rows.filter(pl.any_horizontal(*rules))


def _with_min_spike(name: str, rule: Rule) -> pl.Expr:
    if rule.min_spike_x is None:
        return pl.col(name)
    return pl.col(name) & (pl.col("spike_x") >= rule.min_spike_x).fill_null(value=False)


def _one_row_per_rule(rows: pl.DataFrame, rules: Sequence[str]) -> pl.DataFrame:
    """One row per row and rule that it meets, in order of rules, with `begins`."""
    rule, row = np.nonzero(rows.select(rules).to_numpy().T)
    begins = rows.select(name + _BEGINS for name in rules).to_numpy().T[rule, row]
    names = pl.DataFrame([name.split("/") for name in rules], schema=["event_type", "direction"], orient="row")
    return rows[row].hstack(names[rule]).with_columns(begins=pl.Series(begins, dtype=pl.Boolean))
