"""When the nightly run starts and must be done, what it may spend, and where failures are reported."""

from typing import Self

from pydantic import Field, model_validator

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.sessions import Clock


class NightlyParams(Params):
    """What runs on schedule in the evening of a session; New York time."""

    start: Clock
    due: Clock
    capture_requests: int = Field(gt=0)

    @model_validator(mode="after")
    def _due_after_start(self) -> Self:
        if self.due <= self.start:
            raise ValueError(f"due {self.due:%H:%M} is not after start {self.start:%H:%M}: give the night some time")
        return self


class NoticeParams(Params):
    """Where a failed run is reported."""

    file: str = Field(min_length=1)
    url_variable: str = Field(min_length=1)
    timeout_s: float = Field(gt=0, le=30)
