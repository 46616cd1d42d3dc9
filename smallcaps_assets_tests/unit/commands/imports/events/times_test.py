"""Time zones and units of imported events."""

from datetime import UTC, date, datetime, time
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.scenarios import bars_from, flat
from smallcaps_assets_tests.unit.commands.imports.events.old_events import old, table

# three events a day; with a clock that is five hours off, the one before the open is at night
EVERY_DAY = [
    old(f"2025-11-{day:02} {clock}", "S00") for day in (3, 4, 5, 6, 7) for clock in ("07:30", "10:00", "15:00")
]


@pytest.mark.parametrize(
    ("zone", "flags", "hour"),
    [
        (None, ["--timezone", "UTC"], 15),
        (None, ["--timezone", "America/New_York"], 20),
        ("Europe/Berlin", [], 14),
        ("Europe/Berlin", ["--timezone", "UTC"], 14),  # the zone in the data takes precedence
    ],
)
def test_the_given_time_zone_is_used(tmp_path: Path, home: Path, zone: str | None, flags: list[str], hour: int) -> None:
    rows = table([old("2025-11-05 10:00", "S00")])
    if zone:
        rows = rows.with_columns(pl.col("timestamp").dt.replace_time_zone(zone))
    rows.write_parquet(tmp_path / "one.parquet")
    assert main(["import", "events", str(tmp_path / "one.parquet"), *flags]) == 0
    events = pl.read_parquet(home / "lake" / "events" / "adopted.parquet")
    assert events["timestamp"].to_list() == [datetime(2025, 11, 5, hour, tzinfo=UTC)]


def test_a_missing_time_zone_is_never_guessed(shards: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "events", str(shards)]) == 2
    printed = capsys.readouterr().err
    assert "has no time zone" in printed
    assert "--timezone UTC" in printed
    assert main(["import", "events", str(shards), "--timezone", "Mars"]) == 2
    assert "--timezone Mars" in capsys.readouterr().err
    assert main(["import", "events", str(shards), "--timezone", "EST"]) == 2
    assert "--timezone EST: is without summer time" in capsys.readouterr().err
    assert not list(home.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("zone", "flags", "words"),
    [
        (
            None,
            ["--timezone", "America/New_York"],
            (
                "33.3% of the rows lie outside every session, on days without one or at night in New York; so "
                "nothing was written. Most likely times of UTC were read as those of America/New_York: then 0.0% "
                "lie outside. Give --timezone UTC"
            ),
        ),
        ("America/New_York", [], 'where the files name America/New_York themselves, .dt.replace_time_zone("UTC")'),
        # Tokyo is fourteen hours ahead of New York, so neither zone fits
        ("UTC", ["--timezone", "UTC"], "give the right --timezone"),
    ],
)
def test_a_wrong_time_zone_is_detected_from_the_hours(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], *, zone: str | None, flags: list[str], words: str
) -> None:
    rows = table(EVERY_DAY).with_columns(pl.col("timestamp").dt.replace_time_zone(zone))
    if zone == "UTC":
        rows = rows.with_columns(pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo").dt.replace_time_zone("UTC"))
    rows.write_parquet(tmp_path / "old.parquet")
    assert main(["import", "events", str(tmp_path / "old.parquet"), *flags]) == 2
    assert words in capsys.readouterr().err
    assert not list((home / "lake").rglob("*.parquet"))
    assert main(["import", "events", str(tmp_path / "old.parquet"), *flags, "--allow-outside"]) == 0
    assert "outside every session" in capsys.readouterr().out


@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_epoch_numbers_use_the_given_unit(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], unit: str, per_second: int
) -> None:
    moment = datetime(2025, 11, 5, 15, tzinfo=UTC)
    rows = table([old("2025-11-05 10:00", "S00")]).with_columns(timestamp=pl.lit(int(moment.timestamp()) * per_second))
    rows.write_parquet(tmp_path / "one.parquet")
    assert main(["import", "events", str(tmp_path / "one.parquet")]) == 2
    assert "column timestamp is Int" in capsys.readouterr().err
    assert main(["import", "events", str(tmp_path / "one.parquet"), "--unit", unit]) == 0
    events = pl.read_parquet(home / "lake" / "events" / "adopted.parquet")
    assert events["timestamp"].to_list() == [moment]
    other = "ms" if unit == "ns" else "ns"
    assert main(["import", "events", str(tmp_path / "one.parquet"), "--unit", other]) == 2
    assert "timestamp is missing or implausible" in capsys.readouterr().err


def minutes_of(day: str, symbol: str) -> pl.DataFrame:
    """Bars of every minute from 04:00 to 20:00, each with a unique volume."""
    volumes = pl.int_range(pl.len()).cast(pl.Float64) + 1_000
    return bars_from(f"{day} 04:00", flat(960, price=12.34), symbol).with_columns(volume=volumes)


def on_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Events of minutes of regular hours, as the earlier system wrote them: in New York time without a zone."""
    clock = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    rows = bars.with_columns(
        clock.dt.cast_time_unit("ms").alias("timestamp"),
        event_type=pl.lit("volume_spike"),
        direction=pl.lit("up"),
        spike_x=7.5,
        dollar_volume=pl.col("close") * pl.col("volume"),
        score=pl.lit(0.5),
    )
    columns = ["symbol", "event_type", "timestamp", "direction", "spike_x", "open", "high", "low", "close", "volume"]
    regular = pl.col("timestamp").dt.time().is_between(time(9, 30), time(15, 59))
    return rows.filter(regular).select(*columns, "dollar_volume", "score")


# winter time, with another UTC offset, begins between them
TRADED = ("2025-10-30", "2025-10-31", "2025-11-03", "2025-11-04")


@pytest.fixture
def with_bars(home: Path) -> pl.DataFrame:
    """A lake with the bars of S00 on four days; returns the events on them, 65 a day."""
    bars = pl.concat([minutes_of(day, "S00") for day in TRADED])
    for month in (date(2025, 10, 1), date(2025, 11, 1)):
        days = [date.fromisoformat(day) for day in TRADED if day[:7] == f"{month:%Y-%m}"]
        of_month = bars.filter(DAY.is_in(days))
        BarsStore(new_lake(home / "lake")).add("S00", month, days, of_month, QUARANTINED_BARS.to_frame())
    return on_bars(bars).filter(pl.int_range(pl.len()).over(pl.col("timestamp").dt.date()) % 6 == 0)


@pytest.mark.parametrize(
    ("zone", "flags", "matching", "words"),
    [
        (None, ["--timezone", "UTC"], 0, "times of America/New_York were read as those of UTC: then 195 of 195"),
        ("UTC", [], 0, "(100.0%) lie on such a bar. Give --timezone America/New_York, or, where the files name UTC"),
    ],
)
def test_a_time_zone_that_contradicts_the_bars_of_the_lake_is_rejected(
    tmp_path: Path,
    home: Path,
    with_bars: pl.DataFrame,
    capsys: pytest.CaptureFixture[str],
    *,
    zone: str | None,
    flags: list[str],
    matching: int,
    words: str,
) -> None:
    # a symbol and a day without bars are not counted
    other = with_bars.with_columns(symbol=pl.lit("S01"))
    rows = with_bars.filter(pl.col("timestamp").dt.date() != date(2025, 11, 4))
    rows = pl.concat([rows, other]).with_columns(pl.col("timestamp").dt.replace_time_zone(zone))
    rows.write_parquet(tmp_path / "old.parquet")
    assert main(["import", "events", str(tmp_path / "old.parquet"), *flags]) == 2
    printed = capsys.readouterr().err
    assert f"195 events lie on days of which the lake has bars of their symbol, and only {matching} of them" in printed
    assert words in printed
    assert not Lake(home / "lake").imported_events.exists()
    assert main(["import", "events", str(tmp_path / "old.parquet"), *flags, "--allow-other-bars"]) == 0
    assert pl.read_parquet(Lake(home / "lake").imported_events).height == 195 + 260
    # events that are already imported are not judged again
    right = rows.with_columns(pl.col("timestamp").dt.replace_time_zone(None))
    right.write_parquet(tmp_path / "old.parquet")
    assert main(["import", "events", str(tmp_path / "old.parquet"), "--timezone", "America/New_York"]) == 0


def test_events_that_match_the_bars_in_no_time_zone_are_reported(
    tmp_path: Path, home: Path, with_bars: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = ["open", "high", "low", "close"]
    with_bars.with_columns(pl.col(prices) / 10).write_parquet(tmp_path / "old.parquet")
    assert main(["import", "events", str(tmp_path / "old.parquet"), "--timezone", "America/New_York"]) == 2
    printed = capsys.readouterr().err
    assert "only 0 of them (0.0%)" in printed
    assert "Nor are there enough with clocks of UTC" in printed
    assert "the prices are adjusted for splits" in printed
    assert not Lake(home / "lake").imported_events.exists()


def test_few_events_with_bars_are_not_judged(tmp_path: Path, home: Path, with_bars: pl.DataFrame) -> None:
    def code(rows: pl.DataFrame) -> int:
        rows.write_parquet(tmp_path / "old.parquet")
        flags = ("--timezone", "America/New_York", "--out", home / "out.parquet", "--replace")
        return main(["import", "events", str(tmp_path / "old.parquet"), *map(str, flags)])

    def halved(count: int, of: int) -> pl.DataFrame:
        few = pl.int_range(pl.len()) < count
        return with_bars[:of].with_columns(volume=pl.when(few).then(pl.col("volume") / 2).otherwise("volume"))

    assert [code(halved(99, 99)), code(halved(100, 100))] == [0, 2]
    assert [code(halved(60, 120)), code(halved(61, 120))] == [0, 2]
