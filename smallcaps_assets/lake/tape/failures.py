"""Why spans could not be fetched, kept in the quarantine until they are published."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.documents import publish_document, read_document
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.lake.tape.files import Span

EFFORT_NAMES: Final = ("requests", "retries", "throttled")
_NEEDED: Final[Mapping[str, type]] = {**dict.fromkeys(("state", "cause", "wave"), str), "events": list}


def effort_so_far(path: Path) -> dict[str, int]:
    """Requests, retries and answers with 429 of the failed attempts recorded at `path`; empty if there were none.

    A damaged record counts as none: it must not keep what was fetched since from being published.
    """
    if not path.is_file():
        return {}
    try:
        record = _read_record(path)
    except LakeError:
        return {}
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
    place = {"wave": span.wave, "symbol": span.symbol, "span": span.name}
    record = {"state": state, "cause": cause, **place, "events": span.events_merged, **total}
    publish_document(path, record, indent=2, sweeps=False, below=below)


def read_failures(folder: Path, symbols: Collection[str] | None = None) -> tuple[list[dict[str, Any]], list[LakeError]]:
    """The records (state, cause, wave, events, effort) that can be read, and what is wrong with the others.

    Args:
        folder: the quarantine of one profile and kind.
        symbols: only the records of these.

    Raises:
        LakeError: a folder cannot be listed.
    """
    sound, damaged = list[dict[str, Any]](), list[LakeError]()
    for path in sorted(list_paths(folder, "wave=*/symbol=*/*.json")):
        if symbols is None or symbol_of(path.parent.name) in symbols:
            try:
                sound.append(_read_record(path))
            except LakeError as error:
                damaged.append(error)
    return sound, damaged


def _read_record(path: Path) -> dict[str, Any]:
    return read_document(path, how_to_restore(path), _NEEDED)
