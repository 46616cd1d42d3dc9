"""`smallcaps detect` over bars whose counts are not known, or whose files have no column for them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.scenarios import bars_from
from smallcaps_assets_tests.unknown_counts import NULL, TRUE, UNKNOWN, with_unknown

# a spike of volume and of trades: events of four types, of which one needs the number of trades
OTHERS = ["consolidation_break", "price_momentum", "volume_spike"]
SPIKE = bars_from("2025-11-10 10:00", [(10.0, 10.01, 9.99, 10.0, 20_000.0, 60)] * 30, "ABCD")
SPIKE = pl.concat([SPIKE, bars_from("2025-11-10 10:30", [(10.0, 10.4, 10.0, 10.4, 200_000.0, 600)], "ABCD")])


@pytest.fixture(autouse=True)
def home(fresh_home: Path) -> Path:
    """A folder like a fresh clone, in which the test works."""
    return fresh_home


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `smallcaps detect --out events.parquet`; returns what it printed."""

    def command(*arguments: object) -> str:
        code = main(["detect", *map(str, arguments), "--out", "events.parquet"])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    return command


Run = Callable[..., str]


def types() -> list[str]:
    return pl.read_parquet("events.parquet")["event_type"].sort().to_list()


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("source", ["--bars", "--lake"])
def test_unknown_counts_make_no_event_and_are_counted(value: int, source: str, run: Run) -> None:
    bars, place = with_unknown(value), Path("bars.parquet")
    if source == "--lake":  # as an earlier release stored them
        place = Path("lake")
        days = sorted(set(bars.select(DAY).to_series()))
        BarsStore(new_lake(place)).add("ABCD", days[0].replace(day=1), days, bars, QUARANTINED_BARS.to_frame())
    else:
        bars.write_parquet(place)
    text = run(source, place)
    assert f"{UNKNOWN:,} bars have a volume but a number of transactions that is 0 or less" in text
    assert "\n0 events found" in text
    assert types() == []


def test_a_missing_count_is_not_counted(run: Run) -> None:
    NULL.write_parquet("bars.parquet")
    assert run("--bars", "bars.parquet").startswith("1,950 bars of 1 symbol,")


def test_unknown_values_are_in_the_figures(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with_unknown(-1).with_columns(vwap=pl.lit(0.0)).drop("symbol").write_parquet("ABCD.parquet")
    run("--bars", "ABCD.parquet")
    arguments = ["detect", "--bars", "ABCD.parquet", "--compare", "events.parquet", "--json"]
    assert main(arguments) == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (figures["transactions_unknown"], figures["vwap_unknown"]) == (UNKNOWN, TRUE.height)
    assert (figures["files_without_transactions"], figures["files_without_vwap"]) == (0, 0)
    assert main([*arguments, "--first", "2025-11-05"]) == 0
    assert json.loads(capsys.readouterr().out)["transactions_unknown"] == 3 * 325


@pytest.mark.parametrize(
    ("absent", "fast"),
    [((), 1), (("vwap",), 1), (("transactions",), 0), (("vwap", "transactions"), 0)],
)
@pytest.mark.parametrize("name", ["bars.parquet", "symbol=ABCD/bars.parquet"])
def test_files_need_no_vwap_and_no_transactions(absent: tuple[str, ...], fast: int, name: str, run: Run) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    SPIKE.drop(absent).write_parquet(name)
    text = run("--bars", name)
    assert types() == sorted([*OTHERS, *["tape_speed"] * fast])
    for column in ("vwap", "transactions"):
        assert text.count(f"1 file has no column {column}: it is read as unknown (null)") == (column in absent)
    assert pl.read_parquet("events.parquet")["transactions"].is_null().all() == ("transactions" in absent)


def test_files_of_both_kinds_are_read_together_and_said_once(run: Run) -> None:
    SPIKE.with_columns(symbol=pl.lit("A")).write_parquet("1.parquet")
    for number in range(3):
        SPIKE.with_columns(symbol=pl.lit(f"B{number}")).drop("transactions").write_parquet(f"2{number}.parquet")
    text = run("--bars", "*.parquet")
    assert text.count("3 files have no column transactions") == text.count("no column") == 1
    assert types() == sorted([*OTHERS * 4, "tape_speed"])


def test_columns_may_have_other_names(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    SPIKE.rename({"transactions": "trade_count", "timestamp": "t"}).drop("vwap").write_parquet("bars.parquet")
    run("--bars", "bars.parquet", "--columns", "transactions=trade_count,timestamp=t")
    assert types() == sorted([*OTHERS, "tape_speed"])
    run("--bars", "bars.parquet", "--columns", "timestamp=t")
    assert types() == OTHERS
    # a name that is given must be there
    assert main(["detect", "--bars", "bars.parquet", "--columns", "vwap=vw", "--out", "e.parquet"]) == 2
    assert "no column vw (given as vwap), timestamp." in capsys.readouterr().err
    assert main(["detect", "--columns", "timestamp=t", "--out", "e.parquet"]) == 2
    assert "--columns names columns of files: give --bars PATH as well" in capsys.readouterr().err
