"""Rows as they are given later: moved, added, impossible."""

import json

import pytest

from smallcaps_assets.simulated.protocol.faults import FaultyExchange
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.unit.simulated.protocol.faults.asked import (
    BARS,
    DAY,
    KEY,
    QUOTES,
    TRADES,
    always,
    flat,
    follow,
    get,
    order_of,
)


def republished(exchange, path, seed=0, **query):
    faulty = FaultyExchange(exchange, [always("republish")], seed)
    reply = faulty.reply(path, {name: str(value) for name, value in query.items()}, KEY)
    rows = json.loads(reply.body)["results"]
    assert reply.headers["X-Item-Count"] == str(len(rows))
    assert faulty.counts() == {"republish": 1}
    return rows


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("path", [TRADES, QUOTES])
def test_republished_rows_keep_their_order(exchange, path, order):
    query = {"timestamp": "2025-11-13", "order": order, "limit": 50_000}
    plain = get(exchange, path, **query)["results"]
    rows = republished(exchange, path, **query)
    places = order_of(rows)
    assert places == sorted(places, reverse=order == "desc")
    assert len(set(places)) == len(places)
    before = dict(zip(order_of(plain), plain, strict=True))
    after = dict(zip(places, rows, strict=True))
    added = after.keys() - before.keys()
    changed = [place for place in after.keys() & before.keys() if after[place] != before[place]]
    assert len(before.keys() - after.keys()) == pytest.approx(len(plain) / 40, rel=0.25)
    assert len(added) == pytest.approx(len(plain) / 40, rel=0.25)
    assert len(changed) == pytest.approx(len(plain) / 20, rel=0.25)
    assert len({row["sequence_number"] for row in rows}) == len(rows)
    for place in changed:
        differing = {name for name in after[place] if after[place][name] != before[place].get(name)}
        if path == TRADES:
            assert differing == {"correction"}
            assert after[place]["correction"] == 1
        else:
            assert differing in ({"bid_size"}, {"ask_size"})
    if path == TRADES:
        assert len({row["id"] for row in rows}) == len(rows)


def test_the_same_rows_are_republished_the_same_way(exchange):
    query = {**DAY, "limit": 2000}
    rows = republished(exchange, TRADES, **query)
    assert rows == republished(exchange, TRADES, **query)
    assert rows != republished(exchange, TRADES, seed=1, **query)


def test_pages_are_republished_each_by_itself(exchange):
    faulty = FaultyExchange(exchange, [always("republish")])
    pages = follow(faulty, TRADES, **DAY, limit=500)
    places = order_of(flat(pages))
    assert len(pages) > 3
    assert places == sorted(set(places))


def test_a_row_is_added_wherever_there_is_room_and_nowhere_else():
    class Fixed:
        def __init__(self, places):
            self.rows = [
                {"id": str(number), "price": 1.0, "sip_timestamp": when, "sequence_number": sequence}
                for number, (when, sequence) in enumerate(places)
            ]

        def reply(self, *_):
            return Reply(200, {}, json.dumps({"results": self.rows}).encode())

    def added(places):
        rows = get(FaultyExchange(Fixed(places), [always("republish")]), TRADES)["results"]
        assert order_of(rows) == sorted(set(order_of(rows)))
        return [row for row in rows if row["id"].endswith("R")]

    assert len(added([(1000 * number, number) for number in range(2000)])) > 20
    assert len(added([(7, 2 * number) for number in range(2000)])) > 20
    assert added([(7, number) for number in range(2000)]) == []
    assert added([(number, 2 * number) for number in range(2000)]) == []


@pytest.mark.parametrize(("path", "name"), [(TRADES, "price"), (QUOTES, "bid_price")])
def test_impossible_rows_differ_in_one_price_only(exchange, path, name):
    query = {"limit": 9}
    rows = get(exchange, path, **query)["results"]
    spoiled = [{**row, name: -1} for row in rows]
    assert get(FaultyExchange(exchange, [always("impossible")]), path, **query)["results"] == spoiled
    one = get(FaultyExchange(exchange, [always("bad_row")]), path, **query)["results"]
    assert one == [*rows[:4], spoiled[4], *rows[5:]]
    bars = get(FaultyExchange(exchange, [always("impossible")]), BARS)["results"]
    assert bars == get(exchange, BARS)["results"]
