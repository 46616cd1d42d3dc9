"""What the files of a symbol's bars cover, a text per file: as most of them never change, it is seldom read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Self


class Stamp(NamedTuple):
    """What the file system says of a file without opening it."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, file: os.DirEntry[str]) -> Self:
        """A file as its folder lists it."""
        state = file.stat()
        return cls(state.st_size, state.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Month:
    """The sessions of one file of bars: a line each, in order, with date, fingerprint and dollar volume.

    `stamp` is that of the file when it was read; None if a later version of it may bear the same.
    """

    stamp: Stamp | None
    lines: str

    @classmethod
    def of(cls, stamp: Stamp | None, marks: Mapping[date, str], dollar_volumes: Mapping[date, float]) -> Self:
        """Sessions with their fingerprints (`marks`), and the dollar volumes of those that have bars."""
        traded = ("" if (usd := dollar_volumes.get(day)) is None else repr(usd) for day in sorted(marks))
        told = zip(sorted(marks), traded, strict=True)
        return cls(stamp, "\n".join(f"{day.isoformat()} {marks[day]} {usd}".rstrip() for day, usd in told))

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Back from `as_json`."""
        stamp = told["stamp"]
        return cls(None if stamp is None else Stamp(*stamp), told["sessions"])

    def as_json(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {"stamp": self.stamp, "sessions": self.lines}

    def marks(self) -> dict[date, str]:
        """The fingerprint of each session, the earliest first."""
        sessions = (line.split(" ") for line in self.lines.splitlines())
        return {date.fromisoformat(session[0]): session[1] for session in sessions}

    def dollar_volumes(self) -> dict[date, float]:
        """What was traded in each session that has bars."""
        sessions = (line.split(" ") for line in self.lines.splitlines())
        return {date.fromisoformat(session[0]): float(session[2]) for session in sessions if session[2:]}

    def __len__(self) -> int:
        """How many sessions."""
        return self.lines.count("\n") + 1 if self.lines else 0

    def ends_before(self, day: date) -> bool:
        """Whether it has no session from a day on."""
        return self._last < day.isoformat()

    @property
    def last(self) -> date | None:
        """The last session."""
        return date.fromisoformat(self._last) if self._last else None

    @property
    def _last(self) -> str:
        return self.lines[self.lines.rfind("\n") + 1 :].partition(" ")[0]
