"""Base of every group of settings: frozen, complete, strictly typed, without unknown keys."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# a date, or its text as read from YAML
CalendarDay = Annotated[date, Field(strict=False)]


class Params(BaseModel):
    """A frozen group of settings; the values are in `config/config.yaml`.

    No field has a default but those that files of an earlier release lack.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
