"""Why spans could not be fetched, kept in the quarantine until they are published."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.lake.publish import publish_text, read_json
from smallcaps_assets.lake.tape.files import Span

EFFORT_NAMES: Final = ("requests", "retries", "throttled")


def effort_so_far(path: Path) -> dict[str, int]:
    """Requests, retries and answers with 429 of the failed attempts recorded at `path`; empty if there were none."""
    if not path.is_file():
        return {}
    record = read_json(path)
    return {name: int(record.get(name, 0)) for name in EFFORT_NAMES}


def record_failure(  # noqa: PLR0913, PLR0917 -- the fields of the record
    path: Path, span: Span, state: str, cause: str, effort: Mapping[str, int], below: Path
) -> None:
    """Write why a span failed, with the effort of all its attempts.

    Args:
        path: where to.
        span: the span.
        state: `failed` or `denied`.
        cause: why.
        effort: requests, retries and throttled of the last attempt.
        below: the folder that must exist; only folders below it are created.
    """
    before = effort_so_far(path)
    total = {name: before.get(name, 0) + effort.get(name, 0) for name in EFFORT_NAMES}
    record = {"state": state, "cause": cause, "wave": span.wave, "events": span.events_merged, **total}
    publish_text(path, json.dumps(record, indent=2) + "\n", below=below)


def read_failures(folder: Path) -> list[dict[str, Any]]:
    """The records (state, cause, wave, events, effort) below the quarantine of one profile and kind."""
    return [read_json(path) for path in sorted(folder.glob("wave=*/symbol=*/*.json"))]
