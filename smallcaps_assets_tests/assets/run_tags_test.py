"""Tags of runs: what the run list of the web UI shows of a run, and what it hides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import TagType, get_tag_type

from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.partitions import partitions_of, range_tags, tape_key
from smallcaps_assets.defs.runs.run_tags import describe_run
from smallcaps_assets.defs.runs.workers import PROCESS_TAG, process_tag, worker, worker_is_gone
from smallcaps_assets.runtime.processes import process_identity
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.assets.conftest import IN_BOTH

SYMBOLS = ["AVLO", "EMBR", "HLXA", "QNTM"]
TAPE = [dg.AssetKey(["core", "tape_trades"]), dg.AssetKey(["core", "tape_quotes"])]
BARS = [dg.AssetKey("minute_bars")]


@pytest.mark.parametrize(
    ("tags", "assets", "shown"),
    [
        (range_tags("AVLO", "QNTM"), BARS, {"symbols": "AVLO, EMBR +2"}),
        (range_tags("EMBR", "HLXA"), BARS, {"symbols": "EMBR, HLXA"}),
        ({"dagster/partition": "HLXA"}, BARS, {"symbols": "HLXA"}),
        (
            range_tags(tape_key("AVLO", "PM"), tape_key("QNTM", "PM")),
            TAPE,
            {"profile": "core", "wave": "PM", "symbols": "AVLO, EMBR +2"},
        ),
        (
            range_tags(tape_key("EMBR", "PM"), tape_key("EMBR", "RTH")),
            TAPE,
            {"profile": "core", "wave": "PM, AH, RTH", "symbols": "EMBR"},
        ),
        ({"dagster/partition": "HLXA|AH"}, TAPE[:1], {"profile": "core", "wave": "AH", "symbols": "HLXA"}),
        # a symbol without a partition any more
        ({"dagster/partition": "GONE|AH"}, TAPE[:1], {"profile": "core", "wave": "AH", "symbols": "GONE"}),
        (
            {},
            [dg.AssetKey("master_events"), dg.AssetKey(["premium", "manifest"]), dg.AssetKey(["core", "manifest"])],
            {"profile": "core, premium"},
        ),
        ({}, [dg.AssetKey("universe")], {}),
        ({}, [], {}),
    ],
)
def test_profile_wave_and_symbols_of_a_run(
    tags: dict[str, str], assets: Sequence[dg.AssetKey], shown: dict[str, str]
) -> None:
    assert describe_run(tags, assets, SYMBOLS) == {f"smallcaps/{name}": value for name, value in shown.items()}


def test_partitions_of_a_run_in_one_line() -> None:
    assert partitions_of(range_tags("AVLO", "QNTM")) == "AVLO...QNTM"
    assert partitions_of({"dagster/partition": "HLXA|AH"}) == "HLXA|AH"
    assert partitions_of({"a": "tag"}) is None


def test_a_job_of_the_waves_names_its_profile() -> None:
    jobs = build_defs(load_settings()).resolve_job_def("plus_waves").tags
    assert (jobs["smallcaps/profile"], jobs["smallcaps/wave"]) == ("plus", "PM, AH, RTH")


def test_the_process_of_a_command_is_hidden_from_the_web_ui() -> None:
    assert get_tag_type(PROCESS_TAG) == TagType.HIDDEN
    assert [name for name in process_tag() if get_tag_type(name) == TagType.USER_PROVIDED] == []


@IN_BOTH
def test_the_process_of_a_run_of_an_earlier_version_is_known_but_not_taken_for_that_of_its_re_execution(
    storage: dict[str, Any],
    tmp_path: Path,
) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path), {"telemetry": {"enabled": False}, **storage}) as instance:
        job = dg.job(name="any")(lambda: None)
        for name in ("smallcaps/process", PROCESS_TAG):
            run = instance.create_run_for_job(job, tags={name: process_identity()})
            assert worker(instance, run) is not None
            again = instance.create_run_for_job(
                job, tags={name: "999999999-1"}, parent_run_id=run.run_id, root_run_id=run.run_id
            )
            assert not worker_is_gone(instance, again)
            assert worker_is_gone(instance, instance.create_run_for_job(job, tags={name: "999999999-1"}))
