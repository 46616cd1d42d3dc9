"""Versions of code, settings and rows."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

import polars as pl
from pydantic import TypeAdapter

_HEX_DIGITS: Final = 16


def code_version(version: str, *settings: object) -> str:
    """`version` of the code with a digest of the `settings` (models or plain values) that its output depends on."""
    values = TypeAdapter(Any).dump_python(settings, mode="json")
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return f"{version}-{digest([text])[:8]}" if settings else version


def digest(parts: Iterable[str]) -> str:
    """A digest of texts, in their order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_HEX_DIGITS]


def rows_digest(rows: pl.DataFrame) -> str:
    """A digest of the values of rows, in their order, whatever file they are in.

    It does not depend on the memory layout, but another release of Polars may compute another digest.
    """
    hashes = rows.hash_rows().to_numpy().tobytes()
    return hashlib.sha256("\n".join(rows.columns).encode() + hashes).hexdigest()[:_HEX_DIGITS]
