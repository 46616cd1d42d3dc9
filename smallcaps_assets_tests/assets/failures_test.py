"""Foreseeable failures: each is a sentence with its facts, without a stack trace, in the event log and the log."""

import json
import logging
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.execution.plan.objects import StepFailureData

from smallcaps_assets.defs.assets.tape import TapeStep
from smallcaps_assets.defs.failures import (
    ForeseenFailure,
    explain_failures,
    log_without_stack_traces,
)
from smallcaps_assets.defs.partitions import tape_key
from smallcaps_assets.errors import LakeError, SettingsError
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.assets.platform import Platform, Sites, Template, by_path
from smallcaps_assets_tests.conftest import refusal

SYMBOLS = {"first": "AVLO", "last": "DRFT"}
WHOLE_RTH = {"first": tape_key("AVLO", "RTH"), "last": tape_key("DRFT", "RTH")}
QUOTES = dg.AssetKey(["premium", "tape_quotes"])


@pytest.fixture
def listed(sites: Sites) -> Iterator[Platform]:
    """A universe, and no bars yet."""
    for platform in sites.opened():
        platform.overrides |= {"history": {"first_session": "2025-11-26", "last_session": "2025-11-28"}}
        platform.run("universe")
        yield platform


@pytest.fixture(scope="module")
def captured(sites: Sites, of_premium: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A manifest of premium and its trades; each test repairs what it breaks."""
    for platform in sites.copied(of_premium, tmp_path_factory.mktemp("captured") / "state"):
        platform.run(["premium", "tape_trades"], **WHOLE_RTH)
        yield platform


def failed(result: dg.ExecuteInProcessResult) -> StepFailureData:
    """The failure of the only failed step."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data


def expect_sentence(result: dg.ExecuteInProcessResult, *words: str, **facts: object) -> str:
    """Make sure that a run failed with a text without stack trace that has these words and facts, and return it."""
    data = failed(result)
    error = data.error
    assert error is not None
    assert (error.stack, error.cause, error.context) == ([], None, None)
    # what the run page, its dialog and the log of the run's process show
    text = data.error_display_string
    assert text == error.message
    assert "Traceback" not in text
    assert 'File "' not in text
    for some in words:
        assert some in text
    assert data.user_failure_data is not None
    shown = {name: value.value for name, value in data.user_failure_data.metadata.items()}
    assert shown.pop("what_to_do")
    assert facts.items() <= shown.items()
    return text


def of_partition(platform: Platform, asset: dg.AssetKey, key: str) -> dict[str, Any]:
    """The metadata on the page of a partition: that of its last materialization, overridden by later observations."""
    selects = {"asset_key": asset, "asset_partitions": [key]}
    made = platform.instance.fetch_materializations(dg.AssetRecordsFilter(**selects), limit=1).records
    after = {"after_storage_id": made[0].storage_id} if made else {}
    seen = platform.instance.fetch_observations(dg.AssetRecordsFilter(**selects, **after), limit=1).records
    of_made = made[0].asset_materialization.metadata if made and made[0].asset_materialization else {}
    of_seen = seen[0].asset_observation.metadata if made and seen and seen[0].asset_observation else {}
    return {name: value.value for name, value in {**of_made, **of_seen}.items()}


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, "NotAuthenticated", "The vendor does not know the API key: correct MASSIVE_API_KEY"),
        (403, "NotEntitled", "The plan behind the key does not include minute bars"),
    ],
)
def test_a_rejected_key_and_plan_are_a_sentence(listed: Platform, status: int, error: str, words: str) -> None:
    by_path(listed, "/v2/aggs", status)
    text = expect_sentence(listed.run("minute_bars", **SYMBOLS, fails=True), words, error=error, http_status=status)
    assert len(text.splitlines()) == 1
    # so is the page of every partition
    for symbol in ("AVLO", "BNRX", "CRVO", "DRFT"):
        shown = of_partition(listed, dg.AssetKey("minute_bars"), symbol)
        assert shown["http_status"] == status
        assert words in shown["problems"]
        assert shown["what_to_do"]


def test_no_key_is_a_sentence(listed: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASSIVE_API_KEY")
    monkeypatch.delenv("POLYGON_API_KEY", raising=False)
    listed.overrides["source"] |= {"timeout_s": 29.0}  # another client than the one that was made with a key
    text = expect_sentence(
        listed.run("minute_bars", **SYMBOLS, fails=True), "MASSIVE_API_KEY", error="NotAuthenticated"
    )
    assert len(text.splitlines()) == 1


def test_a_network_that_is_down_is_a_sentence(listed: Platform) -> None:
    listed.overrides["lake"] = {"path": str(listed.root)}
    shutil.rmtree(listed.root / "reference")
    with socket.socket() as unheard:  # taken, so that nobody else listens there
        unheard.bind(("127.0.0.1", 0))
        listed.overrides["source"] |= {"base_url": f"http://127.0.0.1:{unheard.getsockname()[1]}"}
        text = expect_sentence(listed.run("universe", fails=True), "Connection", "refused", error="VendorUnavailable")
    assert "object at 0x" not in text
    assert len(text.splitlines()) == 1


def test_an_answer_that_cannot_be_read_is_a_sentence(listed: Platform) -> None:
    page = refusal(200)
    listed.gate.rule = lambda path, query: page if "ticker/BNRX" in path else None  # noqa: ARG005
    result = listed.run("minute_bars", **SYMBOLS, fails=True)
    expect_sentence(
        result, "1 of 4 partitions failed", "2 failures of BNRX", error="CaptureIncomplete", http_status=200
    )


def test_a_file_where_a_folder_should_be_is_a_sentence(listed: Platform) -> None:
    (listed.root / "bars" / "minute").mkdir(parents=True)
    (listed.root / "bars" / "minute" / "symbol=BNRX").write_bytes(b"")
    text = expect_sentence(
        listed.run("minute_bars", **SYMBOLS, fails=True), "BNRX", "a folder belongs", error="CaptureIncomplete"
    )
    assert len(text.splitlines()) == 2


def test_a_changed_manifest_is_a_sentence(captured: Platform) -> None:
    store = ManifestStore(captured.lake.manifests("premium"), "premium")
    path = store.folder / f"{store.current_id()}.parquet"
    sound = path.read_bytes()
    path.write_bytes(sound + b"x")
    captured.gate.requests.clear()
    result = captured.run(["premium", "tape_quotes"], **WHOLE_RTH, fails=True)
    path.write_bytes(sound)
    text = expect_sentence(result, "The manifest was changed after it was frozen", error="LakeError", file=str(path))
    assert len(text.splitlines()) == 1
    assert captured.gate.requests == []


def test_a_damaged_and_a_missing_table_are_a_sentence(captured: Platform) -> None:
    path = captured.lake.master
    sound = path.read_bytes()
    other = pl.DataFrame({"other": [1]})

    def replace_by_folder() -> None:
        path.unlink()
        path.mkdir()

    damages: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: path.write_bytes(b"PAR1 and nothing"), "is damaged"),
        (path.unlink, "is missing. Materialize master_events"),
        (lambda: publish_frame(path, other), "no column symbol, event_type, "),
        (replace_by_folder, "is a folder, where a file belongs: move the folder away."),
    )
    for damage, words in damages:
        damage()
        result = captured.run(["premium", "manifest"], fails=True)
        if path.is_dir():
            path.rmdir()
        path.write_bytes(sound)
        expect_sentence(result, words, "aterialize master_events", error="LakeError", file=str(path))


def test_a_lake_that_vanishes_is_a_sentence(captured: Platform) -> None:
    gone = captured.root.with_name("elsewhere")

    def unmount(path: str, query: object) -> None:  # noqa: ARG001
        if captured.root.exists():
            captured.root.rename(gone)

    captured.gate.rule = unmount
    result = captured.run(["premium", "tape_quotes"], **WHOLE_RTH, fails=True)
    captured.gate.rule = lambda path, query: None  # noqa: ARG005
    assert not captured.root.exists(), "a new lake was created"
    gone.rename(captured.root)
    expect_sentence(result, "the lake is gone", error="LakeError", file=str(captured.root))


def test_failed_windows_are_grouped_by_cause_and_named_on_the_page_of_their_partition(captured: Platform) -> None:
    by_path(captured, "/v3/quotes", 503)
    result = captured.run(["premium", "tape_quotes"], **WHOLE_RTH, fails=True)
    captured.gate.rule = lambda path, query: None  # noqa: ARG005
    windows = ManifestStore(captured.lake.manifests("premium"), "premium").load().filter(session="RTH")
    symbols = windows["symbol"].unique().sort().to_list()
    assert len(symbols) > 1, "one symbol shows no group"
    text = expect_sentence(
        result,
        f"{len(symbols)} of 4 partitions failed",
        f"{windows.height} windows of {len(symbols)} symbols ({', '.join(symbols)}): GET /v3/quotes/",
        error="CaptureIncomplete",
        windows_failed=windows.height,
        symbols_failed=len(symbols),
        http_status=503,
    )
    run = captured.instance.get_run_by_id(result.run_id)
    assert run is not None
    # by which the daemon decides whether to repeat a run
    assert run.tags["dagster/failure_reason"] == "STEP_FAILURE"
    # what happened, the cause, and nothing twice
    assert len(text.splitlines()) == 2
    assert text.count("HTTP 503") == 1
    for symbol in symbols:
        key = tape_key(symbol, "RTH")
        shown = of_partition(captured, QUOTES, str(key))
        mine = windows.filter(symbol=symbol).height
        assert (shown["windows_failed"], shown["http_status"], shown["endpoint"]) == (mine, 503, f"/v3/quotes/{symbol}")
        assert f"{symbol} RTH 2025" in shown["problems"]
        assert shown["problems"].count("HTTP 503") == 1
        assert "only what is missing is requested" in shown["what_to_do"]


def test_impossible_tape_is_named_with_its_rule_and_a_row_on_the_page_of_its_partition(captured: Platform) -> None:
    def sell_for_nothing(path: str, query: Mapping[str, str]) -> Reply | None:
        if not path.startswith("/v3/quotes/"):
            return None
        reply = captured.gate.exchange.reply(path, query, {"Authorization": "Bearer key"})
        page = json.loads(reply.body)
        page["results"] = [{**row, "ask_price": -1.0} for row in page["results"]]
        return Reply(200, {}, json.dumps(page).encode())

    captured.gate.rule = sell_for_nothing
    result = captured.run(["premium", "tape_quotes"], **WHOLE_RTH, fails=True)
    captured.gate.rule = lambda path, query: None  # noqa: ARG005
    text = expect_sentence(result, "ask_price is below 0", error="CaptureIncomplete")
    # one cause, whatever the rows
    assert len(text.splitlines()) == 2
    windows = ManifestStore(captured.lake.manifests("premium"), "premium").load().filter(session="RTH")
    shown = of_partition(captured, QUOTES, str(tape_key(windows["symbol"][0], "RTH")))
    assert "ask_price is below 0: " in shown["problems"]
    assert ", expected 0 or more; such as 2025-11-2" in shown["problems"]
    assert "ask_price -1.0" in shown["problems"]
    assert "report it" in shown["what_to_do"]
    assert not [*captured.root.glob("tape/premium/quotes/wave=RTH/symbol=*/*.parquet")]


def test_a_partition_that_was_captured_before_shows_what_failed_since(captured: Platform) -> None:
    captured.run(["premium", "tape_quotes"], **WHOLE_RTH)
    (victim, *_) = (
        path.parent for path in sorted(captured.root.glob("tape/premium/quotes/wave=RTH/symbol=*/*.parquet"))
    )
    symbol = victim.name.removeprefix("symbol=")
    key = str(tape_key(symbol, "RTH"))
    before = of_partition(captured, QUOTES, key)
    assert "problems" not in before
    shutil.rmtree(victim)
    by_path(captured, "/v3/quotes", 500)
    captured.run(["premium", "tape_quotes"], **WHOLE_RTH, fails=True)
    captured.gate.rule = lambda path, query: None  # noqa: ARG005
    shown = of_partition(captured, QUOTES, key)
    assert shown["http_status"] == 500
    assert shown["windows"] == before["windows"]
    captured.run(["premium", "tape_quotes"], **WHOLE_RTH)
    assert "problems" not in of_partition(captured, QUOTES, key)


def test_a_defect_keeps_its_stack_trace(captured: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: TapeStep, *arguments: object) -> None:  # noqa: ARG001
        raise RuntimeError("a defect")

    monkeypatch.setattr(TapeStep, "outcomes", broken)
    data = failed(captured.run(["premium", "tape_quotes"], **WHOLE_RTH, fails=True))
    assert "RuntimeError: a defect" in data.error_display_string
    assert "in broken" in data.error_display_string


def test_every_step_sensor_and_schedule_explains_its_failures(captured: Platform) -> None:
    repository = captured.definitions.get_repository_def()
    steps = [node for job in repository.get_all_jobs() for node in job.all_node_defs]
    # checks have steps of their own
    assert {"minute_bars", "minute_bars_checks", "premium_PM", "premium_report"} <= {step.name for step in steps}
    functions: list[Any] = [step.compute_fn.decorated_fn for step in steps]  # type: ignore[attr-defined]
    sensors = repository.sensor_defs
    functions += [getattr(sensor, "_run_status_sensor_fn", None) or sensor._raw_fn for sensor in sensors]
    functions += [schedule._execution_fn.decorated_fn for schedule in repository.schedule_defs]  # type: ignore[union-attr]
    assert [function.__name__ for function in functions if not _is_explained(function)] == []
    # such failures pass by the retry policy of a step
    assert [step.name for step in steps if step.retry_policy] == []  # type: ignore[attr-defined]


def _is_explained(function: Any) -> bool:
    """Whether `explain_failures` made a function, or one that it wraps."""
    made = {explain_failures(one).__code__ for one in (lambda: 0, _generate)}
    return function.__code__ in made or (hasattr(function, "__wrapped__") and _is_explained(function.__wrapped__))


def _generate() -> Iterator[int]:
    yield 0


def test_a_sensor_and_the_loading_of_the_code_fail_with_the_sentence_alone() -> None:
    @dg.sensor(job_name="nothing")
    @explain_failures
    def broken() -> dg.SkipReason:
        raise LakeError("the lake is gone.")

    with pytest.raises(ForeseenFailure) as caught, dg.DagsterInstance.ephemeral() as instance:
        broken.evaluate_tick(dg.build_sensor_context(instance))
    (shown,) = caught.value.user_code_process_error_infos
    assert (shown.message, shown.stack) == ("the lake is gone.", [])


def test_the_code_server_logs_a_wrong_setting_as_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    @explain_failures
    def load(error: Exception) -> None:
        raise error

    log_without_stack_traces()
    server = logging.getLogger("dagster.code_server")
    for error in (SettingsError("config.yaml, line 3: no such setting."), RuntimeError("a defect")):
        try:
            load(error)
        except Exception:  # noqa: BLE001 -- as the code server does
            server.exception("Error while importing code")
    sentence, defect = (caplog.handler.format(record) for record in caplog.records)
    assert sentence.endswith("Error while importing code: config.yaml, line 3: no such setting.")
    assert len(sentence.splitlines()) == 1
    assert "Traceback" in defect
