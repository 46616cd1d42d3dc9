"""Tickers through time as a test writes them, and what the vendor would answer about them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.inference import Inferred, infer_listings
from smallcaps_assets.domain.listings.requests import middle, plan_round
from smallcaps_assets.domain.listings.states import SIGHTINGS, Evidence, to_history
from smallcaps_assets.domain.listings.tables import OBSERVATIONS, SNAPSHOT
from smallcaps_assets.market_data.calendar import xnys_calendar


class Row(NamedTuple):
    """What the vendor lists of a ticker."""

    share: str | None = None
    composite: str | None = None
    cik: str | None = None
    name: str | None = "A Company"
    type: str | None = "CS"
    exchange: str | None = "XNAS"
    is_clear: bool = True


# the rows of each ticker by session; a session without a row means that it is not listed
Truth = Mapping[str, Mapping[date, Row]]


def sessions_between(first: date, last: date) -> list[date]:
    return xnys_calendar(first, last)["date"].to_list()


def sighted(truth: Truth, days: Sequence[date]) -> pl.DataFrame:
    """SIGHTINGS of the lists of some days."""
    rows = [(*_columns(symbol, rows[day]), day) for symbol, rows in truth.items() for day in days if day in rows]
    frame = pl.DataFrame(rows, schema={**SNAPSHOT, "days": pl.Date}, orient="row")
    return frame.group_by(list(SNAPSHOT), maintain_order=True).agg("days").match_to_schema(SIGHTINGS)


def observed(truth: Truth, asked: Iterable[tuple[str, date]]) -> pl.DataFrame:
    """OBSERVATIONS of single tickers."""
    rows = []
    for symbol, day in asked:
        row = truth.get(symbol, {}).get(day)
        listed = (True, *_columns(symbol, row)) if row is not None else (False, symbol, *[None] * 7)
        rows.append((day, *listed))
    return pl.DataFrame(rows, schema=OBSERVATIONS, orient="row")


def _columns(symbol: str, row: Row) -> tuple[object, ...]:
    return symbol, row.name, row.type, row.exchange, row.cik, row.composite, row.share, row.is_clear


class Asked(NamedTuple):
    """What was inferred in the end, and what was asked for."""

    inferred: Inferred
    evidence: Evidence
    singles: list[tuple[str, date]]


def ask_until_clear(
    truth: Truth, sessions: Sequence[date], days: Sequence[date], known: Iterable[tuple[str, date]] = ()
) -> Asked:
    """Ask for lists of `days` and the single tickers `known`, then for others until no question is open."""
    singles = [*known]
    while True:
        evidence = Evidence(sessions, days, sighted(truth, days), observed(truth, singles))
        inferred = infer_listings(to_history(evidence))
        # more pages than tickers: each of them is asked for by itself
        planned = plan_round(inferred.questions, 1_000_000)
        assert not planned.lists
        assert all(question.after < middle(question) < question.before for question in inferred.questions)
        if not planned.singles:
            return Asked(inferred, evidence, singles)
        singles += [(symbol, sessions[at]) for symbol, at in planned.singles]
