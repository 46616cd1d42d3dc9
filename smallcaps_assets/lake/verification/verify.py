"""Verify the tape of a profile against its certificates: the ledger, and the footer of each file.

Every file is read completely, one per thread; nothing in the lake is changed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.controls.tables import CONTROL_LEDGER, CONTROLS
from smallcaps_assets.domain.tape.contradictions import contradiction
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.tape.tables import KPIS, LEDGER, WINDOWS
from smallcaps_assets.domain.tape.windows import event_windows, uncovered_windows
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.files.content_hash import content_sha256
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import LEDGER_OF_REPORT, traded_events
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.lake.tape.files import SPAN_TIME_FORMAT, list_tape_files
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.certificates import (
    compare_windows,
    compare_with_controls,
    compare_with_manifest,
    find_uncertified,
    list_certified_files,
    read_ledger,
)
from smallcaps_assets.lake.verification.discrepancy import DAMAGE_ERRORS, Discrepancy, first_line, relative_path
from smallcaps_assets.lake.verification.tape_files import CheckedFile, Proofs, TapeFileChecks

_THREADS: Final = 2
_COUNTED: Final = {name: KPIS[name] for name in ("wave", "figure", "value")}
_NO_PROOFS: Final[Proofs] = {}


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
        controls: number of windows of controls by state, from their ledger.
        since: events captured since the ledger was made, which is out of date; these are no findings.
        other_report: whether the report was made from another ledger than the one that is there; this is no finding.
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
    controls: Mapping[str, int]
    contradicted: tuple[str, ...]
    since: tuple[str, ...]
    other_report: bool
    uncertified: tuple[str, ...]
    parts: tuple[str, ...]
    stale: Mapping[str, Sequence[str]]
    findings: tuple[Discrepancy, ...]


# passes checked files on, of so many in all, as they are checked
Watched = Callable[[Iterable[CheckedFile], int], Iterable[CheckedFile]]


def verify(
    tape: TapeStore,
    threads: int = _THREADS,
    proofs: Proofs = _NO_PROOFS,
    watched: Watched = lambda checked, files: checked,  # noqa: ARG005
) -> Verification:
    """Read every file of a profile's tape and compare it with its certificate.

    Args:
        tape: the tape.
        threads: how many files are read at once.
        proofs: whether files are what was published, where that is known.
        watched: receives the files of each part as they are checked, and how many they are.
    """
    lake, profile = tape.lake, tape.profile
    name = relative_path(lake, lake.ledger(profile))
    folders = [lake.tape(profile, kind) for kind in TAPE_KINDS]
    files = sorted(path for folder in folders for path in folder.rglob("*.parquet") if not path.name.startswith("."))
    of_events, findings = _usable_ledger(tape, name, len(files))
    of_events = of_events.unique("event_id", keep="first", maintain_order=True)
    of_controls, strange = _usable_control_ledger(tape)
    ledger = pl.concat([of_events, of_controls.select(*LEDGER).unique("event_id", keep="first", maintain_order=True)])
    certified, contradictions = list_certified_files(ledger, name)
    known = set(certified["file"])
    uncertified = [file for file in (relative_path(lake, path) for path in files) if file not in known]
    twins = {row["sha256"]: row["file"] for row in certified.to_dicts()}
    symbols = dict(ledger.select("event_id", "symbol").iter_rows())
    checks = TapeFileChecks(tape, proofs, twins, symbols)
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        results = pool.map(checks.check_certified, certified.to_dicts())
        checked = list(watched(results, certified.height))
        read = list(watched(pool.map(checks.check_uncertified, uncertified), len(uncertified)))
    since, before = find_uncertified(ledger, tape, name)
    sound = certified.filter(pl.col("file").is_in([one.file for one in checked if one.sound]))
    return Verification(
        profile=profile,
        manifest_id=next(iter(ledger["manifest_id"].drop_nulls().to_list()), None),
        files=sum(one.exists for one in checked),
        bytes=sum(one.bytes for one in checked),
        rows=sum(one.rows for one in checked),
        states=dict(of_events["state"].value_counts(sort=True).iter_rows()),
        controls=dict(of_controls["state"].value_counts(sort=True).iter_rows()),
        contradicted=_contradicted(ledger, lake),
        since=since,
        other_report=_is_of_other_ledger(lake, profile),
        uncertified=(*uncertified, *(one.file for one in checked if one.anew)),
        parts=tuple(relative_path(lake, path) for folder in folders for path in sorted(folder.rglob(".*.part"))),
        stale={one.file: one.missing_columns for one in checked if one.missing_columns},
        findings=(
            *findings,
            *strange,
            *contradictions,
            *before,
            *compare_windows(ledger, sound, tape, name),
            *(finding for one in (*checked, *read) for finding in one.findings),
        ),
    )


def _usable_ledger(tape: TapeStore, name: str, files: int) -> tuple[pl.DataFrame, list[Discrepancy]]:
    """The ledger (LEDGER) and how it differs from its manifest; none where it is missing or cannot be used, and why."""
    lake, profile = tape.lake, tape.profile
    remedy = how_to_restore(lake.ledger(profile))
    try:
        if not is_stored(lake.ledger(profile)):
            expected = f"certificates of {count_noun(files, 'tape file')}"
            missing = Discrepancy(name, "is missing", expected, "nothing", remedy=remedy)
            return LEDGER.to_frame(), [missing] if files and _must_be_certified(tape) else []
        ledger = read_ledger(lake, profile)
    except DAMAGE_ERRORS as error:
        expected = f"the ledger of profile {profile}"
        return LEDGER.to_frame(), [Discrepancy(name, "cannot be used", expected, first_line(error), remedy=remedy)]
    return ledger, compare_with_manifest(ledger, ManifestStore.in_lake(lake, profile), name)


def _usable_control_ledger(tape: TapeStore) -> tuple[pl.DataFrame, list[Discrepancy]]:
    """The ledger of the controls (CONTROL_LEDGER) and how it differs from their manifest; none where it is unusable."""
    store = ControlStore(tape.lake, tape.profile)
    name = relative_path(tape.lake, store.ledger_path)
    try:
        if not is_stored(store.ledger_path) and (counted := _counted_controls(store)):
            expected, remedy = f"certificates of {count_noun(counted, 'window')}", how_to_restore(store.ledger_path)
            return CONTROL_LEDGER.to_frame(), [Discrepancy(name, "is missing", expected, "nothing", remedy=remedy)]
        ledger = store.load_ledger()
    except DAMAGE_ERRORS as error:
        remedy, expected = how_to_restore(store.ledger_path), f"the ledger of the controls of {tape.profile}"
        found = Discrepancy(name, "cannot be used", expected, first_line(error), remedy=remedy)
        return CONTROL_LEDGER.to_frame(), [found]
    if ledger.is_empty():
        return ledger, []
    return ledger, compare_with_controls(ledger, store, ManifestStore.in_lake(tape.lake, tape.profile), name)


def _counted_controls(store: ControlStore) -> int:
    """How many windows of controls the report counts, by their ledger; 0 where there are no controls, or no longer."""
    report = store.ledger_path.with_name("report.parquet")
    if not is_stored(store.path) or not is_stored(report):
        return 0
    windows = (pl.col("wave") == CONTROLS) & (pl.col("figure") == "windows")
    counted = read_table(report, _COUNTED).filter(windows)["value"]
    return int(counted[0]) if counted.len() else 0


def _is_of_other_ledger(lake: Lake, profile: str) -> bool:
    """Whether the report names another ledger, as an older copy of it does; not where either cannot be read."""
    ledger = lake.ledger(profile)
    report = ledger.with_name("report.parquet")
    with suppress(*DAMAGE_ERRORS):
        if is_stored(ledger) and is_stored(report):
            recorded = (provenance_of(report) or {}).get(LEDGER_OF_REPORT)
            return recorded not in (None, content_sha256(ledger))
    return False


def _must_be_certified(tape: TapeStore) -> bool:
    """Whether a capture is done: it was reported, or every window of the manifest has files. Until then none is due."""
    try:
        if is_stored(tape.lake.ledger(tape.profile).with_name("report.parquet")):
            return True
        windows = event_windows(ManifestStore.in_lake(tape.lake, tape.profile).load())
        return all(uncovered_windows(windows, _named_spans(tape, kind)).is_empty() for kind in TAPE_KINDS)
    except DAMAGE_ERRORS:
        return True


def _named_spans(tape: TapeStore, kind: TapeKind) -> pl.DataFrame:
    """What the names of tape files say that they cover, whether or not they can be read."""
    rows = []
    for path in list_tape_files(tape.lake, tape.profile, kind):
        with suppress(ValueError):
            start, end = (datetime.strptime(f"{part}+0000", f"{SPAN_TIME_FORMAT}%z") for part in path.stem.split("_"))
            rows.append((symbol_of(path.parent.name), start, end))
    return pl.DataFrame(rows, schema={name: WINDOWS[name] for name in ("symbol", "start", "end")}, orient="row")


def _contradicted(ledger: pl.DataFrame, lake: Lake) -> tuple[str, ...]:
    """Events without trades or quotes although there was trading; none where the bars cannot be read."""
    try:
        traded = traded_events(ledger, lake)
    except DAMAGE_ERRORS:  # the verification of the bars names the file
        return ()
    return tuple(ledger.filter(contradiction(traded).is_not_null())["event_id"])
