"""What of a real market people brought into a lake, remembered so that a simulated one never mixes with it."""

import json
from typing import Literal

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.locks import symbol_lock
from smallcaps_assets.lake.publish import publish_text, read_json

Imported = Literal["bars", "events", "windows"]


def imported(lake: Lake) -> list[str]:
    """The kinds of things that were imported, sorted."""
    return sorted(read_json(lake.imports)["kinds"]) if lake.imports.is_file() else []


def remember_import(lake: Lake, kind: Imported) -> None:
    """Remember that things of a kind are imported; before the first of them is here, so that none is ever unknown."""
    if kind in imported(lake):
        return
    with symbol_lock(lake, lake.imports.name):
        known = {*imported(lake), kind}
        publish_text(lake.imports, json.dumps({"kinds": sorted(known)}) + "\n")
