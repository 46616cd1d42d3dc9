"""Packages depend on each other in one direction only; lint rules cannot check that for our packages."""

import ast
import sys
from pathlib import Path

import pytest

import smallcaps_assets

ROOT = Path(smallcaps_assets.__file__).parent

# packages of ours that a package may import; all may import `errors`
MAY_IMPORT = {
    "domain": {"domain"},
    "settings": {"settings", "domain"},
    "runtime": {"runtime"},
    "market_data": {"market_data", "domain"},
    "lake": {"lake", "runtime", "domain"},
    "simulated": {"simulated", "domain.tables", "runtime.user_files", "runtime.json_texts"},
    "pipeline": {
        *("pipeline", "lake", "market_data", "domain", "settings", "simulated"),
        *("runtime.user_files", "runtime.system_errors", "runtime.long_paths", "runtime.databases"),
    },
    "defs": {
        "defs",
        "pipeline",
        "lake",
        "runtime",
        "domain",
        "settings",
        "market_data.client",
        "market_data.flat_files",
    },
    "definitions": {"defs", "settings"},
    "commands": {
        "commands",
        "definitions",
        "defs",
        "pipeline",
        "lake",
        "runtime",
        "market_data",
        "domain",
        "settings",
        "simulated",
    },
    "research": {"research", "lake", "domain", "settings"},
    "cli": {"commands.command_parser", "commands.console", "runtime.system_errors"},
    "errors": set(),
}
# NumPy for arithmetic only
PURE = {"polars", "pydantic", "numpy"}


def imports(file: Path) -> set[str]:
    """Every module that a file imports, at any level."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def package_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = [file for file in sorted(ROOT.rglob("*.py")) if file.name != "__init__.py" or file.parent.name == "detectors"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_a_package_imports_only_packages_below_it(file: Path) -> None:
    allowed = MAY_IMPORT[package_of(file)] | {"errors"}
    ours = {name.removeprefix("smallcaps_assets.") for name in imports(file) if name.startswith("smallcaps_assets.")}
    assert not {name for name in ours if not any(name == one or name.startswith(f"{one}.") for one in allowed)}


@pytest.mark.parametrize("file", sorted((ROOT / "domain").rglob("*.py")), ids=lambda file: file.stem)
def test_the_domain_is_pure(file: Path) -> None:
    roots = {name.split(".")[0] for name in imports(file)} - {"smallcaps_assets"}
    outside = {name for name in roots if name not in PURE and name not in sys.stdlib_module_names}
    assert not outside
    assert not roots & {"os", "pathlib", "io", "socket", "urllib", "time", "subprocess", "threading"}
