"""Public names: each has one meaning in the whole package, and none uses a word that the glossary replaces."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import smallcaps_assets

ROOT = Path(smallcaps_assets.__file__).parent

# names that several modules define on purpose, and why
SHARED: Final[Mapping[str, str]] = {
    "run": "every command module has one: `run(arguments)` returns the exit code",
    "add_flags": "every command module has one: `add_flags(parser)` declares its flags",
    "NEEDS": "every command module has one: what the command needs, for its help",
    "EXAMPLE": "every command module has one: a command line that works, for its help",
    "build_assets": "every module of defs/assets has one: `build_assets(settings)` returns the assets of its subject",
}
# keys of config.yaml, which users' files contain
KEYS_OF_SETTINGS: Final = frozenset({"laid_over"})
# words that docs/glossary.md replaces, as parts of names
BANNED: Final = frozenset(
    {"told", "said", "unsaid", "unasked", "adopt", "adopted", "adopts", "adoption", "foreign", "artefact", "artefacts"}
    | {"stretch", "alone", "lacking", "laid"}
)


def definitions(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines at its top level."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def names(tree: ast.Module) -> Iterator[str]:
    """Every name that a module gives to something: functions, classes, parameters, variables, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def words(name: str) -> set[str]:
    """The words of a name, in lower case: `first_lines` and `FirstLines` have `first` and `lines`."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]+", name)}


FILES = [file.relative_to(ROOT).as_posix() for file in sorted(ROOT.rglob("*.py"))]


@cache
def parse(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def test_a_public_name_has_one_meaning() -> None:
    where = defaultdict(list)
    for file in FILES:
        for name in definitions(parse(file)):
            if not name.startswith("_") and name not in SHARED:
                where[name].append(file)
    assert {name: files for name, files in where.items() if len(files) > 1} == {}


@pytest.mark.parametrize("file", FILES)
def test_names_use_the_words_of_the_glossary(file: str) -> None:
    assert sorted({name for name in names(parse(file)) if words(name) & BANNED} - KEYS_OF_SETTINGS) == []


def test_words_of_names() -> None:
    assert words("_HTTPError_of_firstLines2") == {"http", "error", "of", "first", "lines"}
