"""One tree of errors. A message names the cause, its value and the remedy.

SmallcapsError
├── SettingsError           a setting is unknown, of the wrong type or contradicts another
├── InputError              a file, table or symbol given by a user cannot be used
├── LakeError               the lake cannot be read or written, or contradicts its own records
├── ServiceEnded            a service of the web UI ended or does not answer
├── Stopped                 the work was stopped before it was done
├── CaptureIncomplete       some windows or sessions could not be fetched; the rest is published
├── NoticeError             a failure notice could not be posted
├── UnexpectedError         a unit of work met an error that nobody foresaw; its stack trace is in a file
└── MarketDataError         the vendor did not deliver the requested data
    ├── NotAuthenticated    the key is missing or unknown (401)
    ├── NotEntitled         the plan does not include this data (403)
    ├── RequestRejected      the vendor rejects the request (400 and other 4xx)
    │   └── NotFound        the vendor does not know the requested resource (404)
    ├── VendorUnavailable   5xx or a broken connection outlasted every retry
    └── BadPage             a response of the wrong shape: HTML, no `results`, wrong types, a cursor that loops
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

Facts = Mapping[str, str | int]


class SmallcapsError(Exception):
    """Root of every error that this package raises on purpose.

    Attributes:
        facts: shown beside the message.
        cause: the cause without what differs between units of work that fail for the same reason, for lists of them.
    """

    facts: Facts = MappingProxyType({})
    cause: str | None = None

    def with_facts(self, cause: str | None = None, **facts: str | int | None) -> Self:
        """This error with its cause and further facts; those that are None are left out."""
        self.cause = self.cause if cause is None else cause
        self.facts = {**self.facts, **{name: fact for name, fact in facts.items() if fact is not None}}
        return self


class SettingsError(SmallcapsError):
    """A setting is unknown, of the wrong type or contradicts another."""


class InputError(SmallcapsError):
    """A file, table or symbol given by a user cannot be used."""


class LakeError(SmallcapsError):
    """The lake cannot be read or written, or contradicts its own records."""

    def __init__(self, message: str, file: Path | None = None) -> None:
        """An error about a file or folder of the lake, if it is about one."""
        super().__init__(message)
        self.with_facts(file=None if file is None else str(file))


class DiskFull(LakeError):  # noqa: N818 -- the name says what happened
    """The disk takes no file: it has no room, or is mounted for reading only. Other files would fare no better."""


class ServiceEnded(SmallcapsError):  # noqa: N818 -- the name says what happened
    """A service of the web UI ended or does not answer."""


class Stopped(SmallcapsError):  # noqa: N818
    """The work was stopped before it was done; what is published stays."""


class CaptureIncomplete(SmallcapsError):  # noqa: N818 -- the name says a state, not a class of fault
    """Some windows or sessions could not be fetched; everything else is published.

    Attributes:
        kinds: the classes of the errors that they ended with; empty where these are not known.
    """

    kinds: frozenset[type[SmallcapsError]] = frozenset()


class NoticeError(SmallcapsError):
    """A failure notice could not be posted."""


class UnexpectedError(SmallcapsError):
    """A unit of work met an error that nobody foresaw; counts the requests that the attempt took."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0


class MarketDataError(SmallcapsError):
    """The vendor did not deliver the requested data; counts the requests that the attempt took."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0


class NotAuthenticated(MarketDataError):  # noqa: N818
    """The API key is missing or unknown to the vendor (HTTP 401)."""


class NotEntitled(MarketDataError):  # noqa: N818
    """The plan behind the key does not include this data (HTTP 403)."""


class RequestRejected(MarketDataError):  # noqa: N818
    """The vendor rejects the request (HTTP 400 and other 4xx)."""


class NotFound(RequestRejected):
    """The vendor does not know the requested resource (HTTP 404)."""


class VendorUnavailable(MarketDataError):  # noqa: N818
    """5xx or a broken connection outlasted every retry."""


class BadPage(MarketDataError):  # noqa: N818
    """A response arrived, but not in the shape that the contract promises."""
