"""After any sequence of changes to bars, shards and settings, shard and candidates equal one detection of all bars."""

import itertools
import os
import shutil
import tempfile
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.tables import CANDIDATES, REFERENCE
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.calendar import sessions_between as bounds_between
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

pytestmark = pytest.mark.slow

# Three months, each longer than the days of rvol, with 99 sessions without a bar between the first two, which is more
# than rvol looks back, and 19 before the last, which is less. Daylight saving ends in the last.
DAYS = [
    *sessions_between(date(2025, 2, 3), date(2025, 3, 5)),
    *sessions_between(date(2025, 7, 29), date(2025, 8, 29)),
    *sessions_between(date(2025, 9, 29), date(2025, 11, 4)),
]
BARS = lively_bars(7, 1, DAYS).filter(DAY.is_in(DAYS))
SYMBOL = BARS["symbol"][0]
SETTINGS = [
    load_settings(overrides=changes)
    for changes in (
        {},
        {"detectors": {"flush": {"min_spike_x": 5.0}}},
        {"profiles": {"core": {"min_event_score": 0.7}}},
        {"detectors": {"volume_spike": {"min_range_share": 0.03}, "tape_speed": {"min_speed_x": 3.5}}},
    )
]
PLACES = st.integers(0, 10_000)


class ShardOfChangingBars(RuleBasedStateMachine):
    """One symbol of a lake, whose shard is updated and compared after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.lake = Lake(Path(tempfile.mkdtemp()))
        self.bars, self.shards, self.settings = BarsStore(self.lake), ShardStore(self.lake), SETTINGS[0]
        self.clock = itertools.count(10**18, 10**9)
        self.versions: list[list[bytes | None]] = []

    def teardown(self) -> None:
        shutil.rmtree(self.lake.root)

    def stored_days(self) -> list[date]:
        return sorted(self.bars.covered(SYMBOL))

    def months(self) -> list[Path]:
        return sorted(self.lake.bars(SYMBOL).glob("*.parquet"))

    def store(self, days: list[date], bars: pl.DataFrame) -> None:
        for month, of_month in itertools.groupby(days, key=lambda day: day.replace(day=1)):
            sessions = list(of_month)
            self.bars.add(SYMBOL, month, sessions, bars.filter(DAY.is_in(sessions)), QUARANTINED_BARS.to_frame())

    @initialize(days=st.integers(0, 60))
    def history(self, days: int) -> None:
        self.store(DAYS[:days], BARS)

    def is_written_again(self, place: int) -> None:
        path = self.months()[place % len(self.months())]
        now = next(self.clock)
        os.utime(path, ns=(now, now))

    @rule(days=st.integers(1, 8), rewritten=st.lists(PLACES, max_size=2))
    def add_sessions(self, days: int, rewritten: list[int]) -> None:
        for place in rewritten if self.months() else ():
            self.is_written_again(place)
        self.store([day for day in DAYS if day not in self.stored_days()][:days], BARS)

    @rule(days=st.integers(1, 3))
    def add_later_sessions(self, days: int) -> None:
        self.store([day for day in DAYS if day not in self.stored_days()][-days:], BARS)

    @rule(days=st.integers(1, 3))
    def add_sessions_without_events(self, days: int) -> None:
        self.store([day for day in DAYS if day not in self.stored_days()][:days], BARS.with_columns(volume=pl.lit(1.0)))

    @precondition(lambda self: self.stored_days())
    @rule(place=PLACES, share=st.sampled_from([0.0, 0.001, 0.5, 3.0]))
    def change_a_session(self, place: int, share: float) -> None:
        day = self.stored_days()[place % len(self.stored_days())]
        changed = BARS.filter(day == DAY).with_columns((pl.col("volume") * share).ceil())
        self.store([day], changed.filter(pl.col("volume") > 0))

    @precondition(lambda self: self.months())
    @rule(place=PLACES)
    def lose_a_month(self, place: int) -> None:
        self.months()[place % len(self.months())].unlink()

    def shard_files(self) -> list[Path]:
        return [self.lake.shard(SYMBOL), self.lake.shard_coverage(SYMBOL), self.lake.candidates_of(SYMBOL)]

    @rule(place=st.integers(0, 2))
    def lose_a_file_of_the_shard(self, place: int) -> None:
        self.shard_files()[place].unlink(missing_ok=True)

    @precondition(lambda self: self.versions)
    @rule(places=st.tuples(PLACES, PLACES, PLACES))
    def mix_files_of_versions_of_the_shard(self, places: tuple[int, int, int]) -> None:
        """As left by a copy made during a write, a restored backup or a kill between two files."""
        for number, path in enumerate(self.shard_files()):
            content = self.versions[places[number] % len(self.versions)][number]
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)

    @rule(torn=st.integers(1, 400))
    def truncate_the_coverage_table(self, torn: int) -> None:
        path = self.lake.shard_coverage(SYMBOL)
        if path.exists():
            path.write_bytes(path.read_bytes()[:-torn])

    @rule(place=st.integers(0, len(SETTINGS) - 1))
    def change_settings(self, place: int) -> None:
        self.settings = SETTINGS[place]

    @invariant()
    def shard_equals_one_detection_of_all_bars(self) -> None:
        for path in self.months():  # old files, since recent ones are opened each time
            if path.stat().st_mtime_ns > 1.6e18:
                now = next(self.clock)
                os.utime(path, ns=(now, now))
        settings = self.settings
        detector = Detector(self.bars, self.shards, settings.detection, settings.sessions, REFERENCE.to_frame())
        (outcome,) = detector.run([SYMBOL])
        bars, bounds = self.bars.read(SYMBOL), bounds_between(DAYS[0], DAYS[-1], settings.sessions)
        once = detect(bars, bounds, settings.detection, keep_conditions=True)
        assert_frame_equal(self.shards.read(SYMBOL), once.events, rel_tol=1e-9, abs_tol=1e-9)
        # those that are not of this shard, as after a kill or from a backup, are detected again where they are needed
        candidates, published = detector.candidates_of(SYMBOL), pl.read_parquet(self.lake.candidates_of(SYMBOL))
        assert once.candidates is not None
        assert_frame_equal(published, once.candidates, rel_tol=1e-9, abs_tol=1e-9)
        assert_frame_equal(published.select(*CANDIDATES), candidates)
        covered, volumes = self.shards.coverage(SYMBOL), dict(once.daily.select("day", "dollar_volume_day").iter_rows())
        assert covered is not None
        assert covered.sessions == self.bars.fingerprints(SYMBOL)
        assert covered.dollar_volumes == volumes
        assert outcome.figures["sessions"] == len(covered.sessions)
        assert detector.backlog(SYMBOL) == (set(covered.sessions), set())
        (again,) = detector.run([SYMBOL])
        assert again.figures["sessions_detected"] == again.figures["event_types_detected"] == 0
        self.versions.append([path.read_bytes() if path.exists() else None for path in self.shard_files()])


TestShardOfChangingBars = ShardOfChangingBars.TestCase
TestShardOfChangingBars.settings = settings(
    deadline=None, max_examples=5, stateful_step_count=8, suppress_health_check=[HealthCheck.too_slow]
)


def test_a_shard_that_is_as_before_does_not_regain_the_sessions_it_lost() -> None:
    one = ShardOfChangingBars()
    one.history(days=41)
    one.shard_equals_one_detection_of_all_bars()
    # the first month is lost, comes back in two steps, and is lost again
    for step in (
        partial(one.lose_a_month, place=0),
        partial(one.add_sessions_without_events, days=2),
        partial(one.add_sessions_without_events, days=2),
        partial(one.lose_a_month, place=0),
    ):
        step()
        one.shard_equals_one_detection_of_all_bars()
    one.teardown()
