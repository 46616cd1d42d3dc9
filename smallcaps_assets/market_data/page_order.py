"""The pages of one download in relation to one another: each continues the one before, and together they are sorted."""

import mmap
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import polars as pl

from smallcaps_assets.domain.tape.repeats import WithoutRepeats, drop_repeats, is_identified
from smallcaps_assets.errors import BadPage

# Consecutive pages without rows, or with the same rows without identity, after which a cursor is not followed.
MAX_EMPTY_PAGES: Final = 10
# Downloads up to this size are merged without asking for memory first.
_SMALL_BYTES: Final = 1 << 26
# Memory that merging, checking and writing a download takes at most, as a multiple of its size.
_WORKING_MEMORY: Final = 2


def check_progress(before: Sequence[pl.DataFrame], page: pl.DataFrame, *, is_last: bool = False) -> None:
    """Make sure that a page continues those before it, so that an endless cursor is noticed early.

    The last page may repeat the one before it. So may a few pages whose rows have no identity (see
    `domain.tape.repeats`): they are no repeats.

    Raises:
        BadPage: the page repeats the one before it, lies before it, or is one of many without rows.
    """
    if not before:
        return
    number = len(before) + 1
    if page.is_empty():
        if len(before) >= MAX_EMPTY_PAGES and all(frame.is_empty() for frame in before[-MAX_EMPTY_PAGES:]):
            raise BadPage(f"page {number} has no rows, as the {MAX_EMPTY_PAGES} before it, and promises more")
    elif not is_last and _repeats(before, page):
        raise BadPage(f"page {number} repeats the page before it, and promises more: the cursor leads nowhere")
    elif "timestamp" in page.columns:
        _check_follows(next((frame for frame in reversed(before) if frame.height), page), page)


def merge_pages(frames: Sequence[pl.DataFrame], *keys: str) -> WithoutRepeats:
    """The pages of one download, sorted by `keys` (the first is the time), without exact repeats, which are counted.

    Rows without identity are never repeats; see `domain.tape.repeats`. Of equal times, null numbers come first.

    Raises:
        BadPage: a page begins or ends before the one that it follows.
        MemoryError: the rows are too many for the memory that is left.
    """
    for before, after in pairwise(frame for frame in frames if frame.height):
        _check_follows(before, after, keys[0])
    size = sum(frame.estimated_size() for frame in frames)
    if size > _SMALL_BYTES:
        require_memory(_WORKING_MEMORY * int(size))
    merged = pl.concat(frames)
    if _compare_neighbours(merged, keys)[0].all():
        return WithoutRepeats(merged, 0)
    merged = merged.sort(keys, maintain_order=True)
    has_equal_keys = _compare_neighbours(merged, keys)[1].any()
    return drop_repeats(merged) if has_equal_keys else WithoutRepeats(merged, 0)


def require_memory(size: int) -> None:
    """Make sure that this process may have so many bytes more: where it may not, Polars ends it instead of raising.

    Raises:
        MemoryError: the system refuses them.
    """
    try:
        mmap.mmap(-1, size).close()  # reserved, and not used
    except (OSError, OverflowError) as error:
        raise MemoryError(f"{size / 1e6:,.0f} MB more are needed") from error


def _compare_neighbours(rows: pl.DataFrame, keys: Sequence[str]) -> tuple[pl.Series, pl.Series]:
    """Of each row but the first, whether its keys are greater than those before it, and whether they are equal.

    A null is less than every number. Columns are compared one by one, since most downloads are one small page, for
    which a query takes longer than the comparison.
    """
    size = max(rows.height - 1, 0)
    columns = [rows[key].fill_null(-1) if rows[key].has_nulls() else rows[key] for key in keys]
    neighbours = [(column.slice(0, size), column.slice(1)) for column in columns]
    (before, after), *others = neighbours
    is_greater, is_equal = after > before, after == before
    for before, after in others:
        is_greater |= is_equal & (after > before)
        is_equal &= after == before
    return is_greater, is_equal


def _repeats(before: Sequence[pl.DataFrame], page: pl.DataFrame) -> bool:
    """Whether a page repeats the one before it; with rows without identity, the last MAX_EMPTY_PAGES before it."""
    if not page.equals(before[-1]):
        return False
    if page.select(is_identified(page.columns).any()).item():
        return True
    return len(before) >= MAX_EMPTY_PAGES and all(page.equals(frame) for frame in before[-MAX_EMPTY_PAGES:])


def join_pages(frames: Sequence[pl.DataFrame], key: str = "timestamp") -> pl.DataFrame:
    """The rows of the pages of one download, one page after the other.

    Raises:
        BadPage: a page begins or ends before the one that it follows.
    """
    for before, after in pairwise(frame for frame in frames if frame.height):
        _check_follows(before, after, key)
    return pl.concat(frames)


def _check_follows(before: pl.DataFrame, after: pl.DataFrame, key: str = "timestamp") -> None:
    earlier, later = before[key].to_physical(), after[key].to_physical()
    if later[0] < earlier[0] or later[-1] < earlier[-1]:
        raise BadPage(f"pages run backwards: one ends at {earlier[-1]}, the next at {later[-1]}")
