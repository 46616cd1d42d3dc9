"""Costs of labels that are computed some at a time, against all of them in memory."""

import random
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.micro.tables import MICRO_FEATURES
from smallcaps_assets.domain.research.outcomes.event_costs import OWN_COSTS, event_costs, net_outcomes
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS, EVENT_LABELS
from smallcaps_assets.domain.research.tables.research_labels import by_spec, label_figures
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.pipeline.research.costs_of_labels import LabelCosts, costed_events
from smallcaps_assets.pipeline.research.event_ranges import event_ranges, in_slices
from smallcaps_assets.pipeline.research.joined_files import JoinedFiles
from smallcaps_assets_tests.scenarios import default_settings, sessions_of

# ids of A and A_B interleave, those of AB come before those of A; one imported id of Z lies before all others
SYMBOLS = ("A", "AB", "A_B", "CRVO", "Z")
SPECS = ("5,1,1", "15,1,1", "60,1,1")
DAYS = sessions_of("2025-09-02", "2025-11-14")["date"].to_list()
PARAMS = default_settings().research.params.model_copy(update={"cost_min_events": 3, "cost_days": 20, "fee_bps": 1.0})


def ids_of(symbol: str, count: int) -> list[str]:
    return [*(f"{symbol}_{number:04}" for number in range(count)), *(["0_imported"] if symbol == "Z" else [])]


def filled(root: Path, seed: int = 1, count: int = 60) -> LabelCosts:
    """A lake with labels, features, outcomes and micro features of SYMBOLS; one event in four has tape."""
    rng, lake = random.Random(seed), Lake(root)  # noqa: S311
    store = ResearchStore(lake)
    root.mkdir(exist_ok=True)
    for symbol in SYMBOLS:
        ids = ids_of(symbol, count)
        days = [rng.choice(DAYS) for _ in ids]
        events = pl.DataFrame(
            {
                "event_id": ids,
                "symbol": symbol,
                "timestamp": [f"{day}T{rng.choice(('13', '16', '22'))}:{rng.randrange(60):02}:00" for day in days],
                "close": [rng.choice((0.9, 1.5, 2.0, 4.99, 7.0, 30.0)) for _ in ids],
                "in_causal_sample": [rng.choice((True, False, None)) for _ in ids],
                "in_master": [rng.random() < 0.7 for _ in ids],
            }
        ).with_columns(pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC"))
        labels = events.join(pl.DataFrame({"label_spec": SPECS}), how="cross")
        labels = labels.with_columns(
            gross_return=pl.Series([rng.choice((None, rng.gauss(0, 0.02))) for _ in range(labels.height)]),
            state=pl.Series([rng.choice(("ok", "no_entry", "no_bars")) for _ in range(labels.height)]),
            tie=pl.Series([rng.choice((True, False, None)) for _ in range(labels.height)]),
        )
        tape = events.filter(pl.int_range(pl.len()) % 4 == 1)
        segments = tape.join(pl.DataFrame({"segment": ["pre1", "bar"]}), how="cross").with_columns(
            spread_bps_at_end=pl.Series(
                [rng.choice((None, 10.0, rng.uniform(5, 300))) for _ in range(2 * tape.height)]
            ),
            effective_spread_bps=pl.Series([rng.choice((None, rng.uniform(5, 300))) for _ in range(2 * tape.height)]),
        )
        for table, schema, rows in (
            ("event_labels", EVENT_LABELS, labels.sort("event_id", by_spec(), descending=[False, True])),
            ("event_bar_features", BAR_FEATURES, events.sort("timestamp")),
            ("event_outcomes", EVENT_OUTCOMES, events),
        ):
            store.publish(lake.research_symbol(table, symbol), as_table(rows, schema), {})
        store.publish(
            lake.research_wave("core", "micro_features", "RTH", symbol), as_table(segments, MICRO_FEATURES), {}
        )
    return costs_of(lake)


def as_table(rows: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    known = rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items() if name in rows.columns)
    return known.match_to_schema(schema, missing_columns="insert")


def costs_of(lake: Lake, rows_at_once: int = 200_000) -> LabelCosts:
    files, folder = JoinedFiles(lake), lake.research
    tables = [files.of_symbols(folder / name) for name in ("event_labels", "event_bar_features", "core/micro_features")]
    return LabelCosts(files, PARAMS, default_settings().sessions, *tables, rows_at_once=rows_at_once)


def in_memory(made: LabelCosts) -> pl.DataFrame:
    """The same of all rows together."""
    labels, features, micro = (pl.read_parquet(paths, glob=False) for paths in (made.labels, made.features, made.micro))
    sessions = sessions_and_earlier(DAYS[0], DAYS[-1], 0, made.sessions)
    own = micro.filter(segment="bar").select(*OWN_COSTS)
    costs = event_costs(costed_events(features, sessions), own, sessions, PARAMS)
    return net_outcomes(labels.sort("event_id", by_spec()), costs)


@pytest.mark.parametrize("rows_at_once", [1, 50, 400, 200_000])
def test_costs_in_parts_are_those_of_all_labels_together(tmp_path: Path, rows_at_once: int) -> None:
    lake = filled(tmp_path / "lake").files.lake
    made = costs_of(lake, rows_at_once)
    parts = list(made.parts())
    assert {part.height for part in parts[:-1]} <= {rows_at_once}
    rows, expected = pl.concat(parts), in_memory(made)
    assert rows.schema == EVENT_COSTS
    # the same in every bit, of all sources
    assert rows.equals(expected)
    assert set(rows["cost_source"]) == {"nbbo", "effective", "trailing", "none"}
    # figures read the published file
    path = lake.research_table("event_costs", "core")
    made.files.store.publish(path, rows, {})
    outcomes = made.files.of_symbols(lake.research / "event_outcomes")
    found = made.figures([path], outcomes)
    tables = [pl.read_parquet(paths, glob=False) for paths in (made.labels, [path], made.features, outcomes)]
    whole, costs, features, after = (
        table.filter(label_spec="15,1,1") if "label_spec" in table.columns else table for table in tables
    )
    joined = whole.select("event_id", "state", "tie").join(costs.select("event_id", "net_return", "win"), on="event_id")
    joined = joined.join(features.select("event_id", "in_causal_sample"), on="event_id")
    joined = joined.join(after.select("event_id", "in_master"), on="event_id").lazy()
    for row, column in zip(found.iter_slices(1), ("in_causal_sample", "in_master"), strict=True):
        assert row["selection"].item() == column.split("_")[1]
        assert_frame_equal(row.drop("selection"), label_figures(joined.filter(column)).collect(), rel_tol=1e-12)


def test_a_lake_without_labels_has_no_costs(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    made = costs_of(Lake(tmp_path / "lake"))
    assert list(made.parts()) == []
    assert made.figures([], [])["labels"].to_list() == [0, 0]


def test_labels_of_events_without_bars_or_tape_have_no_cost(tmp_path: Path) -> None:
    lake = filled(tmp_path / "lake", count=3).files.lake
    for table in ("event_bar_features", "core/micro_features"):
        for path in ResearchStore(lake).parts(lake.research / table):
            path.unlink()
    rows = pl.concat(costs_of(lake).parts())
    assert rows["event_id"].unique().sort().to_list() == sorted(one for symbol in SYMBOLS for one in ids_of(symbol, 3))
    assert rows["cost_bps"].null_count() == rows["net_return"].null_count() == rows.height
    assert set(rows["cost_source"]) == {None}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.text("abAB_", min_size=1, max_size=3), max_size=8), max_size=6),
    st.integers(1, 12),
    st.integers(1, 5),
)
def test_every_row_is_in_one_range_and_ranges_are_in_order(files: list[list[str]], at_once: int, height: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.parquet" for number in range(len(files))]
        for path, ids in zip(paths, files, strict=True):
            pl.DataFrame({"event_id": sorted(ids)}, {"event_id": pl.String}).write_parquet(path)
        ranges = event_ranges(paths, at_once)
        parts = [pl.read_parquet(some.files, glob=False).filter(some.holds()).sort("event_id") for some in ranges]
    every = sorted(one for ids in files for one in ids)
    assert [one for part in parts for one in part["event_id"]] == every
    assert all(part.height for part in parts)
    slices = list(in_slices(parts, height))
    assert [one for some in slices for one in some["event_id"]] == every
    assert all(some.height == height for some in slices[:-1])


def test_a_range_is_no_larger_than_its_rows_and_one_more_file(tmp_path: Path) -> None:
    for number in range(10):
        ids = [f"S{number}_{event}" for event in range(7)]
        pl.DataFrame({"event_id": ids}).write_parquet(tmp_path / f"{number}.parquet")
    ranges = event_ranges(sorted(tmp_path.iterdir()), 20)
    # 3 files of 7 rows are the first to have 20
    assert [len(some.files) for some in ranges] == [3, 3, 3, 1]
