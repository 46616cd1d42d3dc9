"""Choose the controls of a manifest (research specification, section 7)."""

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.events.detection import event_ids
from smallcaps_assets.domain.manifests.windows import FLOOR_GUARD
from smallcaps_assets.domain.research.controls.candidates import REASONS
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.domain.research.controls.tables import CONTROL, CONTROL_MANIFEST

# reason of an event without any earlier trading day in the calendar
NO_DAY: Final = "no_earlier_day"
_OF_EVENT: Final = ("direction", "session", "window_before_min", "window_after_min", "extended", "rank")


class ControlSelection(NamedTuple):
    """The controls of a manifest, and what became of its events.

    Attributes:
        controls: CONTROL_MANIFEST.
        figures: `events` of the manifest; `tape_not_complete`, which have no control for that; `at_symbol_limit`, which
            were skipped because their symbol has enough; `beyond_share`, which come after the last control that the
            share allows; `controls`, and their `windows`, of which several controls may be one.
        without: events with complete tape, within the limits, of which no day can hold a control, by the reason that
            took their last day.
    """

    controls: pl.DataFrame
    figures: Mapping[str, int]
    without: Mapping[str, int]


def select_controls(
    manifest: pl.DataFrame, complete: pl.Series, days: pl.DataFrame, params: ControlParams, max_per_symbol: int
) -> ControlSelection:
    """The controls of a manifest: of each event the passing day whose hash comes first, within the limits.

    Events are taken in the order of their rank. Those without complete tape, without a passing day, or of a symbol that
    has `max_per_symbol` controls are skipped; floor(`control_share` x rows of the manifest) controls end the walk.

    Args:
        manifest: MANIFEST.
        complete: ids of the events with complete tape.
        days: CANDIDATE_DAYS of at least these events, judged by `judge_bars`.
        params: the rules.
        max_per_symbol: most controls of a symbol, as the profile says for events.
    """
    able = manifest.filter(pl.col("event_id").is_in(complete.implode())).sort("rank", maintain_order=True)
    chosen = _first_by_hash(days.filter(pl.col("lost").is_null()))
    walked = able.select("event_id", "symbol", *_OF_EVENT).join(
        chosen, left_on="event_id", right_on="control_of", how="left", maintain_order="left"
    )
    found = pl.col("timestamp").is_not_null()
    # an event of a symbol that has enough is skipped whether or not a day of it passes
    number = found.cast(pl.Int64).cum_sum().over("symbol")
    walked = walked.with_columns(found=found, full=number - found.cast(pl.Int64) >= max_per_symbol)
    limit = int(params.control_share * manifest.height + FLOOR_GUARD)
    kept = pl.col("found") & ~pl.col("full")
    walked = walked.with_columns(kept=kept, place=kept.cast(pl.Int64).cum_sum())
    within = walked.filter(pl.col("place") - pl.col("kept").cast(pl.Int64) < limit)
    controls = _rows(within.filter("kept"))
    none = within.filter(~pl.col("found") & ~pl.col("full"))["event_id"]
    figures = {
        "events": manifest.height,
        "tape_not_complete": manifest.height - able.height,
        "at_symbol_limit": int(within["full"].sum()),
        "beyond_share": walked.height - within.height,
        "controls": controls.height,
        "windows": controls["control_id"].n_unique(),
    }
    return ControlSelection(controls, figures, _reasons(none, days))


def _first_by_hash(days: pl.DataFrame) -> pl.DataFrame:
    """`control_of`, `timestamp` and `date` of the day of each event whose `{event_id}|{date}` has the first SHA-1."""
    named = days.select("control_of", "timestamp", date=pl.col("day").dt.strftime("%Y-%m-%d"))
    texts = named.select(pl.concat_str("control_of", "date", separator="|")).to_series()
    # Polars has no SHA-1; there are at most `control_days` texts per event
    digests = [hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for text in texts]
    ordered = named.with_columns(digest=pl.Series(digests, dtype=pl.String)).sort("control_of", "digest")
    return ordered.unique("control_of", keep="first", maintain_order=True).drop("digest")


def _rows(kept: pl.DataFrame) -> pl.DataFrame:
    """Events with their control as rows of the control manifest."""
    rows = kept.rename({"event_id": "control_of"}).with_columns(event_type=pl.lit(CONTROL))
    return rows.with_columns(control_id=event_ids(rows)).select(*CONTROL_MANIFEST).match_to_schema(CONTROL_MANIFEST)


def _reasons(without: pl.Series, days: pl.DataFrame) -> dict[str, int]:
    """Events without a passing day, by the reason that took the last of their days."""
    order = pl.Enum([NO_DAY, *REASONS])
    last = (
        without.to_frame("control_of")
        .join(days.select("control_of", "lost"), on="control_of", how="left")
        .group_by("control_of")
        .agg(pl.col("lost").fill_null(NO_DAY).cast(order).max())
    )
    counts = dict(last.group_by("lost").len().iter_rows())
    return {reason: counts[reason] for reason in (NO_DAY, *REASONS) if reason in counts}
