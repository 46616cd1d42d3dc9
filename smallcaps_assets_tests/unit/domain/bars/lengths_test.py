"""Bars of another length than a minute are found by their gaps; thin stocks are not."""

import random
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smallcaps_assets.domain.bars.lengths import describe_length, find_other_lengths, select_minutes
from smallcaps_assets.domain.bars.quality import NOT_A_MINUTE, clean_bars, reasons
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets_tests import slow_spec
from smallcaps_assets_tests.scenarios import new_york
from smallcaps_assets_tests.slow_spec.lengths import Session, other_lengths

DAYS = [date(2025, 11, 10) + timedelta(days=day) for day in range(5)]
# each example holds sessions of several symbols and lengths
FEW = hypothesis_settings(max_examples=25)
# a flat bar of each moment
VALUES: dict[str, Any] = {**dict.fromkeys(("open", "high", "low", "close"), 2.0), "volume": 100.0}


def moments(day: date, seconds: list[int], clock: str = "09:30") -> list[datetime]:
    return [new_york(f"{day} {clock}") + timedelta(seconds=second) for second in seconds]


def bars(stamps: list[datetime], symbol: str = "AEMD", file: str = "a.parquet") -> pl.DataFrame:
    rows = [{"symbol": symbol, "timestamp": stamp, **VALUES} for stamp in stamps]
    known = pl.DataFrame(rows, schema={name: BARS[name] for name in ("symbol", "timestamp", *VALUES)})
    return known.with_columns(vwap=pl.lit(None, pl.Float64), transactions=pl.lit(None, pl.Int64)).select(
        *BARS, pl.lit(file).alias("file")
    )


def found(*frames: pl.DataFrame, by_file: bool = True) -> list[tuple[Any, ...]]:
    table = find_other_lengths(pl.concat(frames), ("file",) if by_file else ())
    return table.select("symbol", "day", "length_s").unique().sort("symbol", "day").rows()


def every(step_s: int, until_min: int = 390) -> list[int]:
    return list(range(0, until_min * 60, step_s))


@pytest.mark.parametrize(
    ("length_s", "words"),
    [
        (0, "seconds"),
        (1, "seconds"),
        (15, "15 seconds"),
        (120, "2 minutes"),
        (300, "5 minutes"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (7200, "2 hours"),
        (86_400, "1 day"),
    ],
)
def test_lengths_have_names(length_s: int, words: str) -> None:
    assert describe_length(length_s) == words


@pytest.mark.parametrize("step_s", [120, 300, 900, 1, 5, 10, 15, 20])
def test_a_session_of_another_length_is_found_among_minutes(step_s: int) -> None:
    """The sessions of minutes around it are not."""
    others = [bars(moments(day, every(60))) for day in (DAYS[0], DAYS[2])]
    assert found(*others, bars(moments(DAYS[1], every(step_s)))) == [("AEMD", DAYS[1], step_s)]
    assert found(*others) == []


def test_hours_are_found_in_a_file_of_their_own_in_files_by_day_and_among_minutes() -> None:
    """Seven bars of a session alone prove nothing; three sessions do."""
    hours = [bars(moments(day, every(3600)), file=f"{day}.parquet") for day in DAYS]
    assert found(*hours[:2]) == []
    assert found(*hours[:3], by_file=False) == [("AEMD", day, 3600) for day in DAYS[:3]]
    minutes = bars(moments(date(2025, 11, 3), every(60)), file="minutes.parquet")
    assert found(*hours, minutes) == [("AEMD", day, 3600) for day in DAYS]


@pytest.mark.parametrize("clock", ["09:30", "16:00"])
def test_bars_of_a_day_are_found_where_20_sessions_have_one_each(clock: str) -> None:
    """Also with one at 13:00, the close of a short day; not with one session of two bars, or at random minutes."""
    days = [date(2025, 10, 1) + timedelta(days=day) for day in range(21)]
    daily = [bars(moments(day, [0], clock)) for day in days]
    assert found(*daily[:19]) == []
    assert found(*daily[:20]) == [("AEMD", day, 86_400) for day in days[:20]]
    short = [*daily[:20], bars(moments(days[20], [0], "13:00"))]
    assert found(*short) == [("AEMD", day, 86_400) for day in days]
    assert found(*daily, bars(moments(days[20], [60], clock))) == []
    assert found(*(bars(moments(day, [60 * place**2], "04:00")) for place, day in enumerate(days))) == []
    # one minute of many symbols in each file
    assert found(*(bars(moments(days[0], [0], clock), f"S{number}") for number in range(30))) == []


def test_a_file_of_one_day_is_judged_over_its_symbols() -> None:
    hours = [bars(moments(DAYS[0], every(3600)), symbol) for symbol in ("A", "B", "C")]
    assert found(*hours) == [(symbol, DAYS[0], 3600) for symbol in ("A", "B", "C")]
    assert found(*hours, by_file=False) == []


def test_minutes_and_other_bars_of_one_session_in_two_files_are_told_apart() -> None:
    minutes = bars(moments(DAYS[0], every(60)), file="minutes.parquet")
    fives = bars(moments(DAYS[0], every(300)), file="fives.parquet")
    table = find_other_lengths(pl.concat([fives, minutes]), ("file",))
    assert table.select("file", "length_s").rows() == [("fives.parquet", 300)]


def test_nineteen_bars_and_twenty_with_one_odd_gap_are_minutes() -> None:
    assert found(bars(moments(DAYS[0], every(120, 2 * 19)))) == []
    assert found(bars(moments(DAYS[0], every(120, 2 * 20)))) == [("AEMD", DAYS[0], 120)]
    assert found(bars(moments(DAYS[0], [*every(120, 2 * 20), 39 * 60]))) == []


def test_bars_at_another_second_leave_those_on_the_minute_alone() -> None:
    """Half of the bars at :30, and most of them at :59: these are off the minute, the others are minutes."""
    halves = bars(moments(DAYS[0], every(30)))
    assert found(halves) == []
    late = bars(moments(DAYS[0], [*every(60, 20), *(second + 59 for second in every(60))]))
    assert found(late) == []
    assert reasons(clean_bars(halves.select(*BARS)).quarantined) == {NOT_A_MINUTE: 390}


def test_bars_of_seconds_keep_none_and_both_reasons_are_counted() -> None:
    clean = clean_bars(bars(moments(DAYS[0], every(1, 60))).select(*BARS))
    assert clean.good.is_empty()
    assert reasons(clean.quarantined) == {NOT_A_MINUTE: 3540, "bars of seconds, not of one minute": 60}


def test_rows_without_a_trade_in_between_do_not_hide_the_length() -> None:
    """Five minutes filled up to minutes without a volume, as resampling leaves them."""
    filled = bars(moments(DAYS[0], every(60))).with_columns(
        volume=pl.when(pl.col("timestamp").dt.minute() % 5 == 0).then(100.0).otherwise(0.0)
    )
    assert clean_bars(filled.select(*BARS)).good.is_empty()


@pytest.mark.parametrize("seed", range(2))
def test_thin_stocks_are_minutes(seed: int) -> None:
    """Random minutes of 960: 300 sessions of 20 to 24 bars and 500 of 1 to 19.

    By hand: 20 random minutes are all even or all odd with 2 x (480/960 x 479/959 x ... x 461/941) = 1.6e-6, and their
    gaps are all multiples of 3 with 3 x (1/3)^20 = 9e-10. So 300 sessions have such a one with 0.0005 at most.
    """
    rng = random.Random(seed)  # noqa: S311
    stamps: list[datetime] = []
    symbols: list[str] = []
    for number in range(200):
        most = 19 if number % 8 > 2 else 24
        for day in DAYS[:4]:
            count = rng.randint(1 if most == 19 else 20, most)
            stamps += moments(day, [60 * minute for minute in rng.sample(range(960), count)], "04:00")
            symbols += [f"S{number}"] * count
    assert found(bars(stamps).with_columns(symbol=pl.Series(symbols))) == []


@st.composite
def sessions(draw: st.DrawFn) -> pl.DataFrame:
    """Some sessions of two symbols in two files: minutes, longer and shorter bars, thin, odd and repeated ones."""
    frames = [bars([])]
    for _ in range(draw(st.integers(1, 6))):
        step_s = draw(st.sampled_from([1, 7, 15, 20, 30, 60, 61, 120, 180, 240, 300, 3600, 7200, 14_400]))
        count, late = draw(st.integers(1, 26)), draw(st.sampled_from([0, 0, 0, 30, 59]))
        seconds = [late + step_s * number for number in range(count) if step_s * number < 57_000]
        kept = draw(st.lists(st.sampled_from(seconds), max_size=26)) if draw(st.booleans()) else seconds
        odd = draw(st.lists(st.integers(0, 950), max_size=2)) if draw(st.booleans()) else []
        stamps = moments(draw(st.sampled_from(DAYS[:2])), [*kept, *(60 * minute for minute in odd)], "04:00")
        frames.append(bars(stamps, draw(st.sampled_from("AB")), draw(st.sampled_from(["a", "b"]))))
    return pl.concat(frames)


@pytest.mark.slow
@FEW
@given(sessions())
def test_lengths_equal_the_specification(rows: pl.DataFrame) -> None:
    table = find_other_lengths(rows, ("file",))
    computed = {Session(*key): length for *key, length in table.select("file", "symbol", "day", "length_s").rows()}
    assert computed == other_lengths(rows.select("file", "symbol", "timestamp").iter_rows())


@pytest.mark.slow
@FEW
@given(sessions())
def test_clean_bars_equal_the_specification(rows: pl.DataFrame) -> None:
    """Sessions of both files together, as where bars come from no file."""
    good, quarantined = slow_spec.clean(rows)
    clean = clean_bars(rows.select(*BARS))
    assert clean.good.equals(good)
    assert clean.quarantined.height == quarantined.height


@pytest.mark.slow
@FEW
@given(sessions(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: pl.DataFrame, rng: random.Random) -> None:
    places = list(range(rows.height))
    rng.shuffle(places)
    assert find_other_lengths(rows[places], ("file",)).equals(find_other_lengths(rows, ("file",)))


def test_minutes_are_selected_and_the_others_are_counted_by_symbol() -> None:
    minutes = bars(moments(DAYS[0], every(60)), "M")
    fives = bars(moments(DAYS[0], every(300)), "F")
    halves = bars(moments(DAYS[0], every(30)), "H")
    rows = pl.concat([fives, halves, minutes])
    selected, left_out = select_minutes(rows)
    on_minute = pl.col("timestamp").dt.second() == 0
    assert selected.equals(pl.concat([halves.filter(on_minute), minutes]))
    assert left_out == {
        "F": {"bars_of_other_length_left_out": 78, "sessions_of_other_length": 1},
        "H": {"bars_off_minute_left_out": 390},
    }
    assert select_minutes(minutes)[0] is minutes
