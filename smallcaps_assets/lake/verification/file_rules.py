"""What a file of the lake says of itself, compared with its rows and its place."""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.bars.flat_files import FLAT_BARS
from smallcaps_assets.domain.research.cohorts.selecting import identity_of_cohorts
from smallcaps_assets.domain.research.tables.cohort_tables import BEYOND_SPECIFICATION, SELECTING_COHORTS
from smallcaps_assets.domain.versions import rows_digest
from smallcaps_assets.lake.bar_files.month_files import NO_BARS, SYMBOL_OF_MONTH, fingerprint_sessions, parse_sessions
from smallcaps_assets.lake.events.candidates import origin_in
from smallcaps_assets.lake.events.coverage_differences import is_difference
from smallcaps_assets.lake.events.shard_coverage import CONTENT, SYMBOL_OF_SHARD
from smallcaps_assets.lake.files.content_hash import DOCUMENT_KEY, ProofState, document_proof, proof_of
from smallcaps_assets.lake.files.documents import parse_json_object, read_document
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.flat_bars.store import FlatFile
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import PLACE, research_place
from smallcaps_assets.lake.review import PAGE_KEY, label_digest
from smallcaps_assets.lake.symbol_paths import symbol_of

# which mark a table of bars
MONTH_COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "volume")
OTHER_DIGEST: Final = "has events other than its footer records"


class FileFault(NamedTuple):
    """What is wrong with a file by itself."""

    what: str
    expected: str
    found: str


# ------------------------------------------------------------------------------------------------- states


def parquet_state(path: Path) -> ProofState:
    """Whether a parquet file is what was published, by the hash in its footer."""
    return proof_of(path).state


def document_state(path: Path) -> ProofState:
    """Whether a JSON document is what was published, by its own hash.

    Raises:
        ValueError: it is no JSON document.
    """
    document = parse_json_object(path.read_bytes())
    if document is None:
        raise ValueError("is not a JSON document")
    return document_proof(document).state


def page_state(path: Path) -> ProofState:
    """Whether the page of a review sheet is what was published, by the hash in its sample."""
    sample = path.with_suffix(".json")
    content = path.read_bytes()
    document = parse_json_object(sample.read_bytes()) if sample.is_file() else None
    recorded = (document or {}).get(PAGE_KEY)
    if recorded is None:
        return ProofState.NOT_PROVABLE
    return ProofState.INTACT if hashlib.sha256(content).hexdigest() == recorded else ProofState.DAMAGED


def label_state(path: Path) -> ProofState:
    """Whether a label file is what was imported, by the digest that ends its name."""
    same = path.stem.rpartition("-")[2] == label_digest(path.read_bytes())
    return ProofState.INTACT if same else ProofState.DAMAGED


def unproven_state(path: Path) -> ProofState:
    """The state of a file of which no release records a hash."""
    path.read_bytes()
    return ProofState.NOT_PROVABLE


# ------------------------------------------------------------------------------------------------- faults


def no_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001 -- rules share one signature
    """Nothing that could be compared."""
    return iter(())


def table_faults(path: Path, state: ProofState, columns: Collection[str] = ()) -> Iterator[FileFault]:
    """A table has the columns that mark its kind. One without a hash must be readable; no more is known of it."""
    if state is ProofState.NOT_PROVABLE:
        pl.read_parquet(path, hive_partitioning=False, glob=False)
    yield from _column_faults(path, columns)


def _column_faults(path: Path, columns: Collection[str]) -> Iterator[FileFault]:
    found = pl.scan_parquet(path, hive_partitioning=False, glob=False).collect_schema()
    if absent := [name for name in columns if name not in found]:
        words = f"a table with the columns {', '.join(columns)}"
        yield FileFault("is a table of another kind", words, f"one without {', '.join(absent)}")


_INSERTED: Final = {name: pl.lit(None, SELECTING_COHORTS[name]) for name in BEYOND_SPECIFICATION}


def list_faults(path: Path, state: ProofState) -> Iterator[FileFault]:
    """A list of tickers that is of another session than its name says."""
    yield from table_faults(path, state, ("symbol", "share_class_figi"))
    day = (provenance_of(path) or {}).get("day")
    if day != path.stem:
        yield FileFault("is of another session", path.stem, f"{day}")


def selecting_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001 -- rules share one signature
    """Cohorts that selected events: their values are those of the digest in the name of the file."""
    if faults := [*_column_faults(path, [name for name in SELECTING_COHORTS if name not in BEYOND_SPECIFICATION])]:
        yield from faults
        return
    digest_of_name = path.stem.rpartition("_")[2]
    rows = _rows_of(path).match_to_schema(SELECTING_COHORTS, missing_columns=_INSERTED)
    found = identity_of_cohorts(rows)
    if not found.startswith(digest_of_name):
        yield FileFault("has other cohorts than its name says", digest_of_name, found[: len(digest_of_name)])


def month_faults(path: Path, state: ProofState) -> Iterator[FileFault]:
    """A month of bars: symbol and month are those of its path; without a hash, the bars those of its fingerprints."""
    symbol, footer = symbol_of(path.parent.name), provenance_of(path)
    symbols = {footer.get(SYMBOL_OF_MONTH, symbol)} if footer else set()
    yield from (faults := [*_column_faults(path, MONTH_COLUMNS)])
    bars = None if faults or state is ProofState.INTACT else _rows_of(path)
    if bars is not None and "symbol" in bars.columns:  # of an earlier release
        symbols |= set(bars["symbol"].unique().to_list())
    if others := sorted(map(str, symbols - {symbol})):
        yield FileFault("has bars of another symbol", symbol, ", ".join(others))
    if footer is None or faults:
        return
    sessions = parse_sessions(footer["sessions"])
    if outside := sorted(day for day in sessions if f"{day:%Y-%m}" != path.stem):
        yield FileFault("has sessions of another month", path.stem, f"{outside[0]}")
    published = {day: mark for day, mark in sessions.items() if mark != NO_BARS}
    found = published if bars is None else fingerprint_sessions(bars)
    if others := [f"{day}" for day in sorted(found | published) if found.get(day) != published.get(day)]:
        words = f"others in {len(others):,} of {len(sessions):,}, such as {others[0]}"
        yield FileFault("has bars other than its footer records", "the fingerprints of its sessions", words)


def flat_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001
    """The bars of a flat file: its footer names the file that it was made of, of the session of its name."""
    yield from _column_faults(path, FLAT_BARS.names())
    try:
        file = FlatFile.from_json(provenance_of(path) or {})
    except (KeyError, TypeError, ValueError):
        yield FileFault("does not name its file", "key, ETag and rows of a flat file in the footer", "no such record")
        return
    if f"{file.day}" != path.stem:
        yield FileFault("has bars of another session", path.stem, f"{file.day}")
    rows = pl.scan_parquet(path, hive_partitioning=False, glob=False).select(pl.len()).collect().item()
    if rows != file.bars:
        yield FileFault("has other rows than its footer records", f"{file.bars:,} bars", f"{rows:,}")


def shard_faults(path: Path, state: ProofState) -> Iterator[FileFault]:
    """A shard: its events are of the symbol of its name and, unless its hash proves them, of the recorded digest."""
    footer = provenance_of(path)
    if footer is None:
        yield FileFault("is no shard", "a digest of its events in the footer", "no provenance")
        return
    symbol = symbol_of(path.stem)
    # a shard without events is known by its footer
    symbols = {footer.get(SYMBOL_OF_SHARD, symbol)}
    events = None if state is ProofState.INTACT and SYMBOL_OF_SHARD in footer else _rows_of(path)
    if events is not None:
        symbols |= set(events["symbol"].unique())
    if others := sorted(map(str, symbols - {symbol})):
        yield FileFault("has events of another symbol", symbol, ", ".join(others))
    if events is None or state is ProofState.INTACT:
        return
    if footer.get(CONTENT) != (found := rows_digest(events)):
        yield FileFault(OTHER_DIGEST, str(footer.get(CONTENT)), found)


def candidate_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001
    """Candidates: they are of the symbol of their name, and record what they were detected from."""
    yield from _origin_faults(path, "candidates")
    yield from _column_faults(path, ("event_id", "passes_filters", "kept_by_cooldown"))


def condition_bar_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001
    """Condition bars: as `candidate_faults`."""
    yield from _origin_faults(path, "condition bars")
    yield from _column_faults(path, ("bar", "spike_x", "dollar_volume_day"))


def _origin_faults(path: Path, what: str) -> Iterator[FileFault]:
    footer, symbol = provenance_of(path) or {}, symbol_of(path.stem)
    if origin_in(footer) is None:
        yield FileFault(f"is no table of {what}", "what they were detected from in the footer", "no such record")
    elif (recorded := footer.get(SYMBOL_OF_SHARD)) != symbol:
        yield FileFault(f"has {what} of another symbol", symbol, str(recorded))


def research_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001
    """A file of a research table: its footer names its place."""
    root = next(folder for folder in path.parents if folder.name == "research").parent
    place = research_place(Lake(root), path)
    footer = provenance_of(path) or {}
    if footer.get(PLACE) != place:
        yield FileFault("is not the file of its place", _in_words(place), _in_words(footer.get(PLACE)))


def _in_words(place: object) -> str:
    if not isinstance(place, dict):
        return "no place in its footer"
    return ", ".join(f"{name} {place[name]}" for name in sorted(place))


def _rows_of(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path, hive_partitioning=False, glob=False)


def coverage_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001
    """A table of what shards cover: every entry can be read."""
    if path.suffix == ".jsonl":  # of release 0.1
        if parse_json_object(path.read_bytes().partition(b"\n")[0]) is None:
            yield FileFault("cannot be read", "a coverage in its first line", "no JSON document")
        return
    table = parse_json_object(path.read_bytes()) or {}
    if others := sorted(name for name, entry in table.items() if name != DOCUMENT_KEY and not is_difference(entry)):
        yield FileFault(
            "has entries that cannot be read", "a coverage for each symbol", f"others for {', '.join(others)}"
        )
    initial = path.stem.removeprefix("coverage=")
    if others := sorted(name for name in table if name != DOCUMENT_KEY and name[:1].upper() != initial):
        yield FileFault("covers other symbols", f"symbols that begin with {initial}", ", ".join(others))


def manifest_document_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001
    """A sidecar, or the sample of a review sheet: it names its manifest and its profile."""
    document = read_document(path, "", {"manifest_id": str, "profile": str})
    found, expected = (document["manifest_id"], document["profile"]), (path.stem, path.parent.name)
    if found != expected:
        yield FileFault("is not of this manifest", " of ".join(expected), " of ".join(map(str, found)))


def label_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001
    """Labels: those of the manifest of their folder."""
    found = read_document(path, "", {"manifest_id": str})["manifest_id"]
    if found != path.parent.name:
        yield FileFault("has labels of another manifest", path.parent.name, str(found))


def failure_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001
    """The record of a failure: it has a state and a cause, and is of the span of its path."""
    record = read_document(path, "", {"state": str, "cause": str, "wave": str, "events": list})
    wave, symbol = path.parent.parent.name.removeprefix("wave="), symbol_of(path.parent.name)
    place = {"wave": wave, "symbol": symbol, "span": path.stem}
    for name, expected in place.items():
        if record.get(name, expected) != expected:  # earlier releases recorded the wave only
            yield FileFault(f"is of another {name}", expected, str(record[name]))


def imports_faults(path: Path, state: ProofState) -> Iterator[FileFault]:  # noqa: ARG001
    """The record of imports: a list of kinds."""
    kinds = read_document(path, "", {"kinds": list})["kinds"]
    if set(map(str, kinds)) - {"bars", "events", "windows"}:
        yield FileFault("names other kinds", "bars, events, windows", str(kinds))
