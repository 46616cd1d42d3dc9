"""Scripted faults: an exchange that fails deterministically."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from threading import Lock
from typing import Final, Literal, TypeGuard, cast, get_args

from smallcaps_assets.errors import InputError
from smallcaps_assets.runtime.json_texts import parse_json
from smallcaps_assets.simulated.bucket.faults import FILE_FAULTS
from smallcaps_assets.simulated.bucket.service import error_reply, is_bucket_path
from smallcaps_assets.simulated.protocol.fault_pages import PAGE_FAULTS, FaultRequest, apply_page_fault
from smallcaps_assets.simulated.protocol.wire import (
    FORBIDDEN,
    NOT_ENTITLED,
    OK,
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    Answering,
    Delivery,
    Refusal,
    Reply,
    common_headers,
    refusal_reply,
)

FaultKind = Literal[
    "429",
    "429_retry_after",
    "500",
    "502",
    "503",
    "403",
    "reset",
    "truncated_gzip",
    "html",
    "no_results",
    "loop",
    "endless",
    "drip",
    "latency",
    "repeat",
    "republish",
    "bad_row",
    "impossible",
    "file_cut",
    "file_replaced",
    "file_swapped",
    "file_missing",
]
FAULT_KINDS: Final[tuple[str, ...]] = get_args(FaultKind)
SECONDS: Final[Mapping[str, float]] = {"429_retry_after": 1.0, "drip": 10.0, "latency": 0.04}

_BAD_GATEWAY: Final = 502
_UNAVAILABLE: Final = 503
_TOO_MANY: Final = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue."
)
_HTML: Final = """\
<html>
<head><title>{title}</title></head>
<body>
<center><h1>{title}</h1></center>
{foot}</body>
</html>
"""
_EXAMPLE: Final = '[{"fault": "500", "rate": 0.02}]'
_LONGEST: Final = 3600
_UNIFORM_BITS: Final = 53
# S3's words for a status
_BUCKET_CODES: Final = {
    FORBIDDEN: "AccessDenied",
    TOO_MANY_REQUESTS: "SlowDown",
    SERVER_ERROR: "InternalError",
    _UNAVAILABLE: "SlowDown",
}


@dataclass(frozen=True)
class Fault:
    """A rule: a fault, and the requests it applies to.

    Attributes:
        fault: one of KINDS.
        rate: share of all requests that the fault applies to, 0 to 1; of all flat files for the faults in FILE_FAULTS.
        requests: numbers of requests that it applies to whatever the rate; the first one is 1.
        path: text that the decoded path must contain; for the faults in FILE_FAULTS the key.
        seconds: for the faults in SECONDS, which has the defaults; `Retry-After` is rounded up to whole seconds.
    """

    fault: FaultKind
    rate: float = 0.0
    requests: tuple[int, ...] = ()
    path: str = ""
    seconds: float | None = None

    @property
    def length(self) -> float:
        """`seconds`, or the default of the fault; 0 for faults that take none."""
        return SECONDS.get(self.fault, 0.0) if self.seconds is None else self.seconds

    def __str__(self) -> str:
        when = [f"at rate {self.rate:g}"] if self.rate else []
        when += [f"at request {', '.join(str(number) for number in self.requests)}"] if self.requests else []
        length = f" ({self.length:g} s)" if self.fault in SECONDS else ""
        where = f" of {self.path}" if self.path else ""
        return f"{self.fault}{length} {' and '.join(when) or 'never'}{where}"


def fault_script(text: str) -> tuple[Fault, ...]:
    """Read rules from JSON: a list of objects with the fields of `Fault`; `fault` and one of `rate` and `requests`.

    Raises:
        InputError: not such a list; it names the rule (the first one is 1), the field and its value.
    """
    try:
        rules = parse_json(text)
    except ValueError as error:
        raise InputError(f"the faults are not usable JSON ({error}). Give a list such as {_EXAMPLE}.") from error
    if not isinstance(rules, list):
        raise InputError(f"the faults are {rules!r:.80}. Give a list such as {_EXAMPLE}.")
    return tuple(_rule(f"fault rule {number} of {len(rules)}", rule) for number, rule in enumerate(rules, 1))


def _rule(name: str, rule: object) -> Fault:
    known = [each.name for each in fields(Fault)]
    if not isinstance(rule, dict):
        raise InputError(f"{name} is {rule!r:.80}. Give an object with the fields {', '.join(known)}.")
    for field, value in rule.items():
        if field not in known:
            raise _wrong(name, field, value, f"use only the fields {', '.join(known)}")
    kind, rate, numbers = rule.get("fault"), rule.get("rate", 0.0), rule.get("requests", [])
    if kind not in FAULT_KINDS:
        raise _wrong(name, "fault", kind, f"use one of {', '.join(repr(each) for each in FAULT_KINDS)}")
    if not _is_number(rate) or not 0 <= rate <= 1:
        raise _wrong(name, "rate", rate, "give a number from 0 to 1")
    if not isinstance(numbers, list) or not all(type(number) is int and number >= 1 for number in numbers):
        raise _wrong(name, "requests", numbers, "give a list of whole numbers from 1")
    if kind in FILE_FAULTS and "requests" in rule:
        raise _wrong(name, "requests", numbers, "leave it out: this fault is one of files, give their rate")
    if "rate" not in rule and not numbers:
        raise _wrong(name, "rate", None, "give a rate or requests, or the fault never applies")
    path = rule.get("path", "")
    if not isinstance(path, str):
        raise _wrong(name, "path", path, 'give a part of the path, such as "/v3/quotes/"')
    return Fault(cast("FaultKind", kind), float(rate), tuple(numbers), path, _seconds(name, rule, kind))


def _seconds(name: str, rule: Mapping[str, object], kind: str) -> float | None:
    if "seconds" not in rule:
        return None
    seconds = rule["seconds"]
    if kind not in SECONDS:
        raise _wrong(name, "seconds", seconds, f"leave it out: only {', '.join(SECONDS)} take it")
    if not _is_number(seconds) or not 0 <= seconds <= _LONGEST:
        raise _wrong(name, "seconds", seconds, f"give a number from 0 to {_LONGEST}")
    return float(seconds)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(rule: str, field: str, value: object, remedy: str) -> InputError:
    return InputError(f"{rule}: `{field}` is {value!r:.80}. Remedy: {remedy}.")


class FaultyExchange:
    """An exchange that answers some requests with faults; may be shared by threads.

    Requests are numbered from 1 as they arrive, whatever their outcome. The first rule that applies to a
    request decides; the delays of all applicable `latency` rules are added.

    Args:
        exchange: answers the other requests.
        script: the rules; those in FILE_FAULTS are the exchange's own (`file_faults`) and have no effect here.
        seed: selects the requests that are hit at the same rates.
    """

    def __init__(self, exchange: Answering, script: Sequence[Fault], seed: int = 0) -> None:
        self._exchange = exchange
        self._script = tuple(script)
        self._seed = seed
        self._lock = Lock()
        self._received = 0
        self._counts: Counter[str] = Counter()

    def counts(self) -> dict[str, int]:
        """Requests with a fault so far, by fault; later pages of a `loop` or `endless` cursor are not counted."""
        with self._lock:
            return dict(self._counts)

    def reply(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """Answer a GET as the exchange does, or with a fault."""
        with self._lock:
            self._received += 1
            number = self._received
        request = FaultRequest.of(path, query, headers)
        rules = [rule for index, rule in enumerate(self._script) if self._applies(index, rule, number, request)]
        waits = [rule.length for rule in rules if rule.fault == "latency"]
        rule = next((rule for rule in rules if rule.fault != "latency"), None)
        request_id = hashlib.sha256(f"fault {number}".encode()).hexdigest()[:32]
        reply = None if rule is None else _refusal_of(rule, request_id, of_bucket=is_bucket_path(path))
        if reply is not None and rule is not None:
            self._count(rule.fault)
        else:
            reply = self._answered(rule, path, request, headers)
        if not waits:
            return reply
        self._count("latency")
        return replace(reply, delivery=replace(reply.delivery or Delivery(), latency=sum(waits)))

    def _applies(self, index: int, rule: Fault, number: int, request: FaultRequest) -> bool:
        if rule.path not in request.path or (rule.fault == "repeat" and request.mark == "repeat"):
            return False
        if rule.fault in FILE_FAULTS:
            return False
        digest = hashlib.sha256(f"{self._seed}|{index}|{number}".encode()).digest()
        uniform = (int.from_bytes(digest[:8], "big") >> (64 - _UNIFORM_BITS)) / 2**_UNIFORM_BITS
        return number in rule.requests or uniform < rule.rate

    def _answered(self, rule: Fault | None, path: str, request: FaultRequest, headers: Mapping[str, str]) -> Reply:
        """The answer of the exchange with the fault of `rule` or of the cursor of the request."""
        reply = self._exchange.reply(path, request.query, headers)
        if rule is not None and rule.fault in PAGE_FAULTS:
            changed = apply_page_fault(rule.fault, reply, request, self._seed)
            if changed is not None:
                self._count(rule.fault)
            return changed or reply
        if request.mark in ("loop", "endless"):
            reply = apply_page_fault(request.mark, reply, request, self._seed) or reply
        if rule is None:
            return reply
        self._count(rule.fault)
        return replace(reply, delivery=_delivery(rule))

    def _count(self, fault: str) -> None:
        with self._lock:
            self._counts[fault] += 1


def _delivery(rule: Fault) -> Delivery:
    return Delivery(
        drip=rule.length if rule.fault == "drip" else 0.0,
        reset=rule.fault == "reset",
        truncated_gzip=rule.fault == "truncated_gzip",
    )


def _refusal_of(rule: Fault, request_id: str, *, of_bucket: bool) -> Reply | None:
    """The answer of a fault that does not involve the exchange; None for the others."""
    if rule.fault == "502":
        return _html_reply(request_id, _BAD_GATEWAY, "502 Bad Gateway", "<hr><center>nginx</center>\n")
    if rule.fault == "html":
        return _html_reply(request_id, OK, "We will be back soon", "")
    refusals = {
        "429": Refusal(TOO_MANY_REQUESTS, _TOO_MANY),
        "429_retry_after": Refusal(TOO_MANY_REQUESTS, _TOO_MANY, {"Retry-After": str(math.ceil(rule.length))}),
        "403": Refusal(FORBIDDEN, NOT_ENTITLED),
        "500": Refusal(SERVER_ERROR, "Internal server error"),
        "503": Refusal(_UNAVAILABLE, "Service temporarily unavailable"),
    }
    refusal = refusals.get(rule.fault)
    if refusal is None:
        return None
    if of_bucket:
        return error_reply(request_id, refusal.status, _BUCKET_CODES[refusal.status], refusal.message)
    return refusal_reply(request_id, refusal)


def _html_reply(request_id: str, status: int, title: str, foot: str) -> Reply:
    headers = {**common_headers(request_id), "Content-Type": "text/html"}
    return Reply(status, headers, _HTML.format(title=title, foot=foot).encode())
