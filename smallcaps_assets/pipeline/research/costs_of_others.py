"""What events cost that need not be in a lake, by the tape of a profile (research specification, section 4.4)."""

from dataclasses import dataclass

import polars as pl

from smallcaps_assets.domain.research.outcome_params import CostParams
from smallcaps_assets.domain.research.outcomes.event_costs import OWN_COSTS, event_costs
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.lake.files.stored_tables import naming_damaged
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.research.costs_of_labels import EVENT_CLOSES, OF_MINUTE, OWN, costed_events


@dataclass(frozen=True)
class CostsOfOthers:
    """Costs of any events.

    Attributes:
        lake: its events with tape stand for those without, as in `event_costs`.
        params: settings.
        sessions: bounds of the sessions.
        profile: whose tape is read; None if no tape is known.
    """

    lake: Lake
    params: CostParams
    sessions: SessionParams
    profile: str | None

    def of(self, closes: pl.DataFrame, own: pl.DataFrame | None = None) -> pl.DataFrame:
        """`event_id`, `cost_bps` (null where it is not known) and `cost_source` of each event, in the order given.

        Nothing is written.

        Args:
            closes: `event_id` (unique), `timestamp` and `close` of at least one event.
            own: OWN_COSTS of controls, of which `closes` are: they stand for no event. If not given, the tape of the
                profile says what `closes` cost, and each may stand for others.

        Raises:
            LakeError: a file is damaged or cannot be read.
        """
        of_lake, known = OWN_COSTS.to_frame(), EVENT_CLOSES.to_frame()
        if self.profile:
            of_lake = self._read(f"{self.profile}/micro_features", OWN, OF_MINUTE).select(*OWN_COSTS)
        if of_lake.height:
            known = self._read("event_bar_features", EVENT_CLOSES)
        every = pl.concat([closes.select(*EVENT_CLOSES), known.join(closes, on="event_id", how="anti")])
        first, last = every.select(first=pl.col("timestamp").min(), last=pl.col("timestamp").max()).row(0)
        sessions = sessions_and_earlier(first.date(), last.date(), 0, self.sessions)
        costs = event_costs(
            costed_events(every, sessions),
            of_lake if own is None else pl.concat([of_lake, own.select(*OWN_COSTS)]),
            sessions,
            self.params,
            None if own is None else known["event_id"],
        )
        return closes.select("event_id").join(costs, on="event_id", how="left", maintain_order="left")

    def _read(self, table: str, schema: pl.Schema, condition: pl.Expr | None = None) -> pl.DataFrame:
        folder, store = self.lake.research / table, ResearchStore(self.lake)
        files = store.parts(folder)
        for path in files:
            store.prove(path)
        rows = store.scan(files, schema)
        with naming_damaged(files, folder, schema):
            return (rows if condition is None else rows.filter(condition)).collect()
