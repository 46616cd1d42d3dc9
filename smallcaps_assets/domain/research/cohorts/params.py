"""Settings of cohorts (research specification, section 6)."""

from pydantic import Field

from smallcaps_assets.domain.params import Params


class CohortParams(Params):
    """Sample, split, family of tests, and what a winning cohort must show. Fields are keys of `research:`."""

    cohort_months: int = Field(default=24, gt=0)
    cohort_select_share: float = Field(default=0.75, gt=0, le=1)
    cohort_wilson_z: float = Field(default=1.959964, gt=0)
    cohort_test_min_events: int = Field(default=50, gt=0)
    cohort_test_min_days: int = Field(default=20, gt=1)
    cohort_max_q: float = Field(default=0.10, gt=0, le=1)
    cohort_min_mean_bps: float = 10.0
    cohort_min_symbols: int = Field(default=15, gt=0)
    cohort_max_symbol_share: float = Field(default=0.20, gt=0, le=1)
    cohort_confirm_min_events: int = Field(default=20, gt=0)
    # beyond the specification: a winning cohort whose costs are known of a smaller share of its labels selects no event
    cohort_min_costed_share: float = Field(default=0.8, ge=0, le=1)
