"""Columns of the tables of cohorts (research specification, section 6): type, unit, when they are known, and meaning.

All figures are hindsight: they come from labels. `cohort_was_winning` alone is known at the event, because it asks for
a cohort of an earlier date.
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.research.columns import Availability, ResearchColumn
from smallcaps_assets.domain.research.tables.bar_tables import schema_of


def _of(dtype: pl.DataType, unit: str, availability: Availability, *names: str) -> dict[str, ResearchColumn]:
    return {name: ResearchColumn(name, dtype, unit, availability) for name in names}


_TEXT, _FLAG, _COUNT, _NUMBER, _DAY = pl.String(), pl.Boolean(), pl.Int64(), pl.Float64(), pl.Date()
COHORT_KEYS: Final = ("as_of", "label_spec", "selection", "cohort_id")
COHORT_COLUMNS: Final = {
    **_of(_DAY, "", "key", "as_of"),
    **_of(_TEXT, "", "key", "label_spec", "selection", "cohort_id", "level"),
    **_of(_COUNT, "events", "post", "n"),
    **_of(_COUNT, "days", "post", "n_days"),
    **_of(_COUNT, "symbols", "post", "n_symbols"),
    **_of(_NUMBER, "fraction", "post", "max_symbol_share"),
    **_of(_NUMBER, "events", "post", "effective_n"),
    **_of(_NUMBER, "fraction", "post", "win_rate", "wilson_lo", "wilson_hi", "wilson_eff_lo", "wilson_eff_hi"),
    **_of(_NUMBER, "fraction", "post", "mean", "median", "p05", "p95", "se"),
    **_of(_NUMBER, "ratio", "post", "t"),
    **_of(_NUMBER, "fraction", "post", "p", "share_up", "share_down", "tie_share"),
    **_of(_NUMBER, "bps", "post", "mean_mfe_15", "cost_bps_median"),
    **_of(_NUMBER, "fraction", "post", "halt_share", "no_entry_share"),
    **_of(_COUNT, "events", "post", "confirm_n"),
    **_of(_NUMBER, "fraction", "post", "confirm_mean"),
    **_of(_NUMBER, "ratio", "post", "flatness_b1", "flatness_b2"),
    **_of(_NUMBER, "fraction", "post", "q_value"),
    **_of(_COUNT, "cohorts", "post", "tested"),
    **_of(_FLAG, "", "post", "winning"),
    **_of(_NUMBER, "fraction", "post", "costed_share"),
    **_of(_FLAG, "", "post", "selects"),
}
# Columns beyond the specification; null in cohorts that were kept before there were any.
BEYOND_SPECIFICATION: Final = ("costed_share", "selects")
COHORTS: Final = schema_of(COHORT_COLUMNS)
COHORT_MEMBER_COLUMNS: Final = {
    **_of(_TEXT, "", "key", "event_id"),
    **_of(_DAY, "", "key", "as_of"),
    **_of(_TEXT, "", "key", "label_spec", "selection", "cohort_id"),
    **_of(_TEXT, "", "post", "part"),
}
COHORT_MEMBERS: Final = schema_of(COHORT_MEMBER_COLUMNS)
# Cohorts of one as_of that select events, with the events of the sample whose finest winning cohort each is; null where
# these are not known.
SELECTING_COHORTS: Final = pl.Schema({**COHORTS, "members": pl.List(pl.String())})
# What was known of an event's cohort when the event was.
WAS_WINNING_COLUMNS: Final = {**_of(_TEXT, "", "key", "event_id"), **_of(_FLAG, "", "pre", "cohort_was_winning")}
WAS_WINNING: Final = schema_of(WAS_WINNING_COLUMNS)

_KEY_TEXTS: Final = {
    "as_of": "First day of a month; only labels that ended before it are used.",
    "label_spec": "Minutes, profit and stop of the label, in units of its scale.",
    "selection": "`causal`: events known as such at their time; `master`: MASTER, which is chosen with hindsight.",
    "cohort_id": "Level and keys of the cohort: type, direction, time bucket, tercile of flatness; `na`: not known.",
}
COHORT_TEXTS: Final[Mapping[str, str]] = {
    **_KEY_TEXTS,
    "level": "`L1`: type and direction; `L2`: also time bucket; `L3`: also tercile of flatness.",
    "n": "Events of the earlier part (`select`) of the sample; all figures but `confirm_` are of these.",
    "n_days": "Their dates.",
    "n_symbols": "Their symbols.",
    "max_symbol_share": "Share of the symbol with the most events.",
    "effective_n": "Sum of their uniqueness: overlapping labels of a symbol count as fewer.",
    "win_rate": "Share with a net return above 0.",
    "wilson_lo": "Lower bound of the win rate (Wilson, 95 %), from `n`.",
    "wilson_hi": "Upper bound of the win rate (Wilson, 95 %), from `n`.",
    "wilson_eff_lo": "Lower bound of the win rate (Wilson, 95 %), from `effective_n`.",
    "wilson_eff_hi": "Upper bound of the win rate (Wilson, 95 %), from `effective_n`.",
    "mean": "Net return, mean.",
    "median": "Net return, median.",
    "p05": "Net return, 5 % quantile.",
    "p95": "Net return, 95 % quantile.",
    "se": "Standard error of the mean, clustered by date; null with one date.",
    "t": "Mean over its standard error.",
    "p": "One-sided probability of such a mean without an effect (Student, dates minus 1 degrees of freedom).",
    "share_up": "Share of labels 1: the profit was touched first.",
    "share_down": "Share of labels -1: the stop was touched first.",
    "tie_share": "Share of labels whose bar touched both; they count as stopped.",
    "mean_mfe_15": "Greatest move in the event's direction within 15 minutes, mean.",
    "cost_bps_median": "Cost, median.",
    "halt_share": "Share with a halt during the label, of those where it is known.",
    "no_entry_share": "Events of the same keys and dates without an entry, of these and `n`.",
    "confirm_n": "Events of the cohort in the later part (`confirm`) of the sample.",
    "confirm_mean": "Their mean net return.",
    "flatness_b1": "Flatness up to which the tercile is 1.",
    "flatness_b2": "Flatness up to which the tercile is 2.",
    "q_value": "p adjusted for all cohorts tested together (Benjamini-Hochberg); null where not tested.",
    "tested": "Cohorts of this as_of, label_spec and selection that are tested together.",
    "winning": "Whether the cohort passes the test and all other conditions, also on the later part.",
    "costed_share": "Labels with a cost, of all labels of its keys in the months of the sample.",
    "selects": "Whether it may select events: it is winning, and costs are known of enough of its labels.",
}
COHORT_MEMBER_TEXTS: Final[Mapping[str, str]] = {
    "event_id": COLUMNS["event_id"],
    **_KEY_TEXTS,
    "cohort_id": "The finest winning cohort of the event.",
    "part": "`select`: the earlier dates of the sample, which chose the cohort; `confirm`: the later ones.",
}
WAS_WINNING_TEXTS: Final[Mapping[str, str]] = {
    "event_id": COLUMNS["event_id"],
    "cohort_was_winning": "Whether a cohort of the event was winning at the last as_of not after its date.",
}
