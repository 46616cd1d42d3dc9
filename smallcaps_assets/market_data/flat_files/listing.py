"""Which sessions have a flat file: the list of a bucket."""

from datetime import date
from typing import TYPE_CHECKING, Final

import obstore

from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data.flat_files.bucket import VendorBucket
from smallcaps_assets.market_data.flat_files.keys import RemoteFile, folders_of, remote_day

if TYPE_CHECKING:
    from obstore import ObjectMeta

_KEYS_A_PAGE: Final = 1000
# a year has about 250 files; a list of more keys has no end
_MOST_KEYS: Final = 20 * _KEYS_A_PAGE


class BucketList:
    """Lists the files of a bucket by session."""

    def __init__(self, bucket: VendorBucket) -> None:
        """`bucket`: the folder of one data type."""
        self._bucket = bucket
        self._place = bucket.place

    def days(self, first: date, last: date) -> dict[date, RemoteFile]:
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
        for folder in folders_of(self._bucket.prefix, first, last):
            objects = self._list(folder)
            if not objects:
                self._require_empty(folder, folders_in)
            for each in objects:
                day = remote_day(self._bucket.prefix, each["path"])
                if day is not None and first <= day <= last:
                    if not bare_etag(each["e_tag"]):
                        raise self._no_list(folder, f"{each['path']} without an ETag")
                    found[day] = remote_file(day, each)
        return dict(sorted(found.items()))

    def _list(self, folder: str) -> "list[ObjectMeta]":
        """The objects below a folder."""
        found = self._bucket.repeat(f"LIST {folder}", lambda: self._list_pages(folder))
        self._bucket.count(len(found) // _KEYS_A_PAGE)
        return found

    def _list_pages(self, folder: str) -> "list[ObjectMeta]":
        found: dict[str, ObjectMeta] = {}
        for some in obstore.list(self._bucket.store, folder, chunk_size=_KEYS_A_PAGE):
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
        result = self._bucket.repeat(f"LIST {folder}", lambda: obstore.list_with_delimiter(self._bucket.store, folder))
        return set(result["common_prefixes"])

    def _require_empty(self, folder: str, known: dict[str, set[str]]) -> None:
        """Make sure that a folder without files is one that is not there, up to the prefix, which must be."""
        while folder != self._bucket.prefix:
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


def remote_file(day: date, about: "ObjectMeta") -> RemoteFile:
    """What the bucket says of the file of a session."""
    return RemoteFile(day, about["path"], about["size"], bare_etag(about["e_tag"]), about["last_modified"])


def bare_etag(etag: str | None) -> str:
    """An ETag without quotes and the mark of a weak one; empty where there is none."""
    return (etag or "").removeprefix("W/").strip('"')
