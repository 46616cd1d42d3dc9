"""Settings as users write them, YAML files and `KEY=VALUE`; later layers override earlier ones."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import BaseModel

from smallcaps_assets.errors import SettingsError
from smallcaps_assets.settings.documents import DocumentError, Place, parse_document, read_text


class Layer(NamedTuple):
    """All or some settings as nested mappings, the file or argument they come from, and the lines of a file's keys."""

    name: str
    settings: Mapping[str, Any]
    lines: Mapping[Place, int] = MappingProxyType({})


def file_layer(file: Path) -> Layer:
    """The settings of a YAML file.

    Raises:
        SettingsError: the file cannot be read, or does not hold settings.
    """
    try:
        content, lines = parse_document(read_text(file))
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read ({error.strerror}). Give the path of a config.yaml.") from error
    except DocumentError as error:
        raise SettingsError(f"{file}: is not usable YAML. {error}") from error
    if content is None:
        raise SettingsError(f"{file}: is empty. Give the path of a config.yaml.")
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: must hold settings as `key: value` lines, found {type(content).__name__}.")
    return Layer(str(file), content, lines)


def argument_layer(text: str) -> Layer:
    """The setting in `KEY=VALUE`: the dotted name of the key, and a value in YAML.

    Raises:
        SettingsError: the text has another form.
    """
    key, separator, value = text.partition("=")
    names = key.strip().split(".")
    if not separator or not all(name.strip() for name in names):
        raise SettingsError(f"--set {text}: give KEY=VALUE, such as detectors.volume_spike.regular.min_spike_x=5.")
    try:
        settings = parse_document(value).content
    except DocumentError as error:
        raise SettingsError(f"--set {text}: the value is not usable YAML. {error}") from error
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
