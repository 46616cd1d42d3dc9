"""Values that mean "not known": which they are, and that each is counted."""

from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import REPEATED, clean_bars, reasons, usable_rows
from smallcaps_assets.domain.bars.unknown import count_unknown, describe_unknown
from smallcaps_assets.domain.imports.conflicts import compare_bars
from smallcaps_assets_tests.scenarios import bars_from

BARS = bars_from("2025-11-05 09:30", [(10.0, 10.2, 9.9, 10.1, 500.0, 7)] * 3)
TOO_LARGE = "the volume is too large for any market"


def with_first(name: str, value: Any) -> pl.DataFrame:
    """The bars, of which the first has another value."""
    given = pl.lit(value, BARS.schema[name])
    return BARS.with_columns(pl.when(pl.int_range(pl.len()) == 0).then(given).otherwise(name).alias(name))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("transactions", value) for value in (0, -1, -(2**63), 2**31 - 1, 2**63 - 1)),
        *(
            ("vwap", value)
            for value in (0.0, -1.0, float("inf"), float("-inf"), 1_000_000.1, 2**31 - 1.0, 2**32 - 1.0, 1e308)
        ),
    ],
)
def test_a_value_that_no_minute_with_a_volume_has_is_null_and_counted(name: str, value: Any) -> None:
    clean = clean_bars(with_first(name, value))
    assert_frame_equal(clean.good, with_first(name, None))
    assert clean.quarantined.is_empty()
    other = "vwap" if name == "transactions" else "transactions"
    assert count_unknown(clean.unknown) == {f"{name}_unknown": 1, f"{other}_unknown": 0}
    assert clean.unknown.select("symbol", "timestamp").row(0) == BARS.select("symbol", "timestamp").row(0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("transactions", 1), ("transactions", 2**31 - 2), ("vwap", 1e-4), ("vwap", 1e6), ("vwap", 10.3)],
)
def test_any_other_value_stays(name: str, value: Any) -> None:
    clean = clean_bars(with_first(name, value))
    assert_frame_equal(clean.good, with_first(name, value))
    assert clean.unknown.is_empty()


@pytest.mark.parametrize(("name", "value"), [("transactions", None), ("vwap", None), ("vwap", float("nan"))])
def test_a_missing_value_is_not_counted(name: str, value: Any) -> None:
    clean = clean_bars(with_first(name, value))
    assert_frame_equal(clean.good, with_first(name, None))
    assert clean.unknown.is_empty()


@pytest.mark.parametrize(("value", "good"), [(2e9, 3), (2**31 - 1.0, 2), (2**32 - 1.0, 2), (1.7e308, 2)])
def test_a_volume_too_large_for_any_market_is_quarantined_as_given(value: float, good: int) -> None:
    clean = clean_bars(with_first("volume", value))
    assert clean.good.height == good
    assert reasons(clean.quarantined) == ({TOO_LARGE: 1} if good == 2 else {})
    assert clean.quarantined["volume"].to_list() == [value] * (3 - good)


def test_the_values_of_a_bad_row_stay_as_given_and_are_not_counted() -> None:
    bad = with_first("transactions", -1).with_columns(volume=pl.lit(0.0))
    clean = clean_bars(bad)
    assert clean.quarantined["transactions"].to_list() == [-1, 7, 7]
    assert clean.unknown.is_empty()


def test_a_row_that_repeats_a_minute_is_not_counted() -> None:
    clean = clean_bars(pl.concat([BARS, with_first("transactions", 0)]))
    assert_frame_equal(clean.good, BARS)
    assert reasons(clean.quarantined) == {REPEATED: 3}
    assert clean.unknown.is_empty()
    # each row counts where repeats are removed later
    assert usable_rows(pl.concat([with_first("transactions", 0)] * 2)).unknown.height == 2


@pytest.mark.parametrize("value", [0, -1, None])
def test_a_published_value_that_means_unknown_is_filled_in(value: int | None) -> None:
    """As an earlier release stored it; nothing of it differs from the true counts."""
    published = BARS.with_columns(transactions=pl.lit(value, pl.Int64))
    found = compare_bars(published, BARS)
    assert (found.new.height, found.differing.height, found.equal) == (0, 0, 3)
    assert_frame_equal(found.filled, BARS)
    again = compare_bars(published, published)
    assert (again.equal, again.filled.height) == (3, 0)


def test_a_known_value_is_not_lost_to_an_unknown_one() -> None:
    found = compare_bars(BARS, BARS.with_columns(transactions=pl.lit(0, pl.Int64), vwap=pl.lit(-1.0)))
    assert (found.equal, found.filled.height, found.differing.height) == (3, 0, 0)


def test_each_count_is_one_line() -> None:
    assert describe_unknown({"transactions_unknown": 0, "vwap_unknown": 0}) == []
    transactions, vwap = describe_unknown({"transactions_unknown": 1625, "vwap_unknown": 2})
    assert transactions.startswith("1,625 bars have a volume but a number of transactions that is 0 or less")
    assert vwap.startswith("2 bars have a vwap that is 0 or less")
