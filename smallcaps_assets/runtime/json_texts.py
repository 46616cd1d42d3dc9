"""JSON written by people: what parsers usually accept in silence is an error."""

import json
from collections.abc import Sequence
from typing import Any, NoReturn


def parse_json(text: str) -> Any:  # noqa: ANN401 -- any JSON value
    """The value of a JSON text, with or without a byte order mark.

    Raises:
        ValueError: not JSON, too deep, a name that an object has twice, or a number that is not finite.
    """
    try:
        return json.loads(
            text.removeprefix("\ufeff"), object_pairs_hook=_without_repeats, parse_constant=_reject_constant
        )
    except RecursionError as error:
        raise ValueError("more levels of brackets than any such file has") from error


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:40]!r} is given twice in one object: remove one of the two")
        found[name] = value
    return found


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
