"""No look-ahead: except for the HINDSIGHT columns, events do not depend on later data."""

import random
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import partial

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.events import candidates
from smallcaps_assets.domain.events.detection import DetectionParams, detect
from smallcaps_assets.domain.events.detectors import EVENT_TYPES, DetectorParams, Signals, signals
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS, SHARD
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.strategies.bars import bars_frames, lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between as trading_days

pytestmark = pytest.mark.slow

SLOW = hypothesis_settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
HINDSIGHT = [name for name in SHARD if COLUMNS[name].startswith("HINDSIGHT")]
WEEK = trading_days(date(2025, 11, 24), date(2025, 12, 1))


def everything_found() -> DetectionParams:
    """The shipped thresholds without filters and cooldown, which may drop an event because of later data."""
    no_dollars = {f"min_dollar_volume_day_{bias}_usd": 0.0 for bias in ("bullish", "bearish")}
    return load_settings(overrides={"filters": no_dollars, "cooldown": {"keep_share_of_best": 0.0}}).detection


def found(bars: pl.DataFrame, params: DetectionParams) -> pl.DataFrame:
    days = bars.select(a=new_york_date(pl.col("timestamp")).min(), b=new_york_date(pl.col("timestamp")).max()).row(0)
    sessions = sessions_between(days[0] or WEEK[0], days[1] or WEEK[0], load_settings(overrides={}).sessions)
    return detect(bars, sessions, params).events


def with_another_future(bars: pl.DataFrame, moment: datetime, seed: int) -> pl.DataFrame:
    """`bars` unchanged up to `moment`; later bars have other prices and volumes, and some are removed."""
    rng = random.Random(seed)  # noqa: S311
    later = bars.filter(pl.col("timestamp") >= moment)
    factors = pl.Series(
        [rng.choice([0.5, 0.9, 0.97, 1.0, 1.03, 1.1, 2.0]) for _ in range(later.height)], dtype=pl.Float64
    )
    volumes = pl.Series([rng.choice([1.0, 500.0, 1e4, 1e6]) for _ in range(later.height)], dtype=pl.Float64)
    trades = pl.Series([rng.choice([None, 1, 50, 5_000]) for _ in range(later.height)], dtype=pl.Int64)
    kept = pl.Series([rng.random() < 0.8 for _ in range(later.height)], dtype=pl.Boolean)
    changed = later.with_columns(
        pl.col("open", "high", "low", "close") * factors, volume=volumes, transactions=trades
    ).filter(kept)
    return (
        pl.concat([bars.filter(pl.col("timestamp") < moment), changed])
        .sort("symbol", "timestamp")
        .match_to_schema(BARS)
    )


def known(events: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    return events.filter(pl.col("known_at") <= moment).drop(HINDSIGHT)


def require_no_look_ahead(bars: pl.DataFrame, moment: datetime, seed: int) -> int:
    """Compare the events known at `moment` under two futures; return their number."""
    params = everything_found()
    as_it_was = known(found(bars, params), moment)
    for future in (with_another_future(bars, moment, seed), bars.filter(pl.col("timestamp") < moment)):
        assert_frame_equal(known(found(future, params), moment), as_it_was, check_exact=True)
    return as_it_was.height


def moments(bars: pl.DataFrame) -> list[datetime]:
    """Times that would expose a look-ahead: when events become known; any minute without events."""
    of_events = [*found(bars, everything_found())["known_at"].unique().sort()]
    return of_events or [*bars["timestamp"].unique().sort()] or [datetime.fromisoformat("2025-11-24T15:00:00+00:00")]


def test_hindsight_columns_are_those_of_the_whole_day() -> None:
    assert HINDSIGHT == ["rvol_day", "dollar_volume_day"]


@SLOW
@given(bars_frames(spoil=False), st.data(), st.integers(0, 10**6))
def test_later_bars_change_no_known_event(bars: pl.DataFrame, data: st.DataObject, seed: int) -> None:
    good = clean_bars(bars).good
    require_no_look_ahead(good, data.draw(st.sampled_from(moments(good))), seed)


@SLOW
@given(bars_frames(spoil=False), st.data(), st.integers(0, 10**6))
def test_completed_cooldown_window_is_final_without_filters(bars: pl.DataFrame, data: st.DataObject, seed: int) -> None:
    params = load_settings(
        overrides={"filters": {f"min_dollar_volume_day_{bias}_usd": 0.0 for bias in ("bullish", "bearish")}}
    ).detection
    good = clean_bars(bars).good
    moment = data.draw(st.sampled_from(moments(good)))
    over = moment - timedelta(minutes=params.cooldown.window_min)
    futures = (good, with_another_future(good, moment, seed))
    as_it_was, as_it_may_be = (known(found(future, params), over) for future in futures)
    assert_frame_equal(as_it_may_be, as_it_was, check_exact=True)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_every_detector_is_covered(seed: int) -> None:
    bars = clean_bars(lively_bars(seed, 3, WEEK)).good
    moment = bars["timestamp"].sort()[bars.height * 3 // 4]
    events = known(found(bars, everything_found()), moment)
    assert set(events["event_type"]) == set(EVENT_TYPES), "a type without events shows nothing"
    assert events.select("event_type", "direction").unique().height == 2 * len(EVENT_TYPES) - 1  # no flush upwards
    assert require_no_look_ahead(bars, moment, seed) == events.height


Peek = Callable[[Mapping[str, Signals]], Mapping[str, Signals]]


def peeking(peek: Peek, params: DetectorParams) -> Mapping[str, Signals]:
    return peek(signals(params))


def uses_the_next_close(honest: Mapping[str, Signals]) -> Mapping[str, Signals]:
    """Tape speed that requires the move to continue in the next minute."""
    speed = honest["tape_speed"]
    assert speed.up
    goes_on = pl.col("close").shift(-1) > pl.col("close")
    return {**honest, "tape_speed": speed._replace(up=speed.up._replace(candidate=speed.up.candidate & goes_on))}


def uses_the_high_of_the_day(honest: Mapping[str, Signals]) -> Mapping[str, Signals]:
    """An opening range that extends to the end of the day."""
    broken = honest["opening_range_break"]
    whole_day = {**broken.features, "range_low": pl.col("low").min().over("day_start") * 1.02}
    return {**honest, "opening_range_break": broken._replace(features=whole_day)}


def uses_the_next_minute(honest: Mapping[str, Signals]) -> Mapping[str, Signals]:
    """A flush that ignores those that reverse in the next minute, a small look-ahead."""
    flush = honest["flush"]
    assert flush.down
    goes_on = (pl.col("close").shift(-1) <= pl.col("close") * 1.02).fill_null(value=True)
    return {**honest, "flush": flush._replace(down=flush.down._replace(candidate=flush.down.candidate & goes_on))}


@pytest.fixture(scope="module")
def honest() -> tuple[pl.DataFrame, list[datetime]]:
    """Bars, and moments at which the detectors as they are show no look-ahead."""
    bars = clean_bars(lively_bars(1, 3, WEEK)).good
    some = moments(bars)[5::9]
    for number, moment in enumerate(some):
        require_no_look_ahead(bars, moment, number)
    return bars, some


@pytest.mark.parametrize("peek", [uses_the_next_close, uses_the_high_of_the_day, uses_the_next_minute])
def test_detector_with_look_ahead_is_caught(
    peek: Peek, honest: tuple[pl.DataFrame, list[datetime]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bars, some = honest
    monkeypatch.setattr(candidates, "signals", partial(peeking, peek))
    with pytest.raises(AssertionError):
        _ = [require_no_look_ahead(bars, moment, number) for number, moment in enumerate(some)]
