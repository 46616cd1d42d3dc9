"""Whether the symbol of an event was in the universe on its date, worked out by hand and by a slow rule."""

import random
from datetime import date, timedelta
from typing import Any

import pytest

from smallcaps_assets.domain.listings.as_of import (
    EVENT_LISTINGS,
    KnownListings,
    days_of_shares,
    judge_events,
    undecided_days,
)
from smallcaps_assets.domain.universe import UniverseParams
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.listings.listing_scenes import events, listing, market

PARAMS = default_settings().universe
Verdict = tuple[bool | None, str | None, str | None]


def params(**changes: Any) -> UniverseParams:
    return PARAMS.model_copy(update=changes)


def verdicts(known: KnownListings, *rows: tuple[str, str, float], **changes: Any) -> list[Verdict]:
    judged = judge_events(events(*rows), known, params(**changes))
    assert judged.schema == EVENT_LISTINGS
    return judged.select("in_universe_at_event", "excluded_by", "unknown").rows()


IN: Verdict = (True, None, None)


def out(by: str) -> Verdict:
    return (False, by, None)


def unknown(what: str) -> Verdict:
    return (None, None, what)


def test_a_company_that_grows_is_in_the_universe_until_it_is_large() -> None:
    # 100 M shares: 2 B dollars, the shipped limit, are 20 dollars a share; from April on 200 M: 10 dollars
    shares = [("GROW", "2025-01-02", 100e6), ("GROW", "2025-04-01", 200e6)]
    known = market(listing("GROW", "2024-01-02"), shares=shares)
    rows = [("GROW", "2025-03-03", 20.0), ("GROW", "2025-03-31", 20.01), ("GROW", "2025-04-01", 10.0)]
    assert verdicts(known, *rows, ("GROW", "2025-04-01", 10.01)) == [IN, out("market_cap"), IN, out("market_cap")]
    judged = judge_events(events(*rows), known, PARAMS)
    assert judged["market_cap_at_event"].to_list() == [2e9, 20.01 * 100e6, 2e9]
    assert judged["shares_known_on"].to_list() == [date(2025, 1, 2), date(2025, 1, 2), date(2025, 4, 1)]
    # before the first day of which shares are known, no shares are known
    assert verdicts(known, ("GROW", "2025-01-01", 1.0)) == [unknown("market_cap")]
    assert verdicts(known, ("GROW", "2025-01-01", 1.0), unknown_market_cap="exclude") == [out("market_cap")]
    assert verdicts(known, ("GROW", "2025-01-01", 1.0), max_market_cap_usd=None) == [IN]


def test_a_ticker_counts_for_the_company_that_has_it_on_the_day() -> None:
    old = listing("REUSED", "2024-01-02", "2025-03-14", ticker_type="ETF")
    known = market(old, listing("REUSED", "2025-06-02"), shares=[("REUSED", "2025-01-02", 1e9)])
    days = ["2025-03-14", "2025-03-17", "2025-06-02", "2023-12-29"]
    judged = judge_events(events(*[("REUSED", on, 1.0) for on in days]), known, PARAMS)
    assert judged["listing_id"].to_list() == ["REUSED_20240102", None, "REUSED_20250602", None]
    # between the two, and before the first, nobody has it; the shares of the first say nothing of the second
    assert judged["excluded_by"].to_list() == ["type", "not_listed", None, "not_listed"]
    assert judged["unknown"].to_list() == [None, None, "market_cap", None]


def test_days_of_which_the_listing_is_not_known_pass() -> None:
    known = market(
        listing("A", "2024-01-02", from_is_exact=False),
        listing("B", "2024-01-02", "2024-06-03", to_is_exact=False),
        listing("B", "2024-07-01"),
        listing("C", "2024-01-02", "2024-06-03"),
        listing("C", "2024-07-01", from_is_exact=False),
        listing("D", "2024-01-02", "2024-06-03"),
    )
    rows = [("A", "2023-12-29", 1.0), ("B", "2024-06-10", 1.0), ("C", "2024-06-10", 1.0), ("X", "2024-06-10", 1.0)]
    assert verdicts(known, *rows) == [unknown("listing")] * 4
    assert verdicts(known, ("D", "2024-06-04", 1.0)) == [out("not_listed")]


def test_type_and_exchange_are_those_of_the_day() -> None:
    known = market(
        listing("MOVED", "2024-01-02", primary_exchange="XNAS"),
        facts=[
            ("MOVED_20240102", "2024-01-02", "2024-03-28", "CS", "OTCM"),
            ("MOVED_20240102", "2024-03-29", "2024-09-30", "CS", "XNAS"),
            ("MOVED_20240102", "2024-10-01", None, "ADRC", "XNAS"),
        ],
    )
    found = verdicts(known, *[("MOVED", on, 1.0) for on in ("2024-03-28", "2024-04-01", "2024-10-01")])
    assert found == [out("exchange"), unknown("market_cap"), out("type")]
    assert verdicts(known, ("MOVED", "2024-10-01", 1.0), ticker_types=None, max_market_cap_usd=None) == [IN]


def test_the_price_is_the_close_of_the_event() -> None:
    known = market(listing("A", "2024-01-02"))
    prices = {"min_price_usd": 1.0, "max_price_usd": 20.0, "max_market_cap_usd": None}
    rows = [("A", "2024-02-01", close) for close in (0.99, 1.0, 20.0, 20.01)]
    assert verdicts(known, *rows, **prices) == [out("price"), IN, IN, out("price")]


def test_named_symbols_are_used_as_they_are_and_test_symbols_are_left_out() -> None:
    known = market(listing("A", "2024-01-02", "2024-03-01"), listing("ZVZZT", "2024-01-02"))
    rows = [("A", "2024-06-03", 1e6), ("ZVZZT", "2024-06-03", 1.0)]
    assert verdicts(known, *rows) == [out("not_listed"), out("test_symbol")]
    assert verdicts(known, *rows, symbols=["A", "ZVZZT"]) == [IN, IN]


@pytest.mark.parametrize(
    ("splits", "shares", "expected"),
    [
        # 1 for 10 on 2025-05-15; the number of January still stands in July: 40 M old shares are 4 M new ones
        ([("S", "2025-05-15", 10.0, 1.0)], [40e6, 40e6, 40e6], [40e6, 40e6, 4e6, 4e6]),
        # the filing of July knows the split
        ([("S", "2025-05-15", 10.0, 1.0)], [40e6, 40e6, 4e6], [40e6, 40e6, 4e6, 4e6]),
        # a filing of April, of another number, and two splits: 50 M x 1/10 x 2
        (
            [("S", "2025-05-15", 10.0, 1.0), ("S", "2025-07-01", 1.0, 2.0), ("T", "2025-05-15", 1.0, 2.0)],
            [40e6, 50e6, 50e6],
            [40e6, 50e6, 5e6, 10e6],
        ),
        # what is not known of splits may be anything
        (None, [40e6, 40e6, 40e6], [None] * 4),
    ],
)
def test_splits_since_a_number_was_first_given_are_counted(splits: Any, shares: list[float], expected: Any) -> None:
    given = [("S", f"2025-{month:02}-01", count) for month, count in zip((1, 4, 7), shares, strict=True)]
    known = market(listing("S", "2024-01-02"), shares=given, splits=splits)
    days = ["2025-03-31", "2025-05-14", "2025-05-15", "2025-07-01"]
    judged = judge_events(events(*[("S", on, 2.0) for on in days]), known, PARAMS)
    assert judged["shares_outstanding"].to_list() == expected
    assert judged["market_cap_at_event"].to_list() == [count and 2 * count for count in expected]


def test_shares_are_asked_for_at_both_ends_of_quarters_with_events() -> None:
    known = market(listing("A", "2024-01-02", "2025-02-28"), listing("A", "2025-03-10"), listing("B", "2024-01-02"))
    rows = events(
        ("A", "2025-01-15", 1.0),
        ("A", "2025-02-03", 1.0),
        ("A", "2025-03-05", 1.0),  # no security has the ticker
        ("A", "2025-03-11", 1.0),
        ("A", "2025-04-09", 1.0),
        ("A", "2025-10-09", 1.0),
        ("B", "2024-01-02", 1.0),
        ("C", "2024-01-02", 1.0),
    )
    found = days_of_shares(rows, known.listings)
    asked = {"A": ["2025-01-01", "2025-02-03", "2025-03-10", "2025-04-01", "2025-04-09", "2025-10-01", "2025-10-09"]}
    asked["B"] = ["2024-01-02"]
    assert found.rows() == [(symbol, date.fromisoformat(on)) for symbol, days in asked.items() for on in days]


def test_the_date_of_an_event_is_asked_for_where_a_new_number_would_decide() -> None:
    """2 B are 20 dollars a share of 100 M and 2 dollars of 1,000 M, the number from some day of November on."""
    shares = [("GROW", "2025-10-01", 100e6), ("GROW", "2025-12-30", 1_000e6)]
    known = market(listing("GROW", "2024-01-02"), shares=shares)
    rows = events(
        ("GROW", "2025-10-01", 5.0),  # asked for
        ("GROW", "2025-11-03", 1.5),  # small with both
        ("GROW", "2025-11-04", 25.0),  # large with both
        ("GROW", "2025-11-10", 5.0),
        ("GROW", "2025-11-20", 5.0),
        ("GROW", "2025-12-30", 5.0),  # asked for
    )
    asked = undecided_days(rows, known, 2e9)
    assert asked.rows() == [("GROW", date(2025, 11, 10)), ("GROW", date(2025, 11, 20))]
    answers = [("GROW", "2025-11-10", 100e6), ("GROW", "2025-11-20", 1_000e6)]
    decided = market(listing("GROW", "2024-01-02"), shares=[*shares, *answers])
    assert undecided_days(rows, decided, 2e9).is_empty()
    found = judge_events(rows, decided, PARAMS)["excluded_by"].to_list()
    assert found == [None, None, "market_cap", None, "market_cap", "market_cap"]
    # a reverse split explains the other number: 100 M old shares are 10 M new ones, of ten times the price
    split = market(
        listing("GROW", "2024-01-02"),
        shares=[("GROW", "2025-10-01", 100e6), ("GROW", "2025-12-30", 10e6)],
        splits=[("GROW", "2025-12-01", 10.0, 1.0)],
    )
    assert undecided_days(events(("GROW", "2025-11-10", 19.0), ("GROW", "2025-12-02", 190.0)), split, 2e9).is_empty()


@pytest.mark.parametrize("seed", range(8))
def test_verdicts_equal_a_slow_rule(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    known, rows = random_market(rng)
    for changes in ({}, {"unknown_market_cap": "exclude", "min_price_usd": 2.0}, {"max_market_cap_usd": None}):
        used = params(**changes)
        found = verdicts(known, *rows, **changes)
        assert found == [slow_verdict(row, known, used) for row in rows]
    assert len(set(verdicts(known, *rows))) > 3


def random_market(rng: random.Random) -> tuple[KnownListings, list[tuple[str, str, float]]]:
    first = date(2024, 1, 2)
    listings, facts, shares = [], [], []
    for symbol in ("A", "B", "C"):
        start = first + timedelta(days=rng.randrange(60))
        for number in range(rng.randint(1, 3)):
            end = start + timedelta(days=rng.randrange(40, 200))
            still = number == 2 and rng.random() < 0.5
            exact = {"from_is_exact": rng.random() < 0.7, "to_is_exact": still or rng.random() < 0.7}
            listings.append(listing(symbol, f"{start}", None if still else f"{end}", **exact))
            middle = start + timedelta(days=rng.randrange(1, 39))
            name = listings[-1]["listing_id"]
            kinds = [rng.choice(["CS", "CS", "ETF"]) for _ in range(2)]
            facts.append((name, f"{start}", f"{middle}", kinds[0], "XNAS"))
            later = None if still else f"{end}"
            facts.append((name, f"{middle + timedelta(days=1)}", later, kinds[1], rng.choice(["XNAS", "XLON"])))
            for _ in range(rng.randrange(3)):
                on = start + timedelta(days=rng.randrange(100))
                shares.append((symbol, f"{on}", rng.choice([1e8, 4e8, None])))
            start = end + timedelta(days=rng.randrange(1, 40))
    unique = {(symbol, on): count for symbol, on, count in shares}
    given = [(symbol, on, count) for (symbol, on), count in unique.items()]
    known = market(*listings, facts=facts, shares=given)
    days = [first + timedelta(days=rng.randrange(-30, 700)) for _ in range(80)]
    return known, [(rng.choice("ABCX"), f"{on}", rng.choice([1.5, 3.0, 6.0, 30.0])) for on in days]


def slow_verdict(  # noqa: C901, PLR0911 -- the rules one after the other
    row: tuple[str, str, float], known: KnownListings, used: UniverseParams
) -> Verdict:
    """The same by loops over rows."""
    symbol, text, close = row
    on = date.fromisoformat(text)
    own = [one for one in known.listings.rows(named=True) if one["symbol"] == symbol]
    here = [one for one in own if one["active_from"] <= on <= (one["active_to"] or date.max)]
    if not here:
        before = [one for one in own if (one["active_to"] or date.max) < on]
        after = [one for one in own if one["active_from"] > on]
        sure = (not before or max(before, key=lambda one: one["active_from"])["to_is_exact"]) and (
            not after or min(after, key=lambda one: one["active_from"])["from_is_exact"]
        )
        if own and sure:
            return out("not_listed")
        kind = exchange = None
    else:
        facts = [one for one in known.facts.rows(named=True) if one["listing_id"] == here[0]["listing_id"]]
        (fact,) = [one for one in facts if one["valid_from"] <= on <= (one["valid_to"] or date.max)]
        kind, exchange = fact["ticker_type"], fact["primary_exchange"]
        if kind not in (used.ticker_types or [kind]):
            return out("type")
        if exchange not in (used.exchanges or [exchange]):
            return out("exchange")
    if used.min_price_usd is not None and close < used.min_price_usd:
        return out("price")
    cap = None
    if here:
        end = here[0]["active_to"] or date.max
        given = [
            (one["asked_for"], one["shares_outstanding"])
            for one in known.shares.rows(named=True)
            if one["symbol"] == symbol and here[0]["active_from"] <= one["asked_for"] <= min(on, end)
        ]
        counts = [count for _, count in sorted(given) if count is not None]
        cap = close * counts[-1] if counts else None
    if used.max_market_cap_usd is not None:
        if cap is not None and cap > used.max_market_cap_usd:
            return out("market_cap")
        if cap is None and used.unknown_market_cap == "exclude":
            return out("market_cap")
    if not here:
        return unknown("listing")
    return IN if used.max_market_cap_usd is None or cap is not None else unknown("market_cap")


def test_no_events_have_no_rows() -> None:
    assert judge_events(events(), market(listing("A", "2024-01-02")), PARAMS).schema == EVENT_LISTINGS
    assert days_of_shares(events(), market(listing("A", "2024-01-02")).listings).is_empty()


def test_the_order_of_events_stays() -> None:
    known, rows = random_market(random.Random(99))  # noqa: S311
    frame = events(*rows)
    assert (
        judge_events(frame, known, PARAMS)
        .select("event_id", "symbol", "date")
        .equals(frame.select("event_id", "symbol", "date"))
    )
