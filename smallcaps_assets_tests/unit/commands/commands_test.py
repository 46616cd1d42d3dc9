"""The command line as users see it: valid inputs of any shape, and errors in one paragraph."""

import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.commands.services.services import _free_port
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.tables import EVENTS, MANIFEST
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.month_files import DAY
from smallcaps_assets.pipeline.calendar import sessions_between as bounds_between
from smallcaps_assets.pipeline.operations.nightly import BEHIND
from smallcaps_assets.settings.settings import PROFILES
from smallcaps_assets_tests.conftest import event, files_below, master_of
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies import lively_bars, sessions_between

COMMANDS = (
    "demo",
    "check",
    "doctor",
    "ui",
    "exchange",
    "detect",
    "manifest",
    "research",
    "plan",
    "verify",
    "audit",
    "review",
    "labels",
    "cohorts",
    "coverage",
    "import",
    "status",
)
DAYS = sessions_between(date(2025, 11, 24), date(2025, 12, 1))
LIVELY = lively_bars(11, 2, DAYS).filter(DAY.is_in(DAYS))
DETECTED = detect(LIVELY, bounds_between(DAYS[0], DAYS[-1], default_settings().sessions), default_settings().detection)
OUTSIDE = DETECTED.counts["bars_outside_sessions"]
ONE, OTHER = LIVELY["symbol"].unique().sort().to_list()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone as working directory; the environment is restored afterwards."""
    folder = tmp_path / "home"
    shutil.copytree(REPOSITORY / "config", folder / "config")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


ErrorOf = Callable[..., str]


@pytest.fixture
def error_of(capsys: pytest.CaptureFixture[str]) -> ErrorOf:
    """Run a command that must reject its input; returns its error message, which is one paragraph."""

    def run(*arguments: object) -> str:
        code = main([str(argument) for argument in arguments])
        error = capsys.readouterr().err.strip()
        assert code == 2
        assert error.startswith(f"smallcaps {arguments[0]}: ")
        assert "Traceback" not in error
        assert "\n" not in error
        return error

    return run


def expected() -> pl.DataFrame:
    """MASTER of the lively bars."""
    return build_master(DETECTED.events, default_settings().cooldown)


def written(path: str = "events.parquet") -> pl.DataFrame:
    return pl.read_parquet(path)


def run_detect(bars: object, out: object = "events.parquet") -> None:
    assert main(["detect", "--bars", str(bars), "--out", str(out)]) == 0


# ------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert f"example:\n  smallcaps {command} " in printed
    assert "Needs:" in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_help_is_a_command_that_can_be_parsed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    import shlex  # noqa: PLC0415

    from smallcaps_assets.cli import build_parser  # noqa: PLC0415

    with pytest.raises(SystemExit):
        main([command, "--help"])
    (example,) = re.findall(r"^  smallcaps (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert build_parser().parse_args(shlex.split(example)).command == command


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["manifest", "--master", "m.parquet", "--profile", "gold"],
        ["detect", "--bars"],
        ["detect", "--bars", "b.parquet", "--lake", "lake"],
        ["ui", "--port", "65536"],
        ["exchange", "--port", "-1"],
        ["exchange", "--denied", "quote"],
        ["status", "--profile", "gold"],
        ["status", "--symbol", "4"],
        ["demo", "--symbols", "three"],
        ["demo", "--symbols", "-1"],
    ],
)
def test_a_wrong_command_line_prints_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: smallcaps")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ui", "--prot", "3001"], "smallcaps ui: error: unknown flag --prot: did you mean --port?"),
        (["ui", "--prot=3001"], "smallcaps ui: error: unknown flag --prot: did you mean --port?"),
        (
            ["import", "bars", "--nonsense", "x"],
            "unknown flag --nonsense. `smallcaps import bars --help` lists what there is.",
        ),
        (["chekc"], ": did you mean check?"),
        (["status", "--profile", "premum"], ": did you mean premium?"),
        (["fly"], ". `smallcaps --help` lists what there is."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistyped_word_is_answered_with_what_was_meant(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith(words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--symbols", "-1"], "argument --symbols: '-1' is not a whole number above 0"),
        (["status", "--symbols", "0"], "argument --symbols: '0' is not a whole number above 0"),
        (["status", "--sessions", "0"], "argument --sessions: '0' is not a whole number above 0"),
        (["status", "--seed", "-1"], "argument --seed: '-1' is not a whole number, 0 or more"),
        (["status", "--watch", "soon"], "argument --watch: 'soon' is not a whole number above 0"),
        (["exchange", "--truth", "--seed", "x"], "argument --seed: 'x' is not a whole number, 0 or more"),
        (["exchange", "--truth", "--symbols", "0"], "argument --symbols: '0' is not a whole number above 0"),
        (["audit", "--sample", "0"], "argument --sample: '0' is not a whole number above 0"),
        (["ui", "--port", "65536"], "argument --port: '65536' is not a port, 0 to 65535"),
        (["ui", "--prot", "3000"], "unknown flag --prot: did you mean --port?"),
        (["statsu"], "did you mean status?"),
        (["status", "--profile", "cor"], "did you mean core?"),
        (["import", "bar", "x"], "did you mean bars?"),
        (["import", "bars", "x", "--price-scale", "2"], "'2' is not a number above 0 and up to 1, such as 1e-4"),
        (["detect", "--columns", "open"], "'open' is not OURS=THEIRS,... such as timestamp=t,open=o"),
        (["detect", "--columns", "opn=o"], "'opn=o': bars have no column opn, only symbol, timestamp, open"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_value_is_named_with_its_flag_and_bounds(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- detect


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


def put(path: str, frame: pl.DataFrame) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


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


# ------------------------------------------------------------------------------------------------- settings


def config(home: Path, old: str, new: str) -> Path:
    text = (home / "config" / "config.yaml").read_text()
    assert old in text
    file = home / "other.yaml"
    file.write_text(text.replace(old, new, 1))
    return file


def test_another_configuration_is_used(home: Path) -> None:
    put("bars.parquet", LIVELY)
    file = config(home, "min_range_share: 0.015", "min_range_share: 0.9")
    assert main(["detect", "--bars", "bars.parquet", "--out", "e.parquet", "--config", str(file)]) == 0
    assert "volume_spike" not in written("e.parquet")["event_type"].to_list()
    assert "volume_spike" in expected()["event_type"].to_list()


@pytest.mark.parametrize("command", ["detect", "manifest", "status", "demo", "exchange", "ui"])
def test_a_wrong_setting_is_named_by_every_command(command: str, home: Path, error_of: ErrorOf) -> None:
    flags = {
        "detect": ["--bars", "b.parquet", "--out", "e.parquet"],
        "manifest": ["--master", "m.parquet", "--profile", "core"],
    }
    file = config(home, "max_retries: 5", "max_retrys: 5")
    printed = error_of(command, *flags.get(command, []), "--config", file)
    assert "source.max_retrys = 5: no such setting" in printed
    assert "other.yaml" in printed


def test_a_missing_configuration_is_named(error_of: ErrorOf) -> None:
    printed = error_of("detect", "--bars", "b.parquet", "--out", "e.parquet", "--config", "nowhere.yaml")
    assert "nowhere.yaml: cannot be read" in printed


def test_a_folder_without_configuration_is_named(
    error_of: ErrorOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLCAPS_HOME", str(tmp_path))
    assert "no config/config.yaml in" in error_of("status")


# ------------------------------------------------------------------------------------------------- manifest


MASTER = master_of(*(event(f"2025-11-{day:02} 10:00", symbol=symbol) for day in (4, 5, 6) for symbol in ("A", "B")))


def run_manifest(*flags: str) -> None:
    assert main(["manifest", "--master", "master.parquet", "--profile", "core", *flags]) == 0


def test_settings_of_a_manifest_may_be_only_those_that_differ(capsys: pytest.CaptureFixture[str]) -> None:
    put("master.parquet", MASTER)
    Path("one.yaml").write_text("profiles: {core: {max_per_symbol: 1}}")
    run_manifest("--dry-run", "--config", "one.yaml")
    # of the three events of each of the two symbols
    assert re.search(r"^  max_per_symbol +2 +4$", capsys.readouterr().out, re.MULTILINE)


def test_a_manifest_is_frozen_and_its_funnel_printed(capsys: pytest.CaptureFixture[str]) -> None:
    put("master.parquet", MASTER.with_columns(extra=pl.lit(1)))
    run_manifest("--out", "chosen")
    manifest = ManifestStore(Path("chosen"), "core").load()
    assert manifest.schema == MANIFEST
    assert manifest.height == 6
    printed = capsys.readouterr().out
    for step in ("MASTER", "range_and_sessions", "max_per_symbol_day", "max_events"):
        assert re.search(rf"^  {step} +6\b", printed, re.MULTILINE)
    assert "  session  events      %\n" in printed
    assert "  RTH           6  100.0\n" in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if line.startswith("  "))
    sidecar = json.loads(next(Path("chosen").glob("core_*.json")).read_text())
    assert sidecar["manifest_id"] in printed
    before = files_below(Path("chosen"))
    run_manifest("--out", "chosen")
    assert files_below(Path("chosen")) == before


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    put("master.parquet", MASTER)
    run_manifest("--out", "chosen", "--dry-run")
    assert not Path("chosen").exists()
    assert "dry run: nothing written" in capsys.readouterr().out


def test_manifest_reads_the_output_of_detect() -> None:
    put("bars.parquet", LIVELY)
    run_detect("bars.parquet", "master.parquet")
    for profile in PROFILES:
        assert main(["manifest", "--master", "master.parquet", "--profile", profile, "--out", profile]) == 0
        assert ManifestStore(Path(profile), profile).load().schema == MANIFEST


def test_an_empty_master_is_accepted() -> None:
    put("master.parquet", MASTER.clear())
    run_manifest("--out", "chosen")
    assert ManifestStore(Path("chosen"), "core").load().is_empty()


@pytest.mark.parametrize(
    ("master", "words"),
    [
        (MASTER.drop("score", "event_group_id"), ["no column score, event_group_id"]),
        (MASTER.with_columns(pl.col("score").cast(pl.String)), ["score is String, not Float64"]),
        (MASTER.with_columns(score=pl.lit(float("nan"))), ["NaN score in 6 rows"]),
        (MASTER.with_columns(score=pl.lit(None, dtype=pl.Float64)), ["null score in 6 rows"]),
        (pl.concat([MASTER, MASTER.head(1)]), ["repeated event_id in 2 rows"]),
        (MASTER.with_columns(event_type=pl.lit("gap_up")), ["gap_up"]),
        (MASTER.with_columns(score=pl.lit(float("inf"))), ["score"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_master_with_invalid_rows_is_rejected(master: pl.DataFrame, words: list[str], error_of: ErrorOf) -> None:
    put("master.parquet", master)
    printed = error_of("manifest", "--master", "master.parquet", "--profile", "core", "--out", "chosen")
    assert "master.parquet" in printed
    for word in words:
        assert word in printed
    assert not Path("chosen").exists()


def test_an_invalid_date_is_rejected_if_dates_are_filtered(home: Path, error_of: ErrorOf) -> None:
    file = config(home, "first_date: null", "first_date: 2025-11-05")
    put("master.parquet", MASTER.with_columns(date=pl.lit("5 Nov 2025")))
    printed = error_of("manifest", "--master", "master.parquet", "--profile", "core", "--dry-run", "--config", file)
    assert "master.parquet" in printed
    assert "date" in printed


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_missing_master_is_named(dry: list[str], error_of: ErrorOf) -> None:
    Path("folder").mkdir()
    Path("text.parquet").write_text("no parquet")
    for named in ("nowhere.parquet", "text.parquet", "folder"):
        assert named in error_of("manifest", "--master", named, "--profile", "core", *dry)
    assert "nowhere.parquet: does not exist. Check the path." in error_of(
        "manifest", "--master", "nowhere.parquet", "--profile", "core", *dry
    )
    assert not Path("manifests").exists()


def test_a_manifest_folder_that_cannot_be_created_is_named(error_of: ErrorOf) -> None:
    put("master.parquet", MASTER)
    Path("file").write_text("no folder")
    printed = error_of("manifest", "--master", "master.parquet", "--profile", "core", "--out", "file/chosen")
    assert "cannot be written" in printed


# ------------------------------------------------------------------------------------------------- demo, status


def test_status_of_an_empty_lake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--profile", "plus"]) == 0
    printed = capsys.readouterr().out
    assert "0 symbols" in printed
    assert "profile plus: no manifest yet" in printed
    assert "runs:   nothing runs now" in printed
    assert printed.splitlines()[-1] == (
        "next: `smallcaps demo`, or `smallcaps check`, then materialize universe in `smallcaps ui`"
    )
    assert not (tmp_path / "home" / ".dagster").exists(), "no state is created"
    assert "profile core" not in printed
    assert not (tmp_path / "home" / "lake").exists()


def test_status_shows_the_active_profile_first(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--config", str(config(home, "active_profile: core", "active_profile: premium"))]) == 0
    assert re.findall(r"profile (\w+)", capsys.readouterr().out) == ["premium", "core", "plus"]


def test_status_names_damaged_files(error_of: ErrorOf, tmp_path: Path) -> None:
    folder = tmp_path / "lake" / "manifests" / "core"
    folder.mkdir(parents=True)
    (folder / "current.json").write_text('{"manifest_id": "core_20251106_084837"}')
    assert "core_20251106_084837.json" in error_of("status", "--lake", "lake")
    (folder / "current.json").write_text("{")
    assert "current.json" in error_of("status", "--lake", "lake")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "--sessions", "1000000"], "--sessions"),
        (["status", "--replay", "nowhere"], "nowhere"),
        (["exchange", "--replay", "nowhere"], "nowhere"),
        (["exchange", "--require-key", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE: this environment variable is not set"),
        (["demo", "--lake", "file/lake", "--symbols", "1", "--sessions", "1"], "file/lake"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_unusable_flag_is_rejected(arguments: list[str], words: str, error_of: ErrorOf) -> None:
    Path("file").write_text("no folder")
    assert words in error_of(*arguments)


def test_status_counts_sessions_up_to_a_leap_day(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (home / "config" / "config.yaml").read_text()
    text = text.replace("first_session: 2025-10-22", "first_session: 2024-02-01")
    text = text.replace("last_session: 2025-12-01", "last_session: 2024-02-29")
    (home / "config" / "config.yaml").write_text(text)
    assert main(["status", "--sessions", "2"]) == 0
    assert "2 sessions expected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "danger"),
    [
        ("ui", "the web UI has no login: whoever reaches it can launch runs, wipe assets and read its logs"),
        ("ui --read-only", "the web UI has no login: whoever reaches it can read its logs"),
        ("exchange", "the exchange has no login: whoever reaches it can read its data"),
    ],
)
@pytest.mark.usefixtures("home")
def test_other_machines_are_let_in_with_consent_only(
    command: str, danger: str, error_of: ErrorOf, capsys: pytest.CaptureFixture[str]
) -> None:
    everywhere = [*command.split(), "--host", "0.0.0.0"]  # noqa: S104
    assert danger in error_of(*everywhere)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([*everywhere, "--open-to-network", "--port", str(taken.getsockname()[1])]) == 2
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: --host 0.0.0.0: ")
    assert danger in warning
    assert "uses this port" in error


@pytest.mark.parametrize("command", ["ui", "exchange"])
def test_a_port_in_use_is_named(command: str, error_of: ErrorOf) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in error_of(command, "--port", port)


@pytest.mark.parametrize("command", ["demo", "ui"])
def test_a_folder_without_dagster_yaml_is_rejected_with_a_remedy(home: Path, command: str, error_of: ErrorOf) -> None:
    (home / "dagster.yaml").unlink()
    words = f"{home / 'dagster.yaml'}: is missing. The folder that holds config/ also needs a dagster.yaml"
    port = ["--port", _free_port()] if command == "ui" else []
    assert words in error_of(command, "--lake", "lake", *port)
    assert not (home / ".dagster" / "dagster.yaml").exists()


def test_a_demo_does_not_write_to_the_lake_of_the_vendor(home: Path, error_of: ErrorOf) -> None:
    file = config(home, "kind: embedded", "kind: vendor")
    assert "give --lake DIR" in error_of("demo", "--config", file, "--symbols", "1", "--sessions", "1")


def test_the_planted_events_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exchange", "--truth", "--symbols", "3", "--first", "2025-11-26", "--last", "2025-11-28"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("symbol,date,event_type,direction,timestamp")
    assert {line.split(",")[1] for line in lines[1:]} <= {"2025-11-26", "2025-11-28"}
    assert len(lines) > 3


def test_what_is_planted_in_drill_is_listed(capsys: pytest.CaptureFixture[str], home: Path, error_of: ErrorOf) -> None:
    day = ["--symbols", "1", "--first", "2025-11-18", "--last", "2025-11-18"]
    for table, columns in (
        ("plants", "symbol,date,kind,start,end,rows"),
        ("sides", "symbol,timestamp,sequence_number,side"),
    ):
        assert main(["exchange", "--truth", table, *day]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == columns
        assert len(lines) > 30
        assert all(line.startswith("DRILL,") for line in lines[1:])
    file = config(home, "drill: true", "drill: false")
    assert "there is no DRILL in this market" in error_of("exchange", "--config", file, "--truth", "sides", *day)


def bars_for_replay() -> pl.DataFrame:
    first = datetime.fromisoformat("2025-11-26T15:00:00+00:00")
    return LIVELY.filter(pl.col("timestamp") >= first)


def test_a_replay_has_the_sessions_of_its_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    put("capture/bars.parquet", bars_for_replay())
    Path("lake").mkdir()
    assert main(["status", "--replay", "capture", "--lake", "lake"]) == 0
    days = bars_for_replay().select(DAY.unique()).to_series()
    expected_sessions = len([day for day in DAYS if days.min() <= day <= days.max()])  # type: ignore[operator]
    assert f"{expected_sessions} sessions expected" in capsys.readouterr().out
    overrides: dict[str, Any] = json.loads(os.environ["SMALLCAPS_OVERRIDES"])
    assert overrides["source"]["embedded"]["replay"] == str(tmp_path / "capture")


WHY = "see nightly_report"


@pytest.mark.parametrize(
    ("behind", "line"),
    [
        ([], "night:  no symbol is behind"),
        (
            [("BBB", 1, date(2025, 11, 26), 0, "no"), ("AAA", 2, date(2025, 11, 25), 0, "no")],
            "night:  2 behind (AAA, BBB), sessions are missing since 2025-11-25; " + WHY,
        ),
        (
            [(f"S{number}", 1, date(2025, 11, 26), 0, "no") for number in range(7)],
            "night:  7 behind (S0, S1, S2, S3, S4 and 2 more), sessions are missing since 2025-11-26; " + WHY,
        ),
        (
            [("AAA", 0, None, 3, "no")],
            "night:  1 behind (AAA), events of published sessions are missing; " + WHY,
        ),
    ],
)
def test_status_names_symbols_that_are_behind(
    home: Path, capsys: pytest.CaptureFixture[str], behind: list[tuple[Any, ...]], line: str
) -> None:
    report = Lake(home / "lake").nightly_report
    report.parent.mkdir(parents=True)
    pl.DataFrame(behind, schema=BEHIND, orient="row").write_parquet(report)
    assert main(["status"]) == 0
    assert line in capsys.readouterr().out.splitlines()


def test_an_unreadable_nightly_report_is_named(home: Path, error_of: ErrorOf) -> None:
    report = Lake(home / "lake").nightly_report
    report.parent.mkdir(parents=True)
    report.write_bytes(b"PAR1 no more")
    assert "nightly.parquet: is damaged" in error_of("status")
