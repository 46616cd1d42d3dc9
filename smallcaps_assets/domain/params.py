"""What every group of settings has in common: frozen, complete, of the right type, without unknown keys."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# a date, or its text as YAML gives it
CalendarDay = Annotated[date, Field(strict=False)]


class Params(BaseModel):
    """A frozen group of settings. No field has a default: the numbers stand in `config/config.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
