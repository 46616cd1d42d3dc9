"""Records of imports in the footers of month files: an import that is still complete is not read again."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

# key of a footer's provenance; its records are keyed by the signature of the imported files
IMPORTS: Final = "imports"
Imports = dict[str, dict[str, Any]]


class Rejections(NamedTuple):
    """What an import rejected of the rows that it read, so that unchanged files need not be read to repeat it.

    `bad` counts the rejected of its `rows` by reason, and `problems` are messages about them.
    """

    rows: int = 0
    bad: tuple[tuple[str, int], ...] = ()
    problems: tuple[str, ...] = ()


NOTHING_REJECTED: Final = Rejections()


class CompleteImport(NamedTuple):
    """An import whose bars of a symbol are all still published: its number of symbols, its first and last session.

    `left` are the numbers of its files that could not be read; they and `rejections` are recorded with one symbol.
    """

    signature: str
    symbols: int
    first: date
    last: date
    left: tuple[int, ...] = ()
    rejections: Rejections = NOTHING_REJECTED


@dataclass(frozen=True)
class ImportRecord:
    """An import of one symbol's bars whose last month is about to be merged; that month's footer records it.

    `signature` identifies the files and how they were read. `of` is the number of symbols of the import, recorded with
    the last symbol; 0 with the others. `before` are the fingerprints of the sessions merged so far. `left` are the
    numbers of its files that could not be read, `rejections` what it rejected of the others.
    """

    signature: str
    of: int
    before: Mapping[date, str]
    left: tuple[int, ...] = ()
    rejections: Rejections = NOTHING_REJECTED

    def record(self, last: Mapping[date, str]) -> Imports:
        """The record, given the fingerprints of the last sessions: which sessions were imported, and a hash of them."""
        fingerprints = {**self.before, **last}
        first = min(fingerprints)
        days = sum(1 << (day - first).days for day in fingerprints)
        record = {"first": f"{first}", "days": f"{days:x}", "bars": _digest(fingerprints), "symbols": self.of}
        rows, bad, problems = self.rejections
        further = {"rows": rows, "bad": dict(bad), "problems": list(problems), "left": list(self.left)}
        return {self.signature: record | {name: value for name, value in further.items() if value}}


def complete_imports(imports: Imports, fingerprints: Mapping[date, str]) -> Iterator[CompleteImport]:
    """The imports of a footer whose sessions are all unchanged."""
    for signature, record in imports.items():
        known = {day: fingerprints.get(day, "") for day in _days_of(record)}
        if _digest(known) == record["bars"]:
            left = tuple(record.get("left", ()))
            yield CompleteImport(signature, record["symbols"], min(known), max(known), left, _rejections(record))


def imported_days(imports: Imports) -> set[date]:
    """The sessions that the imports of a footer brought bars of."""
    return {day for record in imports.values() for day in _days_of(record)}


def _days_of(record: Mapping[str, Any]) -> list[date]:
    """The sessions of a record, in order."""
    first, days = date.fromisoformat(record["first"]), int(record["days"], 16)
    return [first + timedelta(days=number) for number in range(days.bit_length()) if days >> number & 1]


def _rejections(record: Mapping[str, Any]) -> Rejections:
    """The rejections of a record; those of earlier versions have none."""
    return Rejections(
        record.get("rows", 0),
        tuple(record.get("bad", {}).items()),
        tuple(record.get("problems", ())),
    )


def _digest(fingerprints: Mapping[date, str]) -> str:
    text = "\n".join(f"{day} {fingerprints[day]}" for day in sorted(fingerprints))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
