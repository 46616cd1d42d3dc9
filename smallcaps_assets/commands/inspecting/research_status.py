"""The lines of `smallcaps status` about research: whether tables are up to date, by footers alone, and cohorts."""

import polars as pl

from smallcaps_assets.commands.console import Line, Printable
from smallcaps_assets.domain.research.cohorts.follow_up import PRIMARY_SPEC
from smallcaps_assets.domain.research.cohorts.ranking import withheld_cohorts
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.cohorts import COHORTS_TABLE, load_cohorts
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listing_borders import load_borders
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.research.bars.by_symbol import SymbolResearch
from smallcaps_assets.pipeline.research.joined_cohorts import changes_of_cohorts
from smallcaps_assets.pipeline.research.joined_outcomes import EVENT_COSTS_TABLE, JoinedOutcomes
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings


def research_status(lake: Lake, settings: Settings) -> tuple[list[Printable], int]:
    """How many symbols' tables are behind their bars, events and splits, and how many damaged files the line names.

    There is no line where research is switched off.
    """
    shards = ShardStore(lake)
    symbols = shards.symbols()
    if not settings.research.enabled or not symbols:
        return [], 0
    universe = UniverseStore(lake)
    try:
        splits, borders = ReferenceTables(lake).splits(), load_borders(lake)
    except LakeError as error:
        return [Line(f"research: {error}", "bad")], 1
    test_symbols = universe.test_symbols(settings.universe)
    rules = settings.detection, settings.sessions, universe.reference(), test_symbols
    detector = Detector(BarsStore(lake), shards, *rules, borders=borders)
    try:
        behind = SymbolResearch(detector, settings.research.params, splits).behind(symbols)
    except LakeError as error:  # of the imported events
        return [Line(f"research: {error}", "bad")], 1
    outcomes = JoinedOutcomes(lake, settings.research.params, settings.sessions, settings.ranking, settings.universe)
    cohorts, damaged = cohort_lines(outcomes)
    if not behind:
        return [f"research: tables of {count_noun(len(symbols), 'symbol')} up to date", *cohorts], damaged
    clause = count_clause(len(symbols), "symbol", "symbols")
    line = f"research: {len(behind):,} of {clause} behind: materialize event_bar_features, then event_scores"
    return [line, *cohorts], damaged


def cohort_lines(outcomes: JoinedOutcomes) -> tuple[list[Printable], int]:
    """A line for each profile with costs, and how many damaged files they name."""
    items: list[Printable] = []
    damaged = 0
    for profile in PROFILES:
        try:
            items += _cohorts_of(outcomes, profile)
        except LakeError as error:
            items.append(Line(f"cohorts: {error}", "bad"))
            damaged += 1
    return items, damaged


def _cohorts_of(outcomes: JoinedOutcomes, profile: Profile) -> list[Printable]:
    """How many cohorts of the primary label spec are tested and winning at the last as_of.

    Raises:
        LakeError: a file is damaged or cannot be read.
    """
    lake = outcomes.lake
    if not is_stored(lake.research_table(EVENT_COSTS_TABLE, profile)):
        return []
    remedy = f"materialize {profile}/{COHORTS_TABLE}"
    if not is_stored(lake.research_table(COHORTS_TABLE, profile)):
        return [Line(f"cohorts: {profile} has none yet: {remedy}", "note")]
    rows = load_cohorts(lake, profile).filter(label_spec=PRIMARY_SPEC)
    last = rows.filter(pl.col("as_of") == rows["as_of"].max()) if rows.height else rows
    tested = last.filter(pl.col("q_value").is_not_null(), selection="causal")
    why = f"`smallcaps cohorts --profile {profile}` says why"
    words = f"none, {why}" if last.is_empty() else f"as of {last['as_of'][0]} none is tested, {why}"
    if tested.height:
        winning = int(tested["winning"].sum())
        words = f"as of {last['as_of'][0]} {tested.height:,} tested together, {winning or 'none'} winning"
        withheld = withheld_cohorts(tested).height
        words += f", {withheld:,} of them without enough costs to select events" if withheld else ""
    changes = changes_of_cohorts(outcomes, profile)
    behind = f"; made before {', '.join(changes)} changed: {remedy}" if changes else ""
    return [Line(f"cohorts: {profile}: {words}{behind}", "note" if changes else "")]
