"""`smallcaps check` on an empty lake, with the simulated exchange as a vendor that demands a key and denies data."""

import json
import shutil
import socket
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from smallcaps_assets.cli import main
from smallcaps_assets.commands.services.services import _free_port
from smallcaps_assets.commands.services.state import open_state, open_state_as_is
from smallcaps_assets.commands.services.state_folder import state_folder
from smallcaps_assets.defs.runs.pool import vendor_slot
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline import source
from smallcaps_assets.pipeline.operations.readiness import ask_endpoints, endpoint_checks
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets.simulated.bucket.files import GivenFiles
from smallcaps_assets.simulated.bucket.service import EMBEDDED_ACCESS_KEY, EMBEDDED_SECRET_KEY
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import ENDPOINTS, Exchange
from smallcaps_assets.simulated.protocol.server import ExchangeServer, serve
from smallcaps_assets_tests.conftest import LATER, Gate, refusal
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import default_settings

# most of them set up a state of Dagster
pytestmark = pytest.mark.slow

KEY = "a-key-of-this-test"
LOCAL = ["settings", "key", "lake", "disk", "calendar", "state", "port"]
ASKED = ["minute_bars", "first_session", "trades", "quotes", "tickers", "ticker_details", "ticker_events"]
ASKED += ["daily_bars", "float", "short_interest", "conditions", "splits"]


@dataclass
class Checked:
    """What one `smallcaps check --json` returned and printed."""

    code: int
    ready: bool
    checks: dict[str, dict[str, str]]
    announced: str

    @property
    def verdicts(self) -> dict[str, str]:
        return {name: check["verdict"] for name, check in self.checks.items()}

    def text(self, name: str) -> str:
        return f"{self.checks[name]['message']} {self.checks[name]['remedy']}"


Check = Callable[..., Checked]


@pytest.fixture
def home(fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh clone with a key in the environment; the clients of this process are closed afterwards."""
    shutil.copy(REPOSITORY / "dagster.yaml", fresh_home)
    monkeypatch.setenv("MASSIVE_API_KEY", KEY)
    monkeypatch.delenv("POLYGON_API_KEY", raising=False)
    for name in ("MASSIVE", "POLYGON"):
        monkeypatch.delenv(f"{name}_S3_ACCESS_KEY", raising=False)
        monkeypatch.delenv(f"{name}_S3_SECRET_KEY", raising=False)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "restored at the end")
    yield fresh_home
    source._client.cache_clear()
    source._flat_files.cache_clear()


@pytest.fixture
def check(home: Path, capfd: pytest.CaptureFixture[str]) -> Check:  # noqa: ARG001
    def run(*flags: str) -> Checked:
        code = main(["check", "--json", "--port", str(_free_port()), *flags])
        printed = capfd.readouterr()
        assert KEY not in printed.out + printed.err
        document: dict[str, Any] = json.loads(printed.out)
        checks = {check["name"]: check for check in document["checks"]}
        assert not [name for name, check in checks.items() if "\n" in check["message"] and name != "settings"]
        return Checked(code, document["ready"], checks, printed.err)

    return run


def configure(home: Path, section: str, **values: Any) -> None:
    file = home / "config" / "config.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings[section] |= values
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")


@contextmanager
def vendor(home: Path, market: SimulatedMarket, denied: Collection[str] = ()) -> Iterator[ExchangeServer]:
    """The exchange as the vendor of the settings; it accepts only KEY."""
    with serve(Exchange(market, api_key=KEY, clock=lambda: LATER, denied=denied)) as server:
        configure(home, "source", kind="vendor", base_url=server.base_url)
        yield server


def test_everything_is_ready_on_an_empty_lake(home: Path, check: Check, small_market: SimulatedMarket) -> None:
    with vendor(home, small_market) as server:
        found = check()
        assert server.requests == len(ASKED)
    assert found.verdicts == dict.fromkeys([*LOCAL, *ASKED], "ok")
    assert (found.code, found.ready) == (0, True)
    assert found.announced == "12 requests to 127.0.0.1 ...\n"
    assert found.checks["key"]["message"] == "MASSIVE_API_KEY is set in the environment"
    assert not (home / "lake").exists()


def test_what_the_plan_lacks_is_named_with_the_plan_that_has_it(
    home: Path, check: Check, small_market: SimulatedMarket
) -> None:
    with vendor(home, small_market, ["quotes", "float", "splits"]) as server:
        found = check()
        assert server.requests == len(ASKED), "the older list of splits is not asked for"
    wrong = {name: verdict for name, verdict in found.verdicts.items() if verdict != "ok"}
    assert wrong == {"quotes": "problem", "float": "note", "splits": "note"}
    assert "Optional: where the older list of splits is not included either, split_ratio" in found.text("splits")
    assert (found.code, found.ready) == (1, False)
    assert found.text("quotes") == (
        "the plan does not include it (HTTP 403) Quotes require the plan Stocks Advanced or above (see "
        "https://massive.com/pricing). Without it there are bars, events and manifests, but no tape."
    )


def test_flat_files_need_keys_of_their_own_and_a_plan_that_has_them(
    home: Path, check: Check, small_market: SimulatedMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = GivenFiles({f"us_stocks_sip/minute_aggs_v1/2025/11/2025-11-{day}.csv.gz": b"x" * 1000 for day in (24, 28)})
    exchange = Exchange(small_market, api_key=KEY, clock=lambda: LATER, files=files)
    with serve(exchange) as server:
        where = {"flat_files": {"endpoint": server.base_url, "prefer": "rest"}, "bars": "both"}
        configure(home, "source", kind="vendor", base_url=server.base_url, **where)
        configure(home, "history", last_session=date(2025, 12, 1))
        found = check()
        assert found.verdicts["key"] == "problem"
        assert "no access key of flat files: set the environment variable MASSIVE_S3_ACCESS_KEY or POLY" in found.text(
            "key"
        )
        monkeypatch.setenv("POLYGON_S3_ACCESS_KEY", EMBEDDED_ACCESS_KEY)
        monkeypatch.setenv("MASSIVE_S3_SECRET_KEY", EMBEDDED_SECRET_KEY)
        found = check()
        assert (found.code, found.text("key").strip()) == (
            0,
            "MASSIVE_API_KEY is set in the environment and so are the keys of the flat files",
        )
        assert found.text("flat_files") == "allowed; the newest file is of 2025-11-28 (0.0 MB) "
        # 28 sessions of 28 MB
        assert ", about 0.78 GB for flat files of the whole market; `smallcaps plan`" in found.text("disk")
        exchange.files.denies_files = True
        found = check()
        assert (found.ready, found.verdicts["flat_files"]) == (False, "problem")
        assert found.text("flat_files").endswith("(HTTP 403) Change the plan, or set source.bars to rest.")


@pytest.mark.parametrize("name", ENDPOINTS)
def test_each_endpoint_of_the_exchange_is_asked_for(name: str, small_market: SimulatedMarket) -> None:
    with (
        serve(Exchange(small_market, clock=lambda: LATER, denied=[name])) as server,
        MarketDataClient(Transport(server.base_url, KEY, bucket=TokenBucket(None))) as client,
    ):
        answers = [*ask_endpoints(endpoint_checks(client, "CRVO", default_settings(), LATER))]
    denied = [answer.name for answer in answers if answer.message == "the plan does not include it (HTTP 403)"]
    assert denied == (["minute_bars", "first_session"] if name == "minute_bars" else [name])


def test_a_plan_that_does_not_reach_back_is_a_problem_of_the_first_session(
    gate: Gate, client: MarketDataClient
) -> None:
    settings = default_settings()
    first = f"{settings.history.first_session}"
    gate.rule = lambda path, query: refusal(403) if first in path else None  # noqa: ARG005
    answers = [*ask_endpoints(endpoint_checks(client, "CRVO", settings, LATER))]
    (denied,) = [answer for answer in answers if answer.verdict != "ok"]
    assert (denied.name, denied.verdict) == ("first_session", "problem")
    assert denied.remedy.startswith("Set history.first_session to a session that the plan reaches back to")


def test_an_unknown_key_costs_one_request(
    home: Path, check: Check, small_market: SimulatedMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASSIVE_API_KEY", "another-key")
    with vendor(home, small_market) as server:
        found = check()
        assert server.requests == 1
    assert found.code == 1
    assert "HTTP 401 (the vendor says: Unknown API Key" in found.text("key")
    assert found.text("endpoints") == "11 more requests were not sent "
    assert not {*ASKED} & {*found.checks}


def test_without_a_key_nothing_is_sent(
    home: Path, check: Check, small_market: SimulatedMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASSIVE_API_KEY")
    with vendor(home, small_market) as server:
        found = check()
        assert server.requests == 0
    assert found.code == 1
    assert "set the environment variable MASSIVE_API_KEY or POLYGON_API_KEY" in found.text("key")
    assert found.text("endpoints") == "no request was sent: correct key first "


def test_offline_sends_nothing(home: Path, check: Check, small_market: SimulatedMarket) -> None:
    with vendor(home, small_market) as server:
        found = check("--offline")
        assert server.requests == 0
    assert [*found.checks] == [*LOCAL, "endpoints"]
    assert (found.code, found.verdicts["endpoints"]) == (0, "note")


def test_a_vendor_that_does_not_answer_is_asked_once(home: Path, check: Check) -> None:
    configure(home, "source", kind="vendor", base_url=f"http://127.0.0.1:{_free_port()}")
    found = check()
    assert found.verdicts["minute_bars"] == "problem"
    assert "for minute bars failed with ConnectionRefusedError" in found.text("minute_bars")
    assert found.text("endpoints") == "11 more requests were not sent "


def test_nothing_is_sent_beside_a_run_that_sends_requests(
    home: Path, check: Check, small_market: SimulatedMarket
) -> None:
    with vendor(home, small_market) as server, open_state(load_settings()) as instance, vendor_slot(instance, print):
        found = check()
        assert server.requests == 0
    assert found.code == 0
    assert "runs are sending vendor requests at this moment" in found.text("endpoints")


def test_wrong_settings_are_a_problem_with_file_and_line(home: Path, check: Check) -> None:
    file = home / "config" / "config.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("  burst: 1 ", "  bursts: 1"), encoding="utf-8")
    found = check()
    assert (found.code, [*found.checks]) == (1, ["settings"])
    line = text[: text.index("  burst: 1 ")].count("\n") + 1
    assert f"{file}, line {line}: source.bursts = 1: no such setting: did you mean burst?" in found.text("settings")


def test_a_port_in_use_is_a_problem(check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = check("--offline", "--port", str(taken.getsockname()[1]))
    assert {name for name, verdict in found.verdicts.items() if verdict == "problem"} == {"port"}
    assert "uses this port. End it, or choose another port, such as --port" in found.text("port")


def test_a_disk_too_small_for_bars_and_reserve_is_a_problem(home: Path, check: Check) -> None:
    configure(home, "capture", free_disk={"check": True, "keep_gb": 1e6})
    configure(home, "history", first_session="2025-10-20", last_session="2025-12-01")
    configure(home, "universe", symbols=[f"S{number:04}" for number in range(2_500)])
    found = check("--offline")
    assert found.verdicts["disk"] == "problem"
    # 2,500 symbols x 30 sessions x 16,000 bytes
    assert "1,000,001.20 GB needed: 1,000,000.00 GB to keep free" in found.text("disk")
    assert "about 1.20 GB for bars (symbols: 2,500; sessions: 30)" in found.text("disk")


def test_a_lake_of_another_source_is_a_problem_and_nothing_is_sent(
    home: Path, check: Check, small_market: SimulatedMarket
) -> None:
    (home / "lake").mkdir()
    UniverseStore(Lake(home / "lake")).replace(UNIVERSE.to_frame(), {"source": "simulated market, seed 7"})
    with vendor(home, small_market) as server:
        found = check()
        assert server.requests == 0
    assert "holds data of another source (simulated market, seed 7, not vendor" in found.text("lake")


def test_a_damaged_state_is_a_problem(home: Path, check: Check) -> None:  # noqa: ARG001
    settings = load_settings()
    open_state_as_is(settings).dispose()
    (state_folder(settings) / "history" / "runs.db").write_bytes(b"no database at all" * 100)
    found = check()
    assert found.verdicts["state"] == "problem"
    assert "move this folder away" in found.text("state")
    assert found.text("endpoints") == "no request was sent: correct state first "


def test_a_state_of_another_version_of_dagster_is_a_problem(home: Path, check: Check) -> None:  # noqa: ARG001
    settings = load_settings()
    open_state_as_is(settings).dispose()
    runs = state_folder(settings) / "history" / "runs.db"
    with closing(sqlite3.connect(runs)) as database:
        (current,) = database.execute("select version_num from alembic_version").fetchone()
        database.execute("update alembic_version set version_num = 'an older one'")
        database.commit()
    found = check("--offline")
    assert f"another version (runs an older one instead of {current})" in found.text("state")
    assert "`dagster instance migrate`" in found.text("state")


def test_text_has_a_line_for_each_check_and_a_conclusion(home: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    assert main(["check", "--offline", "--port", str(_free_port())]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:-2]] == [["ok", name] for name in LOCAL]
    assert lines[-2:] == ["note     endpoints       no request was sent (--offline)", "ready"]


def test_the_web_ui_says_at_its_start_that_the_key_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(home, "source", kind="vendor")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = ["ui", "--port", str(taken.getsockname()[1])]
        assert main(arguments) == 2
        assert "key" not in capsys.readouterr().err
        monkeypatch.delenv("MASSIVE_API_KEY")
        assert main(arguments) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("smallcaps ui: no API key: set the environment variable MASSIVE_API_KEY or POLYGON_API_KEY")
