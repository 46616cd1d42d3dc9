"""The kinds of files of a lake: how each is named, what proves it, and what it says of itself."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from smallcaps_assets.lake.files.content_hash import ProofState
from smallcaps_assets.lake.verification.file_rules import (
    FileFault,
    candidate_faults,
    condition_bar_faults,
    coverage_faults,
    document_state,
    failure_faults,
    flat_faults,
    imports_faults,
    label_faults,
    label_state,
    list_faults,
    manifest_document_faults,
    month_faults,
    no_faults,
    page_state,
    parquet_state,
    research_faults,
    selecting_faults,
    shard_faults,
    table_faults,
    unproven_state,
)

_SYMBOL: Final = r"symbol=[^/]+"
_PROFILE: Final = r"(?P<profile>[a-z]+)"
_MANIFEST: Final = r"(?P=profile)_\d{8}_\d{6}"
_SPAN: Final = r"\d{8}T\d{6}_\d{8}T\d{6}"
# where readers of a whole folder count the rows of every parquet file
_READ_AS_FOLDERS: Final = re.compile(
    r"(bars/(minute|flat/minute)|events/(shards|candidates|condition_bars)|tape/[a-z]+/(trades|quotes))/.*\.parquet"
)
# the folders of these kinds of files; those of the quarantine repeat them
_FOLDERS: Final = re.compile(
    r"quarantine(?:/(?:damaged|unexpected))?|(?:quarantine/)?(?:"
    rf"bars(?:/minute(?:/{_SYMBOL})?|/flat(?:/minute)?)?|events(?:/(?:shards|candidates|condition_bars|coverage))?|"
    r"reference(?:/listings(?:/snapshots)?)?|reports|manifests(?:/[a-z]+)?|"
    rf"tape(?:/[a-z]+(?:/(?:trades|quotes)(?:/wave=[A-Z]+(?:/{_SYMBOL})?)?)?)?|"
    r"review(?:/[a-z]+(?:/marks(?:/[a-z]+_\d{8}_\d{6})?)?)?|"
    r"research(?:/[a-z_]+(?:/[a-z_]+(?:/wave=[A-Z]+)?)?)?)"
)


class FileKind(NamedTuple):
    """One kind of files.

    Attributes:
        name: of the kind, in the plural.
        pattern: of their paths below the lake.
        state: whether a file is what was published.
        faults: what is wrong with a file by itself, given its state.
    """

    name: str
    pattern: str
    state: Callable[[Path], ProofState]
    faults: Callable[[Path, ProofState], Iterator[FileFault]]


def _table_with(*columns: str) -> Callable[[Path, ProofState], Iterator[FileFault]]:
    """The faults of a table with the columns that mark its kind, which tables of every release have."""
    return partial(table_faults, columns=columns)


FILE_KINDS: Final[tuple[FileKind, ...]] = (
    FileKind("minute bars", rf"bars/minute/{_SYMBOL}/\d{{4}}-\d{{2}}\.parquet", parquet_state, month_faults),
    FileKind("flat files", r"bars/flat/minute/\d{4}-\d{2}-\d{2}\.parquet", parquet_state, flat_faults),
    FileKind("shards", rf"events/shards/{_SYMBOL}\.parquet", parquet_state, shard_faults),
    FileKind("candidates", rf"events/candidates/{_SYMBOL}\.parquet", parquet_state, candidate_faults),
    FileKind("condition bars", rf"events/condition_bars/{_SYMBOL}\.parquet", parquet_state, condition_bar_faults),
    FileKind(
        "shard coverage",
        r"events/coverage/[^/]+\.json|events/shards/(coverage=[^/]+\.json|symbol=[^/]+\.jsonl)",
        lambda path: unproven_state(path) if path.suffix == ".jsonl" else document_state(path),
        coverage_faults,
    ),
    FileKind("MASTER", r"events/master\.parquet", parquet_state, _table_with("event_id", "score", "tier")),
    FileKind("imported events", r"events/adopted\.parquet", parquet_state, _table_with("event_id", "symbol")),
    FileKind("universe", r"reference/universe\.parquet", parquet_state, _table_with("symbol", "active", "reason")),
    FileKind("ticker details", r"reference/ticker_details\.parquet", parquet_state, _table_with("symbol", "asked_for")),
    FileKind(
        "trade conditions",
        r"reference/trade_conditions\.parquet",
        parquet_state,
        _table_with("id", "updates_volume", "sha256"),
    ),
    FileKind("splits", r"reference/splits\.parquet", parquet_state, _table_with("symbol", "split_from", "split_to")),
    FileKind("listings", r"reference/listings\.parquet", parquet_state, _table_with("listing_id", "active_from")),
    FileKind(
        "listing facts", r"reference/listing_facts\.parquet", parquet_state, _table_with("listing_id", "valid_from")
    ),
    FileKind(
        "lists of tickers", r"reference/listings/snapshots/\d{4}-\d{2}-\d{2}\.parquet", parquet_state, list_faults
    ),
    FileKind(
        "answers on tickers",
        r"reference/listings/observations\.parquet",
        parquet_state,
        _table_with("day", "symbol", "is_listed"),
    ),
    FileKind(
        "ticker events",
        r"reference/listings/ticker_events\.parquet",
        parquet_state,
        _table_with("asked_for", "asked_on", "ticker"),
    ),
    FileKind(
        "delisted tickers",
        r"reference/listings/delisted\.parquet",
        parquet_state,
        _table_with("symbol", "delisted", "is_settled"),
    ),
    FileKind(
        "shares outstanding",
        r"reference/shares_outstanding\.parquet",
        parquet_state,
        _table_with("symbol", "asked_for", "shares_outstanding"),
    ),
    FileKind(
        "listings of events",
        r"events/listings\.parquet",
        parquet_state,
        _table_with("event_id", "listing_id", "in_universe_at_event"),
    ),
    FileKind("record of imports", r"reference/imports\.json", document_state, imports_faults),
    FileKind("reports", r"reports/(?:nightly|coverage)\.parquet", parquet_state, _table_with("symbol")),
    FileKind(
        "manifests",
        rf"manifests/{_PROFILE}/{_MANIFEST}\.parquet",
        parquet_state,
        _table_with("event_id", "window_before_min"),
    ),
    FileKind(
        "selecting cohorts",
        rf"manifests/{_PROFILE}/cohorts_\d{{8}}_[0-9a-f]{{16}}\.parquet",
        parquet_state,
        selecting_faults,
    ),
    FileKind("sidecars", rf"manifests/{_PROFILE}/{_MANIFEST}\.json", document_state, manifest_document_faults),
    FileKind("pointers", rf"manifests/{_PROFILE}/current\.json", document_state, no_faults),
    FileKind(
        "tape", rf"tape/{_PROFILE}/(?:trades|quotes)/wave=[A-Z]+/{_SYMBOL}/{_SPAN}\.parquet", parquet_state, no_faults
    ),
    FileKind(
        "ledgers", rf"tape/{_PROFILE}/(?:control_)?ledger\.parquet", parquet_state, _table_with("event_id", "state")
    ),
    FileKind("capture reports", rf"tape/{_PROFILE}/report\.parquet", parquet_state, _table_with("figure", "value")),
    FileKind("review pages", rf"review/{_PROFILE}/{_MANIFEST}\.html", page_state, no_faults),
    FileKind("review samples", rf"review/{_PROFILE}/{_MANIFEST}\.json", document_state, manifest_document_faults),
    FileKind("labels", rf"review/{_PROFILE}/marks/{_MANIFEST}/[^/]+\.json", label_state, label_faults),
    FileKind(
        "research tables",
        rf"research/(?:[a-z_]+\.parquet|[a-z]+/[a-z_]+\.parquet|[a-z_]+/{_SYMBOL}\.parquet|"
        rf"[a-z]+/[a-z_]+/wave=[A-Z]+/{_SYMBOL}\.parquet)",
        parquet_state,
        research_faults,
    ),
    FileKind("quarantine", r"quarantine/(bars|events|tape)/.+\.parquet", parquet_state, _table_with("reason")),
    FileKind(
        "failed windows",
        rf"quarantine/tape/{_PROFILE}/(?:trades|quotes)/wave=[A-Z]+/{_SYMBOL}/{_SPAN}\.json",
        document_state,
        failure_faults,
    ),
    FileKind("id of the lake", r"lake\.json", document_state, no_faults),
)

_PATTERNS: Final = [(re.compile(kind.pattern), kind) for kind in FILE_KINDS]


def kind_of(file: str) -> FileKind | None:
    """The kind of a file, by its path below the lake; None where the lake does not know it."""
    return next((kind for pattern, kind in _PATTERNS if pattern.fullmatch(file)), None)


def is_set_aside(file: str) -> bool:
    """Whether a file is only evidence: a damaged file that was set aside, or the record of an error."""
    return file.startswith(("quarantine/damaged/", "quarantine/unexpected/"))


def is_read_as_folder(file: str) -> bool:
    """Whether readers of whole folders would count the rows of a file, under any name."""
    return _READ_AS_FOLDERS.fullmatch(file) is not None


def is_place_of_folder(path: str) -> bool:
    """Whether a folder belongs at a path below the lake."""
    return _FOLDERS.fullmatch(path) is not None


def is_of_profile(file: str, profile: str) -> bool:
    """Whether a file belongs to one profile."""
    parts = file.removeprefix("quarantine/").split("/")
    return parts[0] in {"manifests", "tape", "review", "research"} and parts[1:2] == [profile]
