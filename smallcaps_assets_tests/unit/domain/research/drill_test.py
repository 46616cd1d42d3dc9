"""What is planted in the company DRILL of the simulated market, and what the research rules find of it."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.research.arrays import micro_dollars
from smallcaps_assets.domain.research.bars.halts import HaltParams, bar_halts, bar_runs
from smallcaps_assets.domain.research.bars.market_state import SPLITS, MarketStateParams, day_states
from smallcaps_assets.domain.research.micro.days import spans_by_day
from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.micro.params import MicroParams
from smallcaps_assets.domain.research.micro.quote_states import NORMAL, QUOTE_STATES, read_book
from smallcaps_assets.domain.research.micro.ranges import rows_before
from smallcaps_assets.domain.research.micro.signs import SignsByMethod, signs_by_method
from smallcaps_assets.domain.research.tape.conditions import (
    CANCELLED,
    CONDITION_RULES,
    FORM_T_ID,
    MESSAGES,
    carries,
    with_trade_sets,
)
from smallcaps_assets.domain.research.tape.reading import TapeReading
from smallcaps_assets.domain.research.tape.reconciliation import COVERED_SPANS, ReconciliationParams, reconcile_bars
from smallcaps_assets.domain.research.tape.tape_halts import (
    RowRanges,
    TapeHaltParams,
    WindowTape,
    find_ssr_ids,
    tape_halts,
)
from smallcaps_assets.domain.sessions import new_york_dates, with_session
from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.simulated.hours import to_ns
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.status import condition_rows
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import default_settings, sessions_of

LATER = datetime(2026, 1, 5, 12, tzinfo=UTC)
# every theme, and the day of the split
FIRST, LAST = date(2025, 11, 13), date(2025, 11, 24)
PAUSED, FALLEN, AFTER_FALL, SPLIT, DIPPED = (date(2025, 11, day) for day in (14, 18, 19, 20, 24))
MINUTE = timedelta(minutes=1)
# what is planted from FIRST to LAST beyond the constant number a day
LATE_REPORTS, SIGNED_TRADES = 233, 48382
SHARE_SIGNED_RIGHT = {"tick": 0.7567, "lr": 0.9277, "emo": 0.8858, "clnv": 0.9156}
LEE_READY_WITH_ITS_OWN_QUOTE = 0.8328
CONDITIONS = condition_rows("trade")
STATES = ("crossed", "locked", "one_sided", "empty")


class Scene(NamedTuple):
    """What is served of DRILL, and what was planted."""

    bars: pl.DataFrame
    trades: pl.DataFrame
    quotes: pl.DataFrame
    plants: pl.DataFrame
    sides: pl.DataFrame
    events: pl.DataFrame
    splits: pl.DataFrame
    sessions: pl.DataFrame
    conditions: pl.DataFrame

    def planted(self, *kinds: str) -> pl.DataFrame:
        return self.plants.filter(pl.col("kind").is_in(kinds))


@cache
def scene(seed: int = 7, first: date = FIRST, last: date = LAST) -> Scene:
    market = SimulatedMarket(seed=seed, symbols=1, clock=lambda: LATER, drill=True)
    sessions = sessions_of(str(first), str(last))
    bounds = (sessions["premarket_open"][0], sessions["afterhours_close"][-1])
    trades, quotes = (fetch("DRILL", *(to_ns(bound) for bound in bounds)) for fetch in (market.trades, market.quotes))
    regular = with_session(trades.select("timestamp"), sessions)["session"] == "RTH"
    names = CONDITION_RULES.names()[1:]
    rules = [
        (row["id"], *(row.get("update_rules", {}).get("consolidated", {}).get(rule) for rule in names))
        for row in CONDITIONS
    ]
    splits = [
        (row["ticker"], date.fromisoformat(str(row["execution_date"])), row["split_from"], row["split_to"])
        for row in market.splits()
        if row["ticker"] == "DRILL"
    ]
    return Scene(
        bars=market.bars("DRILL", first, last),
        trades=trades.with_columns(symbol=pl.lit("DRILL"), regular=regular),
        quotes=quotes.with_columns(symbol=pl.lit("DRILL")),
        plants=market.plants(first, last),
        sides=market.sides(first, last),
        events=market.truth(first, last).filter(symbol="DRILL"),
        splits=pl.DataFrame(splits, schema=SPLITS, orient="row", strict=False),
        sessions=sessions,
        conditions=pl.DataFrame(rules, schema=CONDITION_RULES, orient="row"),
    )


def days_of(made: Scene, kind: str) -> list[date]:
    return [date.fromisoformat(text) for text in made.planted(kind)["date"]]


def test_planted_events_are_detected() -> None:
    settings, made = default_settings(), scene()
    found = detect(made.bars, made.sessions, settings.detection).events
    assert made.events["timestamp"].n_unique() == 5
    keys = ["symbol", "event_type", "direction", "timestamp"]
    assert made.events.join(found, on=keys, how="anti").is_empty()


@pytest.mark.parametrize(("seed", "first"), [(7, FIRST), (8, date(2025, 10, 29))])
def test_halts_falls_and_the_split_are_found_and_none_invented(seed: int, first: date) -> None:
    made = scene(seed, first)
    labeled = with_session(made.bars, made.sessions)
    runs = bar_runs(labeled, made.sessions, HaltParams())
    rounds = 1 if first == FIRST else 2
    halts, planted = bar_halts(runs), made.planted("halt")
    assert halts.select("start", "end").rows() == planted.select("start", "end").rows()
    gaps, thin = runs.filter(~pl.col("is_halt")), made.planted("gap_without_halt")
    assert gaps["start"].to_list() == thin["start"].to_list()
    assert len(halts) == len(gaps) == rounds
    states = day_states(labeled, made.sessions, made.splits, MarketStateParams())
    falls = states.filter("ssr_triggered")
    assert falls["day"].to_list() == days_of(made, "short_sale_fall")
    assert len(falls) == rounds
    early = made.planted("short_sale_fall")["start"] - falls["ssr_at"]
    assert early.is_between(timedelta(0), 4 * MINUTE).all(), "in the run up to the planted minute"
    after = states.filter("ssr_previous")["day"].to_list()
    assert after == days_of(made, "short_sale_fall_day_before")
    assert after[-1] == AFTER_FALL
    assert states.filter("split_on_date")["day"].to_list() == days_of(made, "split") == [SPLIT]


def reconcile(trades: pl.DataFrame) -> pl.DataFrame:
    made = scene()
    spans = made.sessions.select(
        symbol=pl.lit("DRILL"), start=pl.col("premarket_open").cast(UTC_US), end=pl.col("afterhours_close").cast(UTC_US)
    ).match_to_schema(COVERED_SPANS)
    return reconcile_bars(
        trades.drop("regular"),
        made.bars,
        spans,
        sessions=made.sessions,
        conditions=made.conditions,
        params=ReconciliationParams(),
    )


def test_each_planted_difference_of_bars_and_tape_is_named_and_no_other() -> None:
    made = scene()
    minutes = reconcile(made.trades)
    classes = {"cancelled_in_bar": "cancel", "missing_bar": "missing_bar", "missing_trades": "bar_without_trades"}
    expected = sorted(
        (start.replace(second=0, microsecond=0), classes[kind])
        for start, kind in made.planted(*classes).select("start", "kind").iter_rows()
    )
    other = minutes.filter(~pl.col("class").is_in(["exact", "no_trades_no_bar"]))
    assert other.select("timestamp", "class").rows() == expected
    counts = dict(minutes["class"].value_counts().iter_rows())
    assert counts.pop("no_trades_no_bar") > 2000
    assert counts == {"exact": len(made.bars) - 6, "cancel": 5, "missing_bar": 1, "bar_without_trades": 1}


def test_without_corrections_the_cancelled_trades_and_the_messages_are_differences() -> None:
    made = scene()
    minutes = reconcile(made.trades.drop("correction"))
    found = minutes.filter(~pl.col("class").is_in(["exact", "no_trades_no_bar", "missing_bar", "bar_without_trades"]))
    # a cancelled trade that the bar holds reconciles now
    wrong = made.planted("cancelled", "message")["start"].dt.truncate("1m").unique().sort()
    assert found["timestamp"].to_list() == wrong.to_list()
    assert wrong.len() == 10


def test_late_cancelled_corrected_and_unknown_trades_are_those_planted() -> None:
    made = scene()
    sets = with_trade_sets(made.trades, made.conditions, MicroParams())
    found = {
        "late_report": pl.col("timestamp") - pl.col("participant_timestamp") >= timedelta(seconds=10),
        "cancelled": pl.col("correction") == 7,
        "cancelled_in_bar": pl.col("correction") == 8,
        "corrected": pl.col("correction") == 1,
        "message": pl.col("correction").is_in(MESSAGES),
        "unknown_condition": pl.col("has_unknown"),
    }
    for kind, condition in found.items():
        assert sets.filter(condition)["timestamp"].to_list() == made.planted(kind)["start"].to_list(), kind
    counts = {kind: made.planted(kind).height for kind in found}
    assert counts == {
        "late_report": LATE_REPORTS,
        "cancelled": 5,
        "cancelled_in_bar": 5,
        "corrected": 5,
        "message": 10,
        "unknown_condition": 15,
    }
    late = sets.filter(found["late_report"], pl.col("conditions").list.len() == 0)
    assert late.height == 20, "four a day are ordinary trades of a reporting facility"
    assert (late["exchange"] == MicroParams().trf_exchange_id).all()
    assert not sets.filter("has_unknown").select(pl.any_horizontal("in_v", "in_hl", "in_oc", "in_g").any()).item()


def test_kinds_of_trades_are_as_many_as_planted() -> None:
    made = scene()
    ids = made.trades["conditions"]
    auction = (*MicroParams().auction, 16)
    restricted = find_ssr_ids(pl.DataFrame(CONDITIONS, strict=False).select("id", "name"))
    counts = {
        "odd_lot": made.trades["size"] < MicroParams().round_lot_shares,
        "auction": carries(ids, auction),
        "short_sale_restricted": carries(ids, restricted),
        "form_t_in_regular_hours": carries(ids, [FORM_T_ID]) & made.trades["regular"],
    }
    for kind, rows in counts.items():
        assert rows.sum() == made.planted(kind)["rows"].sum() > 0, kind
    days = made.trades.filter(carries(ids, restricted))["timestamp"].dt.date().unique().sort().to_list()
    assert days == [FALLEN, AFTER_FALL]
    planted = made.planted("sweep")
    sweeps = planted.join(made.trades, left_on="start", right_on="timestamp")
    assert sweeps.height == planted["rows"].sum() == 25
    assert carries(sweeps["conditions"], [14]).all()
    assert sweeps.group_by("start").agg(pl.col("price").diff().min() > 0)["price"].all(), "through rising prices"


def test_states_of_the_book_are_those_planted() -> None:
    made = scene()
    time = made.quotes["timestamp"].dt.epoch("ns").to_numpy()
    states = pl.Series("state", read_book(made.quotes, time, np.ones(len(time))).state[:-1])
    days = new_york_dates(made.quotes["timestamp"])
    # the first quote of a day has no bid yet
    odd = made.quotes.select("timestamp", states).filter((states != NORMAL) & (days == days.shift(1)))
    planted = made.planted(*(f"{name}_book" for name in STATES)).select("start", "end", "kind").sort("start")
    owner = odd.join_asof(planted, left_on="timestamp", right_on="start")
    assert (owner["timestamp"] < owner["end"]).all()
    kinds = pl.Series([f"{name}_book" for name in QUOTE_STATES])
    assert kinds.gather(owner["state"]).to_list() == owner["kind"].to_list()
    assert owner["start"].n_unique() == planted.height == 25


def test_shares_of_time_of_the_book_are_those_planted() -> None:
    made = scene()
    stories = made.events.unique("timestamp").sort("timestamp")
    wanted = stories.select("symbol", "timestamp", "direction", event_id=pl.col("date"))
    params = MicroParams(quote_sizes_in_shares_from=date(2025, 1, 1))
    rows = micro_features(
        *spans_by_day(wanted, made.trades, made.quotes, params), TapeReading(made.conditions, made.sessions, params)
    )
    segments = {"pre3": (-3 * MINUTE, 0 * MINUTE), "bar": (0 * MINUTE, MINUTE), "m5": (MINUTE, 6 * MINUTE)}
    step = timedelta(milliseconds=200)
    seen = 0.0
    for row in rows.filter(pl.col("segment").is_in(list(segments))).rows(named=True):
        moment = stories.filter(date=row["event_id"])["timestamp"][0]
        begin, end = (moment + bound for bound in segments[row["segment"]])
        points = [begin + step * number for number in range(1, (end - begin) // step + 1)]
        for name in STATES:
            spans = made.planted(f"{name}_book").select("start", "end").rows()
            hit = sum(any(start < point <= end for start, end in spans) for point in points)
            assert row[f"{name}_share"] == pytest.approx(hit / len(points), abs=1e-12), (row["segment"], name)
            seen += row[f"{name}_share"]
    # of five events: 12 + 8 + 9 + 6 of the 180 s before, 5 of the 60 s of the bar
    assert seen == pytest.approx(5 * (35 / 180 + 5 / 60))


def test_a_planted_pause_is_a_halt_of_the_tape() -> None:
    made = scene()
    stories = made.events.unique("timestamp").sort("timestamp")
    events = stories.select(
        "symbol",
        "date",
        event_id=pl.col("date"),
        window_start=pl.col("timestamp") - 10 * MINUTE,
        window_end=pl.col("timestamp") + 20 * MINUTE,
    )
    bounds = [events[name].cast(pl.Datetime("ns", "UTC")) for name in ("window_start", "window_end")]
    trades = with_trade_sets(made.trades, made.conditions, MicroParams())

    def rows(frame: pl.DataFrame, opening: int) -> RowRanges:
        first, last = (frame["timestamp"].search_sorted(bound).to_numpy().astype(np.int64) for bound in bounds)
        return RowRanges(first - opening, last)

    tape = WindowTape(trades, rows(trades, 0), made.quotes, rows(made.quotes, 1))
    halts, ended = tape_halts(events, tape, made.sessions, TapeHaltParams())
    planted = made.planted("halt")
    assert halts["event_id"].to_list() == planted["date"].to_list()
    assert ended["ended_by_trade"].all()
    near = {"start": (pl.col("start") - MINUTE, pl.col("start")), "end": (pl.col("end"), pl.col("end") + MINUTE)}
    for name, (low, high) in near.items():
        assert (halts[name] >= planted.select(low).to_series()).all()
        assert (halts[name] < planted.select(high).to_series()).all()
    shown = made.quotes.filter(pl.col("indicators").list.len() > 0)
    assert shown["indicators"].to_list() == [[2], [3], [4]] * planted.height
    between = shown.filter(pl.col("timestamp").is_between(planted["start"][0], planted["end"][0]))
    assert between["indicators"].to_list() == [[3], [4]]


def test_share_of_trades_signed_right_by_each_rule() -> None:
    made = scene()
    truth = made.sides.select("timestamp", "sequence_number", truth=pl.when(side="buy").then(1).otherwise(-1))
    signable = with_trade_sets(made.trades, made.conditions, MicroParams()).filter("in_g")
    trades = signable.join(truth, on=["timestamp", "sequence_number"], how="left", maintain_order="left")
    # cancelled trades keep their place in the order of prices and have no side
    unknown = trades.filter(pl.col("truth").is_null())
    assert set(unknown["correction"]) == set(CANCELLED)
    assert trades.height - unknown.height == made.sides.height == SIGNED_TRADES
    quoted, traded = (rows["timestamp"].dt.epoch("ns").to_numpy() for rows in (made.quotes, trades))
    at, with_its_own_quote = rows_before(quoted, traded), rows_before(quoted, traded + 1)
    day = new_york_dates(trades["timestamp"]).to_physical().to_numpy()
    book = read_book(made.quotes, quoted, np.ones(len(quoted)))
    prices = micro_dollars(trades["price"].to_numpy())
    found = signs_by_method(prices, day, book, at)
    late = trades["timestamp"] - trades["participant_timestamp"] >= timedelta(seconds=10)
    right = trades.select(
        "truth", late=late, **{name: pl.Series(signs) == pl.col("truth") for name, signs in found._asdict().items()}
    )
    rules = SignsByMethod._fields
    shares = {rule: round(right[rule].mean(), 4) for rule in rules}
    assert shares == SHARE_SIGNED_RIGHT
    # a trade must not be joined to the quote that results from it
    late_join = signs_by_method(prices, day, book, with_its_own_quote).lr
    assert round((pl.Series(late_join) == trades["truth"]).mean(), 4) == LEE_READY_WITH_ITS_OWN_QUOTE
    of_late = right.filter("late", pl.col("truth").is_not_null())
    assert of_late.height == 20
    assert all(of_late[rule].mean() < 0.7 for rule in rules), "at prices and quotes of another time"
    page = (REPOSITORY / "docs" / "simulated-market.md").read_text(encoding="utf-8")
    quotes = "".join(f"| {shares[rule]:.1%} " for rule in rules)
    assert f"{quotes}|".replace("%", " %") in page
    assert f"{LEE_READY_WITH_ITS_OWN_QUOTE:.1%}".replace("%", " %") in page
