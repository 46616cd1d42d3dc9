"""Which flat file the bars of a session are from, or were compared with: recorded in the footer of a month file."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, NamedTuple, Self

# key of a footer's provenance; month files without bars of flat files have none
FLAT_FILES: Final = "flat_files"
_FILE, _OTHER = "file", "other"


class FlatOrigin(NamedTuple):
    """What a flat file has to do with the published bars of a session.

    Attributes:
        etag: the ETag of the file.
        is_source: whether the bars are those of the file; else they are of another source, and were compared with it.
        differences: how often the bars of the file and of the other source differed when they were compared, by kind.
    """

    etag: str
    is_source: bool
    differences: Mapping[str, int] = {}

    @classmethod
    def from_json(cls, value: object) -> Self | None:
        """The inverse of `as_json`; None of a value that a disk may have damaged."""
        if not isinstance(value, list) or len(value) < 2 or value[1] not in {_FILE, _OTHER}:  # noqa: PLR2004
            return None
        differences = value[2] if len(value) > 2 and isinstance(value[2], dict) else {}  # noqa: PLR2004
        return cls(str(value[0]), value[1] == _FILE, differences)

    def as_json(self) -> list[Any]:
        """A value that JSON can represent."""
        more = [dict(self.differences)] if self.differences else []
        return [self.etag, _FILE if self.is_source else _OTHER, *more]


FlatOrigins = dict[date, FlatOrigin]


def read_origins(provenance: Mapping[str, Any] | None) -> FlatOrigins:
    """The origins in the provenance of a month file; none in those of earlier releases."""
    found: object = (provenance or {}).get(FLAT_FILES)
    stored = found.items() if isinstance(found, dict) else ()
    known = ((date.fromisoformat(day), FlatOrigin.from_json(value)) for day, value in stored)
    return {day: origin for day, origin in known if origin is not None}


def origins_entry(origins: Mapping[date, FlatOrigin]) -> dict[str, Any]:
    """The entry of a footer's provenance; none without origins."""
    return {FLAT_FILES: {f"{day}": origins[day].as_json() for day in sorted(origins)}} if origins else {}
