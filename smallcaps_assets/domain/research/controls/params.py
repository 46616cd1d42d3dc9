"""Which controls are chosen, and how many (research specification, section 7)."""

from pydantic import Field

from smallcaps_assets.domain.params import Params


class ControlParams(Params):
    """Rules of the controls. Fields are keys of `research:`.

    `control_share` bounds the controls by the rows of the manifest; `control_days` counts trading days before the
    event; `control_clear_min` are the minutes before and after the control's minute without an event of the symbol;
    `control_min_bars` is the least number of minute bars in the control's window.
    """

    control_share: float = Field(default=0.25, ge=0, le=1)
    control_days: int = Field(default=20, gt=0, le=250)
    control_clear_min: int = Field(default=30, ge=0, le=1440)
    control_min_bars: int = Field(default=3, ge=0)
