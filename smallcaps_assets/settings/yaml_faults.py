"""What PyYAML finds wrong with a text, in the words of people who write settings: what, where, and the remedy."""

import re
from collections.abc import Mapping
from typing import Final

import yaml

_REMEDY: Final = "check the brackets, quotes and indentation there and in the line before"
_MOST_PROBLEM: Final = 200
_TAB: Final = re.compile(r"'\\t'")

# PyYAML's problem (a regular expression), and what it means; {} is the line where what is unfinished begins
_FAULTS: Final[Mapping[str, str]] = {
    r"mapping values are not allowed": (
        "a colon where none belongs: put a value with a colon in quotes, or correct the indentation"
    ),
    r"could not find expected ':'": "a key without its colon, which begins in line {}: write `key: value`",
    r"sequence entries are not allowed": (
        "a list item (-) where none belongs: give each a line of its own, all indented alike"
    ),
    r"found unexpected end of stream": "a quote that is opened in line {} is not closed: close it",
    r"(unknown escape character|expected escape sequence)": (
        "a backslash in double quotes begins an escape: use single quotes"
    ),
    r"that cannot start any token": "a value may not begin with this character: put it in quotes",
    r"expected ',' or '\]'": "a list that is opened with [ in line {} is not closed, or lacks a comma: correct it",
    r"expected ',' or '\}'": (
        "a section that is opened with {{ in line {} is not closed, or lacks a comma: correct it"
    ),
    r"expected the node content, but found '<stream end>'": (
        "the text ends where a value belongs: close the brackets that are open"
    ),
    r"expected the node content": "a value is missing: write it, or null",
    r"expected <block end>, but found '<(block mapping start|block sequence start|-|block entry)": (
        "this line is indented otherwise than those of the section that begins in line {}: indent them alike"
    ),
    r"expected <block end>, but found": (
        "text follows a value that has ended: correct the quotes or brackets there or above, in the "
        "section that begins in line {}"
    ),
    r"found undefined alias": "*name repeats a value that no &name marks: put it in quotes if it is text",
    r"found duplicate anchor": "&name marks a second value: give it another name",
    r"(found another document|expected '<document start>')": (
        "settings are one document: remove what follows its end, or correct the indentation"
    ),
    r"(expected alphabetic or numeric character|unexpected character)": (
        "& and * begin names of values: put the value in quotes if it is text"
    ),
    r"(expected a comment or a line break|chomping or indentation)": (
        "| and > begin text of several lines: put the value in quotes"
    ),
    r"found unhashable key": "a list or section cannot be a key: put it in quotes",
    r"expected a mapping": "<< takes a section: write *name of one",
}


def explain_fault(error: yaml.YAMLError) -> str:
    """One sentence without a period: line, column, what is wrong, remedy."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    if mark is None:
        return " ".join(problem.split())
    if _TAB.search(problem):
        return f"line {mark.line + 1}: a line begins with a tab: indent with spaces"
    begin = getattr(error, "context_mark", None) or mark
    words = next((words for pattern, words in _FAULTS.items() if re.search(pattern, problem)), None)
    where = f"line {mark.line + 1}, column {mark.column + 1}"
    if words is None:
        return f"{where}: {problem[:_MOST_PROBLEM]}; {_REMEDY}"
    return f"{where}: {words.format(begin.line + 1)}"
