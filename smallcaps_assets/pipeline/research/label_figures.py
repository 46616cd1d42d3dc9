"""What the labels of a lake say, with the costs of a profile: read only, nothing is made or set aside."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.outcomes.label_summary import sum_by_date, summarize_labels
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS, EVENT_LABELS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.events.master import load_master
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.research.joined_outcomes import EVENT_COSTS_TABLE
from smallcaps_assets.pipeline.research.table_reader import TableReader
from smallcaps_assets.settings.settings import Profile

_LABELS: Final = "event_labels"
_FEATURES: Final = "event_bar_features"
_OUTCOMES: Final = "event_outcomes"
_SUMMARIZED: Final = ("event_id", "label_spec", "date", "state", "label", "tie", "gross_return")
_IDS: Final = pl.Schema({"event_id": EVENTS["event_id"]})
# events that a message names
_NAMED: Final = 3


class LabelFigures(NamedTuple):
    """What the labels of a lake say.

    Attributes:
        summary: as from `summarize_labels`.
        symbols: how many have a file of labels.
        unlabeled: events of MASTER without a label.
        unlabeled_named: some of them.
    """

    summary: pl.DataFrame
    symbols: int
    unlabeled: int
    unlabeled_named: list[str]


def figures_of_labels(lake: Lake, profile: Profile) -> LabelFigures:
    """What the labels of all symbols say, with the costs of a profile.

    Raises:
        InputError: a table that they need is not made yet; says what makes it.
        LakeError: a file is damaged, cannot be read or has other columns.
    """
    require_labels(lake, profile)
    read = TableReader(lake)
    labels = read.of_symbols(_LABELS, EVENT_LABELS).select(*_SUMMARIZED)
    events = read.of_symbols(_FEATURES, BAR_FEATURES).select("event_id", "event_type", "in_causal_sample")
    chosen = read.of_symbols(_OUTCOMES, EVENT_OUTCOMES).select("event_id", "in_master")
    costs = read.of_lake(EVENT_COSTS_TABLE, EVENT_COSTS, profile).select(
        "event_id", "label_spec", "net_return", "cost_source"
    )
    rows = (
        labels.join(events, on="event_id", how="left")
        .join(chosen, on="event_id", how="left")
        .join(costs, on=["event_id", "label_spec"], how="left")
    )
    master = load_master(lake, _IDS).lazy()
    without = master.join(labels.select("event_id"), on="event_id", how="anti").sort("event_id")
    with read.naming():
        dates, unlabeled = pl.collect_all([sum_by_date(rows), without])
    named = unlabeled["event_id"].head(_NAMED).to_list()
    symbols = len(read.store.parts(lake.research / _LABELS))
    return LabelFigures(summarize_labels(dates), symbols, unlabeled.height, named)


def require_labels(lake: Lake, profile: Profile) -> None:
    """Make sure that events have labels, and these costs of a profile.

    Raises:
        InputError: a step is still to do; says which asset it is, the first one first.
    """
    store = ResearchStore(lake)
    steps = (
        (is_stored(lake.master), "there are no events", "master_events"),
        (bool(store.parts(lake.research / _LABELS)), "no event has labels", _LABELS),
        (
            is_stored(lake.research_table(EVENT_COSTS_TABLE, profile)),
            f"no label has costs of {profile}",
            f"{profile}/{EVENT_COSTS_TABLE}",
        ),
    )
    for is_done, what, asset in steps:
        if not is_done:
            raise InputError(f"{lake.root}: {what} yet. Materialize {asset}, which needs no request of its own.")
