"""A folder of prepared files as a bucket: a file's path below the folder is its key."""

from datetime import UTC, datetime
from pathlib import Path

from smallcaps_assets.simulated.bucket.files import StoredFile, etag_of


class FolderFiles:
    """The files below a folder, looked up anew whenever they are asked for; may be shared by threads.

    An ETag is made of a file's name, size and time, so that listing large files reads none: replace a file by renaming
    another to its path. It ends in `-1`, as for files that were uploaded in parts, whose ETags are no MD5 either.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`, ascending."""
        top = self._folder / prefix.rpartition("/")[0]
        found = (path.relative_to(self._folder).as_posix() for path in top.rglob("*") if path.is_file())
        return sorted(key for key in found if key.startswith(prefix))

    def stat(self, key: str) -> StoredFile | None:
        """Size, ETag and time of a file; None if there is none."""
        path = self._path(key)
        if path is None:
            return None
        about = path.stat()
        etag = f"{etag_of(f'{key}|{about.st_size}|{about.st_mtime_ns}'.encode())}-1"
        return StoredFile(key, about.st_size, etag, datetime.fromtimestamp(int(about.st_mtime), UTC))

    def read(self, key: str) -> bytes | None:
        """The content of a file; None if there is none."""
        path = self._path(key)
        return None if path is None else path.read_bytes()

    def _path(self, key: str) -> Path | None:
        """The file of a key; None if there is none, also for keys that lead out of the folder."""
        parts = key.split("/")
        if any(part in ("", ".", "..") or "\\" in part or ":" in part for part in parts):
            return None
        path = self._folder.joinpath(*parts)
        return path if path.is_file() else None
