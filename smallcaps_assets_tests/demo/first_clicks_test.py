"""What a demo leaves to do by hand, and what each of the first clicks then does."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import dagster as dg
import polars as pl
import pytest

from smallcaps_assets.commands.demonstrating.failed_window import choose_partition
from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.jobs import NIGHTLY
from smallcaps_assets.defs.partitions import SYMBOLS, TAPE_PARTITIONS, range_tags, tape_key
from smallcaps_assets.defs.resources import LakeResource
from smallcaps_assets.defs.schedules import SESSION_TAG, night_request
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.pipeline.source import profile_tape
from smallcaps_assets.settings.settings import Profile, Settings, load_settings
from smallcaps_assets_tests.assets.staleness_test import stale_of
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.demo.conftest import FLAGS, Home
from smallcaps_assets_tests.docs.pages import README, blocks, name_of
from smallcaps_assets_tests.scenarios import new_york

# the middle one of the six symbols and DRILL
LEFT = "DRFT"
LAST, NEXT = date(2025, 12, 1), date(2025, 12, 2)


class Desk:
    """The web UI's view of a home: its definitions and its state."""

    def __init__(self, home: Home, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.lake, self.settings, self.instance = home.lake, settings, instance
        self.definitions = build_defs(settings)

    def materialize(self, *assets: str, first: str | None = None, last: str | None = None) -> bool:
        """Materialize assets as one run of the web UI does."""
        result = self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset.split("/")) for asset in assets],
            tags=range_tags(first, last or first) if first else {},
            raise_on_error=False,
        )
        return result.success

    def failed(self, asset: str) -> list[str]:
        keys = [tape_key(symbol, wave) for symbol in self.symbols() for wave in WAVES]
        status = self.instance.get_status_by_partition(dg.AssetKey(asset.split("/")), keys, TAPE_PARTITIONS) or {}
        return [key for key, state in status.items() if state is not None and state.name == "FAILED"]

    def symbols(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(SYMBOLS.name or ""))

    def ledger(self, profile: Profile) -> pl.DataFrame:
        return ledger_of(self.lake, profile, self.settings)


def ledger_of(lake: Lake, profile: Profile, settings: Settings) -> pl.DataFrame:
    manifest = ManifestStore.in_lake(lake, profile).load()
    return build_ledger(manifest, profile_tape(lake, profile, settings), hashes=False)


@contextmanager
def desk_of(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(home.folder))
    first = BarsStore(home.lake).covered("AVLO")
    changes = {
        "source": {"embedded": {"symbols": int(FLAGS[1])}},
        "history": {"first_session": min(first), "last_session": LAST},
    }
    settings = load_settings(home.folder / "config" / "config.yaml", changes)
    with open_state(settings) as instance:
        yield Desk(home, settings, instance)


@pytest.fixture
def desk(copy_of_demo: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A finished demo that a test may change, without the web UI."""
    with desk_of(copy_of_demo, monkeypatch) as opened:
        yield opened


def test_a_demo_leaves_a_symbol_a_failed_window_the_waves_of_premium_and_a_night(demo: Home) -> None:
    lines = {line[2:13].strip(): line[14:] for line in demo.output.splitlines() if line.startswith("  one ")}
    settings = load_settings(demo.folder / "config" / "config.yaml", {})
    ledger = ledger_of(demo.lake, "premium", settings)
    (failed,) = ledger.filter(pl.col("state") == "failed").rows(named=True)
    missing = ledger.filter(pl.col("state") == "missing")
    assert missing.height == ledger.height - 1 > 10
    assert lines.keys() == {"one symbol", "one failure", "one wave", "one night"}
    assert lines["one symbol"].startswith(f"{LEFT} has no bars")
    assert f"of {failed['symbol']}, wave {failed['wave']}:" in lines["one failure"]
    counts = dict(missing.group_by("wave").len().iter_rows())
    assert ", ".join(f"{wave} {counts[wave]}" for wave in WAVES) in lines["one wave"]
    assert f"session of {NEXT}" in lines["one night"]
    assert demo.output.count("GO: every figure meets its target") == 2
    assert "NO-GO" not in demo.output
    assert {path.name for path in demo.lake.bars("AVLO").parent.iterdir()} == {
        f"symbol={symbol}" for symbol in ("AVLO", "BNRX", "CRVO", "DRILL", "EMBR", "FNTA")
    }


def test_the_runs_of_a_demo_are_in_the_run_list_with_what_they_are_about(desk: Desk) -> None:
    runs = desk.instance.get_runs()
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
    shown = [{name: value for name, value in run.tags.items() if name.startswith("smallcaps/")} for run in runs]
    first, second, *_ = desk.symbols()
    wave = {"smallcaps/profile": "core", "smallcaps/wave": "PM"}
    (core,) = [tags for tags in shown if wave.items() <= tags.items()]
    assert core["smallcaps/symbols"].startswith(f"{first}, {second} +")
    assert core.keys() == {"smallcaps/demo", "smallcaps/symbols", *wave}
    assert {"smallcaps/demo": "universe: the symbols to follow"} in shown
    assert all("smallcaps/demo" in tags for tags in shown)


def test_a_demo_leaves_nothing_unsynced(desk: Desk) -> None:
    """Controls are captured after the tables of their events are made: what that changes is made once more."""
    assert stale_of(desk.instance, desk.definitions) == {}


def test_the_python_that_a_demo_prints_reads_the_tape_of_an_event(demo: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, printed = demo.output.partition("in Python:\n\n")
    # from another folder of the same home
    monkeypatch.chdir(demo.folder.parent)
    monkeypatch.setenv("SMALLCAPS_HOME", str(demo.folder))
    names: dict[str, object] = {}
    exec(compile(printed, "printed by the demo", "exec"), names)  # noqa: S102 -- it is to be pasted
    minutes, event_id = names["minutes"], names["event_id"]
    assert isinstance(minutes, pl.DataFrame)
    best = ManifestStore.in_lake(demo.lake, "core").load().row(0, named=True)
    assert event_id == best["event_id"]
    assert minutes.height >= 5
    of_event = minutes.filter(pl.col("timestamp") == best["timestamp"]).row(0, named=True)
    assert of_event["trades"] >= best["transactions"]
    assert of_event["shares"] >= best["volume"]
    assert best["low"] <= of_event["vwap"] <= best["high"]
    assert of_event["spread"] > 0
    # the README shows the same lines, from `trades =` on
    (shown,) = [block.text for block in blocks() if block.page == name_of(README) and "open_lake" in block.text]
    assert shown.partition("trades =")[2].strip() == printed.partition("trades =")[2].strip()
    # a prompt runs a block at the first line that is not part of it
    assert not re.search(r"^ *$\n +", printed, re.MULTILINE)


def test_the_symbol_that_is_left_is_materialized(desk: Desk) -> None:
    shards = desk.lake.shards
    assert not desk.lake.shard(LEFT).exists()
    assert desk.materialize("minute_bars", "event_shards", first=LEFT)
    assert max(BarsStore(desk.lake).covered(LEFT)) == LAST
    assert len(BarsStore(desk.lake).covered(LEFT)) == int(FLAGS[3])
    assert pl.read_parquet(desk.lake.shard(LEFT)).height > 20
    # with DRILL
    assert len(list(shards.glob("*.parquet"))) == int(FLAGS[1]) + 1


def test_the_failed_window_is_mended_by_one_request(desk: Desk) -> None:
    (key,) = desk.failed("premium/tape_quotes")
    symbol, wave = key.split("|")
    before = desk.ledger("premium").filter(symbol=symbol, wave=wave)
    assert before.select("state", "trades_rows").row(0) == ("failed", before["trades_rows"][0])
    assert "not a JSON object" in before["cause"][0]
    assert choose_partition(desk.lake, desk.settings) is None, "one window is enough"
    files = files_below(desk.lake.root)
    assert desk.materialize("premium/tape_quotes", first=tape_key(symbol, wave))
    assert desk.failed("premium/tape_quotes") == []
    after = desk.ledger("premium").filter(symbol=symbol, wave=wave)
    # the request that was spoiled, and one more
    assert after.select("state", "quotes_requests").rows() == [("complete", 2)]
    changed = {name for name, content in files_below(desk.lake.root).items() if files.get(name) != content}
    assert len(changed) == 1
    assert next(iter(changed)).startswith(f"tape/premium/quotes/wave={wave}/")
    assert choose_partition(desk.lake, desk.settings) is None, "somebody works with it"


@pytest.mark.long
def test_a_night_brings_the_next_session_and_its_events(desk: Desk) -> None:
    bars, lake = BarsStore(desk.lake), LakeResource(root=str(desk.lake.root))
    master = pl.read_parquet(desk.lake.master)
    for session in (NEXT, date(2025, 12, 3)):
        # any day after the session
        request = night_request(desk.instance, desk.settings, lake, new_york("2026-03-07 12:00"))
        assert isinstance(request, dg.RunRequest)
        assert (request.run_key, request.tags[SESSION_TAG]) == (f"{session}", f"{session}")
        night = desk.definitions.resolve_job_def(NIGHTLY).execute_in_process(
            instance=desk.instance, run_config=dict(request.run_config), tags=request.tags
        )
        assert night.success
        assert {max(bars.covered(symbol)) for symbol in desk.symbols()} == {session}
        # the symbol that was left is fetched as well, from the first session of the history on
        assert bars.covered(LEFT) == bars.covered("AVLO")
        grown = pl.read_parquet(desk.lake.master)
        assert grown.filter(pl.col("date") == f"{session}").height > 0
        assert grown.join(master, on="event_id", how="anti").height == grown.height - master.height > 0
        master = grown
        frozen = sorted(path.stem for path in desk.lake.manifests("premium").glob("premium_*.json"))
        assert ManifestStore.in_lake(desk.lake, "premium").current_id() == frozen[-1]
    assert "missing" in desk.ledger("core")["state"].to_list()


def test_no_night_is_brought_before_its_session_is_over(desk: Desk) -> None:
    lake = LakeResource(root=str(desk.lake.root))
    request = night_request(desk.instance, desk.settings, lake, new_york("2025-12-02 20:19"))
    assert isinstance(request, dg.SkipReason)
    assert "the session of 2025-12-02, the next one of the simulated market, is not over yet" in str(request)
    request = night_request(desk.instance, desk.settings, lake, new_york("2025-12-02 20:20"))
    assert isinstance(request, dg.RunRequest)


@pytest.mark.long
def test_a_demo_with_all_leaves_nothing_and_a_later_one_makes_what_is_lost(copy_of_demo: Home) -> None:
    output = copy_of_demo.run("demo", "--all", *FLAGS)
    assert output.count("GO: every figure meets its target") == 3
    assert clicks(output) == ["night"]
    lake = copy_of_demo.lake
    assert BarsStore(lake).covered(LEFT) == BarsStore(lake).covered("AVLO")
    before, tables = copy_of_demo.bytes_of_lake(), copy_of_demo.tables_of_lake()
    # what is left by default is kept up to date once it was done
    made_alike = {lake.shard(LEFT).relative_to(lake.root).as_posix(), "tape/premium/report.parquet"}
    lost = min(name for name in before if name.startswith("tape/plus/quotes/"))
    for name in (*made_alike, lost):
        (lake.root / name).unlink()
    output = copy_of_demo.run("demo", *FLAGS)
    assert ": 1 request, 0 retries" in output
    assert clicks(output) == ["night"]
    assert copy_of_demo.tables_of_lake() == tables
    after = copy_of_demo.bytes_of_lake()
    # the same tape; its later fetch time is in its certificate, and so in ledger and report
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed - made_alike == {lost, "tape/plus/ledger.parquet", "tape/plus/report.parquet"}


def clicks(output: str) -> list[str]:
    """What a demo says is left to do."""
    return [line.split()[1] for line in output.splitlines() if line.startswith("  one ")]
