"""Plans of a lake: what is missing, what is published already, damaged bars, space on the disk."""

from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.manifests.selection import trial
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.tape.cost_estimate import free_bytes, require_room
from smallcaps_assets.settings.sections import FreeDiskParams
from smallcaps_assets_tests.conftest import event, files_below, manifest_of, new_lake, trades_at
from smallcaps_assets_tests.unit.pipeline.tape.cost_estimate.planned_lake import (
    A_RTH,
    NOON,
    NOTHING,
    PARAMS,
    _minimal,
    by_wave,
    planned,
    put,
    with_bars,
)

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
