"""The client of the vendor's flat files: lists the sessions that have one, and downloads them."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import obstore
from obstore.exceptions import BaseError, PreconditionError

from smallcaps_assets.domain.addresses import hide_users
from smallcaps_assets.errors import BadPage, MarketDataError, VendorUnavailable
from smallcaps_assets.market_data.flat_files.failures import Asked, explain
from smallcaps_assets.market_data.flat_files.keys import RemoteFile, folders_of, remote_day
from smallcaps_assets.market_data.flat_files.store import open_store

if TYPE_CHECKING:
    from obstore import Bytes, GetOptions, GetResult, ObjectMeta

_PIECE_BYTES: Final = 1 << 20
_KEYS_A_PAGE: Final = 1000
# a year has about 250 files; a list of more keys has no end
_MOST_KEYS: Final = 20 * _KEYS_A_PAGE
_MAX_REPLACED: Final = 3
_MAX_TEXT_LENGTH: Final = 300
_OBSTORE_ERRORS: Final = (BaseError, FileNotFoundError, ValueError)

_T = TypeVar("_T")


class Keys(NamedTuple):
    """The two keys of the bucket and, for messages, the variables that they were taken from."""

    access: str
    secret: str
    access_variables: str = "the access key"
    secret_variables: str = "the secret key"  # noqa: S105 -- words for messages

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


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
        self._prefix = prefix.strip("/")
        self._keys = keys
        self._place = f"{endpoint.rstrip('/')}/{bucket}"
        self._max_retries = max_retries
        self._store = open_store(
            endpoint,
            bucket,
            region,
            (keys.access, keys.secret),
            timeout_s=timeout_s,
            deadline_s=deadline_s,
            max_retries=max_retries,
        )
        self._lock = Lock()
        self._requests = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place}/{self._prefix})"

    @property
    def place(self) -> str:
        """Endpoint, bucket and folder, for metadata and messages."""
        return f"{self._place}/{self._prefix}"

    @property
    def requests(self) -> int:
        """Requests so far, by all threads; repetitions within obstore are not counted."""
        with self._lock:
            return self._requests

    def clean(self, text: str) -> str:
        """Text from outside made safe for messages: on one line, without keys and users, at most 300 characters."""
        for secret in (self._keys.secret, self._keys.access):
            text = text.replace(secret, "***")
        line = hide_users(" ".join(re.sub(r"[^ -~\u00a0-\ud7ff\ue000-\uffff]", " ", text).split()))
        return line if len(line) <= _MAX_TEXT_LENGTH else line[:_MAX_TEXT_LENGTH] + "..."

    def list_days(self, first: date, last: date) -> dict[date, RemoteFile]:
        """The files of the sessions `first` to `last`, both included, by day, ascending.

        One LIST a calendar year that lies wholly within, else one a month, with all its pages. Keys of other files are
        left out. An empty answer counts only if the folder above does not name the folder: a page of a proxy or
        firewall is also an empty answer.

        Raises:
            ValueError: `last` is before `first`.
            NotAuthenticated: the vendor does not know the keys, or the clock is wrong.
            NotEntitled: the keys may not list the bucket.
            NotFound: there is no such bucket.
            VendorUnavailable: 5xx, 429 or broken connections outlasted every retry.
            BadPage: the answer is not one of a bucket, has no ETags, repeats keys or has too many of them, or there are
                no files at all below `prefix`.
        """
        if last < first:
            raise ValueError(f"flat files from {first} to {last}: the last day must not be before the first.")
        found: dict[date, RemoteFile] = {}
        folders_in: dict[str, set[str]] = {}
        for folder in folders_of(self._prefix, first, last):
            objects = self._list(folder)
            if not objects:
                self._require_empty(folder, folders_in)
            for each in objects:
                day = remote_day(self._prefix, each["path"])
                if day is not None and first <= day <= last:
                    if not _bare(each["e_tag"]):
                        raise self._no_list(folder, f"{each['path']} without an ETag")
                    found[day] = self._remote(day, each)
        return dict(sorted(found.items()))

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
        self._count(1)
        try:
            result = obstore.get(self._store, file.key, options=options)
        except PreconditionError:
            return None
        except _OBSTORE_ERRORS as error:
            raise self._explained(error, self._asked_for(file)) from None
        etag = _bare(result.meta["e_tag"])
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
        except _OBSTORE_ERRORS as error:
            raise self._explained(error, self._asked_for(file)) from None

    def _look_up(self, file: RemoteFile) -> RemoteFile:
        """The present version of a file."""
        self._count(1)
        try:
            return self._remote(file.day, obstore.head(self._store, file.key))
        except _OBSTORE_ERRORS as error:
            raise self._explained(error, self._asked_for(file)) from None

    def _list(self, folder: str) -> "list[ObjectMeta]":
        """The objects below a folder; begun again where the answer broke off, which obstore does not do."""
        found = self._repeat(folder, lambda: self._list_pages(folder))
        self._count(len(found) // _KEYS_A_PAGE)
        return found

    def _list_pages(self, folder: str) -> "list[ObjectMeta]":
        found: dict[str, ObjectMeta] = {}
        for some in obstore.list(self._store, folder, chunk_size=_KEYS_A_PAGE):
            known = len(found)
            found |= {each["path"]: each for each in some}
            if len(found) < known + len(some):
                raise self._no_list(folder, "the same keys again")
            if len(found) > _MOST_KEYS:
                raise self._no_list(folder, f"more than {_MOST_KEYS:,} keys")
        return list(found.values())

    def _no_list(self, folder: str, what: str) -> BadPage:
        return BadPage(
            f"LIST {folder} at {self._place} was answered with {what}: source.flat_files.prefix is wrong, or this is "
            "no answer of a bucket."
        ).with_facts(f"a listing with {what}", endpoint=self._place)

    def _folders(self, folder: str) -> set[str]:
        """The folders in a folder."""
        result = self._repeat(folder, lambda: obstore.list_with_delimiter(self._store, folder))
        return set(result["common_prefixes"])

    def _repeat(self, folder: str, ask: Callable[[], _T]) -> _T:
        for attempt in range(self._max_retries + 1):
            self._count(1)
            try:
                return ask()
            except _OBSTORE_ERRORS as error:
                broke_off = "response body" in str(error)
                if not broke_off or attempt == self._max_retries:
                    raise self._explained(error, self._asked(f"LIST {folder}", is_file=False)) from None
        raise AssertionError("the last attempt returns or raises")

    def _require_empty(self, folder: str, known: dict[str, set[str]]) -> None:
        """Make sure that a folder without files is one that is not there, up to the prefix, which must be."""
        while folder != self._prefix:
            parent = folder.rpartition("/")[0]
            names = known.setdefault(parent, self._folders(parent)) if parent not in known else known[parent]
            if folder in names:
                break
            if names:
                return
            folder = parent
        raise BadPage(
            f"LIST {folder} at {self._place} was answered without files, although there must be some: "
            "source.flat_files.bucket or prefix is wrong, or a proxy or firewall answered instead of the vendor."
        ).with_facts("a listing without files", endpoint=self._place)

    def _remote(self, day: date, about: "ObjectMeta") -> RemoteFile:
        return RemoteFile(day, about["path"], about["size"], _bare(about["e_tag"]), about["last_modified"])

    def _asked_for(self, file: RemoteFile) -> Asked:
        return self._asked(f"GET {file.key}", is_file=True)

    def _asked(self, what: str, *, is_file: bool) -> Asked:
        data = self._prefix.rpartition("/")[2]
        return Asked(what, is_file, data, self._place, self._keys.access_variables, self._keys.secret_variables)

    def _explained(self, error: BaseException, asked: Asked) -> MarketDataError:
        failure = explain(error, asked, self.clean)
        failure.requests = 1
        return failure

    def _count(self, requests: int) -> None:
        with self._lock:
            self._requests += requests


def _bare(etag: str | None) -> str:
    return (etag or "").removeprefix("W/").strip('"')


def _part_of(to: Path, etag: str) -> Path:
    """Where the unfinished download of one version of a file lies."""
    return to.with_name(f"{to.name}.{hashlib.sha256(etag.encode()).hexdigest()[:12]}.part")


def _remove_others(to: Path, part: Path) -> None:
    """Remove unfinished downloads of other versions."""
    for other in to.parent.glob(f"{to.name}.*.part"):
        if other != part:
            with suppress(OSError):
                other.unlink()
