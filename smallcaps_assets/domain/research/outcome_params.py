"""Settings of what follows an event; those of costs are known by name, and of no effect yet."""

from pydantic import Field

from smallcaps_assets.domain.params import Params


class OutcomeParams(Params):
    """Fields are keys of `research:` (research specification, sections 3 and 4)."""

    wave_horizon_min: int = Field(default=60, gt=0)
    cost_bps_default: float | None = Field(default=None, ge=0)
    fee_bps: float = Field(default=0, ge=0)
