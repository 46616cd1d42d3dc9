"""Listings of hand-made lists: the expected days are read off the sessions below."""

from collections.abc import Mapping
from datetime import date

from smallcaps_assets.domain.listings.inference import Question, infer_listings
from smallcaps_assets.domain.listings.made import make_tables
from smallcaps_assets.domain.listings.states import Evidence, decisive_observations, to_history
from smallcaps_assets.domain.listings.tables import OBSERVATIONS
from smallcaps_assets_tests.unit.domain.listings.scenes import (
    Row,
    Truth,
    ask_until_clear,
    observed,
    sessions_between,
    sighted,
)

# 20 sessions of January from the 2nd, 19 of February from the 3rd, 21 of March from the 3rd
SESSIONS = sessions_between(date(2025, 1, 2), date(2025, 3, 31))
LISTS = [date(2025, 1, 2), date(2025, 2, 3), date(2025, 3, 3), date(2025, 3, 31)]
ONE = Row("BBG1", "BBGC1", "0001", "One Inc.")
TWO = Row("BBG2", "BBGC2", "0002", "Two Corp")


def over(*spans: tuple[str, str, Row]) -> Mapping[date, Row]:
    """Rows on the sessions from a day to another (month-day), both included."""
    return {
        day: row
        for first, last, row in spans
        for day in SESSIONS
        if date.fromisoformat(f"2025-{first}") <= day <= date.fromisoformat(f"2025-{last}")
    }


def listings(truth: Truth, days: list[date] | None = None) -> list[tuple[object, ...]]:
    """Symbol, first and last day, whether these are exact, former and next symbol, once all was asked for."""
    asked = ask_until_clear(truth, SESSIONS, days or LISTS)
    table = make_tables(asked.inferred.listings, SESSIONS).listings
    columns = ["symbol", "active_from", "active_to", "from_is_exact", "to_is_exact", "former_symbol", "next_symbol"]
    return [
        (symbol, f"{first:%m-%d}", None if last is None else f"{last:%m-%d}", *rest)
        for symbol, first, last, *rest in table.select(columns).iter_rows()
    ]


def test_a_ticker_listed_all_the_time_began_before_the_first_list_and_has_no_end() -> None:
    assert listings({"A": over(("01-01", "03-31", ONE))}) == [("A", "01-02", None, False, True, None, None)]


def test_a_delisting_and_a_new_listing_are_found_to_the_session() -> None:
    # Presidents' Day is the 17th of February: the session after Friday the 14th is Tuesday the 18th
    truth = {"A": over(("01-01", "02-14", ONE)), "B": over(("02-18", "03-31", TWO))}
    assert listings(truth) == [
        ("A", "01-02", "02-14", False, True, None, None),
        ("B", "02-18", None, True, True, None, None),
    ]


def test_a_renamed_company_says_its_former_and_its_next_ticker() -> None:
    truth = {"A": over(("01-01", "01-15", ONE)), "B": over(("01-16", "03-31", ONE))}
    assert listings(truth) == [
        ("A", "01-02", "01-15", False, True, None, "B"),
        ("B", "01-16", None, True, True, "A", None),
    ]


def test_a_rename_without_a_figi_is_told_by_company_and_type_if_no_other_listing_fits() -> None:
    bare = Row(None, None, "0007", "Bare Inc.")
    warrant = bare._replace(type="WARRANT")
    truth = {
        "A": over(("01-01", "01-15", bare)),
        "AW": over(("01-01", "01-15", warrant)),
        "B": over(("01-16", "03-31", bare)),
        "BW": over(("01-16", "03-31", warrant)),
    }
    assert [(row[0], *row[5:]) for row in listings(truth)] == [
        ("A", None, "B"), ("AW", None, "BW"), ("B", "A", None), ("BW", "AW", None),
    ]  # fmt: skip
    # two classes of one type are not distinguished
    truth = {name: {day: row._replace(type="CS") for day, row in rows.items()} for name, rows in truth.items()}
    assert {row[5:] for row in listings(truth)} == {(None, None)}


def test_a_reused_ticker_is_two_listings() -> None:
    truth = {"A": over(("01-01", "01-10", ONE), ("02-20", "03-31", TWO))}
    assert listings(truth) == [
        ("A", "01-02", "01-10", False, True, None, None),
        ("A", "02-20", None, True, True, None, None),
    ]


def test_two_companies_that_swap_their_tickers_on_one_day() -> None:
    truth = {
        "A": over(("01-01", "02-05", ONE), ("02-06", "03-31", TWO)),
        "B": over(("01-01", "02-05", TWO), ("02-06", "03-31", ONE)),
    }
    assert listings(truth) == [
        ("A", "01-02", "02-05", False, True, None, "B"),
        ("A", "02-06", None, True, True, "B", None),
        ("B", "01-02", "02-05", False, True, None, "A"),
        ("B", "02-06", None, True, True, "A", None),
    ]


def test_a_short_absence_ends_no_listing() -> None:
    """From Tuesday the 4th of February to Monday the 10th 5 sessions are missing, to the 11th 6."""
    # a list within the absence, without which nobody would know of it
    days = [*LISTS[:2], date(2025, 2, 5), *LISTS[2:]]
    truth = {"A": over(("01-01", "02-03", ONE), ("02-11", "03-31", ONE))}
    assert listings(truth, days) == [("A", "01-02", None, False, True, None, None)]
    truth = {"A": over(("01-01", "02-03", ONE), ("02-12", "03-31", ONE))}
    assert listings(truth, days) == [
        ("A", "01-02", "02-03", False, True, None, None),
        ("A", "02-12", None, True, True, None, None),
    ]


def test_a_figi_that_comes_later_or_is_missing_for_a_time_splits_nothing() -> None:
    unknown = ONE._replace(share=None, composite=None)
    truth = {"A": over(("01-01", "01-20", unknown), ("01-21", "02-10", ONE), ("02-11", "03-31", unknown))}
    asked = ask_until_clear(truth, SESSIONS, LISTS)
    assert asked.singles == []
    (row,) = make_tables(asked.inferred.listings, SESSIONS).listings.iter_rows(named=True)
    assert (row["share_class_figi"], row["composite_figi"], row["cik"]) == ("BBG1", "BBGC1", "0001")


def test_securities_with_rows_without_numbers_between_them_are_not_joined_by_these() -> None:
    bare = Row(None, None, None, "One Inc.")
    truth = {"A": over(("01-01", "01-31", ONE), ("02-03", "02-28", bare), ("03-03", "03-31", TWO))}
    # the rows without numbers may be of either company; they count to the first
    assert [row[:3] for row in listings(truth)] == [("A", "01-02", "02-28"), ("A", "03-03", None)]


def test_a_company_that_changes_its_name_without_any_number_stays_one_listing_and_another_one_does_not() -> None:
    one, other = Row(name="One Inc."), Row(name="Another Corp")
    assert len(listings({"A": over(("01-01", "02-12", one), ("02-13", "03-31", other))})) == 1
    # with a session between them on which it was not listed
    assert len(listings({"A": over(("01-01", "02-12", one), ("02-14", "03-31", other))})) == 2
    assert len(listings({"A": over(("01-01", "02-12", one), ("02-14", "03-31", one._replace(name="ONE, INC")))})) == 1


def test_type_and_exchange_through_time() -> None:
    arca = ONE._replace(exchange="XASE")
    fund = arca._replace(type="ETF", name="One Fund")
    truth = {"A": over(("01-01", "01-15", ONE), ("01-16", "02-20", arca), ("02-21", "03-31", fund))}
    asked = ask_until_clear(truth, SESSIONS, LISTS)
    tables = make_tables(asked.inferred.listings, SESSIONS)
    assert tables.listings.select("ticker_type", "primary_exchange", "name").rows() == [("ETF", "XASE", "One Fund")]
    assert tables.facts.drop("listing_id", "symbol").rows() == [
        (date(2025, 1, 2), date(2025, 1, 15), False, "CS", "XNAS", "One Inc."),
        (date(2025, 1, 16), date(2025, 2, 20), True, "CS", "XASE", "One Inc."),
        (date(2025, 2, 21), None, True, "ETF", "XASE", "One Fund"),
    ]


def test_an_unknown_type_is_no_change_of_it() -> None:
    unknown = ONE._replace(type=None, exchange=None)
    truth = {"A": over(("01-01", "02-02", unknown), ("02-03", "03-02", ONE), ("03-03", "03-31", unknown))}
    asked = ask_until_clear(truth, SESSIONS, LISTS)
    facts = make_tables(asked.inferred.listings, SESSIONS).facts
    assert asked.singles == []
    assert facts.select("ticker_type", "primary_exchange").rows() == [("CS", "XNAS")]


def test_what_was_not_asked_for_is_not_exact() -> None:
    truth = {"A": over(("01-01", "02-14", ONE)), "B": over(("02-18", "03-31", TWO))}
    evidence = Evidence(SESSIONS, LISTS, sighted(truth, LISTS), OBSERVATIONS.to_frame())
    inferred = infer_listings(to_history(evidence))
    table = make_tables(inferred.listings, SESSIONS).listings
    # A is seen on 3 February and missing on 3 March, B the other way round
    assert table.select("active_from", "active_to", "from_is_exact", "to_is_exact").rows() == [
        (date(2025, 1, 2), date(2025, 2, 3), False, False),
        (date(2025, 3, 3), None, False, True),
    ]
    at = {day: number for number, day in enumerate(SESSIONS)}
    span = at[date(2025, 2, 3)], at[date(2025, 3, 3)]
    assert inferred.questions == [Question("A", *span), Question("B", *span)]


def test_rows_that_contradict_each_other_say_nothing_of_that_day() -> None:
    unclear = Row(name=None, type=None, exchange=None, is_clear=False)
    truth = {"A": {**over(("01-01", "03-31", ONE)), date(2025, 2, 3): unclear}}
    assert listings(truth) == [("A", "01-02", None, False, True, None, None)]


def test_names_of_listings_stay_when_their_days_become_known_better() -> None:
    truth = {"A": over(("01-01", "02-14", ONE), ("02-20", "03-31", TWO))}
    rough = Evidence(SESSIONS, LISTS, sighted(truth, LISTS), OBSERVATIONS.to_frame())
    before = make_tables(infer_listings(to_history(rough)).listings, SESSIONS).listings
    assert before["listing_id"].to_list() == ["A_20250102", "A_20250303"]
    asked = ask_until_clear(truth, SESSIONS, LISTS)
    after = make_tables(asked.inferred.listings, SESSIONS, before).listings
    assert after.select("listing_id", "active_from").rows() == [
        ("A_20250102", date(2025, 1, 2)),
        ("A_20250303", date(2025, 2, 20)),
    ]
    assert make_tables(asked.inferred.listings, SESSIONS).listings["listing_id"][1] == "A_20250220"


def test_lists_that_later_ones_replace_leave_what_decides() -> None:
    """Of five lists two stay: their observations say the same of every ticker as the lists did."""
    truth = {
        "A": over(("01-01", "02-14", ONE), ("02-18", "03-31", TWO)),
        "B": over(("02-20", "03-31", ONE)),
        "C": over(("01-01", "03-31", TWO)),
    }
    days = [SESSIONS[0], date(2025, 2, 14), date(2025, 2, 18), date(2025, 2, 19), SESSIONS[-1]]
    history = to_history(Evidence(SESSIONS, days, sighted(truth, days), OBSERVATIONS.to_frame()))
    kept = [SESSIONS[0], SESSIONS[-1]]
    decisive = decisive_observations(history, kept)
    # A changes hands between the 14th and the 18th, B is missing on the 19th for the last time; of C no day decides
    assert decisive.select("symbol", "day", "is_listed").rows() == [
        ("A", date(2025, 2, 14), True),
        ("A", date(2025, 2, 18), True),
        ("B", date(2025, 2, 19), False),
    ]
    again = infer_listings(to_history(Evidence(SESSIONS, kept, sighted(truth, kept), decisive)))
    assert again == infer_listings(history)
    assert decisive.head(1).equals(observed(truth, [("A", date(2025, 2, 14))]))
