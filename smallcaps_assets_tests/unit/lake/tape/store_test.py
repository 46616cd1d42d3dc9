"""Which spans are missing, published, of use to other profiles, or failed."""

from typing import Any

import pytest

from smallcaps_assets.domain.tables import QUOTES, TRADES
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets_tests.conftest import files_below, manifest_of
from smallcaps_assets_tests.unit.lake.tape.spans import FIRST, LATER, MANIFEST, SECOND, missing, params, put, span, tape


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
