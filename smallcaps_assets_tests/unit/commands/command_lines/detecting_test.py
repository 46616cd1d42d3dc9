"""`smallcaps detect` on valid bars of any shape; errors in one paragraph."""

import re
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.unit.commands.command_lines.lively import (
    DAYS,
    LIVELY,
    ONE,
    OTHER,
    OUTSIDE,
    ErrorOf,
    expected,
    put,
    run_detect,
    written,
)


def test_detect_writes_the_master_of_the_bars(capsys: pytest.CaptureFixture[str]) -> None:
    LIVELY.write_parquet("bars.parquet")
    run_detect("bars.parquet", "deep/down/events.parquet")
    found = written("deep/down/events.parquet")
    assert found.schema == EVENTS
    assert found.height > 20
    assert_frame_equal(found, expected())
    printed = capsys.readouterr().out
    assert f"{LIVELY.height:,} bars of 2 symbols, {OUTSIDE} outside every session" in printed
    assert f"{found.height:,} events written to deep/down/events.parquet" in printed
    for kind, direction, rows in found.group_by("event_type", "direction").len().iter_rows():
        assert re.search(rf"^ +{kind} +{direction} +{rows:,}$", printed, re.MULTILINE)
    assert not list(Path("deep").rglob("*quarantine*"))


def test_detecting_twice_writes_the_same_file() -> None:
    LIVELY.write_parquet("bars.parquet")
    run_detect("bars.parquet", "a.parquet")
    run_detect("bars.parquet", "b.parquet")
    assert Path("a.parquet").read_bytes() == Path("b.parquet").read_bytes()


def parts(*columns: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    return tuple(LIVELY.filter(symbol=symbol).drop(columns) for symbol in (ONE, OTHER))  # type: ignore[return-value]


@pytest.mark.parametrize("named", ["in", "in/*.parquet", "in/?-part.parquet", "in/**/*.parquet"])
def test_bars_are_read_from_a_folder_or_a_pattern(named: str) -> None:
    for number, part in enumerate(parts()):
        put(f"in/{number}-part.parquet", part)
    Path("in/.hidden.parquet").write_bytes(b"no parquet")
    Path("in/notes.txt").write_text("no parquet")
    run_detect(named)
    assert_frame_equal(written(), expected())


def test_an_absolute_pattern_is_accepted(tmp_path: Path) -> None:
    put("in/a.parquet", LIVELY)
    run_detect(tmp_path / "in" / "*.parquet")
    assert_frame_equal(written(), expected())


@pytest.mark.parametrize("layout", ["in/symbol={}/2025-11.parquet", "in/symbol={}.parquet"])
def test_the_symbol_may_be_part_of_the_path(layout: str) -> None:
    for part, symbol in zip(parts("symbol"), (ONE, OTHER), strict=True):
        put(layout.format(symbol), part)
    run_detect("in")
    assert_frame_equal(written(), expected())


def test_one_symbol_may_have_several_files() -> None:
    for day in DAYS:
        put(f"in/{day}.parquet", LIVELY.filter(day == DAY))
    run_detect("in")
    assert_frame_equal(written(), expected())


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))},
        {"timestamp": pl.col("timestamp").cast(pl.Datetime("ms", "UTC"))},
        {"timestamp": pl.col("timestamp").dt.convert_time_zone("America/New_York")},
        {"timestamp": pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ns")},
        {"transactions": pl.col("transactions").cast(pl.UInt32)},
        # pandas converts integers with nulls to floats
        {"transactions": pl.col("transactions").cast(pl.Float64)},
        {"symbol": pl.col("symbol").cast(pl.Categorical)},
        {"vwap": pl.lit(None)},
        {"extra": pl.lit("not ours")},
        {"vwap": pl.col("vwap").cast(pl.Float32)},
    ],
    ids=lambda change: f"{next(iter(change))}",
)
def test_other_types_units_and_zones_give_the_same_bars(change: dict[str, pl.Expr]) -> None:
    put("bars.parquet", LIVELY.with_columns(**change))
    run_detect("bars.parquet")
    assert_frame_equal(written(), expected())


def test_32_bit_prices_are_rounded_to_their_decimals() -> None:
    prices = [pl.col(name).round(3) for name in ("open", "high", "low", "close", "vwap")]
    wide = LIVELY.with_columns(*prices, pl.col("volume").round(0))
    put("wide.parquet", wide)
    put("narrow.parquet", wide.with_columns(pl.col(pl.Float64).cast(pl.Float32)))
    run_detect("wide.parquet", "a.parquet")
    run_detect("narrow.parquet", "b.parquet")
    assert written("a.parquet").height > 20
    assert Path("a.parquet").read_bytes() == Path("b.parquet").read_bytes()


def test_whole_dollars_and_shares_may_be_integers() -> None:
    put("bars.parquet", LIVELY.with_columns(pl.col("volume").round(0).cast(pl.Int32)))
    put("same.parquet", LIVELY.with_columns(pl.col("volume").round(0)))
    run_detect("bars.parquet", "a.parquet")
    run_detect("same.parquet", "b.parquet")
    assert Path("a.parquet").read_bytes() == Path("b.parquet").read_bytes()


def test_repeated_and_bad_rows_are_quarantined_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    bad = LIVELY.head(5).with_columns(close=pl.lit(float("nan")))
    again = LIVELY.head(3)
    nameless = LIVELY.head(2).with_columns(symbol=pl.lit("../x"))
    put("bars.parquet", pl.concat([LIVELY, bad, again, nameless]).sample(fraction=1.0, shuffle=True, seed=4))
    run_detect("bars.parquet", "out/events.parquet")
    assert_frame_equal(written("out/events.parquet"), expected())
    printed = capsys.readouterr().out
    assert "10 bars rejected and written to out/events.quarantine.parquet: " in printed
    counted = {
        "a price is missing or not positive": 5,
        "repeats the minute of an earlier row": 3,
        "symbol is not usable as a name": 2,
    }
    for reason, rows in counted.items():
        assert f"{rows} {reason}" in printed
    aside = written("out/events.quarantine.parquet")
    assert dict(aside.group_by("reason").len().iter_rows()) == counted
    # a run without bad rows removes the old quarantine
    put("bars.parquet", LIVELY)
    run_detect("bars.parquet", "out/events.parquet")
    assert not Path("out/events.quarantine.parquet").exists()


def test_bars_outside_every_session_are_filtered_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    night = LIVELY.head(4).with_columns(
        timestamp=pl.col("timestamp").dt.truncate("1d") + pl.duration(hours=6, minutes=pl.int_range(4))
    )
    # a Sunday
    ancient = LIVELY.head(1).with_columns(timestamp=pl.datetime(1995, 1, 1, 15, time_zone="UTC"))
    put("bars.parquet", pl.concat([LIVELY, night, ancient]))
    run_detect("bars.parquet")
    assert f"{OUTSIDE + 5} outside every session" in capsys.readouterr().out
    assert_frame_equal(written(), expected())


GOOD = LIVELY.head(50)


@pytest.mark.parametrize(
    ("bars", "words"),
    [
        (GOOD.drop("symbol"), ["no column symbol"]),
        (
            GOOD.with_columns(pl.col("timestamp").dt.replace_time_zone(None)),
            ["timestamp has no time zone", "replace_time_zone"],
        ),
        (GOOD.with_columns(pl.col("close").cast(pl.String)), ["column close is String, not a number"]),
        (GOOD.with_columns(pl.col("timestamp").dt.epoch("ns")), ["column timestamp is Int64"]),
        (GOOD.with_columns(pl.col("timestamp").dt.date()), ["column timestamp is Date"]),
        (GOOD.with_columns(symbol=pl.lit(7)), ["column symbol is Int32"]),
        (GOOD.clear(), ["no usable bar in 0 requested rows"]),
        (GOOD.with_columns(volume=pl.lit(0.0)), ["no usable bar in 50 requested rows", "No events were written"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_unusable_bars_are_rejected(bars: pl.DataFrame, words: list[str], error_of: ErrorOf) -> None:
    put("in/bars.parquet", bars)
    printed = error_of("detect", "--bars", "in/bars.parquet", "--out", "events.parquet")
    assert "in/bars.parquet" in printed
    for word in words:
        assert word in printed
    assert not Path("events.parquet").exists()


def test_a_bad_file_among_good_ones_is_named(error_of: ErrorOf) -> None:
    put("in/a.parquet", GOOD)
    put("in/b.parquet", GOOD.drop("open"))
    assert "in/b.parquet: no column open" in error_of("detect", "--bars", "in", "--out", "events.parquet")
    assert not Path("events.parquet").exists()


@pytest.mark.parametrize("content", [b"", b"symbol,close\nA,1\n", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_file_that_is_not_parquet_is_rejected(content: bytes, error_of: ErrorOf) -> None:
    Path("bars.parquet").write_bytes(content)
    assert "bars.parquet: is not a readable parquet file" in error_of(
        "detect", "--bars", "bars.parquet", "--out", "e.parquet"
    )
    assert not Path("e.parquet").exists()


def test_a_parquet_file_with_damaged_pages_is_rejected(error_of: ErrorOf) -> None:
    """The footer is intact, as after a faulty copy of a disk; the pages are not."""
    put("bars.parquet", LIVELY)
    content = bytearray(Path("bars.parquet").read_bytes())
    content[1_000:20_000] = b"\xff" * 19_000
    Path("bars.parquet").write_bytes(content)
    assert "bars.parquet" in error_of("detect", "--bars", "bars.parquet", "--out", "e.parquet")
    assert not Path("e.parquet").exists()


@pytest.mark.parametrize("named", ["nowhere", "nowhere.parquet", "empty", "nowhere/*.parquet", "empty/*.parquet"])
def test_missing_files_are_named(named: str, error_of: ErrorOf) -> None:
    Path("empty").mkdir()
    assert f"{named}: no parquet file there" in error_of("detect", "--bars", named, "--out", "e.parquet")


@pytest.mark.parametrize("pattern", ["in/**.parquet", "in/***/a.parquet"])
def test_an_invalid_pattern_is_an_error_message(pattern: str, capsys: pytest.CaptureFixture[str]) -> None:
    # an error up to Python 3.12, equal to `*` from 3.13 on
    put("in/a.parquet", GOOD)
    code = main(["detect", "--bars", pattern, "--out", "e.parquet"])
    assert code == 0 or (code == 2 and pattern in capsys.readouterr().err)


def test_an_output_that_cannot_be_written_is_named(error_of: ErrorOf) -> None:
    put("bars.parquet", LIVELY)
    Path("file").write_text("no folder")
    Path("folder").mkdir()
    assert "folder: is a folder" in error_of("detect", "--bars", "bars.parquet", "--out", "folder")
    assert "cannot be written" in error_of("detect", "--bars", "bars.parquet", "--out", "file/events.parquet")


def test_the_output_does_not_replace_the_input(error_of: ErrorOf) -> None:
    put("bars.parquet", LIVELY)
    before = Path("bars.parquet").read_bytes()
    error_of("detect", "--bars", "bars.parquet", "--out", "bars.parquet")
    assert Path("bars.parquet").read_bytes() == before


def test_output_and_quarantine_next_to_the_bars_are_not_read_as_bars(capsys: pytest.CaptureFixture[str]) -> None:
    # running twice changes nothing, also with `--out` and the quarantine next to the bars
    put("data/bars.parquet", pl.concat([LIVELY, LIVELY.head(2)]))
    run_detect("data", "data/events.parquet")
    before = {name: content for name, (_, content) in files_below(Path("data")).items()}
    assert main(["detect", "--bars", "data", "--out", "data/events.parquet"]) == 0, capsys.readouterr().err
    assert {name: content for name, (_, content) in files_below(Path("data")).items()} == before
