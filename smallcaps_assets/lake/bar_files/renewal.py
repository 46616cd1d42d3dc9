"""Month files of earlier releases, written as they are now."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from smallcaps_assets.lake.bar_files.import_records import IMPORTS, imported_days
from smallcaps_assets.lake.bar_files.month_files import (
    is_of_earlier_release,
    month_footer,
    parse_sessions,
    publish_month,
    read_month,
)
from smallcaps_assets.lake.files.content_hash import content_sha256
from smallcaps_assets.lake.files.locks import symbol_lock
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.flat_bars.origins import FlatOrigins, read_origins
from smallcaps_assets.lake.layout import Lake


class PublishedSessions(NamedTuple):
    """The published sessions of a symbol.

    Attributes:
        fingerprints: of the bars of each.
        origins: what flat files have to do with some of them.
        imported: those with imported bars.
    """

    fingerprints: dict[date, str]
    origins: FlatOrigins
    imported: set[date]


def renew_months(lake: Lake, symbol: str, files: Sequence[Path]) -> PublishedSessions:
    """Rewrite those month files of `symbol` that are of earlier releases; their fingerprints stay.

    Takes the lock of the symbol for each file that it rewrites.

    Raises:
        LakeError: a file cannot be read, or one of an earlier release is damaged.
    """
    footers = {path: month_footer(path) for path in files}
    older = [path for path, footer in footers.items() if is_of_earlier_release(footer) or not _is_hashed(path)]
    found = {
        day: mark
        for path, footer in footers.items()
        if footer and path not in older
        for day, mark in parse_sessions(footer["sessions"]).items()
    }
    for path in older:
        with symbol_lock(lake, symbol):
            month = read_month(path)
            publish_month(path, symbol, month, below=lake.root)
        found |= month.sessions
    whole = [footer for footer in footers.values() if footer]
    origins = {day: one for footer in whole for day, one in read_origins(footer).items()}
    imported = {day for footer in whole for day in imported_days(footer.get(IMPORTS, {}))}
    return PublishedSessions(found, origins, imported)


def _is_hashed(path: Path) -> bool:
    """Whether a file carries the hash of its content."""
    with disk_errors("read", path):
        return content_sha256(path) is not None
