"""Small JSON documents of the lake, each with the hash of its other entries, so that damage can be proved."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.content_hash import ProofState, document_proof, seal_document
from smallcaps_assets.lake.files.publish import disk_errors, publish_text


def document_text(document: Mapping[str, Any], *, indent: int | None = None) -> str:
    """A document, whose keys are all texts, with its hash, as it is published."""
    return json.dumps(seal_document(document), indent=indent) + "\n"


def publish_document(
    path: Path,
    document: Mapping[str, Any],
    *,
    indent: int | None = None,
    sweeps: bool = True,
    below: Path | None = None,
) -> None:
    """Publish a document with its hash. See `publish` for `sweeps` and `below`.

    Raises:
        LakeError: the file cannot be written.
    """
    publish_text(path, document_text(document, indent=indent), sweeps=sweeps, below=below)


def read_document(path: Path, remedy: str, needs: Mapping[str, type] = MappingProxyType({})) -> dict[str, Any]:
    """The entries of a document, with its hash if it has one; earlier releases wrote none.

    Args:
        path: the file.
        remedy: how to get it back: a sentence.
        needs: entries that it must have, and their types.

    Raises:
        LakeError: it does not exist, cannot be read, is damaged, or lacks an entry of its type.
    """
    with disk_errors("read", path):
        document = parse_json_object(path.read_bytes())
    problem = None
    if document is None:
        problem = "is not a JSON document"
    elif document_proof(document).state is ProofState.DAMAGED:
        problem = "is damaged: its content is not what was published (SHA-256)"
    elif others := [name for name, kind in needs.items() if not isinstance(document.get(name), kind)]:
        problem = f"has no usable {', '.join(others)}"
    if document is None or problem is not None:
        raise LakeError(f"{path}: {problem}. {remedy}", path).with_facts(problem)
    return document


def parse_json_object(content: bytes) -> dict[str, Any] | None:
    """The entries of a JSON document; None where the bytes are not one."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
