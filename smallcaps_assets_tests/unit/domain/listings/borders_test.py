"""Where tickers change their owners, and that no figure of detection and research looks back over such a day."""

from collections.abc import Mapping
from datetime import date, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.features import DAILY, relative_volume
from smallcaps_assets.domain.listings.borders import LISTED_DAYS, NO_BORDERS, ListingBorders, by_symbol_again
from smallcaps_assets.domain.research.bars.bar_features import MarketData
from smallcaps_assets.domain.research.bars.market_state import SPLITS
from smallcaps_assets.domain.research.sample import SampleParams, research_events, with_causal_sample
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.research.bars.from_bars import BarRules, BarTables, tables_of_events
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.research.bars.bar_scenes import FIRST, LAST, scene

SETTINGS = default_settings()
DAYS = sessions_between(date(2025, 1, 2), date(2025, 12, 31), SETTINGS.sessions)


def listings(*rows: tuple[str, str, str | None]) -> pl.DataFrame:
    days = [(symbol, *(day and date.fromisoformat(day) for day in days)) for symbol, *days in rows]
    return pl.DataFrame(days, schema=LISTED_DAYS, orient="row")


def test_a_border_is_the_first_day_of_each_later_listing_and_of_the_time_between() -> None:
    found = ListingBorders.of(
        listings(
            ("REUSED", "2025-06-02", None),
            ("REUSED", "2024-01-02", "2025-03-14"),
            ("NEXT", "2024-01-02", "2025-03-13"),
            ("NEXT", "2025-03-14", "2025-08-01"),
            ("ONE", "2025-02-03", "2025-03-14"),
            ("OPEN", "2024-01-02", None),
            ("OPEN", "2025-01-02", None),
        )
    )
    assert found.by_symbol == {
        "NEXT": (date(2025, 3, 14),),
        "OPEN": (date(2025, 1, 2),),
        "REUSED": (date(2025, 3, 15), date(2025, 6, 2)),
    }
    assert found.text("REUSED") == "2025-03-15,2025-06-02"
    assert found.text("ONE") == ""
    assert found.of_symbols(["ONE", "NEXT"]).by_symbol.keys() == {"NEXT"}
    assert found.renamed({"a": "NEXT", "b": "ONE", "c": "NEXT"}).by_symbol.keys() == {"a", "c"}
    assert not ListingBorders.of(None)


def test_the_owner_of_a_day_is_the_number_of_borders_until_then() -> None:
    borders = ListingBorders({"B": (date(2025, 3, 15), date(2025, 6, 2)), "C": (date(2025, 1, 3),)})
    days = [date(2025, 3, 14), date(2025, 3, 15), date(2025, 6, 1), date(2025, 6, 2), date(2025, 12, 31)]
    rows = pl.DataFrame([(symbol, day) for symbol in "ABCD" for day in days], ["symbol", "day"], orient="row")
    assert borders.owners(rows).tolist() == [0] * 5 + [0, 1, 1, 2, 2] + [1] * 5 + [0] * 5
    owned = borders.by_owner(rows)
    assert owned["symbol"].n_unique() == 1 + 3 + 1 + 1
    assert owned["symbol"].is_sorted()
    assert_frame_equal(by_symbol_again(owned), rows)
    assert NO_BORDERS.by_owner(rows) is rows


@given(
    st.dictionaries(
        st.sampled_from(["A", "AA", "A.B", "AB", "Ba"]),
        st.lists(st.dates(date(2024, 1, 1), date(2026, 1, 1)), max_size=4, unique=True),
        max_size=4,
    ),
    st.lists(
        st.tuples(st.sampled_from(["A", "AA", "A.B", "AB", "Ba"]), st.dates(date(2023, 6, 1), date(2026, 6, 1))),
        max_size=30,
    ),
)
def test_owners_keep_the_order_of_symbols_and_days(
    borders: Mapping[str, list[date]], rows: list[tuple[str, date]]
) -> None:
    made = ListingBorders({symbol: tuple(sorted(days)) for symbol, days in borders.items() if days})
    frame = pl.DataFrame(sorted(rows), {"symbol": pl.String, "day": pl.Date}, orient="row")
    owned = made.by_owner(frame)
    assert_frame_equal(by_symbol_again(owned), frame)
    assert owned.rows() == sorted(owned.rows())
    expected = [sum(one <= day for one in borders.get(symbol, [])) for symbol, day in sorted(rows)]
    assert made.owners(frame).tolist() == expected
    owners = {(symbol, number) for (symbol, _), number in zip(sorted(rows), expected, strict=True)}
    assert owned["symbol"].n_unique() == len(owners)


def test_the_relative_volume_of_a_new_owner_begins_anew() -> None:
    # ten days of 100 dollars, then ten of 81,390: 813.9 times the mean of the days before
    days = DAYS["date"].to_list()[:20]
    usd = [100.0] * 10 + [81_390.0] * 10
    daily = pl.DataFrame({"symbol": ["REUSED"] * 20, "day": days, "dollar_volume_day": usd}, schema=DAILY)
    joined = relative_volume(daily, DAYS, SETTINGS.features)["rvol_day"]
    assert joined[10] == pytest.approx(813.9)
    borders = ListingBorders({"REUSED": (days[10],)})
    # 5 days of the new owner are the fewest that make a baseline
    alone = relative_volume(daily, DAYS, SETTINGS.features, borders)["rvol_day"]
    assert alone.to_list() == [None] * 5 + [1.0] * 5 + [None] * 5 + [1.0] * 5


# within the bars of the scene, on a day with bars and between two
BORDERS = ListingBorders({"ATRA": (date(2025, 11, 8), date(2025, 11, 18))})


@pytest.mark.slow
def test_tables_over_a_border_are_those_of_each_owner_by_itself() -> None:
    """The law that covers every look-back, present and future: bars before a border might as well not exist."""
    made = scene(5)
    symbols = made.bars["symbol"].unique().sort().to_list()
    assert symbols[0] == "ATRA"
    splits = pl.DataFrame(
        [("ATRA", date(2025, 11, 6), 1.0, 10.0), ("ATRA", date(2025, 11, 20), 2.0, 1.0)], SPLITS, orient="row"
    )
    together = tables_over(made.bars, splits, BORDERS)
    apart = list[BarTables]()
    bounds = [date.min, *BORDERS.by_symbol["ATRA"], date.max]
    for start, end in pairwise(bounds):
        own = made.bars.filter(pl.col("symbol") == "ATRA", DAY.is_between(start, end - timedelta(days=1)))
        executed = splits.filter(pl.col("execution_date").is_between(start, end - timedelta(days=1)))
        apart.append(tables_over(own, executed, NO_BORDERS))
    apart.append(tables_over(made.bars.filter(pl.col("symbol") != "ATRA"), splits, NO_BORDERS))
    keys = {
        "events": ["symbol", "timestamp", "event_type", "event_id"],
        "features": ["symbol", "timestamp", "event_type", "event_id"],
        "waves": ["event_id", "leg"],
        "outcomes": ["event_id"],
        "labels": ["event_id", "label_spec"],
        "days": ["symbol", "date"],
        "halts": ["symbol", "start"],
    }
    for table, key in keys.items():
        found, expected = getattr(together, table), pl.concat(getattr(part, table) for part in apart)
        assert found.height > 0
        assert_frame_equal(found.sort(key), expected.sort(key), rel_tol=1e-9)
    whole = tables_over(made.bars, splits, NO_BORDERS)
    for name in ("rvol_to_time", "prior_day_return", "days_since_last_event", "gap_return", "days_since_split"):
        assert not together.features[name].equals(whole.features[name], null_equal=True), name


def tables_over(bars: pl.DataFrame, splits: pl.DataFrame, borders: ListingBorders) -> BarTables:
    sessions = sessions_between(FIRST - timedelta(days=200), LAST, SETTINGS.sessions)
    found = detect(bars, sessions, SETTINGS.detection, keep_candidates=True, borders=borders)
    assert found.candidates is not None
    sampled = with_causal_sample(found.candidates, SETTINGS.filters, SampleParams())
    master = found.events.with_columns(event_group_id=pl.lit(None, pl.String))
    events = research_events(master, sampled)
    market = MarketData(bars, sessions, sampled, splits, borders=borders)
    return tables_of_events(events, market, BarRules(sessions, SETTINGS.detection, SETTINGS.research.params))
