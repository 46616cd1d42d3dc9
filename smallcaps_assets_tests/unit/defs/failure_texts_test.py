"""What a failed step says: its remedy fits the causes, and a terminal shows it once."""

import dagster as dg
import pytest

from smallcaps_assets.defs.failures import describe_error, foreseen_errors
from smallcaps_assets.defs.recording.completeness import require_complete
from smallcaps_assets.defs.recording.events import metadata_of
from smallcaps_assets.defs.runs.run_log import say_failures_once
from smallcaps_assets.errors import CaptureIncomplete, LakeError, NotEntitled, SmallcapsError, VendorUnavailable
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem

AGAIN = "Launch the failed partitions again."


@pytest.mark.parametrize(
    ("errors", "says_again", "what_to_do"),
    [
        ([VendorUnavailable("503")], True, ["Launch again when the vendor answers"]),
        ([NotEntitled("403")], False, ["Change the plan, or leave this data out."]),
        ([NotEntitled("403"), LakeError("damaged")], False, ["Repair what the message names", "Change the plan"]),
        ([NotEntitled("403"), VendorUnavailable("503")], True, ["Change the plan", "when the vendor answers"]),
    ],
)
def test_the_remedy_of_a_step_is_that_of_its_causes(
    errors: list[SmallcapsError], says_again: bool, what_to_do: list[str]
) -> None:
    problems = [Problem.of(f"AVLO {number}", error) for number, error in enumerate(errors)]
    with pytest.raises(CaptureIncomplete) as caught:
        require_complete(problems, "1 of 2 partitions", AGAIN)
    assert (AGAIN in str(caught.value)) == says_again
    shown = str(describe_error(caught.value)["what_to_do"])
    assert all(words in shown for words in what_to_do)


def test_a_problem_of_which_only_a_text_is_known_asks_to_launch_again() -> None:
    with pytest.raises(CaptureIncomplete, match=AGAIN) as caught:
        require_complete(["AVLO failed"], "1 of 2 partitions", AGAIN)
    assert "Launch the failed partitions again" in str(describe_error(caught.value)["what_to_do"])


def test_the_page_of_a_partition_begins_with_what_failed_why_and_what_to_do() -> None:
    down = VendorUnavailable("GET /v3/trades/AVLO failed with HTTP 503.").with_facts(
        "down", http_status=503, endpoint="/v3/trades/AVLO"
    )
    problems = [Problem.of(f"AVLO {number}", down, symbol="AVLO", windows=1) for number in (1, 2)]
    shown = metadata_of(Outcome(("AVLO", "PM"), {"windows": 2}, problems=tuple(problems), rows=0))
    assert [*shown][:4] == ["windows_failed", "http_status", "what_to_do", "problems"]
    assert shown["problems"] == "AVLO 1, AVLO 2: GET /v3/trades/AVLO failed with HTTP 503."
    assert (shown["windows_failed"], shown["http_status"]) == (2, 503)


@pytest.mark.parametrize("error", [LakeError("the lake is gone."), RuntimeError("a defect")])
def test_the_console_of_a_run_says_a_failure_once(error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    @dg.op
    def broken() -> None:
        with foreseen_errors():
            raise error

    @dg.job(executor_def=dg.in_process_executor)
    def work() -> None:
        broken()

    say_failures_once()
    say_failures_once()
    with dg.DagsterInstance.ephemeral() as instance:
        assert not work.execute_in_process(instance=instance, raise_on_error=False).success
    printed = capfd.readouterr().err
    assert "RUN_FAILURE" in printed
    # in a stack trace the line of code has no text
    assert printed.count(str(error)) == 1
    assert printed.count("Stack Trace:") == isinstance(error, RuntimeError)
