"""The settings files that belong to a lake, as a backup keeps them: without passwords, tokens and the like.

The vendor's key is in the environment only. A dagster.yaml may hold a password, although it should name an environment
variable: what looks like a secret there is replaced.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from smallcaps_assets.errors import SettingsError
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.settings.documents import DocumentError, parse_document
from smallcaps_assets.settings.settings import (
    Settings,
    config_path,
    environment_overrides,
    home,
    universe_file,
)

REMOVED: Final = "REMOVED_BY_BACKUP"
_SECRET_KEY: Final = re.compile(
    r"(?i)pass(?:word|wd|phrase)?$|secret|token|credential|(?:api|access|private|account)_?key|conn(?:ection)?_string|"
    r"(?:postgres|mysql|database)_url|dsn$"
)
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)[^/@\s:]*:(?P<password>[^/@\s]+)(?=@)")


class SettingsFile(NamedTuple):
    """A file as it is kept: its name, its content, and the keys whose values were removed."""

    name: str
    content: bytes
    removed: tuple[str, ...] = ()


def settings_files(settings: Settings) -> list[SettingsFile]:
    """The settings in force, the files of Dagster, the list of symbols, and what the command line changed.

    Raises:
        SettingsError: a file is not YAML.
        LakeError: a file cannot be read.
    """
    root, config = home(), config_path()
    found = [_read(config, _name_below(root, config))]
    dagster = [root / "dagster.yaml", root / "workspace.yaml"]
    if settings.dagster.laid_over is not None:
        dagster.append(root / settings.dagster.laid_over)
    found += [_without_secrets(_read(path, _name_below(root, path)), path) for path in dagster if path.is_file()]
    symbols = universe_file(settings)
    if symbols is not None and symbols.is_file():
        found.append(_read(symbols, _name_below(root, symbols)))
    overrides = environment_overrides()
    if overrides:
        text = json.dumps(overrides, indent=2, default=str) + "\n"
        found.append(SettingsFile("overrides.json", text.encode()))
    return found


def _name_below(root: Path, path: Path) -> str:
    """Where a file lies below the folder of `config/`; its own name where it lies elsewhere."""
    whole = path.resolve()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else f"elsewhere/{path.name}"


def _read(path: Path, name: str) -> SettingsFile:
    with disk_errors("read", path):
        return SettingsFile(name, path.read_bytes())


def _without_secrets(file: SettingsFile, path: Path) -> SettingsFile:
    try:
        text = file.content.decode("utf-8-sig")
        document = parse_document(text).content
    except (UnicodeDecodeError, DocumentError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}). Correct it.") from error
    secrets = dict(_secrets(document, ""))
    if not secrets:
        return file
    for value in sorted(secrets.values(), key=len, reverse=True):
        text = text.replace(value, REMOVED)
    try:
        left = _texts(parse_document(text).content)
    except DocumentError:
        left = set(secrets.values())
    if not left.isdisjoint(secrets.values()) or any(value in one for one in left for value in secrets.values()):
        # written with escapes or over several lines: JSON is YAML as well
        text = json.dumps(_cleaned(document, secrets.values()), indent=2) + "\n"
    return SettingsFile(file.name, text.encode(), tuple(secrets))


def _secrets(node: object, place: str) -> Iterator[tuple[str, str]]:
    """The secret texts of a document by their keys, such as `storage.postgres.postgres_db.password`."""
    if isinstance(node, dict):
        for key, value in node.items():
            name = f"{place}.{key}" if place else f"{key}"
            if _SECRET_KEY.search(f"{key}") and isinstance(value, str | int) and f"{value}":
                yield name, f"{value}"
            else:
                yield from _secrets(value, name)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _secrets(value, f"{place}[{number}]")
    elif isinstance(node, str) and (found := _PASSWORD_IN_URL.search(node)):
        yield place, found["password"]


def _texts(node: object) -> set[str]:
    if isinstance(node, dict):
        return set[str]().union(*map(_texts, node.values()))
    if isinstance(node, list):
        return set[str]().union(*map(_texts, node))
    return {f"{node}"}


def _cleaned(node: Any, secrets: Any) -> Any:  # noqa: ANN401 -- any YAML
    if isinstance(node, dict):
        return {key: _cleaned(value, secrets) for key, value in node.items()}
    if isinstance(node, list):
        return [_cleaned(value, secrets) for value in node]
    if any(value in f"{node}" for value in secrets):
        return REMOVED
    return node
