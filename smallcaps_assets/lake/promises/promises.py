"""The promises of a file system that the lake relies on, and what breaks where one does not hold."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

# note: the lake works, but not as it could; problem: a promise does not hold
PromiseVerdict = Literal["ok", "note", "problem"]
# which setting of a mount brings a promise about
MountSubject = Literal["caches", "locks", "access", "times", "none"]


@dataclass(frozen=True)
class Promise:
    """One promise: what it is, and what breaks without it, both as parts of a sentence."""

    name: str
    breaks: str
    subject: MountSubject = "none"


class PromiseResult(NamedTuple):
    """What a test found of a promise. `breaks` and `remedy` are empty where it holds."""

    name: str
    verdict: PromiseVerdict
    message: str
    breaks: str = ""
    remedy: str = ""


REPLACE: Final = Promise("rename", "files of the lake are published by renaming them into place", "access")
LOCK: Final = Promise(
    "lock", "two runs change the bars or events of a symbol at once, and one of the two changes is lost", "locks"
)
RELEASE: Final = Promise("release", "the next run over the symbols of a killed run waits for ever", "locks")
UPDATES: Final = Promise(
    "updates", "a run merges into an old version of a file, and what another host published is lost", "caches"
)
SEEN_RENAME: Final = Promise(
    "seen", "a run reads an old version of a file and makes tables from outdated data", "caches"
)
NEW_FILES: Final = Promise(
    "new files", "what another host has fetched counts as missing: it is fetched, and paid for, again", "caches"
)
REMOVED_FILES: Final = Promise(
    "removed files", "a file that was set aside or replaced on another host is still read, or an error", "caches"
)
SEEN_LISTINGS: Final = Promise(
    "listings", "MASTER, manifests and ledgers leave out symbols that another host has just published", "caches"
)
ATTRIBUTES: Final = Promise(
    "attributes", "changes by another host go unnoticed: outdated tables count as current", "caches"
)
WHOLE_FILES: Final = Promise(
    "whole files", "a run reads a file in the making, or an error, while another host publishes it", "caches"
)
CLOCK: Final = Promise(
    "clock", "ages of files are wrong: a file in the making may be taken for abandoned, or never be removed", "times"
)
RESOLUTION: Final = Promise(
    "resolution", "two versions of a file may look alike, so that a change goes unnoticed", "times"
)
FLUSH: Final = Promise("flush", "a power cut may leave files empty or cut that count as published")
MAPPING: Final = Promise("mapping", "files above 1 MB cannot be read: they are mapped into memory", "caches")
LONG_NAMES: Final = Promise("names", "files of some symbols cannot be published")
LINKS: Final = Promise("links", "")
SPACE: Final = Promise("space", "nothing can be published")
