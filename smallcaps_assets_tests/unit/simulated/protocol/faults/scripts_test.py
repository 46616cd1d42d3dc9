"""Scripts of faults: how they are read, and which requests they strike."""

import json
from argparse import Namespace
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from smallcaps_assets.commands import exchange as command
from smallcaps_assets.errors import InputError
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.faults import FAULT_KINDS, SECONDS, Fault, FaultyExchange, fault_script
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at
from smallcaps_assets_tests.unit.simulated.protocol.faults.asked import (
    FIRST_STRUCK,
    KEY,
    STATUS,
    TICKERS,
    TRADES,
    always,
    statuses,
)


def test_a_script_is_read():
    script = fault_script(
        '[{"fault": "429_retry_after", "rate": 0.5, "path": "/v3/", "seconds": 2},'
        ' {"fault": "reset", "requests": [3, 7]}, {"fault": "drip", "rate": 0}]'
    )
    assert script == (
        Fault("429_retry_after", rate=0.5, path="/v3/", seconds=2.0),
        Fault("reset", requests=(3, 7)),
        Fault("drip"),
    )
    assert [str(fault) for fault in script] == [
        "429_retry_after (2 s) at rate 0.5 of /v3/",
        "reset at request 3, 7",
        "drip (10 s) never",
    ]
    assert fault_script("[]") == ()


def test_every_kind_can_be_scripted():
    for kind in FAULT_KINDS:
        rule = {"fault": kind, "rate": 1} | ({"seconds": 0.5} if kind in SECONDS else {})
        assert fault_script(json.dumps([rule])) == (always(kind, seconds=rule.get("seconds")),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", ["not usable JSON", "list such as"]),
        ("[" * 100_000, ["not usable JSON"]),
        ('{"fault": "500"}', ["{'fault': '500'}", "Give a list"]),
        ('[{"fault": "500", "rate": 1}, 7]', ["rule 2 of 2", "7", "object"]),
        ('[{"fault": "teapot", "rate": 1}]', ["rule 1 of 1", "`fault`", "'teapot'", "'429'"]),
        ('[{"fault": 429, "rate": 1}]', ["`fault`", "429"]),
        ('[{"fault": ["429"], "rate": 1}]', ["`fault`", "['429']"]),
        ('[{"rate": 1}]', ["`fault`", "None"]),
        ('[{"fault": "500", "rat": 1}]', ["`rat`", "fault, rate, requests, path, seconds"]),
        ('[{"fault": "500"}]', ["`rate`", "never applies"]),
        ('[{"fault": "500", "rate": 1.5}]', ["`rate`", "1.5", "0 to 1"]),
        ('[{"fault": "500", "rate": NaN}]', ["NaN is no number of JSON"]),
        ('[{"fault": "500", "rate": true}]', ["`rate`", "True"]),
        ('[{"fault": "500", "rate": "1"}]', ["`rate`", "'1'"]),
        ('[{"fault": "500", "requests": 3}]', ["`requests`", "3", "from 1"]),
        ('[{"fault": "500", "requests": [0]}]', ["`requests`", "[0]"]),
        ('[{"fault": "500", "requests": [1.0]}]', ["`requests`", "[1.0]"]),
        ('[{"fault": "500", "requests": [true]}]', ["`requests`", "[True]"]),
        ('[{"fault": "500", "rate": 1, "path": 3}]', ["`path`", "3"]),
        ('[{"fault": "500", "rate": 1, "seconds": 3}]', ["`seconds`", "leave it out"]),
        ('[{"fault": "drip", "rate": 1, "seconds": -1}]', ["`seconds`", "-1"]),
        ('[{"fault": "drip", "rate": 1, "seconds": Infinity}]', ["Infinity is no number of JSON"]),
        ('[{"fault": "drip", "rate": 1, "seconds": null}]', ["`seconds`", "None"]),
    ],
)
def test_a_wrong_script_is_named(text, words):
    with pytest.raises(InputError) as caught:
        fault_script(text)
    for word in words:
        assert word in str(caught.value)


def test_the_command_names_a_file_it_cannot_use(tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text('[{"fault": "teapot"}]')
    for given, words in ((tmp_path / "none.json", "cannot read"), (tmp_path, "cannot read"), (wrong, "'teapot'")):
        with pytest.raises(InputError, match=words) as caught:
            command.run(Namespace(faults=str(given)))
        assert str(given) in str(caught.value)
    with pytest.raises(InputError, match="'teapot'"):
        command.run(Namespace(faults=' [{"fault": "teapot"}]'))


def test_rates_are_kept_the_same_way_every_time(exchange):
    script = [Fault("500", rate=0.1), Fault("503", rate=0.1)]
    seen = statuses(exchange, script, 1000)
    assert seen == statuses(exchange, script, 1000)
    assert Counter(seen) == {200: 826, 500: 93, 503: 81}
    assert [number for number, status in enumerate(seen[:60], 1) if status != 200] == FIRST_STRUCK
    other = statuses(exchange, script, 1000, seed=1)
    assert other != seen
    assert Counter(other) == {200: 822, 500: 88, 503: 90}


def test_a_rate_of_one_is_always_and_of_zero_never(exchange):
    assert set(statuses(exchange, [Fault("500"), always("503")], 200)) == {503}


def test_requests_are_counted_from_one_whatever_their_path(exchange):
    script = [Fault("503", requests=(2, 4), path="/v3/"), Fault("500", requests=(3, 4))]
    faulty = FaultyExchange(exchange, script)
    paths = [STATUS, STATUS, STATUS, "/v3/nothing", STATUS]
    assert [faulty.reply(path, {}, KEY).status for path in paths] == [200, 200, 500, 503, 200]
    assert faulty.counts() == {"500": 1, "503": 1}


def test_a_path_is_matched_decoded(exchange):
    faulty = FaultyExchange(exchange, [always("500", path="/AVLO")])
    assert faulty.reply("/v3/trades/%41VLO", {"limit": "1"}, KEY).status == 500
    assert faulty.reply("/v3/trades/BNRX", {"limit": "1"}, KEY).status == 200


def test_threads_share_one_count(exchange):
    script = [Fault("500", rate=0.3)]
    alone = statuses(exchange, script, 400)
    faulty = FaultyExchange(exchange, script)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: faulty.reply(STATUS, {}, KEY).status, range(400)))
    assert Counter(together) == Counter(alone)
    assert faulty.counts() == {"500": alone.count(500)}


def test_an_empty_script_changes_nothing(small_market):
    plain, faulty = (Exchange(small_market, clock=at(LATER)) for _ in range(2))
    faulty = FaultyExchange(faulty, [])
    for path, query in ((TRADES, {"limit": "10"}), (TICKERS, {}), ("/v9", {}), (TRADES, {"cursor": "###"})):
        assert faulty.reply(path, query, KEY) == plain.reply(path, query, KEY)
