"""`event_waves` and `events_with_waves_enriched` of `smallcaps research`, against slow rules on the same files."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets_tests.slow_spec.outcomes_waves import outcome_of
from smallcaps_assets_tests.unit.commands.research_files import EVENT_AT, contract_columns, write_market

Tables = dict[str, pl.DataFrame]
OF_TAPE = ("reconciled_share", "worst_class", "event_bar_class", "in_halt_aftermath", "halt_in_window", "ssr_condition")
CLOSES = datetime(2025, 6, 13, tzinfo=UTC)  # 20:00 in New York


def compute(market: Path, out: Path, *more: str, tape: tuple[str, ...] = ("trades", "quotes")) -> Tables:
    kinds = ("events", "bars", *tape)
    given = [text for kind in kinds for text in (f"--{kind}", str(market / f"{kind}.parquet"))]
    assert main(["research", *given, "--out", str(out), *more]) == 0
    return {file.stem: pl.read_parquet(file) for file in out.iterdir()}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As other tests have it; also an event whose window reaches 20 minutes back."""
    folder = tmp_path_factory.mktemp("market")
    write_market(folder)
    events = pl.read_parquet(folder / "events.parquet")
    long = events.filter(pl.col("event_id").str.starts_with("ABE_flush")).with_columns(
        event_id=pl.lit("ABE_long"), event_type=pl.lit("orb"), window_before_min=pl.lit(25), window_after_min=pl.lit(5)
    )
    pl.concat([events, long], how="diagonal").write_parquet(folder / "events.parquet")
    return folder


@pytest.fixture(scope="module")
def computed(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return compute(market, tmp_path_factory.mktemp("computed") / "out")


def expected(market: Path, found: Tables, horizon_min: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    bars = pl.read_parquet(market / "bars.parquet").sort("symbol", "timestamp")
    by_day: dict[tuple[str, date], list[dict[str, Any]]] = {}
    for row in bars.rows(named=True):
        by_day.setdefault((row["symbol"], row["timestamp"].date()), []).append(row)
    directions = dict(found["events_with_waves_enriched"].select("event_id", "direction").iter_rows())
    waves, outcomes = [], []
    for row in found["event_bar_features"].rows(named=True):
        event = {name: row[name] for name in ("event_id", "timestamp", "bar_atr")}
        day = by_day[row["symbol"], row["timestamp"].date()]
        place = next(number for number, bar in enumerate(day) if bar["timestamp"] == row["timestamp"])
        closes = CLOSES - (EVENT_AT.date() - row["timestamp"].date())
        # a minute has one bar at most
        legs, outcome = outcome_of(
            event | {"direction": directions[row["event_id"]]}, day[place : place + 62], closes, horizon_min
        )
        waves += legs
        outcomes.append(outcome)
    return sorted(waves, key=lambda row: (row["event_id"], row["leg"])), outcomes


@pytest.mark.parametrize("horizon_min", [60, 20])
def test_files_equal_the_slow_rules(horizon_min: int, market: Path, tmp_path: Path, computed: Tables) -> None:
    found = computed
    if horizon_min != 60:
        found = compute(market, tmp_path / "out", "--set", f"wave_horizon_min={horizon_min}")
    waves, outcomes = expected(market, found, horizon_min)
    slow = pl.DataFrame(waves, schema=found["event_waves"].schema)
    assert_frame_equal(found["event_waves"], slow, rel_tol=1e-12)
    enriched = found["events_with_waves_enriched"]
    names = list(outcomes[0])
    slow = pl.DataFrame(outcomes, schema={name: enriched.schema[name] for name in names})
    assert_frame_equal(enriched.select(names), slow, rel_tol=1e-9, abs_tol=1e-9)
    assert enriched["legs"].sum() == len(waves)
    assert len(set(enriched["outcome"])) > 2


def test_the_enriched_table_has_a_row_per_event_with_a_bar(computed: Tables, market: Path) -> None:
    enriched, features = computed["events_with_waves_enriched"], computed["event_bar_features"]
    assert enriched["event_id"].to_list() == features["event_id"].to_list()
    given = pl.read_parquet(market / "events.parquet")["event_id"]
    in_file = pl.col("event_id").is_in(given.implode())
    assert enriched["in_master"].to_list() == enriched.select(in_file).to_series().to_list()
    repeated = ["velocity_pre_5", "acceleration_pre_5", "score_percentile", "score_robust_z", "score_n"]
    assert_frame_equal(enriched.select(repeated), features.select(repeated), check_exact=True)
    assert set(EVENTS) <= set(enriched.columns)
    # what detection knows of a candidate, and what the file says of an event
    others = enriched.filter(~in_file)
    assert not others.select("close", "session", "score", "known_at").null_count().sum_horizontal().item()
    assert enriched.filter(in_file)["close"].null_count() == given.len() - 1


def test_columns_of_tape(computed: Tables, market: Path) -> None:
    minutes = {(row["symbol"], row["timestamp"]): row["class"] for row in computed["bar_reconciliation"].to_dicts()}
    windows = {
        row["event_id"]: (row["window_before_min"] or 3, row["window_after_min"] or 7)
        for row in pl.read_parquet(market / "events.parquet").to_dicts()
    }
    halts = computed["halts"].filter(pl.col("confidence") == 1).to_dicts()
    seen = set()
    for row in computed["events_with_waves_enriched"].to_dicts():
        before, after = windows.get(row["event_id"], (3, 7))
        within = [minutes.get((row["symbol"], row["timestamp"] + timedelta(minutes=m))) for m in range(-before, after)]
        traded = [one for one in within if one not in {None, "no_trades_no_bar"}]
        share = sum(one == "exact" for one in traded) / len(traded) if traded else None
        assert row["reconciled_share"] == share
        assert row["event_bar_class"] == minutes.get((row["symbol"], row["timestamp"]))
        has_tape = row["timestamp"].date() == EVENT_AT.date()
        assert (row["worst_class"] is None) != has_tape
        meets = any(
            halt["symbol"] == row["symbol"]
            and halt["start"] < row["timestamp"] + timedelta(minutes=after)
            and halt["end"] > row["timestamp"] - timedelta(minutes=before)
            for halt in halts
        )
        assert (row["halt_in_window"], row["ssr_condition"]) == ((meets, False) if has_tape else (None, None))
        # only a window that reaches 20 minutes back can say that there was none
        assert row["in_halt_aftermath"] == (False if row["event_id"] == "ABE_long" else None)
        seen.add((row["in_master"], has_tape, row["halt_in_window"]))
    # of the file or not, without tape; with tape, without a halt; and a candidate before the end of the bars
    assert len(seen) == 5


def test_without_tape_its_columns_are_null(computed: Tables, market: Path, tmp_path: Path) -> None:
    found = compute(market, tmp_path / "out", tape=())
    enriched = found["events_with_waves_enriched"]
    assert enriched.select(OF_TAPE).null_count().row(0) == (enriched.height,) * 6
    assert_frame_equal(enriched.drop(OF_TAPE), computed["events_with_waves_enriched"].drop(OF_TAPE), check_exact=True)
    assert_frame_equal(found["event_waves"], computed["event_waves"], check_exact=True)
    assert set(contract_columns("events_with_waves_enriched")) <= set(enriched.columns)


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_with_half_of_the_tape_some_of_them_are_null(kind: str, market: Path, tmp_path: Path) -> None:
    enriched = compute(market, tmp_path / "out", tape=(kind,))["events_with_waves_enriched"]
    own = enriched.filter(pl.col("event_id") == "ABE_long")
    null = {name for name in OF_TAPE if own[name].item() is None}
    of_trades = {"reconciled_share", "worst_class", "event_bar_class", "ssr_condition"}
    # a halt needs both
    assert null == ({"in_halt_aftermath"} if kind == "trades" else {"in_halt_aftermath", *of_trades})
