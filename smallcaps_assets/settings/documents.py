"""YAML texts of settings: their values, and the line of each key.

PyYAML's safe loader, with what a settings file needs beyond it: a text can take neither minutes nor all memory
(limits of size, depth and repetition by aliases), 16:00 is text and not 960, 0100 is not 64, and every fault is one
sentence with its line.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from smallcaps_assets.settings.yaml_faults import explain_fault

# A setting as a path of names, and of positions in lists.
Place = tuple[str | int, ...]

# The settings that come with the product take 18 kB and 5 levels; a list of symbols may be long.
_MOST_BYTES: Final = 1_000_000
_MOST_LEVELS: Final = 40
_MOST_VALUES: Final = 100_000
_LARGEST_INTEGER: Final = 2**53  # beyond it not every integer is a float
_MOST_SHOWN: Final = 40
_HALF_CHARACTER: Final = re.compile("[\\ud800-\\udfff]")

_FEWER: Final = "No settings need so many: write it more simply."
_INTEGER: Final = "tag:yaml.org,2002:int"
_NUMBER: Final = "tag:yaml.org,2002:float"
# without the numbers to the base 8 and 60 of YAML 1.1, which nobody means
_DECIMAL: Final = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$")
_FRACTION: Final = re.compile(
    r"^[-+]?(?:[0-9][0-9_]*)?\.[0-9_]*(?:[eE][-+][0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
)


class Document(NamedTuple):
    """What a text holds, for reading only, and the number of the line of each key and list item, from 1."""

    content: Any
    lines: Mapping[Place, int]


class DocumentError(ValueError):
    """A text is not YAML, too large, or sets a key twice; the message has the line."""


class _Loader(yaml.SafeLoader):
    """Rejects tags, long chains of brackets, and aliases that multiply; numbers are decimal."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._levels = 0
        # values in each node, those of aliases counted wherever they are used
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 -- PyYAML's
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) not in (None, "!"):
            raise DocumentError(f"line {line}: {_tag(event.tag)} is a YAML tag, and settings have none. Remove it.")
        if self._levels == _MOST_LEVELS:
            raise DocumentError(f"line {line}: more than {_MOST_LEVELS} levels of brackets or indentation. {_FEWER}")
        self._levels += 1
        node = super().compose_node(parent, index)
        self._levels -= 1
        if node is None:
            return None
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise DocumentError(
                    f"line {line}: *{_shorten(str(event.anchor))} stands inside of what it repeats. Remove it."
                )
        else:
            self._sizes[node] = 1 + sum(self._sizes[child] for child in _children(node))
        if self._sizes[node] > _MOST_VALUES:
            raise DocumentError(
                f"line {line}: more than {_MOST_VALUES:,} values, counting what aliases (*name) repeat. {_FEWER}"
            )
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 -- PyYAML's
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            if isinstance(error, DocumentError):
                raise
            raise _wrong_scalar(node, "a number or date that exists") from error
        if isinstance(value, str) and (half := _HALF_CHARACTER.search(value)):
            raise DocumentError(
                f"line {node.start_mark.line + 1}: has half of a character ({half[0]!r}). Write the whole character."
            )
        if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
            raise _wrong_scalar(node, f"a number up to {_LARGEST_INTEGER:,}")
        return value


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INTEGER, _NUMBER)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INTEGER, _DECIMAL, list("-+0123456789"))
_Loader.add_implicit_resolver(_NUMBER, _FRACTION, list("-+0123456789."))


def read_text(file: Path) -> str:
    """The text of a UTF-8 file of settings, with or without a byte order mark.

    Raises:
        OSError: it cannot be read.
        DocumentError: it is too large, or other text than UTF-8.
    """
    with file.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DocumentError(f"has more than {_MOST_BYTES:,} bytes, which no settings need. Give the right file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DocumentError(f"line {line}: is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error


@lru_cache(maxsize=8)
def parse_document(text: str) -> Document:
    """Parse a YAML text; cached, because a command reads its settings more than once.

    Raises:
        DocumentError: the text is not YAML, too large, or sets a key twice.
    """
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DocumentError(f"line {line}: has the character {text[error.position]!r}. Remove it.") from error
    try:
        node = loader.get_single_node()
        lines = dict(_lines(node, ())) if node is not None else {}
        return Document(None if node is None else loader.construct_document(node), lines)
    except yaml.YAMLError as error:
        raise DocumentError(f"{explain_fault(error)}.") from error
    finally:
        loader.dispose()


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _wrong_scalar(node: yaml.Node, wanted: str) -> DocumentError:
    line, text = node.start_mark.line + 1, _shorten(str(node.value))
    return DocumentError(f"line {line}: {text} is not {wanted}. Correct it, or put it in quotes if it is text.")


def _shorten(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _tag(tag: str) -> str:
    """A tag as it is usually written."""
    return _shorten(tag.replace("tag:yaml.org,2002:", "!!", 1))


def _lines(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):  # the constructor rejects it
                continue
            name, line = str(key.value), key.start_mark.line + 1
            if name in first:
                key_path = ".".join(_shorten(str(part)) for part in (*place, name))
                raise DocumentError(
                    f"line {line}: {key_path} is set again, after line {first[name]}. Remove one of the two."
                )
            first[name] = line
            yield (*place, name), line
            yield from _lines(value, (*place, name))
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield (*place, position), item.start_mark.line + 1
            yield from _lines(item, (*place, position))
