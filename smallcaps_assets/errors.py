"""One tree of errors. A message names the culprit, its value and what to do next.

SmallcapsError
├── SettingsError           a setting is unknown, of the wrong type or contradicts another
├── InputError              a file, table or symbol a user gave cannot be used
├── LakeError               the lake cannot be read or written, or is not what it claims to be
├── ServiceEnded            a process of the web UI does not stay up
├── Stopped                 the work was called off before it was done
├── CaptureIncomplete       some windows or sessions could not be fetched; the rest is published
├── NoticeError             a failure notice could not be posted
└── MarketDataError         the vendor did not give what was asked
    ├── NotAuthenticated    the key is missing or unknown (401)
    ├── NotEntitled         the plan does not include this data (403)
    ├── RequestRefused      the vendor calls the request wrong (400 and other 4xx)
    │   └── NotFound        the vendor does not know what was asked about (404)
    ├── VendorUnavailable   5xx or a broken connection outlasted every retry
    └── BadPage             an answer of the wrong shape: HTML, no `results`, wrong types, a cursor that loops
"""


class SmallcapsError(Exception):
    """Root of every error that this package raises on purpose."""


class SettingsError(SmallcapsError):
    """A setting is unknown, of the wrong type or contradicts another."""


class InputError(SmallcapsError):
    """A file, table or symbol that a user gave cannot be used."""


class LakeError(SmallcapsError):
    """The lake cannot be read or written, or is not what it claims to be."""


class DiskFull(LakeError):  # noqa: N818 -- the name says what happened
    """There is no room for what is to be written."""


class ServiceEnded(SmallcapsError):  # noqa: N818 -- the name says what happened
    """A process of the web UI does not stay up."""


class Stopped(SmallcapsError):  # noqa: N818
    """The work was called off before it was done; what is published stays."""


class CaptureIncomplete(SmallcapsError):  # noqa: N818 -- the name says a state, not a class of fault
    """Some windows or sessions could not be fetched; everything else is published."""


class NoticeError(SmallcapsError):
    """A failure notice could not be posted."""


class MarketDataError(SmallcapsError):
    """The vendor did not give what was asked; it counts what the attempt took."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0


class NotAuthenticated(MarketDataError):  # noqa: N818
    """The API key is missing or unknown to the vendor (HTTP 401)."""


class NotEntitled(MarketDataError):  # noqa: N818
    """The plan behind the key does not include this data (HTTP 403)."""


class RequestRefused(MarketDataError):  # noqa: N818
    """The vendor calls the request wrong (HTTP 400 and other 4xx)."""


class NotFound(RequestRefused):
    """The vendor does not know what was asked about (HTTP 404)."""


class VendorUnavailable(MarketDataError):  # noqa: N818
    """5xx or a broken connection outlasted every retry."""


class BadPage(MarketDataError):  # noqa: N818
    """An answer came, but not in the shape the contract promises."""
