"""The file system below a folder, and the mount options with which it keeps the promises of the lake."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from smallcaps_assets.lake.promises.promises import MountSubject

_NO_SHARED_FOLDER: Final = (
    "A bucket mounted by this program is no shared file system: renames are copies, and locks hold on one machine "
    "only. Use JuiceFS on the bucket, or NFSv4."
)
_LOCAL_ONLY: Final = "Locks of this file system hold on one machine only. Use NFSv4, CephFS or JuiceFS."
# by file system, as the system names it
_REMEDIES: Final[Mapping[str, Mapping[MountSubject, str]]] = {
    "fuse.juicefs": {
        "caches": (
            "Mount it on every host with --attr-cache 0 --entry-cache 0 --dir-entry-cache 0, and without --open-cache, "
            "--negative-entry-cache, --readdir-cache and --writeback."
        ),
        "times": "JuiceFS takes times from the clock of the host that writes: keep the clocks with NTP (chrony).",
    },
    "nfs": {
        "caches": "Mount it on every host with lookupcache=none,actimeo=0 (or noac, which is slower) and hard.",
        "locks": (
            "Mount it as NFSv4 (vers=4.1 or later), without nolock and without local_lock=flock or all; for NFSv3 "
            "lockd must run on both sides."
        ),
        "access": "Give the user the same number on every host, and do not squash it on the server (all_squash).",
    },
    "cifs": {
        "caches": "Mount it on every host with actimeo=0,cache=strict.",
        "locks": "Mount it without nobrl and nolock.",
        "access": "Mount it with uid= and gid= of the user that runs smallcaps, and with file_mode=0660.",
    },
    "9p": {"caches": "Mount it with cache=none."},
    "virtiofs": {"caches": "Start virtiofsd with --cache never."},
    "fuse.glusterfs": {
        "caches": "Mount it on every host with attribute-timeout=0,entry-timeout=0,negative-timeout=0.",
    },
    "lustre": {"locks": "Mount it on every host with -o flock, not localflock."},
    "fuse.sshfs": {"caches": f"Mount it with dcache_timeout=0. {_LOCAL_ONLY}", "locks": _LOCAL_ONLY},
    **{
        f"fuse.{name}": {"caches": _NO_SHARED_FOLDER, "locks": _NO_SHARED_FOLDER, "access": _NO_SHARED_FOLDER}
        for name in ("s3fs", "gcsfuse", "goofys", "geesefs", "rclone", "mountpoint-s3", "blobfuse2")
    },
}
_SAME: Final = {"nfs4": "nfs", "smb3": "cifs", "smbfs": "cifs"}
_GENERAL: Final[Mapping[MountSubject, str]] = {
    "caches": "Mount it on every host without caches of attributes, names and folders.",
    "locks": "Mount it so that locks (flock) hold between hosts, or use NFSv4, CephFS or JuiceFS.",
    "access": "Let the same user, with the same number, read, replace and remove the files of every host.",
    "times": "Keep the clocks of all hosts with NTP (chrony), or use a file system whose server gives the times.",
    "none": "Use another file system.",
}
_LOCAL: Final = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay", "apfs", "hfs", "ntfs", "refs", "vfat"}
    | {"exfat", "msdos", "ramfs", "bcachefs", "fat32", "fat", "ufs", "squashfs", "erofs"}
)


class FileSystem(NamedTuple):
    """A mounted file system: its kind and mount options as the system names them, and where it is mounted."""

    kind: str
    options: str
    mounted_at: Path

    @property
    def is_local(self) -> bool:
        """Whether one machine only can use it; False of one that is not known."""
        return self.kind.lower() in _LOCAL

    def remedy(self, subject: MountSubject) -> str:
        """How to mount it so that a promise holds, in a sentence."""
        own = _REMEDIES.get(_SAME.get(self.kind.lower(), self.kind.lower()), {})
        return own.get(subject) or _GENERAL[subject]


def file_system_of(folder: Path) -> FileSystem | None:
    """The file system of a folder that exists; None where the system does not name it."""
    whole = folder.resolve()
    found: FileSystem | None = None
    # of two on one place the later one hides the earlier one
    for mounted in psutil.disk_partitions(all=True):
        place = Path(mounted.mountpoint)
        if whole.is_relative_to(place) and (found is None or len(place.parts) >= len(found.mounted_at.parts)):
            found = FileSystem(mounted.fstype, mounted.opts, place)
    return found
