"""Research tables of symbols in a lake: only what changed is computed again, and the result is as if all of it was."""

import re
import shutil
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.imports.events import IMPORTED_EVENTS
from smallcaps_assets.domain.research.bars.market_state import SPLIT_STATE, SPLITS
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import provenance_of, publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.research.bars.bar_checks import checks_of_research, features_up_to_date
from smallcaps_assets.pipeline.research.bars.by_symbol import SymbolResearch
from smallcaps_assets.pipeline.research.bars.renewals import Renewal, RenewalPlanner
from smallcaps_assets.pipeline.research.bars.symbol_tables import MARKET_STATE_DAY, SYMBOL_TABLES
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flip_bit, sessions_of

DAYS = sessions_of("2025-09-02", "2025-11-28")["date"].to_list()
SPLIT = pl.DataFrame([("AVLO", date(2025, 10, 9), 10.0, 1.0)], SPLITS, orient="row")
# AVLO trades every day, BNRX on these days, CRVO has no event, DRFT on one day long before it is followed
REGULAR = {date(2025, 9, 2), date(2025, 9, 3), date(2025, 11, 5), date(2025, 11, 20)}
PREMARKET = {date(2025, 9, 15), date(2025, 10, 15), date(2025, 10, 29)}
DRFT_AGAIN = date(2025, 10, 20)
SYMBOLS = ("AVLO", "BNRX", "CRVO", "DRFT")


def _bars_of(symbol: str, day: date, rng: np.random.Generator) -> pl.DataFrame | None:
    """Forty minutes of a random walk with a jump on much volume; None where the symbol does not trade."""
    if (symbol == "BNRX" and day not in REGULAR | PREMARKET) or (symbol == "DRFT" and DAYS[0] < day < DRFT_AGAIN):
        return None
    steps = rng.normal(0, 0.002, 40)
    volumes = rng.integers(5_000, 15_000, 40).astype(float)
    if symbol != "CRVO":
        steps[33], volumes[33] = rng.choice([-0.15, 0.06]), 400_000.0
    prices = np.round(8 * np.exp(np.cumsum(steps)), 2)
    opens = np.append(8.0, prices[:-1])
    rows = [
        (one, max(one, close) + 0.01, min(one, close) - 0.01, float(close), float(volume), 60)
        for one, close, volume in zip(opens, prices, volumes, strict=True)
    ]
    start = "08:00" if symbol == "BNRX" and day in PREMARKET else "10:00"
    bars = bars_from(f"{day} {start}", rows, symbol)
    # a gap of six minutes after busy ones
    return bars.filter(~pl.int_range(pl.len()).is_between(20, 25)) if day.day % 5 == 0 else bars


@pytest.fixture(scope="module")
def market() -> Mapping[tuple[str, date], pl.DataFrame | None]:
    rng = np.random.default_rng(7)
    return {(symbol, day): _bars_of(symbol, day, rng) for day in DAYS for symbol in SYMBOLS}


def _store(root: Path, market: Mapping[tuple[str, date], pl.DataFrame | None], days: Iterable[date]) -> None:
    """Add the bars of `days` to a lake, month by month."""
    root.mkdir(exist_ok=True)
    store, wanted = BarsStore(Lake(root)), set(days)
    for symbol in SYMBOLS:
        for month in sorted({day.replace(day=1) for day in wanted}):
            sessions = [day for day in wanted if day.replace(day=1) == month]
            parts = [part for day in sessions if (part := market[symbol, day]) is not None]
            if parts:
                bars = pl.concat(parts).sort("timestamp")
                store.add(symbol, month, sessions, bars, QUARANTINED_BARS.to_frame())


def _research(root: Path, splits: pl.DataFrame | None = SPLIT, params: ResearchParams | None = None) -> SymbolResearch:
    settings, lake = default_settings(), Lake(root)
    detector = Detector(BarsStore(lake), ShardStore(lake), settings.detection, settings.sessions, REFERENCE.to_frame())
    return SymbolResearch(detector, params or ResearchParams(), splits)


def _renew(research: SymbolResearch, symbols: Iterable[str] = SYMBOLS) -> dict[str, dict[str, int | float]]:
    """Detect, compute, and return the figures of each symbol."""
    assert not [outcome for outcome in research.detector.run(list(symbols)) if outcome.problems]
    outcomes = list(research.run(list(symbols)))
    assert not [problem for outcome in outcomes for one in outcome.values() for problem in one.problems]
    return {one.partition[0]: one.figures for outcome in outcomes for one in [outcome["halts"]]}


def _tables(root: Path) -> dict[str, pl.DataFrame]:
    lake = Lake(root)
    return {
        table: pl.concat(pl.read_parquet(lake.research_symbol(table, symbol), glob=False) for symbol in SYMBOLS)
        for table in SYMBOL_TABLES
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, market: Mapping[tuple[str, date], pl.DataFrame | None]) -> Path:
    """A lake whose tables were computed at once."""
    root = tmp_path_factory.mktemp("whole") / "lake"
    _store(root, market, DAYS)
    _renew(_research(root))
    return root


@pytest.fixture
def lake(whole: Path, tmp_path: Path) -> Path:
    """A copy of `whole`."""
    return Path(shutil.copytree(whole, tmp_path / "lake"))


def test_tables_that_grew_night_by_night_are_those_computed_at_once(
    whole: Path, tmp_path: Path, market: Mapping[tuple[str, date], pl.DataFrame | None]
) -> None:
    root, computed = tmp_path / "lake", []
    for first, last in [(0, 20), (20, 45), (45, 61), (61, 62), (62, len(DAYS))]:
        _store(root, market, DAYS[first:last])
        computed.append(_renew(_research(root))["AVLO"]["sessions_computed"])
    tables = _tables(root)
    assert {name: table.height > 0 for name, table in tables.items()} == dict.fromkeys(SYMBOL_TABLES, True)
    for name, expected in _tables(whole).items():
        assert tables[name].equals(expected), name
    # later nights compute the month that they add to, not the months before it
    assert computed == [20, 45, 61 - 44, 62 - 44, len(DAYS) - 44]


def test_tables_that_an_earlier_release_did_not_make_are_made_and_the_others_stay(lake: Path) -> None:
    unknown = ("event_waves", "event_outcomes", "event_labels")
    before, tables = files_below(lake), _tables(lake)
    research = _research(lake)
    for symbol in SYMBOLS:
        path = Lake(lake).research_symbol(MARKET_STATE_DAY, symbol)
        recorded = dict(research.store.recorded(path) or {})
        # its record names the tables that it knew
        recorded["tables"] = {name: found for name, found in recorded["tables"].items() if name not in unknown}
        research.store.publish(path, research.store.read(path, SYMBOL_TABLES[MARKET_STATE_DAY]), recorded)
        for table in unknown:
            Lake(lake).research_symbol(table, symbol).unlink()
    assert _research(lake).behind(list(SYMBOLS)) == list(SYMBOLS)
    _renew(_research(lake))
    made = (*unknown, MARKET_STATE_DAY)
    after = files_below(lake)
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == {
        f"research/{table}/symbol={symbol}.parquet" for table in made for symbol in SYMBOLS
    }
    assert all(rows.equals(tables[table]) for table, rows in _tables(lake).items())


def test_a_symbol_that_did_not_change_is_not_read(lake: Path) -> None:
    before = files_below(lake)
    Lake(lake).minute_bars.rename(lake / "bars" / "elsewhere")
    research = _research(lake)
    assert research.behind(list(SYMBOLS)) == []
    outcomes = list(research.run(list(SYMBOLS)))
    assert [one.figures for outcome in outcomes for one in outcome.values()] == [{"sessions_computed": 0}] * 4 * len(
        SYMBOL_TABLES
    )
    (lake / "bars" / "elsewhere").rename(Lake(lake).minute_bars)
    assert files_below(lake) == before


def _changed(before: Mapping[str, tuple[int, bytes]], root: Path) -> set[str]:
    """The research files that were written since, by table and symbol."""
    now = files_below(root / "research")
    return {name.removesuffix(".parquet") for name, state in now.items() if before.get(name) != state}


def test_a_split_makes_only_its_symbol_stale(lake: Path) -> None:
    before = files_below(lake / "research")
    new = pl.concat([SPLIT, SPLIT.with_columns(symbol=pl.lit("DRFT"), execution_date=pl.lit(date(2025, 11, 4)))])
    research = _research(lake, new)
    assert research.behind(list(SYMBOLS)) == ["DRFT"]
    _renew(research)
    # it has no halt that a split changes
    assert _changed(before, lake) == {f"{table}/symbol=DRFT" for table in ("event_bar_features", "market_state_day")}
    days = _tables(lake)["market_state_day"].filter(symbol="DRFT", date="2025-11-04")
    assert days.select(*SPLIT_STATE).row(0) == (True, 0, 0.1, True)


def test_splits_that_were_never_fetched_are_unknown(lake: Path) -> None:
    _renew(_research(lake, None))
    for table in ("market_state_day", "event_bar_features"):
        assert _tables(lake)[table].select(pl.col(*SPLIT_STATE).null_count() == pl.len()).row(0) == (True,) * 4


def test_only_settings_of_these_tables_make_them_stale(lake: Path) -> None:
    assert _research(lake, params=ResearchParams(grid_hz=10)).behind(list(SYMBOLS)) == []
    research = _research(lake, params=ResearchParams(halt_min_gap_min=20))
    assert research.behind(list(SYMBOLS)) == list(SYMBOLS)
    assert _tables(lake)["halts"]["seconds"].min() == 360
    _renew(research)
    assert _tables(lake)["halts"]["seconds"].min() > 1200  # type: ignore[operator] # a number
    assert research.behind(list(SYMBOLS)) == []


def test_a_setting_makes_only_those_tables_stale_that_read_it(lake: Path) -> None:
    for params, stale in (
        ({"wave_horizon_min": 20}, {"event_waves", "event_outcomes"}),
        ({"edge_spread_bars": 8}, {"event_bar_features"}),
        ({"halt_busy_min": 3}, {"event_bar_features", "halts", "event_labels", "market_state_day"}),
        ({"causal_min_dollars": 1.0}, set(SYMBOL_TABLES) - {"halts", "market_state_day"}),
        ({"grid_hz": 10}, set()),
    ):
        research = _research(lake, params=ResearchParams(**params))
        assert {table for table in SYMBOL_TABLES if research.behind(["AVLO"], table)} == stale
        # the step computes all of them
        assert research.behind(["AVLO"]) == ["AVLO"] * bool(stale)
    finding = features_up_to_date(_research(lake, params=ResearchParams(wave_horizon_min=20)))
    assert (finding.holds, finding.sentence()) == (True, "The tables of 4 symbols are up to date.")
    # other events concern every table
    later = _research(lake, None)
    assert {table for table in SYMBOL_TABLES if later.behind(["AVLO"], table)} == set(SYMBOL_TABLES)


def test_a_file_of_an_earlier_release_has_the_settings_of_all_tables_together(lake: Path) -> None:
    research = _research(lake)
    path = Lake(lake).research_symbol("market_state_day", "AVLO")
    known = dict(research.store.recorded(path) or {})
    del known["settings_of"]
    research.store.publish(path, research.store.read(path, SYMBOL_TABLES["market_state_day"]), known)
    # nothing is computed again for the lack of it
    assert _renew(research)["AVLO"] == {"sessions_computed": 0}
    assert research.behind(["AVLO"], "event_bar_features") == []
    changed = _research(lake, params=ResearchParams(wave_horizon_min=20))
    assert changed.behind(["AVLO"], "event_bar_features") == ["AVLO"]


@pytest.mark.parametrize("table", SYMBOL_TABLES)
def test_a_damaged_file_is_set_aside_and_made_again(whole: Path, lake: Path, table: str) -> None:
    path = Lake(lake).research_symbol(table, "AVLO")
    flip_bit(path)
    figures = _renew(_research(lake))
    assert figures["AVLO"]["damaged_files_set_aside"] == 1
    assert figures["BNRX"] == {"sessions_computed": 0}
    assert len(list((lake / "quarantine").rglob(f"{path.name}.*.damaged"))) == 1
    for name, expected in _tables(whole).items():
        assert _tables(lake)[name].equals(expected)


def test_a_file_of_another_night_than_the_record_is_computed_again(whole: Path, lake: Path) -> None:
    """As after a process that was killed between the files of a symbol."""
    research = _research(lake)
    path = Lake(lake).research_symbol("event_bar_features", "AVLO")
    rows = research.store.read(path, SYMBOL_TABLES["event_bar_features"])
    research.store.publish(path, rows.head(3), {"rows": "of another night"})
    assert _renew(research)["AVLO"]["sessions_computed"] == len(DAYS)
    assert _tables(lake)["event_bar_features"].equals(_tables(whole)["event_bar_features"])


def test_a_symbol_without_bars_has_tables_without_rows(tmp_path: Path) -> None:
    research = _research(tmp_path, None)
    (outcome,) = research.run(["NONE"])
    assert {name: (one.rows, one.problems) for name, one in outcome.items()} == dict.fromkeys(SYMBOL_TABLES, (0, ()))
    assert research.behind(["NONE"]) == []


def test_bars_that_cannot_be_read_fail_their_symbol_alone(lake: Path) -> None:
    flip_bit(Lake(lake).bars("AVLO") / "2025-10.parquet")
    research = _research(lake, None)
    outcomes = {one["halts"].partition[0]: one["halts"] for one in research.run(list(SYMBOLS))}
    assert [symbol for symbol, outcome in outcomes.items() if outcome.problems] == ["AVLO"]
    assert "2025-10.parquet: is damaged" in outcomes["AVLO"].problems[0]
    assert research.behind(list(SYMBOLS)) == ["AVLO"]


def test_the_tables_hold_what_was_planted(whole: Path) -> None:
    tables = _tables(whole)
    assert tables["market_state_day"].group_by("symbol").len().sort("symbol").rows() == [
        ("AVLO", len(DAYS)),
        ("BNRX", 7),
        ("CRVO", len(DAYS)),
        ("DRFT", 1 + sum(day >= DRFT_AGAIN for day in DAYS)),
    ]
    # a gap in regular hours of AVLO and CRVO every fifth day of the month; BNRX and DRFT on theirs
    gaps = [day for day in DAYS if day.day % 5 == 0]
    halts = tables["halts"].filter(pl.col("seconds") == 360.0)
    assert halts.filter(symbol="AVLO")["date"].to_list() == [f"{day}" for day in gaps]
    features = tables["event_bar_features"]
    assert set(features["symbol"]) == {"AVLO", "BNRX", "DRFT"}
    assert features.filter(symbol="AVLO")["in_causal_sample"].sum() >= len(DAYS)


@pytest.mark.parametrize("table", SYMBOL_TABLES)
def test_footers_say_what_the_rows_were_computed_from(whole: Path, table: str) -> None:
    provenance = provenance_of(Lake(whole).research_symbol(table, "AVLO"))
    assert provenance is not None
    assert provenance["place"] == {"table": table, "symbol": "AVLO"}
    of_all = {"code", "settings", "detection", "splits", "months", "rows"}
    assert set(provenance["computed_from"]) == of_all | (
        {"tables", "settings_of"} if table == "market_state_day" else set()
    )
    assert list(provenance["computed_from"]["months"]) == ["2025-09", "2025-10", "2025-11"]


def test_events_are_the_same_without_all_that_came_later(whole: Path) -> None:
    checks = checks_of_research("event_bar_features", _research(whole))
    assert {name: check().holds for name, check in checks.items()} == dict.fromkeys(
        ("unique_rows", "finite", "ranges", "registry_complete", "perturbation", "up_to_date"), True
    )


def test_a_number_that_peeks_and_one_out_of_bounds_are_found(lake: Path) -> None:
    research = _research(lake)
    path = Lake(lake).research_symbol("event_bar_features", "DRFT")
    rows = research.store.read(path, SYMBOL_TABLES["event_bar_features"])
    for symbol in SYMBOLS:
        Lake(lake).research_symbol("event_bar_features", symbol).unlink()
    peeks = rows.with_columns(
        return_5=pl.col("close").shift(-1) / pl.col("close") - 1, weekday=pl.lit(8, pl.Int64)
    ).head(5)
    research.store.publish(path, peeks, {})
    checks = checks_of_research("event_bar_features", research)
    assert {name for name, check in checks.items() if not check().holds} == {"ranges", "perturbation", "up_to_date"}
    found = checks["perturbation"]()
    assert (found.breaking, found.examples["columns"].to_list()) == (5, ["weekday return_5 "] * 5)


def test_imported_events_have_features_and_make_only_their_symbol_stale(lake: Path) -> None:
    tables = _tables(lake)
    before = tables["event_bar_features"]
    detected = pl.read_parquet(Lake(lake).shard("AVLO"), glob=False).head(1)
    moved = detected.with_columns(pl.col("timestamp") - timedelta(minutes=3), event_id=pl.lit("imported"))
    known = pl.concat([moved, detected]).with_columns(event_group_id=pl.lit(None, pl.String), score_raw="score")
    publish_frame(Lake(lake).imported_events, known.select(*IMPORTED_EVENTS))
    figures = _renew(_research(lake))
    assert {symbol: one["sessions_computed"] for symbol, one in figures.items()} == {
        "AVLO": len(DAYS), "BNRX": 0, "CRVO": 0, "DRFT": 0,
    }  # fmt: skip
    after = _tables(lake)["event_bar_features"]
    assert after.filter(pl.col("event_id") != "imported").equals(before)
    bars = BarsStore(Lake(lake)).read("AVLO", DAYS[0], DAYS[-1])
    own = after.filter(event_id="imported")
    assert own["close"].to_list() == bars.filter(pl.col("timestamp") == moved["timestamp"][0])["close"].to_list()
    assert own["in_causal_sample"].to_list() == [False]
    # it is not in MASTER, and labels of MASTER do not overlap with its label
    renewed, is_imported = _tables(lake), pl.col("event_id") == "imported"
    assert renewed["event_outcomes"].filter(is_imported)["in_master"].to_list() == [False]
    assert renewed["event_labels"].filter(is_imported)["uniqueness"].to_list() == [None] * 3
    for table in ("event_outcomes", "event_labels"):
        assert renewed[table].filter(~is_imported).equals(tables[table])
    assert _renew(_research(lake))["AVLO"]["sessions_computed"] == 0
    Lake(lake).imported_events.unlink()
    _renew(_research(lake))
    assert _tables(lake)["event_bar_features"].equals(before)


def test_rows_are_kept_only_of_the_files_that_were_planned_with(
    tmp_path: Path, market: Mapping[tuple[str, date], pl.DataFrame | None]
) -> None:
    """Another run may publish between the plan of a symbol and its publication."""
    root = tmp_path / "lake"
    _store(root, market, [day for day in DAYS if day < date(2025, 11, 20)])
    _renew(_research(root))
    _store(root, market, DAYS)
    research = _research(root)
    assert not [outcome for outcome in research.detector.run(["AVLO"]) if outcome.problems]
    planner = RenewalPlanner(
        research.detector, research.store, research.params, SPLIT, IMPORTED_EVENTS.to_frame(), tuple(SYMBOL_TABLES)
    )
    work = planner.plan("AVLO")
    assert isinstance(work, Renewal)
    assert work.keeps
    assert planner.replaced(work) is None
    before = files_below(root)
    # made from the same inputs: what they hold is what this run would publish
    _renew(_research(root), ["AVLO"])
    made = planner.replaced(work)
    assert made == planner.plan("AVLO")
    assert made != work.rows
    # made with other settings, or gone
    _renew(_research(root, None), ["AVLO"])
    with pytest.raises(LakeError, match="another run replaced it meanwhile"):
        planner.replaced(work)
    for name, (_, content) in before.items():
        (root / name).write_bytes(content)
    assert planner.replaced(work) is None
    Lake(root).research_symbol("halts", "AVLO").unlink()
    with pytest.raises(LakeError, match=re.escape("halts/symbol=AVLO.parquet: another run replaced it meanwhile")):
        planner.replaced(work)
