"""What the cohorts of a profile can be made of: labels, those with costs, and what is left out."""

from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.ranking import describe_untested
from smallcaps_assets.domain.research.outcomes.event_labels import OK
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS, EVENT_LABELS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.research.joined_outcomes import EVENT_COSTS_TABLE, facts_of_events
from smallcaps_assets.pipeline.research.table_reader import TableReader
from smallcaps_assets.settings.settings import Profile

# events that a message names
_NAMED: Final = 3
_MORE_COSTS: Final = "capture more tape of {profile}, or set research.cost_bps_default"


def how_to_know_costs(profile: Profile) -> str:
    """What gives more labels of a profile a cost."""
    return _MORE_COSTS.format(profile=profile)


class CohortSource(NamedTuple):
    """The labels of one spec that cohorts can be made of.

    Attributes:
        ok: labels with an entry and barriers.
        with_net: those with a cost, hence a net return.
        dates: of these.
        not_costed: labels of which `event_costs` has no row yet.
        not_followed: labels with a row of costs whose event has no outcomes yet, or is no longer detected: cohorts
            leave them out.
        not_followed_named: some of these events.
    """

    ok: int
    with_net: int
    dates: int
    not_costed: int
    not_followed: int
    not_followed_named: list[str]

    @property
    def costed_share(self) -> float | None:
        """The share of the labels that have a cost; None where there are no labels."""
        return self.with_net / self.ok if self.ok else None

    def notes(self, profile: Profile) -> list[str]:
        """What cohorts leave out and why: labels without a cost, and those that a table lacks; with the remedy."""
        cohorts, found = f"then {profile}/cohorts", []
        if 0 < self.with_net < self.ok:
            found.append(
                f"costs are known of {self.with_net:,} of {count_noun(self.ok, 'label')}, on "
                f"{count_noun(self.dates, 'date')}: only these count, and captured events are chosen with hindsight; "
                f"{how_to_know_costs(profile)}"
            )
        if self.not_costed:
            clause = count_clause(self.not_costed, "event has", "events have")
            costs = f"{profile}/{EVENT_COSTS_TABLE}"
            found.append(f"{clause} no row in {costs} yet: materialize it, {cohorts}")
        if self.not_followed:
            clause = count_clause(self.not_followed, "event is", "events are")
            found.append(
                f"{clause} left out, such as {', '.join(self.not_followed_named)}: event_waves does not have "
                f"them as they are detected now: materialize it, {cohorts}"
            )
        return found


def source_of_cohorts(lake: Lake, profile: Profile, label_spec: str) -> CohortSource:
    """What cohorts of a profile can be made of, as its costs, labels and events are now.

    Raises:
        LakeError: a file is damaged, cannot be read or has other columns.
    """
    read, of_spec = TableReader(lake), pl.col("label_spec") == label_spec
    labels = read.of_symbols("event_labels", EVENT_LABELS).filter(of_spec).select("event_id", "date", "state")
    costs = (
        read.of_lake(EVENT_COSTS_TABLE, EVENT_COSTS, profile)
        .filter(of_spec)
        .select("event_id", "net_return", costed=pl.lit(value=True))
    )
    outcomes = read.of_symbols("event_outcomes", EVENT_OUTCOMES).select("event_id", followed=pl.lit(value=True))
    events = outcomes.join(facts_of_events(lake), on="event_id", how="semi")
    rows = labels.join(costs, on="event_id", how="left").join(events, on="event_id", how="left")
    with_net = (pl.col("state") == OK) & pl.col("net_return").is_not_null()
    behind = pl.col("costed").is_not_null() & pl.col("followed").is_null()
    with read.naming():
        found = rows.select(
            ok=(pl.col("state") == OK).sum(),
            with_net=with_net.sum(),
            dates=pl.col("date").filter(with_net).n_unique(),
            not_costed=pl.col("costed").null_count(),
            not_followed=behind.sum(),
            not_followed_named=pl.col("event_id").filter(behind).sort().head(_NAMED).implode(),
        ).collect()
    return CohortSource(*found.row(0))


def why_untested(cohorts: pl.DataFrame, params: CohortParams, source: CohortSource, profile: Profile) -> str | None:
    """Why there are no cohorts, or none of them is tested; None where one is.

    Args:
        cohorts: COHORTS of one as_of, label_spec and selection.
        params: what a test needs.
        source: what they are made of.
        profile: whose costs.
    """
    if not cohorts.is_empty():
        return describe_untested(cohorts, params)
    if not source.ok:
        return "no event has an entry and barriers yet"
    if not source.with_net:
        return f"costs are known of none of {count_noun(source.ok, 'label')}: {how_to_know_costs(profile)}"
    if source.dates == 1:
        return "all labels with costs are of one date, and a sample needs two"
    return "no label with costs was over when a month began"
