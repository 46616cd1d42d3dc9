"""Pictures in metadata, drawn once for the same data: the last materialization of an asset still has them.

Each PNG names the digest of what it was drawn from: the data, the code that draws, and the release of Matplotlib. A
picture whose digest is the same would be the same picture, byte for byte.
"""

import base64
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Final, ParamSpec

import dagster as dg
import polars as pl

from smallcaps_assets.pipeline import cohort_pictures, picture_margins, pictures

_P = ParamSpec("_P")
_MODULES: Final = (pictures, cohort_pictures, picture_margins)
_KEYWORD: Final = b"drawn from\0"
# a PNG begins with its signature (8 bytes) and the chunk IHDR (25 bytes)
_HEAD: Final = 33
# the chunk that names the digest, in hexadecimal digits
_CHUNK: Final = 12 + len(_KEYWORD) + 64
_IMAGE: Final = re.compile(r"!\[[^]]*\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)")

# by digest, the pictures of the last materialization; read when the first picture is asked for
_earlier: ContextVar[Callable[[], Mapping[str, str]]] = ContextVar("earlier pictures", default=dict)


@contextmanager
def reused_pictures(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Iterator[None]:
    """Within this context, pictures that the last materialization of `asset` has are not drawn again."""
    token = _earlier.set(cache(lambda: _pictures_of(instance, asset)))
    try:
        yield
    finally:
        _earlier.reset(token)


def drawn(what: str, draw: Callable[_P, bytes], *data: _P.args, **more: _P.kwargs) -> dg.MarkdownMetadataValue:
    """A picture as Markdown, drawn unless the last materialization has it.

    Args:
        what: what it shows, for those who do not see it.
        draw: a function of `pipeline/pictures.py` or `cohort_pictures.py` that returns a PNG.
        data: its arguments: frames, with no more columns than are drawn, series, and values whose `repr` tells them.
        more: its other arguments.
    """
    digest = _digest(draw.__name__, *data, *sorted(more.items()))
    encoded = _earlier.get()().get(digest)
    if encoded is None:
        encoded = base64.b64encode(_with_digest(draw(*data, **more), digest)).decode()
    return dg.MetadataValue.md(f"![{what}](data:image/png;base64,{encoded})")


def _pictures_of(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dict[str, str]:
    """The pictures of the last materialization of an asset in base 64, by digest; those without one are left out."""
    records = instance.fetch_materializations(asset, limit=1).records
    last = records[0].asset_materialization if records else None
    values = last.metadata.values() if last else ()
    texts = (one.md_str or "" for one in values if isinstance(one, dg.MarkdownMetadataValue))
    images = (found[1] for text in texts if (found := _IMAGE.fullmatch(text)))
    return {digest: encoded for encoded in images if (digest := _digest_of(encoded))}


def _digest(*data: object) -> str:
    """The digest of data to draw, of the code that draws, and of the release that it uses."""
    found = sha256(_code())
    for one in data:
        if isinstance(one, pl.Series):
            found.update(_content(one.to_frame()))
        elif isinstance(one, pl.DataFrame):
            found.update(_content(one))
        else:
            found.update(repr(one).encode())
        found.update(b"\0")
    return found.hexdigest()


def _content(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    # without views and chunks, whose bytes depend on how a frame was made
    frame.rechunk().write_ipc(buffer, compat_level=pl.CompatLevel.oldest())
    return buffer.getvalue()


@cache
def _code() -> bytes:
    sources = (Path(module.__file__ or "").read_bytes() for module in _MODULES)
    return sha256(b"\0".join([*sources, version("matplotlib").encode(), version("pillow").encode()])).digest()


def _with_digest(png: bytes, digest: str) -> bytes:
    """A PNG with a text chunk that names a digest."""
    body = b"tEXt" + _KEYWORD + digest.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_HEAD] + chunk + png[_HEAD:]


def _digest_of(encoded: str) -> str | None:
    """The digest that a PNG in base 64 names; None if it names none."""
    # three bytes are four characters
    begin = base64.b64decode(encoded[: 4 * -(-(_HEAD + _CHUNK) // 3)])[_HEAD:]
    head = 8 + len(_KEYWORD)
    return begin[head : head + 64].decode("ascii") if begin[4:head] == b"tEXt" + _KEYWORD else None
