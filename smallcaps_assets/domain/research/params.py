"""All settings of the research tables that are made from bars and tape: the keys of `research:`."""

from smallcaps_assets.domain.research.bars.bar_features import BarFeatureParams
from smallcaps_assets.domain.research.bars.event_scores import ScoreNormParams
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.domain.research.micro.params import MicroParams
from smallcaps_assets.domain.research.outcome_params import OutcomeParams
from smallcaps_assets.domain.research.sample import SampleParams
from smallcaps_assets.domain.research.tape.reconciliation import ReconciliationParams
from smallcaps_assets.domain.research.tape.tape_halts import TapeHaltParams


class ResearchParams(  # each table takes the part that it needs
    MicroParams,
    ReconciliationParams,
    BarFeatureParams,
    TapeHaltParams,
    SampleParams,
    ScoreNormParams,
    OutcomeParams,
    CohortParams,
    ControlParams,
):
    """The parts have no key in common but those that mean the same; every key has a default."""
