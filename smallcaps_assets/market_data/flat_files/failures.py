"""What an error of obstore means; its text is parsed, since its classes do not tell a wrong key from a closed plan."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

from smallcaps_assets.errors import (
    BadPage,
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    NotFound,
    RequestRejected,
    VendorUnavailable,
)

_STATUS: Final = re.compile(r"status code: (\d{3})|status: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9]+)</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]*)</Message>")
# the cause in the system's words, else in those of the HTTP library
_CAUSES: Final = (re.compile(r'message: "([^"]+)"'), re.compile(r'"([^"\n]*(?:error|ended|closed)[^"\n]*)"'))
_NO_LIST: Final = "invalid list response"
_TIMED_OUT: Final = re.compile(r"kind: Timeout|TimedOut")
_WRONG_KEYS: Final = {
    "AuthorizationHeaderMalformed": "Correct source.flat_files.region",
    "ExpiredToken": "Make new keys in the vendor's dashboard",
    "InvalidAccessKeyId": "The vendor does not know the access key: correct {access}",
    "InvalidToken": "Make new keys in the vendor's dashboard",
    "RequestTimeTooSkewed": "The clock of this machine is wrong by more than 15 minutes: correct it",
    "SignatureDoesNotMatch": "The secret key does not belong to the access key: correct {secret}",
}


class Asked(NamedTuple):
    """What was asked of the bucket, for messages.

    Attributes:
        what: the request, such as `GET us_stocks_sip/.../2025-11-03.csv.gz`.
        is_file: whether a file was read; else keys were listed.
        data: what the files hold, such as `minute_aggs_v1`.
        place: the endpoint and the bucket.
        access: variables of the access key.
        secret: variables of the secret key.
    """

    what: str
    is_file: bool
    data: str
    place: str
    access: str
    secret: str


def explain(error: BaseException, asked: Asked, clean: Callable[[str], str]) -> MarketDataError:
    """The error to raise for one of obstore, without its text, which quotes the vendor and so perhaps a key.

    Args:
        error: obstore's.
        asked: what was asked.
        clean: makes text of the vendor safe.
    """
    text = str(error)
    found = _STATUS.search(text)
    status = int(found[1] or found[2]) if found else None
    code = _first(_CODE, text)
    message = clean(_first(_MESSAGE, text)) or "nothing"
    happened = f"{asked.what} at {asked.place}"
    if status is None:
        if isinstance(error, FileNotFoundError):
            status, code = HTTPStatus.NOT_FOUND, code or "NoSuchKey"
        else:
            cause = clean(_cause(text))
            if _NO_LIST in text:
                return BadPage(
                    f"{happened} was answered with what is no list of a bucket ({cause}): source.flat_files.endpoint "
                    "is wrong, or a proxy or firewall answered instead of the vendor."
                ).with_facts("an answer that is no list of a bucket", endpoint=asked.place)
            unreachable = VendorUnavailable(
                f"{happened} failed at every attempt, the last time with: {cause}. What arrived is kept; run it again "
                "later."
            )
            return unreachable.with_facts(cause, endpoint=asked.place)
    answer = f"HTTP {status} {code}".strip()
    failure = _of_status(status, code, f"{happened} was answered with {answer} (the vendor says: {message})", asked)
    return failure.with_facts(f"{answer}, the vendor says: {message}", http_status=status, endpoint=asked.place)


def _of_status(status: int, code: str, happened: str, asked: Asked) -> MarketDataError:
    if code in _WRONG_KEYS or status == HTTPStatus.UNAUTHORIZED:
        remedy = _WRONG_KEYS.get(code, "Correct {access} and {secret}")
        return NotAuthenticated(f"{happened}. {remedy.format(access=asked.access, secret=asked.secret)}.")
    if status == HTTPStatus.FORBIDDEN:
        which = f"the files of {asked.data}" if asked.is_file else f"the bucket of {asked.data}"
        reach = " or not of this date: files are a separate entitlement for each data type" * asked.is_file
        return NotEntitled(
            f"{happened}. The plan behind the keys does not include {which}{reach}. Change the plan, or set "
            "source.bars to rest."
        )
    if status == HTTPStatus.NOT_FOUND:
        remedy = "Correct source.flat_files.bucket" if code == "NoSuchBucket" else "It is not, or no longer, published"
        return NotFound(f"{happened}. {remedy}.")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return VendorUnavailable(f"{happened} at every attempt. What arrived is kept; run it again later.")
    return _of_odd_status(status, happened)


def _of_odd_status(status: int, happened: str) -> MarketDataError:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return RequestRejected(
            f"{happened}. Redirects are not followed: correct source.flat_files.endpoint and region."
        )
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return BadPage(f"{happened}, which is no answer of a bucket.")
    return RequestRejected(f"{happened}. Repeating the request changes nothing: correct source.flat_files.")


def _cause(text: str) -> str:
    if _TIMED_OUT.search(text):
        return "no answer in time"
    for pattern in _CAUSES:
        if found := _first(pattern, text):
            return found
    return text.partition("\n")[0].rpartition(" - ")[2] or "an error without a message"


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
