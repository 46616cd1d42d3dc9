"""What the vendor rejects, what is stale, damaged or left over: what is published, and what is asked for again."""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from smallcaps_assets.defs.checks.texts import EMPTY_WINDOWS
from smallcaps_assets.defs.partitions import SYMBOLS, tape_key
from smallcaps_assets.domain.tables import (
    SHARD,
)
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.assets.platform import (
    SYMBOLS_OF_MARKET,
    Platform,
    by_path,
    failure,
    metadata_of,
    recorded_by,
)
from smallcaps_assets_tests.conftest import refusal


def test_only_the_symbol_that_the_vendor_rejects_fails(fresh: Platform) -> None:
    fresh.run("universe")
    by_path(fresh, "ticker/BNRX")
    result = fresh.run("minute_bars", first="AVLO", last="DRFT", fails=True)
    error = failure(result)
    for words in ("CaptureIncomplete", "1 of 4 partitions", "BNRX, 2025-12", "out of order"):
        assert words in error
    assert recorded_by(fresh, result, "minute_bars") == {"AVLO", "CRVO", "DRFT"}
    recorded = fresh.instance.fetch_materializations(dg.AssetKey("minute_bars"), limit=10).records
    figures = {
        record.partition_key: record.asset_materialization.metadata["sessions_fetched"].value
        for record in recorded
        if record.asset_materialization
    }
    assert figures == {"AVLO": 5, "BNRX": 0, "CRVO": 5, "DRFT": 5}
    status = fresh.instance.get_status_by_partition(dg.AssetKey("minute_bars"), SYMBOLS_OF_MARKET, SYMBOLS)
    assert status is not None
    assert {symbol for symbol, state in status.items() if str(state).endswith("FAILED")} == {"BNRX"}
    # repaired: the whole range again, and only what is missing is requested
    fresh.gate.rule = lambda path, query: None  # noqa: ARG005
    fresh.gate.requests.clear()
    fresh.run("minute_bars", first="AVLO", last="DRFT")
    assert {path.split("/")[4] for path, _ in fresh.gate.requests} == {"BNRX"}
    assert fresh.materialized(dg.AssetKey("minute_bars")) == set(SYMBOLS_OF_MARKET)


def test_a_rejected_tape_request_fails_its_partition_only(planned: Platform) -> None:
    fresh = planned
    manifest = ManifestStore.in_lake(fresh.lake, "premium").load().filter(session="RTH")
    victim, *others = manifest["symbol"].unique(maintain_order=True).to_list()
    assert others, "two symbols at least, or this test shows nothing"
    by_path(fresh, f"quotes/{victim}")
    first, last = tape_key("AVLO", "RTH"), tape_key("DRFT", "RTH")
    result = fresh.run(["premium", "tape_trades"], ["premium", "tape_quotes"], first=first, last=last, fails=True)
    assert f"/v3/quotes/{victim}" in failure(result)
    everyone = {str(tape_key(symbol, "RTH")) for symbol in SYMBOLS_OF_MARKET}
    assert fresh.materialized(dg.AssetKey(["premium", "tape_trades"])) == everyone
    assert recorded_by(fresh, result, "premium", "tape_quotes") == everyone - {str(tape_key(victim, "RTH"))}
    fresh.run(["premium", "capture_ledger"])
    ledger = pl.read_parquet(fresh.lake.ledger("premium")).filter(pl.col("wave") == "RTH")
    states = dict(ledger.group_by("symbol").agg(pl.col("state").unique().sort().str.join(",")).iter_rows())
    assert states.pop(victim) == "failed"
    assert set(states.values()) <= {"complete", "trades_only", "empty"}


WHOLE_RTH = {"first": tape_key("AVLO", "RTH"), "last": tape_key("DRFT", "RTH")}


def test_a_trial_captures_the_best_events_and_records_what_it_leaves_out(planned: Platform) -> None:
    manifest = ManifestStore.in_lake(planned.lake, "premium").load()
    best = manifest.filter(pl.col("session") == "RTH").unique("symbol", keep="first", maintain_order=True)
    trial = {"one_per_symbol": True}
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH, config={"premium__tape_trades": trial})
    assert len(planned.gate.requests) <= best.height < manifest.height
    figures = metadata_of(result, "premium", "tape_trades").values()
    chosen = manifest.unique("symbol", keep="first").height
    assert {metadata["trial_leaves_out"].value for metadata in figures} == {manifest.height - chosen}
    planned.gate.requests.clear()
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    assert planned.gate.requests
    assert not any(
        "trial_leaves_out" in metadata for metadata in metadata_of(result, "premium", "tape_trades").values()
    )


def test_stale_windows_are_shown_and_fetched_again_only_with_upgrade(planned: Platform) -> None:
    planned.overrides["profiles"] = {"premium": {"columns": "minimal"}}
    planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    fetched = len(planned.gate.requests)
    assert fetched
    planned.gate.requests.clear()

    planned.overrides["profiles"] = {"premium": {"columns": "all"}}
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    assert planned.gate.requests == []
    figures = metadata_of(result, "premium", "tape_trades").values()
    manifest = ManifestStore.in_lake(planned.lake, "premium").load().filter(pl.col("session") == "RTH")
    assert (
        sum(metadata["stale_windows"].value for metadata in figures if "stale_windows" in metadata) == manifest.height
    )
    (ledger,) = metadata_of(planned.run(["premium", "capture_ledger"]), "premium", "capture_ledger").values()
    missing = "tape, trf_id, trf_timestamp"
    assert ledger["stale/trades"].value == f"{manifest.height} windows lack columns {missing}"

    config = {"premium__tape_trades": {"upgrade": True}}
    planned.run(["premium", "tape_trades"], **WHOLE_RTH, config=config)
    assert len(planned.gate.requests) == fetched
    (ledger,) = metadata_of(planned.run(["premium", "capture_ledger"]), "premium", "capture_ledger").values()
    assert not [name for name in ledger if name.startswith("stale")]


def test_empty_windows_that_bars_contradict_are_shown_and_asked_for_again_only_with_retry_empty(
    planned: Platform,
) -> None:
    nothing = Reply(200, {"Content-Type": "application/json"}, b'{"results":[],"status":"OK"}')
    planned.gate.rule = lambda path, query: nothing if path.startswith("/v3/") else None  # noqa: ARG005
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    manifest = ManifestStore(planned.lake.manifests("premium"), "premium").load()
    windows = manifest.filter(pl.col("session") == "RTH").height
    figures = metadata_of(result, "premium", "tape_trades").values()
    # the bars of every event's minute have volume
    assert sum(row["contradicted_windows"].value for row in figures if "contradicted_windows" in row) == windows
    planned.run(["premium", "tape_quotes"], **WHOLE_RTH)
    spent = len(planned.gate.requests)
    (ledger,) = metadata_of(planned.run(["premium", "capture_ledger"]), "premium", "capture_ledger").values()
    assert (ledger["contradicted trades"].value, ledger["contradicted quotes"].value) == (windows, windows)
    report = planned.run(["premium", "capture_report"])
    checks = {check.check_name: check for check in report.get_asset_check_evaluations()}
    assert (checks[EMPTY_WINDOWS].passed, checks[EMPTY_WINDOWS].severity) == (False, dg.AssetCheckSeverity.WARN)

    planned.gate.rule = lambda path, query: None  # noqa: ARG005
    planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    assert len(planned.gate.requests) == spent
    for kind in ("trades", "quotes"):
        config = {f"premium__tape_{kind}": {"retry_empty": True}}
        planned.run(["premium", f"tape_{kind}"], **WHOLE_RTH, config=config)
    assert len(planned.gate.requests) == 2 * spent
    (ledger,) = metadata_of(planned.run(["premium", "capture_ledger"]), "premium", "capture_ledger").values()
    assert not [name for name in ledger if name.startswith("contradicted")]


def test_no_tape_is_fetched_that_does_not_fit_on_the_disk(planned: Platform) -> None:
    planned.overrides["capture"] = {"free_disk": {"check": True, "keep_gb": 1e6}}
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH, fails=True)
    for words in ("LakeError", "not enough disk", "keeps 1,000,000.0 GB free", "capture.free_disk.check: false"):
        assert words in failure(result)
    assert planned.gate.requests == []
    planned.overrides["capture"] = {"free_disk": {"check": False, "keep_gb": 1e6}}
    planned.run(["premium", "tape_trades"], **WHOLE_RTH)
    assert planned.gate.requests


def test_an_edited_manifest_is_not_captured(planned: Platform) -> None:
    store = ManifestStore.in_lake(planned.lake, "premium")
    path = store.folder / f"{store.sidecar()['manifest_id']}.parquet"
    pl.read_parquet(path).with_columns(window_after_min=pl.lit(500, pl.Int64)).write_parquet(path)
    result = planned.run(["premium", "tape_trades"], **WHOLE_RTH, fails=True)
    assert "The manifest was changed after it was frozen" in failure(result)
    assert planned.gate.requests == []
    # frozen anew beside it, and named
    for damaged in (True, False):
        figures = metadata_of(planned.run(["premium", "manifest"]), "premium", "manifest")[None]
        assert ("damaged" in figures) == damaged
        if damaged:
            assert str(figures["damaged"].value).startswith(f"{path}: SHA-256 is ")
    assert store.current().rows["window_after_min"].max() < 500
    assert path.is_file()


def test_a_vendor_plan_without_quotes_costs_one_extra_request(planned: Platform) -> None:
    def rule(path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG001
        return refusal(403, "not entitled") if "/quotes/" in path else None

    planned.gate.rule = rule
    result = planned.run(["premium", "tape_trades"], ["premium", "tape_quotes"], **WHOLE_RTH, fails=True)
    assert "Quotes require the plan Stocks Advanced or above" in failure(result)
    assert len([path for path, _ in planned.gate.requests if "/quotes/" in path]) == 1
    everyone = {str(tape_key(symbol, "RTH")) for symbol in SYMBOLS_OF_MARKET}
    assert planned.materialized(dg.AssetKey(["premium", "tape_trades"])) == everyone
    planned.run(["premium", "capture_ledger"], ["premium", "capture_report"])
    ledger = pl.read_parquet(planned.lake.ledger("premium")).filter(pl.col("wave") == "RTH")
    assert set(ledger["state"]) == {"denied"}
    assert ledger["trades_rows"].sum() > 0


def test_a_symbol_that_leaves_keeps_its_partition_and_its_data(fresh: Platform) -> None:
    fresh.overrides |= {"history": {"first_session": "2025-12-01", "last_session": "2025-12-01"}}
    fresh.overrides["universe"] = {"symbols": ["AVLO", "CRVO"]}
    fresh.run("universe")
    fresh.run("minute_bars", first="AVLO", last="CRVO")
    fresh.overrides["universe"] = {"symbols": ["CRVO", "DRFT"]}
    result = fresh.run("universe")
    assert list(fresh.instance.get_dynamic_partitions("symbols")) == ["AVLO", "CRVO", "DRFT"]
    assert BarsStore(fresh.lake).read("AVLO").height > 0
    (metadata,) = metadata_of(result, "universe").values()
    assert (metadata["symbols_active"].value, metadata["symbols_inactive"].value) == (2, 1)


def test_tape_without_a_manifest_names_the_remedy(fresh: Platform) -> None:
    fresh.instance.add_dynamic_partitions("symbols", ["AVLO"])
    key = tape_key("AVLO", "RTH")
    result = fresh.run(["core", "tape_trades"], first=key, last=key, fails=True)
    assert "InputError" in failure(result)
    assert "Materialize core/manifest first" in failure(result)


def test_a_master_without_events_is_an_empty_table(fresh: Platform) -> None:
    fresh.run("master_events", ["core", "manifest"])
    assert pl.read_parquet(fresh.lake.master).is_empty()
    assert ManifestStore.in_lake(fresh.lake, "core").load().is_empty()
    fresh.run(["core", "capture_ledger"])
    assert pl.read_parquet(fresh.lake.ledger("core")).is_empty()


def test_bad_shards_are_not_published_as_master_and_stop_the_manifest(fresh: Platform) -> None:
    from smallcaps_assets_tests.conftest import event  # noqa: PLC0415

    # a shard of another program: our code rejects such rows before publishing
    row = event("2025-11-05 08:00", event_type="gap_up", spike_x=float("nan"))
    fresh.lake.shards.mkdir(parents=True)
    shard = pl.DataFrame([{name: row[name] for name in SHARD}], schema=SHARD, orient="row")
    shard.write_parquet(fresh.lake.shard("AEMD"))
    error = failure(fresh.run("master_events", ["core", "manifest"], fails=True))
    for words in ("NaN spike_x in 1 row", "'gap_up' is not one of", "session_clock", "Remove these shards"):
        assert words in error
    assert not fresh.lake.master.exists()
    assert not (fresh.lake.manifests("core") / "current.json").exists()
