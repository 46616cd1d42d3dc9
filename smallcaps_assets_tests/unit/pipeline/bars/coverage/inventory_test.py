"""The coverage of a lake's files, damaged ones among them."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.bars import coverage as pipeline
from smallcaps_assets.pipeline.bars.coverage import Coverage, Inventory
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.scenarios import new_york
from smallcaps_assets_tests.unit.pipeline.bars.coverage.covered import (
    NOVEMBER,
    NOW,
    REJECTED,
    SETTINGS,
    publish_universe,
    regular,
)


def inventory(lake: Lake, log: Callable[[str], None] = lambda line: None) -> Inventory:  # noqa: ARG005
    return Inventory(BarsStore(lake), UniverseStore(lake), SETTINGS, log)


def test_a_lake_is_counted_in_one_batch(mixed: Lake) -> None:
    lines: list[str] = []
    found = inventory(mixed, lines.append).run(NOW)
    figures = found.figures()
    assert figures == {
        "sessions_due": 11,
        "symbols": 5,
        "symbols_complete": 2,
        "symbols_holes": 2,
        "symbols_without": 1,
        "symbols_beyond": 0,
        "symbols_before_history": 0,
        "symbols_not_followed": 1,
        "symbols_listing_unknown": 2,
        "symbols_unreadable": 0,
        # FULL 11, GAP 11, NONE 11, LATE from 5 November 4, LEFT from its first to its last 3
        "symbol_sessions_expected": 40,
        "symbol_sessions_here": 11 + 8 + 0 + 4 + 2,
        "symbol_sessions_missing": 3 + 11 + 1,
        "symbol_sessions_with_bars": 11 + 7 + 4 + 2,
        "symbol_sessions_empty_between": 1,
        "symbol_sessions_beyond": 0,
        "symbol_sessions_doubled": 2,
        # 5 November misses 5 minutes of three symbols, 6 November of LATE only
        "bars": 11 * 390 - 5 + 7 * 390 - 5 + 4 * 390 - 10 + 2 * 3,
        "minutes_lost": 5,
        "bars_with_a_suspect_print": 0,
    }
    assert found.lost.select("first", "last", "active", "with_bar").rows() == [
        (new_york("2025-11-05 10:30"), new_york("2025-11-05 10:34"), 3, 0)
    ]
    holds = {one.name: one.holds for one in found.findings}
    assert holds == {"doubled_volumes": False, "missing_minutes": False, "suspect_print": True}
    late = found.table.filter(symbol="LATE").row(0, named=True)
    # 1 to 390: 351 are not multiples of ten, of which 61 to 65 are lost; 312 when doubled, since twice 5 is ten
    assert late["volumes_judged"] == 2 * 312 + 2 * 351 - 10
    assert late["sessions_doubled"] == 2
    assert lines[-2:] == [
        line for line in lines if line.startswith(("symbols counted: 5 of 5 done", "batches of bars read: 1 of 1 done"))
    ]


def test_several_batches_find_the_same_as_one(mixed: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = inventory(mixed).run(NOW)
    monkeypatch.setattr(pipeline, "_BARS_AT_ONCE", 1)
    lines: list[str] = []
    single = inventory(mixed, lines.append).run(NOW)
    assert any(line.startswith("batches of bars read: 4 of 4 done") for line in lines), (
        "each symbol with bars is a batch"
    )
    assert single.table.equals(whole.table)
    assert single.lost.equals(whole.lost)
    assert single.figures() == whole.figures()


def test_the_bars_need_not_be_read(mixed: Lake) -> None:
    for month in mixed.bars("FULL").iterdir():
        footer = pl.read_parquet_metadata(month)["smallcaps"]
        pl.DataFrame({"nothing": [1]}).write_parquet(month, metadata={"smallcaps": footer})
    fast = inventory(mixed).run(NOW, read_bars=False)
    assert fast.findings == ()
    assert fast.figures()["symbol_sessions_here"] == 25
    assert fast.table["volumes_judged"].null_count() == fast.table.height


def test_coverage_of_single_symbols(mixed: Lake) -> None:
    found = inventory(mixed).run(NOW, ["GAP", "LEFT"])
    assert found.table["symbol"].unique().sort().to_list() == ["GAP", "LEFT"]
    assert found.figures()["symbol_sessions_missing"] == 4
    assert found.figures()["minutes_lost"] == 0, "two symbols are too few for common lost minutes"
    with pytest.raises(InputError, match=r"^NOPE: neither followed nor with bars"):
        inventory(mixed).run(NOW, ["GAP", "NOPE"])


def damage_footer(path: Path) -> None:
    path.write_bytes(b"PAR1 no more")


def damage_bars(path: Path) -> None:
    """Overwrite bytes of the columns; the footer stays intact."""
    content = bytearray(path.read_bytes())
    content[8:2000] = b"\xff" * 1992
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("symbol", "damage", "what"),
    [
        ("FULL", damage_footer, "cannot be read"),
        ("FULL", damage_bars, "is damaged"),
        ("LEFT", damage_footer, "cannot be read"),
    ],
)
def test_an_unreadable_file_is_named_and_stops_no_other(
    mixed: Lake, symbol: str, damage: Callable[[Path], None], what: str
) -> None:
    before = inventory(mixed).run(NOW)
    damage(mixed.bars(symbol) / "2025-10.parquet")
    found = inventory(mixed).run(NOW)
    assert set(found.causes) == {symbol}
    assert f"{symbol}/2025-10.parquet: {what}" in found.causes[symbol]
    assert found.figures()["symbols_unreadable"] == 1
    others = pl.col("symbol") != symbol
    assert found.table.filter(others).equals(before.table.filter(others))
    if symbol == "FULL":
        assert set(found.table.filter(symbol=symbol)["cause"]) == {found.causes[symbol]}


def test_a_half_day_has_no_missing_minutes_in_the_afternoon(lake: Lake) -> None:
    settings = load_settings(
        overrides={
            "history": {"first_session": "2025-11-26", "last_session": "2025-11-28"},
            "checks": {"bars": {"min_active_symbols": 2}},
        }
    )
    publish_universe(lake, AAA=(True, None, None), BBB=(True, None, None))
    days = [date(2025, 11, 26), date(2025, 11, 28)]  # between them Thanksgiving; the second closes at 13:00
    for symbol in ("AAA", "BBB"):
        bars = [regular("2025-11-26", symbol), regular("2025-11-28", symbol, (210, 390))]
        BarsStore(lake).add(symbol, NOVEMBER, days, pl.concat(bars), REJECTED)
    now = datetime(2025, 12, 1, 12, tzinfo=UTC)
    found = Inventory(BarsStore(lake), UniverseStore(lake), settings, lambda line: None).run(now)  # noqa: ARG005
    assert found.due == days
    assert found.figures()["minutes_lost"] == 0
    assert found.findings[1].figures["minutes"] == 390 + 210
    assert found.figures()["symbols_complete"] == 2


def test_nothing_is_expected_before_the_first_session_is_over(mixed: Lake) -> None:
    found: Coverage = inventory(mixed).run(datetime(2025, 10, 27, 12, tzinfo=UTC))
    assert found.due == []
    # except sessions between the bars of a symbol that is not followed
    assert found.figures()["symbol_sessions_expected"] == 3
    # all other sessions count as beyond
    assert found.figures()["symbol_sessions_beyond"] == 11 + 7 + 4
    assert found.figures()["symbols_beyond"] == 3
    assert found.holes["symbol"].to_list() == ["LEFT"]
