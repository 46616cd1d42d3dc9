"""The line of `smallcaps status` about the research tables: whether they are up to date, by footers alone."""

from smallcaps_assets.commands.console import Line, Printable
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.research.bars.by_symbol import SymbolResearch
from smallcaps_assets.settings.settings import Settings


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
        splits = ReferenceTables(lake).splits()
    except LakeError as error:
        return [Line(f"research: {error}", "bad")], 1
    test_symbols = universe.test_symbols(settings.universe)
    detector = Detector(
        BarsStore(lake), shards, settings.detection, settings.sessions, universe.reference(), test_symbols
    )
    try:
        behind = SymbolResearch(detector, settings.research.params, splits).behind(symbols)
    except LakeError as error:  # of the imported events
        return [Line(f"research: {error}", "bad")], 1
    if not behind:
        return [f"research: tables of {count_noun(len(symbols), 'symbol')} up to date"], 0
    clause = count_clause(len(symbols), "symbol", "symbols")
    return [f"research: {len(behind):,} of {clause} behind: materialize event_bar_features, then event_scores"], 0
