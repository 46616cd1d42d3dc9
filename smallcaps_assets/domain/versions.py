"""What tells one version of code, settings or rows from another."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

import polars as pl
from pydantic import TypeAdapter

_HEX_DIGITS: Final = 16


def code_version(version: str, *settings: object) -> str:
    """`version` of the code, and a digest of the `settings` (models or plain values) that decide what it makes."""
    told = TypeAdapter(Any).dump_python(settings, mode="json")
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return f"{version}-{digest([text])[:8]}" if settings else version


def digest(parts: Iterable[str]) -> str:
    """A digest of texts, in their order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_HEX_DIGITS]


def rows_digest(rows: pl.DataFrame) -> str:
    """A digest of what rows say, in their order, whatever file they lie in; another release of Polars may tell another.

    Polars hashes what is said, not how it lies in memory.
    """
    said = rows.hash_rows().to_numpy().tobytes()
    return hashlib.sha256("\n".join(rows.columns).encode() + said).hexdigest()[:_HEX_DIGITS]
