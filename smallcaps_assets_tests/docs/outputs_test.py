"""Output that documents quote equals the output of the product."""

import ast
import re

import pytest

from smallcaps_assets_tests.docs.pages import blocks
from smallcaps_assets_tests.docs.shell import Shell
from smallcaps_assets_tests.repository import REPOSITORY

# lines of examples, which may differ from the output in numbers only: page, start of the line, command
EXAMPLES = [
    ("docs/imports.md", "expected:", "smallcaps coverage"),
    ("docs/imports.md", "symbols:", "smallcaps coverage"),
    ("docs/imports.md", "sessions:", "smallcaps coverage"),
    ("docs/lake.md", "  minute bars", "smallcaps verify"),
    ("docs/lake.md", "  ledgers", "smallcaps verify"),
    ("docs/lake.md", "profile core:", "smallcaps verify"),
    ("docs/review.md", "review of", "smallcaps review core_20251202_031500_labels.json"),
    ("docs/research.md", "  ends", "smallcaps labels --profile core --spec 15,1,1"),
    ("docs/research.md", "  costs", "smallcaps labels --profile core --spec 15,1,1"),
    (
        "docs/experiments.md",
        "  outcomes",
        (
            "smallcaps detect --set detectors.volume_spike.regular.min_spike_x=5 --compare lake/events/master.parquet "
            "--outcomes"
        ),
    ),
    (
        "docs/experiments.md",
        "  events",
        "smallcaps detect --config lower.yaml --compare config/config.yaml --gained gained.parquet",
    ),
    (
        "docs/experiments.md",
        "  by session",
        "smallcaps detect --config lower.yaml --compare config/config.yaml --gained gained.parquet",
    ),
    (
        "docs/experiments.md",
        "  selected for",
        "smallcaps detect --config lower.yaml --compare config/config.yaml --gained gained.parquet",
    ),
]
# pages that quote messages, between double quotes
QUOTING = ("docs/faults.md", "docs/recovery.md")
OF_DAGSTER = ("Run execution process", "unexpectedly exited", "Execution was interrupted unexpectedly")


def skeleton(line: str) -> str:
    """A line without its numbers, dates and spaces."""
    return re.sub(r"[-+]?\d[\d.,:_-]*", "#", " ".join(line.split()))


@pytest.mark.parametrize(("page", "begins", "command"), EXAMPLES)
def test_an_example_of_an_output_differs_in_numbers_only(
    page: str, begins: str, command: str, demo_shell: Shell
) -> None:
    lines = [
        line for block in blocks() if (block.page, block.language) == (page, "text") for line in block.text.splitlines()
    ]
    (example,) = [skeleton(line) for line in lines if line.startswith(begins)]
    assert example in map(skeleton, demo_shell.run(command).splitlines())


def texts_of_the_product() -> str:
    """Every text of the sources; inserted values become line breaks."""
    texts = []
    for file in (REPOSITORY / "smallcaps_assets").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\n" for part in node.values]
                texts.append("".join(map(str, parts)))
    return "\n".join(texts)


@pytest.mark.parametrize("page", QUOTING)
def test_every_quoted_message_is_one_of_the_product(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    quoted = re.findall(r'"([^"\n]+)"', prose)
    # the text between the values of a message
    pieces = {
        piece.strip() for quote in quoted for piece in re.split(r"…|HTTP|\d+(?: s\b)?", quote) if len(piece.split()) > 1
    }
    known = texts_of_the_product()
    assert pieces
    assert {piece for piece in pieces if piece not in known} - set(OF_DAGSTER) == set()
