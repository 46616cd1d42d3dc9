"""`smallcaps research` by its contract: files, columns, inputs of any form, what is known when, and bad input."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

from smallcaps_assets.cli import main
from smallcaps_assets.pipeline.research.files import tables
from smallcaps_assets_tests.unit.commands.research_files import CONTRACT, EVENT_AT, contract_columns, write_market

KNOWN_AT = EVENT_AT + timedelta(minutes=1)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    write_market(folder)
    return folder


@pytest.fixture(scope="module")
def computed(market: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    return compute(market, tmp_path_factory.mktemp("computed") / "out")


def arguments(market: Path, out: Path, *without: str) -> list[str]:
    named = {name: market / f"{name}.parquet" for name in ("events", "bars", "trades", "quotes", "conditions")}
    given = [str(text) for name, file in named.items() if name not in without for text in (f"--{name}", file)]
    return ["research", *given, "--out", str(out)]


def compute(market: Path, out: Path, *without: str, more: list[str] | None = None) -> dict[str, pl.DataFrame]:
    assert main([*arguments(market, out, *without), *(more or [])]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{name}.parquet" for name in CONTRACT)
    return {name: pl.read_parquet(out / f"{name}.parquet") for name in CONTRACT}


def rewritten(market: Path, folder: Path, **changes: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    """The files of a market, some of them changed."""
    folder.mkdir()
    for file in market.glob("*.parquet"):
        rows = pl.read_parquet(file)
        changes.get(file.stem, lambda same: same)(rows).write_parquet(folder / file.name)
    return folder


def test_files_have_the_columns_of_the_contract(computed: dict[str, pl.DataFrame]) -> None:
    for name, table in computed.items():
        expected = contract_columns(name)
        assert {column: table.schema.get(column) for column in expected} == expected, name
        # few events have costs of the tape: all on one date, which is no select part
        assert table.height or name == "cohorts", name


def test_the_line_of_json(market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compute(market, tmp_path / "out")
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert document["rows"] == {name: table.height for name, table in found.items()}
    assert set(document) == {"rows", "version"}


def test_rows_are_sorted_and_keys_complete(computed: dict[str, pl.DataFrame]) -> None:
    segments = pl.Enum(["pre3", "pre_all", "bar", "m5", "post_all"])
    order = {
        "micro_features": ["event_id", pl.col("segment").cast(segments)],
        "bar_reconciliation": ["symbol", "timestamp"],
        "event_bar_features": ["symbol", "timestamp", "event_type"],
        "event_waves": ["event_id", "leg"],
        "event_labels": ["event_id", pl.col("label_spec").cast(pl.Enum(["5,1,1", "15,1,1", "60,1,1"]))],
        "market_state_day": ["symbol", "date"],
        "halts": ["symbol", "start", "confidence", "event_id"],
        "cohorts": ["as_of", "label_spec", "selection", "cohort_id"],
        "events_with_waves_enriched": ["symbol", "timestamp", "event_type"],
    }
    for name, by in order.items():
        assert_frame_equal(computed[name], computed[name].sort(by, maintain_order=True))
        keys = [key for key in ("symbol", "event_id", "segment", "timestamp", "as_of") if key in computed[name].columns]
        assert name == "halts" or not computed[name].select(keys).null_count().sum_horizontal().item(), name


def test_which_events_have_rows(computed: dict[str, pl.DataFrame], market: Path) -> None:
    events = pl.read_parquet(market / "events.parquet")
    micro = computed["micro_features"]
    assert set(micro["event_id"]) == set(events["event_id"])
    assert micro.group_by("event_id").len()["len"].unique().to_list() == [5]
    states = dict(micro.select("event_id", "capture_state").iter_rows())
    assert states["ABE_tape_speed_20250611_143000"] == "empty/empty"
    assert states["ZED_flush_20250612_143000"] == "complete/complete"
    features = computed["event_bar_features"]
    own = features.filter(pl.col("event_id").is_in(events["event_id"].implode()))
    # an event without a bar has no row; causal candidates have one
    assert set(own["event_id"]) == {name for name in events["event_id"] if not name.startswith("NOBARS")}
    others = features.filter(~pl.col("event_id").is_in(events["event_id"].implode()))
    assert others.height
    assert others["in_causal_sample"].all()
    assert computed["market_state_day"].group_by("symbol").len().sort("symbol").rows() == [("ABE", 8), ("ZED", 8)]


def test_a_day_with_tape_is_one_span(computed: dict[str, pl.DataFrame]) -> None:
    minutes = (
        computed["bar_reconciliation"]
        .group_by("symbol", maintain_order=True)
        .agg(pl.len(), first=pl.col("timestamp").min().dt.to_string(), last=pl.col("timestamp").max().dt.to_string())
    )
    # 04:00 to 20:00 in New York
    day = (960, "2025-06-12 08:00:00.000000+00:00", "2025-06-12 23:59:00.000000+00:00")
    assert minutes.rows() == [("ABE", *day), ("ZED", *day)]


def test_the_form_of_the_inputs_changes_nothing(
    market: Path, tmp_path: Path, computed: dict[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rewritten(
        market,
        tmp_path / "other",
        bars=lambda rows: rows.reverse().with_columns(
            pl.col("timestamp").cast(pl.Datetime("ms", "UTC")), pl.col("transactions").cast(pl.Int32), extra=pl.lit("x")
        ),
        events=lambda rows: rows.reverse().with_columns(pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))),
        quotes=lambda rows: rows.sample(fraction=1.0, shuffle=True, seed=1).with_columns(
            pl.col("timestamp").cast(pl.Datetime("us", "UTC")), pl.col("bid_size").cast(pl.Int32)
        ),
    )
    trades = pl.read_parquet(market / "trades.parquet").sample(fraction=1.0, shuffle=True, seed=2)
    folder = tmp_path / "trades"
    (folder / "deep").mkdir(parents=True)
    trades[:1_000].write_parquet(folder / "a.parquet")
    trades[1_000:].with_columns(pl.col("exchange").cast(pl.UInt8), extra=1).write_parquet(folder / "deep" / "b.parquet")
    # as on a large file: days and symbols one by one
    monkeypatch.setattr(tables, "TAPE_AT_ONCE", 100)
    monkeypatch.setattr(tables, "BARS_AT_ONCE", 100)
    monkeypatch.setattr(tables, "EVENTS_AT_ONCE", 2)
    found = compute(other, tmp_path / "out", "trades", more=["--trades", str(folder)])
    for name, table in computed.items():
        assert_frame_equal(found[name], table, check_exact=True)


def test_the_file_of_events_needs_few_columns(market: Path, tmp_path: Path, computed: dict[str, pl.DataFrame]) -> None:
    few = rewritten(market, tmp_path / "few", events=lambda rows: rows.drop("score"))
    found = compute(few, tmp_path / "out")
    assert_frame_equal(found["micro_features"], computed["micro_features"], check_exact=True)
    scores = ["score_percentile", "score_robust_z", "score_n"]
    assert_frame_equal(
        found["event_bar_features"].drop(scores), computed["event_bar_features"].drop(scores), check_exact=True
    )


@pytest.mark.parametrize("missing", ["trades", "quotes"])
def test_half_of_the_tape(missing: str, market: Path, tmp_path: Path, computed: dict[str, pl.DataFrame]) -> None:
    found = compute(market, tmp_path / "out", missing)
    micro = found["micro_features"].filter(pl.col("event_id") == "ABE_flush_20250612_143000")
    states = {"trades": "missing/complete", "quotes": "complete/missing"}
    assert micro["capture_state"].unique().to_list() == [states[missing]]
    nulls = {"trades": ["trades", "imbalance_shares"], "quotes": ["normal_share", "imbalance_shares"]}
    assert micro.select(nulls[missing]).null_count().row(0) == (5, 5)
    known = {"trades": "normal_share", "quotes": "volume_shares"}[missing]
    assert_frame_equal(
        found["micro_features"].select("event_id", known), computed["micro_features"].select("event_id", known)
    )
    assert found["bar_reconciliation"].height == (0 if missing == "trades" else 1920)
    assert_frame_equal(found["event_bar_features"], computed["event_bar_features"], check_exact=True)


def test_without_tape_its_tables_are_empty(market: Path, tmp_path: Path, computed: dict[str, pl.DataFrame]) -> None:
    found = compute(market, tmp_path / "out", "trades", "quotes")
    for name in ("micro_features", "bar_reconciliation"):
        assert found[name].is_empty()
        assert found[name].schema == computed[name].schema


def one_event(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter((pl.col("symbol") == "ABE") & (pl.col("event_type") == "volume_spike"))


def test_what_is_known_with_the_event_ignores_what_follows(
    market: Path, tmp_path: Path, computed: dict[str, pl.DataFrame]
) -> None:
    before = pl.col("timestamp") < KNOWN_AT
    cut = rewritten(
        market,
        tmp_path / "cut",
        events=one_event,
        bars=lambda rows: rows.filter(before),
        trades=lambda rows: rows.with_columns(pl.when(before).then("price").otherwise(pl.col("price") * 3)),
        quotes=lambda rows: rows.filter(before),
    )
    found = compute(cut, tmp_path / "out")
    is_event = pl.col("event_id") == "ABE_volume_spike_20250612_143000"
    is_pre = is_event & pl.col("segment").is_in(["pre3", "pre_all", "bar"])
    # columns that describe the capture are left out
    assert_frame_equal(
        found["micro_features"].filter(is_pre).drop("capture_state"),
        computed["micro_features"].filter(is_pre).drop("capture_state"),
        check_exact=True,
    )
    assert found["micro_features"].filter(is_pre).height == 3
    assert_frame_equal(
        found["event_bar_features"].filter(is_event),
        computed["event_bar_features"].filter(is_event),
        check_exact=True,
    )


def test_a_segment_ignores_what_comes_after_it_is_available(
    market: Path, tmp_path: Path, computed: dict[str, pl.DataFrame]
) -> None:
    def until(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col("timestamp") < KNOWN_AT + timedelta(minutes=5))

    cut = rewritten(market, tmp_path / "cut", events=one_event, trades=until, quotes=until)
    is_segment = (pl.col("event_id") == "ABE_volume_spike_20250612_143000") & (pl.col("segment") == "m5")
    found = compute(cut, tmp_path / "out")["micro_features"].filter(is_segment)
    assert_frame_equal(found, computed["micro_features"].filter(is_segment), check_exact=True)
    assert found["trades"].item() > 0


def test_settings_have_an_effect(market: Path, tmp_path: Path, computed: dict[str, pl.DataFrame]) -> None:
    more = ["--set", "quote_sizes_in_shares_from=2025-06-12", "--set", "sip_trade_lag_ms=5", "--set", "grid_hz=10"]
    tables = compute(market, tmp_path / "out", more=[*more, "--set", "cost_bps_default=30", "--set", "fee_bps=2"])
    found, labels = tables["micro_features"], tables["event_labels"]
    assert found["sip_trade_lag_ms"].unique().to_list() == [5]
    assert set(found["quote_size_unit"]) == {"shares", "lots"}
    assert not found["spread_usd_mean"].equals(computed["micro_features"]["spread_usd_mean"])
    assert set(labels["cost_source"]) == {"nbbo", "default"}
    assert set(labels.filter(cost_source="default")["cost_bps"]) == {32.0}
    assert_cohorts_hold_each_label_once(tables)


def assert_cohorts_hold_each_label_once(tables: dict[str, pl.DataFrame]) -> None:
    """The dates of the market are within one month, so that the only as_of is the first day of the next."""
    facts = tables["events_with_waves_enriched"].select("event_id", "in_master", "mfe_15_bps")
    rows = tables["event_labels"].join(facts, on="event_id").filter(pl.col("net_return").is_not_null())
    cohorts = tables["cohorts"]
    assert cohorts["as_of"].n_unique() == 1
    for spec in ("5,1,1", "15,1,1", "60,1,1"):
        own = rows.filter("in_master", label_spec=spec)
        dates = sorted(own["date"].unique())
        select = own.filter(pl.col("date").is_in(dates[: 3 * len(dates) // 4]))
        for level in ("L1", "L2", "L3"):
            found = cohorts.filter(label_spec=spec, selection="master", level=level)
            assert found["n"].sum() == select.height > 0
            assert (found["mean"] * found["n"]).sum() == pytest.approx(select["net_return"].sum(), rel=1e-9)
            assert (found["win_rate"] * found["n"]).sum() == pytest.approx(select["win"].sum(), rel=1e-9)
            assert (found["mean_mfe_15"] * found["n"]).sum() == pytest.approx(select["mfe_15_bps"].sum(), rel=1e-9)
        assert (found["effective_n"] <= found["n"] * (1 + 1e-12)).all()


def test_labels_have_costs_of_the_tape(market: Path, computed: dict[str, pl.DataFrame]) -> None:
    labels, features = computed["event_labels"], computed["event_bar_features"]
    # every event with a bar, MASTER or causal candidate, three times
    assert labels.height == 3 * features.height
    assert set(labels["event_id"]) == set(features["event_id"])
    bar = computed["micro_features"].filter(pl.col("segment") == "bar")
    own = pl.coalesce("spread_bps_at_end", "effective_spread_bps")
    rows = labels.join(bar.select("event_id", own=own), on="event_id", how="left", maintain_order="left")
    assert rows["cost_bps"].equals(rows["own"].rename("cost_bps"))
    assert set(rows["cost_source"]) == {"nbbo", "none"}
    net = (rows["gross_return"] - rows["cost_bps"] / 1e4).rename("net_return")
    assert_series_equal(rows["net_return"], net, rel_tol=1e-12)
    assert rows["net_return"].drop_nulls().len()
    assert rows["win"].equals((rows["net_return"] > 0).rename("win"))
    own_events = pl.read_parquet(market / "events.parquet")["event_id"].implode()
    in_master = pl.col("event_id").is_in(own_events) & (pl.col("state") == "ok")
    assert rows.filter(in_master)["uniqueness"].null_count() == 0
    assert rows.filter(~in_master)["uniqueness"].drop_nulls().is_empty()
    # two events of one minute are each half of a label
    assert (
        rows.filter(pl.col("event_id").str.starts_with("ABE_flush") & in_master)["concurrent_max"].to_list() == [2] * 3
    )


def test_rules_as_json(market: Path, tmp_path: Path, computed: dict[str, pl.DataFrame]) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(pl.read_parquet(market / "conditions.parquet").to_dicts()))
    found = compute(market, tmp_path / "out", "conditions", more=["--conditions", str(rules)])
    assert_frame_equal(found["micro_features"], computed["micro_features"], check_exact=True)


def test_corrections_count_where_the_column_is_there(market: Path, tmp_path: Path) -> None:
    messages = rewritten(
        market,
        tmp_path / "new",
        trades=lambda rows: rows.with_columns(correction=pl.lit(10, pl.Int32)),
        events=one_event,
    )
    found = compute(messages, tmp_path / "out")["micro_features"]
    assert found["corrections_known"].all()
    assert found["trades"].sum() == 0


def drop(name: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.drop(name)


def with_columns(**columns: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.with_columns(**columns)


BAD = {
    "no column": ("events", drop("direction"), "direction"),
    "no bars": ("bars", drop("close"), "close"),
    "no size": ("quotes", drop("bid_size"), "bid_size"),
    "text": ("trades", with_columns(price=pl.col("price").cast(pl.String)), "price"),
    "no zone": ("trades", with_columns(timestamp=pl.col("timestamp").dt.replace_time_zone(None)), "timestamp"),
    "null symbol": ("quotes", with_columns(symbol=pl.lit(None, pl.String)), "symbol"),
    "null time": ("trades", with_columns(timestamp=pl.lit(None, pl.Datetime("ns", "UTC"))), "timestamp"),
    "a direction": ("events", with_columns(direction=pl.lit("sideways")), "direction"),
    "repeated": ("events", lambda rows: pl.concat([rows, rows]), "event_id"),
    "half a minute": ("events", with_columns(timestamp=pl.col("timestamp") + timedelta(seconds=30)), "timestamp"),
    "a window": ("events", with_columns(window_before_min=pl.lit(-1)), "window_before_min"),
    "no rule": ("conditions", drop("updates_volume"), "updates_volume"),
    "repeated id": ("conditions", lambda rows: pl.concat([rows, rows]), "id"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_and_nothing_written(
    case: str, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, change, column = BAD[case]
    bad = rewritten(market, tmp_path / "bad", **{file: change})
    assert main(arguments(bad, tmp_path / "made" / "out")) == 2
    message = capsys.readouterr().err
    assert f"{bad / file}.parquet: " in message
    assert column in message
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("setting", ["grid_hz=7", "grid_herz=5", "grid_hz", "cost_bps_default=-1"])
def test_a_wrong_setting_is_named(
    setting: str, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(market, tmp_path / "out"), "--set", setting]) == 2
    assert setting.partition("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_damaged_files_and_folders_in_use(market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(market, market)) == 2
    assert "is not empty" in capsys.readouterr().err
    text = tmp_path / "rules.json"
    text.write_text("[{]")
    assert main([*arguments(market, tmp_path / "out", "conditions"), "--conditions", str(text)]) == 2
    assert str(text) in capsys.readouterr().err
    damaged = tmp_path / "quotes.parquet"
    damaged.write_bytes((market / "quotes.parquet").read_bytes()[:-100])
    assert main([*arguments(market, tmp_path / "out", "quotes"), "--quotes", str(damaged)]) == 2
    assert str(damaged) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    # an empty folder is taken
    (tmp_path / "empty").mkdir()
    compute(market, tmp_path / "empty", "trades", "quotes")
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
