"""The documents as text: links resolve, the README is short, cited sections exist, the version has its changes."""

import re
import tomllib

import pytest

from smallcaps_assets_tests.docs.pages import PAGES, README, anchors, blocks, links, name_of
from smallcaps_assets_tests.repository import REPOSITORY

LANGUAGES = {"sh", "text", "yaml", "python", "json", "mermaid"}
_NUMBER = r"\d+(?:\.\d+)?"
_CITED = re.compile(
    r"(?:(?P<before>research\s+specification,?\s+)(?:sections?\s+)?|\bsections?\s+)"
    rf"(?P<numbers>{_NUMBER}(?:(?:,\s+|\s+to\s+|\s+and\s+){_NUMBER})*)"
    r"(?P<after>\s+of\s+the\s+research\s+specification)?"
)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_and_image_resolves(page):
    broken = []
    for target in links(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        place = page.parent / path if path else page
        if not place.exists() or (anchor and anchor not in anchors(place.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def test_every_page_of_docs_is_linked_from_the_index_or_the_decisions():
    linked = {
        (REPOSITORY / "docs" / folder / target.partition("#")[0]).resolve()
        for folder, page in (("", "index.md"), ("decisions", "index.md"))
        for target in links((REPOSITORY / "docs" / folder / page).read_text(encoding="utf-8"))
    }
    pages = {page.resolve() for page in PAGES if REPOSITORY / "docs" in page.parents}
    assert pages - linked == {REPOSITORY / "docs" / "index.md"}


def test_every_image_is_shown_somewhere():
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page.read_text(encoding="utf-8"))}
    assert set((REPOSITORY / "docs" / "images").iterdir()) <= shown


def test_the_readme_is_short():
    assert README.stat().st_size <= 8_192


def test_every_block_names_its_language():
    assert [block.place for block in blocks() if block.language not in LANGUAGES] == []


def _cited_sections() -> dict[str, dict[str, str]]:
    """By page, the sections that code and tests cite, each with a file that does; without a page: the specification."""
    cited: dict[str, dict[str, str]] = {"specification.md": {}, "research-specification.md": {}}
    for folder in ("smallcaps_assets", "smallcaps_assets_tests"):
        for file in (REPOSITORY / folder).rglob("*.py"):
            for match in _CITED.finditer(file.read_text(encoding="utf-8")):
                page = "research-specification.md" if match["before"] or match["after"] else "specification.md"
                cited[page] |= dict.fromkeys(re.findall(_NUMBER, match["numbers"]), name_of(file))
    return cited


@pytest.mark.parametrize(
    ("page", "some"),
    [
        ("specification.md", {"1", "2", "3.4", "4", "5", "6", "7"}),
        ("research-specification.md", {"0.5", "1.3", "1.10", "1.11", "1.12", "2", "3.5", "5.3", "8"}),
    ],
)
def test_every_section_cited_in_the_code_exists(page, some):
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    numbers = set(re.findall(rf"^#+ ({_NUMBER})\.? ", text, re.MULTILINE))
    cited = _cited_sections()[page]
    assert some <= cited.keys()
    assert {number: file for number, file in cited.items() if number not in numbers} == {}


def test_the_changelog_has_the_version_of_the_package():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(project['version'])}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE)
    assert (REPOSITORY / project["license-files"][0]).read_text(encoding="utf-8").startswith(f"{project['license']} ")


def test_ci_runs_the_commands_of_the_readme():
    run = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    install, tests = re.search(
        r"^(python -m pip install -e \".\[dev\]\") && (pytest .*)$", README.read_text(), re.MULTILINE
    ).groups()
    assert install.replace("install", "install -q") in run
    assert f" {tests}\n" in run


def test_every_benchmark_is_listed():
    page = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    scripts = (REPOSITORY / "benchmarks").glob("*.py")
    named = set(re.findall(r"^\| `(\w+\.py)` \|", page, re.MULTILINE))
    assert named == {file.name for file in scripts if "__main__" in file.read_text(encoding="utf-8")}
