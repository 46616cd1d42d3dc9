"""Finds the bars at which events happen: cheap conditions on every bar first, expensive ones only on the rest."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl

from smallcaps_assets.domain.events.detectors import DetectorParams, Rule, happens, signals
from smallcaps_assets.domain.events.features import FeatureParams, with_spikes, with_windows


def find_events(
    features: pl.DataFrame, params: DetectorParams, look_back: FeatureParams, types: Collection[str]
) -> pl.DataFrame:
    """One row per event of `types`, with the features and windows of its bar, `event_type` and `direction`.

    Args:
        features: of every bar, see `with_features`.
        params: thresholds of the detectors.
        look_back: the parameters of the features.
        types: event types to detect.
    """
    by_type = {name: of_type for name, of_type in signals(params).items() if name in types}
    rules = {
        f"{name}/{direction}": rule
        for name, of_type in by_type.items()
        for direction, rule in (("up", of_type.up), ("down", of_type.down))
        if rule is not None
    }
    own = {name: column for of_type in by_type.values() for name, column in of_type.features.items()}
    windows = {name: window for of_type in by_type.values() for name, window in of_type.windows.items()}

    every = features.with_columns(**own)
    candidates = {name: rule.candidate.fill_null(value=False) for name, rule in rules.items()}
    # most candidates have no volume spike: only the columns of that test are copied
    rows = _of_any(every.select("bar", "day_start", "session", "volume", **candidates), rules)
    rows = with_spikes(rows, features, look_back)
    rows = _of_any(rows.with_columns(**{name: _spikes(name, rule) for name, rule in rules.items()}), rules)
    rows = every[rows["bar"]].hstack(rows.select("volume_baseline", "spike_x", *rules))
    # rules without a window are decided here, and only their events need the windows
    at_once = {name: happens(pl.col(name), rule.since) for name, rule in rules.items() if rule.confirmed is None}
    rows = with_windows(_of_any(rows.with_columns(**at_once), rules), features, look_back, windows)
    confirmed = {
        name: happens((pl.col(name) & rule.confirmed).fill_null(value=False), rule.since)
        for name, rule in rules.items()
        if rule.confirmed is not None
    }
    return _labelled(rows.with_columns(**confirmed), list(rules)).drop(*rules, *own)


def _of_any(rows: pl.DataFrame, rules: Mapping[str, Rule]) -> pl.DataFrame:
    """The rows that meet the conditions so far of any rule; each rule has a Boolean column of its name."""
    return rows.filter(pl.any_horizontal(*rules))


def _spikes(name: str, rule: Rule) -> pl.Expr:
    if rule.min_spike_x is None:
        return pl.col(name)
    return pl.col(name) & (pl.col("spike_x") >= rule.min_spike_x).fill_null(value=False)


def _labelled(rows: pl.DataFrame, rules: Sequence[str]) -> pl.DataFrame:
    """One row per row and rule that is met there, rule by rule."""
    rule, row = np.nonzero(rows.select(rules).to_numpy().T)
    names = pl.DataFrame([name.split("/") for name in rules], schema=["event_type", "direction"], orient="row")
    return rows[row].hstack(names[rule])
