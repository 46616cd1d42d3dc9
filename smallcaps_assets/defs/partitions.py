"""How work is cut: by symbol, and tape by symbol and wave."""

from collections.abc import Sequence
from typing import Final

import dagster as dg

from smallcaps_assets.domain.tables import WAVES

SYMBOLS: Final = dg.DynamicPartitionsDefinition(name="symbols")
TAPE_PARTITIONS: Final = dg.MultiPartitionsDefinition(
    {"symbol": SYMBOLS, "wave": dg.StaticPartitionsDefinition(list(WAVES))}
)


def tape_pairs(keys: Sequence[str]) -> list[tuple[str, str]]:
    """(symbol, wave) of partition keys of TAPE_PARTITIONS."""
    by_dimension = [key.keys_by_dimension for key in keys if isinstance(key, dg.MultiPartitionKey)]
    return [(dimensions["symbol"], dimensions["wave"]) for dimensions in by_dimension]


def tape_key(symbol: str, wave: str) -> dg.MultiPartitionKey:
    """The partition key of one symbol and wave."""
    return dg.MultiPartitionKey({"symbol": symbol, "wave": wave})
