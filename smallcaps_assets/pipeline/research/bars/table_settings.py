"""The settings that each research table of symbols reads.

One step makes all of them, but a setting makes only those tables out of date that read it.
"""

from collections.abc import Mapping
from typing import Any, Final

from smallcaps_assets.domain.events.detection import DetectionParams
from smallcaps_assets.domain.events.features import FeatureParams
from smallcaps_assets.domain.research.bars.bar_features import BarFeatureParams
from smallcaps_assets.domain.research.bars.halts import HaltParams
from smallcaps_assets.domain.research.bars.market_state import MarketStateParams
from smallcaps_assets.domain.research.outcome_params import CostParams, OutcomeParams
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.sample import SampleParams
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.versions import code_version
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
    return _settings_of(table, settings.research.params, settings.sessions, settings.features)


def digests_of_settings(params: ResearchParams, detection: DetectionParams, sessions: SessionParams) -> dict[str, str]:
    """Of each table of RESEARCH_SETTINGS a digest of the settings that decide its rows, but not its events.

    The prices of the causal sample count for the tables of events.
    """
    closes = (detection.filters.min_close_usd, detection.filters.max_close_usd)
    of_events = {table: (closes,) if table in _WITH_FEATURES else () for table in RESEARCH_SETTINGS}
    return {
        table: code_version("", *_settings_of(table, params, sessions, detection.features), *own)
        for table, own in of_events.items()
    }


def _settings_of(
    table: str, params: ResearchParams, sessions: SessionParams, features: FeatureParams
) -> tuple[Any, ...]:
    of_detection = (features,) if table in _WITH_FEATURES else ()
    return research_settings_of(table, params), sessions, *of_detection


def research_settings_of(table: str, params: ResearchParams) -> dict[str, Any]:
    """Those of `research:`."""
    return params.model_dump(mode="json", include=set(RESEARCH_SETTINGS[table]))
