"""What is plotted of the research table of a profile, and its pictures."""

import base64

import polars as pl
import pytest

from smallcaps_assets.defs.metadata.research import table_metadata
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE
from smallcaps_assets.domain.research.tape.around_event import MEANS_AROUND
from smallcaps_assets.pipeline.research.joined import JoinedTable
from smallcaps_assets.pipeline.research.tape.around_event import AroundEvents

NOTHING = AroundEvents(MEANS_AROUND.to_frame(), 0, 0)
# session, type, median spread of the three minutes before, effective spread of the minute, time without a book
ROWS = [
    ("PM", "flush", 200.0, 150.0, 0.0),
    ("RTH", "flush", 10.0, 30.0, 0.0),
    ("RTH", "tape_speed", 20.0, 12.3456, 0.25),
    ("RTH", "tape_speed", 60.0, None, 1.0),
    ("RTH", "tape_speed", None, None, None),
]
COLUMNS = ("session", "event_type", "spread_bps_median_pre3", "effective_spread_bps_bar", "none_share_pre_all")


def table(rows: list[tuple[object, ...]]) -> JoinedTable:
    known = pl.DataFrame(rows, schema={name: RESEARCH_TABLE[name] for name in COLUMNS}, orient="row")
    return JoinedTable(known.match_to_schema(RESEARCH_TABLE, missing_columns="insert"), "sha", unchanged=False)


def test_figures_of_the_tape_are_medians_of_the_events() -> None:
    shown = table_metadata(table(ROWS), NOTHING)
    figures = {name: value for name, value in shown.items() if " bps" in name or name.startswith("opening")}
    assert figures == {
        "spread bps PM": 200.0,
        "spread bps RTH": 20.0,
        # of 150 and 30
        "effective bps flush": 90.0,
        "effective bps tape speed": 12.35,
        # two of the four windows whose quotes are known
        "opening book pct": 50.0,
    }
    assert not [name for name in shown if name.startswith("picture/")]


def test_nothing_is_plotted_of_tape_that_is_not_there() -> None:
    shown = table_metadata(table([("PM", "flush", None, None, None)]), NOTHING)
    assert not [name for name in shown if "bps" in name or name.startswith("opening")]


@pytest.mark.parametrize(
    ("drawn", "words"), [(40, "mean of all 40 captured events"), (30, "mean of 30 of the 40 captured events")]
)
def test_pictures_say_how_many_events_they_show(drawn: int, words: str) -> None:
    rows = [("flush", second, 30, 20.0 + second / 60, 1.5, None) for second in range(-180, 300, 5)]
    means = pl.DataFrame(rows, schema=MEANS_AROUND, orient="row")
    shown = table_metadata(table(ROWS), AroundEvents(means, drawn, 40))
    pictures = {name: str(getattr(value, "value", "")) for name, value in shown.items() if name.startswith("picture/")}
    # nothing is signed: there is no picture of imbalance
    assert set(pictures) == {"picture/spread", "picture/speed"}
    for text in pictures.values():
        alternative, _, encoded = text.partition("](data:image/png;base64,")
        assert alternative.endswith(words)
        assert base64.b64decode(encoded.removesuffix(")")).startswith(b"\x89PNG")
        assert len(encoded) < 20_000
