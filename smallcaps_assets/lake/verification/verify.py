"""Verify the tape of a profile against its certificates: the ledger, and the footer of each file.

Every file is read completely, one per thread; nothing in the lake is changed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.tape.contradictions import contradiction
from smallcaps_assets.domain.tape.rules import tape_rules
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, missing_columns, recorded_schema
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import traded_events
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.publish import provenance_of, sha256
from smallcaps_assets.lake.symbol_paths import symbol_name, symbol_of
from smallcaps_assets.lake.tape.files import SPAN_TIME_FORMAT
from smallcaps_assets.lake.tape.rejected import read_rejected
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.certificates import (
    Discrepancy,
    compare_windows,
    compare_with_manifest,
    list_certified_files,
    read_ledger,
)

_THREADS: Final = 2
# whatever a damaged file makes the system, Polars, JSON or datetime raise
_UNREADABLE: Final = (
    LakeError,
    OSError,
    ValueError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)


@dataclass(frozen=True)
class Verification:
    """What was read of one profile's tape, and the differences found.

    Attributes:
        profile: the profile.
        manifest_id: the manifest that the ledger names; None if it names none.
        files: existing files of the ledger.
        bytes: their size.
        rows: rows that were checked.
        states: number of events of the ledger by state.
        uncertified: files that no certificate names, and files replaced since their certificate was written.
        parts: hidden files left by killed writers.
        contradicted: events whose windows are empty, wholly or of one kind, although bars or trades show trading; these
            are no findings.
        stale: certified files that lack columns the profile requires, with those columns; these are no findings.
        findings: the differences, those of the ledger first, then by file.
    """

    profile: str
    manifest_id: str | None
    files: int
    bytes: int
    rows: int
    states: Mapping[str, int]
    contradicted: tuple[str, ...]
    uncertified: tuple[str, ...]
    parts: tuple[str, ...]
    stale: Mapping[str, Sequence[str]]
    findings: tuple[Discrepancy, ...]


@dataclass(frozen=True)
class CheckedFile:
    """One file; `sound` if its bytes are as certified and it has the columns of its footer."""

    file: str
    findings: Sequence[Discrepancy] = ()
    bytes: int = 0
    rows: int = 0
    exists: bool = True
    sound: bool = False
    anew: bool = False
    missing_columns: Sequence[str] = ()


# passes checked files on, of so many in all, as they are checked
Watched = Callable[[Iterable[CheckedFile], int], Iterable[CheckedFile]]


def verify(
    tape: TapeStore,
    threads: int = _THREADS,
    watched: Watched = lambda checked, files: checked,  # noqa: ARG005
) -> Verification:
    """Read every file of a profile's tape and compare it with its certificate.

    Args:
        tape: the tape.
        threads: how many files are read at once.
        watched: receives the files of each part as they are checked, and how many they are.

    Raises:
        InputError: there is no ledger, it belongs to another profile, or it is no ledger.
        LakeError: the ledger cannot be read.
    """
    lake, profile = tape.lake, tape.profile
    ledger = read_ledger(lake, profile)
    name = _relative(lake, lake.ledger(profile))
    findings = compare_with_manifest(ledger, ManifestStore.in_lake(lake, profile), name)
    ledger = ledger.unique("event_id", keep="first", maintain_order=True)
    certified, contradictions = list_certified_files(ledger, name)
    known = set(certified["file"])
    folders = [lake.tape(profile, kind) for kind in TAPE_KINDS]
    files = sorted(path for folder in folders for path in folder.rglob("*.parquet") if not path.name.startswith("."))
    uncertified = [file for file in (_relative(lake, path) for path in files) if file not in known]
    twins = {row["sha256"]: row["file"] for row in certified.to_dicts()}
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        checked = list(watched(pool.map(partial(_check, tape, twins), certified.to_dicts()), certified.height))
        read = list(watched(pool.map(partial(_read, lake), uncertified), len(uncertified)))
    sound = certified.filter(pl.col("file").is_in([one.file for one in checked if one.sound]))
    return Verification(
        profile=profile,
        manifest_id=next(iter(ledger["manifest_id"].drop_nulls().to_list()), None),
        files=sum(one.exists for one in checked),
        bytes=sum(one.bytes for one in checked),
        rows=sum(one.rows for one in checked),
        states=dict(ledger["state"].value_counts(sort=True).iter_rows()),
        contradicted=tuple(ledger.filter(contradiction(traded_events(ledger, lake)).is_not_null())["event_id"]),
        uncertified=(*uncertified, *(one.file for one in checked if one.anew)),
        parts=tuple(_relative(lake, path) for folder in folders for path in sorted(folder.rglob(".*.part"))),
        stale={one.file: one.missing_columns for one in checked if one.missing_columns},
        findings=(
            *findings,
            *contradictions,
            *compare_windows(ledger, sound, tape, name),
            *(finding for one in (*checked, *read) for finding in one.findings),
        ),
    )


def _check(tape: TapeStore, twins: Mapping[str, str], certified: dict[str, Any]) -> CheckedFile:
    """Compare one file with its certificate (CERTIFIED); `twins` has the file certified for each hash."""
    file, events = certified["file"], tuple(certified["events"])
    path = tape.lake.root / file

    def finding(what: str, expected: object, found: object) -> Discrepancy:
        return Discrepancy(file, what, str(expected), str(found), events)

    wave = path.parent.parent.name
    span = f"{certified['start']:{SPAN_TIME_FORMAT}}_{certified['end']:{SPAN_TIME_FORMAT}}"
    symbol = certified["symbol"]
    folder = path.parent.name if symbol_of(path.parent.name) == symbol else symbol_name(symbol)
    place = f"tape/{tape.profile}/{certified['kind']}/{wave}/{folder}/{span}.parquet"
    if file != place:
        return CheckedFile(file, [finding("is not named as its certificate says", place, file)], exists=False)
    if not path.is_file():
        return CheckedFile(file, [finding("is missing", "a file", "nothing")], exists=False)
    size = path.stat().st_size
    findings: list[Discrepancy] = []
    rows, anew, sound = 0, False, False
    lacks: Sequence[str] = ()
    try:
        hashed = sha256(path)
        as_certified = hashed == certified["sha256"]
        if not as_certified:
            twin = f", which is that of {twins[hashed]}" if hashed in twins else ""
            findings = [finding("SHA-256 differs", certified["sha256"], hashed + twin)]
        footer = provenance_of(path) or {}
        broken, rows = _contents(tape, path, certified, footer)
        sound = as_certified and not any(what == _COLUMNS for what, *_ in broken)
        anew = not as_certified and not broken and hashed not in twins and _is_later(footer, certified["fetched_at"])
        findings = [] if anew else findings + [finding(*one) for one in broken]
        lacks = missing_columns(certified["kind"], tape.schema(certified["kind"]).names(), footer)
    except _UNREADABLE as error:
        findings.append(finding("cannot be read", "a parquet file", _first_line(error)))
    return CheckedFile(file, findings, size, rows, sound=sound, anew=anew, missing_columns=lacks)


_COLUMNS: Final = "columns are not those of its footer"


def _contents(
    tape: TapeStore, path: Path, certified: Mapping[str, Any], footer: Mapping[str, Any]
) -> tuple[list[tuple[str, object, object]], int]:
    """Differences in footer and rows (what, expected, found), and the number of rows."""
    kind = certified["kind"]
    broken: list[tuple[str, object, object]] = [
        (f"the footer says another {name}", expected, footer.get(name))
        for name, expected in {"kind": kind, "profile": tape.profile}.items()
        if footer.get(name) != expected
    ]
    # a file of the other kind agrees with its own footer, but not with its place
    recorded = recorded_schema(kind, footer if footer.get("kind", kind) == kind else tape.resolution(kind))
    lazy = pl.scan_parquet(path, hive_partitioning=False, glob=False)
    columns = {name: str(dtype) for name, dtype in lazy.collect_schema().items()}
    if list(columns.items()) != list(recorded.items()):
        return [*broken, (_COLUMNS, *_unlike(recorded, columns))], 0
    rules = tape_rules(kind, certified["start"], certified["end"])
    counts = [rule.broken.alias(str(number)) for number, rule in enumerate(rules)]
    # all columns are read: on small files the rules are far faster on a frame than in a query of the file
    frame = lazy.collect()
    rows, bad = frame.height, frame.select(counts).row(0)
    broken += [
        (rule.what, rule.expected, f"{count:,} of {rows:,} rows")
        for rule, count in zip(rules, bad, strict=True)
        if count
    ]
    received, rejected = footer.get("received", rows), footer.get("rejected") or 0
    if footer.get("rows") != rows:
        broken.append(("the footer says another number of rows", footer.get("rows"), rows))
    elif received < rows + rejected or (kind == "trades" and received != rows + rejected):
        broken.append(("the footer says another number of rows received", rows + rejected, received))
    aside = read_rejected(tape.lake, [path], tape.schema(kind)).height if rejected else 0
    if aside != rejected:
        broken.append(("its rejected rows are not in the quarantine", rejected, aside))
    return broken, rows


def _unlike(expected: Mapping[str, str], found: Mapping[str, str]) -> tuple[str, str]:
    """The columns in which two schemas differ, as text; all names where only their order differs."""
    names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]

    def words(schema: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {schema.get(name, 'absent')}" for name in names) or ", ".join(schema)

    return words(expected), words(found)


def _is_later(footer: Mapping[str, Any], certified_at: datetime | None) -> bool:
    """Whether the file of this footer was fetched after the certified one."""
    fetched_at = datetime.fromisoformat(footer["fetched_at"]) if footer.get("fetched_at") else None
    if fetched_at is None or fetched_at.tzinfo is None or certified_at is None:
        return False
    return fetched_at > certified_at


def _read(lake: Lake, file: str) -> CheckedFile:
    """Check a file without a certificate: it must be readable, nothing more is known."""
    try:
        pl.read_parquet(lake.root / file, hive_partitioning=False, glob=False)
    except _UNREADABLE as error:
        return CheckedFile(file, [Discrepancy(file, "cannot be read", "a parquet file", _first_line(error))])
    return CheckedFile(file)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _relative(lake: Lake, path: Path) -> str:
    return path.relative_to(lake.root).as_posix()
