"""The baseline of relative volume where shards grow: over months without a bar, and with a gap inside the baseline."""

from dataclasses import replace
from datetime import date
from itertools import groupby

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.listings.borders import ListingBorders
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat

SETTINGS = default_settings()
CALENDAR = sessions_between(date(2025, 1, 2), date(2025, 12, 31), SETTINGS.sessions)
SESSIONS = CALENDAR["date"].to_list()
# every day trades 30 x 10 x 10,000 + 10.4 x 200,000 = 5,080,000 dollars, and those of the second half twice as much
ROWS = [*flat(30), (10.0, 10.4, 10.0, 10.4, 200_000.0, 40)]


def bars_of(day: date, times: float) -> pl.DataFrame:
    return bars_from(f"{day} 10:00", ROWS).with_columns(pl.col("volume") * times)


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        # 2 over the mean of 6 days of 1, then of 6 of 1 and 1 of 2, and so on
        (30, [2 / (6 / 6), 2 / (8 / 7), 2 / (10 / 8), 2 / (12 / 9), 2 / (14 / 10), 2 / (16 / 11)]),
        # the first of 6 days is 60 sessions before the first, so that they leave the baseline one by one
        (54, [2 / (6 / 6), 2 / (7 / 6), 2 / (8 / 6), 2 / (9 / 6), 2 / (10 / 6), 2 / (11 / 6)]),
        (100, [None, None, None, None, None, 1.0]),
    ],
)
def test_days_detected_one_by_one_after_a_gap_have_the_baseline_of_all_days(
    gap: int, expected: list[float | None], lake: Lake
) -> None:
    early, late = SESSIONS[:6], SESSIONS[6 + gap : 12 + gap]
    store, shards = BarsStore(lake), ShardStore(lake)
    detector = Detector(store, shards, SETTINGS.detection, SETTINGS.sessions, REFERENCE.to_frame())
    stored = []
    for days, times in ((early, 1.0), *(([day], 2.0) for day in late)):
        for month, of_month in groupby(days, lambda day: day.replace(day=1)):
            own = list(of_month)
            bars = pl.concat(bars_of(day, times) for day in own)
            store.add("AEMD", month, own, bars.filter(DAY.is_in(own)), QUARANTINED_BARS.to_frame())
            stored.append(bars)
        (outcome,) = detector.run(["AEMD"])
        assert outcome.figures["sessions_detected"] == len(days)
    whole = detect(pl.concat(stored), CALENDAR, SETTINGS.detection).events
    assert_frame_equal(shards.read("AEMD"), whole, rel_tol=1e-9)
    spikes = whole.filter(pl.col("event_type") == "volume_spike", pl.col("date") >= f"{late[0]}")
    assert spikes["rvol_day"].to_list() == pytest.approx(expected)


def test_borders_of_listings_make_only_their_symbol_stale(lake: Lake) -> None:
    """Twelve days of one volume and six of twice as much; on the first of these the ticker had a new owner."""
    store, shards = BarsStore(lake), ShardStore(lake)
    days, bars = SESSIONS[:18], pl.DataFrame()
    for symbol in ("AEMD", "BTAI"):
        rows = pl.concat(bars_of(day, 1.0 if day < days[12] else 2.0) for day in days)
        bars = rows.with_columns(symbol=pl.lit(symbol))
        store.add(symbol, days[0].replace(day=1), days, bars, QUARANTINED_BARS.to_frame())
    detector = Detector(store, shards, SETTINGS.detection, SETTINGS.sessions, REFERENCE.to_frame())
    list(detector.run(["AEMD", "BTAI"]))
    before = {symbol: lake.shard(symbol).read_bytes() for symbol in ("AEMD", "BTAI")}
    # no listings, or one listing a symbol: nothing is detected again
    assert detector.survey()["current"].all()
    known = replace(detector, borders=ListingBorders({"BTAI": (days[12],)}))
    assert known.survey().filter(~pl.col("current"))["symbol"].to_list() == ["BTAI"]
    outcomes = {outcome.partition[0]: outcome.figures["sessions_detected"] for outcome in known.run(["AEMD", "BTAI"])}
    assert outcomes == {"AEMD": 0, "BTAI": 18}
    assert lake.shard("AEMD").read_bytes() == before["AEMD"]
    assert known.survey()["current"].all()
    spikes = shards.read("BTAI").filter(event_type="volume_spike")
    # of each owner the first five days have no baseline
    assert spikes["rvol_day"].to_list() == [*[None] * 5, *[1.0] * 7, *[None] * 5, 1.0]
    whole = detect(bars, CALENDAR, SETTINGS.detection, borders=known.borders)
    assert_frame_equal(shards.read("BTAI"), whole.events)
    assert known.candidates_of("BTAI").filter("kept_by_cooldown")["rvol_day"].equals(whole.events["rvol_day"])
    # the borders are gone again: the shard has the bytes it had
    list(detector.run(["BTAI"]))
    assert lake.shard("BTAI").read_bytes() == before["BTAI"]
