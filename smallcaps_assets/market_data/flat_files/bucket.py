"""The vendor's bucket: where it is, who asks, how many requests were sent, and what its errors mean."""

import re
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from obstore.exceptions import BaseError

from smallcaps_assets.domain.addresses import hide_users
from smallcaps_assets.errors import MarketDataError
from smallcaps_assets.market_data.flat_files.failures import Asked, explain
from smallcaps_assets.market_data.flat_files.store import open_store

if TYPE_CHECKING:
    from obstore.store import S3Store

# what obstore raises
OBSTORE_ERRORS: Final = (BaseError, FileNotFoundError, ValueError)

_MAX_TEXT_LENGTH: Final = 300
_T = TypeVar("_T")


class Keys(NamedTuple):
    """The two keys of the bucket and, for messages, the variables that they were taken from."""

    access: str
    secret: str
    access_variables: str = "the access key"
    secret_variables: str = "the secret key"  # noqa: S105 -- words for messages

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


class VendorBucket:
    """A folder of a bucket, for those who list and download it; may be shared by threads.

    Args:
        endpoint: https, host, optionally port and path; http only for this machine.
        name: that of the bucket.
        prefix: the folder, such as `us_stocks_sip/minute_aggs_v1`.
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
        name: str,
        prefix: str,
        keys: Keys,
        *,
        region: str,
        timeout_s: float,
        deadline_s: float,
        max_retries: int,
    ) -> None:
        self.prefix = prefix.strip("/")
        self.place = f"{endpoint.rstrip('/')}/{name}"
        self._keys = keys
        self._max_retries = max_retries
        self.store: S3Store = open_store(
            endpoint,
            name,
            region,
            (keys.access, keys.secret),
            timeout_s=timeout_s,
            deadline_s=deadline_s,
            max_retries=max_retries,
        )
        self._lock = Lock()
        self._requests = 0

    @property
    def requests(self) -> int:
        """Requests so far, by all threads; repetitions within obstore are not counted."""
        with self._lock:
            return self._requests

    def count(self, requests: int) -> None:
        """Add requests that were sent."""
        with self._lock:
            self._requests += requests

    def clean(self, text: str) -> str:
        """Text from outside made safe for messages: on one line, without keys and users, at most 300 characters."""
        for secret in (self._keys.secret, self._keys.access):
            text = text.replace(secret, "***")
        line = hide_users(" ".join(re.sub(r"[^ -~\u00a0-\ud7ff\ue000-\uffff]", " ", text).split()))
        return line if len(line) <= _MAX_TEXT_LENGTH else line[:_MAX_TEXT_LENGTH] + "..."

    def repeat(self, what: str, ask: Callable[[], _T]) -> _T:
        """What `ask` returns; asked again where the answer broke off, which obstore does not do.

        Raises:
            MarketDataError: as `explained`.
        """
        for attempt in range(self._max_retries + 1):
            self.count(1)
            try:
                return ask()
            except OBSTORE_ERRORS as error:
                broke_off = "response body" in str(error)
                if not broke_off or attempt == self._max_retries:
                    raise self.explained(error, what, is_file=False) from None
        raise AssertionError("the last attempt returns or raises")

    def explained(self, error: BaseException, what: str, *, is_file: bool) -> MarketDataError:
        """What an error of obstore means, in our words: its own texts may carry keys.

        Args:
            error: the error.
            what: the request, such as `GET us_stocks_sip/...`.
            is_file: whether it asked for a file.
        """
        data = self.prefix.rpartition("/")[2]
        asked = Asked(what, is_file, data, self.place, self._keys.access_variables, self._keys.secret_variables)
        failure = explain(error, asked, self.clean)
        failure.requests = 1
        return failure
