"""What `smallcaps detect --compare` gathers and says: A is the other events or settings, B is this run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.commands.detecting.experiment import Batch
from smallcaps_assets.domain.events.comparison import Changes, SelectionComparison, SelectionSettings
from smallcaps_assets.settings.layers import setting_differences
from smallcaps_assets.settings.settings import Settings

VIEWS: Final = {"type": ("event_type", "direction"), "session": ("session",), "month": ("month",)}
NAMES: Final = {"before": "A", "after": "B", "gained": "gained", "lost": "lost"}
_EXAMPLE: Final = ("event_id", "direction", "session", "score", "tier")


class Other(NamedTuple):
    """What a run is compared with: settings, or events (EVENTS) that were found before."""

    name: str
    settings: Settings | None
    events: pl.DataFrame | None


class Comparison:
    """A comparison that grows batch by batch."""

    def __init__(self, other: Other, name: str, settings: Settings) -> None:
        """Begin with nothing; `name` and `settings` are those of this run, which also choose among mere events."""
        self._other, self._name, self._settings = other, name, settings
        theirs = other.settings or settings
        self._chosen = SelectionComparison(_selection_settings(theirs), _selection_settings(settings))
        self._changes = Changes()
        self._compared = self._unknown = 0

    def add(self, batch: Batch) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Add what was found in a batch, by this run first; returns the events gained and lost (EVENTS)."""
        mine = batch.found[0]
        events = self._other.events
        if events is None:
            before = batch.found[1].master
        else:
            before = events.join(mine.days, on=["symbol", "date"], how="semi", maintain_order="left")
        gained, lost = self._changes.add(before, mine.master)
        self._chosen.add(before, mine.master)
        self._compared += before.height
        self._unknown += 0 if events is None else _beyond(gained, events)
        return gained, lost

    def document(self) -> dict[str, Any]:
        """All figures, as JSON has them."""
        return {
            "before": self._other.name,
            "after": self._name,
            "settings": self._differences(),
            "events": self._changes.totals(),
            **{f"by_{name}": self._changes.count_by(*keys).to_dicts() for name, keys in VIEWS.items()},
            "before_not_compared": self._not_compared(),
            "gained_where_before_has_none": self._unknown,
            "scores": self._changes.score_quantiles(),
            "strongest": {
                side: self._changes.strongest(side).select(_EXAMPLE).to_dicts() for side in ("gained", "lost")
            },
            "profiles": self._chosen.rows(),
        }

    def text(self) -> list[str]:
        """The same for people."""
        told = self.document()
        return [
            f"A: {told['before']}",
            f"B: {told['after']}",
            *_settings(told["settings"]),
            *_counts(told),
            *_changed(told),
            *_scores(told["scores"]),
            *_profiles(told["profiles"]),
            *_strongest(told["strongest"]),
        ]

    def _differences(self) -> list[dict[str, Any]] | None:
        if self._other.settings is None:
            return None
        changed = setting_differences(self._other.settings, self._settings)
        return [{"key": key, "before": theirs, "after": mine} for key, theirs, mine in changed]

    def _not_compared(self) -> int:
        return 0 if self._other.events is None else self._other.events.height - self._compared


def _selection_settings(settings: Settings) -> SelectionSettings:
    return SelectionSettings({str(name): profile for name, profile in settings.profiles.items()}, settings.ranking)


def _beyond(gained: pl.DataFrame, events: pl.DataFrame) -> int:
    """How many events are of symbols, or on dates before and after all, that other events know nothing of."""
    known = pl.col("symbol").is_in(events["symbol"].unique().implode())
    known &= pl.col("date").is_between(pl.lit(events["date"].min() or ""), pl.lit(events["date"].max() or ""))
    return gained.filter(~known).height


def _settings(changed: Sequence[Mapping[str, Any]] | None) -> Iterator[str]:
    if changed is None:
        return
    for row in changed:
        yield f"  {row['key']}: {row['before']} in A, {row['after']} in B"
    if not changed:
        yield "  the same settings"


def _counts(told: Mapping[str, Any]) -> Iterator[str]:
    total = told["events"]
    difference = total["after"] - total["before"]
    every = total | {"difference": difference}
    every["percent"] = 100 * difference / total["before"] if total["before"] else None
    yield f"{'events':<28}{'A':>11}{'B':>11}{'B - A':>11}{'%':>9}{'gained':>11}{'lost':>11}"
    yield _count("all", every)
    for name, keys in VIEWS.items():
        yield f"by {name}"
        for row in told[f"by_{name}"]:
            yield _count(" ".join(row[key] for key in keys), row)


def _count(label: str, row: Mapping[str, Any]) -> str:
    percent = "-" if row["percent"] is None else f"{row['percent']:+.1f}"
    return (
        f"  {label:<26}{row['before']:>11,}{row['after']:>11,}{row['difference']:>+11,}{percent:>9}"
        f"{row['gained']:>11,}{row['lost']:>11,}"
    )


def _changed(told: Mapping[str, Any]) -> Iterator[str]:
    total = told["events"]
    yield (
        f"{total['same']:,} events in both: {total['rescored']:,} with another score, {total['retiered']:,} in another "
        f"tier, {total['turned']:,} in another direction"
    )
    if told["before_not_compared"]:
        yield f"{told['before_not_compared']:,} events of A left out: on symbols and dates without bars in this run"
    beyond = told["gained_where_before_has_none"]
    if beyond:
        yield f"{beyond:,} of the events gained are of symbols, or before or after dates, that A has no event of"


def _scores(scores: Mapping[str, Mapping[str, float | None]]) -> Iterator[str]:
    yield f"{'score':<28}" + "".join(f"{name:>11}" for name in scores["before"])
    for side, quantiles in scores.items():
        yield f"  {NAMES[side]:<26}" + "".join(f"{'-' if at is None else f'{at:.3f}':>11}" for at in quantiles.values())


def _profiles(profiles: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    yield f"{'chosen for the manifest of':<28}{'A':>11}{'B':>11}{'B - A':>11}{'in both':>9}"
    for name, rows in profiles.items():
        difference = rows["after"] - rows["before"]
        yield f"  {name:<26}{rows['before']:>11,}{rows['after']:>11,}{difference:>+11,}{rows['same']:>9,}"


def _strongest(strongest: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    for side, events in strongest.items():
        if events:
            yield f"strongest {side}"
        for event in events:
            yield f"  {event['score']:.3f}  {event['session']:<4} {event['direction']:<5} {event['event_id']}"
