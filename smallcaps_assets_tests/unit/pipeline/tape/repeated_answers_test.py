"""An answer with ticks that gives all of its rows twice is the same tape."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate

START, END = datetime(2025, 11, 26, 15, tzinfo=UTC), datetime(2025, 11, 26, 15, 10, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["trades", "quotes"])
@pytest.mark.parametrize("order", [1, -1], ids=["again", "again, backwards"])
def test_rows_that_an_answer_repeats_count_once(
    kind: TapeKind,
    order: int,
    client: MarketDataClient,
    gate: Gate,
) -> None:
    download = client.trades if kind == "trades" else client.quotes
    once = download("AVLO", START, END).frame
    assert once.height > 10

    def twice(path: str, query: Mapping[str, str]) -> Reply:
        reply = gate.exchange.reply(path, query, {"Authorization": "Bearer key"})
        body = json.loads(reply.body)
        body["results"] += body["results"][::order]
        return Reply(200, {}, json.dumps(body).encode())

    gate.rule = twice
    found = download("AVLO", START, END)
    assert found.frame.equals(once)
    assert found.repeats == once.height
