"""What the files of a symbol's bars cover, a text per file: as most of them never change, it is seldom read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple, Self

ISO_DATE: Final = len("YYYY-MM-DD")
# nothing that JSON would have to escape, which takes it twice the time
BETWEEN: Final = ";"


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
    """The sessions of one file of bars, one after the other: date, fingerprint and dollar volume, if it has bars.

    `stamp` is that of the file when it was read; None if a later version of it may bear the same.
    """

    stamp: Stamp | None
    text: str

    @classmethod
    def of(cls, stamp: Stamp | None, marks: Mapping[date, str], dollar_volumes: Mapping[date, float]) -> Self:
        """Sessions with their fingerprints (`marks`), and the dollar volumes of those that have bars."""
        traded = ("" if (usd := dollar_volumes.get(day)) is None else repr(usd) for day in sorted(marks))
        told = zip(sorted(marks), traded, strict=True)
        return cls(stamp, BETWEEN.join(f"{day.isoformat()} {marks[day]} {usd}".rstrip() for day, usd in told))

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Back from `as_json`."""
        stamp = told["stamp"]
        return cls(None if stamp is None else Stamp(*stamp), told["sessions"])

    def as_json(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {"stamp": self.stamp, "sessions": self.text}

    def marks(self) -> dict[date, str]:
        """The fingerprint of each session, the earliest first."""
        sessions = (session.split(" ") for session in self._told())
        return {date.fromisoformat(session[0]): session[1] for session in sessions}

    def dollar_volumes(self) -> dict[date, float]:
        """What was traded in each session that has bars."""
        sessions = (session.split(" ") for session in self._told())
        return {date.fromisoformat(session[0]): float(session[2]) for session in sessions if session[2:]}

    def __len__(self) -> int:
        """How many sessions."""
        return self.text.count(BETWEEN) + 1 if self.text else 0

    @property
    def last(self) -> str:
        """The last session as ISO 8601 writes it, which sorts as dates do; empty where there is none."""
        begins = self.text.rfind(BETWEEN) + 1
        return self.text[begins : begins + ISO_DATE]

    def _told(self) -> list[str]:
        return self.text.split(BETWEEN) if self.text else []
