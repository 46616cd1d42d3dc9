"""Which kinds of real market data were imported into a lake, so that simulated data never mix with them."""

from typing import Literal

from smallcaps_assets.lake.files.documents import publish_document, read_document
from smallcaps_assets.lake.files.locks import symbol_lock
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake

ImportKind = Literal["bars", "events", "windows"]


def imported_kinds(lake: Lake) -> list[str]:
    """The kinds of data that were imported, sorted.

    Raises:
        LakeError: their record is damaged.
    """
    if not is_stored(lake.imports):
        return []
    document = read_document(lake.imports, how_to_restore(lake.imports), {"kinds": list})
    return sorted(map(str, document["kinds"]))


def record_import(lake: Lake, kind: ImportKind) -> None:
    """Record that data of a kind are imported; call it before the first of them is published."""
    if kind in imported_kinds(lake):
        return
    with symbol_lock(lake, lake.imports.name):
        known = {*imported_kinds(lake), kind}
        publish_document(lake.imports, {"kinds": sorted(known)}, below=lake.root)
