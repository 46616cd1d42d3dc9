"""Whether two rows of the vendor's lists under one ticker are of the same security."""

import re
from typing import Final, NamedTuple

_SPELLING: Final = re.compile(r"[^a-z0-9]+")


class Identity(NamedTuple):
    """What identifies a security; None where it is not known. In the order in which it counts."""

    share_class_figi: str | None
    composite_figi: str | None
    cik: str | None
    name: str | None


def is_same_security(known: Identity, row: Identity, *, was_absent: bool) -> bool:
    """Whether `row` is of the security of which `known` is known.

    The first of share class FIGI, composite FIGI and CIK that both have decides. Where they have none in common, they
    are the same as long as the ticker was never absent between them, even if their names differ: a company that changes
    its name is more frequent than one that hands over its ticker within a day. After an absence equal names decide.
    Two doubts remain. Of two securities without a common number the second is taken for the first where the ticker was
    not seen absent between them. And a security whose FIGI or CIK the vendor corrects is taken for two.

    Args:
        known: what is known of the security from all its rows so far.
        row: the next row of the ticker.
        was_absent: whether the ticker was not listed at some time between them.
    """
    for mine, other in zip(known[:3], row[:3], strict=True):
        if mine is not None and other is not None:
            return mine == other
    return not was_absent or spell(known.name) == spell(row.name)


def rests_on_name(known: Identity, row: Identity) -> bool:
    """Whether two rows have neither a FIGI nor a CIK in common, and differ in their names."""
    numbers = zip(known[:3], row[:3], strict=True)
    return all(mine is None or other is None for mine, other in numbers) and spell(known.name) != spell(row.name)


def learn(known: Identity, row: Identity) -> Identity:
    """What is known of a security after one more row: a number once given holds until another is given."""
    return Identity(*(mine if other is None else other for mine, other in zip(known, row, strict=True)))


def spell(name: str | None) -> str:
    """A name without capitals, spaces and punctuation, which vary between the lists."""
    return _SPELLING.sub("", (name or "").casefold())
