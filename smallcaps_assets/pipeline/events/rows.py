"""Whether the files of symbols have the rows that they record."""

from collections import Counter
from collections.abc import Mapping

import polars as pl

from smallcaps_assets.errors import LakeError


def require_all(rows: pl.DataFrame, expected: Mapping[str, int], what: str) -> None:
    """Require as many rows of each symbol as its files record: missing rows would look like days without events.

    Raises:
        LakeError: the files of a symbol contain fewer or more rows, or rows of another symbol.
    """
    read = Counter[str]()
    # rows of one symbol are adjacent, so there are few runs
    for length, symbol in rows["symbol"].rle().struct.unnest().iter_rows():
        read[symbol] += length
    for symbol, required in expected.items():
        if (found := read.pop(symbol, 0)) != required:
            asset = "minute_bars" if what == "bars" else "event_shards"
            raise LakeError(
                f"{what} of {symbol}: the files contain {found:,}, not {required:,}. Restore the files, or "
                f"remove them and materialize {asset} of {symbol} again."
            )
    if read:
        raise LakeError(
            f"{what} of {next(iter(expected))}: the files contain {what} of {next(iter(read))}. Remove them."
        )
