"""Settings of what follows an event (research specification, sections 3 and 4)."""

from pydantic import Field

from smallcaps_assets.domain.params import Params


class CostParams(Params):
    """Fields are keys of `research:`."""

    cost_bps_default: float | None = Field(default=None, ge=0)
    fee_bps: float = Field(default=0, ge=0)
    # the trading days before an event's date in which others stand for it, and how many of them are enough
    cost_days: int = Field(default=60, gt=0)
    cost_min_events: int = Field(default=30, gt=0)


class OutcomeParams(CostParams):
    """Fields are keys of `research:`."""

    wave_horizon_min: int = Field(default=60, gt=0)
