"""Rows of a tape or a book: selected by a mask, merged by time."""

from dataclasses import fields
from typing import TypeVar

import numpy as np

from smallcaps_assets.simulated.market.book import Book
from smallcaps_assets.simulated.market.noise import Ints
from smallcaps_assets.simulated.market.sketch import Bools
from smallcaps_assets.simulated.market.tape import Tape

_Rows = TypeVar("_Rows", Tape, Book)


def take_rows(rows: _Rows, chosen: Ints | Bools) -> _Rows:
    """The chosen rows, by number or mask; every array must have a value for each row."""
    return type(rows)(**{field.name: getattr(rows, field.name)[chosen] for field in fields(rows)})


def merge_rows(rows: _Rows, more: _Rows) -> tuple[_Rows, Ints]:
    """The rows of both by time, at equal times those of `rows` first, and the numbers of the rows in that order."""
    order = np.argsort(np.concatenate((rows.timestamp, more.timestamp)), kind="stable")
    both = {
        field.name: np.concatenate((getattr(rows, field.name), getattr(more, field.name))) for field in fields(rows)
    }
    return take_rows(type(rows)(**both), order), order
