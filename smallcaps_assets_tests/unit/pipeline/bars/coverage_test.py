"""Coverage of minute bars, on small lakes counted by hand."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.bars.checks import SESSION_BARS
from smallcaps_assets.domain.bars.coverage import (
    COVERAGE,
    HOLES,
    LISTING_DATES,
    VOLUMES,
    by_symbol,
    coverage_table,
    holes,
    session_states,
    session_volumes,
    symbols_to_report,
    with_volumes,
)
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.bars import coverage as pipeline
from smallcaps_assets.pipeline.bars.coverage import Coverage, Inventory
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat, new_york

# Monday to Friday of two weeks, and the Monday after; the month turns in the first week
EXPECTED = [date(2025, 10, day) for day in (27, 28, 29, 30, 31)] + [date(2025, 11, day) for day in (3, 4, 5, 6, 7, 10)]
OCTOBER, NOVEMBER = date(2025, 10, 1), date(2025, 11, 1)
PARAMS = default_settings().checks.bars


def listed(*rows: tuple[str, bool, date | None, date | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=LISTING_DATES, orient="row")


def here(**bars: str) -> pl.DataFrame:
    """Sessions by symbol, one letter for each expected one: `b` with 7 bars, `e` empty, `.` missing."""
    rows = [
        (symbol, day, 7 if letter == "b" else 0)
        for symbol, letters in bars.items()
        for day, letter in zip(EXPECTED, letters, strict=True)
        if letter != "."
    ]
    return pl.DataFrame(rows, schema=SESSION_BARS, orient="row")


def states_of(symbols: pl.DataFrame, sessions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The placed symbols, and the states of their sessions."""
    stock = symbols_to_report(symbols, sessions)
    return stock, session_states(stock, sessions, EXPECTED, EXPECTED, EXPECTED[0])


def counted(symbols: pl.DataFrame, sessions: pl.DataFrame) -> dict[tuple[str, date], dict[str, Any]]:
    stock, states = states_of(symbols, sessions)
    table = coverage_table(states, stock)
    assert table.schema == COVERAGE
    return {(row["symbol"], row["month"]): row for row in table.to_dicts()}


def counts_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """Expected, present, with bars, empty, empty between, missing, beyond."""
    names = ("expected", "here", "with_bars", "empty", "empty_between", "missing", "beyond")
    return tuple(row[f"sessions_{name}"] for name in names)


# ------------------------------------------------------------------------------------------------- sessions


def test_sessions_are_counted_by_symbol_and_month() -> None:
    months = counted(listed(("AAA", True, None, None)), here(AAA="ebe.b.bebe."))
    first, second = months["AAA", OCTOBER], months["AAA", NOVEMBER]
    # the first session is empty before any bar; the third lies between sessions with bars
    assert counts_of(first) == (5, 4, 2, 2, 1, 1, 0)
    assert first["first_missing"] == first["last_missing"] == date(2025, 10, 30)
    assert first["bars"] == 14
    # in the second month the empty session at the end is not between bars, and the last is missing
    assert counts_of(second) == (6, 4, 2, 2, 1, 2, 0)
    assert (second["first_missing"], second["last_missing"]) == (date(2025, 11, 3), date(2025, 11, 10))
    assert set(months) == {("AAA", OCTOBER), ("AAA", NOVEMBER)}


def test_nothing_is_expected_before_the_listing_or_after_the_last_day() -> None:
    new = counted(listed(("NEW", True, date(2025, 11, 4), None)), here(NEW="eeeeeebbb.b"))
    assert set(new) == {("NEW", NOVEMBER)}, "a month in which nothing is expected, and nothing is, has no row"
    assert counts_of(new["NEW", NOVEMBER]) == (5, 4, 4, 0, 0, 1, 0)
    assert new["NEW", NOVEMBER]["listed"] == date(2025, 11, 4)
    gone = counted(listed(("OLD", True, None, date(2025, 10, 29))), here(OLD="bb........."))
    assert {key: counts_of(row) for key, row in gone.items()} == {("OLD", OCTOBER): (3, 2, 2, 0, 0, 1, 0)}
    # the vendor's date may be wrong: earlier bars are counted and reported
    early = counted(listed(("EARLY", True, date(2025, 11, 6), None)), here(EARLY="bb......bbb"))
    assert counts_of(early["EARLY", OCTOBER]) == (0, 0, 0, 0, 0, 0, 2)
    assert early["EARLY", OCTOBER]["bars"] == 14


def test_symbols_without_sessions_and_unfollowed_symbols_are_shown() -> None:
    universe = listed(("AAA", True, None, None), ("LEFT", False, None, None), ("NEVER", False, None, None))
    months = counted(universe, here(LEFT="..b.be.....", OWN="..........b"))
    assert counts_of(months["AAA", OCTOBER]) == (5, 0, 0, 0, 0, 5, 0)
    # an unfollowed symbol misses only sessions between its first and last bar
    assert counts_of(months["LEFT", OCTOBER]) == (3, 2, 2, 0, 0, 1, 0)
    assert counts_of(months["OWN", NOVEMBER]) == (1, 1, 1, 0, 0, 0, 0)
    assert not months["OWN", NOVEMBER]["active"]
    assert {symbol for symbol, _ in months} == {"AAA", "LEFT", "OWN"}


def test_an_empty_lake_covers_nothing() -> None:
    stock, states = states_of(listed(), here())
    assert coverage_table(states, stock).is_empty()
    assert holes(states, EXPECTED).is_empty()


def test_holes_are_consecutive_sessions() -> None:
    universe = listed(("AAA", True, None, None), ("BBB", True, None, None))
    _, states = states_of(universe, here(AAA="b..ee..b.b.", BBB="bbbbbbbbbbb"))
    found = holes(states, EXPECTED)
    assert found.schema == HOLES
    # Friday and Monday are consecutive; missing and empty sessions are separate holes
    assert found.rows() == [
        ("AAA", "missing", date(2025, 10, 28), date(2025, 10, 29), 2),
        ("AAA", "empty", date(2025, 10, 30), date(2025, 10, 31), 2),
        ("AAA", "missing", date(2025, 11, 3), date(2025, 11, 4), 2),
        ("AAA", "missing", date(2025, 11, 6), date(2025, 11, 6), 1),
        ("AAA", "missing", date(2025, 11, 10), date(2025, 11, 10), 1),
    ]


def test_sessions_between_bars_are_expected_before_the_history() -> None:
    universe = listed(
        ("AAA", True, None, None),
        ("EARLY", True, None, None),
        ("LATE", True, None, None),
        ("NEW", True, date(2025, 10, 29), None),
        ("OLD", True, None, date(2025, 10, 29)),
    )
    sessions = here(
        AAA="b.be.b....b",
        EARLY=".b.b.......",
        LATE="e....bbbbbb",
        NEW="b.b.bbbbbbb",
        OLD="b...b......",
        OWN="b.b..b.....",
    )
    stock = symbols_to_report(universe, sessions)
    # the history begins in November
    states = session_states(stock, sessions, EXPECTED[5:], EXPECTED, NOVEMBER)
    rows = coverage_table(states, stock).to_dicts()
    assert {(row["symbol"], row["month"]): counts_of(row) for row in rows} == {
        ("AAA", OCTOBER): (5, 3, 2, 1, 1, 2, 0),
        ("AAA", NOVEMBER): (6, 2, 2, 0, 0, 4, 0),
        # from its first bar to its last, and the whole history
        ("EARLY", OCTOBER): (3, 2, 2, 0, 0, 1, 0),
        ("EARLY", NOVEMBER): (6, 0, 0, 0, 0, 6, 0),
        # no earlier bars, and nothing expected
        ("LATE", NOVEMBER): (6, 6, 6, 0, 0, 0, 0),
        # listing dates limit it like the history
        ("NEW", OCTOBER): (3, 2, 2, 0, 0, 1, 1),
        ("NEW", NOVEMBER): (6, 6, 6, 0, 0, 0, 0),
        ("OLD", OCTOBER): (3, 1, 1, 0, 0, 2, 1),
        ("OWN", OCTOBER): (5, 2, 2, 0, 0, 3, 0),
        ("OWN", NOVEMBER): (1, 1, 1, 0, 0, 0, 0),
    }
    # the Friday in October and the Monday in November are consecutive
    missing = holes(states, EXPECTED).filter(symbol="EARLY").select("first", "last", "sessions").rows()
    assert missing == [(date(2025, 10, 29), date(2025, 10, 29), 1), (date(2025, 11, 3), date(2025, 11, 10), 6)]
    assert holes(states, EXPECTED).filter(symbol="AAA")["sessions"].to_list() == [1, 1, 1, 4]


def test_without_expected_sessions_nothing_is_complete() -> None:
    universe = listed(("GONE", True, None, date(2020, 1, 2)))
    stock, states = states_of(universe, here(GONE="bb........."))
    symbols = by_symbol(coverage_table(states, stock))
    assert symbols.select("symbol", "state", "sessions_beyond").rows() == [("GONE", "beyond", 2)]


def test_a_symbol_is_complete_or_has_holes_or_has_no_bars() -> None:
    universe = listed(*((symbol, True, None, None) for symbol in ("FULL", "GAP", "MANY", "NONE", "QUIET")))
    sessions = here(FULL="b" * 11, GAP="bbbbb.bbbbb", MANY="b.........b", NONE="eeeee......", QUIET="bbbbbebbbbb")
    stock, states = states_of(universe, sessions)
    symbols = by_symbol(coverage_table(states, stock))
    assert symbols.select("symbol", "state", "sessions_lost").rows() == [
        ("MANY", "holes", 9),
        ("NONE", "without", 6),
        ("GAP", "holes", 1),
        ("QUIET", "holes", 1),
        ("FULL", "complete", 0),
    ]


# ------------------------------------------------------------------------------------------------- volumes


def traded(volumes: list[float], start: str = "2025-11-05 09:30", symbol: str = "AAA") -> pl.DataFrame:
    """Consecutive minutes with these volumes."""
    return bars_from(start, [(10.0, 10.0, 10.0, 10.0, volume, 1) for volume in volumes], symbol)


def counts(bars: pl.DataFrame) -> list[tuple[Any, ...]]:
    found = session_volumes(bars.lazy()).sort("symbol", "day").collect()
    assert found.schema == VOLUMES
    return found.rows()


def test_only_volumes_that_can_be_odd_are_judged() -> None:
    # judged are 3, 8, 12 and 15: multiples of ten are always even, fractions neither even nor odd
    bars = traded([3.0, 8.0, 10.0, 100.0, 2_000_000_000.0, 12.0, 15.0, 2.5, 0.4])
    assert counts(bars) == [("AAA", date(2025, 11, 5), 4, 2)]
    # the day in New York
    late = traded([3.0], "2025-11-05 19:59")
    assert counts(late) == [("AAA", date(2025, 11, 5), 1, 1)]


# 77 volumes are not multiples of ten, and 49 of them are odd
PLAIN = [float(100 * (number % 3) + number) for number in range(1, 86)]


def doubled_in(**sessions: tuple[int, int]) -> dict[str, int]:
    """By month, the number of doubled sessions, given the judged and odd volumes of sessions `mMMDD`."""
    rows = [("AAA", date(2025, int(name[1:3]), int(name[3:])), *both) for name, both in sessions.items()]
    stock, states = states_of(listed(("AAA", True, None, None)), here(AAA="b" * 11))
    table = with_volumes(coverage_table(states, stock), pl.DataFrame(rows, VOLUMES, orient="row"), PARAMS)
    assert table.schema == COVERAGE
    return {f"{month:%m}": number for month, number in table.select("month", "sessions_doubled").iter_rows()}


def test_sessions_whose_volumes_are_all_even_count_as_doubled() -> None:
    # 50 volumes are enough, and 1 odd one of 50 is 2 %
    assert doubled_in(m1027=(50, 0), m1028=(50, 1), m1029=(50, 25), m1030=(49, 0))["10"] == 2
    assert doubled_in(m1027=(50, 2), m1028=(50, 25))["10"] == 0
    assert doubled_in(m1103=(500, 249), m1104=(400, 0))["11"] == 1


def test_sessions_with_few_volumes_are_judged_by_their_month() -> None:
    assert doubled_in(m1027=(20, 0), m1028=(20, 0), m1029=(10, 0), m1103=(20, 0)) == {"10": 3, "11": 0}
    # with one more the session counts as ordinary
    assert doubled_in(m1027=(20, 0), m1028=(20, 0), m1029=(10, 5))["10"] == 0


def test_doubled_volumes_are_detected_and_the_original_ones_are_not() -> None:
    for factor, doubled in ((1, False), (2, True), (4, True), (100, False)):
        ((_, _, judged, odd),) = counts(traded([factor * volume for volume in PLAIN]))
        assert (judged >= PARAMS.min_volumes and 100 * odd <= PARAMS.max_odd_pct * judged) == doubled, factor


# ------------------------------------------------------------------------------------------------- a lake


REJECTED = QUARANTINED_BARS.to_frame()
NOW = datetime(2025, 11, 11, 12, tzinfo=UTC)
SETTINGS = load_settings(
    overrides={
        "history": {"first_session": "2025-10-27", "last_session": "2025-11-10"},
        "checks": {"bars": {"min_active_symbols": 2, "active_minutes_pct": 50.0}},
    }
)


def stored(lake: Lake, symbol: str, letters: str, bars: Callable[[str, str], pl.DataFrame]) -> None:
    """Store sessions of a symbol as in `here`, with bars for each."""
    for month in (OCTOBER, NOVEMBER):
        added = [
            (day, letter)
            for day, letter in zip(EXPECTED, letters, strict=True)
            if letter != "." and day.replace(day=1) == month
        ]
        if added:
            made = [bars(f"{day}", symbol) for day, letter in added if letter == "b"]
            frame = pl.concat([BARS.to_frame(), *made]).sort("timestamp")
            BarsStore(lake).add(symbol, month, [day for day, _ in added], frame, REJECTED)


def regular(day: str, symbol: str, lost: tuple[int, int] = (0, 0)) -> pl.DataFrame:
    """All regular minutes of a day except from `lost[0]` to before `lost[1]`; volumes odd and even."""
    bars = bars_from(f"{day} 09:30", flat(390), symbol).with_columns(volume=pl.int_range(pl.len()).cast(pl.Float64) + 1)
    begin = new_york(f"{day} 09:30").astimezone(UTC)
    minute = (pl.col("timestamp") - begin).dt.total_minutes()
    return bars.filter(~minute.is_between(lost[0], lost[1], closed="left"))


def doubled(day: str, symbol: str) -> pl.DataFrame:
    return regular(day, symbol).with_columns(pl.col("volume") * 2)


def publish_universe(lake: Lake, **days: tuple[bool, date | None, date | None]) -> None:
    rows = [(symbol, *what) for symbol, what in days.items()]
    known = pl.DataFrame(rows, schema=LISTING_DATES, orient="row")
    UniverseStore(lake).replace(known.match_to_schema(UNIVERSE, missing_columns="insert"), {})


def inventory(lake: Lake, log: Callable[[str], None] = lambda line: None) -> Inventory:  # noqa: ARG005
    return Inventory(BarsStore(lake), UniverseStore(lake), SETTINGS, log)


@pytest.fixture
def mixed(lake: Lake) -> Lake:
    """One symbol of each kind; two of them lack the same minutes of one day."""
    publish_universe(
        lake,
        FULL=(True, date(2020, 1, 2), None),
        GAP=(True, None, None),
        NONE=(True, None, None),
        LATE=(True, date(2025, 11, 5), None),
        LEFT=(False, None, None),
    )
    stored(lake, "FULL", "b" * 11, lambda day, symbol: regular(day, symbol, (60, 65 if day == "2025-11-05" else 60)))
    stored(
        lake, "GAP", "bb..bbebbb.", lambda day, symbol: regular(day, symbol, (60, 65 if day == "2025-11-05" else 60))
    )
    stored(
        lake,
        "LATE",
        "eeeeeeebbbb",
        lambda day, symbol: doubled(day, symbol) if day > "2025-11-06" else regular(day, symbol, (60, 65)),
    )
    stored(lake, "LEFT", "b.b........", lambda day, symbol: bars_from(f"{day} 10:00", flat(3), symbol))
    return lake


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


# ------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped settings with the history of these tests."""
    text = (REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8")
    changes = {
        "first_session: 2025-10-22": "first_session: 2025-10-27",
        "last_session: 2025-12-01": "last_session: 2025-11-10",
        "min_active_symbols: 30": "min_active_symbols: 2",
        "active_minutes_pct: 80.0": "active_minutes_pct: 50.0",
    }
    for before, after in changes.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "config.yaml"


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(mixed: Lake, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `smallcaps coverage` on the mixed lake; returns its exit code and output."""
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["coverage", "--config", str(config), "--lake", str(mixed.root), *arguments])
        return code, capsys.readouterr().out

    return run


def test_the_summary_is_followed_by_the_holes(command: Command) -> None:
    code, output = command()
    assert code == 0
    lines, between = output.splitlines(), "1 has no bar between sessions with bars"
    others = "expected of these are the sessions between the first bar and the last"
    assert lines[1:8] == [
        "expected: 11 sessions from 2025-10-27 to 2025-11-10",
        f"symbols:  5: 2 complete, 2 with holes, 1 without a bar; 1 is not followed: {others}",
        f"sessions: 25 of 40 symbol-sessions are published (62.5 %), 15 missing; {between}",
        "bars:     8,566; doubled volumes in 2 symbol-sessions (5 of 8 symbol-months have enough bars to tell)",
        "minutes:  5 of 3,120 regular minutes are missing for most active symbols",
        "prints:   no bar with a suspect high or low",
        "listing:  unknown of 2 symbols, whose sessions are expected from 2025-10-27 on",
    ]
    assert lines[8:] == [
        "minutes lost, New York:",
        "  date        from .. to      minutes  most symbols with a bar  active symbols",
        "  2025-11-05  10:30 .. 10:34        5                        0               3",
        "doubled volumes:",
        "  symbol  month    sessions  odd volumes  volumes",
        "  LATE    2025-11         2          384    1,316",
        "holes:",
        "  symbol  hole     from .. to                sessions",
        "  GAP     missing  2025-10-29 .. 2025-10-30         2",
        "  GAP     empty    2025-11-04 .. 2025-11-04         1",
        "  GAP     missing  2025-11-10 .. 2025-11-10         1",
        "  LEFT    missing  2025-10-28 .. 2025-10-28         1",
        "  NONE    missing  2025-10-27 .. 2025-11-10        11",
        "next: materialize minute_bars of GAP, NONE; only what is missing is fetched",
    ]


def test_with_strict_missing_sessions_are_an_error(command: Command) -> None:
    assert command("--strict", "--fast")[0] == 1
    code, output = command("--strict", "--symbol", "FULL", "--symbol", "LATE")
    assert code == 0
    assert "symbols:  2: 2 complete" in output
    assert "minutes:  too few active symbols to tell" in output
    assert "holes:" not in output
    assert "next:" not in output


def history_from(config: Path, day: str) -> None:
    text = config.read_text(encoding="utf-8")
    assert text.count("first_session: 2025-10-27") == 1
    config.write_text(text.replace("first_session: 2025-10-27", f"first_session: {day}"), encoding="utf-8")


def test_holes_before_the_history_are_shown(mixed: Lake, command: Command, config: Path) -> None:
    publish_universe(mixed)
    history_from(config, "2025-11-10")
    code, output = command("--strict", "--symbol", "FULL", "--symbol", "GAP", "--fast")
    assert code == 1
    lines = output.splitlines()
    assert lines[1] == "expected: from the first bar to the last of each symbol, as none of them is followed"
    assert lines[2].startswith(
        "earlier:  2 symbols have bars from 2025-10-27 on, before history.first_session 2025-11-10"
    )
    assert "set history.first_session to 2025-10-27 to fill the holes of followed symbols" in lines[2]
    assert lines[3] == "symbols:  2: 1 complete, 1 with holes, 0 without a bar; 2 are not followed"
    assert lines[4].startswith("sessions: 19 of 21 symbol-sessions are published (90.5 %), 2 missing; 1 has no bar")
    assert "  GAP     missing  2025-10-29 .. 2025-10-30         2" in lines
    assert "next:" not in output
    document = json.loads(command("--json", "--fast", "--symbol", "GAP")[1])
    assert [document[name] for name in ("first_bar_before_history", "symbols_before_history")] == ["2025-10-27", 1]


def test_no_materialization_is_advised_for_holes_before_the_history(command: Command, config: Path) -> None:
    history_from(config, "2025-11-04")
    _, output = command("--fast")
    # NONE misses sessions of the history, GAP one of them, LEFT is not followed
    assert "next: materialize minute_bars of GAP, NONE; only" in output
    assert "  GAP     missing  2025-10-29 .. 2025-10-30         2" in output
    _, output = command("--fast", "--symbol", "FULL")
    assert "earlier:  1 symbol has bars from 2025-10-27 on" in output
    shorter = config.read_text(encoding="utf-8").replace("last_session: 2025-11-10", "last_session: 2025-11-07")
    config.write_text(shorter, encoding="utf-8")
    _, output = command("--fast", "--symbol", "GAP")
    assert "  GAP     missing  2025-10-29 .. 2025-10-30         2" in output
    assert "next:" not in output


def test_only_the_first_of_many_holes_are_shown_by_default(mixed: Lake, command: Command) -> None:
    assert mixed.root.is_dir()
    rows = {f"S{number:02}": (True, EXPECTED[-1], None) for number in range(22)}
    publish_universe(mixed, **rows)
    _, output = command("--fast")
    assert len(re.findall("^  S.. +missing", output, re.MULTILINE)) == 20 - 3, "GAP has two holes, LEFT one"
    assert "volumes" not in output.replace("not read", "")
    more = re.search(
        r"^  and (\d+) more: `smallcaps (coverage --config .*) --missing` lists all$", output, re.MULTILINE
    )
    assert more
    assert more[2].endswith("--fast")
    _, all_of_them = command("--fast", "--missing")
    assert len(re.findall("^  S.. +missing", all_of_them, re.MULTILINE)) == 22
    assert " more:" not in all_of_them


def test_json_output_is_complete(command: Command) -> None:
    _, text = command("--json")
    output = json.loads(text)
    assert output["symbol_sessions_missing"] == 15
    assert {row["symbol"]: row["state"] for row in output["symbols_in_all"]} == {
        "FULL": "complete",
        "GAP": "holes",
        "LATE": "complete",
        "LEFT": "holes",
        "NONE": "without",
    }
    assert output["holes"][0] == {
        "symbol": "GAP",
        "hole": "missing",
        "first": "2025-10-29",
        "last": "2025-10-30",
        "sessions": 2,
    }
    assert [(row["first"], row["minutes"]) for row in output["lost_minutes"]] == [("2025-11-05T15:30:00+00:00", 5)]
    assert [(row["symbol"], row["sessions_doubled"]) for row in output["doubled"]] == [("LATE", 2)]
    assert output["unreadable"] == {}


def test_an_unknown_symbol_is_rejected_by_name(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--symbol", "NOPE")[0] == 2
    assert "NOPE: neither followed nor with bars" not in capsys.readouterr().out
