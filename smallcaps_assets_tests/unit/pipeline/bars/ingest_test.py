"""Bars of a vendor that repeats or contradicts itself, or answers with something else: what is stored and reported."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.minutes import CONFLICT
from smallcaps_assets.domain.bars.quality import NOT_A_MINUTE, reasons
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.files.publish import PROVENANCE, provenance_of
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, refusal
from smallcaps_assets_tests.scenarios import flip_bit, new_york, sessions_of

MONTH = sessions_of("2025-11-03", "2025-11-28")["date"].to_list()
DAY = MONTH[5]
Row = dict[str, Any]


def bar(day: date, minute: float, **values: object) -> Row:
    """A bar some minutes after 09:30."""
    at = new_york(f"{day} 09:30") + timedelta(minutes=minute)
    usual = {"o": 5.0, "h": 5.02, "l": 4.99, "c": 5.01, "v": 2000, "vw": 5.0, "n": 20}
    return {**usual, "t": int(at.timestamp() * 1000), **values}


class Vendor:
    """Answers with ten bars of each session, except where a test says otherwise."""

    def __init__(self, gate: Gate) -> None:
        self.days: dict[date, list[Row]] = {day: [bar(day, minute) for minute in range(10)] for day in MONTH}
        self.bad: set[date] = set()  # the answers to requests that reach these days are not understood
        self.asked: list[tuple[date, date]] = []
        gate.rule = self.reply

    def reply(self, path: str, query: Mapping[str, str]) -> Reply:  # noqa: ARG002
        first, last = (date.fromisoformat(part) for part in path.split("/")[-2:])
        self.asked.append((first, last))
        rows = [row for day, of_day in self.days.items() if first <= day <= last for row in of_day]
        if any(first <= day <= last for day in self.bad):
            rows = [{name: value for name, value in row.items() if name != "v"} for row in rows]
        head = {"ticker": "ABCD", "adjusted": False, "status": "OK", "queryCount": len(rows), "resultsCount": len(rows)}
        return Reply(200, {}, json.dumps({**head, "results": rows} if rows else head).encode())


@pytest.fixture
def vendor(gate: Gate) -> Vendor:
    return Vendor(gate)


def ingest(lake: Lake, client: MarketDataClient, due: Sequence[date] = MONTH) -> tuple[Outcome, list[str]]:
    lines: list[str] = []
    (outcome,) = ingest_bars(["ABCD"], due, client, BarsStore(lake), 1, log=lines.append)
    return outcome, [line for line in lines if line.startswith("ABCD")]


def aside(lake: Lake) -> pl.DataFrame:
    return pl.read_parquet(lake.quarantine / "bars" / "minute" / "symbol=ABCD" / "2025-11.parquet")


def test_an_answer_that_repeats_its_rows_is_stored_once(lake: Lake, client: MarketDataClient, vendor: Vendor) -> None:
    """All of them again at the end, one again beside itself, and one out of order."""
    for day, again in zip(MONTH[:3], (slice(10), slice(9, 10), slice(4, 5)), strict=True):
        vendor.days[day] = [*vendor.days[day], *vendor.days[day][again]]
    outcome, lines = ingest(lake, client)
    assert outcome.problems == ()
    assert BarsStore(lake).read("ABCD").height == 10 * len(MONTH)
    figures = outcome.figures
    assert (figures["rows"], figures["rows_repeated"], figures["rows_quarantined"]) == (10 * len(MONTH), 12, 0)
    assert lines == ["ABCD, 2025-11-03 to 2025-11-28: 12 rows repeat another exactly"]
    assert vendor.asked == [(MONTH[0], MONTH[-1])]


def test_rows_that_repeat_between_pages_are_counted(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    """The second page begins with the last three rows of the first."""
    rows = [bar(DAY, minute) for minute in range(20)]

    def reply(path: str, query: Mapping[str, str]) -> Reply:
        some = rows[9:] if "cursor" in query else rows[:12]
        head = {"ticker": "ABCD", "adjusted": False, "status": "OK", "queryCount": len(some), "resultsCount": len(some)}
        more = {} if "cursor" in query else {"next_url": f"https://vendor{path}?cursor=c"}
        return Reply(200, {}, json.dumps({**head, **more, "results": some}).encode())

    gate.rule = reply
    outcome, _ = ingest(lake, client, [DAY])
    assert (outcome.problems, outcome.figures["rows"], outcome.figures["rows_repeated"]) == ((), 20, 3)


@pytest.mark.parametrize("place", [6, 10], ids=["beside it", "out of order"])
def test_differing_bars_of_a_minute_are_both_set_aside(
    lake: Lake, client: MarketDataClient, vendor: Vendor, place: int
) -> None:
    """600 and 949 shares at 09:35: neither is the minute's bar."""
    vendor.days[DAY][5] |= {"v": 600, "n": 1}
    vendor.days[DAY].insert(place, bar(DAY, 5, v=949, n=9))
    outcome, lines = ingest(lake, client)
    assert outcome.problems == ()
    minute = new_york(f"{DAY} 09:35").astimezone(UTC)
    bars = BarsStore(lake).read("ABCD", DAY, DAY)
    assert bars.height == 9
    assert bars.filter(pl.col("timestamp") == minute).is_empty()
    assert aside(lake).select("timestamp", "volume", "reason").rows() == [
        (minute, 600.0, CONFLICT),
        (minute, 949.0, CONFLICT),
    ]
    assert outcome.figures["rows_quarantined"] == 2
    assert lines == [f"ABCD, 2025-11-03 to 2025-11-28: 0 rows repeat another exactly; 2 rejected: {CONFLICT}"]


def test_bars_off_the_minute_are_set_aside_and_the_session_is_stored(
    lake: Lake, client: MarketDataClient, vendor: Vendor
) -> None:
    vendor.days[DAY] += [bar(DAY, 10.5), bar(DAY, 11 + 59 / 60), bar(DAY, 12)]
    outcome, lines = ingest(lake, client)
    assert outcome.problems == ()
    assert BarsStore(lake).read("ABCD", DAY, DAY).height == 11
    assert reasons(aside(lake)) == {NOT_A_MINUTE: 2}
    assert lines == [f"ABCD, 2025-11-03 to 2025-11-28: 0 rows repeat another exactly; 2 rejected: {NOT_A_MINUTE}"]


@pytest.mark.parametrize(("minutes", "words"), [(5, "bars of 5 minutes"), (1 / 60, "bars of seconds")])
def test_a_session_of_other_bars_than_asked_for_is_named_and_stays_missing(
    lake: Lake, client: MarketDataClient, vendor: Vendor, minutes: float, words: str
) -> None:
    vendor.days[DAY] = [bar(DAY, minutes * number) for number in range(60)]
    outcome, _ = ingest(lake, client)
    assert outcome.problems == (
        f"ABCD, {DAY}: the vendor answered with {words}, not of one minute. Nothing of this session was kept.",
    )
    assert BarsStore(lake).covered("ABCD") == set(MONTH) - {DAY}
    assert outcome.figures["sessions_fetched"] == len(MONTH) - 1
    vendor.asked.clear()
    ingest(lake, client)
    assert vendor.asked == [(DAY, DAY)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"o": -1.0, "h": -1.0, "l": -1.0, "c": -1.0}, "a price is missing or not positive in 8 of 10 bars"),
        ({"h": 4.0}, "high or low contradicts open and close in 8 of 10 bars"),
        ({"c": 1e308, "h": 1e308}, "a price is above 1,000,000 dollars in 8 of 10 bars"),
    ],
)
def test_a_session_of_impossible_bars_is_named_and_stays_missing(
    lake: Lake, client: MarketDataClient, vendor: Vendor, values: dict[str, float], words: str
) -> None:
    """A few of them are set aside."""
    few = MONTH[7]
    vendor.days[DAY] = [bar(DAY, minute, **(values if minute < 8 else {})) for minute in range(10)]
    vendor.days[few] = [bar(few, minute, **(values if minute < 5 else {})) for minute in range(10)]
    outcome, _ = ingest(lake, client)
    (problem,) = outcome.problems
    assert problem.startswith(
        f"ABCD, {DAY}: the vendor answered with impossible bars: {words}, such as {DAY} 14:30 UTC"
    )
    assert "open " in problem
    assert BarsStore(lake).covered("ABCD") == set(MONTH) - {DAY}
    assert (BarsStore(lake).read("ABCD", few, few).height, aside(lake).height) == (5, 5)
    vendor.asked.clear()
    vendor.days[DAY] = [bar(DAY, minute) for minute in range(10)]
    outcome, _ = ingest(lake, client)
    assert (outcome.problems, vendor.asked) == ((), [(DAY, DAY)])


def test_minutes_that_are_filled_up_without_volume_are_no_fault(
    lake: Lake, client: MarketDataClient, vendor: Vendor
) -> None:
    vendor.days[DAY] = [bar(DAY, minute, **({"v": 0} if minute < 8 else {})) for minute in range(10)]
    outcome, _ = ingest(lake, client)
    assert outcome.problems == ()
    assert (BarsStore(lake).read("ABCD", DAY, DAY).height, aside(lake).height) == (2, 8)


def test_a_month_of_hours_is_rejected_session_by_session(lake: Lake, client: MarketDataClient, vendor: Vendor) -> None:
    vendor.days = {day: [bar(day, 60 * hour) for hour in range(7)] for day in MONTH}
    outcome, _ = ingest(lake, client)
    assert len(outcome.problems) == len(MONTH)
    assert all("bars of 1 hour, not of one minute" in problem for problem in outcome.problems)
    assert BarsStore(lake).covered("ABCD") == set()


def test_a_bad_day_does_not_take_its_month_along(lake: Lake, client: MarketDataClient, vendor: Vendor) -> None:
    """20 sessions: 10 further requests at most, two for each halving of 20, 10, 5, 3 (or 2) and 2."""
    vendor.bad = {DAY}
    outcome, _ = ingest(lake, client)
    assert [problem.split(": ")[0] for problem in outcome.problems] == [f"ABCD, {DAY}"]
    assert "rows lack `v`" in outcome.problems[0]
    assert BarsStore(lake).covered("ABCD") == set(MONTH) - {DAY}
    assert 1 < len(vendor.asked) <= 11
    assert outcome.figures["requests"] == len(vendor.asked)
    vendor.bad.clear()
    vendor.asked.clear()
    outcome, _ = ingest(lake, client)
    assert (outcome.problems, vendor.asked) == ((), [(DAY, DAY)])
    assert BarsStore(lake).covered("ABCD") == set(MONTH)


def test_a_vendor_whose_answers_are_all_bad_is_asked_little_more(
    lake: Lake, client: MarketDataClient, vendor: Vendor
) -> None:
    """Seven requests for the newest month, one for each older one."""
    vendor.bad = set(MONTH)
    october = sessions_of("2025-10-01", "2025-10-31")["date"].to_list()
    vendor.days |= {day: [bar(day, 0)] for day in october}
    vendor.bad |= set(october)
    outcome, _ = ingest(lake, client, [*october, *MONTH])
    assert [problem.split(": ")[0] for problem in outcome.problems] == ["ABCD, 2025-11", "ABCD, 2025-10"]
    assert len(vendor.asked) == 8


def test_a_vendor_that_is_down_is_not_asked_for_less(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    gate.rule = lambda path, query: refusal(503)  # noqa: ARG005
    outcome, _ = ingest(lake, client)
    assert len(outcome.problems) == 1
    assert len(gate.requests) == 2  # a request and its retry


def test_files_of_an_earlier_release_are_rewritten_without_a_request(
    lake: Lake, client: MarketDataClient, vendor: Vendor
) -> None:
    """They have the symbol as a column too, which keeps pandas and pyarrow from reading the folder."""
    ingest(lake, client)
    (path,) = lake.bars("ABCD").iterdir()
    footer = {name: value for name, value in (provenance_of(path) or {}).items() if name != "symbol"}
    bars = BarsStore(lake).read("ABCD")
    bars.write_parquet(path, metadata={PROVENANCE: json.dumps(footer)})
    vendor.asked.clear()
    outcome, _ = ingest(lake, client)
    assert not vendor.asked
    assert (outcome.problems, outcome.rows, outcome.figures["sessions_fetched"]) == ((), bars.height, 0)
    assert "symbol" not in pl.read_parquet_schema(path)
    assert_frame_equal(BarsStore(lake).read("ABCD"), bars)
    assert outcome.version == BarsStore(lake).version("ABCD")


# ------------------------------------------------------------------------------------------------- damaged files


def test_a_damaged_month_spends_no_request_unless_it_is_to_be_fetched_again(
    lake: Lake, client: MarketDataClient, vendor: Vendor
) -> None:
    ingest(lake, client, MONTH[:-1])
    store = BarsStore(lake)
    before, path = store.read("ABCD"), lake.bars("ABCD") / "2025-11.parquet"
    flip_bit(path)
    vendor.asked.clear()
    outcome, _ = ingest(lake, client)
    assert "2025-11.parquet: is damaged" in outcome.problems[0]
    assert "refetch_damaged: true" in outcome.problems[0]
    assert vendor.asked == []
    (again,) = ingest_bars(["ABCD"], MONTH[:-1], client, store, 1, refetch_damaged=True)
    assert (again.problems, again.figures["files_set_aside"], again.figures["requests"]) == ((), 1, 1)
    assert_frame_equal(store.read("ABCD"), before)
    assert len(list((lake.quarantine / "damaged").rglob("*.damaged"))) == 1
    vendor.asked.clear()
    (nothing,) = ingest_bars(["ABCD"], MONTH[:-1], client, store, 1, refetch_damaged=True)
    assert (nothing.figures["requests"], vendor.asked) == (0, [])


def test_sessions_on_which_the_symbol_is_listed_under_no_security_are_not_asked_for(
    lake: Lake, client: MarketDataClient, vendor: Vendor
) -> None:
    october = sessions_of("2025-10-01", "2025-10-31")["date"].to_list()
    due = [*october, *MONTH]

    def ingest_listed(unlisted: dict[str, set[date]]) -> Mapping[str, object]:
        (outcome,) = ingest_bars(["ABCD"], due, client, BarsStore(lake), 1, unlisted=unlisted)
        assert outcome.problems == ()
        return outcome.figures

    # listed since the third session of November; OTHER is nothing to it
    figures = ingest_listed({"ABCD": {*october, *MONTH[:2]}, "OTHER": {*MONTH}})
    assert vendor.asked == [(MONTH[2], MONTH[-1])]
    assert (figures["sessions_due"], figures["sessions_not_listed"]) == (len(MONTH) - 2, len(october) + 2)
    # what turns out to be unknown is asked for
    figures = ingest_listed({"ABCD": {*october}})
    assert vendor.asked[1:] == [(MONTH[0], MONTH[1])]
    assert figures["sessions_not_listed"] == len(october)
    vendor.asked.clear()
    assert "sessions_not_listed" not in ingest_listed({})
    assert vendor.asked == [(october[0], october[-1])]
