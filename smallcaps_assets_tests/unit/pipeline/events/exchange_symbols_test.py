"""Shards of exchanges' test symbols have no events, unless the symbols are asked for."""

from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.symbols import ExchangeTestSymbols
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.domain.universe import LISTED, SOURCE_REJECTION, UNIVERSE, judge_listings
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.events.checks import publishable_master
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

DAYS = sessions_between(date(2025, 11, 3), date(2025, 11, 12))
BARS = lively_bars(5, 1, DAYS).filter(DAY.is_in(DAYS))
NAMES = ("AEMD", "ZVZZT")
NO_REFERENCE = REFERENCE.to_frame()


@pytest.fixture
def stored(lake: Lake) -> Lake:
    """A lake with the same bars of a company and of a test symbol."""
    for name in NAMES:
        bars = BARS.with_columns(symbol=pl.lit(name))
        BarsStore(lake).add(name, date(2025, 11, 1), DAYS, bars, QUARANTINED_BARS.to_frame())
    return lake


def detector(lake: Lake, *wanted: str, patterns: tuple[str, ...] = ("Z?ZZT",)) -> Detector:
    settings, tests = default_settings(), ExchangeTestSymbols(patterns, frozenset(wanted))
    return Detector(BarsStore(lake), ShardStore(lake), settings.detection, settings.sessions, NO_REFERENCE, tests)


def run(lake: Lake, *wanted: str, patterns: tuple[str, ...] = ("Z?ZZT",)) -> dict[str, Outcome]:
    outcomes = detector(lake, *wanted, patterns=patterns).run(NAMES)
    return {outcome.partition[0]: outcome for outcome in outcomes}


def test_no_events_are_made_of_them_and_their_number_is_reported(stored: Lake) -> None:
    found = run(stored)
    events = ShardStore(stored).scan().collect()
    assert events["symbol"].unique().to_list() == ["AEMD"]
    assert found["AEMD"].figures["events"] == events.height > 5
    assert found["ZVZZT"].figures["events"] == 0
    assert found["ZVZZT"].figures["events_of_test_symbol_left_out"] == events.height
    assert "events_of_test_symbol_left_out" not in found["AEMD"].figures
    before = files_below(stored.root)
    assert {outcome.figures["sessions_detected"] for outcome in run(stored).values()} == {0}
    assert files_below(stored.root) == before


def test_those_asked_for_have_events(stored: Lake) -> None:
    run(stored, "ZVZZT")
    by_symbol = ShardStore(stored).scan().collect().partition_by("symbol", as_dict=True)
    same = ["timestamp", "event_type", "direction", "score"]
    assert_frame_equal(by_symbol["ZVZZT",].select(same), by_symbol["AEMD",].select(same))


def test_shards_that_have_their_events_are_emptied_and_stay_out_of_master(stored: Lake) -> None:
    run(stored, patterns=())
    settings = load_settings(overrides={})
    assert ShardStore(stored).scan().collect()["symbol"].n_unique() == 2
    assert publishable_master(detector(stored), settings).rows["symbol"].unique().to_list() == ["AEMD"]
    found = run(stored)
    assert found["AEMD"].figures["sessions_detected"] == 0
    assert found["ZVZZT"].figures["sessions_detected"] == len(DAYS)
    assert ShardStore(stored).scan().collect()["symbol"].unique().to_list() == ["AEMD"]


def test_the_universe_follows_none_of_the_vendors_list_but_those_named(lake: Lake) -> None:
    schema = pl.Schema({**LISTED, SOURCE_REJECTION: pl.String()})
    row = {"ticker_type": "CS", "primary_exchange": "XNAS", "market_cap_usd": 1e6}
    listed = pl.DataFrame([dict.fromkeys(schema) | row | {"symbol": name} for name in NAMES], schema=schema)
    params = default_settings().universe
    of_list = judge_listings(listed, params, DAYS[0])
    assert of_list.select("symbol", "excluded_by", "reason").rows() == [
        ("AEMD", None, None),
        ("ZVZZT", "test_symbol", "test symbol of an exchange"),
    ]
    named = params.model_copy(update={"symbols": ["zvzzt", "AEMD"]})
    assert judge_listings(listed, named, DAYS[0])["active"].all()
    # symbols of the settings are asked for even before there is a universe, those of a universe afterwards
    store = UniverseStore(lake)
    assert "ZVZZT" in store.test_symbols(params)
    assert "ZVZZT" not in store.test_symbols(named)
    universe = of_list.with_columns(active=pl.lit(value=True), first_seen=pl.lit(DAYS[0]), last_seen=pl.lit(DAYS[0]))
    store.replace(universe.match_to_schema(UNIVERSE, extra_columns="ignore"), {})
    assert "ZVZZT" not in store.test_symbols(params)
    assert "ZWZZT" in store.test_symbols(params)
