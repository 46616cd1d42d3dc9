"""Which sessions to ask the vendor for, and how many requests that costs."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from math import ceil, log2
from typing import Final, NamedTuple

from smallcaps_assets.domain.listings.inference import Question

# rows of one page of the vendor's list of tickers
TICKERS_PER_PAGE: Final = 1_000


class Round(NamedTuple):
    """The requests that answer every open question by half: whole lists, and single tickers, of sessions by number."""

    lists: list[int]
    singles: list[tuple[str, int]]


def days_of_lists(sessions: Sequence[date]) -> list[date]:
    """The sessions of which the whole list is asked for: the first of all and of every month, and the last one."""
    months = {(day.year, day.month): day for day in reversed(sessions)}
    return sorted({*months.values(), *sessions[-1:]})


def plan_round(questions: Iterable[Question], pages: int) -> Round:
    """What to ask for next: of each open question the session in the middle.

    Where at least as many tickers are to be asked for on a session as the whole list has pages, the list is asked for.
    """
    tickers = defaultdict[int, set[str]](set)
    for question in questions:
        tickers[middle(question)].add(question.symbol)
    lists = sorted(day for day, symbols in tickers.items() if len(symbols) >= pages)
    singles = [(symbol, day) for day in sorted(tickers.keys() - set(lists)) for symbol in sorted(tickers[day])]
    return Round(lists, singles)


def middle(question: Question) -> int:
    """The session in the middle of a question, which lies strictly between its ends."""
    return (question.after + question.before) // 2


def most_requests(questions: Collection[Question], pages: int) -> int:
    """So many requests answer the questions at most, if each ticker changed once between its two observations.

    Questions between the same two sessions are halved alike, and a session between them never costs more than the
    pages of its list.
    """
    gaps = Counter((question.after, question.before) for question in questions)
    return sum(
        min(count * ceil(log2(before - after)), (before - after - 1) * pages) for (after, before), count in gaps.items()
    )


def list_pages(rows: int) -> int:
    """The pages of a list; at least one."""
    return max(ceil(rows / TICKERS_PER_PAGE), 1)
