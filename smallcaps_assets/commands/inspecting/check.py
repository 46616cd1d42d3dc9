"""`smallcaps check`: whether work can begin, one line for each thing that it needs."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from smallcaps_assets.commands.cluster.readiness import check_cluster
from smallcaps_assets.commands.console import Line, Style, show
from smallcaps_assets.commands.flag_types import host_name, port_number
from smallcaps_assets.commands.services.ports import port_problem
from smallcaps_assets.commands.services.processes import (
    daemons_of_state,
    processes_of_state,
    web_servers_at,
)
from smallcaps_assets.commands.services.state import (
    open_state,
    open_state_as_is,
    outdated_schemas,
)
from smallcaps_assets.commands.services.state_folder import copies_of_lake, describe_copies, lake_of_state, state_folder
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.defs.resources import client_of
from smallcaps_assets.defs.runs.pool import slots_are_taken, vendor_slot
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import LakeError, SettingsError, SmallcapsError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.operations.bucket_readiness import check_bucket
from smallcaps_assets.pipeline.operations.readiness import (
    KNOWN_SYMBOL,
    ReadinessCheck,
    Verdict,
    ask_endpoints,
    check_calendar,
    check_disk,
    check_key,
    check_lake,
    endpoint_checks,
)
from smallcaps_assets.pipeline.source import flat_files
from smallcaps_assets.runtime.system_errors import system_error
from smallcaps_assets.settings.sections import SourceParams
from smallcaps_assets.settings.settings import Settings, config_path, lake_path

NEEDS: Final = "nothing; it works on an empty lake."
EXAMPLE: Final = "smallcaps check --offline"

_PROBLEMS: Final = 1
_STYLES: Final[Mapping[str, Style]] = {"ok": "good", "note": "note", "problem": "bad"}
_SECONDS_PER_MINUTE: Final = 60
# where the messages begin
_HANGING: Final = 25


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument(
        "--host", type=host_name, default="127.0.0.1", help="address of the web UI (default: this machine only)"
    )
    parser.add_argument("--port", type=port_number, default=3000, help="port of the web UI (default: 3000)")
    parser.add_argument("--offline", action="store_true", help="send no request to the vendor")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: Namespace) -> int:
    """Print the checks; returns 0 if there is no problem, else 1.

    Raises:
        InputError: a flag's value cannot be used.
    """
    found = []
    for check in _checks(arguments):
        found.append(check)
        if not arguments.json:
            text = f"{check.message.rstrip('.')}. {check.remedy}" if check.remedy else check.message
            show(verdict_line(check.name, check.verdict, text))
    problems = [check.name for check in found if check.verdict == "problem"]
    if arguments.json:
        print(json.dumps({"ready": not problems, "checks": [check._asdict() for check in found]}))
    else:
        show(f"not ready: {', '.join(problems)}" if problems else "ready")
    return _PROBLEMS if problems else 0


def verdict_line(name: str, verdict: Verdict, text: str) -> Line:
    """The line of one check: its verdict, its name and what was found."""
    return Line(f"{verdict:<8} {name:<15} {text}", _STYLES[verdict], hanging=_HANGING)


def _checks(arguments: Namespace) -> Iterator[ReadinessCheck]:
    """The checks in order; those that need no request first."""
    try:
        settings = enter(arguments)
        file = config_path()
    except SettingsError as error:
        yield ReadinessCheck("settings", "problem", str(error))
        return
    yield ReadinessCheck("settings", "ok", f"{file}: valid; {_source(settings.source)}")
    now, lake = datetime.now(UTC), Lake(lake_path(settings))
    local = {
        "key": check_key(settings.source),
        "lake": check_lake(lake, settings),
        "disk": check_disk(lake, settings, _followed(lake, settings), now),
        "calendar": check_calendar(settings, now),
        "state": check_state(settings),
        "port": _check_port(arguments, state_folder(settings)),
    }
    if (cluster := check_cluster(settings)) is not None:
        local["cluster"] = cluster
    yield from local.values()
    wrong = [name for name in ("key", "lake", "calendar", "state") if local[name].verdict == "problem"]
    if arguments.offline:
        yield ReadinessCheck("endpoints", "note", "no request was sent (--offline)")
    elif wrong:
        yield ReadinessCheck("endpoints", "note", f"no request was sent: correct {', '.join(wrong)} first")
    else:
        yield from _check_endpoints(settings, lake, now, report=partial(show, file=sys.stderr))


def _source(source: SourceParams) -> str:
    limit = source.requests_per_minute
    budget = f"{limit:g} request{'s' * (limit != 1)} a minute" if limit else "no limit of requests"
    return f"source is {_destination(source)}, {budget}"


def _destination(source: SourceParams) -> str:
    return "the simulated exchange" if source.kind == "embedded" else str(urlsplit(source.base_url).hostname)


def _followed(lake: Lake, settings: Settings) -> int | None:
    """How many symbols are followed, or will be; None where only a file or the vendor's list says so."""
    source = settings.source
    listed = source.embedded.symbols if source.kind == "embedded" else 0
    return len(_symbols(lake)) or len(settings.universe.symbols or ()) or listed or None


def _symbols(lake: Lake) -> list[str]:
    try:
        return sorted(UniverseStore(lake).followed())
    except LakeError:
        return []


def check_state(settings: Settings) -> ReadinessCheck:
    """Whether the state of the lake opens, belongs to this lake, and has the tables of the installed Dagster."""
    folder, lake = state_folder(settings), lake_path(settings)
    before = lake_of_state(folder) or lake
    try:
        with open_state_as_is(settings) as instance:
            outdated = outdated_schemas(instance)
    except SmallcapsError as error:
        return ReadinessCheck("state", "problem", str(error))
    except Exception as error:  # a storage is a plug-in: its errors have no common root
        if (known := system_error(error)) is None:
            raise
        return ReadinessCheck("state", "problem", str(known))
    if outdated:
        message = f"{folder}: the tables of Dagster's state have another version ({'; '.join(outdated)})"
        remedy = (
            f"End what uses this lake, then run `dagster instance migrate` with DAGSTER_HOME={folder}; or install the "
            "version of Dagster that it was used with."
        )
        return ReadinessCheck("state", "problem", message, remedy)
    if before != lake and before.is_dir():
        remedy = "To begin with an empty state, end the web UI and move this folder away."
        return ReadinessCheck("state", "note", f"{folder}: lists the runs of the lake {before} as well", remedy)
    if copies := copies_of_lake(settings):
        return ReadinessCheck("state", "note", f"{folder}: {describe_copies(lake, copies)}")
    daemon = next(iter(daemons_of_state(folder)), None)
    used = f"in use by process {daemon.process.pid} {daemon.address}".rstrip() if daemon else "in use by no process"
    return ReadinessCheck("state", "ok", f"{folder}: opens, is of this lake, its schema is current; {used}")


def _check_port(arguments: Namespace, folder: Path) -> ReadinessCheck:
    problem = port_problem(arguments.host, arguments.port)
    if problem is None:
        return ReadinessCheck("port", "ok", f"{arguments.port} is free on {arguments.host}")
    ours = {found.process.pid for found in processes_of_state(folder)}
    for server in web_servers_at(arguments.port):
        if server.is_orphaned:
            message = f"{arguments.port}: a web UI that was killed is just ending; `smallcaps ui` takes the port over"
            return ReadinessCheck("port", "ok", message)
        if server.process.pid in ours:
            return ReadinessCheck(
                "port", "ok", f"{arguments.port}: the web UI of this lake is open at {server.address}"
            )
    return ReadinessCheck("port", "problem", problem)


def _check_endpoints(settings: Settings, lake: Lake, now: datetime, report: partial[None]) -> Iterator[ReadinessCheck]:
    # a failed request is not repeated: as many requests are sent as are announced
    source = settings.source.model_copy(update={"max_retries": 0})
    named = [*_symbols(lake), *(settings.universe.symbols or ()), KNOWN_SYMBOL]
    with open_state(settings) as instance:
        if slots_are_taken(instance):
            message = "no request was sent: runs are sending vendor requests at this moment"
            yield ReadinessCheck("endpoints", "note", message, "Run `smallcaps check` again when they are done.")
            return
        client = client_of(source, instance)
        checks = endpoint_checks(client, named[0].upper(), settings, now)
        report(f"{count_noun(len(checks), 'request')} to {_destination(source)}{_duration(client, len(checks))} ...")
        with vendor_slot(instance, report):
            yield from ask_endpoints(checks)
    if settings.source.uses_flat_files and settings.source.kind != "embedded":
        yield check_bucket(flat_files(source), completed_sessions(settings.history, settings.sessions, now))


def _duration(client: MarketDataClient, requests: int) -> str:
    limit = client.requests_per_minute
    return f", in about {(requests - 1) * _SECONDS_PER_MINUTE / limit:.0f} s" if limit else ""
