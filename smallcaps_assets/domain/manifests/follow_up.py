"""Which cohorts select the events of a profile, as settings (research specification, section 6.6)."""

from collections.abc import Callable
from typing import Final, NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator

from smallcaps_assets.domain.params import CalendarDay, Params
from smallcaps_assets.domain.research.outcomes.barriers import LABEL_SPECS

# The step of the funnel.
COHORT_STEP: Final = "winning_cohorts"
_SPECS: Final = tuple(spec.name for spec in LABEL_SPECS)
_PRIMARY: Final = _SPECS[1]


class CohortSelection(Params):
    """The cohorts whose events a profile captures, and how many of them.

    Attributes:
        as_of: first day of a month; cohorts are judged as they were known when it began.
        label_spec: the labels by which they are judged.
        top_n_per_month: best-ranked events kept of a month (New York time).
        earlier_events: whether events before `as_of` are selected as well. Those whose label was in the sample may
            train a model and never prove a cohort.
    """

    as_of: CalendarDay
    label_spec: str = _PRIMARY
    top_n_per_month: int = Field(default=200, gt=0)
    earlier_events: bool = True

    @model_validator(mode="after")
    def _of_cohorts(self) -> Self:
        if self.as_of.day != 1:
            raise ValueError(
                f"as_of {self.as_of} is not the first day of a month: cohorts are made as of those, such as "
                f"{self.as_of.replace(day=1)}"
            )
        if self.label_spec not in _SPECS:
            raise ValueError(f"label_spec {self.label_spec!r} is unknown: give one of {', '.join(map(repr, _SPECS))}")
        return self


class Admitted(NamedTuple):
    """The events that cohorts select (event_id and ADMISSION), and how many events have a winning cohort."""

    events: pl.DataFrame
    of_winning: int


# Step 2b: which of some events (EVENTS and `time_bucket`) are selected.
Admission = Callable[[pl.DataFrame], Admitted]
