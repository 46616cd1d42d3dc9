"""Comparison of two tables of events: what one configuration finds that another does not.

`before` is the baseline, `after` the experiment. An event is gained if only `after` has its id, lost if only `before`
has it, and the same event if both do.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.manifests.selection import ProfileParams, RankingParams, select_events
from smallcaps_assets.domain.tables import DIRECTIONS, EVENTS, SESSIONS

KEYS: Final = ("event_type", "direction", "session", "month")
COMPARED: Final = ("before", "after", "gained", "lost")
# Numbers of events of each kind on either side, and of those that only one side has.
CELLS: Final = pl.Schema(dict.fromkeys(KEYS, pl.String()) | dict.fromkeys(COMPARED, pl.Int64()))
QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
# Scores computed over different surrounding bars may differ in their last digits, which is not a change.
SAME_SCORE: Final = 1e-9
COMPARISON_EXAMPLES: Final = 5
# Events, of both sides together, that are selected from at once.
SELECTED_AT_ONCE: Final = 150_000

_ORDER: Final = {
    "event_type": pl.Enum(EVENT_TYPES),
    "direction": pl.Enum(DIRECTIONS),
    "session": pl.Enum(SESSIONS),
    "month": pl.String(),
}


class Changes:
    """Events gained, lost and changed, summed over parts of the universe; each symbol is in one part only."""

    def __init__(self) -> None:
        """Start without events."""
        self._cells = CELLS.to_frame()
        self._scores: dict[str, list[pl.Series]] = {side: [pl.Series("score", [], pl.Float64)] for side in COMPARED}
        self._strongest = {side: EVENTS.to_frame() for side in ("gained", "lost")}
        self.same = self.rescored = self.retiered = self.turned = 0

    def add(self, before: pl.DataFrame, after: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Add one part of both MASTER tables (EVENTS); return the events gained and lost in it."""
        gained = after.join(before, on="event_id", how="anti", maintain_order="left")
        lost = before.join(after, on="event_id", how="anti", maintain_order="left")
        sides = dict(zip(COMPARED, (before, after, gained, lost), strict=True))
        self._cells = _sum_cells([self._cells, *(_count_cells(side, events) for side, events in sides.items())])
        for side, events in sides.items():
            self._scores[side].append(events["score"])
        for side in self._strongest:
            self._strongest[side] = _select_strongest(pl.concat([self._strongest[side], sides[side]]))
        self._count_changed(before, after)
        return gained, lost

    def totals(self) -> dict[str, int]:
        """Numbers of events before, after, gained, lost and on both sides, and of the latter with a changed value."""
        sums = self._cells.select(*COMPARED).sum().row(0, named=True)
        changed = {"rescored": self.rescored, "retiered": self.retiered, "turned": self.turned}
        return {name: int(rows) for name, rows in sums.items()} | {"same": self.same} | changed

    def count_by(self, *keys: str) -> pl.DataFrame:
        """COMPARED by `keys` (some of KEYS), with `difference` and `percent` (of before; null if that is 0)."""
        difference = pl.col("after") - pl.col("before")
        return (
            self._cells.group_by(keys)
            .agg(pl.col(COMPARED).sum())
            .sort(pl.col(key).cast(_ORDER[key], strict=False) for key in keys)
            .with_columns(
                difference=difference, percent=pl.when(pl.col("before") > 0).then(100 * difference / pl.col("before"))
            )
        )

    def score_quantiles(self) -> dict[str, dict[str, float | None]]:
        """QUANTILES of the scores of each side; None if a side has no events."""
        scores = {side: pl.concat(parts) for side, parts in self._scores.items()}
        return {
            side: {f"p{share * 100:.0f}": values.quantile(share, "linear") for share in QUANTILES}
            for side, values in scores.items()
        }

    def strongest(self, side: str) -> pl.DataFrame:
        """The COMPARISON_EXAMPLES events (EVENTS) with the highest scores; `side` is `gained` or `lost`."""
        return self._strongest[side]

    def _count_changed(self, before: pl.DataFrame, after: pl.DataFrame) -> None:
        columns = ("event_id", "score", "tier", "direction")
        both = before.select(columns).join(after.select(columns), on="event_id")
        self.same += both.height
        score = (pl.col("score_right") - pl.col("score")).abs() > SAME_SCORE
        changed = both.select(
            score.sum(),
            tier=pl.col("tier").ne_missing(pl.col("tier_right")).sum(),
            direction=pl.col("direction").ne_missing(pl.col("direction_right")).sum(),
        )
        rescored, retiered, turned = changed.row(0)
        self.rescored += rescored
        self.retiered += retiered
        self.turned += turned


class SelectionSettings(NamedTuple):
    """The settings by which a configuration selects events."""

    profiles: Mapping[str, ProfileParams]
    ranking: RankingParams


class SelectionComparison:
    """The events that the profiles would select from two MASTER tables, part by part; each symbol is in one part only.

    Step 2b, by which cohorts select the events of a profile, is left out: these cohorts were judged by the events of
    one configuration, and their limits of a month hold for all symbols together.

    Every step of a selection except the last handles each symbol independently, so the last step needs only the events
    that the earlier steps keep of each part.
    """

    def __init__(self, before: SelectionSettings, after: SelectionSettings) -> None:
        """Start without events; both sides have the same profiles."""
        self._sides = (_without_cohorts(before), _without_cohorts(after))
        self._kept = [{name: [EVENTS.to_frame()] for name in side.profiles} for side in self._sides]
        self._waiting: list[list[pl.DataFrame]] = [[EVENTS.to_frame()] for _ in self._sides]

    def add(self, before: pl.DataFrame, after: pl.DataFrame) -> None:
        """Add one part of both MASTER tables (EVENTS)."""
        for waiting, master in zip(self._waiting, (before, after), strict=True):
            waiting.append(master)
        if sum(master.height for waiting in self._waiting for master in waiting) >= SELECTED_AT_ONCE:
            self._select()

    def _select(self) -> None:
        """Select of the parts that wait, together: a selection of few events takes as long as one of thousands."""
        masters = [pl.concat(waiting) for waiting in self._waiting]
        self._waiting = [[EVENTS.to_frame()] for _ in self._sides]
        for (profiles, ranking), kept, master in zip(self._sides, self._kept, masters, strict=True):
            for name, profile in profiles.items():
                unlimited = profile.model_copy(update={"max_events": max(1, master.height)})
                kept[name].append(select_events(master, unlimited, ranking).manifest.select(*EVENTS))

    def rows(self) -> dict[str, dict[str, int]]:
        """Numbers of events that each profile selects on either side, and on both."""
        self._select()
        counts = {}
        for name in self._kept[0]:
            before, after = (
                select_events(pl.concat(kept[name]), profiles[name], ranking).manifest["event_id"]
                for (profiles, ranking), kept in zip(self._sides, self._kept, strict=True)
            )
            both = int(before.is_in(after.implode()).sum())
            counts[name] = {"before": before.len(), "after": after.len(), "same": both}
        return counts


def _without_cohorts(settings: SelectionSettings) -> SelectionSettings:
    profiles = {name: profile.model_copy(update={"cohorts": None}) for name, profile in settings.profiles.items()}
    return settings._replace(profiles=profiles)


def _count_cells(side: str, events: pl.DataFrame) -> pl.DataFrame:
    month = pl.col("date").str.slice(0, 7)
    return (
        events.group_by("event_type", "direction", "session", month=month)
        .agg(pl.len().cast(pl.Int64).alias(side))
        .match_to_schema(CELLS, missing_columns="insert")
    )


def _sum_cells(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(parts).group_by(KEYS).agg(pl.col(COMPARED).sum()).match_to_schema(CELLS)


def _select_strongest(events: pl.DataFrame) -> pl.DataFrame:
    return events.sort("score", "event_id", descending=[True, False]).head(COMPARISON_EXAMPLES)
