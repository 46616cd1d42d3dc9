"""The plan of the bars of a lake: what is there counts, what has a file is downloaded, the rest is asked of REST."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.bars.roads import plan_bars, published_by
from smallcaps_assets.settings.settings import Settings
from smallcaps_assets_tests.scenarios import default_settings, new_york
from smallcaps_assets_tests.unit.domain.listings.listing_scenes import listing, market

FRIDAY, MONDAY, TUESDAY = date(2025, 11, 28), date(2025, 12, 1), date(2025, 12, 2)
# Tuesday's session is complete, and has no file before Wednesday 11:00; Monday's has one
NOW = new_york("2025-12-02 22:00")


def settings_of(**source: Any) -> Settings:
    settings = default_settings()
    history = settings.history.model_copy(update={"first_session": FRIDAY, "last_session": None})
    return settings.model_copy(update={"history": history, "source": settings.source.model_copy(update=source)})


def follow(lake: Lake, *symbols: str) -> None:
    rows = [{"symbol": symbol, "active": True, "source": "test"} for symbol in symbols]
    UniverseStore(lake).replace(pl.DataFrame(rows, schema=UNIVERSE), {})


def test_a_file_is_published_at_eleven_of_the_next_day() -> None:
    assert not published_by(FRIDAY, new_york("2025-11-29 10:59"))
    assert published_by(FRIDAY, new_york("2025-11-29 11:00"))
    assert not published_by(date(2003, 9, 9), NOW)


def test_the_sessions_that_the_lake_lacks(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    follow(lake, "A", "B")
    minutes = [new_york("2025-11-28 10:00"), new_york("2025-11-28 10:01")]
    values = {name: [1.0, 1.0] for name in ("open", "high", "low", "close", "vwap", "volume")}
    bars = pl.DataFrame({"symbol": ["A", "A"], "timestamp": minutes, **values, "transactions": [1, 1]}).cast(dict(BARS))
    BarsStore(lake).add("A", FRIDAY.replace(day=1), [FRIDAY], bars.select(*BARS), QUARANTINED_BARS.to_frame())
    plan = plan_bars(lake, settings_of(requests_per_minute=1.0), NOW)
    # A lacks Monday and Tuesday, B all three: 5; A one month, B two months: 3 requests, 3 minutes
    assert (plan.symbols, plan.symbols_from, plan.sessions, plan.missing) == (2, "lake", 3, 5)
    assert (plan.assumed.bars_per_session, plan.measured_bars) == (2.0, True)
    assert (plan.rest.requests, plan.rest.hours) == (3, 3 / 60)
    # November and December are listed, the files of Friday and Monday downloaded, A and B of Tuesday asked of REST
    assert (plan.files.requests, plan.files.files, plan.files.rest_requests) == (2 + 2 + 2, 2, 2)
    assert plan.files.download_bytes == 2 * 28e6 + 2 * 2 * 20
    assert (plan.files_published, plan.files_listed, plan.newest_file) == (2, False, None)


def test_sessions_on_which_a_symbol_is_listed_under_no_security_are_not_missing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    follow(lake, "A", "B")
    # A began on Monday
    tables = market(listing("A", "2025-12-01"), listing("B", "2025-11-03", from_is_exact=False))
    known = {"first": "2025-11-03", "last": "2025-12-02", "delisted_since": "2025-11-03", "doubtful": []}
    ListingStore(lake).publish(tables.listings, tables.facts, known)
    plan = plan_bars(lake, settings_of(), NOW)
    # A lacks Monday and Tuesday, B Friday as well: one and two months
    assert (plan.missing, plan.rest.requests) == (5, 3)


@pytest.mark.parametrize(
    ("symbols", "source", "expected"),
    [
        (7, {}, (7, "flag")),
        (None, {}, (13, "settings")),  # the simulated market has twelve companies and DRILL
        (None, {"kind": "vendor"}, (2_000, "assumed")),
    ],
)
def test_before_a_lake_or_a_key_exists(
    tmp_path: Path, symbols: int | None, source: dict[str, Any], expected: tuple[int, str]
) -> None:
    plan = plan_bars(Lake(tmp_path / "none"), settings_of(**source), NOW, symbols=symbols)
    assert (plan.symbols, plan.symbols_from) == expected
    assert plan.missing == 3 * expected[0]
    assert (plan.rest.requests, plan.files.files, plan.measured_bars) == (2 * expected[0], 2, False)


def test_before_the_first_session_is_complete_nothing_is_missing(tmp_path: Path) -> None:
    plan = plan_bars(Lake(tmp_path), settings_of(), datetime.fromisoformat("2025-11-28T12:00:00+00:00"))
    assert (plan.sessions, plan.missing, plan.rest.requests, plan.files.requests) == (0, 0, 0, 0)
