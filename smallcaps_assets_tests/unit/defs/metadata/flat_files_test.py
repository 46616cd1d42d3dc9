"""What a night says of flat files: counted by hand from the records of its files and symbols."""

from datetime import date, timedelta

import dagster as dg

from smallcaps_assets.defs.metadata.flat_files import night_of_flat_files

DAYS = [date(2025, 11, 3) + timedelta(days=number) for number in range(7)]


def record(asset: str, partition: str, **figures: int | str) -> dg.AssetMaterialization:
    named = {"dagster/partition_row_count" if name == "rows_kept" else name: value for name, value in figures.items()}
    return dg.AssetMaterialization(asset, partition=partition, metadata=named)


DONE = [
    record("flat_minute_bars", "2025-11-06", files_fetched=1, rows_kept=1_000, rows_in_file=1_002),
    # replaced: its minutes are those of the new file against the earlier one, no difference from REST
    record("flat_minute_bars", "2025-11-04", files_fetched=1, rows_kept=900, files_replaced=1, minutes_prices=50),
    record("minute_bars", "AVLO", sessions_from_files=2, sessions_compared=2, sessions_differing=1, minutes_prices=3),
    record("minute_bars", "CRVO", sessions_from_files=1, sessions_compared=1, sessions_differing=1, minutes_volume=1),
    record("minute_bars", "DRFT", problems="HTTP 503"),
    record("event_shards", "AVLO", sessions_compared=99, files_fetched=99),
]


def test_files_waiting_sessions_and_differences_are_counted() -> None:
    assert night_of_flat_files(DONE, DAYS[-1:]) == {
        "flat files": "2 files with 1,900 rows taken, 1 of which replaces an earlier one; 1 session has no file in the "
        "lake yet: 2025-11-09; 3 symbol-sessions compared with REST, 2 differ: 3 minutes with other prices, 1 minute "
        "with another volume",
        "flat_files": 2,
        "flat_file_rows": 1_900,
        "flat_files_replaced": 1,
        "sessions_without_file": 1,
        "symbol_sessions_from_files": 3,
        "symbol_sessions_compared": 3,
        "symbol_sessions_differing": 2,
    }


def test_a_night_without_news_of_files() -> None:
    shown = night_of_flat_files([], [])
    assert shown.pop("flat files") == "no new file; every session has its file; nothing to compare with REST"
    assert set(shown.values()) == {0}
    waiting = night_of_flat_files([], DAYS)["flat files"]
    newest = "2025-11-09, 2025-11-08, 2025-11-07, 2025-11-06, 2025-11-05"
    assert f"7 sessions have no file in the lake yet: {newest} and 2 earlier" in str(waiting)
    agreeing = night_of_flat_files([record("minute_bars", "AVLO", sessions_compared=1, sessions_differing=0)], [])
    assert "1 symbol-session compared with REST, none differs" in str(agreeing["flat files"])
