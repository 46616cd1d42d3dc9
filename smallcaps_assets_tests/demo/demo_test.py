"""The results of a demo, compared with the simulated market."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from massive import RESTClient
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tape.windows import event_windows
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.research import open_lake
from smallcaps_assets.settings.settings import PROFILES
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets_tests.demo.conftest import FLAGS, Home
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.slow_spec import detect as slow_detect
from smallcaps_assets_tests.slow_spec import master as slow_master
from smallcaps_assets_tests.slow_spec.controls import controls as slow_controls
from smallcaps_assets_tests.slow_spec.outcomes_labels import labels as slow_labels
from smallcaps_assets_tests.slow_spec.outcomes_waves import outcome_of
from smallcaps_assets_tests.slow_spec.research_bars import Symbol

NEW_YORK = ZoneInfo("America/New_York")


def market() -> SimulatedMarket:
    params = default_settings().source.embedded
    return SimulatedMarket(seed=params.seed, symbols=int(FLAGS[1]), drill=params.drill)


def bars_of(home: Home) -> pl.DataFrame:
    store = BarsStore(home.lake)
    return pl.concat(store.read(symbol) for symbol in store.symbols())


def reference_of(home: Home) -> pl.DataFrame:
    return pl.read_parquet(home.lake.universe).select(
        "symbol", "float_shares", "short_interest_shares", "days_to_cover"
    )


def test_master_equals_the_specification_applied_to_the_bars(demo: Home) -> None:
    expected = slow_master(bars_of(demo), reference=reference_of(demo))
    assert_frame_equal(pl.read_parquet(demo.lake.master), expected, rel_tol=1e-9, abs_tol=1e-9)


def test_every_planted_event_is_found(demo: Home) -> None:
    bars = bars_of(demo)
    first, last = bars.select(
        a=pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.date().min(),
        b=pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.date().max(),
    ).row(0)
    planted = market().truth(first, last).filter(pl.col("symbol").is_in(bars["symbol"].unique().implode()))
    # before filters by reference data and cooldown, which may remove a planted event
    found = pl.DataFrame(
        [(row["symbol"], row["event_type"], row["direction"], row["timestamp"]) for row in slow_detect(bars)],
        schema={
            "symbol": pl.String,
            "event_type": pl.String,
            "direction": pl.String,
            "found_at": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )
    near = planted.join(found, on=["symbol", "event_type", "direction"]).filter(
        (pl.col("found_at") - pl.col("timestamp")).abs() <= timedelta(minutes=2)
    )
    missed = planted.join(near, on=["symbol", "event_type", "direction", "timestamp"], how="anti")
    assert planted.height > 100
    assert missed.is_empty(), missed
    master = pl.read_parquet(demo.lake.master)
    kinds = master.select(pl.struct("event_type", "direction").unique()).to_series().struct.unnest()
    assert kinds.height == 13, "a demo shows every event type in every direction it has"


def test_bars_rebuilt_from_the_captured_trades_are_the_bars_served(demo: Home) -> None:
    settings = default_settings()
    tape = TapeStore(demo.lake, "plus", settings.profiles["plus"])
    manifest = ManifestStore.in_lake(demo.lake, "plus").load()
    bars = BarsStore(demo.lake)
    compared = 0
    # differences are planted in DRILL
    for window in event_windows(manifest.filter(pl.col("symbol") != "DRILL")).to_dicts():
        rebuilt = minute_bars_of(tape.trades(window["event_id"]))
        served = bars.read(window["symbol"]).filter(
            pl.col("timestamp").is_between(window["start"], window["end"], closed="left")
        )
        assert_frame_equal(
            rebuilt,
            served.select("timestamp", "open", "high", "low", "close", "volume", "transactions"),
            rel_tol=1e-12,
            abs_tol=1e-12,
        )
        compared += served.height
    assert compared > 200


# what is planted in DRILL, and the class of its minute
PLANTED_CLASSES = {"cancelled_in_bar": "cancel", "missing_bar": "missing_bar", "missing_trades": "bar_without_trades"}


def test_tape_and_bars_of_a_demo_agree_but_for_the_planted_minutes(demo: Home) -> None:
    files = demo.lake.research / "core" / "bar_reconciliation" / "**" / "*.parquet"
    minutes = pl.read_parquet(files, hive_partitioning=False)
    days = minutes["timestamp"].dt.convert_time_zone("America/New_York").dt.date()
    planted = market().plants(days.min(), days.max()).filter(pl.col("kind").is_in(list(PLANTED_CLASSES)))
    expected = planted.select(
        symbol=pl.lit("DRILL"),
        timestamp=pl.col("start").dt.truncate("1m").cast(minutes.schema["timestamp"]),
        expected=pl.col("kind").replace_strict(PLANTED_CLASSES),
    )
    found = minutes.join(expected, on=["symbol", "timestamp"], how="left")
    agree = pl.col("class").is_in(["exact", "no_trades_no_bar"])
    assert found.filter(agree != pl.col("expected").is_null()).is_empty()
    assert found.filter(pl.col("expected").is_not_null(), pl.col("class") != pl.col("expected")).is_empty()
    assert found.filter(~agree).height > 0, "without a planted minute this shows less"
    assert found.filter(pl.col("class") == "exact").height > 100


# Consolidated update rules of the vendor: what a condition excludes from (high and low, open and close, volume).
NO_HIGH_LOW = {2, 7, 12, 16, 37}
NO_OPEN_CLOSE = {2, 5, 7, 10, 12, 16, 32, 37}
NO_VOLUME = {16, 38}
FORM_T = 12


def minute_bars_of(trades: pl.DataFrame) -> pl.DataFrame:
    """Bars of trades by the vendor's condition rules, one trade after the other."""
    minutes: dict[datetime, dict[str, float | None]] = {}
    for trade in trades.to_dicts():
        moment = trade["timestamp"].replace(second=0, microsecond=0)
        conditions = set(trade["conditions"] or [])
        if not is_regular(moment):
            conditions -= {FORM_T}
        bar = minutes.setdefault(moment, {"o": None, "h": None, "l": None, "c": None, "v": 0.0, "n": 0})
        price, size = trade["price"], trade["size"]
        if not conditions & NO_OPEN_CLOSE:
            bar["o"] = price if bar["o"] is None else bar["o"]
            bar["c"] = price
        if not conditions & NO_HIGH_LOW:
            bar["h"] = price if bar["h"] is None else max(bar["h"], price)
            bar["l"] = price if bar["l"] is None else min(bar["l"], price)
        if not conditions & NO_VOLUME:
            bar["v"] += size
            bar["n"] += 1
    rows = [
        (moment, bar["o"], bar["h"], bar["l"], bar["c"], bar["v"], bar["n"])
        for moment, bar in sorted(minutes.items())
        if bar["o"] is not None and bar["h"] is not None
    ]
    schema = {
        "timestamp": pl.Datetime("us", "UTC"),
        **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
        "transactions": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def is_regular(moment: datetime) -> bool:
    clock = moment.astimezone(NEW_YORK)
    close = time(13) if clock.date() == date(2025, 11, 28) else time(16)
    return time(9, 30) <= clock.time() < close


def test_the_official_client_counts_what_the_lake_holds(demo: Home) -> None:
    settings = default_settings()
    tape = TapeStore(demo.lake, "plus", settings.profiles["plus"])
    manifest = ManifestStore.in_lake(demo.lake, "plus").load()
    symbol = manifest["symbol"][0]
    bars = BarsStore(demo.lake).read(symbol)
    window = event_windows(manifest).row(0, named=True)
    nanoseconds = {name: int(window[name].timestamp()) * 10**9 for name in ("start", "end")}
    with serve(Exchange(market())) as server:
        client = RESTClient("any", base=server.base_url)
        first, last = (
            bars["timestamp"][0].astimezone(NEW_YORK).date(),
            bars["timestamp"][-1].astimezone(NEW_YORK).date(),
        )
        aggregates = list(client.list_aggs(symbol, 1, "minute", first, last, adjusted=False, limit=1_000))
        between = {"timestamp_gte": nanoseconds["start"], "timestamp_lt": nanoseconds["end"]}
        trades = list(client.list_trades(symbol, limit=100, order="asc", **between))
        requests = server.requests
        quotes = list(client.list_quotes(symbol, limit=100, order="asc", **between))
    assert len(aggregates) == bars.height > 2_000
    assert sum(bar.volume for bar in aggregates) == pytest.approx(bars["volume"].sum(), rel=1e-12)
    stored = tape.trades(window["event_id"])
    assert [trade.sip_timestamp for trade in trades] == stored["timestamp"].dt.epoch("ns").to_list()
    assert requests > 4, "several pages"
    kept = tape.quotes(window["event_id"])
    times = {quote.sip_timestamp for quote in quotes}
    assert set(kept["timestamp"].dt.epoch("ns").to_list()) <= times


def test_each_profile_is_reported_with_its_verdict(copy_of_demo: Home) -> None:
    output = copy_of_demo.run("status", *FLAGS)
    for profile in PROFILES:
        assert f"profile {profile}:" in output
    assert output.count("GO: every figure meets its target") + output.count("NO-GO:") == len(PROFILES)
    # a line for each profile with costs
    assert re.findall(r"^cohorts: (\w+): ", output, re.MULTILINE) == ["core"]
    # published, failed, missing
    trades = re.findall(r"^  trades +([\d,]+) +(\d+) +(\d+) ", output, re.MULTILINE)
    assert all(int(published.replace(",", "")) > 0 for published, _, _ in trades[:2])
    # the demo leaves the windows of premium
    assert [missing == "0" for _, _, missing in trades] == [True, True, False]


def test_controls_are_those_of_the_specification_and_captured_apart_from_events(demo: Home) -> None:
    """Chosen, fetched over HTTP and certified; no event and no figure of events counts them."""
    lake = demo.lake
    manifest = ManifestStore.in_lake(lake, "core").load()
    ledger = pl.read_parquet(lake.ledger("core"))
    chosen = pl.read_parquet(lake.research_table("control_manifest", "core"))
    splits = pl.read_parquet(lake.splits).select("symbol", "execution_date").rows()
    expected = slow_controls(
        manifest.to_dicts(),
        set(ledger.filter(state="complete")["event_id"]),
        pl.read_parquet(lake.master).select("symbol", "timestamp").rows(),
        splits,
        bars_of(demo).select("symbol", "timestamp").rows(),
    )
    assert chosen.to_dicts() == [{name: row[name] for name in chosen.columns} for row in expected]
    assert chosen.height, "a demo shows controls"
    certified = pl.read_parquet(lake.control_ledger("core"))
    assert set(certified["event_id"]) == set(chosen["control_id"])
    assert certified["state"].unique().to_list() == ["complete"]
    assert ledger["event_id"].to_list() == manifest["event_id"].to_list()
    report = pl.read_parquet(lake.ledger("core").with_name("report.parquet"))
    windows = report.filter(pl.col("wave") == "controls", pl.col("figure") == "windows")["value"].to_list()
    assert windows == [chosen["control_id"].n_unique()]
    features = pl.read_parquet(lake.research_table("control_features", "core"))
    assert sorted(features["control_of"]) == sorted(chosen["control_of"])
    assert features["trades_pre3"].null_count() == 0
    labels = pl.read_parquet(lake.research_table("control_labels", "core"))
    assert set(labels["control_of"]) == set(features.filter(pl.col("close").is_not_null())["control_of"])
    assert open_lake(lake.root).matched_labels("core").collect().height == labels.height
    controls = f"controls: {windows[0]:.0f} window"
    assert controls in demo.output


def require_equal(row: Mapping[str, Any], expected: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        value = expected[name]
        assert row[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), name


def test_what_came_after_controls_is_that_of_the_specification(demo: Home) -> None:
    """Labels, excursions, legs and costs of controls, computed row by row from the bars of their days."""
    lake = demo.lake
    found = open_lake(lake.root).controls("core", "15,1,1").filter(pl.col("close").is_not_null()).collect()
    directions = dict(
        pl.read_parquet(lake.research_table("control_manifest", "core")).select("control_of", "direction").iter_rows()
    )
    waves = pl.read_parquet(lake.research_table("control_waves", "core"))
    assert found.height, "a demo shows controls"
    columns = ("state", "label", "entry", "exit_price", "gross_return", "t1", "tie", "halt_in_label", "return_60")
    for row in found.to_dicts():
        bars = BarsStore(lake).read(row["symbol"])
        days: dict[date, list[dict[str, Any]]] = {}
        for bar in bars.rows(named=True):
            local = bar["timestamp"].astimezone(NEW_YORK)
            # no day of the demo closes early
            if time(4) <= local.time() < time(20):
                opened, closed = (datetime.combine(local.date(), at, NEW_YORK) for at in (time(9, 30), time(16)))
                session = "PM" if local < opened else "RTH" if local < closed else "AH"
                days.setdefault(local.date(), []).append(bar | {"session": session})
        day = row["timestamp"].astimezone(NEW_YORK).date()
        control = {
            **{name: row[name] for name in ("timestamp", "session", "bar_atr")},
            "event_id": row["control_id"],
            "direction": directions[row["control_of"]],
        }
        (label,) = (
            one for one in slow_labels(control, row["bar_atr"], Symbol(days, None)) if one["label_spec"] == "15,1,1"
        )
        require_equal(row, label, columns)
        evening = datetime.combine(day, time(20), NEW_YORK)
        legs, outcome = outcome_of(control, days[day], evening)
        require_equal(row, outcome, [name for name in outcome if name in row])
        own = waves.filter(control_of=row["control_of"])
        assert own.select("leg", "direction", "end_price").rows() == [
            (leg["leg"], leg["direction"], leg["end_price"]) for leg in legs
        ]
        spread, effective = row["spread_bps_at_end_bar"], row["effective_spread_bps_bar"]
        own_cost = effective if spread is None else spread
        if own_cost is not None:
            assert (row["cost_bps"], row["cost_source"]) == (own_cost, "effective" if spread is None else "nbbo")
        if row["cost_bps"] is not None and row["gross_return"] is not None:
            assert row["net_return"] == pytest.approx(row["gross_return"] - row["cost_bps"] / 10_000)
    returns = open_lake(lake.root).matched_returns("core").filter(label_spec="15,1,1", event_type="all").collect()
    pairs = open_lake(lake.root).matched_labels("core").filter(label_spec="15,1,1").collect()
    for figure in ("gross_return", "net_return"):
        known = pairs[figure].drop_nulls()
        (over_master,) = returns.filter(selection="master", figure=figure).rows(named=True) or ({"n": 0, "mean": None},)
        assert (over_master["n"], over_master["mean"]) == (known.len(), pytest.approx(known.mean()))
