"""The detectors: one module each, with its parameters and the function that builds its rules.

To add a detector, add its module, a field of `DetectorParams` and an entry of `signals`: the event types follow.
"""

from collections.abc import Mapping
from typing import Final

from smallcaps_assets.domain.events.detectors.common import Rule, Signals, happens
from smallcaps_assets.domain.events.detectors.consolidation_break import ConsolidationBreakParams, consolidation_break
from smallcaps_assets.domain.events.detectors.flush import FlushParams, flush
from smallcaps_assets.domain.events.detectors.opening_range_break import OpeningRangeBreakParams, opening_range_break
from smallcaps_assets.domain.events.detectors.price_momentum import PriceMomentumParams, price_momentum
from smallcaps_assets.domain.events.detectors.tape_speed import TapeSpeedParams, tape_speed
from smallcaps_assets.domain.events.detectors.volume_spike import VolumeSpikeParams, volume_spike
from smallcaps_assets.domain.events.detectors.vwap_break import VwapBreakParams, vwap_break
from smallcaps_assets.domain.params import Params


class DetectorParams(Params):
    """Thresholds of every detector, by event type."""

    volume_spike: VolumeSpikeParams
    vwap_break: VwapBreakParams
    price_momentum: PriceMomentumParams
    consolidation_break: ConsolidationBreakParams
    opening_range_break: OpeningRangeBreakParams
    tape_speed: TapeSpeedParams
    flush: FlushParams


EVENT_TYPES: Final = tuple(DetectorParams.model_fields)


def signals(params: DetectorParams) -> Mapping[str, Signals]:
    """The rules of each detector, by event type, in the order of EVENT_TYPES.

    Raises:
        ValueError: see `require_distinct_features`.
    """
    return require_distinct_features(
        {
            "volume_spike": volume_spike(params.volume_spike),
            "vwap_break": vwap_break(params.vwap_break),
            "price_momentum": price_momentum(params.price_momentum),
            "consolidation_break": consolidation_break(params.consolidation_break),
            "opening_range_break": opening_range_break(params.opening_range_break),
            "tape_speed": tape_speed(params.tape_speed),
            "flush": flush(params.flush),
        }
    )


def require_distinct_features(by_type: Mapping[str, Signals]) -> Mapping[str, Signals]:
    """Return `by_type` if it has every event type and no two detectors define the same feature or window.

    All of them become columns of one table, where the second would silently replace the first.

    Raises:
        ValueError: names the detectors and the feature, or the event types without rules or parameters.
    """
    if different := by_type.keys() ^ set(EVENT_TYPES):
        raise ValueError(
            f"event types {', '.join(sorted(different))}: each needs a field of DetectorParams and an entry of signals."
        )
    first: dict[str, str] = {}
    for name, of_type in by_type.items():
        for key in (*of_type.features, *of_type.windows):
            if (other := first.setdefault(key, name)) != name or (key in of_type.features and key in of_type.windows):
                raise ValueError(f"detectors {other} and {name} both define the feature {key!r}. Rename one of them.")
    return by_type


__all__: Final = ["EVENT_TYPES", "DetectorParams", "Rule", "Signals", "happens", "require_distinct_features", "signals"]
