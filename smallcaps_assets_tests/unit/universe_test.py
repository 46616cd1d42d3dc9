"""Which symbols are followed, and what is kept of those that are not any more."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.errors import InputError, RequestRefused
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UNIVERSE, UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.source import identity, require_same_source
from smallcaps_assets.pipeline.universe import UniverseBuilder
from smallcaps_assets.settings import SourceParams, UniverseParams, load_settings
from smallcaps_assets_tests.conftest import Gate, files_below, refusal
from smallcaps_assets_tests.scenarios import default_settings

DAY = date(2025, 12, 1)


def builder(
    lake: Lake, client: MarketDataClient, log: list[str] | None = None, seed: int = 7, **changes: Any
) -> UniverseBuilder:
    source = default_settings().source.model_dump()
    source["embedded"] |= {"seed": seed}
    return UniverseBuilder(
        UniverseStore(lake),
        client,
        UniverseParams.model_validate(default_settings().universe.model_dump() | changes),
        SourceParams.model_validate(source),
        ([] if log is None else log).append,
    )


def test_the_vendors_list_with_reference_data(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = builder(lake, client).run(DAY)
    assert universe.schema == UNIVERSE
    assert universe["symbol"].to_list() == sorted(gate.exchange._market.symbols())
    assert universe["active"].all()
    assert universe["ticker_type"].unique().to_list() == ["CS"]
    assert universe["float_shares"].drop_nulls().len() > 0
    assert universe["short_interest_shares"].drop_nulls().len() > 0
    assert UniverseStore(lake).read().equals(universe)
    (listing,) = [query for path, query in gate.asked if path == "/v3/reference/tickers"]
    assert listing["type"] == "CS"


def test_the_same_question_is_asked_once(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = builder(lake, client).run(DAY)
    before = files_below(lake.root)
    gate.asked.clear()
    assert builder(lake, client).run(DAY).equals(universe)
    assert gate.asked == []
    assert files_below(lake.root) == before
    builder(lake, client).run(date(2025, 12, 2))
    assert gate.asked


def test_symbols_that_are_named_need_no_list(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = builder(lake, client, symbols=["CRVO", "AVLO", "CRVO"], reference_data=False).run(DAY)
    assert gate.asked == []
    assert universe["symbol"].to_list() == ["AVLO", "CRVO"]
    assert universe["float_shares"].null_count() == 2


def test_a_symbol_that_left_stays_inactive_with_the_reason_and_may_come_back(
    lake: Lake, client: MarketDataClient
) -> None:
    builder(lake, client, symbols=["AVLO", "CRVO"]).run(DAY)
    left = builder(lake, client, symbols=["AVLO"]).run(DAY)
    assert left.select("symbol", "active").rows() == [("AVLO", True), ("CRVO", False)]
    assert left["reason"].to_list() == [None, "no longer listed or no longer asked for"]
    back = builder(lake, client, symbols=["CRVO"]).run(DAY)
    assert back.select("symbol", "active").rows() == [("AVLO", False), ("CRVO", True)]
    assert back["reason"][1] is None


def test_data_of_another_source_does_not_enter(lake: Lake, client: MarketDataClient) -> None:
    builder(lake, client).run(DAY)
    before = files_below(lake.root)
    with pytest.raises(InputError, match=r"holds data of another source .*seed 7, not simulated market, seed 8"):
        builder(lake, client, seed=8).run(DAY)
    assert files_below(lake.root) == before


def test_symbols_that_differ_only_in_case_are_refused(lake: Lake, client: MarketDataClient) -> None:
    with pytest.raises(InputError, match="KIMPL, KIMpL differ only in case"):
        builder(lake, client, symbols=["KIMpL", "KIMPL"], reference_data=False).run(DAY)
    assert not files_below(lake.root)


def test_no_symbol_at_all_is_refused(lake: Lake, client: MarketDataClient) -> None:
    with pytest.raises(InputError, match="no usable symbol"):
        builder(lake, client, ticker_types=["WARRANT"]).run(DAY)


def test_a_plan_without_reference_data_leaves_it_unknown_and_says_so(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    gate.rule = lambda path, query: refusal(403) if path.startswith("/stocks/") else None  # noqa: ARG005
    log: list[str] = []
    universe = builder(lake, client, log).run(DAY)
    assert universe.height == 4
    assert universe.select("float_shares", "short_interest_shares", "days_to_cover").null_count().row(0) == (4, 4, 4)
    assert "count as unknown" in log[0]


def test_what_the_plan_has_is_known_also_where_the_other_is_not_in_it(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    whole = builder(Lake(lake.root.with_name("whole")), client).run(DAY)
    gate.rule = lambda path, query: refusal(403) if path.endswith("/short-interest") else None  # noqa: ARG005
    without_short = builder(Lake(lake.root.with_name("a")), client).run(DAY)
    assert without_short["float_shares"].to_list() == whole["float_shares"].to_list()
    assert without_short["days_to_cover"].null_count() == 4
    gate.rule = lambda path, query: refusal(403) if path.endswith("/float") else None  # noqa: ARG005
    without_float = builder(Lake(lake.root.with_name("b")), client).run(DAY)
    assert without_float["float_shares"].null_count() == 4
    assert without_float["days_to_cover"].to_list() == whole["days_to_cover"].to_list()


def test_a_list_that_cannot_be_had_changes_nothing(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    builder(lake, client).run(DAY)
    before = files_below(lake.root)
    gate.rule = lambda path, query: refusal(400)  # noqa: ARG005
    with pytest.raises(RequestRefused):
        builder(lake, client).run(date(2025, 12, 2))
    assert files_below(lake.root) == before


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
def test_data_of_different_sources_never_meet_in_a_lake(tmp_path: Path, changes: dict[str, Any], same: bool) -> None:
    store = UniverseStore(Lake(tmp_path))
    own = load_settings(overrides={"source": {"embedded": {"seed": 7}}}).source
    store.replace(UNIVERSE.to_frame(), {"as_of": "", "settings": "", "source": identity(own)})
    other = load_settings(overrides={"source": changes}).source
    if same:
        require_same_source(store, other)
    else:
        with pytest.raises(InputError, match="holds data of another source"):
            require_same_source(store, other)


def test_the_vendor_is_one_under_both_its_names_and_no_other() -> None:
    def named(url: str) -> str:
        return identity(load_settings(overrides={"source": {"kind": "vendor", "base_url": url}}).source)

    assert named("https://api.massive.com") == named("https://api.polygon.io")
    assert named("https://api.massive.com") != named("http://127.0.0.1:8900")
