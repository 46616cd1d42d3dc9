"""Which kinds of real market data were imported into a lake, so that simulated data never mix with them."""

import json
from typing import Literal

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.locks import symbol_lock
from smallcaps_assets.lake.publish import publish_text, read_json

ImportKind = Literal["bars", "events", "windows"]


def imported_kinds(lake: Lake) -> list[str]:
    """The kinds of data that were imported, sorted."""
    return sorted(read_json(lake.imports)["kinds"]) if lake.imports.is_file() else []


def record_import(lake: Lake, kind: ImportKind) -> None:
    """Record that data of a kind are imported; call it before the first of them is published."""
    if kind in imported_kinds(lake):
        return
    with symbol_lock(lake, lake.imports.name):
        known = {*imported_kinds(lake), kind}
        publish_text(lake.imports, json.dumps({"kinds": sorted(known)}) + "\n", below=lake.root)
