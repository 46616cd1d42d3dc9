"""What a month file remembers of imports, so that the same files are not read again while what they brought is here."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

# the entry of a footer's provenance; by signature of the files that were imported
IMPORTS: Final = "imports"
Imports = dict[str, dict[str, Any]]


class Held(NamedTuple):
    """An import whose bars of a symbol are all still here: how many symbols it was of, its first and last session.

    `left` are the numbers of its files that could not be read.
    """

    signature: str
    symbols: int
    first: date
    last: date
    left: tuple[int, ...] = ()


@dataclass(frozen=True)
class Adoption:
    """An import of one symbol's bars that is about to end.

    `signature` is that of the files and of what was made of them. `of` is how many symbols it was of, told by the last
    of them; 0 with the others. `before` are the fingerprints of the sessions that were merged so far. The last month to
    be merged remembers it. `left` are the numbers of its files that could not be read.
    """

    signature: str
    of: int
    before: Mapping[date, str]
    left: tuple[int, ...] = ()

    def ended(self, own: Mapping[date, str]) -> Imports:
        """What to remember, with the last sessions merged: which sessions it was, and what their bars were then."""
        marks = {**self.before, **own}
        first = min(marks)
        days = sum(1 << (day - first).days for day in marks)
        said = {"first": f"{first}", "days": f"{days:x}", "bars": _digest(marks), "symbols": self.of}
        return {self.signature: said | ({"left": list(self.left)} if self.left else {})}


def held(imports: Imports, marks: Mapping[date, str]) -> Iterator[Held]:
    """The imports of a footer all of whose sessions are as they were."""
    for signature, said in imports.items():
        first, days = date.fromisoformat(said["first"]), int(said["days"], 16)
        numbers = [number for number in range(days.bit_length()) if days >> number & 1]
        known = {day: marks.get(day, "") for day in (first + timedelta(days=number) for number in numbers)}
        if _digest(known) == said["bars"]:
            yield Held(signature, said["symbols"], first, max(known), tuple(said.get("left", ())))


def _digest(marks: Mapping[date, str]) -> str:
    text = "\n".join(f"{day} {marks[day]}" for day in sorted(marks))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
