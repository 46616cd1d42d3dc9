"""The settings that each research table of symbols reads.

One step makes all of them, but a setting makes only those tables out of date that read it.
"""

from collections.abc import Mapping
from typing import Any, Final

from smallcaps_assets.domain.research.bars.bar_features import BarFeatureParams
from smallcaps_assets.domain.research.bars.halts import HaltParams
from smallcaps_assets.domain.research.bars.market_state import MarketStateParams
from smallcaps_assets.domain.research.outcome_params import CostParams, OutcomeParams
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.sample import SampleParams
from smallcaps_assets.pipeline.research.bars.symbol_tables import MARKET_STATE_DAY
from smallcaps_assets.settings.settings import Settings

# which events have rows
_SAMPLE: Final = frozenset(SampleParams.model_fields)
_HALTS: Final = frozenset(HaltParams.model_fields)
# Keys of `research:`, by table that is an asset.
RESEARCH_SETTINGS: Final[Mapping[str, frozenset[str]]] = {
    "event_bar_features": _SAMPLE | frozenset(BarFeatureParams.model_fields),
    "halts": _HALTS,
    "event_waves": _SAMPLE | (OutcomeParams.model_fields.keys() - CostParams.model_fields.keys()),
    "event_labels": _SAMPLE | _HALTS,
    MARKET_STATE_DAY: _HALTS | frozenset(MarketStateParams.model_fields),
}
# features of detection: bar_atr scales legs and barriers
_WITH_FEATURES: Final = ("event_bar_features", "event_waves", "event_labels")


def settings_of_table(table: str, settings: Settings) -> tuple[Any, ...]:
    """The settings that decide the rows of a table of RESEARCH_SETTINGS, apart from those that decide the events."""
    of_research = research_settings_of(table, settings.research.params)
    of_detection = (settings.features,) if table in _WITH_FEATURES else ()
    return of_research, settings.sessions, *of_detection


def research_settings_of(table: str, params: ResearchParams) -> dict[str, Any]:
    """Those of `research:`."""
    return params.model_dump(mode="json", include=set(RESEARCH_SETTINGS[table]))
