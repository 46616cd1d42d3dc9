"""Start, deadline and budget of the nightly run, where notices go, what is removed from the state, and backups."""

from datetime import time
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


class RetentionParams(Params):
    """What the job `retention` removes from Dagster's state, and when, New York time; nothing of the lake."""

    start: NewYorkTime = time(3, 30)
    log_days: int | None = Field(default=30, ge=1)
    table_days: int | None = Field(default=400, ge=1)
    notice_days: int | None = Field(default=400, ge=1)

    @model_validator(mode="after")
    def _tables_longer(self) -> Self:
        if self.log_days is not None and self.table_days is not None and self.table_days < self.log_days:
            raise ValueError(
                f"table_days {self.table_days} is less than log_days {self.log_days}: the history of tables is in the "
                "same records. Raise it, or lower log_days"
            )
        return self


class BackupParams(Params):
    """Where backups go, and which snapshots stay. Files of earlier releases lack it."""

    destination: PathText | None = None
    start: NewYorkTime = time(2, 30)
    keep_last: int | None = Field(default=7, ge=1)
    keep_monthly: int = Field(default=12, ge=0)
    keep_free_gb: float = Field(default=2.0, ge=0)
