"""Parsing of exported labels, and merging of several files."""

import itertools
import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.review.labels import LABELS, latest_labels, parse_labels
from smallcaps_assets.errors import InputError
from smallcaps_assets_tests.scenarios import new_york

DOCUMENT: dict[str, Any] = {
    "format": "smallcaps review marks",
    "version": 1,
    "profile": "core",
    "manifest_id": "core_20251202_031500",
    "sample_id": "0123456789abcdef",
    "exported_at": "2025-12-03T10:00:00.000Z",
    "marks": {"a": {"mark": "good", "at": "2025-12-03T09:00:00.000Z"}},
}


def test_an_export_is_read() -> None:
    labels = parse_labels(json.dumps(DOCUMENT), "labels.json").frame()
    assert labels.schema == LABELS
    assert labels.rows() == [("a", "good", new_york("2025-12-03 04:00"))]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "format = 'other'"),
        ({"version": 2}, "version = 2"),
        ({"manifest_id": "../../core_20251202_031500"}, "manifest_id = '../../core_20251202_031500'"),
        ({"sample_id": "*"}, "sample_id = '*'"),
        ({"marks": []}, "marks: "),
        ({"marks": {"a": {"mark": "great", "at": "2025-12-03T09:00:00Z"}}}, "marks.a.mark = 'great'"),
        ({"marks": {"a": {"mark": "good", "at": "2025-12-03T09:00:00"}}}, "marks.a.at = '2025-12-03T09:00:00'"),
        ({"marks": {"a": {"mark": "good"}}}, "marks.a.at: "),
        ({"marks": {"a": {"mark": "good", "at": "2025-12-03T09:00:00Z", "why": "x"}}}, "marks.a.why = 'x'"),
        ({"reviewer": "me"}, "reviewer = 'me'"),
    ],
)
def test_rejected_export_names_field_and_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as rejected:
        parse_labels(json.dumps(DOCUMENT | changes), "labels.json")
    assert str(rejected.value).startswith(f"labels.json: {message}")
    assert str(rejected.value).endswith("Export the labels again from the review sheet, and give that file.")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "good", '{"marks": NaN}'])
def test_text_that_is_not_json_is_rejected(text: str) -> None:
    with pytest.raises(InputError, match=r"^labels.json: "):
        parse_labels(text, "labels.json")


def labels_of(*rows: tuple[str, str | None, int]) -> pl.DataFrame:
    moment = new_york("2025-12-03 04:00")
    return pl.DataFrame(
        [(name, label, moment.replace(minute=at)) for name, label, at in rows], schema=LABELS, orient="row"
    )


def test_the_later_label_wins() -> None:
    first = labels_of(("a", "good", 1), ("b", "bad", 3), ("c", "good", 1), ("d", "bad", 1))
    second = labels_of(("a", "bad", 2), ("b", "good", 2), ("c", None, 2))
    assert latest_labels([first, second]).rows() == [("a", False), ("b", False), ("d", False)]


def test_at_the_same_instant_bad_beats_good_beats_withdrawn() -> None:
    instant = [labels_of(("a", "good", 1), ("b", None, 1)), labels_of(("a", "bad", 1), ("b", "good", 1))]
    assert latest_labels(instant).rows() == [("a", False), ("b", True)]
    assert latest_labels([]).rows() == []


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.sampled_from(["good", "bad", None]), st.integers(0, 3)), max_size=4
        ),
        max_size=3,
    )
)
def test_order_and_repetition_of_files_do_not_matter(files: list[list[tuple[str, str | None, int]]]) -> None:
    frames = [labels_of(*rows) for rows in files]
    expected = latest_labels(frames)
    for order in itertools.permutations(frames):
        assert_frame_equal(latest_labels([*order, *order[:1]]), expected)
