"""What a night says of steps that failed without ending it."""

import dagster as dg

from smallcaps_assets.defs.assets.nightly import listings_problems, research_problems
from smallcaps_assets.defs.recording.completeness import PROBLEMS


def test_listings_that_failed_are_no_research_and_one_cause_is_one_line() -> None:
    failing = ("listings", "event_listings", "event_scores")

    @dg.op
    def failed(context: dg.OpExecutionContext) -> None:
        for name in failing:
            cause = "no score" if name == "event_scores" else "HTTP 503"
            context.log_event(dg.AssetObservation(name, metadata={PROBLEMS: cause}))

    @dg.job
    def night() -> None:
        failed()

    with dg.DagsterInstance.ephemeral() as instance:
        run = night.execute_in_process(instance=instance)
        assert listings_problems(instance, run.run_id) == ["listings, event_listings: HTTP 503"]
        assert research_problems(instance, run.run_id, []) == ["event_scores: no score"]
