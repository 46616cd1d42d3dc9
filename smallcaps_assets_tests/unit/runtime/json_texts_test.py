import pytest

from smallcaps_assets.errors import InputError
from smallcaps_assets.runtime.json_texts import parse_json
from smallcaps_assets.simulated.protocol.faults import Fault, fault_script


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "'c' is given twice in one object: remove one of the two"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ("[-Infinity]", "-Infinity is no number of JSON"),
        ("[" * 100_000, "more levels of brackets"),
        ("", "Expecting value"),
        ("9" * 5_000, "4300 digits"),
    ],
)
def test_what_other_parsers_accept_in_silence_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_json(text)


def test_a_byte_order_mark_is_no_part_of_the_value() -> None:
    assert parse_json('\ufeff{"a": [1, {"a": 2}]}') == {"a": [1, {"a": 2}]}


def test_a_fault_that_is_named_twice_is_rejected() -> None:
    with pytest.raises(
        InputError, match=r"the faults are not usable JSON \('fault' is given twice.* Give a list such as"
    ):
        fault_script('[{"fault": "500", "fault": "429", "rate": 0.5}]')
    assert fault_script('\ufeff[{"fault": "500", "rate": 0.5}]') == (Fault("500", 0.5),)
