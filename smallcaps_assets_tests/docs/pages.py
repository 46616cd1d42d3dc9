"""The documents of the repository: their fenced blocks, links and headings."""

import re
from typing import Final, NamedTuple

from smallcaps_assets_tests.repository import REPOSITORY

README: Final = REPOSITORY / "README.md"
PAGES: Final = (
    README,
    REPOSITORY / "CHANGELOG.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "deploy").rglob("*.md")),
)
# pages whose blocks are run; those of deploy/ need servers that tests do not install
EXECUTED: Final = tuple(page for page in PAGES if REPOSITORY / "deploy" not in page.parents)

_FENCE: Final = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_LINK: Final = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (?P<text>.*)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block and its place."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(page: object) -> str:
    """The path of a page inside the repository."""
    return str(page).removeprefix(f"{REPOSITORY}/").replace("\\", "/")


def blocks() -> list[Block]:
    """Every fenced block of the pages that are run, in order."""
    found = []
    for page in EXECUTED:
        text = page.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            indent = match["indent"]
            lines = [line.removeprefix(indent) for line in match["text"].splitlines()]
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(name_of(page), line, match["language"], "\n".join(lines)))
    return found


def commands() -> list[tuple[str, str]]:
    """Every command of a `sh` block with its place; those joined by `&&` are several."""
    return [
        (block.place, command)
        for block in blocks()
        if block.language == "sh"
        for line in block.text.splitlines()
        for command in line.split(" && ")
        if command
    ]


def links(text: str) -> list[str]:
    """Targets of all links and images outside of code."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))
    return [match["target"] for match in _LINK.finditer(prose)]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = [match["text"] for match in _HEADING.finditer(_FENCE.sub("", text))]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def inline_code(text: str) -> list[str]:
    """The code in the prose of a page."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
