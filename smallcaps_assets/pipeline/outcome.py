"""What one unit of work did: its figures, and what went wrong without stopping its neighbours."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome:
    """One partition's figures, and the problems that keep it from being whole."""

    partition: tuple[str, ...]
    figures: dict[str, int | float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Results of `work` as they come, at most `2 x threads` items under way. An error stops what has not begun."""
    waiting = iter(items)
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="fetch") as pool:
        running: set[Future[Result]] = {pool.submit(work, item) for item in islice(waiting, 2 * threads)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(work, item) for item in islice(waiting, len(done))}
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()
