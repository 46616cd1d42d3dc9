"""The seven detectors: one function each, its parameters above it, one mapping that names them all."""

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
    """Thresholds of every detector, by its name."""

    volume_spike: VolumeSpikeParams
    vwap_break: VwapBreakParams
    price_momentum: PriceMomentumParams
    consolidation_break: ConsolidationBreakParams
    opening_range_break: OpeningRangeBreakParams
    tape_speed: TapeSpeedParams
    flush: FlushParams


def signals(params: DetectorParams) -> Mapping[str, Signals]:
    """What each detector looks for, by event type."""
    return {
        "volume_spike": volume_spike(params.volume_spike),
        "vwap_break": vwap_break(params.vwap_break),
        "price_momentum": price_momentum(params.price_momentum),
        "consolidation_break": consolidation_break(params.consolidation_break),
        "opening_range_break": opening_range_break(params.opening_range_break),
        "tape_speed": tape_speed(params.tape_speed),
        "flush": flush(params.flush),
    }


__all__: Final = ["DetectorParams", "Rule", "Signals", "happens", "signals"]
