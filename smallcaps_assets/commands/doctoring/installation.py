"""Whether an installation is complete: Python, packages, settings, secrets, state, ports. Sends no request."""

import os
import platform
import socket
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from ipaddress import ip_address
from typing import Final

import psutil
from dagster._core.storage.runs import SqlRunStorage
from packaging.requirements import Requirement
from sqlalchemy import text

from smallcaps_assets.commands.inspecting.check import check_state
from smallcaps_assets.commands.services.processes import processes_of_state
from smallcaps_assets.commands.services.state import open_state_as_is
from smallcaps_assets.commands.services.state_folder import state_folder
from smallcaps_assets.commands.workplace import enter
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.lake.promises.file_system import file_system_of
from smallcaps_assets.pipeline.operations.readiness import ReadinessCheck, check_key
from smallcaps_assets.settings.settings import Settings, config_path

PACKAGE: Final = "smallcaps-assets"
_DEVELOPMENT: Final = "dev"
# what libpq reads of a connection; the values are never printed
_DATABASE: Final = ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE")


def release() -> str:
    """The release of this package; empty where it is not installed."""
    with suppress(PackageNotFoundError):
        return version(PACKAGE)
    return ""


def check_installation(arguments: Namespace) -> Iterator[ReadinessCheck]:
    """The checks in order, up to settings that cannot be read. `arguments` are the flags of `add_data_flags`."""
    yield ReadinessCheck("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield from _check_packages()
    try:
        settings = enter(arguments)
    except SettingsError as error:
        yield ReadinessCheck("settings", "problem", str(error))
        return
    yield ReadinessCheck("settings", "ok", f"{config_path()}: valid")
    yield check_key(settings.source)
    yield _check_secrets(settings)
    state = check_state(settings)
    yield state
    yield _check_storage(settings, reachable=state.verdict != "problem")
    yield _check_listening(settings)


def _check_packages() -> Iterator[ReadinessCheck]:
    """Whether every dependency is installed in a release that the package names."""
    try:
        needed = [Requirement(line) for line in requires(PACKAGE) or ()]
    except PackageNotFoundError:
        remedy = "Install it: python -m pip install -e . (in the repository)."
        yield ReadinessCheck("packages", "problem", f"{PACKAGE} is not installed in {sys.prefix}", remedy)
        return
    plain = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    extras: dict[str, bool] = {}
    for one in needed:
        if one not in plain and one.marker is not None and 'extra == "' in str(one.marker):
            extra = str(one.marker).split('extra == "')[1].partition('"')[0]
            extras[extra] = extras.get(extra, True) and _fault(one) is None
    faults = [fault for one in plain if (fault := _fault(one))]
    extras.pop(_DEVELOPMENT, None)
    named = "; ".join(f"extra {name} {'installed' if there else 'not installed'}" for name, there in extras.items())
    if faults:
        remedy = "Install them: python -m pip install --upgrade -e . (in the repository)."
        yield ReadinessCheck("packages", "problem", "; ".join(faults), remedy)
    else:
        of = f"{PACKAGE} {release()} with {count_noun(len(plain), 'package')}, all in the releases it needs"
        yield ReadinessCheck("packages", "ok", f"{of}; {named}" if named else of)


def _fault(needed: Requirement) -> str | None:
    """What is wrong with an installed package, None if nothing is."""
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return f"{needed.name} is not installed"
    if needed.specifier.contains(found, prereleases=True):
        return None
    return f"{needed.name} is {found}, needed is {needed.specifier}"


def _check_secrets(settings: Settings) -> ReadinessCheck:
    """Which variables with secrets are set; never their values."""
    names = [*settings.source.key_variables, settings.notices.url_variable]
    names += _DATABASE if settings.dagster.laid_over else ()
    found = [name for name in dict.fromkeys(names) if os.environ.get(name, "").strip()]
    missing = [name for name in dict.fromkeys(names) if name not in found]
    message = f"set: {', '.join(found) or 'none'}; not set: {', '.join(missing) or 'none'}"
    return ReadinessCheck("secrets", "ok", message)


def _check_storage(settings: Settings, *, reachable: bool) -> ReadinessCheck:
    """Where runs and events are kept: in PostgreSQL, its release; in files, whether their file system suits SQLite."""
    folder = state_folder(settings)
    if not reachable:
        return ReadinessCheck("storage", "note", "not looked at: the state cannot be opened")
    with open_state_as_is(settings) as instance:
        storage = instance.run_storage
        if isinstance(storage, SqlRunStorage):
            with storage.connect() as connection:
                if connection.dialect.name == "postgresql":
                    found = connection.execute(text("SHOW server_version")).scalar()
                    return ReadinessCheck("storage", "ok", f"runs and events are in PostgreSQL {found}")
    system = file_system_of(folder)
    if system is None or system.is_local:
        kind = f" on {system.kind}" if system else ""
        return ReadinessCheck("storage", "ok", f"runs and events are in files of SQLite{kind}, for one machine")
    remedy = "Keep .dagster/ on a local disk, or Dagster's state in PostgreSQL (deploy/postgresql)."
    message = f"{folder}: runs and events are in files of SQLite on {system.kind}, whose locks may not hold"
    return ReadinessCheck("storage", "problem", message, remedy)


def _check_listening(settings: Settings) -> ReadinessCheck:
    """Whether the services that use the state now listen on this machine only."""
    ports, opened = 0, []
    for found in processes_of_state(state_folder(settings)):
        with suppress(psutil.Error, OSError):
            for connection in found.process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    ports += 1
                    if not ip_address(connection.laddr.ip).is_loopback:
                        opened.append(f"process {found.process.pid} on {connection.laddr.ip}:{connection.laddr.port}")
    if opened:
        remedy = "If that is not on purpose, start `smallcaps ui` without --open-to-network."
        return ReadinessCheck("listening", "note", f"other machines can reach {'; '.join(opened)}", remedy)
    host = socket.gethostname()
    message = f"{count_noun(ports, 'port')} of this state's services on {host}, all for this machine only"
    return ReadinessCheck("listening", "ok", message if ports else f"no service of this state runs on {host}")
