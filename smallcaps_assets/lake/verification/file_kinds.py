"""The kinds of files of a lake: how each is named, what proves it, and how a damaged one is made again."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from smallcaps_assets.lake.content_hash import ProofState
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.lake.verification.file_rules import (
    Fault,
    coverage_faults,
    document_state,
    failure_faults,
    imports_faults,
    label_faults,
    label_state,
    manifest_document_faults,
    month_faults,
    no_faults,
    page_state,
    parquet_state,
    shard_faults,
    table_faults,
    unproven_state,
)

_SYMBOL: Final = r"symbol=(?P<symbol>[^/]+)"
_PROFILE: Final = r"(?P<profile>[a-z]+)"
_MANIFEST: Final = r"(?P=profile)_\d{8}_\d{6}"
_SPAN: Final = r"\d{8}T\d{6}_\d{8}T\d{6}"
# where readers of a whole folder count the rows of every parquet file
_READ_AS_FOLDERS: Final = re.compile(r"(bars/minute|events/shards|tape/[a-z]+/(trades|quotes))/.*\.parquet")


class FileKind(NamedTuple):
    """One kind of files.

    Attributes:
        name: of the kind, in the plural.
        pattern: of their paths below the lake.
        state: whether a file is what was published.
        faults: what is wrong with a file by itself, given its state.
        remedy: how to get a file back and what that costs; the groups of the pattern are filled in.
    """

    name: str
    pattern: str
    state: Callable[[Path], ProofState]
    faults: Callable[[Path, ProofState], Iterator[Fault]]
    remedy: str

    def remedy_for(self, file: str) -> str:
        """The remedy for one file."""
        match = re.fullmatch(self.pattern, file)
        groups = match.groupdict() if match else {}
        return self.remedy.format(**{name: symbol_of(value or "") for name, value in groups.items()})


_DETECT: Final = "materialize event_shards of {symbol}, then master_events: no request"

FILE_KINDS: Final[tuple[FileKind, ...]] = (
    FileKind(
        "minute bars",
        rf"bars/minute/{_SYMBOL}/\d{{4}}-\d{{2}}\.parquet",
        parquet_state,
        month_faults,
        "delete the file and materialize minute_bars of {symbol}, which fetches the sessions of a month with about 1 "
        "request; repeat the import of what was imported, without a request",
    ),
    FileKind("shards", rf"events/shards/{_SYMBOL}\.parquet", parquet_state, shard_faults, f"delete it and {_DETECT}"),
    FileKind(
        "shard coverage",
        r"events/coverage/[^/]+\.json|events/shards/(coverage=[^/]+\.json|symbol=[^/]+\.jsonl)",
        lambda path: unproven_state(path) if path.suffix == ".jsonl" else document_state(path),
        coverage_faults,
        "delete it and materialize event_shards: what it covered is detected again, no request",
    ),
    FileKind("MASTER", r"events/master\.parquet", parquet_state, table_faults, "materialize master_events: no request"),
    FileKind(
        "imported events",
        r"events/adopted\.parquet",
        parquet_state,
        table_faults,
        "delete it and repeat `smallcaps import events` with all files: no request",
    ),
    FileKind(
        "universe",
        r"reference/universe\.parquet",
        parquet_state,
        table_faults,
        "delete it and materialize universe: as many requests as its first materialization; symbols that are no "
        "longer listed are lost with it",
    ),
    FileKind(
        "ticker details",
        r"reference/ticker_details\.parquet",
        parquet_state,
        table_faults,
        "delete it and materialize universe: 1 request for each symbol whose details are needed",
    ),
    FileKind(
        "record of imports",
        r"reference/imports\.json",
        document_state,
        imports_faults,
        'write what was imported into it, such as {{"kinds": ["bars"]}}; the kinds are bars, events and windows',
    ),
    FileKind(
        "reports",
        r"reports/(?P<report>nightly|coverage)\.parquet",
        parquet_state,
        table_faults,
        "delete it: the next job `nightly` writes it again; coverage can be materialized at any time, no request",
    ),
    FileKind(
        "manifests",
        rf"manifests/{_PROFILE}/{_MANIFEST}\.parquet",
        parquet_state,
        table_faults,
        "put the original back, or delete it with its .json and materialize {profile}/manifest: no request; another "
        "selection if MASTER has changed since",
    ),
    FileKind(
        "sidecars",
        rf"manifests/{_PROFILE}/{_MANIFEST}\.json",
        document_state,
        manifest_document_faults,
        "put the original back, or delete it with current.json and materialize {profile}/manifest: no request",
    ),
    FileKind(
        "pointers",
        rf"manifests/{_PROFILE}/current\.json",
        document_state,
        no_faults,
        "delete it and materialize {profile}/manifest: no request, and an unchanged manifest is used again",
    ),
    FileKind(
        "tape",
        rf"tape/{_PROFILE}/(?P<kind>trades|quotes)/wave=[A-Z]+/{_SYMBOL}/{_SPAN}\.parquet",
        parquet_state,
        no_faults,
        "delete it and materialize {profile}/tape_{kind} of {symbol} again, which fetches its window (`smallcaps plan "
        "--profile {profile}` shows the cost); then {profile}/capture_ledger",
    ),
    FileKind(
        "ledgers",
        rf"tape/{_PROFILE}/ledger\.parquet",
        parquet_state,
        table_faults,
        "materialize {profile}/capture_ledger: no request",
    ),
    FileKind(
        "capture reports",
        rf"tape/{_PROFILE}/report\.parquet",
        parquet_state,
        table_faults,
        "materialize {profile}/capture_report: no request",
    ),
    FileKind(
        "review pages",
        rf"review/{_PROFILE}/{_MANIFEST}\.html",
        page_state,
        no_faults,
        "materialize {profile}/review_sheet: no request",
    ),
    FileKind(
        "review samples",
        rf"review/{_PROFILE}/{_MANIFEST}\.json",
        document_state,
        manifest_document_faults,
        "materialize {profile}/review_sheet: no request",
    ),
    FileKind(
        "labels",
        rf"review/{_PROFILE}/marks/{_MANIFEST}/[^/]+\.json",
        label_state,
        label_faults,
        "delete it and import the exported file again with `smallcaps review FILE`",
    ),
    FileKind(
        "quarantine",
        r"quarantine/(bars|events|tape)/.+\.parquet",
        parquet_state,
        table_faults,
        "delete it: rejected rows are evidence, nothing is made of them",
    ),
    FileKind(
        "failed windows",
        rf"quarantine/tape/{_PROFILE}/(?:trades|quotes)/wave=[A-Z]+/{_SYMBOL}/{_SPAN}\.json",
        document_state,
        failure_faults,
        "delete it: its window is asked for again by the next capture in any case",
    ),
)

_PATTERNS: Final = [(re.compile(kind.pattern), kind) for kind in FILE_KINDS]


def kind_of(file: str) -> FileKind | None:
    """The kind of a file, by its path below the lake; None where the lake does not know it."""
    return next((kind for pattern, kind in _PATTERNS if pattern.fullmatch(file)), None)


def is_set_aside(file: str) -> bool:
    """Whether a file is only evidence: a damaged file that was set aside, or the record of an error."""
    return file.startswith(("quarantine/damaged/", "quarantine/unexpected/"))


def is_read_as_folder(file: str) -> bool:
    """Whether readers of whole folders would count the rows of a file, whatever its name."""
    return _READ_AS_FOLDERS.fullmatch(file) is not None


def is_of_profile(file: str, profile: str) -> bool:
    """Whether a file belongs to one profile."""
    parts = file.removeprefix("quarantine/").split("/")
    return parts[0] in {"manifests", "tape", "review"} and parts[1:2] == [profile]
