"""Partitions: by symbol, and of tape by symbol and wave."""

from collections.abc import Mapping, Sequence
from typing import Final

import dagster as dg

from smallcaps_assets.domain.tables import WAVES

SYMBOLS: Final = dg.DynamicPartitionsDefinition(name="symbols")
TAPE_PARTITIONS: Final = dg.MultiPartitionsDefinition(
    {"symbol": SYMBOLS, "wave": dg.StaticPartitionsDefinition(list(WAVES))}
)
_RANGE: Final = "dagster/asset_partition_range_"


def range_tags(first: str, last: str) -> dict[str, str]:
    """The tags of a run over the partitions from `first` to `last`, inclusive."""
    return {f"{_RANGE}start": first, f"{_RANGE}end": last}


def in_range(keys: Sequence[str], tags: Mapping[str, str]) -> list[str]:
    """The keys that a run with these tags covers; all of them where its tags have no range of `keys`."""
    first, last = tags.get(f"{_RANGE}start"), tags.get(f"{_RANGE}end")
    if first not in keys or last not in keys:
        return list(keys)
    return list(keys[keys.index(first) : keys.index(last) + 1])


def tape_pairs(keys: Sequence[str]) -> list[tuple[str, str]]:
    """(symbol, wave) of partition keys of TAPE_PARTITIONS."""
    by_dimension = [key.keys_by_dimension for key in keys if isinstance(key, dg.MultiPartitionKey)]
    return [(dimensions["symbol"], dimensions["wave"]) for dimensions in by_dimension]


def tape_key(symbol: str, wave: str) -> dg.MultiPartitionKey:
    """The partition key of one symbol and wave."""
    return dg.MultiPartitionKey({"symbol": symbol, "wave": wave})


def partitions_of(tags: Mapping[str, str]) -> str | None:
    """The partition of a run, or `first...last` of its range, from its tags; None where it has none."""
    return "...".join(partition_ends(tags)) or None


def partition_ends(tags: Mapping[str, str]) -> list[str]:
    """The first and the last partition of a run from its tags, or its only one; none where it has none."""
    first, last, only = tags.get(f"{_RANGE}start"), tags.get(f"{_RANGE}end"), tags.get("dagster/partition")
    return [first, last] if first and last else [only] if only else []
