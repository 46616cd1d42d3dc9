"""Users' table files: found by path or pattern, read lazily, checked against their schema; errors name the file."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.bars.quality import master_problems
from smallcaps_assets.domain.tables import EVENTS, match_columns
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.files.remedies import remedy_within_lake
from smallcaps_assets.pipeline.imports.bar_tables import UNREADABLE, in_place_of_folder, require_unaltered, unreadable
from smallcaps_assets.runtime.user_files import find_user_files


def parquet_files(path: str, but: Sequence[Path], log: Callable[[str], None]) -> list[Path]:
    """The parquet files that a path, a folder (searched to its depths) or a glob pattern names, sorted.

    Hidden files and backup copies are left out; `log` receives a line about them. Files of `but`, the outputs of the
    command, are excluded.

    Raises:
        InputError: there is no such file, or the given one would be overwritten.
    """
    return table_files(path, (".parquet",), log, but)


def table_files(path: str, suffixes: Sequence[str], log: Callable[[str], None], but: Sequence[Path] = ()) -> list[Path]:
    """The same of files whose names end with one of `suffixes`.

    Raises:
        InputError: there is no such file, the given one would be overwritten, or has another suffix, or a folder on the
            way cannot be read.
    """
    named, written, ends = Path(path), {file.resolve() for file in but}, tuple(suffixes)
    if blocked := next((place for place in named.parents if place.is_file()), None):
        raise in_place_of_folder(blocked)
    if named.is_file():
        if named.resolve() in written:
            raise InputError(f"{path}: would be overwritten by its own result. Choose another --out.")
        if not named.name.lower().endswith(ends):
            if remedy_within_lake(named):
                raise in_place_of_folder(named)
            raise InputError(f"{path}: is not named as {_kinds(suffixes)}. Rename it if it is, else convert it.")
        return [named]
    of_folder = named.is_dir()
    try:
        found = find_user_files(named, lambda file: not of_folder or file.name.lower().endswith(ends))
    except ValueError as error:
        raise InputError(
            f"{path}: is not a valid pattern ({error}). Use * within a name and ** for any folders."
        ) from error
    if of_folder:
        _require_whole(named, ends)
    files = [file for file in found.files if not (written and file.resolve() in written)]
    usable = [file for file in files if file.name.lower().endswith(ends)]
    note = found.note()
    if not usable:
        others = f" ({count_noun(len(files), 'other')}, such as {files[0].name})" if files else ""
        hidden = f" ({note}: name it to have it read)" if found.left_out else ""
        raise InputError(
            f"{path}: no {_kinds(suffixes)} file there{others}{hidden}. Give a file, a folder that holds some, or a "
            "pattern in quotes."
        )
    if note:
        log(note)
    return usable


def _require_whole(folder: Path, ends: tuple[str, ...]) -> None:
    """Make sure that a walk through a folder passes over nothing that it cannot read.

    Raises:
        InputError: a folder below is closed to this user, or lies in the place of a file of a lake.
    """
    for place in (folder, *folder.rglob("*")):
        if not place.is_dir():
            if place.name.startswith("symbol=") and not _ends(place, ends) and remedy_within_lake(place):
                raise in_place_of_folder(place)
            continue
        if not os.access(place, os.R_OK | os.X_OK):
            raise InputError(f"{place}: cannot be read (Permission denied). Let this user read it, or leave it out.")
        if _ends(place, ends) and (remedy := remedy_within_lake(place)):
            raise InputError(f"{place}: is a folder, where a file belongs: move the folder away. {remedy}")


def _ends(path: Path, ends: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(ends)


def _kinds(suffixes: Sequence[str]) -> str:
    return " or ".join(suffix.strip(".") for suffix in suffixes)


def read_file_of(file: Path, schema: Mapping[str, pl.DataType], what: str, added: Collection[str] = ()) -> pl.DataFrame:
    """A table of a user with the columns of `schema`; `what` it holds. Those of `added` are null where it lacks them.

    Raises:
        InputError: it is missing, not parquet, altered, or has not these columns.
    """
    try:
        require_unaltered(file)
        rows = pl.scan_parquet(file, hive_partitioning=False, glob=False)
        return match_columns(rows, schema, str(file), added).collect()
    except InputError as error:
        raise InputError(f"{error} Give a file of {what}.") from None
    except UNREADABLE as error:
        raise unreadable(file, error) from error


def read_master(file: Path) -> pl.DataFrame:
    """MASTER (EVENTS) from a file.

    Raises:
        InputError: not parquet, not the columns of MASTER, or rows that would corrupt a ranking.
    """
    try:
        require_unaltered(file)
        frame = pl.scan_parquet(file, hive_partitioning=False, glob=False)
        frame.collect_schema()
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except UNREADABLE as error:
        raise unreadable(file, error) from error
    of_users = f"`smallcaps import events {file}` makes a MASTER of events that another program found."
    remedy = remedy_within_lake(file) or of_users
    try:
        master = match_columns(frame, EVENTS, str(file)).collect()
    except InputError as error:
        raise InputError(f"{error} {remedy}") from None
    problems = master_problems(master)
    if problems:
        raise InputError(f"{file}: {'; '.join(problems)}. Only clean MASTER tables are used. {remedy}")
    return master
