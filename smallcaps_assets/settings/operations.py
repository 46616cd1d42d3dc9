"""Start, deadline and request budget of the nightly run, and where notices of failed runs go."""

from typing import Self

from pydantic import Field, model_validator

from smallcaps_assets.domain.params import Params, PathText, VariableName
from smallcaps_assets.domain.sessions import NewYorkTime


class NightlyParams(Params):
    """The nightly run, on the evening of a session, New York time."""

    start: NewYorkTime
    due: NewYorkTime
    capture_requests: int = Field(gt=0)

    @model_validator(mode="after")
    def _due_after_start(self) -> Self:
        if self.due <= self.start:
            raise ValueError(
                f"due {self.due:%H:%M} is not after start {self.start:%H:%M}: leave time for the nightly run"
            )
        return self


class NoticeParams(Params):
    """Where notices of failed runs go."""

    file: PathText
    url_variable: VariableName
    timeout_s: float = Field(gt=0, le=30)
