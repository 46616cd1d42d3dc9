"""Inputs of `micro_features`: what is known of capture, tape that cannot be used, and settings."""

from datetime import UTC, datetime

import polars as pl
import pytest
from pydantic import ValidationError

from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.micro.params import MicroParams, check_max_hz
from smallcaps_assets.domain.research.micro.tables import MICRO_COLUMNS, MICRO_FEATURES, MICRO_WINDOWS
from smallcaps_assets.domain.research.tape.reading import TapeReading
from smallcaps_assets.errors import InputError
from smallcaps_assets_tests.unit.domain.research.micro.tapes import QUOTES, RULES, TRADES, frame_of, sessions

# ten minutes after the open
AT = datetime(2025, 6, 2, 13, 40, tzinfo=UTC)
READING = TapeReading(RULES, sessions().filter(pl.col("date") == AT.date()), MicroParams())
NO_TRADES, NO_QUOTES = frame_of({}, TRADES), frame_of({}, QUOTES)


def window(**facts: object) -> pl.DataFrame:
    row = {
        "event_id": "A",
        "span": 0,
        "timestamp": AT,
        "direction": "up",
        "window_before_min": 11,
        "window_after_min": 7,
        "trades_state": "empty",
        "quotes_state": "empty",
        "corrections_known": False,
        "quotes_hz": 20.0,
        "quotes_hz_after": 1.0,
        "quotes_by_change": False,
        "quote_size_unit": "shares",
        **facts,
    }
    return pl.DataFrame([row], schema=MICRO_WINDOWS)


def quote(at_s: int, size: float = 3.0) -> dict[str, object]:
    time = int(AT.timestamp() + at_s) * 1_000_000_000
    return {"timestamp": time, "bid_price": 2.0, "bid_size": size, "ask_price": 2.01, "ask_size": size}


def trade(at_s: float, size: float = 100.0) -> dict[str, object]:
    time = int((AT.timestamp() + at_s) * 1000) * 1_000_000
    return {"timestamp": time, "price": 2.0, "size": size, "exchange": 4, "conditions": [], "correction": None}


def figure(
    name: str, trades: list[dict[str, object]], quotes: list[dict[str, object]], lag_ms: int = 0
) -> list[object]:
    """A column of a window of three minutes before the event and seven after it."""
    reading = READING._replace(params=MicroParams(sip_trade_lag_ms=lag_ms))
    tape = frame_of({0: trades}, TRADES), frame_of({0: quotes}, QUOTES)
    return micro_features(window(window_before_min=3), *tape, reading)[name].to_list()


def test_an_empty_book_is_not_the_same_as_no_book_yet() -> None:
    nothing = dict.fromkeys(("bid_price", "bid_size", "ask_price", "ask_size"), 0.0)
    # in force from 4.8 s before the event on: unchanged for ten seconds from 5.2 s after it on
    stale = figure("stale_share", [], [{**quote(-5), **nothing}])
    assert stale[2] == pytest.approx(275 / 300)


def test_a_trade_executed_before_the_opening_book_has_no_quote() -> None:
    quotes = [quote(-200), quote(-181)]
    # reported half a second after the window's start
    assert figure("n_effective", [trade(-179.5)], quotes)[0] == 1
    assert figure("n_effective", [trade(-179.5)], quotes, lag_ms=1_000)[0] == 1
    assert figure("n_effective", [trade(-179.5)], quotes, lag_ms=2_000)[0] == 0


def test_an_order_filled_after_the_segment_is_not_filled_in_it() -> None:
    trades, quotes = [trade(70), trade(370, 20_000)], [quote(-700)]
    assert figure("fill_seconds_1000", trades, quotes) == [None, None, None, None, 310.0]
    slippage = figure("slippage_vwap_1000_bps", trades, quotes)
    # every trade is at 2.00 and the mid at 2.005
    assert slippage == [None, None, None, None, pytest.approx(1e4 * (2 / 2.005 - 1))]


def test_durations_vary_from_three_on() -> None:
    three = [trade(10), trade(20), trade(30)]
    assert figure("duration_cv", three, [])[2] is None
    # 10, 10 and 15 s: deviation sqrt(50)/3, mean 35/3
    assert figure("duration_cv", [*three, trade(45)], [])[2] == pytest.approx(50**0.5 / 35)


def test_keys_of_a_row() -> None:
    features = micro_features(window(), NO_TRADES, NO_QUOTES, READING)
    assert features["segment"].to_list() == ["pre3", "pre_all", "bar", "m5", "post_all"]
    assert features["seconds"].to_list() == [180.0, 660.0, 60.0, 300.0, 360.0]
    # the window begins a minute before the open
    assert features["crosses_session"].to_list() == [False, True, False, False, False]
    assert features["session"].unique().to_list() == ["RTH"]
    assert features["capture_state"].unique().to_list() == ["empty/empty"]
    # quotes of the seconds after the event are thinned further
    assert features["quotes_hz"].to_list() == [20.0, 20.0, 20.0, 1.0, 1.0]
    assert features["sip_trade_lag_ms"].unique().to_list() == [0]


def test_a_window_that_starts_at_the_open_does_not_cross_it() -> None:
    features = micro_features(window(window_before_min=10), NO_TRADES, NO_QUOTES, READING)
    assert features["crosses_session"].to_list() == [False] * 5


def test_segments_that_are_not_inside_the_window_have_no_row() -> None:
    short = window(window_before_min=2, window_after_min=1)
    features = micro_features(short, NO_TRADES, NO_QUOTES, READING)
    assert features["segment"].to_list() == ["pre_all", "bar"]


def test_empty_tape_has_counts_of_nothing_and_no_book() -> None:
    row = micro_features(window(), NO_TRADES, NO_QUOTES, READING).row(1, named=True)
    zeros = ("trades", "volume_shares", "net_buy_usd", "n_effective", "kyle_n", "rv_n", "unknown_condition_trades")
    assert [row[name] for name in zeros] == [0] * len(zeros)
    assert (row["none_share"], row["ofi_breaks"], row["longest_gap_s"]) == (1.0, 3300, 660.0)
    assert row["imbalance_shares"] is None


@pytest.mark.parametrize(
    ("facts", "null_halves"),
    [
        ({"trades_state": "missing"}, {"trades", "both"}),
        ({"quotes_state": "failed"}, {"quotes", "both"}),
        ({"trades_state": "failed", "quotes_state": "missing"}, {"trades", "quotes", "both"}),
    ],
)
def test_what_needs_a_missing_half_of_the_tape_is_null(facts: dict[str, str], null_halves: set[str]) -> None:
    row = micro_features(window(**facts), NO_TRADES, NO_QUOTES, READING).row(1, named=True)
    for column in MICRO_COLUMNS:
        if column.half in null_halves:
            assert row[column.name] is None, column.name
    given = {"trades": "trades", "quotes": "rv_n", "both": "n_effective"}
    assert all(row[name] == 0 for half, name in given.items() if half not in null_halves)


def test_the_opening_book_is_the_last_quote_of_its_span_before_the_window() -> None:
    quotes = frame_of({0: [quote(-3000), quote(-700)], 1: [quote(0)]}, QUOTES)
    features = micro_features(window(), NO_TRADES, quotes, READING)
    assert features["normal_share"].to_list() == [1.0] * 5
    assert micro_features(window(span=2), NO_TRADES, quotes, READING)["none_share"].to_list() == [1.0] * 5


def test_sizes_in_lots_are_of_a_hundred_shares() -> None:
    quotes = frame_of({0: [quote(-700)]}, QUOTES)
    features = micro_features(window(quote_size_unit="lots"), NO_TRADES, quotes, READING)
    assert features["depth_bid_usd_mean"].to_list() == [600.0] * 5
    assert features["book_covers_1000"].to_list() == [None, None, False, None, None]


def test_no_events_have_no_rows() -> None:
    assert micro_features(window().clear(), NO_TRADES, NO_QUOTES, READING).equals(MICRO_FEATURES.to_frame())


def test_unsorted_tape_is_rejected() -> None:
    with pytest.raises(InputError, match="quotes: rows are not sorted by span and timestamp"):
        micro_features(window(), NO_TRADES, frame_of({0: [quote(5), quote(1)]}, QUOTES), READING)
    swapped = pl.concat([frame_of({1: [quote(1)]}, QUOTES), frame_of({0: [quote(5)]}, QUOTES)])
    with pytest.raises(InputError, match="rows are not sorted by span"):
        micro_features(window(), NO_TRADES, swapped, READING)


def test_a_rate_that_is_no_multiple_of_the_grid_is_rejected_by_name() -> None:
    check_max_hz("core", 20, MicroParams())
    check_max_hz("core", None, MicroParams())
    for rate in (12, 2.5):
        with pytest.raises(
            ValueError, match=f"profile core: quotes.max_hz {rate} is not a multiple of research.grid_hz 5"
        ):
            check_max_hz("core", rate, MicroParams())


def test_a_grid_whose_interval_is_no_whole_number_of_nanoseconds_is_rejected() -> None:
    with pytest.raises(ValidationError, match="whole number of nanoseconds"):
        MicroParams(grid_hz=3)


def test_settings_hold_lists_as_files_do() -> None:
    assert MicroParams.model_validate({"auction": [8, 9]}).auction == (8, 9)
