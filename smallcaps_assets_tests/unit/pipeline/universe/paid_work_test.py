"""What is checked of a universe before paid work."""

from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.imports import ImportKind, record_import
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.source import require_payable, require_real, require_same_source, source_identity
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.listings import BIG, Listings, ticker
from smallcaps_assets_tests.unit.pipeline.universe.builds import made


def payable(lake: Lake, **limits: Any) -> None:
    changes = {"source": {"embedded": {"seed": 7}}, "universe": {"limits": limits}}
    require_payable(UniverseStore(lake), load_settings(overrides=changes))


def test_paid_work_stops_if_too_many_are_large_caps(lake: Lake, client: MarketDataClient, listings: Listings) -> None:
    symbols = [f"S{number:02}" for number in range(38)]
    listings.rows = [ticker(symbol) for symbol in (*symbols, "AAPL", "MSFT")]
    listings.caps = dict.fromkeys(symbols, 1e9) | {"AAPL": 3.4e12, "MSFT": 3.1e12, "S00": BIG - 1}
    made(lake, client, symbols=[*symbols, "AAPL", "MSFT"])
    payable(lake)  # 2 of 40 is 5 %, which is allowed
    with pytest.raises(InputError) as caught:
        payable(lake, max_large_cap_share=0.04)
    for words in (
        "universe.parquet: 2 of 40 symbols (5.0 %) have a market cap of 10 B and more",
        "universe.limits.max_large_cap_share allows 4 %",
        "such as AAPL (3400 B), MSFT (3100 B). No request was sent",
        "materialize universe again",
    ):
        assert words in str(caught.value)
    payable(lake, max_large_cap_share=0.04, from_symbols=41)
    with pytest.raises(InputError, match=r"3 of 40 symbols \(7\.5 %\)"):
        payable(lake, large_cap_usd=BIG - 1)


def test_paid_work_stops_if_too_many_are_of_unknown_type(lake: Lake, client: MarketDataClient) -> None:
    symbols = [f"S{number:02}" for number in range(20)]
    made(lake, client, symbols=symbols, reference_data=False)
    with pytest.raises(InputError, match=r"20 of 20 symbols \(100\.0 %\) are of unknown type.*such as S00, S01, S02"):
        payable(lake)
    payable(lake, max_unknown_type_share=1.0, max_unknown_market_cap_share=1.0)
    made(lake, client, symbols=symbols[:19], reference_data=False)
    payable(lake)  # too few to judge; S19 left and no longer counts


def test_paid_work_stops_if_too_many_market_caps_are_unknown(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    symbols = [f"S{number:02}" for number in range(20)]
    listings.rows = [ticker(symbol) for symbol in symbols]
    listings.caps = dict.fromkeys(symbols[:10], 1e9)
    made(lake, client)
    payable(lake)  # 10 of 20 is 50 %, which is allowed
    with pytest.raises(InputError, match=r"10 of 20 symbols \(50\.0 %\) are of unknown market cap.*such as S10, S11"):
        payable(lake, max_unknown_market_cap_share=0.49)
    made(lake, client, max_market_cap_usd=None)
    remedy = r"20 of 20 .*max_unknown_market_cap_share allows 50 %.*universe\.max_market_cap_usd.*universe\.file"
    with pytest.raises(InputError, match=remedy):
        payable(lake)
    payable(lake, from_symbols=21)


def test_a_lake_without_a_universe_is_not_judged(lake: Lake) -> None:
    payable(lake)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"embedded": {"symbols": 99}}, True),
        ({"embedded": {"seed": 8}}, False),
        ({"embedded": {"replay": "somewhere"}}, False),
        ({"kind": "vendor"}, False),
    ],
)
def test_data_of_different_sources_are_never_mixed_in_a_lake(
    tmp_path: Path, changes: dict[str, Any], same: bool
) -> None:
    store = UniverseStore(Lake(tmp_path))
    source = load_settings(overrides={"source": {"embedded": {"seed": 7}}}).source
    store.replace(UNIVERSE.to_frame(), {"as_of": "", "settings": "", "source": source_identity(source)})
    other = load_settings(overrides={"source": changes}).source
    if same:
        require_same_source(store, other)
    else:
        with pytest.raises(InputError, match="holds data of another source"):
            require_same_source(store, other)


@pytest.mark.parametrize(
    ("changes", "rejected"),
    [({}, True), ({"embedded": {"replay": "somewhere"}}, False), ({"kind": "vendor"}, False)],
)
def test_imported_data_are_never_mixed_with_a_simulated_market(
    tmp_path: Path, changes: dict[str, Any], rejected: bool
) -> None:
    store = UniverseStore(Lake(tmp_path))
    kinds: list[ImportKind] = ["windows", "bars", "bars"]
    for kind in kinds:
        record_import(store.lake, kind)
    source = load_settings(overrides={"source": changes}).source
    require_real(store, source, "events")
    if rejected:
        with pytest.raises(InputError, match="imported bars, windows of a real market, not simulated market, seed"):
            require_same_source(store, source)
    else:
        require_same_source(store, source)


def test_both_domains_of_the_vendor_are_the_same_source() -> None:
    def named(url: str) -> str:
        return source_identity(load_settings(overrides={"source": {"kind": "vendor", "base_url": url}}).source)

    assert named("https://api.massive.com") == named("https://api.polygon.io")
    assert named("https://api.massive.com") != named("http://127.0.0.1:8900")
