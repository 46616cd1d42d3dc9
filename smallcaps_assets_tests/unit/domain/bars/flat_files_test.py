"""Flat files: whole, of their day, with tickers as texts; bad rows are set aside with their reason."""

import gzip
from contextlib import nullcontext
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.flat_files import (
    FIELDS_MISSING,
    FLAT_BARS,
    HEADER,
    OTHER_DAY,
    as_served,
    parse_flat_file,
    require_whole_market,
)
from smallcaps_assets.domain.bars.minutes import CONFLICT
from smallcaps_assets.domain.bars.quality import NOT_A_MINUTE
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import BadPage
from smallcaps_assets_tests.flat_scenes import flat_content, flat_text
from smallcaps_assets_tests.scenarios import bars_from, flat

DAY = date(2025, 11, 5)
# texts that readers of CSV take for a missing value, a truth, a number, or a name in other letters
HOSTILE = ["1E5", "BFpA", "BFPA", "BRK.B", "FALSE", "INF", "NA", "NAN", "NULL", "TRUE", "nan", "null"]


def bars_of(*symbols: str, minutes: int = 3, start: str = "2025-11-05 09:30") -> pl.DataFrame:
    return pl.concat([bars_from(start, flat(minutes, volume=1_234.5), symbol) for symbol in symbols])


def packed(*lines: str, header: str = HEADER) -> bytes:
    return gzip.compress("\n".join([header, *lines, ""]).encode())


GOOD = flat_text(bars_of("AEMD", "BFpA", minutes=10)).splitlines()[1:]


@pytest.mark.parametrize("symbol", HOSTILE)
def test_every_ticker_is_a_text(symbol: str) -> None:
    """Beside another ticker, and alone, where a reader that infers types would see only numbers or nulls."""
    for bars in (bars_of(symbol), bars_of(symbol, "AEMD")):
        found = parse_flat_file(flat_content(bars), DAY)
        assert_frame_equal(found.bars, bars.sort("symbol", "timestamp").select(*FLAT_BARS))
        assert (found.rejected.height, found.rows, found.repeats) == (0, bars.height, 0)


def test_all_hostile_tickers_together_stay_apart() -> None:
    found = parse_flat_file(flat_content(bars_of(*HOSTILE)), DAY)
    assert found.bars["symbol"].unique(maintain_order=True).to_list() == sorted(HOSTILE)


def test_rows_in_any_order_and_in_several_members_of_gzip() -> None:
    text = flat_text(bars_of("AEMD", "BFpA")).encode()
    content = gzip.compress(text[:100]) + gzip.compress(text[100:]) + b"\0" * 10
    expected = parse_flat_file(flat_content(bars_of("AEMD", "BFpA")), DAY)
    assert_frame_equal(parse_flat_file(content, DAY).bars, expected.bars)
    lines = text.decode().splitlines()
    shuffled = gzip.compress("\r\n".join([lines[0], *reversed(lines[1:])]).encode())
    assert_frame_equal(parse_flat_file(shuffled, DAY).bars, expected.bars)


@pytest.mark.parametrize("kept", [0, 1, 5, 11, 40, -9, -8, -4, -1])
def test_a_truncated_file_is_rejected_wherever_it_ends(kept: int) -> None:
    """At the beginning, in the header of gzip, in its data, and in the checksum and size that end it."""
    content = flat_content(bars_of("AEMD", "BFpA", minutes=200))
    with pytest.raises(BadPage, match=r"it is not whole|it is empty"):
        parse_flat_file(content[:kept], DAY)


@pytest.mark.parametrize("place", [30, -12, -6])
def test_a_changed_byte_is_rejected(place: int) -> None:
    content = bytearray(flat_content(bars_of("AEMD", minutes=200)))
    content[place] ^= 1
    with pytest.raises(BadPage):
        parse_flat_file(bytes(content), DAY)


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace("open,close", "close,open"),
        HEADER.replace("ticker,", ""),
        f"{HEADER},vwap",
        HEADER.upper(),
        "<html>",
        "",
    ],
)
def test_another_header_is_rejected_by_name(header: str) -> None:
    with pytest.raises(BadPage, match="its header is"):
        parse_flat_file(packed(*GOOD, header=header), DAY)


def test_a_file_without_rows_is_rejected() -> None:
    with pytest.raises(BadPage, match="it has no rows"):
        parse_flat_file(packed(), DAY)


@pytest.mark.parametrize("day", [date(2025, 11, 4), date(2025, 11, 6)])
def test_a_swapped_day_is_named(day: date) -> None:
    with pytest.raises(BadPage, match=rf"it has bars of 2025-11-05, not of {day}: 6 of 6 rows are of another New York"):
        parse_flat_file(flat_content(bars_of("AEMD", "BFpA")), day)


def test_times_in_another_unit_are_a_swapped_day() -> None:
    """Milliseconds in place of nanoseconds are minutes of the evening of 1969-12-31 in New York."""
    lines = [change(line, window_start=line.split(",")[6][:-6]) for line in GOOD]
    with pytest.raises(
        BadPage, match=r"it has bars of 1969-12-31, not of 2025-11-05: .* Its times are not nanoseconds"
    ):
        parse_flat_file(packed(*lines), DAY)


def test_the_day_is_that_of_new_york() -> None:
    """19:58 New York time in November is 00:58 UTC of the next day."""
    late = bars_of("AEMD", start="2025-11-05 19:57")
    assert late["timestamp"].dt.date().max() == date(2025, 11, 6)
    assert parse_flat_file(flat_content(late), DAY).bars.height == 3


def change(line: str, **fields: str) -> str:
    named = dict(zip(HEADER.split(","), line.split(","), strict=True)) | fields
    return ",".join(named.values())


BAD: list[tuple[str, str]] = [
    (change(GOOD[0], ticker=""), "symbol is not usable as a name"),
    (change(GOOD[0], ticker="../etc"), "symbol is not usable as a name"),
    (change(GOOD[0], ticker='"AEMD"'), "symbol is not usable as a name"),
    (change(GOOD[0], window_start=""), "timestamp is missing or implausible"),
    (change(GOOD[0], window_start="x"), "timestamp is missing or implausible"),
    (change(GOOD[0], window_start=f"{int(GOOD[0].split(',')[6]) + 1}"), NOT_A_MINUTE),
    (change(GOOD[0], window_start=f"{int(GOOD[0].split(',')[6]) + 30_000_000_000}"), NOT_A_MINUTE),
    (change(GOOD[0], window_start=f"{int(GOOD[0].split(',')[6]) - 86_400_000_000_000}"), OTHER_DAY),
    (change(GOOD[0], open=""), "a price is missing or not positive"),
    (change(GOOD[0], close="-1"), "a price is missing or not positive"),
    (change(GOOD[0], low="nan"), "a price is missing or not positive"),
    (change(GOOD[0], high="9"), "high or low contradicts open and close"),
    (change(GOOD[0], volume="0"), "volume is missing or not positive"),
    (change(GOOD[0], volume="1,234"), FIELDS_MISSING),
    (GOOD[0].rpartition(",")[0], FIELDS_MISSING),
    ("", FIELDS_MISSING),
]


@pytest.mark.parametrize(("line", "reason"), BAD)
def test_a_bad_row_is_set_aside_with_its_reason_and_the_others_stay(line: str, reason: str) -> None:
    lines = [*GOOD[:4], line, *GOOD[4:]]
    found = parse_flat_file(packed(*lines), DAY)
    assert_frame_equal(found.bars, parse_flat_file(packed(*GOOD), DAY).bars)
    assert found.rejected["reason"].to_list() == [reason]
    assert found.rows == len(lines) == found.bars.height + found.rejected.height + found.repeats


def test_repeats_are_counted_and_contradictions_set_aside() -> None:
    other = change(GOOD[2], volume="77")
    found = parse_flat_file(packed(*GOOD, GOOD[0], GOOD[0], other), DAY)
    assert found.repeats == 2
    assert found.rejected["reason"].to_list() == [CONFLICT, CONFLICT]
    # 20 rows, one minute of which has two bars that differ
    assert found.bars.height == 19


def test_a_file_of_which_most_rows_are_unusable_is_rejected() -> None:
    lines = [change(line, low="-1") for line in GOOD[:11]] + GOOD[11:]
    with pytest.raises(BadPage, match="most of it is unusable: a price is missing or not positive in 11 of 20 rows"):
        parse_flat_file(packed(*lines), DAY)


@pytest.mark.parametrize("minutes", [1, 3])
def test_fractional_volumes_keep_their_digits(minutes: int) -> None:
    bars = bars_of("AEMD", minutes=minutes).with_columns(volume=pl.lit(9099.618093))
    assert parse_flat_file(flat_content(bars), DAY).bars["volume"].to_list() == [9099.618093] * minutes


def test_rows_as_served_have_the_rejected_ones_of_their_day() -> None:
    """What REST answers with the same rows: all of the symbol, but none of another day, and none without a time."""
    lines = [change(GOOD[3], low="-1"), *(line for line, _ in BAD[:8]), *GOOD]
    found = parse_flat_file(packed(*lines), DAY)
    served = as_served(found.bars, found.rejected).filter(symbol="AEMD")
    assert served.schema == BARS
    # ten good ones, one without a price, two off the minute
    assert served.height == 10 + 1 + 2
    assert served["timestamp"].is_sorted()
    assert served["vwap"].null_count() == served.height


def test_more_text_than_a_session_has_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallcaps_assets.domain.bars.flat_files.MOST_BYTES", 1_000)
    with pytest.raises(BadPage, match="it has more than 1,000 bytes of text"):
        parse_flat_file(flat_content(bars_of("AEMD", minutes=30)), DAY)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [("12", 12), ("12.000000", 12), ("0", 0), ("-1", -1), ("", None), ("12.5", 0), ("x", 0), ("nan", 0), ("1e30", 0)],
)
def test_a_number_of_transactions_that_is_none_is_known_to_be_unknown(sent: str, stored: int | None) -> None:
    """0 in its place is counted as unknown where months are made; null would count as one that was not sent."""
    found = parse_flat_file(packed(*GOOD, change(GOOD[0], ticker="X", transactions=sent)), DAY)
    assert found.bars.filter(symbol="X")["transactions"].to_list() == [stored]
    assert found.rejected.height == 0


def test_whole_transactions_in_decimals_are_what_they_say() -> None:
    lines = [change(line, transactions=f"{line.split(',')[7]}.000000") for line in GOOD]
    assert_frame_equal(parse_flat_file(packed(*lines), DAY).bars, parse_flat_file(packed(*GOOD), DAY).bars)


@pytest.mark.parametrize("sent", ["x", "0.5"])
def test_a_file_whose_transactions_are_no_numbers_is_rejected(sent: str) -> None:
    lines = [change(line, transactions=sent) for line in GOOD[:11]] + GOOD[11:]
    with pytest.raises(BadPage, match="most of it is unusable: transactions is not a whole number in 11 of 20 rows"):
        parse_flat_file(packed(*lines), DAY)


def test_a_file_without_a_usable_row_is_rejected() -> None:
    """Rows without a volume may be many: they fill up minutes. But a market without one trade is no session."""
    lines = [change(line, volume="0") for line in GOOD]
    with pytest.raises(BadPage, match="most of it is unusable: volume is missing or not positive in 20 of 20 rows"):
        parse_flat_file(packed(*lines), DAY)
    assert parse_flat_file(packed(*lines[1:], GOOD[0]), DAY).bars.height == 1


@pytest.mark.parametrize(
    ("others", "before", "words"),
    [
        ([], None, ""),
        ([100, 100], None, ""),  # two files show nothing
        ([100, 9_000, 100], None, ""),  # 20 bars are a fifth of the median
        ([101, 9_000, 101], None, "it has 20 bars, files of sessions nearby have 101"),
        ([20, 20, 20], 101, "it has 20 bars, its earlier version has 101"),
        ([], 100, ""),
    ],
)
def test_a_file_with_far_fewer_bars_than_usual_is_not_complete(
    others: list[int], before: int | None, words: str
) -> None:
    found = parse_flat_file(packed(*GOOD), DAY)
    with pytest.raises(BadPage, match=f"it is not complete: {words}") if words else nullcontext():
        require_whole_market(found, others, before)
