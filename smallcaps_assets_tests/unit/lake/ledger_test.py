"""The certificate of each event in the ledger, compared with the files."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.commands.inspecting.report import profile_report
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.tables import EFFORT, LEDGER
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets_tests.conftest import event, manifest_of, quotes_at, trades_at
from smallcaps_assets_tests.properties.damage_test import alter_table
from smallcaps_assets_tests.scenarios import default_settings

TEN = datetime(2025, 11, 5, 15, tzinfo=UTC)
# a window of each: [-3, 7), [2, 12), [57, 67)
FIRST = event("2025-11-05 10:00", event_id="first")
SECOND = event("2025-11-05 10:05", event_id="second")
LATER = event("2025-11-05 11:00", event_id="later")


def at(minute: float) -> datetime:
    return TEN + timedelta(minutes=minute)


@pytest.fixture
def tape(lake: Lake) -> TapeStore:
    return TapeStore(lake, "core", default_settings().profiles["core"])


def span(start: float, end: float, *events: str, wave: str = "RTH") -> Span:
    return Span("AEMD", wave, at(start), at(end), events)


def put(
    tape: TapeStore, kind: TapeKind, start: float, end: float, *minutes: float, wave: str = "RTH", **effort: int
) -> Path:
    rows = (trades_at if kind == "trades" else quotes_at)(*map(at, minutes))
    spent = {"requests": 1, "retries": 0, "throttled": 0} | effort
    return tape.publish(kind, span(start, end, wave=wave), rows.select(*tape.schema(kind)), spent)


def row(tape: TapeStore, manifest: pl.DataFrame | None = None) -> dict[str, object]:
    ledger = build_ledger(manifest_of(FIRST) if manifest is None else manifest, tape)
    assert ledger.schema == LEDGER
    return ledger.row(0, named=True)


@pytest.mark.parametrize(
    ("trades", "quotes", "state"),
    [
        ([0.0], [1.0], "complete"),
        ([], [], "empty"),
        ([0.0], [], "trades_only"),
        ([], [1.0], "quotes_only"),
        (None, None, "missing"),
        ([0.0], None, "missing"),
        (None, [1.0], "missing"),
        # rows in the span, but none of them in the window
        ([9.0], [1.0], "quotes_only"),
        ([9.0], [8.0], "empty"),
    ],
)
def test_the_state_of_an_event(
    tape: TapeStore, trades: list[float] | None, quotes: list[float] | None, state: str
) -> None:
    for kind, rows in (("trades", trades), ("quotes", quotes)):
        if rows is not None:
            put(tape, kind, -3, 12, *rows)
    assert row(tape)["state"] == state


def test_the_cause_of_a_missing_event_is_its_recorded_failure(tape: TapeStore) -> None:
    put(tape, "trades", -3, 7, 0)
    tape.record_failure("quotes", span(-3, 7, "first"), "failed", "HTTP 503")
    assert (row(tape)["state"], row(tape)["cause"]) == ("failed", "HTTP 503")
    tape.record_failure("quotes", span(-3, 7, "first"), "denied", "HTTP 403")
    assert (row(tape)["state"], row(tape)["cause"]) == ("denied", "HTTP 403")
    put(tape, "quotes", -3, 7, 0)
    assert (row(tape)["state"], row(tape)["cause"]) == ("complete", None)


def test_a_failure_of_an_earlier_span_does_not_affect_a_published_event(tape: TapeStore) -> None:
    # failed as a separate span, then fetched within the longer span of another manifest
    tape.record_failure("trades", span(-3, 7, "first"), "failed", "HTTP 503")
    put(tape, "trades", -3, 12, 0)
    put(tape, "quotes", -3, 12, 0)
    assert (row(tape)["state"], row(tape)["cause"]) == ("complete", None)


def test_the_published_kind_is_not_the_cause_of_the_missing_one(tape: TapeStore) -> None:
    # trades failed once and came later in another span; quotes were never requested
    tape.record_failure("trades", span(-3, 7, "first"), "failed", "trades: HTTP 503")
    put(tape, "trades", -3, 12, 0)
    assert (row(tape)["state"], row(tape)["cause"]) == ("missing", None)


def test_the_cause_is_that_of_the_missing_kind(tape: TapeStore) -> None:
    tape.record_failure("trades", span(-3, 7, "first"), "failed", "trades: HTTP 503")
    put(tape, "trades", -3, 12, 0)
    tape.record_failure("quotes", span(-3, 7, "first"), "denied", "quotes: HTTP 403")
    assert (row(tape)["state"], row(tape)["cause"]) == ("denied", "quotes: HTTP 403")


def test_the_report_names_the_cause(tape: TapeStore) -> None:
    tape.record_failure("quotes", span(-3, 12, "first", "second"), "denied", "quotes: HTTP 403")
    ManifestStore.in_lake(tape.lake, "core").freeze(
        Selection(manifest_of(FIRST, SECOND, LATER), [], {}), config_hash="c", master_sha256="m", now=TEN
    )
    report = profile_report(tape.lake, "core", default_settings(), TEN)
    assert "RTH denied 2, such as first: quotes: HTTP 403" in report
    assert "NO-GO" in report


def test_rows_bounds_paths_and_hashes_equal_the_files(tape: TapeStore) -> None:
    one = put(tape, "trades", -8, 3, -5, -3, 1)
    two = put(tape, "trades", 0, 12, 1, 4, 8)
    three = put(tape, "quotes", -3, 12, -3, 6, 11)
    found = row(tape)
    # -3 and 1 of the first file, 4 of the second
    assert (found["trades_rows"], found["quotes_rows"]) == (3, 2)
    assert (found["trades_first"], found["trades_last"]) == (at(-3), at(4))
    assert (found["quotes_first"], found["quotes_last"]) == (at(-3), at(6))
    assert found["trades_files"] == [path.relative_to(tape.lake.root).as_posix() for path in (one, two)]
    assert found["quotes_files"] == [three.relative_to(tape.lake.root).as_posix()]
    assert found["trades_sha256"] == [hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, two)]
    assert found["quotes_sha256"] == [hashlib.sha256(three.read_bytes()).hexdigest()]
    shares = 2 / 3 * one.stat().st_size + 1 / 3 * two.stat().st_size + 2 / 3 * three.stat().st_size
    assert found["bytes"] == pytest.approx(shares)


def test_certificate_of_an_empty_tape_file(tape: TapeStore) -> None:
    empty = put(tape, "trades", -3, 7)
    put(tape, "quotes", -3, 7)
    found = row(tape)
    assert (found["trades_rows"], found["trades_first"], found["trades_last"], found["bytes"]) == (0, None, None, 0.0)
    assert found["trades_files"] == [empty.relative_to(tape.lake.root).as_posix()]
    assert found["trades_sha256"] == [hashlib.sha256(empty.read_bytes()).hexdigest()]


def test_an_event_that_is_missing_has_no_rows_files_or_bytes(tape: TapeStore) -> None:
    found = row(tape)
    assert {name for name, value in found.items() if value is None} >= {"trades_rows", "quotes_rows", "cause"}
    assert found["bytes"] == 0.0


def test_one_row_per_event_in_rank_order(tape: TapeStore) -> None:
    put(tape, "trades", -3, 12, 0, 3)
    put(tape, "quotes", -3, 12, 0, 3)
    ledger = build_ledger(manifest_of(LATER, SECOND, FIRST), tape)
    assert ledger["event_id"].to_list() == ["later", "second", "first"]
    assert ledger["state"].to_list() == ["missing", "complete", "complete"]
    assert ledger["trades_rows"].to_list() == [None, 1, 2]
    assert (ledger["start"][2], ledger["end"][2]) == (at(-3), at(7))


def test_an_empty_manifest_has_an_empty_ledger(tape: TapeStore) -> None:
    assert build_ledger(manifest_of(), tape).schema == LEDGER
    assert build_ledger(manifest_of(), tape).is_empty()


def test_effort_is_summed_from_the_tape_files_by_wave(tape: TapeStore) -> None:
    put(tape, "trades", -3, 7, requests=5, retries=2, throttled=1)
    put(tape, "quotes", -3, 7, requests=7, retries=1, throttled=0)
    put(tape, "quotes", -60, -50, wave="PM", requests=3)
    found = capture_effort(tape)
    assert found.schema == EFFORT
    assert sorted(found.rows()) == [("PM", 3, 0, 0), ("RTH", 12, 3, 1)]


def test_effort_without_tape(lake: Lake) -> None:
    nothing = capture_effort(TapeStore(lake, "core", default_settings().profiles["core"]))
    assert nothing.schema == EFFORT
    assert nothing.is_empty()


@pytest.mark.parametrize("damage", [b"", b"PAR1 and no more"])
def test_an_unreadable_tape_file_is_named_and_not_counted_as_complete(tape: TapeStore, damage: bytes) -> None:
    put(tape, "quotes", -3, 7, 0)
    path = put(tape, "trades", -3, 7, 0)
    path.write_bytes(damage)
    try:
        state = row(tape)["state"]
    except LakeError as error:
        assert str(path) in str(error)  # noqa: PT017 -- either way of saying so is good
    else:
        assert state != "complete"


def put_thinned(tape: TapeStore, events: tuple[str, ...], budget: dict[str, float], over: tuple[str, ...] = ()) -> None:
    """Trades and quotes of [-3, 12), fetched for `events`, with the quotes of some thinned to the size budget."""
    put(tape, "trades", -3, 12, 0, 5)
    certificate = {
        "requests": 1,
        "budget_mb": 50.0,
        "budget_events": list(budget),
        "budget_hz": list(budget.values()),
        "over_budget": list(over),
    }
    rows = quotes_at(at(0), at(5)).select(*tape.schema("quotes"))
    tape.publish("quotes", span(-3, 12, *events), rows, certificate)


def budget_of(tape: TapeStore) -> list[tuple[float | None, bool]]:
    ledger = build_ledger(manifest_of(FIRST, SECOND), tape)
    return ledger.select("budget_hz", "over_budget").rows()


def test_the_size_budget_of_an_event_depends_on_its_quotes_only(tape: TapeStore) -> None:
    put_thinned(tape, ("first", "second"), {"second": 0.5}, over=("second",))
    assert budget_of(tape) == [(None, False), (0.5, True)]


def test_an_event_in_a_span_of_another_manifest_has_the_lowest_rate_of_the_span(tape: TapeStore) -> None:
    # the file names neither event: which of its quotes are theirs is not known
    put_thinned(tape, ("former", "older"), {"former": 1.0, "older": 0.5}, over=("former",))
    assert budget_of(tape) == [(0.5, False), (0.5, False)]


def test_an_event_that_a_span_names_takes_no_rate_of_another_manifests_event(tape: TapeStore) -> None:
    put_thinned(tape, ("first", "former"), {"former": 1.0})
    assert budget_of(tape) == [(None, False), (1.0, False)]


def test_a_file_whose_content_was_altered_is_not_certified(tape: TapeStore) -> None:
    sound, altered = put(tape, "trades", 57, 67, 58, 59), put(tape, "trades", -3, 7, 1, 2)
    for start, end in ((57, 67), (-3, 7)):
        put(tape, "quotes", start, end, start + 1)
    alter_table(altered)
    damaged: list[LakeError] = []
    ledger = build_ledger(manifest_of(FIRST, LATER), tape, damaged=damaged)
    assert ledger.select("event_id", "state").rows() == [("first", "missing"), ("later", "complete")]
    (error,) = damaged
    assert str(error).startswith(f"{altered}: is damaged: its content is not what was published (SHA-256). ")
    assert ledger["trades_sha256"].to_list() == [None, [hashlib.sha256(sound.read_bytes()).hexdigest()]]
    with pytest.raises(LakeError, match="is damaged: its content is not"):
        build_ledger(manifest_of(FIRST), tape)
    # its windows are asked for no more than before: the footer is sound, until the file is removed
    assert build_ledger(manifest_of(FIRST, LATER), tape, hashes=False)["state"].to_list() == ["complete"] * 2
