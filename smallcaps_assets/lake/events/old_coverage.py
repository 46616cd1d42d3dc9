"""What earlier releases recorded beside the shards; `lake.events.shards` describes what replaces it.

Up to 0.1 it was a text file per shard, to which a line was appended each night. It is only read: the next publication
of a symbol removes it. Later versions wrote a table per initial into the folder of the shards.
"""

import json
from pathlib import Path
from typing import Any

from smallcaps_assets.lake.files.publish import disk_errors


def old_coverage_file(shard: Path) -> Path:
    """Where the text file of a shard lies."""
    return shard.with_suffix(".jsonl")


def old_table(table: Path) -> Path:
    """Where a table of differences was before it had a folder of its own."""
    return table.parent.with_name("shards") / f"coverage={table.stem}.json"


def old_coverage(shard: Path, content: str) -> dict[str, Any] | None:
    """The coverage of a shard with this digest of events; None where there is none, or it is of other events.

    The first line is the whole coverage; each later line, numbered, changes some files of bars. A line that is torn or
    out of its place counts as absent, so that its sessions are detected again.
    """
    path = old_coverage_file(shard)
    if not path.is_file():
        return None
    with disk_errors("read", path):
        first, *lines = map(_parsed, path.read_bytes().split(b"\n"))
    if first.get("content") != content or not first.keys() >= {"id", "detections", "tiers", "files", "events"}:
        return None
    for place, line in enumerate(lines):
        is_next = (line.get("of"), line.get("after")) == (first["id"], place)
        if is_next and isinstance(first["files"], dict) and isinstance(line.get("files"), dict):
            first["files"] |= line["files"]
    return first


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
