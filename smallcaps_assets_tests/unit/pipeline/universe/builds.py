"""Builds a universe in a lake of a test, and tells which symbols it follows and why not the others."""

from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.universe import UniverseParams
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.universe.universe import UniverseBuilder
from smallcaps_assets.settings.sections import SourceParams
from smallcaps_assets_tests.conftest import Gate
from smallcaps_assets_tests.listings import DETAILS_OF
from smallcaps_assets_tests.scenarios import default_settings

DAY = date(2025, 12, 1)
TICKERS = "/v3/reference/tickers"


def builder(
    lake: Lake, client: MarketDataClient, log: list[str] | None = None, seed: int = 7, **changes: Any
) -> UniverseBuilder:
    source = default_settings().source.model_dump()
    source["embedded"] |= {"seed": seed}
    params = UniverseParams.model_validate(default_settings().universe.model_dump() | changes)
    return UniverseBuilder(
        store=UniverseStore(lake),
        client=client,
        params=params,
        source=SourceParams.model_validate(source),
        file=lake.root.parent / params.file if params.file else None,
        first_session=date(2025, 11, 3),
        threads=2,
        log=([] if log is None else log).append,
    )


def made(lake: Lake, client: MarketDataClient, as_of: date = DAY, **changes: Any) -> pl.DataFrame:
    return builder(lake, client, **changes).run(as_of).rows


def reasons_of(universe: pl.DataFrame) -> dict[str, str | None]:
    """Each symbol with the reason why it is not followed, None if it is."""
    assert (universe["active"] == universe["reason"].is_null()).all()
    assert (universe["active"] == universe["excluded_by"].is_null()).all()
    return dict(universe.select("symbol", "reason").iter_rows())


def followed(universe: pl.DataFrame) -> list[str]:
    return universe.filter("active")["symbol"].to_list()


def details_requested(gate: Gate) -> list[str]:
    return sorted(path.removeprefix(DETAILS_OF) for path, _ in gate.requests if path.startswith(DETAILS_OF))
