"""A browser, and the web UI on a separate lake, with a gate in front of its vendor."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect, sync_playwright

from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets_tests.browser.web_ui import BROWSER_FLAGS, AssetPage, find_browser
from smallcaps_assets_tests.conftest import Gate
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.web_server import RUNS_S, WebUI, until

SYMBOLS = 44
# pages poll, and are slow on a busy machine
expect.set_options(timeout=30_000)
HISTORY = {"first_session": "2025-11-19", "last_session": "2025-12-01"}


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = find_browser()
    if executable is None:
        reason = "no Chromium, Chrome or Edge found: install one, or set SMALLCAPS_BROWSER to its executable"
        (pytest.fail if os.environ.get("SMALLCAPS_REQUIRE_BROWSER") == "1" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(BROWSER_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1440, "height": 900}, timezone_id="UTC", locale="en-US")
    opened.set_default_timeout(30_000)
    yield opened
    opened.close()


@dataclass
class Desk:
    """The web UI, the gate that passes all its vendor requests, the market behind the gate, and settings."""

    ui: WebUI
    gate: Gate
    market: SimulatedMarket
    config: Path

    def change_settings(self, page: Page, **sections: Mapping[str, Any]) -> None:
        """Write other settings, and reload them in the web UI by a click."""
        settings = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        for section, values in sections.items():
            settings[section] |= values
        self.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        page.goto(f"{self.ui.url}/deployment/locations")
        before = self.ui.loaded_at()
        page.get_by_role("button").filter(has_text=re.compile("^Reload$")).click()
        # not its notice, which is shown for seconds and only if nothing else reloads meanwhile
        until("the code location is loaded", lambda: self.ui.loaded_at() not in {None, before}, RUNS_S)

    def small_caps(self, session: date, symbols: Sequence[str]) -> list[str]:
        """Those of `symbols` whose true market cap on the day of a session is within the settings."""
        most = yaml.safe_load(self.config.read_text(encoding="utf-8"))["universe"]["max_market_cap_usd"]
        details = [row for symbol in symbols if (row := self.market.details(symbol, session))]
        return [row["ticker"] for row in details if row["market_cap"] <= most]


@pytest.fixture(scope="module")
def desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The web UI on a lake whose `universe` was materialized by a click, so that partitions exist."""
    folder = tmp_path_factory.mktemp("web_ui")
    context = browser.new_context()
    market = SimulatedMarket(seed=7, symbols=SYMBOLS)
    gate = Gate(Exchange(market))
    # its name identifies the processes and the state of this lake
    lake = folder / f"lake-{os.getpid()}-{folder.name}"
    with serve(gate) as server:  # type: ignore[arg-type]
        gate.base_url = server.base_url
        settings = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
        settings["source"] |= {"kind": "vendor", "base_url": gate.base_url, "max_retries": 0}
        settings["history"] |= HISTORY
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        key = {"MASSIVE_API_KEY": "a-key-of-tests"}
        with WebUI.serving(lake, "--config", str(config), environment=key) as ui:
            page = context.new_page()
            AssetPage(page, ui, "universe").materialize()
            until("universe is there", lambda: ui.last_run() == "SUCCESS", RUNS_S)
            page.close()
            yield Desk(ui, gate, market, config)
    context.close()
