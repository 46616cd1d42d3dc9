"""The pages of one download in relation to one another: each continues the one before, and together they are sorted."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import polars as pl

from smallcaps_assets.errors import BadPage

# Consecutive pages without rows after which a cursor is not followed any further.
MAX_EMPTY_PAGES: Final = 10


def check_progress(before: Sequence[pl.DataFrame], page: pl.DataFrame) -> None:
    """Make sure that a page continues those before it, so that an endless cursor is noticed early.

    Raises:
        BadPage: the page repeats the one before it, lies before it, or is one of many without rows.
    """
    if not before:
        return
    number = len(before) + 1
    if page.is_empty():
        if len(before) >= MAX_EMPTY_PAGES and all(frame.is_empty() for frame in before[-MAX_EMPTY_PAGES:]):
            raise BadPage(f"page {number} has no rows, as the {MAX_EMPTY_PAGES} before it, and promises more")
    elif page.equals(before[-1]):
        raise BadPage(f"page {number} repeats the page before it, and promises more: the cursor leads nowhere")
    elif "timestamp" in page.columns:
        _check_follows(next((frame for frame in reversed(before) if frame.height), page), page)


def merge_pages(frames: Sequence[pl.DataFrame], *keys: str) -> pl.DataFrame:
    """The pages of one download as one frame, sorted by `keys` (the first is the time), exact repeats removed.

    Raises:
        BadPage: a page begins or ends before the one that it follows.
    """
    for before, after in pairwise(frame for frame in frames if frame.height):
        _check_follows(before, after, keys[0])
    merged = pl.concat(frames)
    first, *rest = keys
    is_equal = pl.col(first) == pl.col(first).shift()
    is_greater = pl.col(first) > pl.col(first).shift()
    for key in rest:
        is_greater |= is_equal & (pl.col(key) > pl.col(key).shift())
        is_equal &= pl.col(key) == pl.col(key).shift()
    if merged.select(is_greater.fill_null(value=True).all()).item():
        return merged
    merged = merged.sort(keys, maintain_order=True)
    has_equal_keys = merged.select(is_equal.any()).item()
    return merged.unique(maintain_order=True) if has_equal_keys else merged


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
