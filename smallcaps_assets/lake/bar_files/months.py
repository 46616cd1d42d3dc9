"""What each file of a symbol's bars covers, kept as one text per file: most files never change, so few are parsed."""

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from operator import lt
from typing import Any, Final, NamedTuple, Self

from smallcaps_assets.domain.versions import digest

ISO_DATE: Final = len("YYYY-MM-DD")
# of a session with a dollar volume
_WORDS: Final = 3
# A character that JSON need not escape, which would double the time of writing.
_SEPARATOR: Final = ";"
# date, number of bars, digest of the bars and, of a session with bars, dollar volume
# (no repetition is tried again with fewer characters, which the next ones of the pattern would not match)
_SESSION: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]++-[0-9a-f]++(?: [^ ;]++)?+"
_SESSIONS: Final = re.compile(f"(?:{_SESSION}(?:{_SEPARATOR}{_SESSION})*+)?+")


class FileState(NamedTuple):
    """What the file system reports of a file without opening it."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, file: os.DirEntry[str]) -> Self:
        """The state of a file as its folder lists it."""
        state = file.stat()
        return cls(state.st_size, state.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class MonthCoverage:
    """The sessions of one file of bars: date, fingerprint and, of a session with bars, dollar volume.

    Attributes:
        state: of the file when it was read; None if a later version of the file could have the same state.
        text: the sessions in order, separated by semicolons.
    """

    state: FileState | None
    text: str

    @classmethod
    def of(
        cls, state: FileState | None, fingerprints: Mapping[date, str], dollar_volumes: Mapping[date, float]
    ) -> Self:
        """Build it from the fingerprint of each session and the dollar volumes of those that have bars."""
        volumes = ("" if (usd := dollar_volumes.get(day)) is None else repr(usd) for day in sorted(fingerprints))
        rows = zip(sorted(fingerprints), volumes, strict=True)
        sessions = (f"{day.isoformat()} {fingerprints[day]} {usd}".rstrip() for day, usd in rows)
        return cls(state, _SEPARATOR.join(sessions))

    @classmethod
    def are_json(cls, values: Collection[object], *, proven: bool = False) -> bool:
        """Whether values of a file, which a disk may have damaged, are such as `as_json` returns.

        The texts of a file that is `proven` are those that were published: reading them takes long, and is left out.
        """
        texts = [_text_in(value) for value in values]
        known = [text for text in texts if text is not None]
        if len(known) < len(texts):
            return False
        if proven:
            return True
        months = [cls(None, text) for text in known]
        return cls.together(months).can_be_read() or all(month.can_be_read() for month in months)

    @classmethod
    def together(cls, months: Iterable[Self]) -> Self:
        """The sessions of several files, one after the other; its methods are faster than theirs."""
        return cls(None, _SEPARATOR.join(month.text for month in months if month.text))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`."""
        state = value["stamp"]
        return cls(None if state is None else FileState(*state), value["sessions"])

    def as_json(self) -> dict[str, Any]:
        """A value that JSON can represent."""
        return {"stamp": self.state, "sessions": self.text}

    def fingerprints(self) -> dict[date, str]:
        """The fingerprint of each session, in order of date."""
        sessions = (session.split(" ") for session in self._sessions())
        return {date.fromisoformat(session[0]): session[1] for session in sessions}

    def dollar_volumes(self) -> dict[date, float]:
        """The dollar volume of each session that has bars."""
        sessions = (session.split(" ") for session in self._sessions())
        return {date.fromisoformat(session[0]): float(session[2]) for session in sessions if session[2:]}

    def __len__(self) -> int:
        """The number of sessions."""
        return self.text.count(_SEPARATOR) + 1 if self.text else 0

    @property
    def last(self) -> str:
        """The last session in ISO 8601, which sorts by date; empty where there is none."""
        begins = self.text.rfind(_SEPARATOR) + 1
        return self.text[begins : begins + ISO_DATE]

    def can_be_read(self) -> bool:
        """Whether the text names sessions in order of date, each with a fingerprint."""
        if _SESSIONS.fullmatch(self.text) is None:
            return False
        words = self._words_of_traded()
        if words is not None:
            days, dollars = words[::_WORDS], words[2::_WORDS]
        else:
            sessions = [session.split(" ") for session in self._sessions()]
            days, dollars = [session[0] for session in sessions], [usd for session in sessions for usd in session[2:]]
        try:
            for _ in map(float, dollars):
                pass
            for _ in map(date.fromisoformat, days):
                pass
        except ValueError:
            return False
        return all(map(lt, days, days[1:]))

    def marks(self) -> list[str]:
        """Date and fingerprint of each session, in order of date: `2025-11-28 390-0123456789abcdef`."""
        words = self._words_of_traded()
        if words is not None:
            return list(map(" ".join, zip(words[::_WORDS], words[1::_WORDS], strict=True)))
        return [" ".join(session.split(" ")[: _WORDS - 1]) for session in self._sessions()]

    def combined_fingerprint(self) -> str:
        """`combine_fingerprints` of all sessions, without parsing their dates; of one day twice, the last counts."""
        words = self._words_of_traded()
        if words is not None:
            days = words[::_WORDS]
            if all(map(lt, days, days[1:])):
                del words[2::_WORDS]
                return digest([("%s %s\n" * len(days) % tuple(words))[:-1]])
        by_day = {mark[:ISO_DATE]: mark for mark in self.marks()}
        return digest(map(by_day.__getitem__, sorted(by_day)))

    def _sessions(self) -> list[str]:
        return self.text.split(_SEPARATOR) if self.text else []

    def _words_of_traded(self) -> list[str] | None:
        """Date, fingerprint and dollar volume of each session, one after the other; None unless all have bars."""
        words = self.text.replace(_SEPARATOR, " ").split(" ")
        return words if len(words) == len(self) * _WORDS else None


def _text_in(value: object) -> str | None:
    """The text of a value that has the keys of `MonthCoverage.as_json`, each with its type; else None."""
    if not isinstance(value, dict) or not value.keys() >= {"stamp", "sessions"}:
        return None
    state, text = value["stamp"], value["sessions"]
    has_state = isinstance(state, list) and list(map(type, state)) == [int, int]
    return text if (state is None or has_state) and isinstance(text, str) else None
