"""Halts and short sale restriction that the page marks."""

from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.review.market_marks import RESTRICTIONS, market_marks
from smallcaps_assets_tests.conftest import event, manifest_of
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat, new_york

DAYS = ("2025-11-03", "2025-11-04", "2025-11-05", "2025-11-06")


def fill(lake: Lake) -> None:
    """A close of 10.00, the next day a low of 9.00 at 10:00, then 9.50; on the last day a gap of six minutes."""
    fall = (9.5, 9.5, 9.0, 9.2, 10_000.0, 40)
    bars = [
        bars_from(f"{DAYS[0]} 09:30", flat(40)),
        bars_from(f"{DAYS[1]} 09:30", [*flat(30, 9.5), fall, *flat(10, 9.5)]),
        bars_from(f"{DAYS[2]} 09:30", flat(40, 9.5)),
        bars_from(f"{DAYS[3]} 09:30", flat(20, 9.5)),
        bars_from(f"{DAYS[3]} 09:56", flat(20, 9.5)),
    ]
    lake.root.mkdir()
    days = [date.fromisoformat(day) for day in DAYS]
    BarsStore(lake).add("AEMD", days[0].replace(day=1), days, pl.concat(bars), QUARANTINED_BARS.to_frame())


def test_restriction_and_halts_of_the_bars(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake)
    events = manifest_of(*(event(f"{day} 10:00", event_id=day) for day in DAYS), event(symbol="GONE", event_id="gone"))
    marks = market_marks(lake, events, default_settings())
    found = {name: (source, since) for name, source, since in marks.restrictions.sort("event_id").iter_rows()}
    assert found == {
        DAYS[0]: (None, None),
        DAYS[1]: ("same_day", new_york(f"{DAYS[1]} 10:00")),
        DAYS[2]: ("prior_day", new_york(f"{DAYS[2]} 04:00")),
        DAYS[3]: (None, None),
        "gone": (None, None),
    }
    # after the last bar of each day there is none up to the close, which is a halt as well
    halts = marks.halts.filter(date=DAYS[3]).select("start", "end").rows()
    assert halts == [
        (new_york(f"{DAYS[3]} 09:50"), new_york(f"{DAYS[3]} 09:56")),
        (new_york(f"{DAYS[3]} 10:16"), new_york(f"{DAYS[3]} 16:00")),
    ]
    # of one event the days before are read as well
    (alone,) = market_marks(lake, events.filter(event_id=DAYS[2]), default_settings()).restrictions["ssr_source"]
    assert alone == "prior_day"


def test_no_events_have_no_marks(tmp_path: Path) -> None:
    marks = market_marks(Lake(tmp_path), manifest_of(), default_settings())
    assert marks.restrictions.schema == RESTRICTIONS
    assert marks.halts.is_empty()
