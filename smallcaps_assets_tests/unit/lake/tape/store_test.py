"""Which tape is published and which is missing, and readers that return exactly one window."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.manifests.selection import ProfileParams, Selection
from smallcaps_assets.domain.tables import QUOTES, QUOTES_ALL, TRADES, TRADES_ALL
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span, spans_of
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets_tests.conftest import event, files_below, manifest_of, quotes_at, trades_at
from smallcaps_assets_tests.scenarios import default_settings

TEN = datetime(2025, 11, 5, 15, tzinfo=UTC)  # 10:00 in New York


def at(minute: float) -> datetime:
    return TEN + timedelta(minutes=minute)


def params(**changes: Any) -> ProfileParams:
    return ProfileParams.model_validate(default_settings().profiles["core"].model_dump() | changes)


def tape(lake: Lake, **changes: Any) -> TapeStore:
    return TapeStore(lake, "core", params(**changes))


def span(start: float, end: float, *events: str, symbol: str = "AEMD", wave: str = "RTH") -> Span:
    return Span(symbol, wave, at(start), at(end), events)


def put(store: TapeStore, start: float, end: float, *minutes: float, kind: TapeKind = "trades", **where: str) -> None:
    """Publish a span with one row at each of `minutes`."""
    rows = (trades_at if kind == "trades" else quotes_at)(*map(at, minutes))
    store.publish(kind, span(start, end, **where), rows.select(*store.schema(kind)), {"requests": 1})


def missing(
    store: TapeStore, manifest: pl.DataFrame, kind: TapeKind = "trades", *, upgrade: bool = False
) -> list[tuple[str, str, int, int, tuple[str, ...]]]:
    return [
        (
            one.symbol,
            one.wave,
            *(round((when - TEN).total_seconds() / 60) for when in (one.start, one.end)),
            one.events_merged,
        )
        for one in spans_of(store.missing_spans(kind, event_windows(manifest), upgrade=upgrade))
    ]


# windows [-3, 7), [2, 12), [27, 37) of one symbol, and one of another
FIRST = event("2025-11-05 10:00", event_id="first")
SECOND = event("2025-11-05 10:05", event_id="second")
LATER = event("2025-11-05 10:30", event_id="later")
OTHER = event("2025-11-05 10:00", event_id="other", symbol="BRK.B")
MANIFEST = manifest_of(LATER, FIRST, OTHER, SECOND)


def test_all_spans_are_missing_in_an_empty_lake(lake: Lake) -> None:
    expected = [
        ("AEMD", "RTH", -3, 12, ("first", "second")),
        ("AEMD", "RTH", 27, 37, ("later",)),
        ("BRK.B", "RTH", -3, 7, ("other",)),
    ]
    assert sorted(missing(tape(lake), MANIFEST)) == expected
    assert missing(tape(lake), MANIFEST.clear()) == []


def test_a_span_is_named_by_what_it_covers(lake: Lake) -> None:
    store = tape(lake)
    path = store.publish("quotes", span(-3, 12, symbol="BRK.B", wave="PM"), QUOTES.to_frame(), {})
    assert path.relative_to(lake.root).as_posix() == (
        "tape/core/quotes/wave=PM/symbol=BRK.B/20251105T145700_20251105T151200.parquet"
    )


def test_published_windows_are_not_missing(lake: Lake) -> None:
    store = tape(lake)
    put(store, -3, 12)
    assert [row[2:4] for row in missing(store, MANIFEST)] == [(27, 37), (-3, 7)]
    # quotes go by themselves
    assert len(missing(store, MANIFEST, "quotes")) == 3


def test_an_event_within_published_spans_is_served_from_them_also_of_another_wave(lake: Lake) -> None:
    store = tape(lake)
    put(store, -10, 4, wave="PM")
    put(store, 4, 7, wave="RTH")
    assert missing(store, manifest_of(FIRST)) == []
    # a minute is missing at the end of the second window
    assert missing(store, manifest_of(FIRST, SECOND)) == [("AEMD", "RTH", 2, 12, ("second",))]


def test_a_new_manifest_requires_only_its_additional_windows(lake: Lake) -> None:
    store = tape(lake)
    put(store, -3, 12)
    wider = manifest_of(FIRST, LATER, before=3, after=12)
    assert missing(store, wider) == [("AEMD", "RTH", -3, 12, ()), ("AEMD", "RTH", 27, 42, ("later",))][1:]
    narrower = manifest_of(FIRST, SECOND, before=1, after=1)
    assert missing(store, narrower) == []


def test_spans_of_another_symbol_or_profile_cover_nothing(lake: Lake) -> None:
    put(tape(lake), -3, 12, symbol="BRK.B")
    put(TapeStore(lake, "plus", params()), -3, 12)
    assert missing(tape(lake), manifest_of(FIRST, SECOND)) == [("AEMD", "RTH", -3, 12, ("first", "second"))]


BY_CHANGE_5, ALL_5, ALL_20, ALL_50 = (
    {"by_change_only": change, "max_hz": hz} for change, hz in ((True, 5), (False, 5), (False, 20), (False, 50))
)


@pytest.mark.parametrize(
    ("kept", "required", "enough"),
    [
        (BY_CHANGE_5, BY_CHANGE_5, True),
        (ALL_5, BY_CHANGE_5, True),
        (BY_CHANGE_5, ALL_5, False),
        (ALL_20, ALL_5, True),
        (ALL_5, ALL_20, False),
        # no less than required, though 20 does not divide 50: what is finer is never replaced by what is coarser
        (ALL_50, ALL_20, True),
        (ALL_50, {"by_change_only": True, "max_hz": 25}, True),
    ],
)
def test_quotes_of_at_least_the_required_resolution_are_used(
    lake: Lake, kept: dict[str, Any], required: dict[str, Any], enough: bool
) -> None:
    put(tape(lake, quotes=kept), -3, 7, kind="quotes")
    put(tape(lake, quotes=kept), -3, 7, kind="trades")
    store = tape(lake, quotes=required)
    assert (missing(store, manifest_of(FIRST), "quotes") == []) == enough
    assert missing(store, manifest_of(FIRST), "trades") == []


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_files_with_all_columns_serve_all_profiles_and_files_with_few_are_stale(lake: Lake, kind: TapeKind) -> None:
    put(tape(lake, columns="minimal"), -3, 7, 0, kind=kind)
    assert missing(tape(lake, columns="minimal"), manifest_of(FIRST), kind, upgrade=True) == []
    assert missing(tape(lake, columns="all"), manifest_of(FIRST), kind) == []
    assert len(missing(tape(lake, columns="all"), manifest_of(FIRST), kind, upgrade=True)) == 1
    put(tape(lake, columns="all"), -3, 7, 0, kind=kind)
    assert missing(tape(lake, columns="all"), manifest_of(FIRST), kind, upgrade=True) == []
    assert missing(tape(lake, columns="all"), manifest_of(FIRST), kind) == []
    assert missing(tape(lake, columns="minimal"), manifest_of(FIRST), kind) == []


def test_a_file_without_provenance_covers_nothing(lake: Lake) -> None:
    folder = lake.tape_wave("core", "trades", "RTH", "AEMD")
    folder.mkdir(parents=True)
    TRADES.to_frame().write_parquet(folder / "20251105T145700_20251105T151200.parquet")
    TRADES.to_frame().write_parquet(folder / "mine.parquet")
    assert len(missing(tape(lake), manifest_of(FIRST))) == 1


# ------------------------------------------------------------------------------------------------- reading


def freeze(lake: Lake, manifest: pl.DataFrame) -> None:
    ManifestStore.in_lake(lake, "core").freeze(Selection(manifest, [], {}), config_hash="c", master_sha256="m", now=TEN)


def minutes(rows: pl.DataFrame) -> list[float]:
    return [(when - TEN).total_seconds() / 60 for when in rows["timestamp"]]


def read(store: TapeStore, kind: TapeKind, event_id: str) -> list[float]:
    return minutes(store.trades(event_id) if kind == "trades" else store.quotes(event_id))


KINDS: Sequence[TapeKind] = ("trades", "quotes")


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_gets_exactly_the_half_open_window(lake: Lake, kind: TapeKind) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 12, -3, -1, 2, 6.999, 7, 11, kind=kind)
    assert read(tape(lake), kind, "first") == [-3, -1, 2, 6.999]
    assert read(tape(lake), kind, "second") == [2, 6.999, 7, 11]


@pytest.mark.parametrize("kind", KINDS)
def test_nanoseconds_decide_at_the_ends_of_a_window(lake: Lake, kind: TapeKind) -> None:
    freeze(lake, MANIFEST)
    store = tape(lake)
    first, end = (int(at(minute).timestamp()) * 10**9 for minute in (-3, 7))
    timestamps = pl.Series([first - 1, first, end - 1, end], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC"))
    rows = (trades_at if kind == "trades" else quotes_at)(*map(at, range(4))).with_columns(timestamp=timestamps)
    store.publish(kind, span(-10, 20), rows.select(*store.schema(kind)), {})
    found = store.trades("first") if kind == "trades" else store.quotes("first")
    assert found["timestamp"].dt.epoch("ns").to_list() == [first, end - 1]
    assert found.schema == store.schema(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_from_two_spans_that_overlap_has_no_row_twice(lake: Lake, kind: TapeKind) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -8, 3, -4, -3, 1, 2.5, kind=kind)
    put(tape(lake), 0, 8, 1, 2.5, 4, 7, kind=kind)
    # lies wholly within the two
    put(tape(lake), 1, 2, 1, kind=kind, wave="PM")
    assert read(tape(lake), kind, "first") == [-3, 1, 2.5, 4]


def test_rows_come_in_the_order_of_time_and_sequence(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    store = tape(lake)
    rows = trades_at(at(1), at(1), at(0)).with_columns(sequence_number=pl.Series([9, 3, 5])).select(*TRADES)
    store.publish("trades", span(-3, 7), rows, {})
    assert store.trades("first")["sequence_number"].to_list() == [5, 3, 9]


def test_an_empty_tape_is_read_as_such(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 12)
    assert_frame_equal(tape(lake).trades("first"), TRADES.to_frame())


def test_all_columns_are_read_where_the_profile_keeps_them(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    store = tape(lake, columns="all")
    put(store, -3, 12, 0)
    put(store, -3, 12, 0, kind="quotes")
    assert store.trades("first").schema == TRADES_ALL
    assert store.quotes("first").schema == QUOTES_ALL


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first_has_all", [True, False])
def test_spans_with_all_columns_and_with_few_are_read_together(lake: Lake, kind: TapeKind, first_has_all: bool) -> None:
    # a profile that kept all columns once and now keeps few: what is published stays
    before, after = ("all", "minimal") if first_has_all else ("minimal", "all")
    put(tape(lake, columns=before), -3, 2, 0, kind=kind)
    put(tape(lake, columns=after), 2, 12, 4, kind=kind)
    freeze(lake, MANIFEST)
    store = tape(lake, columns="minimal")
    assert missing(store, manifest_of(FIRST, SECOND), kind) == []
    assert read(store, kind, "first") == [0, 4]
    ledger = build_ledger(manifest_of(FIRST, SECOND), store)
    assert ledger[f"{kind}_rows"].to_list() == [2, 1]


def test_reading_missing_tape_names_what_is_missing(lake: Lake) -> None:
    store = tape(lake)
    with pytest.raises(InputError, match="no manifest of profile core yet"):
        store.trades("first")
    freeze(lake, MANIFEST)
    with pytest.raises(InputError, match="not in the current manifest of profile core: nobody"):
        store.trades("nobody")
    put(store, -3, 6)
    with pytest.raises(InputError, match="trades of first are not in the lake yet: materialize core/tape_trades"):
        store.trades("first")


# ------------------------------------------------------------------------------------------------- failures


def failures_of(store: TapeStore, kind: TapeKind) -> dict[str, tuple[str, str]]:
    """State and cause by event."""
    return {
        event: (failure["state"], failure["cause"]) for failure in store.failures(kind) for event in failure["events"]
    }


def test_the_cause_of_a_failure_is_kept_until_the_span_is_published(lake: Lake) -> None:
    store = tape(lake)
    store.record_failure("trades", span(-3, 12, "first", "second"), "failed", "HTTP 503")
    store.record_failure("quotes", span(-3, 12, "first", "second"), "denied", "HTTP 403")
    assert failures_of(store, "trades") == {"first": ("failed", "HTTP 503"), "second": ("failed", "HTTP 503")}
    assert failures_of(store, "quotes") == {"first": ("denied", "HTTP 403"), "second": ("denied", "HTTP 403")}
    # a failure is not a tape file
    assert len(missing(store, manifest_of(FIRST, SECOND))) == 1
    assert not [name for name in files_below(lake.root) if not name.startswith("quarantine/")]
    put(store, -3, 12)
    assert failures_of(store, "trades") == {}
    assert len(failures_of(store, "quotes")) == 2


def test_a_span_that_fails_again_has_the_last_cause(lake: Lake) -> None:
    store = tape(lake)
    store.record_failure("trades", span(-3, 7, "first"), "failed", "HTTP 503")
    store.record_failure("trades", span(-3, 7, "first"), "denied", "HTTP 403")
    assert failures_of(store, "trades") == {"first": ("denied", "HTTP 403")}


def test_failures_are_recorded_by_profile_and_kind(lake: Lake) -> None:
    tape(lake).record_failure("trades", span(-3, 7, "first"), "failed", "x")
    assert TapeStore(lake, "plus", params()).failures("trades") == []
    assert tape(lake).failures("quotes") == []


def test_an_unreadable_tape_file_is_fetched_again_and_replaced(lake: Lake) -> None:
    store = tape(lake)
    put(store, -3, 7)
    (path,) = lake.root.rglob("tape/core/trades/**/*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    assert len(missing(store, manifest_of(FIRST))) == 1
    put(store, -3, 7)
    assert missing(store, manifest_of(FIRST)) == []
    assert len(list(path.parent.glob("*.parquet"))) == 1


def test_a_folder_is_searched_for_parts_once_and_not_for_each_span(lake: Lake) -> None:
    store = tape(lake)
    folder = lake.tape_wave("core", "trades", "RTH", "AEMD")
    folder.mkdir(parents=True)
    # of a killed writer of the very span that is published
    part = folder / f".{span(0, 1).name}.parquet.999999999-1.abc.part"
    part.touch()
    put(store, 0, 1, 0)
    assert part.exists()
    store.prepare("trades")
    assert not part.exists()


def test_no_file_is_published_if_the_lake_is_gone(lake: Lake) -> None:
    store = tape(lake)
    lake.root.rmdir()
    with pytest.raises(LakeError, match="the folder is gone"):
        put(store, -3, 7)
    with pytest.raises(LakeError, match="the folder is gone"):
        store.record_failure("trades", span(-3, 7, "first"), "failed", "HTTP 503")
    with pytest.raises(LakeError, match="the folder is gone"):
        store.prepare("trades")
    assert not lake.root.exists()


# ------------------------------------------------------------------------------------------------- many events


def rows_by_event(found: pl.DataFrame) -> dict[str, list[float]]:
    return {str(name): sorted(minutes(rows)) for (name,), rows in found.group_by("event_id")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_returns_each_event_the_rows_of_its_window(lake: Lake, kind: TapeKind) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 12, -3, -1, 2, 6.999, 7, 11, kind=kind)
    put(tape(lake), 20, 40, 26, 27, 36.5, 37, kind=kind)
    put(tape(lake), -3, 7, 5, kind=kind, symbol="BRK.B")
    found = tape(lake).scan(kind, ["later", "first", "other", "second", "first"]).collect()
    assert found.columns == ["event_id", *tape(lake).schema(kind)]
    # 2 and 6.999 lie in the windows of both
    assert rows_by_event(found) == {
        "first": [-3, -1, 2, 6.999],
        "second": [2, 6.999, 7, 11],
        "later": [27, 36.5],
        "other": [5],
    }


def test_a_scan_is_lazy_and_reads_only_the_selected_columns_and_rows(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 12, 0, 3, 6, 9)
    scan = tape(lake).scan("trades", ["first", "second"])
    assert isinstance(scan, pl.LazyFrame)
    counted = scan.group_by("event_id").agg(pl.len(), pl.col("price").max()).sort("event_id").collect()
    # prices rise by a cent from 10.00: at 0, 3, 6, 9
    assert counted.rows() == [("first", 3, 10.02), ("second", 3, 10.03)]


def alter(path: Path, *, in_silence: bool) -> None:
    """Change one bit of a file in place; in silence its times stay as they were known."""
    content, before = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    if in_silence:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("is_known", [False, True], ids=["new to this process", "proved before"])
@pytest.mark.parametrize("in_silence", [False, True], ids=["mtime changes", "mtime kept"])
def test_a_scan_names_a_damaged_file(lake: Lake, is_known: bool, in_silence: bool) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 12, 0)
    put(tape(lake), 20, 40, 30)
    later = next(lake.root.rglob("*T152000_*.parquet"))
    if is_known:
        tape(lake).scan("trades", ["first", "later"])
    if in_silence and is_known and os.name == "nt":
        pytest.skip("Windows has no time of change of a file's content besides the one that is kept")
    alter(later, in_silence=in_silence)
    assert minutes(tape(lake).trades("first")) == [0]
    with pytest.raises(LakeError, match=f"{later.name}: is damaged"):
        tape(lake).scan("trades", ["first", "later"])
    with pytest.raises(LakeError, match=f"{later.name}: is damaged"):
        tape(lake).trades("later")
    tape(lake).scan("trades", ["first", "later"], prove=False)


def test_a_scan_of_no_event_has_no_rows(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    found = tape(lake).scan("quotes", []).collect()
    assert found.schema == {"event_id": pl.String(), **QUOTES}
    assert found.is_empty()


def test_a_scan_names_the_events_that_it_cannot_read(lake: Lake) -> None:
    freeze(lake, MANIFEST)
    put(tape(lake), -3, 7)
    with pytest.raises(InputError, match=r"not in the current manifest of profile core: a, b, c, d, e and 2 more\."):
        tape(lake).scan("trades", ["first", *"abcdefg"])
    with pytest.raises(
        InputError, match="the trades of second, later are not in the lake yet: materialize core/tape_tr"
    ):
        tape(lake).scan("trades", ["second", "first", "later"])


def test_trades_of_another_profile_with_all_columns_are_used(lake: Lake) -> None:
    fetched = {"fetched_at": "2026-01-05T12:00:00+00:00"}
    windows = event_windows(manifest_of(FIRST))

    def elsewhere(columns: str) -> int:
        store = TapeStore(lake, "plus", params(columns=columns))
        store.publish("trades", span(-3, 7), trades_at(at(0)).select(*store.schema("trades")), fetched)
        return tape(lake, columns="all").backlog("trades", windows).in_other_profiles.height

    assert elsewhere("minimal") == 0
    assert elsewhere("all") == 1
