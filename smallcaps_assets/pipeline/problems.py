"""Problems of single units of work, and lists of them: grouped by cause, so that a cause is named once."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Self

from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import Facts, SmallcapsError

# how many symbols and endpoints of a group are named
_NAMED: Final = 5
_NUMBER: Final = re.compile(r"\d+")


class Problem(str):  # noqa: SLOT000 -- few exist
    """Why a unit of work failed, in a sentence that begins with the unit.

    Attributes:
        symbol: the symbol of the unit.
        message: the sentence without the unit.
        windows: how many windows it was to capture; 0 where it is no unit of a capture.
        cause: the cause without what differs between units that failed for the same reason; empty if it is not known.
        facts: of the error: HTTP status, endpoint, file.
        kind: the class of the error.
    """

    symbol: str = ""
    message: str = ""
    windows: int = 0
    cause: str = ""
    facts: Facts = {}  # noqa: RUF012 -- never changed in place
    kind: type[SmallcapsError] = SmallcapsError

    @property
    def unit(self) -> str:
        """The unit, as the sentence names it."""
        return self.removesuffix(self.message).removesuffix(": ")

    @classmethod
    def about(cls, unit: str, message: str, *, symbol: str, cause: str = "") -> Self:
        """A problem of which the message is known."""
        made = cls(f"{unit}: {message}")
        made.symbol, made.message, made.cause = symbol, message, cause
        return made

    @classmethod
    def of(cls, unit: str, error: Exception, *, symbol: str = "", windows: int = 0, advice: str = "") -> Self:
        """The problem of a unit that failed with an error; `advice` follows the message of the error."""
        made = cls.about(unit, f"{error}{advice}", symbol=symbol)
        made.windows = windows
        if isinstance(error, SmallcapsError):
            made.cause, made.facts, made.kind = error.cause or "", dict(error.facts), type(error)
        return made


def group_problems(problems: Iterable[str]) -> list[str]:
    """One message per cause, the cause with most units first: what failed, and the message of the first that did."""
    return [_describe(group) for group in _by_cause(problems)]


def name_problems(problems: Iterable[str]) -> list[str]:
    """One message per cause, the cause with most units first: which units failed, and the message of the first."""
    return [
        f"{_list([problem.unit for problem in group])}: {group[0].message}" if len(group) > 1 else str(group[0])
        for group in _by_cause(problems)
    ]


def _by_cause(problems: Iterable[str]) -> list[list[Problem]]:
    groups: dict[object, list[Problem]] = {}
    for problem in map(as_problem, problems):
        # messages about the same fault differ in numbers, such as those of pages and bytes
        same = _NUMBER.sub("#", problem.cause) if problem.cause else problem
        groups.setdefault((same, problem.facts.get("http_status")), []).append(problem)
    return sorted(groups.values(), key=len, reverse=True)


def facts_of_problems(problems: Sequence[str]) -> Facts:
    """How many windows and symbols failed, the HTTP codes, endpoints and files; those that are known."""
    known = [as_problem(problem) for problem in problems]
    windows, symbols = sum(problem.windows for problem in known), {problem.symbol for problem in known} - {""}
    facts: dict[str, str | int] = {}
    if windows:
        facts["windows_failed"] = windows
    if len(symbols) > 1:
        facts["symbols_failed"] = len(symbols)
    for name in ("http_status", "endpoint", "file"):
        found = Counter(problem.facts[name] for problem in known if name in problem.facts)
        if found:
            facts[name] = (
                next(iter(found)) if len(found) == 1 else _list([f"{value}" for value, _ in found.most_common()])
            )
    return facts


def as_problem(problem: str) -> Problem:
    """A problem; one of which only the message is known, where it is a text."""
    return problem if isinstance(problem, Problem) else Problem(problem)


def _describe(group: Sequence[Problem]) -> str:
    first = group[0]
    if len(group) == 1:
        return str(first)
    windows, symbols = sum(problem.windows for problem in group), sorted({problem.symbol for problem in group} - {""})
    named = f"{count_noun(len(symbols), 'symbol')} ({_list(symbols)})" if len(symbols) > 1 else "".join(symbols)
    one_each = len(symbols) == len(group) and not windows
    units = count_noun(windows, "window") if windows else count_noun(len(group), "failure") * (not one_each)
    what = " of ".join(part for part in (units, named) if part)
    return f"{what}: {first.message or first}"


def _list(values: Sequence[str]) -> str:
    more = f" and {len(values) - _NAMED:,} more" if len(values) > _NAMED else ""
    return ", ".join(values[:_NAMED]) + more
