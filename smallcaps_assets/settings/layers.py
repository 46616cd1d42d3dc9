"""Settings as users write them, YAML files and `KEY=VALUE`; later layers override earlier ones."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from smallcaps_assets.errors import SettingsError

_REMEDIES: Final = {
    "extra_forbidden": "no such setting: correct the spelling or remove it",
    "missing": "is missing: add it (config/config.yaml of the repository shows it)",
}


class Layer(NamedTuple):
    """All or some settings as nested mappings, and the file or argument they come from."""

    name: str
    settings: Mapping[str, Any]


def file_layer(file: Path) -> Layer:
    """The settings of a YAML file.

    Raises:
        SettingsError: the file cannot be read, or does not hold settings.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read ({error.strerror}). Give the path of a config.yaml.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: is not UTF-8 text ({error.reason}). Save it as UTF-8.") from error
    try:
        document = _parse(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{file}: is not valid YAML. {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{file}: must hold settings as `key: value` lines, found {type(document).__name__}.")
    return Layer(str(file), document)


@lru_cache(maxsize=8)
def _parse(text: str) -> object:
    """The document of a YAML text, for reading only; cached, since a command reads its settings more than once."""
    return yaml.safe_load(text)


def argument_layer(text: str) -> Layer:
    """The setting in `KEY=VALUE`: the dotted name of the key, and a value in YAML.

    Raises:
        SettingsError: the text has another form.
    """
    key, separator, value = text.partition("=")
    names = key.strip().split(".")
    if not separator or not all(names):
        raise SettingsError(f"--set {text}: give KEY=VALUE, such as detectors.volume_spike.regular.min_spike_x=5.")
    try:
        settings = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {text}: the value is not valid YAML. {' '.join(str(error).split())}") from error
    for name in reversed(names):
        settings = {name: settings}
    return Layer(f"--set {text}", settings)


def override_settings(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` overridden by `changes`, mapping by mapping; values that are not mappings are replaced as a whole."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = (
            override_settings(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
        )
    return merged


def explain_errors(layers: Sequence[Layer], error: ValidationError) -> str:
    """What is wrong, key by key, under the name of the last layer that sets the key."""
    lines: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"]) or "the settings together"
        remedy = _REMEDIES.get(item["type"], item["msg"].removeprefix("Value error, "))
        value = item["input"]
        shown = "" if item["type"] == "missing" or isinstance(value, dict | BaseModel) else f" = {value!r}"
        lines.setdefault(_origin(layers, item["loc"]), []).append(f"{key}{shown}: {remedy}")
    return "; ".join(f"{name}: {'; '.join(problems)}" for name, problems in lines.items())


def setting_differences(before: BaseModel, after: BaseModel) -> list[tuple[str, Any, Any]]:
    """The dotted name of each setting that differs between two models of one class, with both values."""
    left, right = (_leaves(group.model_dump(mode="json")) for group in (before, after))
    keys = dict.fromkeys([*left, *right])
    return [(key, left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)]


def _leaves(node: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in node.items():
        found |= _leaves(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return found


def _origin(layers: Sequence[Layer], place: Sequence[int | str]) -> str:
    return next((layer.name for layer in reversed(layers) if _sets(layer.settings, place)), layers[0].name)


def _sets(node: object, place: Sequence[int | str]) -> bool:
    """Whether a layer sets the value at a place, or a part of it."""
    for name in place:
        if not isinstance(node, Mapping):
            return True
        if name not in node:
            return False
        node = node[name]
    return True
