"""Base of every group of settings: frozen, complete, strictly typed, without unknown keys."""

import re
from datetime import date
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# the vendor's keys have 32 characters, of either case
_KEY_LENGTH: Final = 20

# a date, or its text as read from YAML
CalendarDay = Annotated[date, Field(strict=False)]


def check_path(text: str) -> str:
    """Return `text` if it can be the path of a file or folder.

    Raises:
        ValueError: it is blank, holds a NUL character, or begins with `~`.
    """
    if not text.strip() or "\0" in text:
        raise ValueError("is no path: give a file or folder")
    if re.match(r"~($|[/\\])", text):
        raise ValueError("begins with ~, which only a shell replaces by the home folder: write the folder in full")
    return text


PathText = Annotated[str, AfterValidator(check_path)]


def _check_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) or (len(name) >= _KEY_LENGTH and name != name.upper()):
        raise ValueError("is not the name of an environment variable: a key itself belongs in the environment only")
    return name


# the name of an environment variable; what looks like a key instead is rejected
VariableName = Annotated[str, AfterValidator(_check_variable)]


class Params(BaseModel):
    """A frozen group of settings; the values are in `config/config.yaml`.

    No field has a default but those that files of an earlier release lack.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
