"""The client of the vendor's flat files: lists the sessions that have one, and downloads them."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import obstore
from obstore.exceptions import PreconditionError

from smallcaps_assets.errors import BadPage, VendorUnavailable
from smallcaps_assets.market_data.flat_files.bucket import OBSTORE_ERRORS, Keys, VendorBucket
from smallcaps_assets.market_data.flat_files.keys import RemoteFile
from smallcaps_assets.market_data.flat_files.listing import BucketList, bare_etag, remote_file

if TYPE_CHECKING:
    from obstore import Bytes, GetOptions, GetResult

_PIECE_BYTES: Final = 1 << 20
_MAX_REPLACED: Final = 3


class Downloaded(NamedTuple):
    """A file that was downloaded.

    Attributes:
        file: the file whose content is at `path`; another than was asked for if it was replaced in the meantime.
        path: where it lies.
        resumed_bytes: bytes that an earlier, unfinished download had brought.
    """

    file: RemoteFile
    path: Path
    resumed_bytes: int


class FlatFiles:
    """The flat files of one data type, by session; may be shared by threads.

    Args:
        endpoint: https, host, optionally port and path; http only for this machine.
        bucket: its name.
        prefix: the folder of the data type, such as `us_stocks_sip/minute_aggs_v1`.
        keys: access key and secret key.
        region: part of the signature.
        timeout_s: longest silence while connecting and while a response arrives.
        deadline_s: longest total time of one response.
        max_retries: attempts after the first.

    Raises:
        SettingsError: the environment names a proxy or certificates that cannot be used.
    """

    def __init__(  # noqa: PLR0913
        self,
        endpoint: str,
        *,
        bucket: str,
        prefix: str,
        keys: Keys,
        region: str = "us-east-1",
        timeout_s: float = 30.0,
        deadline_s: float = 300.0,
        max_retries: int = 5,
    ) -> None:
        self._bucket = VendorBucket(
            endpoint,
            bucket,
            prefix,
            keys,
            region=region,
            timeout_s=timeout_s,
            deadline_s=deadline_s,
            max_retries=max_retries,
        )
        self._list = BucketList(self._bucket)
        self._place = self._bucket.place

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place})"

    @property
    def place(self) -> str:
        """Endpoint, bucket and folder, for metadata and messages."""
        return f"{self._place}/{self._bucket.prefix}"

    @property
    def requests(self) -> int:
        """Requests so far, by all threads; repetitions within obstore are not counted."""
        return self._bucket.requests

    def clean(self, text: str) -> str:
        """Text from outside made safe for messages, see `VendorBucket.clean`."""
        return self._bucket.clean(text)

    def list_days(self, first: date, last: date) -> dict[date, RemoteFile]:
        """The files of the sessions `first` to `last`, both included, by day, ascending; see `BucketList.days`."""
        return self._list.days(first, last)

    def download(self, file: RemoteFile, to: Path, tick: Callable[[], None] = lambda: None) -> Downloaded:
        """Download a file to `to`, where it appears whole or not at all.

        What an earlier call brought lies beside it (`NAME.HASH.part`, HASH of its ETag) and is continued; parts of
        other versions are removed. If the file was replaced since it was listed, its new version is downloaded instead.
        The content is checked for its size only. One caller at a time may download to the same `to`.

        Args:
            file: from `list_days`.
            to: final path; its folder exists.
            tick: called after every MB or so; what it raises ends the download, which the next call continues.

        Raises:
            NotAuthenticated: the vendor does not know the keys, or the clock is wrong.
            NotEntitled: the plan does not include the files of this data type, or not of this date.
            NotFound: the file is no longer there.
            VendorUnavailable: broken connections outlasted every retry, or the file changed at every attempt.
            BadPage: the answer is not the listed file, or has another size.
            OSError: the disk refuses.
        """
        for _ in range(_MAX_REPLACED):
            part = _part_of(to, file.etag)
            _remove_others(to, part)
            resumed_at = part.stat().st_size if part.is_file() else 0
            if resumed_at > file.size:
                part.unlink()
                resumed_at = 0
            if self._fetch(file, part, resumed_at, tick):
                part.replace(to)
                return Downloaded(file, to, resumed_at)
            part.unlink(missing_ok=True)
            file = self._look_up(file)
        raise VendorUnavailable(
            f"{file.key} at {self._place} was replaced while it was downloaded, {_MAX_REPLACED} times. Run it again "
            "later."
        ).with_facts("replaced while it was downloaded", endpoint=self._place)

    def require_access(self, file: RemoteFile) -> None:
        """Read one byte of a file, which shows whether the plan includes it.

        Raises:
            MarketDataError: as `download`.
        """
        self._get(file, 0, {"range": (0, 1)})

    def _fetch(self, file: RemoteFile, part: Path, start: int, tick: Callable[[], None]) -> bool:
        """Append what is missing to `part`; False where the file was replaced."""
        size = start
        if start < file.size:
            result = self._get(file, start)
            if result is None:
                return False
            with part.open("ab") as out:
                for piece in self._pieces(result, file):
                    size += len(piece)
                    if size > file.size:  # it may have no end
                        break
                    out.write(piece)
                    tick()
                out.flush()
                os.fsync(out.fileno())
        if size == file.size > 0:
            return True
        part.unlink(missing_ok=True)
        if not file.size:
            raise BadPage(
                f"{file.key} at {self._place} was listed with 0 bytes: it is empty. Run it again later; if it stays "
                "empty, ask the vendor."
            ).with_facts("an empty file", endpoint=self._place)
        raise BadPage(
            f"{file.key} at {self._place} has {'more than ' * (size > file.size)}{min(size, file.size):,} bytes, "
            f"{file.size:,} were listed. Nothing of it was kept; if it happens again, ask the vendor."
        ).with_facts("another size than listed", endpoint=self._place)

    def _get(self, file: RemoteFile, start: int, options: "GetOptions | None" = None) -> "GetResult | None":
        """The content from byte `start` on; None where the file was replaced."""
        if options is None:
            options = {"if_match": f'"{file.etag}"'}
            if start:
                options["range"] = {"offset": start}
        self._bucket.count(1)
        try:
            result = obstore.get(self._bucket.store, file.key, options=options)
        except PreconditionError:
            return None
        except OBSTORE_ERRORS as error:
            raise self._bucket.explained(error, f"GET {file.key}", is_file=True) from None
        etag = bare_etag(result.meta["e_tag"])
        if not etag:
            raise BadPage(
                f"GET {file.key} at {self._place} was answered without an ETag, which is no answer of a bucket: a "
                "proxy or firewall may have answered instead. Nothing of it was kept."
            ).with_facts("an answer without an ETag", endpoint=self._place)
        return result if etag == file.etag else None

    def _pieces(self, result: "GetResult", file: RemoteFile) -> Iterator["Bytes"]:
        """The content in pieces of 1 MB or so."""
        try:
            yield from result.stream(min_chunk_size=_PIECE_BYTES)
        except OBSTORE_ERRORS as error:
            raise self._bucket.explained(error, f"GET {file.key}", is_file=True) from None

    def _look_up(self, file: RemoteFile) -> RemoteFile:
        """The present version of a file."""
        self._bucket.count(1)
        try:
            return remote_file(file.day, obstore.head(self._bucket.store, file.key))
        except OBSTORE_ERRORS as error:
            raise self._bucket.explained(error, f"GET {file.key}", is_file=True) from None


def _part_of(to: Path, etag: str) -> Path:
    """Where the unfinished download of one version of a file lies."""
    return to.with_name(f"{to.name}.{hashlib.sha256(etag.encode()).hexdigest()[:12]}.part")


def _remove_others(to: Path, part: Path) -> None:
    """Remove unfinished downloads of other versions."""
    for other in to.parent.glob(f"{to.name}.*.part"):
        if other != part:
            with suppress(OSError):
                other.unlink()
