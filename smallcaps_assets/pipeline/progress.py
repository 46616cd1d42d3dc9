"""Log lines of long work: how much is done, how fast, and when it will be over."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Final, TypeVar

Item = TypeVar("Item")
LOG_EVERY_S: Final = 30.0


def with_progress(
    items: Iterable[Item],
    total: int,
    what: str,
    log: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Item]:
    """Pass `items` on, saying at the end and every `LOG_EVERY_S` seconds how far along they are."""
    started = said = clock()
    for done, item in enumerate(items, start=1):
        yield item
        now = clock()
        if done == total or now - said >= LOG_EVERY_S:
            said = now
            log(_line(done, total, what, now - started))


def _line(done: int, total: int, what: str, elapsed_s: float) -> str:
    rate = done / elapsed_s if elapsed_s else 0.0
    left = timedelta(seconds=round((total - done) / rate)) if rate else "unknown"
    return f"{what}: {done:,}/{total:,}, {60 * rate:,.0f} a minute, {left} left"
