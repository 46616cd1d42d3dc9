"""What is said of partitions and tables that have problems, and the error that names them."""

from collections.abc import Sequence
from typing import Final

from smallcaps_assets.defs.failures import is_mended_by_launching, what_to_do
from smallcaps_assets.defs.metadata.entries import Metadata, limit_lines
from smallcaps_assets.errors import CaptureIncomplete
from smallcaps_assets.pipeline.problems import as_problem, facts_of_problems, group_problems, name_problems

# the metadata key of the problems of a partition
PROBLEMS: Final = "problems"


def describe_problems(problems: Sequence[str]) -> Metadata:
    """Which windows of a partition failed, why and what to do; empty if none did."""
    if not problems:
        return {}
    remedy = what_to_do(as_problem(problem).kind for problem in problems)
    facts = facts_of_problems(problems)
    # in the order of the page: at 1,280 x 900 pixels its first four entries show
    first = {name: facts[name] for name in ("windows_failed", "http_status") if name in facts}
    return {**first, **remedy, PROBLEMS: limit_lines(name_problems(problems)), **facts}


def require_complete(problems: Sequence[str], what: str, remedy: str) -> None:
    """Make sure that there are no problems.

    Args:
        problems: of all partitions.
        what: failed, for the message.
        remedy: for the message, where launching again may be all that is needed.

    Raises:
        CaptureIncomplete: there are problems; names each cause once.
    """
    if problems:
        causes = limit_lines(group_problems(problems))
        kinds = frozenset(as_problem(problem).kind for problem in problems)
        again = f" {remedy}" if any(map(is_mended_by_launching, kinds)) else ""
        incomplete = CaptureIncomplete(f"{what} failed; everything else is published.{again}\n{causes}")
        incomplete.facts, incomplete.kinds = facts_of_problems(problems), kinds
        raise incomplete
