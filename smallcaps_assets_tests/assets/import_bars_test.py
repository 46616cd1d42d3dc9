"""`smallcaps import bars`: the lake, what Dagster records, and the messages about problems."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

DAYS = sessions_between(date(2025, 10, 27), date(2025, 11, 7))
BARS_OF_ALL = lively_bars(5, 3, DAYS).filter(DAY.is_in(DAYS))
NAMES = BARS_OF_ALL["symbol"].unique().sort().to_list()
MINUTE_BARS, SHARDS = dg.AssetKey("minute_bars"), dg.AssetKey("event_shards")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone as working directory, with day files next to it; the environment is restored."""
    folder = tmp_path / "home"
    shutil.copytree(REPOSITORY / "config", folder / "config")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    for name in (
        *("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"),
        "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS",
    ):
        monkeypatch.setenv(name, "restored at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(folder))
    monkeypatch.chdir(folder)
    for (symbol, day), bars in BARS_OF_ALL.with_columns(day=DAY).partition_by("symbol", "day", as_dict=True).items():
        of_symbol = tmp_path / "minute" / f"symbol={symbol}"
        of_symbol.mkdir(parents=True, exist_ok=True)
        bars.drop("symbol", "day").write_parquet(of_symbol / f"date={day}.parquet")
    return folder


@contextmanager
def state(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home / ".dagster")) as instance:
        yield instance


def lake_of(home: Path) -> Lake:
    return Lake(home / "lake")


def test_imported_bars_are_materialized_and_their_events_can_be_detected(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "bars", "../minute"]) == 0
    output = capsys.readouterr().out
    files = len(list((home.parent / "minute").rglob("*.parquet")))
    assert f"{files} files, 3 symbols: {BARS_OF_ALL.height:,} bars new, 0 as the lake has them" in output
    assert "3 symbols that the universe does not follow: " + ", ".join(NAMES) in output
    with state(home) as instance:
        assert instance.get_dynamic_partitions(SYMBOLS.name or "") == NAMES
        assert set(instance.get_materialized_partitions(MINUTE_BARS)) == set(NAMES)
        found = instance.fetch_materializations(
            dg.AssetRecordsFilter(MINUTE_BARS, asset_partitions=[NAMES[0]]), limit=9
        )
        (record,) = found.records
        metadata = record.asset_materialization.metadata if record.asset_materialization else {}
        rows = BARS_OF_ALL.filter(symbol=NAMES[0]).height
        assert metadata["bars_new"].value == metadata["dagster/partition_row_count"].value == rows
        assert metadata["sessions"].value == BARS_OF_ALL.filter(symbol=NAMES[0])["timestamp"].dt.date().n_unique()
        assert metadata["imported_from"].value == str((home.parent / "minute").resolve())
        job = build_defs(load_settings()).resolve_implicit_global_asset_job_def()
        tags = {"dagster/asset_partition_range_start": NAMES[0], "dagster/asset_partition_range_end": NAMES[-1]}
        assert job.execute_in_process(instance=instance, asset_selection=[SHARDS], tags=tags).success
        assert set(instance.get_materialized_partitions(SHARDS)) == set(NAMES)
    assert ShardStore(lake_of(home)).symbols() == NAMES


def test_importing_again_changes_nothing_in_the_lake_or_in_dagster(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "bars", "../minute"]) == 0
    before = files_below(home / "lake")
    assert main(["import", "bars", "../minute"]) == 0
    output = capsys.readouterr().out.split("next:")[1]
    assert "imported before, and whose bars are all there, were not read again" in output
    assert "3 symbols: 0 bars new" in output
    assert files_below(home / "lake") == before
    with state(home) as instance:
        assert len(instance.fetch_materializations(MINUTE_BARS, limit=10).records) == 3


def test_bars_before_the_history_are_reported_with_the_day_to_set(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = home / "config" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    # the first bars are those of the second day
    for file in (home.parent / "minute").rglob(f"date={DAYS[0]}.parquet"):
        file.unlink()
    for first, warned in ((DAYS[1], False), (DAYS[2], True)):
        assert text.count("first_session: 2025-10-22") == 1
        config.write_text(text.replace("2025-10-22", f"{first}"), encoding="utf-8")
        shutil.rmtree(home / "lake", ignore_errors=True)
        assert main(["import", "bars", "../minute"]) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        line = (
            f"bars from {DAYS[1]} on lie before history.first_session {DAYS[2]}: nothing so early is fetched by itself"
        )
        assert last.startswith(line) == warned
        assert (f"set it to {DAYS[1]} to have holes filled" in last) == warned


def test_importing_again_records_symbols_missing_in_dagster(home: Path) -> None:
    """As after a process was killed between publishing and recording."""
    assert main(["import", "bars", "../minute"]) == 0
    shutil.rmtree(home / ".dagster")
    assert main(["import", "bars", "../minute"]) == 0
    with state(home) as instance:
        assert set(instance.get_materialized_partitions(MINUTE_BARS)) == set(NAMES)


def test_a_bad_file_is_named_at_the_end_and_the_others_are_imported(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = home.parent / "minute" / f"symbol={NAMES[0]}" / "broken.parquet"
    bad.write_bytes(b"no parquet")
    assert main(["import", "bars", "../minute"]) == 1
    captured = capsys.readouterr()
    assert f"{bad.name}: is not a readable parquet file" in captured.err
    assert "1 problem with files or symbols, named above: what they name was not imported whole" in captured.err
    assert sum(BarsStore(lake_of(home)).read(symbol).height for symbol in NAMES) == BARS_OF_ALL.height


@pytest.mark.parametrize("bad", [260, 240])
def test_bad_rows_are_reported_with_an_example_and_too_many_fail_the_import(
    bad: int, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 5,000 rows, 250 (5 %) may be bad."""
    bars = BARS_OF_ALL.head(4_900)
    volume = pl.when(pl.int_range(pl.len()) < bad - 100).then(0.0).otherwise("volume").alias("volume")
    nameless = bars.tail(100).with_columns(symbol=pl.lit("a/b"))
    pl.concat([bars.with_columns(volume), nameless]).write_parquet(home / "bars.parquet")
    assert main(["import", "bars", "bars.parquet"]) == int(bad > 250)
    captured = capsys.readouterr()
    first = BARS_OF_ALL.row(0, named=True)
    assert f"{bad:,} bad rows quarantined in {home / 'lake' / 'quarantine'}:" in captured.out
    assert f"{bad - 100:>9,}  volume is missing or not positive; such as {first['symbol']} " in captured.out
    assert "      100  symbol is not usable as a name; such as A/B " in captured.out
    assert "volume 0.0, in bars.parquet" in captured.out
    assert (f"{bad:,} of 5,000 rows are bad" in captured.err) == (bad > 250)
    # the same file is not read again, and is no success then
    assert main(["import", "bars", "bars.parquet"]) == int(bad > 250)
    again = capsys.readouterr()
    assert "were not read again" in again.out
    assert f"of their 5,000 rows {bad} were rejected when they were read: " in again.out
    assert again.err == captured.err


def test_status_and_coverage_count_bars_of_symbols_that_are_not_followed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = home / "config" / "config.yaml"
    text, number = re.subn(r"first_session: .*", "first_session: 2025-10-28", config.read_text(encoding="utf-8"))
    assert number == 1
    config.write_text(text, encoding="utf-8")
    assert main(["import", "bars", "../minute"]) == 0
    capsys.readouterr()
    sessions = BARS_OF_ALL.select(pl.struct("symbol", day=DAY).n_unique()).item()
    assert main(["status"]) == 0
    output = capsys.readouterr().out
    assert f"not followed: 3 symbols with {BARS_OF_ALL.height:,} bars in {sessions} symbol-sessions" in output
    assert "events detected of 0; there is no universe yet" in output
    assert main(["coverage", "--fast"]) == 0
    output = capsys.readouterr().out
    assert "expected: from the first bar to the last of each symbol, as none of them is followed" in output
    assert "3 are not followed" in output
    first = BARS_OF_ALL.filter(DAYS[0] == DAY)["symbol"].n_unique()
    assert f"earlier:  {first} symbols have bars from {DAYS[0]} on, before history.first_session 2025-10-28" in output
    assert "beyond:" not in output


@pytest.mark.parametrize("command", ["status", "coverage"])
def test_a_lake_that_does_not_exist_is_an_error(command: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--lake", "lacke"]) == 2
    assert "--lake lacke: there is no such folder" in capsys.readouterr().err
    assert not (home / "lacke").exists()


def test_an_import_without_bars_leaves_no_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "AEMD.csv").write_text("symbol,close\n")
    assert main(["import", "bars", "AEMD.csv"]) == 2
    error = capsys.readouterr().err
    assert "not a bar was imported" in error
    assert "in the lake" not in error
    assert not lake_of(home).imports.exists()
    assert not BarsStore(lake_of(home)).symbols()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["../minute", "--followed-only"], ["--followed-only: the universe of", "follows no symbol"]),
        (["nowhere"], ["nowhere: no csv.gz or csv or parquet file there"]),
        (["../minute", "--timezone", "New York"], ["--timezone New York: there is no such time zone"]),
        (["../minute", "--timezone", "localtime"], ["--timezone localtime: there is no such time zone"]),
        (["../minute", "--timezone", "EST"], ["--timezone EST: is without summer time", "America/New_York"]),
    ],
)
def test_an_import_that_cannot_start_names_the_reason(
    flags: list[str], words: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "bars", *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("smallcaps import: ")
    assert all(word in error for word in words)
    assert not (home / "lake").exists()


@pytest.mark.parametrize(
    "flag", ["--columns=price=p", "--columns=open", "--columns=open=", "--unit=min", "--price-scale=100"]
)
def test_a_wrong_flag_prints_the_usage(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["import", "bars", "minute", flag])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: smallcaps import bars")


def test_real_bars_are_rejected_by_a_lake_of_the_simulated_market(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_lake(lake_of(home).root)
    store = UniverseStore(lake_of(home))
    store.replace(store.read(), {"source": "simulated market, seed 7"})
    assert main(["import", "bars", "../minute"]) == 2
    assert (
        "holds data of a simulated market, which must not be mixed with bars of a real one" in capsys.readouterr().err
    )
    assert main(["import", "bars", "../minute", "--lake", "other"]) == 0
    assert BarsStore(Lake(home / "other")).symbols() == NAMES


def test_a_demo_is_rejected_by_a_lake_of_real_bars(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "bars", "../minute"]) == 0
    capsys.readouterr()
    before = files_below(home / "lake")
    assert main(["demo", "--symbols", "8", "--sessions", "3"]) != 0
    output = "".join(capsys.readouterr())
    assert "holds data of another source (imported bars of a real market, not simulated market, seed" in output
    assert "--lake DIR" in output
    assert {path: files_below(home / "lake")[path] for path in before} == before
    assert not lake_of(home).universe.exists()
