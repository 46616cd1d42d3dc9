"""What the ledger and its report take from the comparison of bars and trades: only what is up to date."""

import os
import shutil
from pathlib import Path

import pytest

from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.tape.pinned_conditions import pinned_conditions
from smallcaps_assets.domain.tape.kpis import capture_kpis
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger, capture_effort
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.pipeline.research.tape.reconciled import Reconciled, reconciled_windows
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.tape_scenes import (
    EARLY,
    EVENTS,
    FIRST,
    MINUTE,
    OPENING,
    SECOND,
    SYMBOL,
    capture,
    fill_bars,
    manifest_with,
    quote_rows,
    tape_of,
    trade_rows,
    window_of,
)

MANIFEST = manifest_with(*EVENTS)
PAIRS = [(SYMBOL, "PM"), (SYMBOL, "RTH")]


def research_of(lake: Lake, params: ResearchParams | None = None) -> TapeResearch:
    return TapeResearch(tape_of(lake), params or ResearchParams(), default_settings().sessions)


def read(lake: Lake, params: ResearchParams | None = None) -> Reconciled:
    return reconciled_windows(research_of(lake, params), MANIFEST)


def shares(found: Reconciled) -> dict[str, float]:
    return dict(found.events.select("event_id", "reconciled_share").iter_rows())


def minutes(found: Reconciled) -> dict[str, tuple[int, int]]:
    return {wave: (exact, compared) for wave, exact, compared in found.minutes.iter_rows()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Everything computed. One minute of FIRST has a trade of 50 shares less than its bar: its volume differs."""
    lake = Lake(tmp_path_factory.mktemp("made") / "lake")
    lake.root.mkdir()
    fill_bars(lake)
    start, _ = window_of(FIRST)
    for name in EVENTS:
        other = {start + 2 * MINUTE: [(10, 10.0, 50), (40, 10.01, 200)]} if name == FIRST else None
        capture(tape_of(lake), name, "trades", trade_rows(*window_of(name), other))
        capture(tape_of(lake), name, "quotes")
    list(research_of(lake).run(MANIFEST, PAIRS))
    return lake


@pytest.fixture
def lake(made: Lake, tmp_path: Path) -> Lake:
    return Lake(shutil.copytree(made.root, tmp_path / "lake"))


def kpi(lake: Lake, found: Reconciled) -> dict[str, tuple[float | None, bool]]:
    ledger = build_ledger(MANIFEST, tape_of(lake), hashes=False, reconciled=found.events)
    kpis = capture_kpis(ledger, capture_effort(tape_of(lake)), default_settings().kpis, found.minutes)
    rows = kpis.filter(figure="reconciled_pct").select("wave", "value", "holds").iter_rows()
    return {wave: (value, holds) for wave, value, holds in rows}


def test_minutes_of_controls_do_not_count(lake: Lake) -> None:
    """Of two windows of a control the first begins in the window of SECOND, whose minutes count all the same."""
    before = minutes(read(lake))
    of_control = f"{SYMBOL}_control_20251105_165800_0123abcd"
    _, end = window_of(SECOND)
    for start in (end - 5 * MINUTE, end + 40 * MINUTE):
        span = Span(SYMBOL, "RTH", start, start + 10 * MINUTE, (of_control,))
        tape_of(lake).publish("trades", span, trade_rows(start, start + 10 * MINUTE, {}), {})
        tape_of(lake).publish("quotes", span, quote_rows(start, start + 10 * MINUTE), {})
    list(research_of(lake).run(MANIFEST, PAIRS))
    assert minutes(read(lake)) == before


def test_minutes_count_once_in_the_wave_that_they_belong_to(lake: Lake) -> None:
    found = read(lake)
    # 10 minutes a window; the window of EARLY ends at 09:35, that of OPENING begins at 09:30: the first five minutes of
    # OPENING belong to PM. So PM has 10 minutes, RTH 5 + 10 + 10, of which one differs.
    assert shares(found) == {EARLY: 1.0, OPENING: 1.0, FIRST: 0.9, SECOND: 1.0}
    assert minutes(found) == {"PM": (10, 10), "RTH": (24, 25)}
    # the mean of the three windows of RTH would be 96.7
    assert kpi(lake, found) == {
        "PM": (100.0, True), "RTH": (pytest.approx(96.0), True), "all": (pytest.approx(100 * 34 / 35), True)
    }  # fmt: skip


def test_footers_decide_where_no_states_are_known(lake: Lake) -> None:
    known = read(lake)
    shutil.rmtree(lake.cache, ignore_errors=True)
    again = read(lake)
    assert (shares(again), minutes(again)) == (shares(known), minutes(known))


def test_a_comparison_with_other_tape_than_the_published_one_is_left_out(lake: Lake) -> None:
    capture(tape_of(lake), SECOND, "trades", trade_rows(*window_of(SECOND), {window_of(SECOND)[0]: [(5, 9.0, 1)]}))
    found = read(lake)
    assert set(shares(found)) == {EARLY, OPENING, FIRST}
    ledger = build_ledger(MANIFEST, tape_of(lake), hashes=False, reconciled=found.events)
    assert ledger.filter(event_id=SECOND).select("reconciled_share", "worst_class").row(0) == (None, None)
    assert minutes(found) == {"PM": (10, 10)}
    # a wave of which a part is not compared is not judged, and so is no reason for NO-GO
    assert kpi(lake, found) == {"PM": (100.0, True), "RTH": (None, True), "all": (None, True)}


def test_a_comparison_with_other_bars_or_settings_is_left_out(lake: Lake) -> None:
    other = ResearchParams(not_a_market_price=(2,))
    assert (shares(read(lake, other)), minutes(read(lake, other))) == ({}, {})
    fill_bars(lake, volume=999.0)
    assert SECOND not in shares(read(lake)) or shares(read(lake))[SECOND] == 1.0
    list(research_of(lake).run(MANIFEST, PAIRS))
    assert minutes(read(lake)) == {"PM": (10, 10), "RTH": (24, 25)}


def test_without_the_tables_nothing_is_judged(lake: Lake) -> None:
    shutil.rmtree(lake.research)
    found = read(lake)
    assert found.events.is_empty()
    assert kpi(lake, found) == {"PM": (None, True), "RTH": (None, True), "all": (None, True)}


@pytest.mark.parametrize("table", ["event_reconciliation", "bar_reconciliation"])
def test_a_file_that_cannot_be_read_counts_as_none(lake: Lake, table: str) -> None:
    path = lake.research_wave("core", table, "RTH", SYMBOL)
    path.write_bytes(path.read_bytes()[:-20])
    found = read(lake)
    assert minutes(found) == {"PM": (10, 10)}
    assert path.is_file()
    assert [str(error.facts["file"]) for error in found.damaged] == [str(path)]
    assert found.problem is not None
    assert found.problem.startswith(f"bars and trades are not compared for 1 damaged file: {path}: ")
    assert "which sets it aside in the quarantine" in found.problem


@pytest.mark.parametrize("table", ["event_reconciliation", "bar_reconciliation"])
def test_a_value_that_changed_unseen_counts_in_no_figure(lake: Lake, table: str) -> None:
    """Size and time stay, as where a disk forgets a bit: what is remembered of the file says that it is up to date."""
    path = lake.research_wave("core", table, "RTH", SYMBOL)
    state = path.stat()
    content = path.read_bytes()
    # the last byte of rows: statistics and footer stay
    place = len(content) - 9 - int.from_bytes(content[-8:-4], "little")
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    found = read(lake)
    assert minutes(found) == {"PM": (10, 10)}
    assert [str(error.facts["file"]) for error in found.damaged] == [str(path)]


def test_a_sound_file_of_another_wave_counts_in_no_figure(lake: Lake) -> None:
    own, other = (lake.research_wave("core", "bar_reconciliation", wave, SYMBOL) for wave in ("RTH", "PM"))
    shutil.copy(other, own)
    found = read(lake)
    assert minutes(found) == {"PM": (10, 10)}
    assert [str(error.facts["file"]) for error in found.damaged] == [str(own)]
    assert "is not the file of its place" in str(found.problem)


def test_damaged_conditions_are_named_and_stop_no_ledger(lake: Lake) -> None:
    ReferenceTables(lake).publish_trade_conditions(pinned_conditions(), "embedded", is_pinned=True)
    lake.trade_conditions.write_bytes(lake.trade_conditions.read_bytes()[:-20])
    found = read(lake)
    assert (shares(found), minutes(found)) == ({}, {})
    assert [str(error.facts["file"]) for error in found.damaged] == [str(lake.trade_conditions)]
    assert kpi(lake, found) == {"PM": (None, True), "RTH": (None, True), "all": (None, True)}
