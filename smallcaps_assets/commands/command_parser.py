"""A command's argument parser, which imports the command's module only when that command is parsed.

`smallcaps --help` lists every command without importing Dagster (about 1 s) or Polars.
"""

import textwrap
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_PACKAGE: Final = "smallcaps_assets.commands"
_WIDTH: Final = 100


class CommandParser(ArgumentParser):
    """Parses one command. Its module provides `NEEDS`, `EXAMPLE`, `add_flags(parser)` and `run(arguments)`.

    A module that only groups further commands, such as `smallcaps import`, calls `add_commands` in `add_flags` and has
    no `run`.
    """

    def __init__(self, *, module: str | None = None, **options: Any) -> None:  # noqa: ANN401 -- ArgumentParser's
        """`module` is relative to `smallcaps_assets.commands`; without one the parser is an ordinary one."""
        # `--symbol` is a flag of `coverage`; elsewhere it must not pass for `--symbols`
        super().__init__(formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False, **options)
        self._module = module

    # argparse declares overloads for namespaces of other classes
    def parse_known_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: Any = None,  # noqa: ANN401
    ) -> tuple[Any, list[str]]:
        """Parse as argparse does; the first time, import the module of the command and add its flags."""
        if self._module is not None:
            module, self._module = import_module(f"{_PACKAGE}.{self._module}"), None
            self.description = _paragraphs(f"{self.description} Needs: {module.NEEDS}")
            self.epilog = f"example:\n  {module.EXAMPLE}"
            module.add_flags(self)
            if hasattr(module, "run"):
                self.set_defaults(run=module.run)
        return super().parse_known_args(args, namespace)


def add_commands(parser: ArgumentParser, dest: str, metavar: str, commands: Mapping[str, tuple[str, str]]) -> None:
    """Add sub-commands to a parser: name -> (module below `smallcaps_assets.commands`, one-line summary)."""
    names: _SubParsersAction[CommandParser] = parser.add_subparsers(
        dest=dest, required=True, metavar=metavar, parser_class=CommandParser
    )
    for name, (module, summary) in commands.items():
        names.add_parser(name, help=summary, description=summary, module=module)


def _paragraphs(text: str) -> str:
    return "\n\n".join(textwrap.fill(paragraph, _WIDTH, break_long_words=False) for paragraph in text.split("\n\n"))
