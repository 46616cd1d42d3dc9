"""`smallcaps detect --compare --outcomes`: what kept, gained and lost events of the causal sample returned."""

import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.outcomes.event_labels import OK
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.research.bars.from_bars import BarRules, tables_of_bars
from smallcaps_assets.pipeline.research.costs_of_others import CostsOfOthers
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.commands.detect_roads_test import DAYS, LIVELY, SYMBOLS, made  # noqa: F401 -- fixture

CHANGE = {"detectors": {"volume_spike": {"regular": {"min_spike_x": 9.0}}, "flush": {"min_spike_x": 2.5}}}
FLAGS = (
    *("--set", "detectors.volume_spike.regular.min_spike_x=9.0", "--set", "detectors.flush.min_spike_x=2.5"),
    *("--label-spec", "5,1,1", "--label-spec", "15,1,1"),
)
# quantiles 0.975 of Student's t by degrees, from a printed table
T_975 = dict(enumerate([12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281], start=1))
T_975 |= {11: 2.2010, 12: 2.1788, 13: 2.1604}


@pytest.fixture
def lake(made: Lake, fresh_home: Path) -> Lake:  # noqa: F811 -- the fixture
    return Lake(shutil.copytree(made.root, fresh_home / "lake"))


@pytest.fixture
def outcomes(lake: Lake, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Compare with MASTER and return the figures of outcomes; the lake stays as it is."""

    def run(*arguments: object) -> dict[str, Any]:
        before = files_below(lake.root)
        outputs = [part for name in ("out", "gained", "lost") for part in (f"--{name}", f"{name}.parquet")]
        flags = ["--lake", lake.root, "--compare", lake.master, "--outcomes", "--json", *outputs, *FLAGS, *arguments]
        assert main(["detect", *map(str, flags)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert files_below(lake.root) == before
        assert document["road"]["from_bars"] == 3
        assert document["road"]["because"].startswith("--outcomes needs the bars")
        found: dict[str, Any] = document["outcomes"]
        return found

    return run


def sampled_labels(side: str) -> tuple[int, pl.DataFrame]:
    """How many events a side has, and all labels of those in the sample of its settings."""
    every, gained = pl.read_parquet("out.parquet"), pl.read_parquet("gained.parquet")
    kept = every.filter(~pl.col("event_id").is_in(gained["event_id"].implode()))
    events = {"kept": kept, "gained": gained, "lost": pl.read_parquet("lost.parquet")}[side]
    settings = load_settings(overrides={} if side == "lost" else CHANGE)
    sessions = sessions_and_earlier(DAYS[0], DAYS[-1], 60, settings.sessions)
    rules = BarRules(sessions, settings.detection, settings.research.params)
    made_of = tables_of_bars(LIVELY, events.select(*EVENTS), rules)
    sample = made_of.events.filter("in_master", "in_causal_sample")["event_id"]
    return events.height, made_of.labels.filter(pl.col("event_id").is_in(sample.implode()))


def figures(labels: pl.DataFrame, cost: float) -> dict[str, float]:
    """MEAN_RETURNS of labels, event by event and date by date."""
    by_date = defaultdict(list)
    for row in labels.filter(state=OK).iter_rows(named=True):
        by_date[row["date"]].append(row["gross_return"] - cost)
    values = [value for of_date in by_date.values() for value in of_date]
    n, days = len(values), len(by_date)
    mean = sum(values) / n
    squares = sum(sum(value - mean for value in of_date) ** 2 for of_date in by_date.values())
    se = math.sqrt(days / (days - 1) * squares) / n
    low, high = mean - T_975[days - 1] * se, mean + T_975[days - 1] * se
    wins = sum(value > 0 for value in values) / n
    return {"n": n, "n_days": days, "win_rate": wins, "mean": mean, "se": se, "mean_lo": low, "mean_hi": high}


def test_outcomes_are_those_of_the_causal_sample_of_each_sides_settings(
    outcomes: Callable[..., dict[str, Any]],
) -> None:
    found = outcomes("--set", "research.cost_bps_default=20", "--set", "research.fee_bps=5")
    assert (found["sample"], found["costs_of"]) == ("causal", "core")
    assert [(row["label_spec"], row["side"]) for row in found["sides"]] == [
        (spec, side) for spec in ("5,1,1", "15,1,1") for side in ("kept", "gained", "lost")
    ]
    assert found["cost_sources"] == {"default": sum(row["in_causal_sample"] for row in found["sides"][:3])}
    for side in ("kept", "gained", "lost"):
        events, every = sampled_labels(side)
        for row in (row for row in found["sides"] if row["side"] == side):
            labels = every.filter(label_spec=row["label_spec"])
            assert (row["events"], row["in_causal_sample"]) == (events, labels.height)
            assert (row["no_entry"], row["no_scale"]) == tuple(
                labels.filter(state=state).height for state in ("no_entry", "no_scale")
            )
            for returns, cost in (("gross", 0.0), ("net", 0.0025)):
                # the table has 4 digits
                assert row[returns] == pytest.approx(figures(labels, cost), abs=1e-6)
    for row in found["sides"]:
        # hindsight leaves MASTER rows that the sample does not have
        assert 0 < row["net"]["n"] <= row["in_causal_sample"] <= row["events"]
    assert any(row["in_causal_sample"] < row["events"] for row in found["sides"])


def test_returns_without_known_costs_are_gross_and_said_to_be(
    lake: Lake, outcomes: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = outcomes()
    assert set(found["cost_sources"]) == {"none"}
    assert all(row["net"]["n"] == 0 and row["net"]["mean"] is None and row["gross"]["n"] for row in found["sides"])
    flags = ["--lake", lake.root, "--compare", lake.master, "--outcomes", *FLAGS]
    assert main(["detect", *map(str, flags)]) == 0
    printed = capsys.readouterr().out
    for row in found["sides"]:
        shown = f"gross (cost of {row['gross']['n']:,} unknown)"
        mean = f"{1e4 * row['gross']['mean']:+.1f}"
        assert any(row["side"] in line and shown in line and mean in line.split() for line in printed.splitlines()), (
            row,
            printed,
        )


def test_sides_without_events_have_no_figures(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--lake", lake.root, "--compare", lake.master, "--outcomes", "--json"]
    assert main(["detect", *map(str, flags)]) == 0
    sides = {row["side"]: row for row in json.loads(capsys.readouterr().out)["outcomes"]["sides"]}
    assert sides["kept"]["gross"]["n"] > 0
    for side in ("gained", "lost"):
        assert (sides[side]["events"], sides[side]["gross"]["n"], sides[side]["gross"]["mean"]) == (0, 0, None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--out", "a.parquet", "--outcomes"), "--outcomes are those of a comparison"),
        (("--compare", "x.parquet", "--label-spec", "5,1,1"), "give --outcomes as well"),
        (("--compare", "x.parquet", "--costs-of", "plus"), "give --outcomes as well"),
        (("--compare", "x.parquet", "--outcomes", "--bars", "b", "--costs-of", "plus"), "leave one of them out"),
    ],
)
def test_flags_without_their_other_are_refused(
    fresh_home: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    assert fresh_home.is_dir()
    assert main(["detect", *flags]) != 0
    assert message in capsys.readouterr().err


def test_events_of_the_tape_stand_for_those_without(tmp_path: Path) -> None:
    """A, of the lake, has 40 bps of its own; B is of its session and price a day later: A's 40; C's price is higher."""
    lake, settings = new_lake(tmp_path), default_settings()
    one, two = (datetime(day.year, day.month, day.day, 15, tzinfo=UTC) for day in DAYS[:2])
    schema = {name: BAR_FEATURES[name] for name in ("event_id", "timestamp", "close")}
    # B is of the lake too, at another price
    known = pl.DataFrame([("A", one, 3.0), ("B", two, 30.0)], schema=schema, orient="row")
    closes = pl.DataFrame([("B", two, 4.0), ("C", two, 30.0)], schema=schema, orient="row")
    micro = pl.DataFrame({"event_id": ["A"], "segment": ["bar"], "spread_bps_at_end": [40.0]})
    for path, rows, columns in (
        (lake.research_wave("plus", "micro_features", "RTH", "AAA"), micro, MICRO_FEATURES),
        (lake.research_symbol("event_bar_features", "AAA"), known, BAR_FEATURES),
    ):
        ResearchStore(lake).publish(path, rows.match_to_schema(columns, missing_columns="insert"), {})
    params = settings.research.params.model_copy(update={"cost_min_events": 1, "fee_bps": 2.0})
    found = CostsOfOthers(lake, params, settings.sessions, "plus").of(closes)
    assert found.rows() == [("B", 42.0, "trailing"), ("C", None, "none")]
    own = CostsOfOthers(lake, params, settings.sessions, "plus").of(pl.concat([known.head(1), closes]))
    assert own.rows() == [("A", 42.0, "nbbo"), ("B", 42.0, "trailing"), ("C", None, "none")]
    assert CostsOfOthers(lake, params, settings.sessions, "core").of(closes)["cost_bps"].to_list() == [None, None]
