"""Trades of another profile serve only where it is known how they came into the lake."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets_tests.conftest import trades_at
from smallcaps_assets_tests.scenarios import default_settings

START = datetime(2025, 11, 5, 15, tzinfo=UTC)
SPAN = Span("AEMD", "RTH", START, START + timedelta(minutes=10), ("event",))
FETCHED = {"fetched_at": "2025-11-06T12:00:00+00:00", "adopted_from": []}
IMPORTED = {"fetched_at": None, "adopted_from": ["old/AEMD.parquet"]}
UNKNOWN = {"fetched_at": None, "adopted_from": []}


@pytest.mark.parametrize(("origin", "serves"), [(FETCHED, True), (IMPORTED, True), (UNKNOWN, False), ({}, False)])
def test_trades_without_an_origin_are_not_taken_from_another_profile(
    lake: Lake, origin: dict[str, Any], *, serves: bool
) -> None:
    profiles = default_settings().profiles
    other, ours = TapeStore(lake, "plus", profiles["plus"]), TapeStore(lake, "core", profiles["core"])
    rows = trades_at(START).select(*other.schema("trades"))
    path = other.publish("trades", SPAN, rows, {"requests": 1, **origin})
    found = ours.published_in_other_profiles(["AEMD"])
    assert found["path"].to_list() == ([str(path)] if serves else [])
