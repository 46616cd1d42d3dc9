"""A real browser without a window, for the tests that need one."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from smallcaps_assets_tests.browser.web_ui import BROWSER_FLAGS, find_browser


@pytest.fixture(scope="module")
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
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.set_default_timeout(30_000)
    yield opened
    opened.close()
