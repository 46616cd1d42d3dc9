"""What the columns of the research table of a profile mean, for the catalog."""

from collections.abc import Iterator, Mapping
from typing import Final

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.research.tables.bar_descriptions import BAR_TEXTS, SCORE_TEXTS
from smallcaps_assets.domain.research.tables.cohort_tables import WAS_WINNING_TEXTS
from smallcaps_assets.domain.research.tables.tape_descriptions import MICRO_TEXTS, TAPE_STATE_TEXTS

_SEGMENTS: Final = {
    "pre3": "Three minutes before the event",
    "pre_all": "Window before the event",
    "bar": "Minute of the event",
}


def _table_texts() -> Iterator[tuple[str, str]]:
    yield from BAR_TEXTS.items()
    yield from SCORE_TEXTS.items()
    yield from {name: COLUMNS[name] for name in ("direction", "session")}.items()
    for segment, words in _SEGMENTS.items():
        for name, text in MICRO_TEXTS.items():
            yield f"{name}_{segment}", f"{words}: {text[:1].lower()}{text[1:]}"
    yield from TAPE_STATE_TEXTS.items()
    yield "cohort_was_winning", WAS_WINNING_TEXTS["cohort_was_winning"]


TABLE_TEXTS: Final[Mapping[str, str]] = dict(_table_texts())
