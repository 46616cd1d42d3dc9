"""How today's list differs from the universe of each event's date: by year and reason, and by month."""

from datetime import date

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.listings.as_of import EVENT_LISTINGS
from smallcaps_assets.domain.listings.survivorship import (
    MONTHLY_SURVIVORSHIP,
    survivorship,
    survivorship_by_month,
    todays_list,
)
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets_tests.scenarios import default_settings

PARAMS = default_settings().universe
SINCE = date(2020, 1, 2)
# of today's list: S, and L which is large but followed; OLDN is named NEWN today
FOLLOWED = [
    ("S", "CS", 1e8, None, None),
    ("L", "CS", 5e9, None, "market_cap"),
    ("OLDN", "CS", 1e8, "2024-06-28", "delisted"),
]
VERDICTS = [
    ("1", "S", "2024-02-01", None, True, None, None),
    ("2", "S", "2024-03-01", None, False, "type", None),
    ("3", "S", "2025-03-03", None, False, "market_cap", None),
    ("4", "L", "2024-02-01", None, True, None, None),
    ("5", "L", "2025-02-03", None, False, "market_cap", None),
    ("6", "OLDN", "2024-02-01", "NEWN", True, None, None),
    ("7", "S", "2025-05-01", None, None, None, "market_cap"),
]


def universe() -> pl.DataFrame:
    names = ["symbol", "ticker_type", "market_cap_usd", "delisted", "excluded_by"]
    rows = pl.DataFrame(FOLLOWED, names, orient="row").with_columns(
        pl.col("delisted").str.to_date(), primary_exchange=pl.lit("XNAS"), active=pl.lit(value=True)
    )
    return rows.match_to_schema(UNIVERSE, missing_columns="insert")


def judged() -> pl.DataFrame:
    names = ["event_id", "symbol", "date", "next_symbol", "in_universe_at_event", "excluded_by", "unknown"]
    return pl.DataFrame(VERDICTS, names, orient="row").match_to_schema(EVENT_LISTINGS, missing_columns="insert")


def test_survivorship_by_year_case_and_reason() -> None:
    today = todays_list(universe(), PARAMS, SINCE)
    assert dict(today.iter_rows()) == {"S": None, "L": "market_cap", "OLDN": "delisted"}
    assert survivorship(judged(), today).rows() == [
        (2024, "both", None, 1, 1),
        (2024, "only_then", "market_cap", 1, 1),
        (2024, "only_then", "renamed", 1, 1),
        (2024, "only_today", "type", 1, 1),
        (2025, "neither", "market_cap", 1, 1),
        (2025, "only_today", "market_cap", 1, 1),
        (2025, "unknown", "market_cap", 1, 1),
    ]


def test_survivorship_by_month() -> None:
    """Of VERDICTS: by what their date says, and by whether the symbol is in today's list, which is S alone.

    February 2024 has event 1 of S in both, and 4 and 6 of L and OLDN only then; March 2024 and 2025 have 2 and 3 of S
    only today; 5 of L in February 2025 is in neither; of 7 in May 2025 it is not known. April to January, and April
    2025, have no events.
    """
    by_month = survivorship_by_month(judged(), todays_list(universe(), PARAMS, SINCE))
    assert by_month.schema == MONTHLY_SURVIVORSHIP
    assert by_month["month"].to_list() == [date(2024 + n // 12, n % 12 + 1, 1) for n in range(1, 17)]
    assert by_month.filter(pl.sum_horizontal(pl.exclude("month")) > 0).rows() == [
        (date(2024, 2, 1), 1, 2, 0, 0),
        (date(2024, 3, 1), 0, 0, 1, 0),
        (date(2025, 3, 1), 0, 0, 1, 0),
        (date(2025, 5, 1), 0, 0, 0, 1),
    ]


@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.integers(0, 400), st.sampled_from([True, False, None]))))
@settings(max_examples=25)
def test_months_add_up_to_years(rows: list[tuple[str, int, bool | None]]) -> None:
    events = [
        (f"{number}", symbol, f"{date.fromordinal(SINCE.toordinal() + day)}", then, "type" if then is False else None)
        for number, (symbol, day, then) in enumerate(rows)
    ]
    names = ["event_id", "symbol", "date", "in_universe_at_event", "excluded_by"]
    given_events = pl.DataFrame(events, {name: EVENT_LISTINGS[name] for name in names}, orient="row")
    frame = given_events.match_to_schema(EVENT_LISTINGS, missing_columns="insert")
    # A and B are in today's list, C is not, and D is not even followed
    today = pl.DataFrame({"symbol": ["A", "B", "C"], "today_excluded_by": [None, None, "price"]})
    by_year = dict(survivorship(frame, today).group_by("case").agg(pl.col("events").sum()).iter_rows())
    by_month = survivorship_by_month(frame, today)
    assert by_month.schema == MONTHLY_SURVIVORSHIP
    sums = by_month.select(pl.exclude("month").sum()).row(0, named=True)
    assert sums == {name: by_year.get(name, 0) for name in sums}
    assert (
        not by_month.height
        or by_month["month"].diff().drop_nulls().is_between(pl.duration(days=28), pl.duration(days=31)).all()
    )
