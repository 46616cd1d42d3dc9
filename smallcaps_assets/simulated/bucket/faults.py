"""Faulty flat files: cut, replaced by a later version, of another day, not there."""

import gzip
import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

from smallcaps_assets.simulated.bucket.files import Bucket, StoredFile, etag_of
from smallcaps_assets.simulated.bucket.keys import stored_day

FILE_FAULTS: Final = ("file_cut", "file_replaced", "file_swapped", "file_missing")
_UNIFORM_BITS: Final = 53
_LOTS: Final = 40
_REMOVED: Final = 0
_CHANGED: Final = (1, 2)


class ScriptedFileFault(Protocol):
    """A rule of a fault script, such as `Fault`; `rate` is the share of the files whose key contains `path`."""

    @property
    def fault(self) -> str:
        """One of FILE_FAULTS."""
        ...

    @property
    def rate(self) -> float:
        """From 0 to 1."""
        ...

    @property
    def path(self) -> str:
        """Text that the key must contain."""
        ...


class FaultyFiles:
    """A bucket some of whose files are faulty, always the same ones; the first rule that applies to a file decides.

    `file_cut` is the first half of the file. `file_replaced` is a later version: about one row in forty is gone, two in
    forty have another close and a volume that is 100 larger; the choice depends on the row. `file_swapped` is the next
    file of the bucket, or the one before the last file. `file_missing` is not listed.

    Args:
        bucket: the files.
        rules: the faults.
        seed: selects the files that are hit at the same rates.
    """

    def __init__(self, bucket: Bucket, rules: Sequence[ScriptedFileFault], seed: int = 0) -> None:
        self._bucket = bucket
        self._rules = tuple(rules)
        self._seed = seed

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, ascending."""
        return [key for key in self._bucket.keys(prefix) if self._fault_of(key) != "file_missing"]

    def stat(self, key: str) -> StoredFile | None:
        """What a listing says of a file; None if there is none."""
        about = self._bucket.stat(key)
        if about is None or self._fault_of(key) is None:
            return about
        body = self.read(key)
        return None if body is None else StoredFile(key, len(body), etag_of(body), about.modified)

    def read(self, key: str) -> bytes | None:
        """The content of a file; None if there is none."""
        fault, body = self._fault_of(key), self._bucket.read(key)
        if body is None or fault is None:
            return body
        if fault == "file_missing":
            return None
        if fault == "file_cut":
            return body[: len(body) // 2]
        return replaced_file(body) if fault == "file_replaced" else self._neighbour(key)

    def _neighbour(self, key: str) -> bytes | None:
        found = stored_day(key)
        keys = self._bucket.keys("" if found is None else key[: key.index(found[0]) + len(found[0])])
        place = keys.index(key)
        other = keys[place + 1] if place + 1 < len(keys) else keys[place - 1]
        return self._bucket.read(other)

    def _fault_of(self, key: str) -> str | None:
        for index, rule in enumerate(self._rules):
            digest = hashlib.sha256(f"{self._seed}|{index}|{key}".encode()).digest()
            uniform = (int.from_bytes(digest[:8], "big") >> (64 - _UNIFORM_BITS)) / 2**_UNIFORM_BITS
            if rule.path in key and uniform < rule.rate:
                return rule.fault
        return None


def replaced_file(body: bytes) -> bytes:
    """A later version of a gzipped CSV; see `FaultyFiles`."""
    header, *rows = gzip.decompress(body).decode().splitlines()
    later = [changed for row in rows if (changed := _later_row(row))]
    return gzip.compress("\n".join([header, *later, ""]).encode(), 6, mtime=0)


def _later_row(row: str) -> str:
    """A row of the later version; empty where it is gone."""
    ticker, volume, opened, closed, *rest = row.split(",")
    lot = int.from_bytes(hashlib.sha256(f"{ticker}|{rest[2]}".encode()).digest()[:8], "big") % _LOTS
    if lot == _REMOVED:
        return ""
    if lot not in _CHANGED or not volume or not closed:
        return row
    # the close stays between low and high
    other = opened if opened != closed else rest[1]
    return ",".join([ticker, f"{float(volume) + 100:g}", opened, other, *rest])
