"""Messages about wrong settings: file, line, key, value and remedy."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from smallcaps_assets.domain.addresses import hide_users
from smallcaps_assets.settings.documents import Place
from smallcaps_assets.settings.layers import Layer

_UNKNOWN, _MISSING = "extra_forbidden", "missing"
_NUMBERS: Final = frozenset({"float_type", "float_parsing", "int_type", "int_parsing"})
# More missing settings than these are not listed one by one.
_MOST_LISTED: Final = 4
_MOST_SHOWN: Final = 200
# names of unknown settings
_SECRET: Final = re.compile("key|token|secret|password|auth", re.IGNORECASE)
_SHOWN_BY: Final = "config/config.yaml of the repository shows"


def explain_errors(layers: Sequence[Layer], error: ValidationError, model: type[BaseModel]) -> str:
    """What is wrong, one line a problem, each under the name of the last layer that sets the key.

    Unknown settings come first and missing ones last. An unknown setting that is a missing one misspelled is one
    problem.
    """
    errors = error.errors(include_url=False)
    missing = [item["loc"] for item in errors if item["type"] == _MISSING]
    lines, meant = [], set()
    for item in (item for item in errors if item["type"] == _UNKNOWN):
        intended = _closest_setting(model, item["loc"], missing)
        meant.add(intended)
        lines.append(f"{_subject(layers, item)}: no such setting: {_correction(item['loc'], intended)}")
    wrong = [item for item in errors if item["type"] not in {_UNKNOWN, _MISSING}]
    lines += [f"{_subject(layers, item)}: {_remedy(item)}" for item in wrong]
    return "\n".join([*lines, *_missing_lines(layers, [place for place in missing if place not in meant])])


def _closest_setting(model: type[BaseModel], place: Place, missing: Sequence[Place]) -> Place | None:
    """The setting that a misspelled one was meant to be; None if no name is like it."""
    *above, name = place
    known = _field_names(model, above)
    first = [place[-1] for place in missing if list(place[:-1]) == above]
    for names in (first, known):
        close = get_close_matches(str(name), list(map(str, names)), n=1)
        if close:
            return (*above, close[0])
    return None


def _field_names(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The settings of a section."""
    models = [model]
    for part in place:
        fields = [found.model_fields[part] for found in models if part in found.model_fields]
        # a name or position that is no field belongs to a mapping or list of the same models
        models = [below for field in fields for below in _models(field.annotation)] if fields else models
    return [name for found in models for name in found.model_fields]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 -- any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _correction(place: Place, intended: Place | None) -> str:
    return f"did you mean {intended[-1]}?" if intended and intended != place else "correct the spelling or remove it"


def _subject(layers: Sequence[Layer], item: ErrorDetails) -> str:
    """The layer, line, key and value of a problem."""
    layer = _origin(layers, item["loc"])
    key = ".".join(map(_shorten, item["loc"])) or "the settings together"
    value = item["input"]
    shown = "" if isinstance(value, dict | BaseModel) or _may_be_secret(item) else f" = {_show(value)}"
    return f"{_place(layer, item['loc'])}: {key}{shown}"


def _shorten(name: str | int) -> str:
    text = str(name)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _may_be_secret(item: ErrorDetails) -> bool:
    """Whether a value may be a key or password, written where none belongs."""
    *above, name = map(str, item["loc"])
    return (
        "key_variables" in above
        or "@" in str(item["input"])
        or name == "url_variable"
        or bool(_SECRET.search(name) and item["type"] == _UNKNOWN)
    )


def _show(value: object) -> str:
    text = hide_users(repr(value))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _place(layer: Layer, place: Place) -> str:
    """The name of a layer and the line of a setting in it, or of the section that the setting is in."""
    line = next((layer.lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in layer.lines), None)
    return layer.name if line is None else f"{layer.name}, line {line}"


def _remedy(item: ErrorDetails) -> str:
    value = item["input"]
    if isinstance(value, bool):
        return f"{item['msg']}; without quotes, YAML reads on, off, yes and no as true and false"
    if item["type"] in _NUMBERS and isinstance(value, str) and _is_number(value):
        return f"YAML reads it as text; write {plain_number(value)} without quotes"
    return item["msg"].removeprefix("Value error, ")


def plain_number(text: str) -> str:
    """A number as YAML reads it as one: `50000`, `1.0e-06`."""
    digits, letter, power = f"{float(text):.15g}".partition("e")
    return f"{digits if '.' in digits or not letter else f'{digits}.0'}{letter}{power}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _missing_lines(layers: Sequence[Layer], missing: Sequence[Place]) -> list[str]:
    keys: dict[str, list[str]] = {}
    for place in missing:
        layer = _origin(layers, place)
        name = _place(layer, place) if len(missing) <= _MOST_LISTED else layer.name
        keys.setdefault(name, []).append(".".join(map(str, place)))
    lines = []
    for name, found in keys.items():
        if len(found) <= _MOST_LISTED:
            lines += [f"{name}: {key}: is missing: add it ({_SHOWN_BY} it)" for key in found]
        else:
            listed = ", ".join(found[:_MOST_LISTED])
            lines.append(f"{name}: {len(found)} settings are missing: {listed}, ... ({_SHOWN_BY} all)")
    return lines


def _origin(layers: Sequence[Layer], place: Sequence[int | str]) -> Layer:
    return next((layer for layer in reversed(layers) if _sets(layer.settings, place)), layers[0])


def _sets(node: object, place: Sequence[int | str]) -> bool:
    """Whether a layer sets the value at a place, or a part of it."""
    for name in place:
        if not isinstance(node, Mapping):
            return True
        if name not in node:
            return False
        node = node[name]
    return True
