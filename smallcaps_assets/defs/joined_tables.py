"""The research tables over all symbols: from which assets each is made, and how, with its metadata."""

from collections.abc import Callable
from typing import Final

from smallcaps_assets.defs.metadata.outcomes import OUTCOME_TABLES, OutcomeTable, upstream_of_outcomes
from smallcaps_assets.defs.metadata.research import table_metadata
from smallcaps_assets.defs.resources import LakeResource
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.pipeline.research.joined import EVENT_SCORES_TABLE, RESEARCH_TABLE_NAME
from smallcaps_assets.settings.settings import COHORTS_FROM, Profile, Settings

_OF_RESEARCH_TABLE: Final = ("manifest", "micro_features", "event_tape_state")


def upstream_of(name: str, profile: Profile | None, settings: Settings) -> list[list[str]]:
    """The keys of the assets that a table of outcomes, or the research table of a profile, is made from.

    Whether a cohort was winning is asked of those that select the profile's events, or of those of its own tape.
    """
    if name != RESEARCH_TABLE_NAME or profile is None:
        return upstream_of_outcomes(name, profile)
    cohorts_of = profile if settings.profiles[profile].cohorts is None else COHORTS_FROM
    own = [[profile, one] for one in _OF_RESEARCH_TABLE]
    return [*own, [cohorts_of, COHORTS_TABLE], ["event_bar_features"], [EVENT_SCORES_TABLE]]


def make_table(
    name: str, profile: Profile | None, loaded: Settings, lake: LakeResource, log: Callable[[str], None]
) -> OutcomeTable:
    """Publish a table of outcomes, or the research table of a profile, unless it is published as it would be.

    Raises:
        InputError: there is no MASTER, or no manifest, yet.
        LakeError: a file is damaged or cannot be read or written.
    """
    if name != RESEARCH_TABLE_NAME or profile is None:
        return OUTCOME_TABLES[name](lake.joined_outcomes(loaded), profile)
    made = lake.joined_research(loaded).table(profile, loaded.ranking)
    around = lake.around_events(profile, loaded, made.rows, log)
    return OutcomeTable(made.sha256, table_metadata(made, around))
