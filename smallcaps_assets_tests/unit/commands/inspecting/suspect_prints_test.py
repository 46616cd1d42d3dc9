"""Where an operator sees suspect prints: `smallcaps detect`, `smallcaps coverage` and the check of minute_bars."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.bars.checks import checks_of_bars
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import event, master_of

TEN = datetime(2025, 11, 5, 15, tzinfo=UTC)  # 10:00 in New York
WORDS = "has a high or low far outside those of the neighbouring bars and undone at once, as a wrong trade makes it"
NOW = datetime(2025, 12, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def home(fresh_home: Path) -> Path:
    """A folder like a fresh clone."""
    return fresh_home


@pytest.fixture
def lake(home: Path) -> Lake:
    """The lake of that folder."""
    (home / "lake").mkdir()
    return Lake(home / "lake")


def session(symbol: str, first: datetime, **sixth: float) -> pl.DataFrame:
    """Twenty calm minutes from `first` on; the sixth with other values."""
    calm = {"open": 10.0, "high": 10.1, "low": 10.0, "close": 10.0, "volume": 100.0, "vwap": 10.0, "transactions": 5}
    rows = [
        {"symbol": symbol, "timestamp": first + timedelta(minutes=minute), **calm, **(sixth if minute == 5 else {})}
        for minute in range(20)
    ]
    return pl.DataFrame(rows, schema=BARS)


def store(lake: Lake, bars: pl.DataFrame) -> None:
    symbol, first = bars.select("symbol", "timestamp").row(0)
    BarsStore(lake).add(symbol, first.date().replace(day=1), [first.date()], bars, QUARANTINED_BARS.to_frame())


def test_detect_says_which_bars_have_one_and_writes_them_beside_the_events(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.concat([session("AEMD", TEN, high=11.0), session("BRK.B", TEN)]).write_parquet("bars.parquet")
    assert main(["detect", "--bars", "bars.parquet", "--out", "found.parquet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = f"suspect prints: 1 bar {WORDS}; 0 events at or after such a bar on its day may be due to it; listed in "
    assert lines[1] == f"{said}found.suspect_prints.parquet"
    assert lines[3] == "  AEMD    2025-11-05 10:05  high 11  10.1        none"
    (row,) = pl.read_parquet("found.suspect_prints.parquet").to_dicts()
    assert row == {
        "symbol": "AEMD",
        "timestamp": TEN + timedelta(minutes=5),
        "side": "high",
        "value": 11.0,
        "bound": 10.1,
        "event_ids": [],
    }
    # without any, nothing is said and the file of before is gone
    session("AEMD", TEN).write_parquet("bars.parquet")
    assert main(["detect", "--bars", "bars.parquet", "--out", "found.parquet"]) == 0
    assert "suspect" not in capsys.readouterr().out
    assert not (home / "found.suspect_prints.parquet").exists()


def test_the_events_that_detect_lists_are_those_of_its_own_detection(capsys: pytest.CaptureFixture[str]) -> None:
    # a low that widens the range of a busy minute to that of a volume spike
    sixth = {"low": 0.9, "close": 10.05, "volume": 90_000.0}
    # enough money on the day for an event
    later = session("AEMD", TEN + timedelta(minutes=20)).with_columns(volume=pl.lit(10_000.0))
    pl.concat([session("AEMD", TEN, **sixth), later]).write_parquet("bars.parquet")
    assert main(["detect", "--bars", "bars.parquet", "--out", "found.parquet"]) == 0
    events = pl.read_parquet("found.parquet")
    (row,) = pl.read_parquet("found.suspect_prints.parquet").to_dicts()
    assert ("volume_spike", TEN + timedelta(minutes=5)) in list(events.select("event_type", "timestamp").iter_rows())
    assert (row["side"], row["event_ids"]) == ("low", events.sort("timestamp", "event_id")["event_id"].to_list())
    assert events["event_id"][0] in capsys.readouterr().out


def test_coverage_lists_them_with_the_events_of_master(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    store(lake, session("AEMD", TEN, low=0.9))
    store(lake, session("BRK.B", TEN))
    events = [event("2025-11-05 15:00", event_id="later"), event("2025-11-06 10:00", event_id="another day")]
    publish_frame(lake.master, master_of(*events), below=lake.root)
    assert main(["coverage"]) == 0
    text = capsys.readouterr().out
    assert f"prints:   1 bar {WORDS}; 1 event at or after such a bar on its day may be due to it\n" in text
    heading = "  symbol  New York          print    neighbours  events at or after it\n"
    assert f"suspect prints:\n{heading}  AEMD    2025-11-05 10:05  low 0.9  10          later\n" in text
    assert main(["coverage", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bars_with_a_suspect_print"] == 1
    (row,) = document["suspect_prints"]
    assert (row["symbol"], row["side"], row["value"], row["event_ids"]) == ("AEMD", "low", 0.9, ["later"])
    assert main(["coverage", "--fast"]) == 0
    assert "prints:   not read" in capsys.readouterr().out


def test_the_check_of_minute_bars_warns_about_the_last_months_of_each_symbol(lake: Lake) -> None:
    settings = load_settings()
    store(lake, session("AEMD", TEN))
    store(lake, session("BRK.B", TEN))
    checks = checks_of_bars(BarsStore(lake), UniverseStore(lake), settings, NOW)
    assert checks["suspect_print"]().holds
    # of AEMD two months are later than this one, of a symbol that ended years ago none
    store(lake, session("AEMD", TEN - timedelta(days=40), high=11.0))
    store(lake, session("AEMD", TEN + timedelta(days=30)))
    store(lake, session("GONE", datetime(2019, 5, 6, 14, tzinfo=UTC), high=12.0))
    found = checks["suspect_print"]()
    assert (found.holds, found.severe) == (False, False)
    assert found.examples.select("symbol", "side", "value").rows() == [("GONE", "high", 12.0)]
    # the bars of two months of AEMD, and one each of the others
    assert found.figures["bars"] == 80


def test_settings_of_an_earlier_release_have_the_documented_bounds(home: Path) -> None:
    path = home / "config" / "config.yaml"
    shipped = load_settings()
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    del document["checks"]["bars"]["suspect_print"]
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert load_settings().checks == shipped.checks
