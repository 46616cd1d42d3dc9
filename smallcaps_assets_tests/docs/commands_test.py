"""Documents are executed: every command, every Python block, all settings and fault scripts that they print."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets.simulated.protocol.faults import fault_script
from smallcaps_assets_tests.demo.conftest import Home
from smallcaps_assets_tests.docs.conftest import write_old_tape
from smallcaps_assets_tests.docs.pages import EXECUTED, Block, blocks, commands, inline_code, name_of
from smallcaps_assets_tests.docs.shell import Shell
from smallcaps_assets_tests.free_ports import free_port
from smallcaps_assets_tests.repository import REPOSITORY

BLOCKS = blocks()
CI = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
Fixtures = Callable[[str], Shell]


def installs(command: str, shells: Fixtures) -> None:  # noqa: ARG001
    """CI does it in a fresh environment, with the same words except `-q`; the extra `dev` includes all others."""
    assert command in {"python -m pip install -e .", 'python -m pip install -e ".[dev]"'}
    assert 'python -m pip install -q -e ".[dev]"' in CI


def runs_the_tests(command: str, shells: Fixtures) -> None:  # noqa: ARG001
    assert f"SMALLCAPS_REQUIRE_BROWSER=1 {command}\n" in CI


def on_the_demo(command: str, shells: Fixtures) -> None:
    assert shells("demo_shell").run(command)


def demo_again(command: str, shells: Fixtures) -> None:
    """On its earlier lake: nothing is fetched, and no byte changes."""
    shell = shells("demo_shell")
    before = Home(shell.folder).bytes_of_lake()
    assert ": 0 requests, 0 retries in " in shell.run(command)
    assert Home(shell.folder).bytes_of_lake() == before


def web_ui(command: str, shells: Fixtures) -> None:
    assert "dagster" in shells("demo_shell").serve(command).lower()


def exchange(command: str, shells: Fixtures) -> None:
    """It answers; with a fault if the command configures faults."""
    assert '"request_id"' in shells("demo_shell").serve(command, "/v3/reference/tickers?apiKey=any")


def imports_in_order(command: str, shells: Fixtures) -> None:
    """All commands of the page up to this one, in order."""
    shell = shells("import_shell")
    for _, other in commands():
        if other.startswith("smallcaps import windows") and not (shell.folder / "old_tape").exists():
            write_old_tape(shell)
        if IMPORTS.match(other):
            assert shell.run(other)
        if other == command:
            return


def at_the_vendor(command: str, shells: Fixtures) -> None:
    """With a key, on the lake of the imports; the exchange on this machine stands in for the vendor."""
    windows = next(other for _, other in commands() if other.startswith("smallcaps import windows"))
    imports_in_order(windows, shells)
    assert shells("import_shell").run(command)


def check_before_the_start(command: str, shells: Fixtures) -> None:
    """With a key, at the exchange on this machine, on a port that is free."""
    printed = shells("import_shell").run(f"{command} --port {free_port()}")
    assert printed.splitlines()[-1] == "ready"


def exchange_with_a_key(command: str, shells: Fixtures) -> None:
    """It demands the key of the environment."""
    assert "Unknown API Key" in shells("import_shell").serve(command, "/v3/reference/tickers?apiKey=another")


def backup_in_order(command: str, shells: Fixtures) -> None:
    """All commands of the page up to this one, in order, on the lake of the demo, which they do not change."""
    shell = shells("demo_shell")
    for _, other in commands():
        if other.startswith(("smallcaps backup ", "smallcaps restore ")):
            assert shell.run(other)
        if other == command:
            break
    # a copy that other commands would name
    shutil.rmtree(shell.folder / "restored", ignore_errors=True)


IMPORTS = re.compile(r"smallcaps import |smallcaps manifest --master lake/events/adopted\.parquet ")
# the first matching pattern decides how a command is run; a command without a match fails
RULES: tuple[tuple[str, Callable[[str, Fixtures], None]], ...] = (
    (r"python -m pip install ", installs),
    (r"pytest ", runs_the_tests),
    (r"smallcaps demo$", demo_again),
    (r"smallcaps ui( |$)", web_ui),
    (r"smallcaps exchange --truth ", on_the_demo),
    (r"smallcaps exchange .*--require-key", exchange_with_a_key),
    (r"smallcaps exchange ", exchange),
    (r"smallcaps doctor$", on_the_demo),
    (r"smallcaps check$", check_before_the_start),
    (IMPORTS.pattern, imports_in_order),
    (r"smallcaps plan .*--check", at_the_vendor),
    (r"smallcaps (status|coverage|listings|verify|plan|audit|review|event|detect|manifest|research)( |$)", on_the_demo),
    (r"smallcaps (labels|cohorts) ", on_the_demo),
    (r"smallcaps (backup|restore) ", backup_in_order),
)


@pytest.fixture
def shells(request: pytest.FixtureRequest) -> Fixtures:
    """Folders to run commands in, each created on first use."""

    def shell(name: str) -> Shell:
        found = request.getfixturevalue(name)
        assert isinstance(found, Shell)
        return found

    return shell


@pytest.mark.parametrize(("place", "command"), commands(), ids=lambda value: value)
def test_every_command_works(place: str, command: str, shells: Fixtures) -> None:
    tried = [rule for pattern, rule in RULES if re.match(pattern, command)]
    assert tried, f"{place}: no rule says how to try `{command}`"
    tried[0](command, shells)


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.language == "python"], ids=lambda block: block.place)
def test_every_python_block_runs_on_the_demo(block: Block, demo_shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo_shell.folder)
    monkeypatch.setenv("SMALLCAPS_HOME", str(demo_shell.folder))
    names: dict[str, object] = {}
    exec(compile(block.text, block.place, "exec"), names)  # noqa: S102 -- a document of this repository
    made = {"trades", "quotes", "bars", "strongest", "controls", "by_type", "best", "results"}
    frames = [value for name, value in names.items() if name in made]
    assert frames
    assert all(len(frame) for frame in frames)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.language == "yaml"], ids=lambda block: block.place)
def test_every_yaml_block_is_an_override_of_the_settings(block: Block) -> None:
    plain = load_settings(REPOSITORY / "config" / "config.yaml", {})
    assert load_settings(REPOSITORY / "config" / "config.yaml", yaml.safe_load(block.text)) != plain


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.language == "json"], ids=lambda block: block.place)
def test_every_json_block_is_a_fault_script(block: Block) -> None:
    assert fault_script(block.text)


# of rclone and restic, in the recipe for a bucket
OF_BUCKETS = {"--exclude", "--size-only", "--fast-list", "--transfers", "--target"}
# of `juicefs mount`, which mounts a shared lake
OF_JUICEFS = {
    "--attr-cache",
    "--dir-entry-cache",
    "--entry-cache",
    "--negative-entry-cache",
    "--open-cache",
    "--readdir-cache",
    "--writeback",
}


@pytest.mark.parametrize("page", EXECUTED, ids=name_of)
def test_every_flag_in_the_text_exists(page: Path) -> None:
    sources = [
        file for folder in ("smallcaps_assets/commands", "benchmarks") for file in (REPOSITORY / folder).rglob("*.py")
    ]
    known = set(re.findall(r'"(--[a-z-]+)"', "".join(file.read_text(encoding="utf-8") for file in sources)))
    code = inline_code(page.read_text(encoding="utf-8"))
    named = {flag for text in code for flag in re.findall(r"(?<!\w)--[a-z][a-z-]*", text)}
    assert named - known - OF_JUICEFS - OF_BUCKETS - {"--dist", "--help"} == set()
