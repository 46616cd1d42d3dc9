"""Numbers in sentences."""

import pytest

from smallcaps_assets.domain.words import count_clause, count_noun, describe_duration, describe_rate, estimate_duration


def test_one_has_no_s() -> None:
    assert [count_noun(count, "window") for count in (0, 1, 2_000)] == ["0 windows", "1 window", "2,000 windows"]
    clauses = [count_clause(count, "row repeats", "rows repeat") for count in (0, 1, 2_000)]
    assert clauses == ["0 rows repeat", "1 row repeats", "2,000 rows repeat"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than 1 s"),
        (0.4, "less than 1 s"),
        (1, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (119, "2 min"),
        (3_569, "59 min"),
        (3_571, "1 h"),
        (4_260, "1 h 11 min"),
        (86_369, "23 h 59 min"),
        (86_371, "1 d"),
        (180_000, "2 d 2 h"),
        (86_400 * 1_000, "1,000 d"),
    ],
)
def test_a_duration_is_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert describe_duration(seconds) == words


@pytest.mark.parametrize(("per_minute", "words"), [(0, "0"), (0.44, "0.4"), (9.4, "9.4"), (10.4, "10"), (1e3, "1,000")])
def test_a_rate_has_a_decimal_below_ten(per_minute: float, words: str) -> None:
    assert describe_rate(per_minute) == f"{words} a minute"


def test_an_estimate_is_about_a_duration_but_not_about_less_than_one() -> None:
    assert [estimate_duration(seconds) for seconds in (0.3, 8, 720)] == ["less than 1 s", "about 8 s", "about 12 min"]
