"""Downloads whose rows are too many for the memory that is left."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import psutil
import pytest

from smallcaps_assets.market_data.page_order import merge_pages

resource = pytest.importorskip("resource")
MORE_BYTES = 100_000_000


@contextmanager
def little_memory() -> Iterator[None]:
    """The system refuses this process more than MORE_BYTES."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MORE_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to the limit")
def test_a_download_that_memory_cannot_hold_is_an_error_and_not_the_end_of_the_process() -> None:
    """Polars ends the process where it is refused memory."""
    first, second = (pl.select(timestamp=pl.int_range(n, n + 4_500_000), sequence_number=1) for n in (0, 4_500_000))
    with little_memory(), pytest.raises(MemoryError, match="more are needed"):
        merge_pages([first, second], "timestamp", "sequence_number")
    assert merge_pages([first.head(9), second.head(9)], "timestamp", "sequence_number").rows.height == 18
