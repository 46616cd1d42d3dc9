"""`smallcaps research`: research tables of anybody's parquet files, without Dagster and without a lake."""

import json
import os
import shutil
import sys
import uuid
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from smallcaps_assets.commands.console import show
from smallcaps_assets.commands.files import parquet_files
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.files.publish import disk_errors, publish_lazy
from smallcaps_assets.pipeline.research.files.inputs import open_inputs
from smallcaps_assets.pipeline.research.files.tables import RESEARCH_TABLES, ResearchSettings, research_tables
from smallcaps_assets.pipeline.research.table_parts import OrderedTable
from smallcaps_assets.settings.research import research_settings
from smallcaps_assets.settings.settings import load_settings

NEEDS: Final = (
    "events (such as MASTER) and minute bars as parquet files; for micro_features, bar_reconciliation and halts of the "
    "tape also trades and quotes with a column symbol."
)
EXAMPLE: Final = "smallcaps research --events events.parquet --bars bars --trades trades --quotes quotes --out research"
_DISTRIBUTION: Final = "smallcaps-assets"


def _log(line: str) -> None:
    """Print a line to stderr, so that stdout holds nothing but the result."""
    show(line, file=sys.stderr)


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--events", type=Path, required=True, metavar="FILE", help="events with the columns of MASTER")
    parser.add_argument("--bars", required=True, metavar="PATH", help="minute bars: a parquet file or a folder of them")
    parser.add_argument("--trades", metavar="PATH", help="trades with a column symbol, as bars")
    parser.add_argument("--quotes", metavar="PATH", help="quotes with a column symbol, as bars")
    parser.add_argument(
        "--conditions",
        type=Path,
        metavar="FILE",
        help="rules of trade conditions, parquet or JSON: id, updates_high_low, updates_open_close, updates_volume "
        "(default: those of the package)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a research setting, such as grid_hz=5"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"an empty or new folder for {', '.join(RESEARCH_TABLES)}",
    )


def run(arguments: Namespace) -> int:
    """Compute the tables, write them to `--out`, and print how many rows each has as one line of JSON.

    Raises:
        InputError: an input cannot be used, or `--out` is not empty.
        SettingsError: a setting is wrong.
        LakeError: `--out` cannot be written.
    """
    _require_new(arguments.out)
    settings = load_settings()
    params = research_settings(settings.research.params, arguments.set)
    inputs = open_inputs(
        arguments.events,
        _files(arguments.bars),
        None if arguments.trades is None else _files(arguments.trades),
        None if arguments.quotes is None else _files(arguments.quotes),
        arguments.conditions,
    )
    release = version(_DISTRIBUTION)
    origin = {"version": release, "settings": params.model_dump(mode="json")}
    with _new_folder(arguments.out) as folder, _parts_within(folder) as parts:
        tables = research_tables(
            inputs, ResearchSettings(params, settings.detection, settings.sessions, settings.ranking), parts, _log
        )
        for name, table in tables.items():
            _write(folder / f"{name}.parquet", table, origin)
    print(json.dumps({"rows": {name: table.height for name, table in tables.items()}, "version": release}))
    return 0


def _files(path: str) -> list[Path]:
    return parquet_files(path, (), _log)


def _write(path: Path, table: OrderedTable, origin: Mapping[str, object]) -> None:
    publish_lazy(path, table.lazy(), table.height, origin, sweeps=False)


def _require_new(out: Path) -> None:
    """Require that `--out` can become the folder of the tables.

    Raises:
        InputError: it is a file, or holds something.
    """
    with disk_errors("written", out):
        if out.is_dir():
            first = next(iter(out.iterdir()), None)
            if first is not None:
                raise InputError(f"--out {out}: is not empty, it holds {first.name}. Give an empty or a new folder.")
        elif out.exists():
            raise InputError(f"--out {out}: is not a folder. Give an empty or a new folder.")


@contextmanager
def _parts_within(folder: Path) -> Iterator[Path]:
    """A folder for parts of tables, which is removed in the end."""
    parts = folder / "parts"
    with disk_errors("written", parts):
        parts.mkdir()
    yield parts
    with disk_errors("written", parts):
        shutil.rmtree(parts)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its place at the end; nothing stays of it after an error."""
    final = out.resolve()
    part = final.with_name(f".{final.name}.{uuid.uuid4().hex}.part")
    with disk_errors("written", out):
        part.mkdir(parents=True)
    try:
        yield part
        _require_new(final)
        with disk_errors("written", out):
            if final.is_dir():
                final.rmdir()  # an empty folder is only replaced on some systems
            os.replace(part, final)  # noqa: PTH105 -- as everywhere
    finally:
        shutil.rmtree(part, ignore_errors=True)
