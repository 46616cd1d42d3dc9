"""Proofs of event shards: a damaged shard is set aside, so that its events are detected again from the bars.

A shard of an earlier release gets its hash when it is first proved, if its events have the digest in its footer.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.tables import SHARD
from smallcaps_assets.domain.versions import rows_digest
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.events.shard_coverage import CONTENT, SYMBOL_OF_SHARD, ShardCoverage
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.content_hash import ProofState, proof_and_entry
from smallcaps_assets.lake.files.damaged_files import set_aside
from smallcaps_assets.lake.files.publish import PROVENANCE, disk_errors, provenance_of, publish_frame
from smallcaps_assets.lake.files.stored_tables import prove, read_table

_NAMED: Final = 5
# the JSON of a footer as shards are published, whose coverage is long: parsing it takes longer than the proof
_FOOTER: Final = re.compile(r'\{"content": "(?P<content>[0-9a-f]+)", .*"symbol": "(?P<symbol>[^"\\]+)"\}', re.DOTALL)


class ProvenShard(NamedTuple):
    """What a shard covers, None where no shard is usable; and why it was set aside, None where it was not."""

    coverage: ShardCoverage | None
    set_aside: str | None = None


def prove_shard(store: ShardStore, symbol: str) -> ProvenShard:
    """Prove the shard of `symbol`, which reads all of it; one that is damaged, or of another symbol, is set aside.

    Raises:
        LakeError: the disk refuses.
    """
    path = store.lake.shard(symbol)
    if not path.is_file():
        return ProvenShard(None)
    try:
        _prove(store, symbol)
        return ProvenShard(store.coverage(symbol))
    except LakeError as error:
        if isinstance(error.__cause__, OSError):
            raise
        reason = error.cause or f"{error}"
    set_aside(store.lake, path, reason)
    return ProvenShard(None, reason)


def prove_shards(store: ShardStore) -> dict[str, str]:
    """Prove every shard; returns `ShardStore.contents`.

    Raises:
        LakeError: shards are damaged, or of other symbols; names the first and the remedy.
    """
    contents = _proven_contents(store)
    faulty = [symbol for symbol, content in contents.items() if content is None]
    if not faulty:
        return {symbol: content or "" for symbol, content in contents.items()}
    more = f" and {len(faulty) - _NAMED:,} more" if len(faulty) > _NAMED else ""
    names = f"{', '.join(faulty[:_NAMED])}{more}"
    shards = f"the shards of {names} are" if len(faulty) > 1 else f"the shard of {names} is"
    path = store.lake.shard(faulty[0]) if len(faulty) == 1 else store.lake.shards
    raise LakeError(
        f"{path}: {shards} damaged. Materialize event_shards of {names}: what is damaged is set aside in the "
        "quarantine, and its events are detected again from the bars, without a request; then master_events.",
        path,
    )


def find_damaged_shards(store: ShardStore) -> Sequence[str]:
    """Symbols whose shards are damaged, or are those of other symbols; reads every shard."""
    return [symbol for symbol, content in _proven_contents(store).items() if content is None]


def _proven_contents(store: ShardStore) -> dict[str, str | None]:
    """The digest of the events of each shard; None of those that are damaged, or of other symbols."""
    return {symbol: _proven_content(store, symbol) for symbol in store.symbols()}


def _proven_content(store: ShardStore, symbol: str) -> str | None:
    path = store.lake.shard(symbol)
    with disk_errors("read", path):
        proof, footer = proof_and_entry(path, PROVENANCE)
    if proof.state is ProofState.DAMAGED:
        return None
    if footer is None:
        return ""  # of another program: nothing is known of it, and MASTER has rules of its own
    written = _FOOTER.fullmatch(footer)
    if written and proof.state is ProofState.INTACT:
        return written["content"] if written["symbol"] == symbol else None
    try:
        return store.version(symbol) or ""
    except LakeError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return None


def _prove(store: ShardStore, symbol: str) -> None:
    """Require that a shard is not damaged; one without a hash is published again with one.

    Raises:
        LakeError: it is damaged or cannot be read.
    """
    path = store.lake.shard(symbol)
    if prove(path) is not None:
        return
    events = _read(path)
    provenance = provenance_of(path) or {}
    if CONTENT not in provenance:
        return  # it covers nothing, so all of it is detected again
    if events is None or provenance[CONTENT] != rows_digest(events) or set(events["symbol"]) - {symbol}:
        # such a shard carries no hash, and another release of Polars computes another digest of the same events
        what = "carries no hash, and its events do not have the digest that its footer records"
        raise LakeError(f"{path}: {what}.", path).with_facts(what)
    publish_frame(path, events, provenance | {SYMBOL_OF_SHARD: symbol}, sweeps=False, below=store.lake.root)


def _read(path: Path) -> pl.DataFrame | None:
    """The events (SHARD) in a file; None where it has other columns."""
    try:
        return read_table(path, SHARD)
    except InputError:
        return None
