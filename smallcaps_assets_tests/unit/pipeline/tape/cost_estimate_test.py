"""The cost estimate of a capture, with figures worked out by hand, and the command that prints it."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.manifests.selection import Selection, trial
from smallcaps_assets.domain.tape.cost_estimate import (
    LearnedRatios,
    PlanAssumptions,
    Rates,
    Terms,
    choose_rates,
    estimate_cost,
    expect_trades,
    learn_ratios,
    minutes_of,
)
from smallcaps_assets.domain.tape.tables import COST_ESTIMATE, SPANS_TO_FETCH, WINDOWS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.tape.cost_estimate import CapturePlan, Planner, free_bytes, require_room
from smallcaps_assets.settings.sections import FreeDiskParams
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import (
    Gate,
    close_client,
    event,
    files_below,
    manifest_of,
    new_lake,
    quotes_at,
    refusal,
    trades_at,
)
from smallcaps_assets_tests.listings import publish_untyped
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat

NOON = datetime(2025, 11, 5, 17, tzinfo=UTC)
ASSUMED = PlanAssumptions(trades_per_bar=50, quotes_per_trade=6, bytes_per_trade=18, bytes_per_quote=16)
NOTHING = LearnedRatios(None, None, None, None, 0, 0, 0)
RATES = choose_rates(NOTHING, ASSUMED)
TERMS = Terms(rows_per_page=50_000, requests_per_minute=5, max_hz=5)
COLUMNS = [name for name in COST_ESTIMATE if name not in ("wave", "hours")]


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def missing_spans(*spans: tuple[str, str, float, list[str]], minutes: int = 10) -> pl.DataFrame:
    """Spans of ten minutes: kind, wave, trades, events."""
    rows = [
        (kind, "AEMD", wave, at(0), at(minutes), events, False, float(trades)) for kind, wave, trades, events in spans
    ]
    return pl.DataFrame(rows, schema=SPANS_TO_FETCH, orient="row")


def windows(*rows: tuple[str, str, float], minutes: int = 10) -> pl.DataFrame:
    """Windows of ten minutes: event, wave, trades."""
    found = [(name, "AEMD", wave, at(0), at(minutes), float(trades)) for name, wave, trades in rows]
    return pl.DataFrame(found, schema={**WINDOWS, "trades": pl.Float64()}, orient="row")


def by_wave(table: pl.DataFrame) -> dict[str, dict[str, Any]]:
    assert table.schema == COST_ESTIMATE
    return {row["wave"]: row for row in table.to_dicts()}


# ------------------------------------------------------------------------------------------------- estimates


@pytest.mark.parametrize(
    ("kind", "trades", "requests"),
    [
        ("trades", 0, 1),
        ("trades", 50_000, 1),
        ("trades", 50_001, 2),
        ("trades", 100_001, 3),
        ("quotes", 0, 1),
        ("quotes", 8_333, 1),  # 49,998 quotes
        ("quotes", 8_334, 2),  # 50,004
    ],
)
def test_an_answer_has_pages_and_an_empty_answer_is_one_page(kind: str, trades: int, requests: int) -> None:
    table = estimate_cost(missing_spans((kind, "PM", trades, ["e"])), windows(("e", "PM", trades)), RATES, TERMS)
    assert table["requests"].to_list() == [requests, requests]
    assert table["hours"].to_list() == pytest.approx([requests / 300] * 2)


def test_waves_are_added_up_and_each_event_is_counted_once() -> None:
    spans = missing_spans(("trades", "PM", 1_000, ["p"]), ("quotes", "PM", 1_000, ["p"]))
    # two windows that overlap by five minutes, and one that is published already
    both = missing_spans(("trades", "RTH", 400, ["r", "s"]), ("quotes", "RTH", 400, ["r", "s"]), minutes=15)
    chosen = windows(("r", "RTH", 300), ("p", "PM", 1_000), ("s", "RTH", 200), ("there", "RTH", 9_000))
    table = estimate_cost(pl.concat([both, spans]), chosen, RATES, TERMS)
    assert table["wave"].to_list() == ["PM", "RTH", "all"]
    found = by_wave(table)
    # 6,000 quotes come, ten minutes at 5 Hz keep 3,000: 1,000 x 18 + 3,000 x 16
    assert [found["PM"][name] for name in COLUMNS] == [1, 1, 1, 1, 2, 66_000, 66_000, 66_000]
    # the span: 400 x 18 + 2,400 x 16; its events: 300 x 18 + 1,800 x 16 and 200 x 18 + 1,200 x 16
    expected = [3, 2, 1, 1, 2, 45_600, 28_500, 22_800 + 0.9 * 11_400]
    assert [found["RTH"][name] for name in COLUMNS] == pytest.approx(expected)
    expected = [4, 3, 2, 2, 4, 111_600, 34_200, 34_200 + 0.8 * 31_800]
    assert [found["all"][name] for name in COLUMNS] == pytest.approx(expected)
    assert table["hours"].to_list() == pytest.approx([2 / 300, 2 / 300, 4 / 300])


def test_without_a_limit_hours_are_unknown() -> None:
    terms = TERMS._replace(requests_per_minute=None)
    table = estimate_cost(missing_spans(("trades", "AH", 10, ["e"])), windows(("e", "AH", 10)), RATES, terms)
    assert table["hours"].to_list() == [None, None]


def test_an_event_missing_one_kind_costs_that_kind_only() -> None:
    table = estimate_cost(missing_spans(("quotes", "AH", 10, ["e"])), windows(("e", "AH", 10)), RATES, TERMS)
    assert [by_wave(table)["AH"][name] for name in COLUMNS] == [1, 1, 0, 1, 1, 960, 960, 960]


def test_trades_of_another_profile_cost_bytes_and_no_request() -> None:
    spans = missing_spans(("trades", "AH", 100, ["e"]), ("quotes", "AH", 100, ["e"]))
    with_copies = spans.with_columns(copied=pl.col("kind") == "trades")
    fetched, copied = (
        by_wave(estimate_cost(some, windows(("e", "AH", 100)), RATES, TERMS))["all"] for some in (spans, with_copies)
    )
    assert (fetched["requests"], copied["requests"]) == (2, 1)
    assert fetched["bytes"] == copied["bytes"]


def test_nothing_missing_costs_nothing() -> None:
    found = by_wave(estimate_cost(missing_spans(), windows(("e", "AH", 10)), RATES, TERMS))
    assert found.keys() == {"AH", "all"}
    for row in found.values():
        assert [row[name] for name in COLUMNS] == [1, 0, 0, 0, 0, 0, None, None]
        assert row["hours"] == 0


def test_an_empty_manifest_is_one_row_of_zeros() -> None:
    found = by_wave(estimate_cost(missing_spans(), windows(), RATES, TERMS))
    assert [found["all"][name] for name in COLUMNS] == [0, 0, 0, 0, 0, 0, None, None]
    assert found.keys() == {"all"}


# ------------------------------------------------------------------------------------------------- ratios


def published(*rows: tuple[str, int, int, int]) -> pl.DataFrame:
    """Spans of ten minutes: symbol, received, rows, bytes."""
    columns = {"received": pl.Int64(), "rows": pl.Int64(), "bytes": pl.Int64()}
    return pl.DataFrame(
        [(symbol, at(0), at(10), *counts) for symbol, *counts in rows],
        schema={"symbol": pl.String(), "start": WINDOWS["start"], "end": WINDOWS["end"], **columns},
        orient="row",
    )


TRADES = published(("A", 100, 100, 2_000), ("B", 300, 300, 5_000))


def test_ratios_are_learned_from_published_spans() -> None:
    # the quotes of B are missing, so its trades do not count for quotes per trade
    history = learn_ratios(TRADES, published(("A", 800, 200, 3_000)))
    assert history == LearnedRatios(8.0, 17.5, 15.0, 0.25, trades_spans=2, quotes_spans=1, paired_spans=1)
    known = choose_rates(history, ASSUMED)
    assert known.quotes_per_trade == (8.0, 1)
    assert known.bytes_per_trade == (17.5, 2)
    assert known.trades_per_bar == (50, 0)
    table = estimate_cost(missing_spans(("quotes", "AH", 100, ["e"])), windows(("e", "AH", 100)), known, TERMS)
    assert table["bytes"].to_list() == [100 * 8 * 0.25 * 15] * 2


def test_assumptions_remain_without_data_to_learn_from() -> None:
    empty = published(("A", 0, 0, 900))
    assert learn_ratios(published(), published()) == NOTHING
    assert learn_ratios(empty, empty) == LearnedRatios(None, None, None, None, 1, 1, 1)
    assert choose_rates(learn_ratios(empty, empty), ASSUMED) == Rates((50, 0), (6, 0), (18, 0), (16, 0), (1, 0))  # type: ignore[arg-type]
    assert choose_rates(learn_ratios(TRADES, published()), ASSUMED) == RATES._replace(bytes_per_trade=(17.5, 2))
    # no quotes for many trades is a valid ratio
    assert choose_rates(learn_ratios(TRADES, empty), ASSUMED).quotes_per_trade == (0, 1)


def test_a_span_without_row_counts_is_ignored() -> None:
    silent = TRADES.with_columns(received=pl.when(pl.col("symbol") == "A").then("received"))
    assert learn_ratios(silent, published()).trades_spans == 1


# ------------------------------------------------------------------------------------------------- trades of bars


def intervals(*rows: tuple[str, float, float]) -> pl.DataFrame:
    schema = {name: WINDOWS[name] for name in ("symbol", "start", "end")}
    return pl.DataFrame([(symbol, at(start), at(end)) for symbol, start, end in rows], schema=schema, orient="row")


def test_trades_are_those_of_the_bars_inside() -> None:
    first = bars_from("2025-11-05 11:59", flat(5, transactions=None))
    bars = first.with_columns(transactions=pl.Series([1, 10, 100, None, 1_000]))
    given = intervals(("AEMD", 0, 3), ("AEMD", 1, 2), ("AEMD", 60, 63), ("OTHER", 0, 2), ("AEMD", 2, 3))
    found = expect_trades(given, bars, trades_per_bar=50.5)
    # intervals are half open; a null count and a minute without a bar count 50.5
    assert found["trades"].to_list() == [10 + 100 + 50.5, 100, 151.5, 101, 50.5]
    assert found["bars"].to_list() == [3, 1, 0, 0, 1]
    assert found.drop("bars", "trades").equals(given)


def test_no_intervals_have_no_minutes() -> None:
    assert minutes_of(intervals()).is_empty()
    assert expect_trades(intervals(), bars_from("2025-11-05 12:00", []), 50).height == 0
    assert minutes_of(intervals(("A", 0, 2)))["timestamp"].to_list() == [at(0), at(1)]


# ------------------------------------------------------------------------------------------------- trials

RANKED = manifest_of(*(event(event_id=f"{symbol}{n}", symbol=symbol) for n, symbol in enumerate("AABCBA")))


@pytest.mark.parametrize(
    ("best", "one_per_symbol", "ranks"),
    [
        (None, False, [1, 2, 3, 4, 5, 6]),
        (2, False, [1, 2]),
        (None, True, [1, 3, 4]),
        (2, True, [1, 3]),
        (99, True, [1, 3, 4]),
    ],
)
def test_a_trial_selects_the_best_events(best: int | None, one_per_symbol: bool, ranks: list[int]) -> None:
    assert trial(RANKED, best, one_per_symbol)["rank"].to_list() == ranks
    assert trial(RANKED.reverse(), best, one_per_symbol)["rank"].to_list() == ranks
    assert trial(RANKED.clear(), best, one_per_symbol).is_empty()


# ------------------------------------------------------------------------------------------------- gathering

# two windows of AVLO that form one span, one of CRVO, and one of AVLO before the open, for which there are no bars
MANIFEST = manifest_of(
    event("2025-11-26 10:00", event_id="a1", symbol="AVLO"),
    event("2025-11-26 10:05", event_id="a2", symbol="AVLO"),
    event("2025-11-26 11:00", event_id="c1", symbol="CRVO"),
    event("2025-11-26 08:00", event_id="a0", symbol="AVLO", session="PM"),
)
DAY = date(2025, 11, 26)
PARAMS = default_settings().profiles["core"]
A_RTH = Span(
    "AVLO", "RTH", datetime(2025, 11, 26, 14, 57, tzinfo=UTC), datetime(2025, 11, 26, 15, 12, tzinfo=UTC), ("a1", "a2")
)


def with_bars(lake: Lake) -> None:
    """An hour of AVLO with 40 trades a minute, and an hour of CRVO whose trades are not counted."""
    for symbol, start, transactions in (("AVLO", "2025-11-26 09:45", 40), ("CRVO", "2025-11-26 10:30", None)):
        bars = clean_bars(bars_from(start, flat(60, transactions=transactions), symbol))
        BarsStore(lake).add(symbol, DAY.replace(day=1), [DAY], bars.good, bars.quarantined)


def tape(lake: Lake) -> TapeStore:
    return TapeStore(lake, "core", PARAMS)


def planned(lake: Lake, **options: Any) -> CapturePlan:
    return Planner(tape(lake), ASSUMED, 5).plan(MANIFEST, **options)


def put(lake: Lake) -> None:
    """Publish the tape of AVLO's span after the open: three trades, and two of six quotes."""
    lake.root.mkdir(exist_ok=True)
    seconds = [A_RTH.start + timedelta(seconds=second) for second in range(3)]
    certificate = {"requests": 1, "pages": 1, "retries": 0, "throttled": 0}
    tape(lake).publish("trades", A_RTH, _minimal(trades_at(*seconds), lake, "trades"), {**certificate, "received": 3})
    quotes = _minimal(quotes_at(*seconds[:2]), lake, "quotes")
    tape(lake).publish("quotes", A_RTH, quotes, {**certificate, "received": 6})


def _minimal(rows: pl.DataFrame, lake: Lake, kind: Any) -> pl.DataFrame:
    return rows.select(*tape(lake).schema(kind))


def test_plan_of_a_lake_without_tape(lake: Lake) -> None:
    with_bars(lake)
    plan = planned(lake)
    found = by_wave(plan.table)
    # 15 minutes x 40, ten bars x 50, ten minutes without a bar x 50
    trades = {"RTH": 600 + 500, "PM": 500}
    assert {wave: found[wave]["trades_spans"] for wave in found} == {"PM": 1, "RTH": 2, "all": 3}
    assert found["all"]["requests"] == 6
    for wave, count in trades.items():
        assert found[wave]["bytes"] == count * 18 + min(count * 6, 25 * 300 if wave == "RTH" else 10 * 300) * 16
    assert (plan.bars, plan.bars_without_transactions, plan.windows_without_bars) == (25, 10, 1)
    assert plan.learned == NOTHING
    assert plan.newest is not None
    assert plan.newest.events_merged == ("c1",)
    assert plan.free_bytes > 0


def test_published_spans_are_not_planned_again_and_used_for_ratios(lake: Lake) -> None:
    with_bars(lake)
    put(lake)
    before = files_below(lake.root)
    plan = planned(lake)
    assert by_wave(plan.table)["RTH"]["trades_spans"] == 1
    assert (plan.table["events"][-1], plan.table["events_due"][-1]) == (4, 2)
    assert plan.rates.quotes_per_trade == (2, 1)
    assert plan.rates.quotes_kept == (2 / 6, 1)
    (file,) = lake.tape_wave("core", "trades", "RTH", "AVLO").iterdir()
    assert plan.rates.bytes_per_trade == (file.stat().st_size / 3, 1)
    assert files_below(lake.root) == before


def test_trades_published_for_another_profile_are_not_requested(lake: Lake) -> None:
    with_bars(lake)
    before = by_wave(planned(lake).table)["RTH"]
    certificate = {"fetched_at": NOON.isoformat(), "requests": 1, "pages": 1, "received": 1}
    TapeStore(lake, "plus", PARAMS).publish(
        "trades", A_RTH, _minimal(trades_at(A_RTH.start), lake, "trades"), certificate
    )
    after = by_wave(planned(lake).table)["RTH"]
    # trades and quotes of two spans; then the trades of one are published
    assert (before["requests"], after["requests"]) == (4, 3)
    assert (after["trades_spans"], after["bytes"]) == (2, before["bytes"])
    # the span of CRVO starts later, but no profile has its trades: copies are matched by symbol
    assert planned(lake, kinds=["trades"], pairs=[("CRVO", "RTH")]).table["requests"].to_list() == [1, 1]


def test_one_kind_and_some_partitions_can_be_planned(lake: Lake) -> None:
    with_bars(lake)
    plan = planned(lake, kinds=["trades"], pairs=[("AVLO", "PM"), ("CRVO", "RTH"), ("CRVO", "PM")])
    assert plan.table.select("wave", "events", "trades_spans", "quotes_spans").rows() == [
        ("PM", 1, 1, 0),
        ("RTH", 1, 1, 0),
        ("all", 2, 2, 0),
    ]
    assert planned(lake, pairs=[]).spans == 0


@pytest.mark.parametrize("damage", ["cut", "of another symbol", "folder"])
def test_damaged_bars_are_named_and_count_as_none(damage: str, lake: Lake) -> None:
    """They say what a capture costs only, and stop none: the plan is that of a lake without them."""
    with_bars(lake)
    path, other = (lake.bars(symbol) / "2025-11.parquet" for symbol in ("AVLO", "CRVO"))
    path.unlink()
    expected = planned(lake)
    assert (expected.bars, expected.problem) == (10, None)
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"no parquet" if damage == "cut" else other.read_bytes())
    plan = planned(lake)
    assert plan.table.equals(expected.table)
    assert str(plan.problem).startswith(f"1 file is damaged, and trades are assumed there: {path}: ")


@pytest.mark.usefixtures("home")
def test_a_plan_names_damaged_bars(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = new_lake(home / "lake").bars("AVLO") / "2025-11.parquet"
    path.write_bytes(b"no parquet")
    assert main(["plan"]) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert f"bars: 1 file is damaged, and trades are assumed there: {path}: " in output
    assert "materialize minute_bars of AVLO with the run config {refetch_damaged: true}" in output
    assert "next: launch the backfill" in output


def test_the_disk_must_have_space_for_a_plan(lake: Lake) -> None:
    plan = planned(lake)
    free_disk = FreeDiskParams(check=True, keep_gb=0)
    require_room(plan, free_disk)
    assert free_bytes(lake.root / "deeper") > 0
    too_much = FreeDiskParams(check=True, keep_gb=1e6)
    with pytest.raises(
        LakeError, match=r"needs 0\.00 GB and keeps 1,000,000\.0 GB free, the disk has .* GB\. Free space"
    ):
        require_room(plan, too_much)
    require_room(plan, FreeDiskParams(check=False, keep_gb=1e6))
    # a plan without downloads needs no space
    require_room(planned(lake, pairs=[]), too_much)


# ------------------------------------------------------------------------------------------------- command


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone whose lake has a manifest and bars; the environment is restored afterwards."""
    folder = tmp_path / "home"
    shutil.copytree(REPOSITORY / "config", folder / "config")
    shutil.copy(REPOSITORY / "dagster.yaml", folder)
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(folder))
    lake = new_lake(folder / "lake")
    selection = Selection(MANIFEST, [], {})
    ManifestStore.in_lake(lake, "core").freeze(selection, config_hash="a", master_sha256="b", now=NOON)
    with_bars(lake)
    return folder


def config(home: Path, *changes: tuple[str, str]) -> str:
    """The shipped configuration with some texts replaced."""
    text = (home / "config" / "config.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = home / "other.yaml"
    file.write_text(text)
    return str(file)


SLOW = ("requests_per_minute: null", "requests_per_minute: 0.001")


@pytest.mark.usefixtures("home")
def test_a_plan_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"]) == 0
    output = capsys.readouterr().out
    assert "profile core: 4 events of 2 symbols in core_20251105_170000" in output
    assert re.search(r"^  PM +1 +1 +1 +1 +2 +- +0\.06 +0\.057 +0\.057$", output, re.MULTILINE)
    assert re.search(r"^  all +4 +4 +3 +3 +6 ", output, re.MULTILINE)
    assert "no rate limit set" in output
    assert (
        "as counted by 25 minute bars; 50 per minute assumed in 10 bars without a count and 1 window without bars"
        in output
    )
    assert "assumed: 6.00 quotes per trade, 18.00 bytes per trade, 16.00 bytes per quote kept, 100.0 % of the" in output
    assert "learned" not in output
    assert re.search(r"disk: needs 0\.00 GB and keeps 2.0 GB free, has [0-9.,]+ GB: enough", output)
    assert "next: launch the backfill of wave PM of core / tape_trades in `smallcaps ui`" in output


def test_the_next_step_is_the_kind_of_tape_that_is_missing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = new_lake(home / "lake")
    certificate = {"requests": 1, "pages": 1, "retries": 0, "throttled": 0, "received": 1}
    start = datetime(2025, 11, 26, 12, 57, tzinfo=UTC)
    before_open = Span("AVLO", "PM", start, start + timedelta(minutes=10), ("a0",))
    tape(lake).publish("trades", before_open, _minimal(trades_at(start), lake, "trades"), certificate)
    assert main(["plan", "--wave", "PM"]) == 0
    output = capsys.readouterr().out
    assert output.endswith("next: launch the backfill of wave PM of core / tape_quotes in `smallcaps ui`\n")
    assert main(["plan", "--wave", "PM", "--best", "100"]) == 0
    run_config = "`ops: {core__tape_quotes: {config: {best: 100}}}`"
    assert capsys.readouterr().out.endswith(f"`smallcaps ui` with the run config {run_config}\n")


def test_a_plan_prints_measured_ratios_and_its_duration(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(new_lake(home / "lake"))
    assert main(["plan", "--config", config(home, SLOW)]) == 0
    output = capsys.readouterr().out
    assert "measured: 2.00 quotes per trade (from 1 span)" in output
    assert "assumed" not in output.partition("measured: ")[2]
    assert "at 0.001 requests a minute" in output
    assert re.search(r"^  PM .* 33\.33  ", output, re.MULTILINE)
    assert re.search(r"^  all .* 66\.67 \(2\.8 days\)  ", output, re.MULTILINE)


def test_json_plan_of_a_trial_of_one_wave(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--profile", "core", "--wave", "RTH", "--best", "3", "--one-per-symbol", "--json"]
    assert main(["plan", *flags, "--config", config(home, SLOW)]) == 0
    document = json.loads(capsys.readouterr().out)
    # the best of AVLO and of CRVO
    assert [row["wave"] for row in document["waves"]] == ["RTH", "all"]
    row = document["waves"][0]
    assert (row["events"], row["trades_spans"], row["quotes_spans"], row["requests"]) == (2, 2, 2, 4)
    assert row["hours"] == pytest.approx(4 / 0.001 / 60)
    assert document["rates"]["bytes_per_trade"] == {"value": 18.0, "learned": False, "spans": 0}
    assert (document["profile"], document["best"], document["check"]) == ("core", 3, None)
    assert document["disk"]["enough"] is True
    assert document["disk"]["free_bytes"] > document["disk"]["keep_bytes"] == 2e9
    assert "`ops: {core__tape_trades: {config: {best: 3, one_per_symbol: true}}}`" in document["next"]


@pytest.mark.usefixtures("home")
def test_the_best_events_are_selected_before_the_wave(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--wave", "PM", "--best", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["waves"][-1]["events"] == 0
    assert "nothing is left to fetch" in document["next"]


@pytest.mark.usefixtures("home")
def test_a_profile_without_a_manifest_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--profile", "plus"]) == 2
    assert "no manifest of profile plus yet. Materialize plus/manifest first." in capsys.readouterr().err


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_full_disk_is_an_error_after_the_plan_is_printed(
    form: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep = ("keep_gb: 2.0", "keep_gb: 1000000.0")
    assert main(["plan", *form, "--config", config(home, keep)]) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"smallcaps plan: {home / 'lake'}: not enough disk.")
    assert "capture.free_disk.check: false" in output.err
    assert json.loads(output.out)["disk"]["enough"] is False if form else "GB: not enough" in output.out
    unchecked = ("    check: true", "    check: false")
    assert main(["plan", *form, "--config", config(home, keep, unchecked)]) == 0


@pytest.fixture
def vendor(home: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A configuration of the vendor at the gate; the client of this process is closed afterwards."""
    monkeypatch.setenv("MASSIVE_API_KEY", "a-key-of-tests")
    file = config(home, ("kind: embedded", "kind: vendor"), ("https://api.massive.com", gate.base_url))
    yield file
    monkeypatch.setenv("MASSIVE_API_KEY", "a-key-of-tests")
    close_client(load_settings(Path(file), {}).source)


def test_checking_the_vendor_plan_takes_two_requests(
    vendor: str, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--config", vendor]) == 0
    assert gate.requests == []
    assert main(["plan", "--check", "--config", vendor]) == 0
    assert [path for path, _ in gate.requests] == ["/v3/trades/CRVO", "/v3/quotes/CRVO"]
    output = capsys.readouterr().out
    assert "check of trades: allowed" in output
    assert "check of quotes: allowed" in output


def test_no_request_is_sent_for_a_universe_above_the_limits(
    vendor: str, home: Path, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_untyped(new_lake(home / "lake"), 20)
    assert main(["plan", "--config", vendor]) == 0
    assert main(["plan", "--check", "--config", vendor]) == 2
    assert "20 of 20 symbols (100.0 %) are of unknown type" in capsys.readouterr().err
    assert gate.requests == []


def test_a_vendor_plan_without_quotes_is_reported_before_the_capture(
    vendor: str, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    gate.rule = lambda path, query: refusal(403, "upgrade your plan") if "quotes" in path else None  # noqa: ARG005
    assert main(["plan", "--check", "--json", "--config", vendor]) == 2
    check = json.loads(capsys.readouterr().out)["check"]
    assert check["trades"] == "allowed"
    assert "upgrade your plan" in check["quotes"]


def test_a_missing_key_is_reported(
    vendor: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASSIVE_API_KEY")
    monkeypatch.delenv("POLYGON_API_KEY", raising=False)
    assert main(["plan", "--check", "--config", vendor]) == 2
    assert "check of quotes: no API key" in capsys.readouterr().out


@pytest.mark.usefixtures("home")
def test_no_request_is_sent_if_nothing_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--check", "--wave", "AH"]) == 0
    assert "check: nothing is left to fetch, no request was sent" in capsys.readouterr().out
