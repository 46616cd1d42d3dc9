"""Notices of failed runs, in a file and over HTTP, and lateness reported by its sensor."""

import json
import shutil
import threading
from collections.abc import Iterator
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.failures import ForeseenFailure
from smallcaps_assets.defs.partitions import SYMBOLS, range_tags
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.defs.sensors import failure_notice, lateness
from smallcaps_assets.domain.tables import BARS, EVENTS, SHARD
from smallcaps_assets.errors import LakeError, NoticeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.master import SHARDS_OF_MASTER
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UNIVERSE, UniverseStore
from smallcaps_assets.settings.settings import HOME_VARIABLE, load_settings
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.hostile_server import drip, hostile_server
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import new_york

SECRET = "/services/T0/hush-hush"  # noqa: S105 -- of nobody
URL_VARIABLE = "SMALLCAPS_NOTICE_URL"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "state").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "state"), {"telemetry": {"enabled": False}}) as made:
        made.add_dynamic_partitions("symbols", ["AAA", "BBB", "CCC"])
        yield made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(REPOSITORY / "config", tmp_path / "home" / "config")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    return tmp_path / "home"


class Listener:
    """A server that records what is posted to it."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str | None, Any]] = []
        self.status = 204
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.posted.append((self.path, self.headers["Content-Type"], json.loads(body)))
                self.send_response(listener.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{SECRET}"


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    made = Listener()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    monkeypatch.setenv(URL_VARIABLE, made.url)
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@dg.asset(partitions_def=SYMBOLS, backfill_policy=dg.BackfillPolicy.single_run())
def ill() -> None:
    raise LakeError("lake/x: cannot be read (the disk says no). Check it.") from OSError("the disk says no")


@dg.asset
def broken() -> None:
    {}["no such key"]


def failed(instance: dg.DagsterInstance, asset: dg.AssetsDefinition, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
    job = dg.Definitions(assets=[asset], jobs=[dg.define_asset_job("sick", [asset])]).resolve_job_def("sick")
    result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    assert not result.success
    return result


def notify(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult, **notices: Any) -> None:
    settings = load_settings(overrides={"notices": notices})
    at = new_york("2025-11-28 21:00").isoformat()
    with dg.build_run_status_sensor_context(
        sensor_name="failure_notice",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
        resources={"settings": SettingsResource(document=settings.model_dump_json(), at=at)},
    ).for_run_failure() as context:
        failure_notice(context)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_failed_run_is_one_line_and_one_post(instance: dg.DagsterInstance, home: Path, listener: Listener) -> None:
    result = failed(instance, ill, range_tags("AAA", "CCC"))
    notify(instance, result)
    expected = {
        "time": "2025-11-29T02:00:00+00:00",
        "run_id": result.run_id,
        "job": "sick",
        "partitions": "AAA...CCC",
        "step": "ill",
        "cause": "lake/x: cannot be read (the disk says no). Check it.",
    }
    assert lines(home / ".dagster" / "failures.jsonl") == [expected]
    assert listener.posted == [(SECRET, "application/json", expected)]
    notify(instance, failed(instance, broken, {}), file="notices/here.jsonl")
    (second,) = lines(home / "notices" / "here.jsonl")
    assert (second["partitions"], second["step"]) == (None, "broken")
    assert "no such key" in second["cause"]


def test_a_notice_in_the_lake_never_creates_the_lake(instance: dg.DagsterInstance, home: Path) -> None:
    result, file = failed(instance, broken, {}), "lake/notices/here.jsonl"
    with pytest.raises(ForeseenFailure, match="lake: the folder is gone"):
        notify(instance, result, file=file)
    assert not (home / "lake").exists()
    (home / "lake").mkdir()
    notify(instance, result, file=file)
    assert [line["step"] for line in lines(home / file)] == ["broken"]


def test_without_a_url_nothing_is_posted(instance: dg.DagsterInstance, home: Path) -> None:
    result = failed(instance, broken, {"dagster/partition": "AAA"})
    notify(instance, result)
    notify(instance, result)
    assert [line["partitions"] for line in lines(home / ".dagster" / "failures.jsonl")] == ["AAA", "AAA"]


@pytest.mark.parametrize("status", [302, 500])
def test_a_rejected_post_is_reported_without_the_url(
    instance: dg.DagsterInstance, home: Path, listener: Listener, status: int
) -> None:
    listener.status = status
    with pytest.raises(ForeseenFailure, match=f"127.0.0.1 answered with status {status}") as caught:
        notify(instance, failed(instance, broken, {}))
    assert "hush" not in str(caught.value)
    assert len(listener.posted) == 1
    assert len(lines(home / ".dagster" / "failures.jsonl")) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"http://127.0.0.1:1{SECRET}", r"127\.0\.0\.1 did not answer: ConnectionRefusedError while connecting"),
        (f"ftp://127.0.0.1{SECRET}", "not an http:// or https:// URL"),
        (f"http://[::1{SECRET}", "not an http:// or https:// URL"),
        (f"http://a host{SECRET}", "not an http:// or https:// URL: give https://"),
        (f"http://hooks.test{SECRET}", r"unencrypted: give https://\. http:// is for this machine only"),
    ],
)
def test_a_broken_url_is_reported_without_its_path(
    instance: dg.DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.setenv(URL_VARIABLE, url)
    with pytest.raises(ForeseenFailure, match=words) as caught:
        notify(instance, failed(instance, broken, {}), timeout_s=2.0)
    assert "hush" not in str(caught.value)
    notice = caught.value.__cause__
    assert isinstance(notice, NoticeError)
    assert notice.__cause__ is notice.__context__ is None
    assert len(lines(home / ".dagster" / "failures.jsonl")) == 1


def test_the_time_of_a_post_is_limited_in_all(
    instance: dg.DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = drip(b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n", b"Content-Length: 0\r\n\r\n")
    with hostile_server(answer) as server:
        monkeypatch.setenv(URL_VARIABLE, f"http://{server.address}{SECRET}")
        with pytest.raises(ForeseenFailure, match=r"without end after 0\.5 s \(within its headers\)") as caught:
            notify(instance, failed(instance, broken, {}), timeout_s=0.5)
    assert "hush" not in str(caught.value)
    assert len(lines(home / ".dagster" / "failures.jsonl")) == 1


def test_notices_and_lateness_are_on_by_default() -> None:
    assert failure_notice.default_status == lateness.default_status == dg.DefaultSensorStatus.RUNNING


# ------------------------------------------------------------------------------------------------- lateness


@pytest.fixture
def followed(tmp_path: Path) -> Lake:
    """A lake that follows one symbol, up to date with Wednesday 26 November 2025."""
    lake = new_lake(tmp_path / "lake")
    row = dict.fromkeys(UNIVERSE) | {"symbol": "AAA", "active": True}
    UniverseStore(lake).replace(pl.DataFrame([row], schema=UNIVERSE), {})
    brought(lake, date(2025, 11, 26))
    return lake


def brought(lake: Lake, session: date) -> None:
    BarsStore(lake).add("AAA", session.replace(day=1), [session], BARS.to_frame(), BARS.to_frame())
    ShardStore(lake).replace("AAA", SHARD.to_frame(), ShardCoverage.of({}, [], {session: "0-0"}, {}, 0))
    publish_frame(lake.master, EVENTS.to_frame(), {SHARDS_OF_MASTER: ShardStore(lake).contents()})


def resources_at(lake: Lake, at: datetime) -> dict[str, object]:
    settings = load_settings(overrides={"history": {"last_session": None}})
    return {
        "settings": SettingsResource(document=settings.model_dump_json(), at=at.isoformat()),
        "lake": LakeResource(root=str(lake.root)),
    }


def reported(instance: dg.DagsterInstance) -> list[tuple[str, bool, str]]:
    """The results of the checks, as the asset pages show them."""
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), "up_to_date") for asset in ("minute_bars", "master_events")]
    found = [
        record.event.asset_check_evaluation
        for key in keys
        for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        if record.event
    ]
    return [(one.asset_key.to_user_string(), one.passed, one.severity.value) for one in found if one is not None]


def test_lateness_is_reported_when_the_result_changes(instance: dg.DagsterInstance, followed: Lake) -> None:
    cursor: str | None = None

    def look(at: str) -> str:
        nonlocal cursor
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, resources=resources_at(followed, new_york(at))
        ) as context:
            result = lateness(context)
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        return str(result.skip_reason.skip_message) if result.skip_reason else ""

    assert "session of 2025-11-26 is published" in look("2025-11-26 23:40")
    on_time = [("minute_bars", True, "WARN"), ("master_events", True, "WARN")]
    assert reported(instance) == on_time
    assert look("2025-11-27 23:40") == "Nothing changed.", "Thanksgiving is no reason for alarm"
    assert look("2025-11-28 23:20") == "Nothing changed."
    assert "minute_bars: The session of 2025-11-28 is late for 1 of 1 symbol: AAA." in look("2025-11-28 23:40")
    assert reported(instance) == [("minute_bars", False, "ERROR"), ("master_events", False, "ERROR")]
    assert look("2025-11-28 23:50") == "Nothing changed."
    brought(followed, date(2025, 11, 28))
    assert "session of 2025-11-28 is published" in look("2025-11-29 00:10")
    assert reported(instance) == on_time


def test_the_checks_can_be_run_by_hand(instance: dg.DagsterInstance, followed: Lake) -> None:
    resources = resources_at(followed, new_york("2025-11-28 23:40"))
    keys = [dg.AssetCheckKey(dg.AssetKey(name), "up_to_date") for name in ("minute_bars", "master_events")]
    definitions = build_defs(load_settings(overrides={}), resources)
    look = dg.Definitions(jobs=[dg.define_asset_job("look", dg.AssetSelection.checks(*keys))])
    job = dg.Definitions.merge(definitions, look).resolve_job_def("look")
    result = job.execute_in_process(instance=instance)
    found = {check.asset_check_key: check.passed for check in result.get_asset_check_evaluations()}
    assert found == dict.fromkeys(keys, False)
