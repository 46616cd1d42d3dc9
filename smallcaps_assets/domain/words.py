"""Numbers as people write them: counted nouns, durations, rates."""

from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
_EXACT_BELOW: Final = 10
_SHORTEST: Final = "less than 1 s"


def count_noun(count: int, noun: str) -> str:
    """`1 window`, `2,000 windows`; `noun` is the singular of a word that takes an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def count_clause(count: int, one: str, many: str) -> str:
    """`1 row repeats`, `2,000 rows repeat`: a count with the words that agree with it."""
    return f"{count:,} {one if count == 1 else many}"


def describe_duration(seconds: float) -> str:
    """A duration of 0 s or more in its two largest units: `8 s`, `12 min`, `1 h 11 min`, `2 d 3 h`."""
    whole = round(seconds)
    if whole < 1:
        return _SHORTEST
    if whole < _MINUTE:
        return f"{whole} s"
    minutes = round(whole / _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min"
    hours = round(whole / _HOUR)
    if whole < _DAY - _MINUTE / 2:
        return _two(minutes, _MINUTE, "h", "min")
    return _two(hours, _DAY // _HOUR, "d", "h")


def estimate_duration(seconds: float) -> str:
    """An estimated duration of 0 s or more: `about 12 min`, `less than 1 s`."""
    words = describe_duration(seconds)
    return words if words == _SHORTEST else f"about {words}"


def describe_rate(per_minute: float) -> str:
    """`118 a minute`, `2.4 a minute`."""
    digits = 1 if 0 < per_minute < _EXACT_BELOW else 0
    return f"{per_minute:,.{digits}f} a minute"


def _two(amount: int, per_larger: int, larger: str, smaller: str) -> str:
    more, rest = divmod(amount, per_larger)
    return f"{more:,} {larger} {rest} {smaller}" if rest else f"{more:,} {larger}"
