"""Shared by tests of several packages: rows of MASTER and manifests, empty lakes, an exchange behind a gate."""

import gc
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import settings as hypothesis_settings

from smallcaps_assets.domain.tables import EVENTS, MANIFEST, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline import source
from smallcaps_assets.settings.sections import SourceParams
from smallcaps_assets.settings.settings import BATCH_VARIABLE, CONFIG_VARIABLE, OVERRIDES_VARIABLE, UI_VARIABLE
from smallcaps_assets.simulated.corporate.market import CorporateMarket
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.postgresql import Database, postgresql_server
from smallcaps_assets_tests.scenarios import new_york

LATER = datetime(2026, 1, 5, 12, tzinfo=UTC)

# examples may be slow on a busy machine
hypothesis_settings.register_profile("untimed", deadline=None)
# examples of a law that names no number, by the lane
EXAMPLES = {"not slow": 25, "not long": 50}
for lane, examples in EXAMPLES.items():
    hypothesis_settings.register_profile(lane, deadline=None, max_examples=examples)

# what commands pass to the processes that they start
PASSED_ON = (CONFIG_VARIABLE, OVERRIDES_VARIABLE, UI_VARIABLE, BATCH_VARIABLE, "DAGSTER_HOME")

SUITES = Path(__file__).parent
# suites that start processes or materialize assets, the longest first; their modules share expensive fixtures
SLOW_SUITES = ("browser", "demo", "recovery", "assets", "docs")
SLOW_MODULE = "\npytestmark = pytest.mark.slow\n"


# thousands of tests and the modules below them are never garbage, and looking through them for some is a tenth of the
# suite's work: young objects are looked at rarely, what is there when the tests begin not again
gc.set_threshold(50_000, 20, 100)


def _is_fast_lane(config: pytest.Config) -> bool:
    return bool(config.option.markexpr == "not slow")


def _is_slow_module(path: Path) -> bool:
    return path.name.endswith("_test.py") and SLOW_MODULE in path.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _settings_of_commands_end_with_the_test() -> Iterator[None]:
    """What a command passes to the processes that it starts is not seen by the next test."""
    before = {name: os.environ.get(name) for name in PASSED_ON}
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    """A database of PostgreSQL for all tests of a worker, one after another; skips where no server is installed."""
    with postgresql_server() as variables:
        yield Database(variables)


def pytest_xdist_auto_num_workers() -> int:
    """Three times as many workers as processors: the slow suites often wait for processes they start."""
    return 3 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Laws that name no number of examples are tried on 50 by default, on 25 in the fast lane, else on 100."""
    lane = str(config.option.markexpr)
    hypothesis_settings.load_profile(lane if lane in EXAMPLES else "untimed")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """In the fast lane, do not import slow suites and modules: each worker would spend seconds to leave them out."""
    if not _is_fast_lane(config):
        return None
    whole_suite = collection_path.parent == SUITES and collection_path.name in SLOW_SUITES
    return True if whole_suite or _is_slow_module(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow suites and begin with them: short tests fill up the end.

    Modules share expensive fixtures: `--dist loadfile` keeps each on one worker. The groups of pytest-xdist 3.8 have no
    effect with pytest 9.2 and later.
    """

    @cache
    def order(module: Path) -> int:
        suite = module.relative_to(SUITES).parts[0]
        return SLOW_SUITES.index(suite) if suite in SLOW_SUITES else len(SLOW_SUITES)

    items.sort(key=lambda item: order(item.path))
    for item in items:
        if order(item.path) < len(SLOW_SUITES):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Take what is there out of what is looked through for garbage."""
    gc.collect()
    gc.freeze()


def close_client(named: SourceParams) -> None:
    """End the client of this process for a source that ends: the system may give its port to a later one."""
    source.market_data_client(named).close()
    source._client.cache_clear()


def event(at: str = "2025-11-05 10:00", **values: Any) -> dict[str, Any]:
    """A row of MASTER at a New York time: a strong event of a liquid day that triggers no extension."""
    moment = new_york(at).astimezone(UTC)
    row: dict[str, Any] = {
        "symbol": "AEMD",
        "event_type": "volume_spike",
        "timestamp": moment,
        "direction": "up",
        "session": "RTH",
        "spike_x": 2.0,
        "open": 10.0,
        "high": 10.2,
        "low": 10.0,
        "close": 10.2,
        "volume": 60_000.0,
        "dollar_volume": 612_000.0,
        "score": 0.8,
        "date": at[:10],
        "event_bias": "bullish",
        "close_vs_open": "green",
        "tier": 1,
        "known_at": moment + timedelta(minutes=1),
        "vwap_at_event": 10.0,
        "flatness_score": None,
        "rvol_day": 2.0,
        "dollar_volume_day": 5_000_000.0,
        "dollar_volume_to_event": 1_000_000.0,
        "transactions": None,
    } | values
    name = values.get("event_id", f"{row['symbol']}_{row['event_type']}_{moment:%Y%m%d_%H%M%S}_00000000")
    return {
        "event_id": name,
        "event_group_id": f"group of {name}",
        "is_premarket": row["session"] == "PM",
        "is_afterhours": row["session"] == "AH",
    } | row


def master_of(*rows: dict[str, Any]) -> pl.DataFrame:
    """MASTER of rows that `event` made."""
    return pl.DataFrame([{name: row[name] for name in EVENTS} for row in rows], schema=EVENTS, orient="row")


def manifest_of(*rows: dict[str, Any], before: int = 3, after: int = 7) -> pl.DataFrame:
    """A manifest that holds exactly these events, in their order, all with one window."""
    return (
        master_of(*rows)
        .with_columns(
            rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
            time_bucket=pl.lit("0930-1015"),
            window_before_min=pl.lit(before, dtype=pl.Int64),
            window_after_min=pl.lit(after, dtype=pl.Int64),
            extended=pl.lit(value=False),
        )
        .select(*MANIFEST)
    )


def trades_at(*moments: datetime) -> pl.DataFrame:
    """One trade (TRADES_ALL) at each moment, numbered from 1."""
    known = {
        "timestamp": moments,
        "price": [10.0 + number / 100 for number in range(len(moments))],
        "size": [100.0] * len(moments),
        "conditions": [[12]] * len(moments),
        "sequence_number": range(1, len(moments) + 1),
    }
    return _filled_up(known, TRADES_ALL)


def quotes_at(*moments: datetime) -> pl.DataFrame:
    """One quote (QUOTES_ALL) at each moment, each with a different bid."""
    known = {
        "timestamp": moments,
        "bid_price": [10.0 + number / 100 for number in range(len(moments))],
        "bid_size": [100.0] * len(moments),
        "ask_price": [11.0 + number / 100 for number in range(len(moments))],
        "ask_size": [100.0] * len(moments),
        "sequence_number": range(1, len(moments) + 1),
    }
    return _filled_up(known, QUOTES_ALL)


def _filled_up(known: dict[str, Any], schema: pl.Schema) -> pl.DataFrame:
    """A frame of `schema` whose other columns are null."""
    frame = pl.DataFrame(known, schema={name: schema[name] for name in known})
    return frame.select(
        name if name in known else pl.lit(None, dtype=dtype).alias(name) for name, dtype in schema.items()
    )


def files_below(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Modification time and bytes of every file below a folder, except locks and what only saves reading again."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and path.parent.name != ".cache"
    }


Rule = Callable[[str, Mapping[str, str]], Reply | None]


class Gate:
    """The simulated exchange behind a gate, which records every request and may answer some itself."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.rule: Rule = lambda path, query: None  # noqa: ARG005
        self.base_url = ""

    def reply(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        self.requests.append((path, dict(query)))
        return self.rule(path, query) or self.exchange.reply(path, query, headers)


def refusal(status: int, words: str = "no", headers: Mapping[str, str] | None = None) -> Reply:
    """An error response."""
    body = json.dumps({"status": "ERROR", "error": words, "request_id": "r1"}).encode()
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, body)


@pytest.fixture(scope="session")
def small_market() -> SimulatedMarket:
    """Four symbols, seen from January 2026."""
    return SimulatedMarket(seed=7, symbols=4, clock=lambda: LATER)


@contextmanager
def open_gate(market: SimulatedMarket | CorporateMarket) -> Iterator[Gate]:
    """The exchange over HTTP on this machine, behind a gate."""
    opened = Gate(Exchange(market, clock=lambda: LATER))
    with serve(opened) as server:  # type: ignore[arg-type]
        opened.base_url = server.base_url
        yield opened


def client_of(gate: Gate) -> MarketDataClient:
    """A client that sends requests through the gate, retries once and does not wait."""
    transport = Transport(
        gate.base_url,
        "a-key-of-tests",
        bucket=TokenBucket(None),
        max_retries=1,
        sleep=lambda seconds: None,  # noqa: ARG005
    )
    return MarketDataClient(transport)


@pytest.fixture
def gate(small_market: SimulatedMarket) -> Iterator[Gate]:
    """The exchange over HTTP on this machine, behind a gate that only this test uses."""
    with open_gate(small_market) as opened:
        yield opened


@pytest.fixture
def client(gate: Gate) -> Iterator[MarketDataClient]:
    """A client that only this test uses."""
    with client_of(gate) as made:
        yield made


@pytest.fixture(scope="session")
def _whole_lake_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from smallcaps_assets_tests.whole_lake import fill_whole_lake  # noqa: PLC0415 -- it imports this module

    lake = Lake(tmp_path_factory.mktemp("whole") / "lake")
    fill_whole_lake(lake)
    return lake.root


@pytest.fixture
def whole_lake(_whole_lake_root: Path, tmp_path: Path) -> Lake:
    """A small lake with a file of every kind, built once, which a test may change."""
    shutil.copytree(_whole_lake_root, tmp_path / "lake")
    return Lake(tmp_path / "lake")


def new_lake(root: Path) -> Lake:
    """An empty lake whose folder exists."""
    root.mkdir(exist_ok=True)
    return Lake(root)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return new_lake(tmp_path / "lake")
