"""A command's argument parser, which imports the command's module only when that command is parsed.

`smallcaps --help` lists every command without importing Dagster (about 1 s) or Polars.
"""

import re
import sys
import textwrap
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_PACKAGE: Final = "smallcaps_assets.commands"
_WIDTH: Final = 100
# the home folder, not the name of another file
_HOME: Final = re.compile(r"~($|[/\\])")
# where the flag --no-color is kept
NO_COLOR: Final = "no_color"
# argparse's words for a value that is none of the choices of a flag or of the commands
_WRONG_CHOICE: Final = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<choices>.*)\)$")


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
        self._is_command = module is not None
        # of the whole command line or of a command: neither overrides the other
        self.add_argument("--no-color", action="store_true", default=SUPPRESS, help="no colours, as with NO_COLOR=1")

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
        if self._is_command:
            self._require_values(sys.argv[1:] if args is None else args)
        parsed, unknown = super().parse_known_args(args, namespace)
        flags = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        if flags and self._is_command:
            self.error(f"unknown flag {flags[0]}{self._intended(flags[0], self._option_string_actions)}")
        return parsed, unknown

    def _require_values(self, args: Sequence[str]) -> None:
        """Reject values that a path or address is made of by mistake: blank ones, and a ~ that no shell replaced."""
        for before, word in zip(["", *args], args, strict=False):
            flag, separator, value = word.partition("=") if word.startswith("-") else (before, "=", word)
            subject = f"{flag} {value!r}" if flag.startswith("-") else repr(value)
            if separator and not value.strip():
                self.error(f"{subject} is empty, which no flag allows: give a value or leave the flag out")
            if _HOME.match(value):
                self.error(
                    f"{subject} begins with ~, which a shell replaces by the home folder only where it begins a word "
                    "without quotes: write the folder in full"
                )

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, with the choice that was probably meant, and exit with 2."""
        if wrong := _WRONG_CHOICE.search(message):
            message += self._intended(wrong["given"], re.findall(r"[\w.-]+", wrong["choices"]))
        super().error(message)

    def _intended(self, given: str, known: Collection[str]) -> str:
        """Words to follow a mistyped name; those of a name like no other say where all are listed."""
        # the dashes of flags make short ones look alike
        names = {name.lstrip("-"): name for name in known}
        close = get_close_matches(given.lstrip("-"), names, n=1)
        return f": did you mean {names[close[0]]}?" if close else f". `{self.prog} --help` lists what there is."


def add_commands(parser: ArgumentParser, dest: str, metavar: str, commands: Mapping[str, tuple[str, str]]) -> None:
    """Add sub-commands to a parser: name -> (module below `smallcaps_assets.commands`, one-line summary)."""
    names: _SubParsersAction[CommandParser] = parser.add_subparsers(
        dest=dest, required=True, metavar=metavar, parser_class=CommandParser
    )
    for name, (module, summary) in commands.items():
        names.add_parser(name, help=summary, description=summary, module=module)


def _paragraphs(text: str) -> str:
    return "\n\n".join(textwrap.fill(paragraph, _WIDTH, break_long_words=False) for paragraph in text.split("\n\n"))
