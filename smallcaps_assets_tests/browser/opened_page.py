"""A review sheet or the page of an event, opened in a browser without a network."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from smallcaps_assets_tests.review_scenes import MANIFEST_ID


@dataclass
class Opened:
    """A sheet on a page of a browser that has no network, and its requests and console messages."""

    page: Page
    file: Path
    requests: list[str]
    messages: list[str]

    def show(self, row: dict[str, Any]) -> None:
        """Choose an event in the list."""
        self.page.locator("#list li").filter(has_text=row["symbol"]).click()
        expect(self.page.locator("#event-id")).to_have_text(row["event_id"])

    def expect_count(self, words: str) -> None:
        expect(self.page.locator("#count")).to_have_text(words)

    def export(self, path: Path) -> dict[str, Any]:
        """Press the export button; the saved file, as JSON."""
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name="Export labels").click()
        assert download.value.suggested_filename == f"{MANIFEST_ID}_labels.json"
        download.value.save_as(path)
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document


def opened(browser: Browser, file: Path, script: str | None = None) -> Iterator[Opened]:
    context = browser.new_context(offline=True, viewport={"width": 1400, "height": 860})
    if script:
        context.add_init_script(script)
    page = context.new_page()
    page.set_default_timeout(15_000)
    sheet = Opened(page, file, [], [])
    page.on("request", lambda request: sheet.requests.append(request.url))
    page.on("pageerror", lambda error: sheet.messages.append(str(error)))
    page.on("console", lambda message: sheet.messages.append(message.text))
    page.goto(file.as_uri())
    yield sheet
    # a reload requests the page again; nothing else is requested
    assert {url for url in sheet.requests if not url.startswith("blob:")} == {file.as_uri()}
    assert not sheet.messages
    context.close()
