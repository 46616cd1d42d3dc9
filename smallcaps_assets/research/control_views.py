"""Controls of a lake, and how events differ from them: methods of the lake that `open_lake` opens."""

from abc import ABC, abstractmethod

import polars as pl

from smallcaps_assets.domain.research.controls.features import matched_difference
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.research.arguments import require_profile, require_spec
from smallcaps_assets.research.control_tables import ControlTables
from smallcaps_assets.settings.settings import Profile


class ControlViews(ABC):
    """What is read of controls."""

    _lake: Lake

    @abstractmethod
    def features(self, profile: Profile = "core") -> pl.LazyFrame:
        """What was known of each event."""

    def controls(self, profile: Profile = "core", label_spec: str | None = None) -> pl.LazyFrame:
        """What was known of each control when its minute was over (CONTROL_FEATURES), one row per control.

        A control is the minute of an earlier day of the same symbol, at the New York time of its event (`control_of`),
        without an event near it. The columns are those of `features`, without scores. Sorted by symbol, timestamp and
        control_of; two events may share a `control_id`.

        Args:
            profile: core, plus or premium.
            label_spec: if given, hindsight is added (CONTROLS_WITH_OUTCOMES): label, costs, gross and net return of
                this spec, velocities, excursions and outcome, in the direction of the event; null of a control without
                a bar in its minute.

        Raises:
            InputError: there is no such profile or label spec.
            LakeError: a table is not there yet, damaged or cannot be read.
        """
        tables = self._control_tables(profile)
        return tables.features() if label_spec is None else tables.with_outcomes(require_spec(label_spec))

    def matched_difference(self, profile: Profile = "core") -> pl.LazyFrame:
        """Event minus control for each number of `features` (MATCHED_DIFFERENCE), one row per event with a control.

        `event_id`, `timestamp`, `event_type` and `in_causal_sample` are those of the event, `control_id` and
        `control_timestamp` those of the control. A difference is null where either number is. Events are chosen with
        hindsight: filter by `in_causal_sample` for what is said about returns. In the order of `controls`. The same of
        what came after: `matched_labels` and `matched_outcomes`.

        Args:
            profile: core, plus or premium.

        Raises:
            InputError: as `controls`.
            LakeError: as `controls` and `features`.
        """
        return matched_difference(self.features(profile), self.controls(profile))

    def control_labels(self, profile: Profile = "core") -> pl.LazyFrame:
        """Hindsight: labels, costs and returns of controls (CONTROL_LABELS), in the direction of the event.

        One row per control with a bar in its minute, and label spec. Sorted by control_of.

        Args:
            profile: core, plus or premium.

        Raises:
            InputError: there is no such profile.
            LakeError: the table is not there yet, damaged or cannot be read.
        """
        return self._control_tables(profile).labels()

    def matched_labels(self, profile: Profile = "core") -> pl.LazyFrame:
        """Hindsight: event minus control for each number of labels and costs (MATCHED_LABELS), per label spec.

        `gross_return`, `net_return`, `cost_bps` and the rest; `date` is that of the event. A difference is null where
        either number is. Events are chosen with hindsight: filter by `in_causal_sample`. Events of one date are not
        independent: `matched_returns` has means with intervals.

        Args:
            profile: core, plus or premium.

        Raises:
            InputError: as `control_labels`.
            LakeError: as `control_labels` and `features`; or the labels of a symbol, or costs, are not there yet.
        """
        return self._control_tables(profile).matched_labels(self.features(profile))

    def matched_outcomes(self, profile: Profile = "core") -> pl.LazyFrame:
        """Hindsight: event minus control for velocities, excursions and legs (MATCHED_OUTCOMES), one row per pair.

        A difference is null where either number is. In the order of control_of.

        Args:
            profile: core, plus or premium.

        Raises:
            InputError: as `control_labels`.
            LakeError: as `control_labels` and `features`; or the waves of a symbol are not there yet.
        """
        return self._control_tables(profile).matched_outcomes(self.features(profile))

    def matched_returns(self, profile: Profile = "core") -> pl.LazyFrame:
        """Hindsight: mean of return of the event minus return of its control, gross and net (MATCHED_RETURNS).

        One row per selection (`causal`, the pairs whose event is in the causal sample, and `master`, all), label spec,
        event type (`all` first) and figure (`gross_return`, `net_return`). `mean_lo` to `mean_hi` is the 95 % interval,
        with errors clustered by the date of the event, `n` the number of pairs and `n_days` that of dates. Returns are
        fractions. All of it is read at once.

        Args:
            profile: core, plus or premium.

        Raises:
            InputError: as `control_labels`.
            LakeError: as `matched_labels`.
        """
        return self._control_tables(profile).matched_returns(self.features(profile))

    def _control_tables(self, profile: str) -> ControlTables:
        return ControlTables(self._lake, require_profile(profile))
