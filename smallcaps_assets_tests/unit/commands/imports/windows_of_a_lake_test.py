"""`smallcaps import windows` of a whole lake's tape: imported once for all tests, which leave the lake as it is."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import AssetKey
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.commands.services.state import open_state_as_is
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.conftest import Gate, client_of, files_below, new_lake, open_gate
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.commands.imports.window_imports import (
    COVERAGE,
    MARKET,
    freeze,
    ledger,
    make_home,
    run_import,
    tape_of,
)

PARAMS = default_settings().profiles["core"]
PAIRS = [("AVLO", "RTH"), ("CRVO", "RTH"), ("AVLO", "PM")]


@pytest.fixture(scope="module")
def gate(small_market: SimulatedMarket) -> Iterator[Gate]:
    with open_gate(small_market) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(gate: Gate) -> Iterator[MarketDataClient]:
    with client_of(gate) as made:
        yield made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as environment:
        yield make_home(tmp_path_factory.mktemp("imported") / "home", environment)


@pytest.fixture(scope="module")
def lake(home: Path) -> Lake:
    return new_lake(home / "lake")


def capture(lake: Lake, client: MarketDataClient, profile: str = "core") -> None:
    params = default_settings().profiles["core" if profile == "core" else "plus"]
    for kind in TAPE_KINDS:
        tape = TapeStore(lake, profile, params, default_settings().capture.size_budget)
        work = Capture(kind, tape, client, threads=2, config_hash="c", log=lambda line: None)  # noqa: ARG005
        assert not [problem for outcome in work.run(MARKET, PAIRS) for problem in outcome.problems]


def exported(client: MarketDataClient, folder: Path) -> None:
    """The windows of MARKET as the earlier system stored them; one symbol with the vendor's names, in flat files."""
    for row in MARKET.to_dicts():
        start, end = (row["timestamp"] + timedelta(minutes=minutes) for minutes in (-3, 7))
        for kind, download in (("trades", client.trades), ("quotes", client.quotes)):
            frame = download(row["symbol"], start, end).frame
            if row["symbol"] == "CRVO":
                raw = {"timestamp": "sip_timestamp", "trade_id": "id"}
                frame = frame.rename({name: raw[name] for name in raw if name in frame.columns})
                frame = frame.with_columns(pl.col(pl.Datetime("ns", "UTC")).dt.epoch("ns"))
                if frame["conditions"].null_count() == frame.height:
                    frame = frame.drop("conditions")
                path = folder / f"{row['event_id']}_{kind}.parquet"
            else:
                path = folder / f"symbol={row['symbol']}" / f"event={row['event_id']}" / f"{kind}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(path)


def import_again(home: Path) -> dict[str, Any]:
    return run_import(home / "old", "--profile", "core", *COVERAGE, "--resolution", "full")


@pytest.fixture(scope="module")
def imported(home: Path, lake: Lake, client: MarketDataClient, gate: Gate) -> dict[str, Any]:
    """The output of the import of MARKET's windows, which sent no vendor request."""
    exported(client, home / "old")
    freeze(lake, MARKET)
    gate.requests.clear()
    output = import_again(home)
    assert gate.requests == []
    return output


@pytest.fixture(autouse=True)
def unchanged(imported: dict[str, Any], lake: Lake) -> Iterator[None]:  # noqa: ARG001
    """A test leaves every byte of the lake as it found it."""
    before = bytes_below(lake)
    yield
    assert bytes_below(lake) == before


def bytes_below(lake: Lake) -> dict[str, bytes]:
    return {name: content for name, (_, content) in files_below(lake.root).items()}


def test_imported_tape_equals_captured_tape(
    imported: dict[str, Any], lake: Lake, client: MarketDataClient, tmp_path: Path
) -> None:
    other = new_lake(tmp_path / "captured")
    freeze(other, MARKET)
    capture(other, client)
    mine, theirs = tape_of(lake), tape_of(other)
    assert list(mine) == list(theirs)
    assert len(mine) == 6
    for name, frame in mine.items():
        start = datetime.strptime(Path(name).stem.partition("_")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        inside = theirs[name].filter(pl.col("timestamp") >= start)
        # exported windows hold no book before their start, so that thinning keeps their first quote
        first = frame.height - inside.height
        assert 0 <= first <= theirs[name].height - inside.height <= int("/quotes/" in name), name
        assert_frame_equal(frame.slice(first), inside)
    assert sum(frame.height for frame in mine.values()) > 100
    assert imported["events"] == {"complete": 4}
    assert imported["refused"] == []
    assert [imported[kind]["adopted"] for kind in TAPE_KINDS] == [4, 4]


def test_a_capture_after_the_import_sends_no_request(
    lake: Lake, client: MarketDataClient, gate: Gate, tmp_path: Path
) -> None:
    shutil.copytree(lake.root, tmp_path / "lake")
    lake = Lake(tmp_path / "lake")
    gate.requests.clear()
    before = files_below(lake.root)
    capture(lake, client)
    assert gate.requests == []
    assert files_below(lake.root) == before
    # another profile does not fetch the trades either, since they are not thinned
    freeze(lake, MARKET, "plus")
    capture(lake, client, "plus")
    assert gate.requests
    assert {path.split("/")[2] for path, _ in gate.requests} == {"quotes"}
    tape = TapeStore(lake, "plus", default_settings().profiles["plus"])
    names = build_ledger(MARKET, tape)["trades_adopted_from"].to_list()
    assert all(names)


def test_the_ledger_certifies_imported_tape(lake: Lake) -> None:
    rows = ledger(lake)
    assert {row["state"] for row in rows.values()} == {"complete"}
    assert {row[f"{kind}_requests"] for row in rows.values() for kind in TAPE_KINDS} == {0}
    assert rows["CRVO_c_1"]["trades_adopted_from"] == ["CRVO_c_1_trades.parquet"]
    assert rows["AVLO_a_1"]["quotes_adopted_from"] == [
        "symbol=AVLO/event=AVLO_a_1/quotes.parquet",
        "symbol=AVLO/event=AVLO_a_2/quotes.parquet",
    ]
    assert rows["AVLO_a_1"]["trades_fetched_at"] is None
    assert capture_effort(TapeStore(lake, "core", PARAMS))["requests"].sum() == 0


def test_verify_accepts_imported_tape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--profile", "core"]) == 0
    assert "every file is as certified" in capsys.readouterr().out


def test_complete_partitions_are_recorded_in_dagster(imported: dict[str, Any], home: Path) -> None:
    assert imported["partitions_told_to_dagster"] == {"trades": 3, "quotes": 3}
    with open_state_as_is(load_settings()) as instance:
        assert set(instance.get_dynamic_partitions("symbols")) == {"AVLO", "CRVO"}
        for kind in TAPE_KINDS:
            found = instance.get_materialized_partitions(AssetKey(["core", f"tape_{kind}"]))
            assert set(found) == {"AVLO|RTH", "CRVO|RTH", "AVLO|PM"}
    assert import_again(home)["partitions_told_to_dagster"] == {"trades": 0, "quotes": 0}


def test_repeating_an_import_changes_no_byte(lake: Lake, home: Path) -> None:
    before = files_below(lake.root)
    again = import_again(home)
    assert files_below(lake.root) == before
    assert [again[kind]["there_already"] for kind in TAPE_KINDS] == [4, 4]
    assert [again[kind]["adopted"] for kind in TAPE_KINDS] == [0, 0]


def test_lost_tape_is_imported_again(lake: Lake, home: Path) -> None:
    before = bytes_below(lake)
    lost = lake.tape_wave("core", "trades", "RTH", "AVLO") / "20251126T145700_20251126T151200.parquet"
    lost.unlink()
    again = import_again(home)
    assert (again["trades"]["adopted"], again["quotes"]["adopted"]) == (2, 0)
    assert bytes_below(lake) == before
