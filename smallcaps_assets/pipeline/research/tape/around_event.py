"""Means of the tape around captured events of a profile, by type, from a sample of bounded size."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.micro.tables import MICRO_WINDOWS
from smallcaps_assets.domain.research.tape.around_event import (
    MEANS_AROUND,
    STEPS_AROUND,
    choose_evenly,
    mean_around,
    steps_around,
)
from smallcaps_assets.domain.research.tape.reading import TapeReading
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.errors import SmallcapsError
from smallcaps_assets.pipeline.imports.bar_tables import in_batches
from smallcaps_assets.pipeline.research.batches import on_all_cores
from smallcaps_assets.pipeline.research.tape.tape_plan import Block, TapePlan
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch

# events whose tape is read for pictures
MOST_DRAWN: Final = 300
# rows of tape of a batch, of which several are in memory at a time
_ROWS_AT_ONCE: Final = 500_000


class AroundEvents(NamedTuple):
    """What pictures of the tape around events show.

    Attributes:
        means: MEANS_AROUND.
        drawn: events that they are means of.
        captured: events of which they are a sample.
    """

    means: pl.DataFrame
    drawn: int
    captured: int


def around_events(research: TapeResearch, manifest: pl.DataFrame, captured: pl.Series) -> AroundEvents:
    """Means around at most MOST_DRAWN events, as many of each type as there are; events that cannot be read are logged.

    Args:
        research: the tape, and how it is read.
        manifest: the events (MANIFEST).
        captured: ids of the events whose trades and quotes are both captured.
    """
    events = manifest.filter(pl.col("event_id").is_in(captured.implode()))
    chosen = choose_evenly(events.select("event_id", "event_type"), MOST_DRAWN)
    steps = STEPS_AROUND.to_frame()
    if chosen.height:
        try:
            steps = _steps_of(research, events.join(chosen, on="event_id", how="semi"))
        except SmallcapsError as error:
            research.log(f"no pictures of the tape around events: {error}")
    means = mean_around(steps, events) if steps.height else MEANS_AROUND.to_frame()
    return AroundEvents(means, steps["event_id"].n_unique(), events.height)


def _steps_of(research: TapeResearch, events: pl.DataFrame) -> pl.DataFrame:
    pairs = [*events.select("symbol", "session").unique(maintain_order=True).iter_rows()]
    plan = research.plan(events, pairs)
    # what is published has no other state
    whole = plan.events.filter(pl.all_horizontal(pl.col(f"{kind}_state").is_null() for kind in TAPE_KINDS))
    plan = replace(plan, events=whole)
    blocks = whole.select("symbol", "block").unique(maintain_order=True).iter_rows()
    sized = [((symbol, block), plan.blocks[symbol, block].rows) for symbol, block in blocks]
    batches = [[block for block, _ in batch] for batch in in_batches(sized, _ROWS_AT_ONCE)]
    parts = on_all_cores(lambda batch: _attempt(research, plan, batch), batches)
    return pl.concat([STEPS_AROUND.to_frame(), *parts])


def _attempt(research: TapeResearch, plan: TapePlan, blocks: Sequence[Block]) -> pl.DataFrame:
    """The steps of the events of some blocks; where they fail together, of each by itself, or none."""
    try:
        return _steps_of_blocks(research, plan, blocks)
    except SmallcapsError as error:
        if len(blocks) == 1:
            research.log(f"pictures around events leave out {' '.join(blocks[0])}: {error}")
            return STEPS_AROUND.to_frame()
    return pl.concat(_attempt(research, plan, [block]) for block in blocks)


def _steps_of_blocks(research: TapeResearch, plan: TapePlan, blocks: Sequence[Block]) -> pl.DataFrame:
    named = pl.DataFrame(blocks, schema={"symbol": pl.String, "block": pl.String}, orient="row")
    events = plan.events.join(named, on=["symbol", "block"], how="semi", maintain_order="left")
    spans = pl.col("span").is_in(events["span"].unique().implode())
    pieces = {kind: plan.pieces[kind].filter(spans) for kind in TAPE_KINDS}
    tape = {
        kind: research.read(kind, pieces[kind]["path"].unique(maintain_order=True).to_list()) for kind in TAPE_KINDS
    }
    trades, quotes = (tape[kind].cut(pieces[kind], "span") for kind in TAPE_KINDS)
    days = [day for block in blocks for day in plan.blocks[block].days]
    rules = research.rules(min(days), max(days))
    reading = TapeReading(rules.conditions, rules.sessions, rules.params)
    return steps_around(events.select(*MICRO_WINDOWS), trades, quotes, reading)
