"""Listings equal any corporate history, as far as the vendor's monthly lists and answers can show it."""

from datetime import date
from itertools import pairwise
from math import ceil, log2
from typing import Any, NamedTuple

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.listings.delisted import Delisting, confirm_ends, session_to_ask, spans_by_symbol
from smallcaps_assets.domain.listings.identity import Identity
from smallcaps_assets.domain.listings.inference import MOST_ABSENT_SESSIONS, infer_listings
from smallcaps_assets.domain.listings.lookup import with_listing, with_listing_facts
from smallcaps_assets.domain.listings.made import ListingTables, make_tables
from smallcaps_assets.domain.listings.requests import days_of_lists
from smallcaps_assets.domain.listings.states import Evidence, decisive_observations, to_history
from smallcaps_assets_tests.unit.domain.listings.scenes import (
    Row,
    ask_until_clear,
    observed,
    sessions_between,
    sighted,
)

SESSIONS = sessions_between(date(2025, 1, 2), date(2025, 4, 15))
LISTS = days_of_lists(SESSIONS)
TICKERS = ("A", "B", "C")
COMPANIES = range(4)
ACTIONS = ("rename", "swap", "delist", "list", "type", "exchange", "name", "numbers", "absence", "absence")

actions = st.lists(
    st.tuples(
        # often on the session of a list, or shortly before: only there can an absence be seen
        st.integers(1, len(SESSIONS) - 1)
        | st.sampled_from([SESSIONS.index(day) - n for day in LISTS[1:] for n in (0, 3)]),
        st.sampled_from(ACTIONS),
        st.sampled_from(COMPANIES),
        st.sampled_from(TICKERS),
    ),
    max_size=9,
).map(sorted)


class Company(NamedTuple):
    """What the vendor says of a company: it always knows its CIK, and its FIGIs most of the time."""

    number: int
    type: str = "CS"
    exchange: str = "XNAS"
    version: int = 0
    numbers: int = 3

    def row(self) -> Row:
        share = f"SHARE{self.number}" if self.numbers & 1 else None
        composite = f"COMPOSITE{self.number}" if self.numbers & 2 else None
        return Row(
            share, composite, f"{self.number:010}", f"Company {self.number} {self.version}", self.type, self.exchange
        )


class World:
    """Which company has which ticker on each session."""

    def __init__(self, acts: list[tuple[int, str, int, str]]) -> None:
        self.companies = {number: Company(number) for number in COMPANIES}
        self.tickers: dict[str, int | None] = {"A": 0, "B": 1, "C": None}
        self.owners: dict[str, list[int | None]] = {ticker: [] for ticker in TICKERS}
        self.away = dict.fromkeys(TICKERS, 0)
        self.rows: dict[str, dict[date, Row]] = {ticker: {} for ticker in TICKERS}
        waiting = list(acts)
        for at, day in enumerate(SESSIONS):
            while waiting and waiting[0][0] == at:
                self._act(*waiting.pop(0)[1:])
            for ticker, owner in self.tickers.items():
                company = None if self.away[ticker] else owner
                self.away[ticker] = max(self.away[ticker] - 1, 0)
                self.owners[ticker].append(company)
                if company is not None:
                    self.rows[ticker][day] = self.companies[company].row()

    def _act(self, action: str, number: int, ticker: str) -> None:
        mine = next((name for name, owner in self.tickers.items() if owner == number), None)
        if action == "delist" or (action == "rename" and mine is not None and self.tickers[ticker] is None):
            if mine is not None:
                self.tickers[mine] = None
            if action == "rename":
                self.tickers[ticker] = number
        elif action == "list" and mine is None and self.tickers[ticker] is None:
            self.tickers[ticker] = number
        elif action == "swap" and mine is not None:
            self.tickers[mine], self.tickers[ticker] = self.tickers[ticker], self.tickers[mine]
        elif action == "absence":
            self.away[ticker] = 2 * number + 1
        else:
            self._change(action, number)

    def _change(self, action: str, number: int) -> None:
        company = self.companies[number]
        if action == "type":
            self.companies[number] = company._replace(type="ADRC" if company.type == "CS" else "CS")
        elif action == "exchange":
            self.companies[number] = company._replace(exchange="XNYS" if company.exchange == "XNAS" else "XNAS")
        elif action == "name":
            self.companies[number] = company._replace(version=company.version + 1)
        elif action == "numbers":
            self.companies[number] = company._replace(numbers=(company.numbers + 1) % 4)

    def spans(self, ticker: str) -> list[tuple[int, int, int]]:
        """Company, first and last session of each listing: the rule on absences, said again."""
        spans: list[tuple[int, int, int]] = []
        for at, company in enumerate(self.owners[ticker]):
            if company is None:
                continue
            if spans and spans[-1][0] == company:
                between = self.owners[ticker][spans[-1][2] + 1 : at]
                if all(owner is None for owner in between) and len(between) <= MOST_ABSENT_SESSIONS:
                    spans[-1] = (company, spans[-1][1], at)
                    continue
            spans.append((company, at, at))
        return spans

    def delistings(self, ticker: str) -> list[Delisting]:
        """The vendor's list of delisted tickers: each time a company lost the ticker, as of the session after.

        Where the company has an odd number the day is that of its last session.
        """
        owners, rows = self.owners[ticker], self.rows[ticker]
        ends = [at for at in range(len(SESSIONS) - 1) if owners[at] not in {None, owners[at + 1]}]
        return [
            Delisting(
                ticker,
                Identity(row.share, row.composite, row.cik, row.name),
                at if (owners[at] or 0) % 2 and at > 0 else at + 1,
            )
            for at in ends
            for row in [rows[SESSIONS[at]]]
        ]

    def facts(self, ticker: str) -> list[tuple[object, ...]]:
        """Owner, type and exchange of each session."""
        rows = self.rows[ticker]
        return [
            (owner, row.type, row.exchange) if (row := rows.get(day)) is not None else (None, None, None)
            for day, owner in zip(SESSIONS, self.owners[ticker], strict=True)
        ]

    def changes_once_a_month(self, ticker: str) -> bool:
        """Whether lists show every change: between two of them the ticker changed at most once."""
        facts, at = self.facts(ticker), [SESSIONS.index(day) for day in LISTS]
        return all(sum(facts[n] != facts[n + 1] for n in range(first, last)) <= 1 for first, last in pairwise(at))


@given(actions)
def test_listings_equal_the_history_where_lists_can_show_it(acts: list[tuple[int, str, int, str]]) -> None:
    world = World(acts)
    asked = ask_until_clear(world.rows, SESSIONS, LISTS)
    tables = make_tables(asked.inferred.listings, SESSIONS)
    _require_true(world, asked.singles, tables)
    for ticker in TICKERS:
        if world.changes_once_a_month(ticker):
            _require_equal(world, ticker, tables)
            # one change between two lists: as many requests as halving takes
            changes = sum(one != two for one, two in pairwise(world.facts(ticker)))
            longest = max(SESSIONS.index(two) - SESSIONS.index(one) for one, two in pairwise(LISTS))
            assert sum(symbol == ticker for symbol, _ in asked.singles) <= changes * ceil(log2(longest))


# Companies without a ticker that are listed for some sessions only: from, sessions, company and ticker.
stays = st.tuples(st.integers(1, 60), st.integers(1, 8), st.sampled_from((2, 3)), st.sampled_from(("C", "C", "A")))
changes = st.tuples(
    st.integers(1, len(SESSIONS) - 1),
    st.sampled_from(("rename", "swap", "delist", "list", "type", "numbers")),
    st.sampled_from(COMPANIES),
    st.sampled_from(TICKERS),
)


def _history(short: list[tuple[int, int, int, str]], others: list[tuple[int, str, int, str]]) -> list[Any]:
    """The actions of stays and other changes, in order."""
    acts = [
        act
        for first, sessions, company, ticker in short
        for act in ((first, "list", company, ticker), (first + sessions, "delist", company, ticker))
    ]
    return sorted([*acts, *others])


# An absence is a row that the vendor's list lost. Here, where each delisting has a row of its own, there are none.
delisted_actions = st.builds(_history, st.lists(stays, min_size=1, max_size=5), st.lists(changes, max_size=4))


@given(delisted_actions)
def test_with_the_list_of_delisted_tickers_listings_equal_any_history(acts: list[tuple[int, str, int, str]]) -> None:
    """However often tickers changed owners between two lists: each listing, to the session."""
    world, singles = World(acts), list[tuple[str, date]]()
    delistings = [one for ticker in TICKERS for one in world.delistings(ticker)]
    while True:
        asked = ask_until_clear(world.rows, SESSIONS, LISTS, singles)
        singles, listings = asked.singles, spans_by_symbol(asked.inferred.listings)
        answered = {(ticker, SESSIONS.index(day)) for ticker, day in singles}
        answered |= {(ticker, SESSIONS.index(day)) for ticker in TICKERS for day in LISTS}
        confirmed = confirm_ends(delistings, listings)
        to_ask = {
            (one.symbol, SESSIONS[at])
            for one, ok in zip(delistings, confirmed, strict=True)
            if not ok and (at := session_to_ask(one, listings, answered, len(SESSIONS))) is not None
        }
        if not to_ask:
            break
        singles = [*singles, *sorted(to_ask)]
    tables = make_tables(asked.inferred.listings, SESSIONS)
    for ticker in TICKERS:
        owners = [(int(row["cik"]), *_days(row)) for row in tables.listings.filter(symbol=ticker).iter_rows(named=True)]
        assert owners == world.spans(ticker)
    # three requests for each delisting, and for each of its two borders what halving a month takes
    assert len(singles) <= (len(acts) + 1) * 2 * len(TICKERS) * 5 + 3 * len(delistings)


def _days(row: dict[str, Any]) -> tuple[int, int]:
    last = SESSIONS[-1] if row["active_to"] is None else row["active_to"]
    return SESSIONS.index(row["active_from"]), SESSIONS.index(last)


def _require_equal(world: World, ticker: str, tables: ListingTables) -> None:
    """The listings of a ticker are those of the history, to the session."""
    expected = [
        (
            SESSIONS[first],
            None if last == len(SESSIONS) - 1 else SESSIONS[last],
            first > 0,
            True,
        )
        for _, first, last in world.spans(ticker)
    ]
    found = tables.listings.filter(symbol=ticker)
    assert found.select("active_from", "active_to", "from_is_exact", "to_is_exact").rows() == expected
    days = pl.DataFrame({"symbol": ticker, "day": SESSIONS})
    known = with_listing_facts(days, tables.facts, "day")
    true = world.facts(ticker)
    inside = [row for row, (owner, *_) in zip(known.iter_rows(named=True), true, strict=True) if owner is not None]
    assert [(row["ticker_type"], row["primary_exchange"]) for row in inside] == [fact[1:] for fact in true if fact[1]]
    assert with_listing(days, tables.listings, "day")["listing_id"].to_list() == known["listing_id"].to_list()


def _require_true(world: World, asked: list[tuple[str, date]], tables: ListingTables) -> None:
    """Nothing is said that the history does not hold, however often tickers changed between two lists."""
    at = {day: number for number, day in enumerate(SESSIONS)}
    lists = [(ticker, day) for ticker in TICKERS for day in LISTS]
    days = pl.DataFrame([*lists, *asked], schema={"symbol": pl.String, "day": pl.Date}, orient="row")
    owners = {row["listing_id"]: row["cik"] for row in tables.listings.iter_rows(named=True)}
    for ticker, day, listing in with_listing(days, tables.listings, "day").iter_rows():
        owner = world.owners[ticker][at[day]]
        # a short absence does not end the listing
        assert owner is None or owners[listing] == f"{owner:010}"
    for row in tables.listings.iter_rows(named=True):
        owner, first = int(row["cik"]), at[row["active_from"]]
        of_ticker = world.owners[row["symbol"]]
        assert of_ticker[first] == owner
        assert row["from_is_exact"] == (first > 0)
        assert row["to_is_exact"]
        if first > 0:
            assert of_ticker[first - 1] != owner
        if row["active_to"] is not None:
            last = at[row["active_to"]]
            assert of_ticker[last] == owner != of_ticker[last + 1]
        for former in [row["former_symbol"]] if row["former_symbol"] else []:
            assert owner in world.owners[former][max(first - 2 * MOST_ABSENT_SESSIONS - 1, 0) : first]


@given(actions, st.lists(st.integers(2, len(SESSIONS)), min_size=1, max_size=5, unique=True).map(sorted))
def test_lists_that_are_replaced_change_nothing(acts: list[tuple[int, str, int, str]], nights: list[int]) -> None:
    """Lists of each night; all but the monthly ones and the last are replaced by what decides of them."""
    world = World(acts)
    kept = observed(world.rows, [])
    every = [sorted({*days_of_lists(SESSIONS[:count])}) for count in nights]
    before = None
    for number, count in enumerate(nights):
        sessions = SESSIONS[:count]
        monthly = set(days_of_lists(SESSIONS)[:-1])
        # the list of the night before is still there when the new one comes
        days = sorted({*every[number], *(every[number - 1][-1:] if number else [])})
        history = to_history(Evidence(sessions, days, sighted(world.rows, days), kept))
        inferred = infer_listings(history)
        tables = make_tables(inferred.listings, sessions, before)
        stay = [day for day in days if day in monthly or day == days[-1]]
        kept = decisive_observations(history, stay)
        again = to_history(Evidence(sessions, stay, sighted(world.rows, stay), kept))
        assert infer_listings(again) == inferred
        if before is not None:
            _require_kept_names(before, tables.listings)
        before = tables.listings


def _require_kept_names(before: pl.DataFrame, after: pl.DataFrame) -> None:
    """Each name stays with the days that it had, unless two listings turn out to be one."""
    for row in before.iter_rows(named=True):
        day = pl.lit(row["active_from"])
        holding = after.filter(
            pl.col("symbol") == row["symbol"], day.is_between("active_from", pl.col("active_to").fill_null(date.max))
        )
        (name,) = holding["listing_id"]
        assert name == row["listing_id"] or name in before["listing_id"].to_list()
