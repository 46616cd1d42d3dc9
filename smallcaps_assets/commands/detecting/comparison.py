"""The comparison of `smallcaps detect --compare`: A is the baseline (events or settings), B is this run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.commands.console import Printable, TextTable
from smallcaps_assets.commands.detecting.batches import Batch
from smallcaps_assets.domain.events.comparison import Changes, SelectionComparison, SelectionSettings
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.settings.layers import setting_differences
from smallcaps_assets.settings.settings import Settings

VIEWS: Final = {"type": ("event_type", "direction"), "session": ("session",), "month": ("month",)}
NAMES: Final = {"before": "A", "after": "B", "gained": "gained", "lost": "lost"}
_EXAMPLE: Final = ("event_id", "direction", "session", "score", "tier")


class Baseline(NamedTuple):
    """What a run is compared with: settings, or events (EVENTS) found earlier."""

    name: str
    settings: Settings | None
    events: pl.DataFrame | None


class EarlierEvents:
    """Events found earlier, of which each batch looks up those of its symbols, and no others."""

    def __init__(self, events: pl.DataFrame) -> None:
        """`events`: EVENTS."""
        self._events = events
        self._rows = events.select("symbol", row=pl.int_range(pl.len())).group_by("symbol").agg("row")
        self._first, self._last = events["date"].min() or "", events["date"].max() or ""

    def of_days(self, days: pl.DataFrame) -> pl.DataFrame:
        """The events of days (`symbol`, `date`), in their order."""
        rows = self._rows.join(days, on="symbol", how="semi").select(pl.col("row").explode().sort())["row"]
        return self._events[rows].join(days, on=["symbol", "date"], how="semi", maintain_order="left")

    def count_beyond(self, gained: pl.DataFrame) -> int:
        """Number of events of symbols without any here, or before the first or after the last date here."""
        dated = gained.filter(pl.col("date").is_between(pl.lit(self._first), pl.lit(self._last)))
        return gained.height - dated.join(self._rows, on="symbol", how="semi").height


class Comparison:
    """A comparison accumulated batch by batch."""

    def __init__(self, baseline: Baseline, name: str, settings: Settings) -> None:
        """Start empty; `name` and `settings` are those of this run, which also apply to a baseline of events."""
        self._baseline, self._name, self._settings = baseline, name, settings
        baseline_settings = baseline.settings or settings
        self._selection = SelectionComparison(_selection_settings(baseline_settings), _selection_settings(settings))
        self._earlier = None if baseline.events is None else EarlierEvents(baseline.events)
        self._changes = Changes()
        self._compared = self._unknown = 0

    def add(self, batch: Batch) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Add what this run and the baseline found in a batch; return the events gained and lost (EVENTS)."""
        after = batch.found[0]
        before = self._earlier.of_days(after.days) if self._earlier else batch.found[1].master
        gained, lost = self._changes.add(before, after.master)
        self._selection.add(before, after.master)
        self._compared += before.height
        self._unknown += self._earlier.count_beyond(gained) if self._earlier else 0
        return gained, lost

    def document(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "before": self._baseline.name,
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
            "profiles": self._selection.rows(),
            "profiles_without_cohorts": self._with_cohorts(),
        }

    def text(self) -> list[Printable]:
        """All figures as lines and tables."""
        document = self.document()
        return [
            f"A: {document['before']}",
            f"B: {document['after']}",
            *_settings(document["settings"]),
            _counts(document),
            *_changed(document),
            _scores(document["scores"]),
            _profiles(document["profiles"]),
            *_left_out(document["profiles_without_cohorts"]),
            *_strongest(document["strongest"]),
        ]

    def _with_cohorts(self) -> list[str]:
        """The profiles whose events cohorts select, on either side: the comparison leaves that step out."""
        sides = (self._baseline.settings or self._settings, self._settings)
        return sorted({name for side in sides for name, profile in side.profiles.items() if profile.cohorts})

    def _differences(self) -> list[dict[str, Any]] | None:
        if self._baseline.settings is None:
            return None
        changed = setting_differences(self._baseline.settings, self._settings)
        return [{"key": key, "before": before, "after": after} for key, before, after in changed]

    def _not_compared(self) -> int:
        return 0 if self._baseline.events is None else self._baseline.events.height - self._compared


def _selection_settings(settings: Settings) -> SelectionSettings:
    return SelectionSettings({str(name): profile for name, profile in settings.profiles.items()}, settings.ranking)


def _settings(changed: Sequence[Mapping[str, Any]] | None) -> Iterator[str]:
    if changed is None:
        return
    for row in changed:
        yield f"  {row['key']}: {row['before']} in A, {row['after']} in B"
    if not changed:
        yield "  identical settings"


def _counts(document: Mapping[str, Any]) -> TextTable:
    total = document["events"]
    difference = total["after"] - total["before"]
    every = total | {"difference": difference}
    every["percent"] = 100 * difference / total["before"] if total["before"] else None
    columns = ("events", "A", "B", "B - A", "%", "gained", "lost")
    rows = [_count("all", every)]
    for name, keys in VIEWS.items():
        rows.append((f"by {name}", *[""] * (len(columns) - 1)))
        rows += [_count("  " + " ".join(row[key] for key in keys), row) for row in document[f"by_{name}"]]
    return TextTable(columns, rows)


def _count(label: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    percent = "-" if row["percent"] is None else f"{row['percent']:+.1f}"
    counts = (f"{row[name]:,}" for name in ("before", "after"))
    changes = (f"{row[name]:,}" for name in ("gained", "lost"))
    return (label, *counts, f"{row['difference']:+,}", percent, *changes)


def _changed(document: Mapping[str, Any]) -> Iterator[str]:
    total = document["events"]
    yield (
        f"{count_noun(total['same'], 'event')} in both: {total['rescored']:,} with another score, "
        f"{total['retiered']:,} in another "
        f"tier, {total['turned']:,} in another direction"
    )
    left_out = document["before_not_compared"]
    if left_out:
        yield f"{count_noun(left_out, 'event')} of A not compared: no bars of their symbol and date in this run"
    beyond = document["gained_where_before_has_none"]
    if beyond:
        yield f"{beyond:,} of the events gained are of symbols without events in A, or outside of the dates of A"


def _scores(scores: Mapping[str, Mapping[str, float | None]]) -> TextTable:
    rows = [
        (NAMES[side], *("-" if at is None else f"{at:.3f}" for at in quantiles.values()))
        for side, quantiles in scores.items()
    ]
    return TextTable(("score", *scores["before"]), rows)


def _profiles(profiles: Mapping[str, Mapping[str, int]]) -> TextTable:
    rows = [
        (name, f"{row['before']:,}", f"{row['after']:,}", f"{row['after'] - row['before']:+,}", f"{row['same']:,}")
        for name, row in profiles.items()
    ]
    return TextTable(("selected for the manifest of", "A", "B", "B - A", "in both"), rows)


def _left_out(profiles: Sequence[str]) -> Iterator[str]:
    if profiles:
        yield f"  {' and '.join(profiles)}: before winning cohorts select, which this comparison leaves out"


def _strongest(strongest: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Printable]:
    for side, events in strongest.items():
        if events:
            rows = [(f"{one['score']:.3f}", one["session"], one["direction"], one["event_id"]) for one in events]
            yield TextTable(("score", "session", "direction", f"strongest {side}"), rows, left=4)
