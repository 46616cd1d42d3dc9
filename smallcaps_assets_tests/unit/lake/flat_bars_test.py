"""Flat files in the lake: one symbol is read without the others, and its rows are those that the vendor served."""

from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyarrow import parquet

from smallcaps_assets.domain.bars.flat_files import FlatDay, parse_flat_file
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.month_files import month_footer
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.flat_bars import store as flat_store
from smallcaps_assets.lake.flat_bars.origins import FlatOrigin, read_origins
from smallcaps_assets.lake.flat_bars.store import FlatBarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.verification.lake_files import verify_files
from smallcaps_assets_tests.flat_scenes import flat_content, flat_file
from smallcaps_assets_tests.scenarios import bars_from, flat, flip_bit

DAYS = [date(2025, 11, 5), date(2025, 11, 6)]
SYMBOLS = ["1E5", "AEMD", "BFPA", "BFpA", "NA", "TRUE", "ZVZZT"]
NONE_REJECTED = QUARANTINED_BARS.to_frame()


def market(day: date, minutes: int = 30) -> pl.DataFrame:
    bars = [
        bars_from(f"{day} 09:30", flat(minutes, price=float(place + 1)), name) for place, name in enumerate(SYMBOLS)
    ]
    return pl.concat(bars).with_columns(vwap=pl.lit(None, pl.Float64))


def publish(lake: Lake, day: date, bars: pl.DataFrame, etag: str = "abc") -> FlatDay:
    rows = parse_flat_file(flat_content(bars), day)
    file = flat_file(day, etag, rows=rows.rows, rejected=rows.rejected.height, repeats=rows.repeats)
    FlatBarsStore(lake).publish(file, rows)
    return rows


def test_an_empty_lake_has_none(lake: Lake) -> None:
    store = FlatBarsStore(lake)
    assert (store.days(), store.files().files, store.file(DAYS[0])) == ([], {}, None)
    assert store.read(["AEMD"], []).schema == BARS


def test_what_was_published_is_read_by_symbol_and_day(lake: Lake) -> None:
    for day in DAYS:
        publish(lake, day, market(day))
    store = FlatBarsStore(lake)
    assert store.days() == DAYS
    both = pl.concat([market(day) for day in DAYS]).sort("symbol", "timestamp")
    for symbols in (["NA"], ["BFpA"], ["1E5", "TRUE"], SYMBOLS):
        assert_frame_equal(store.read(symbols, DAYS), both.filter(pl.col("symbol").is_in(symbols)))
    assert_frame_equal(store.read(["NA", "GONE"], DAYS[1:]), market(DAYS[1]).filter(symbol="NA"))
    assert store.files(DAYS[1]).files == {DAYS[1]: flat_file(DAYS[1], rows=len(SYMBOLS) * 30)}
    assert store.file(DAYS[0]) == flat_file(DAYS[0], rows=len(SYMBOLS) * 30)
    assert [finding.what for finding in verify_files(lake).findings] == []


def test_row_groups_are_sorted_and_carry_statistics(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """One symbol is read without most of the file: its statistics say in which row groups it can be."""
    monkeypatch.setattr(flat_store, "ROWS_PER_GROUP", 40)
    publish(lake, DAYS[0], market(DAYS[0]).sort("timestamp", descending=True))
    footer = parquet.read_metadata(FlatBarsStore(lake).path(DAYS[0]))
    groups = [footer.row_group(number).column(0).statistics for number in range(footer.num_row_groups)]
    assert [group.num_rows for group in map(footer.row_group, range(footer.num_row_groups))] == [40] * 5 + [10]
    bounds = [bound for group in groups for bound in (group.min, group.max)]
    assert bounds == sorted(bounds)


def test_rejected_rows_are_in_the_quarantine_and_are_served_with_their_symbol(lake: Lake) -> None:
    bad = market(DAYS[0], minutes=1).filter(symbol="NA").with_columns(volume=pl.lit(0.0))
    rows = publish(lake, DAYS[0], pl.concat([market(DAYS[0]).filter(~(pl.col("symbol") == "NA")), bad]))
    store = FlatBarsStore(lake)
    aside = lake.root / "quarantine/bars/flat/minute/2025-11-05.parquet"
    assert_frame_equal(pl.read_parquet(aside), rows.rejected)
    assert_frame_equal(store.read(["NA"], DAYS[:1]), bad)
    assert store.read(["AEMD"], DAYS[:1]).height == 30
    # a file without them replaces it
    publish(lake, DAYS[0], market(DAYS[0]), "later")
    assert pl.read_parquet(aside).is_empty()
    found = store.file(DAYS[0])
    assert found is not None
    assert found.etag == "later"


def test_a_damaged_table_is_named_and_can_be_set_aside(lake: Lake) -> None:
    publish(lake, DAYS[0], market(DAYS[0]))
    store = FlatBarsStore(lake)
    assert store.read(["NA"], DAYS[:1]).height == 30
    flip_bit(store.path(DAYS[0]))
    # proved again by a process that has not proved it, or whose copy has another time
    with pytest.raises(LakeError, match=r"2025-11-05\.parquet: is damaged.*materialize flat_minute_bars of 2025-11-05"):
        FlatBarsStore(lake).read(["NA"], DAYS[:1])
    assert [finding.file for finding in verify_files(lake).findings] == ["bars/flat/minute/2025-11-05.parquet"]
    assert store.set_aside_damaged(DAYS[0]) is not None
    assert store.days() == []


def test_a_renamed_table_is_named(lake: Lake) -> None:
    publish(lake, DAYS[0], market(DAYS[0]))
    store = FlatBarsStore(lake)
    store.path(DAYS[0]).rename(store.path(DAYS[1]))
    found = store.files()
    assert found.files == {}
    assert "2025-11-06.parquet: has bars of 2025-11-05" in str(found.unreadable[DAYS[1]])
    assert [finding.what for finding in verify_files(lake).findings] == ["has bars of another session"]


# ------------------------------------------------------------------------------------------------- month files


def month_of(lake: Lake) -> dict[date, FlatOrigin]:
    return read_origins(month_footer(lake.bars("NA") / "2025-11.parquet"))


def of_na(day: date) -> pl.DataFrame:
    return market(day).filter(symbol="NA")


def test_a_month_records_which_file_a_session_is_from(lake: Lake) -> None:
    bars, month = BarsStore(lake), DAYS[0]
    file, compared = FlatOrigin("one", is_source=True), FlatOrigin("two", is_source=False, differences={"prices": 2})
    bars.add("NA", month, DAYS[:1], of_na(DAYS[0]), NONE_REJECTED)
    plain = (lake.bars("NA") / "2025-11.parquet").read_bytes()
    bars.add("NA", month, DAYS[1:], of_na(DAYS[1]), NONE_REJECTED, {DAYS[1]: file})
    assert month_of(lake) == {DAYS[1]: file}
    before = bars.fingerprints("NA")
    bars.add("NA", month, [], NONE_REJECTED.drop("reason"), NONE_REJECTED, {DAYS[0]: compared})
    assert bars.flat_origins("NA") == {DAYS[0]: compared, DAYS[1]: file}
    assert bars.renew_sessions("NA") == (before, bars.flat_origins("NA"), set())
    # the bars are the same, and so is what detection looks at
    assert bars.fingerprints("NA") == before
    # bars of another source in their place: the file is no longer theirs
    bars.add("NA", month, DAYS[1:], of_na(DAYS[1]), NONE_REJECTED)
    assert month_of(lake) == {DAYS[0]: compared}
    # without flat files a month has the bytes that it always had
    (lake.bars("NA") / "2025-11.parquet").unlink()
    bars.add("NA", month, DAYS[:1], of_na(DAYS[0]), NONE_REJECTED)
    assert (lake.bars("NA") / "2025-11.parquet").read_bytes() == plain


def test_imported_bars_are_no_longer_those_of_the_file(lake: Lake) -> None:
    bars, month = BarsStore(lake), DAYS[0]
    origins = {day: FlatOrigin("one", is_source=True) for day in DAYS}
    bars.add("NA", month, DAYS, pl.concat(map(of_na, DAYS)), NONE_REJECTED, origins)
    more = bars_from(f"{DAYS[0]} 11:00", flat(2, price=5.0), "NA")
    bars.merge("NA", month, more)
    assert month_of(lake) == {DAYS[1]: origins[DAYS[1]]}
