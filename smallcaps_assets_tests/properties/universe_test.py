"""Properties of the universe for any vendor list and any filters."""

from datetime import date
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.universe import (
    LISTED,
    SOURCE_REJECTION,
    UniverseParams,
    judge_listings,
    measure_composition,
)
from smallcaps_assets_tests.scenarios import default_settings

FIRST_SESSION = date(2025, 1, 2)
maybe = st.none()
rows = st.fixed_dictionaries(
    {
        "symbol": st.text("ABcN.|", min_size=1, max_size=4) | st.sampled_from(["CON", "AUX.A"]),
        "ticker_type": maybe | st.sampled_from(["CS", "ETF", "ADRC"]),
        "primary_exchange": maybe | st.sampled_from(["XNAS", "XNYS", "LTSE"]),
        "market_cap_usd": maybe | st.sampled_from([1e6, 2e9, 2.1e9, 1e10, 3e12]),
        "price_usd": maybe | st.sampled_from([0.5, 1.0, 7.0, 100.0]),
        "delisted": maybe | st.sampled_from([date(2024, 12, 31), FIRST_SESSION, date(2025, 6, 2)]),
        SOURCE_REJECTION: maybe | st.just("inactive"),
    }
)
listings = st.lists(rows, max_size=12, unique_by=lambda row: str(row["symbol"]))
filters = st.fixed_dictionaries(
    {
        "ticker_types": maybe | st.just(["CS"]),
        "exchanges": maybe | st.just(["XNAS", "XNYS"]),
        "min_price_usd": maybe | st.just(1.0),
        "max_price_usd": maybe | st.just(50.0),
        "max_market_cap_usd": maybe | st.just(2e9),
        "unknown_market_cap": st.sampled_from(["pass", "exclude"]),
    }
)


def listed(found: list[dict[str, Any]]) -> pl.DataFrame:
    schema = pl.Schema({**LISTED, SOURCE_REJECTION: pl.String()})
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in found], schema=schema)


def params(changes: dict[str, Any]) -> UniverseParams:
    return UniverseParams.model_validate(default_settings().universe.model_dump() | changes)


@given(found=listings, changes=filters)
def test_every_symbol_is_followed_or_has_a_reason(found: list[dict[str, Any]], changes: dict[str, Any]) -> None:
    universe = judge_listings(listed(found), params(changes), FIRST_SESSION)
    assert universe["symbol"].to_list() == [row["symbol"] for row in found]
    for row in universe.to_dicts():
        assert row["active"] == (row["reason"] is None) == (row["excluded_by"] is None)
        if row["active"]:
            cap, most = row["market_cap_usd"], changes["max_market_cap_usd"]
            assert row[SOURCE_REJECTION] is None
            assert row["ticker_type"] in (changes["ticker_types"] or [row["ticker_type"]])
            assert row["primary_exchange"] in (changes["exchanges"] or [row["primary_exchange"]])
            assert most is None or (changes["unknown_market_cap"] == "pass" if cap is None else cap <= most)
            assert row["delisted"] is None or row["delisted"] >= FIRST_SESSION


@given(found=listings, changes=filters, data=st.data())
def test_order_of_the_list_does_not_matter(
    found: list[dict[str, Any]], changes: dict[str, Any], data: st.DataObject
) -> None:
    universe, limits = judge_listings(listed(found), params(changes), FIRST_SESSION), default_settings().universe.limits
    shuffled = judge_listings(listed(data.draw(st.permutations(found))), params(changes), FIRST_SESSION)
    assert shuffled.sort("symbol").equals(universe.sort("symbol"))
    assert measure_composition(shuffled, limits) == measure_composition(universe, limits)


@given(found=listings, changes=filters, name=st.sampled_from(["ticker_types", "exchanges", "max_market_cap_usd"]))
def test_disabling_a_filter_never_removes_a_symbol(
    found: list[dict[str, Any]], changes: dict[str, Any], name: str
) -> None:
    narrow = judge_listings(listed(found), params(changes), FIRST_SESSION).filter("active")["symbol"]
    wide = judge_listings(listed(found), params(changes | {name: None}), FIRST_SESSION).filter("active")["symbol"]
    assert set(narrow) <= set(wide)


@given(found=listings, share=st.floats(0, 1), first=st.integers(1, 12))
def test_universe_exceeds_a_limit_exactly_if_its_share_does(
    found: list[dict[str, Any]], share: float, first: int
) -> None:
    universe = judge_listings(listed(found), params({"symbols": ["A"]}), FIRST_SESSION)
    limits = default_settings().universe.limits.model_copy(
        update={
            "from_symbols": first,
            **dict.fromkeys(("max_large_cap_share", "max_unknown_type_share", "max_unknown_market_cap_share"), share),
        }
    )
    active = universe.filter("active").to_dicts()
    large = [row for row in active if (row["market_cap_usd"] or 0) >= limits.large_cap_usd]
    untyped = [row for row in active if row["ticker_type"] is None]
    unvalued = [row for row in active if row["market_cap_usd"] is None]
    shares = [len(some) / len(active) for some in (large, untyped, unvalued) if active]
    expected = sum(one > share for one in shares) if len(active) >= first else 0
    assert len(measure_composition(universe, limits).problems(limits)) == expected
