"""YAML texts of settings: their values, and the line of each key."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import yaml

# A setting as a path of names, and of positions in lists.
Place = tuple[str | int, ...]

_TAB: Final = "a line begins with a tab: indent with spaces"
_REMEDY: Final = "check the brackets, quotes and indentation there and in the line before"


class Document(NamedTuple):
    """What a text holds, for reading only, and the number of the line of each key and list item, from 1."""

    content: Any
    lines: Mapping[Place, int]


class DocumentError(ValueError):
    """A text is not YAML, or sets a key twice; the message has the line."""


@lru_cache(maxsize=8)
def parse_document(text: str) -> Document:
    """Parse a YAML text; cached, because a command reads its settings more than once.

    Raises:
        DocumentError: the text is not YAML, or sets a key twice.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines = dict(_lines(node, ())) if node is not None else {}
        return Document(None if node is None else loader.construct_document(node), lines)
    except yaml.YAMLError as error:
        raise DocumentError(_explain(error)) from error
    finally:
        loader.dispose()


def _lines(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first:
                raise DocumentError(
                    f"line {line}: {'.'.join(map(str, (*place, name)))} is set again, after line {first[name]}. "
                    "Remove one of the two."
                )
            first[name] = line
            yield (*place, name), line
            yield from _lines(value, (*place, name))
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield (*place, position), item.start_mark.line + 1
            yield from _lines(item, (*place, position))


def _explain(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    if mark is None:
        return " ".join(problem.split())
    if "'\\t'" in problem:
        return f"line {mark.line + 1}: {_TAB}."
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}; {_REMEDY}."
