"""What tells one version of code, settings or rows from another."""

import hashlib
import json
from collections.abc import Iterable

import polars as pl
from pydantic_core import to_jsonable_python

_HEX_DIGITS = 16


def code_version(version: str, *settings: object) -> str:
    """`version` of the code, and a digest of the `settings` (models or plain values) that decide what it makes."""
    text = json.dumps(to_jsonable_python(settings), sort_keys=True, separators=(",", ":"))
    return f"{version}-{digest([text])[:8]}" if settings else version


def digest(parts: Iterable[str]) -> str:
    """A digest of texts, in their order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_HEX_DIGITS]


def rows_digest(rows: pl.DataFrame) -> str:
    """A digest of what rows say, in their order, whatever file they lie in."""
    return digest([*rows.columns, rows.write_ndjson()])
