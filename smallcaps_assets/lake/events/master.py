"""MASTER: its rows, and the shards that it was built from, which its footer records."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import symbol_of

# Key of the footer: the digest of the events of each symbol, as its shard records it.
SHARDS_OF_MASTER: Final = "shards"


def load_master(lake: Lake, schema: pl.Schema = EVENTS) -> pl.DataFrame:
    """Columns of MASTER, after proving that it is not damaged.

    Raises:
        LakeError: it is damaged or cannot be read, or lacks a column.
    """
    return read_table(lake.master, schema)


def symbols_to_rebuild(shards: ShardStore) -> list[str]:
    """Symbols whose events in MASTER are not those of their shards, sorted; none without a MASTER.

    Times of files do not matter, except those of a MASTER of an earlier release: it records no shards, so those
    published after it count as others.

    Raises:
        LakeError: MASTER cannot be read.
    """
    master = shards.lake.master
    if not master.is_file():
        return []
    built_from = (provenance_of(master) or {}).get(SHARDS_OF_MASTER)
    if built_from is None:
        built = master.stat().st_mtime_ns
        return [symbol_of(path.stem) for path in shards.files() if path.stat().st_mtime_ns > built]
    now = shards.contents()
    return sorted(symbol for symbol in built_from.keys() | now.keys() if built_from.get(symbol) != now.get(symbol))


def load_imported_events(lake: Lake, schema: pl.Schema = EVENTS) -> pl.DataFrame:
    """Columns of the imported events, after proving that they are not damaged; no rows where none were imported.

    Raises:
        LakeError: the file is damaged or cannot be read, or lacks a column.
    """
    return read_table(lake.imported_events, schema) if is_stored(lake.imported_events) else schema.to_frame()
