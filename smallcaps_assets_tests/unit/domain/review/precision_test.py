"""Precision and its confidence interval, with figures worked out by hand."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.review.precision import PRECISION, estimate_precision, judge_precision, wilson
from smallcaps_assets.lake.review import SAMPLED_EVENTS


def interval(good: float, number: float) -> tuple[float, float]:
    low, high = wilson(pl.lit(good / number), pl.lit(number))
    return pl.select(low=low).item(), pl.select(high=high).item()


@pytest.mark.parametrize(
    ("good", "number", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (70, 100, 0.6042, 0.7811),
        (79, 100, 0.7002, 0.8583),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_wilson_interval(good: int, number: int, low: float, high: float) -> None:
    assert interval(good, number) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 500), st.data())
def test_interval_contains_the_share_and_narrows_with_more_trials(number: int, data: st.DataObject) -> None:
    good = data.draw(st.integers(0, number))
    low, high = interval(good, number)
    assert 0 <= low <= good / number + 1e-12
    assert good / number - 1e-12 <= high <= 1
    more = interval(4 * good, 4 * number)
    assert more[1] - more[0] < high - low


def sample_with(*strata: tuple[str, str, int, int]) -> pl.DataFrame:
    """Type, session, events in the manifest and events drawn of each stratum."""
    rows = [
        (f"{kind} {session} {number}", kind, session, 1, size)
        for kind, session, size, places in strata
        for number in range(places)
    ]
    return pl.DataFrame(rows, schema=SAMPLED_EVENTS, orient="row")


def labels_of(**good: bool) -> pl.DataFrame:
    return pl.DataFrame(
        {"event_id": list(good), "good": list(good.values())}, schema={"event_id": pl.String, "good": pl.Boolean}
    )


def test_a_label_represents_the_events_of_its_stratum() -> None:
    """90 events, 1 of 2 labels good; 10 events, 2 of 2: 0.9 x 1/2 + 0.1 x 1 = 0.55, not 3/4."""
    sample = sample_with(("flush", "RTH", 90, 2), ("flush", "AH", 10, 2))
    labels = labels_of(**{"flush RTH 0": True, "flush RTH 1": False, "flush AH 0": True, "flush AH 1": True})
    table = estimate_precision(sample, labels)
    assert table.schema == PRECISION
    rows = {row["part"]: row for row in table.to_dicts()}
    assert list(rows) == ["all", "flush", "AH", "RTH"]
    assert (rows["all"]["of_marks_pct"], rows["all"]["precision_pct"]) == (75.0, pytest.approx(55.0))
    # weights 45, 45, 5, 5: worth 100^2 / (2 x 45^2 + 2 x 5^2) = 2.439 labels of equal weight
    low, high = interval(0.55 * 2.4390244, 2.4390244)
    assert rows["all"]["low_pct"] == pytest.approx(100 * low, abs=1e-4)
    assert rows["all"]["high_pct"] == pytest.approx(100 * high, abs=1e-4)
    assert (rows["AH"]["events"], rows["AH"]["marked"], rows["AH"]["good"], rows["AH"]["precision_pct"]) == (
        2,
        2,
        2,
        100,
    )
    assert rows["RTH"]["precision_pct"] == 50


def test_precision_of_a_proportional_sample_is_the_plain_share() -> None:
    sample = sample_with(("flush", "RTH", 140, 7), ("tape_speed", "PM", 60, 3))
    ids = sample["event_id"].to_list()
    table = estimate_precision(sample, labels_of(**{name: name != ids[0] for name in ids}))
    (row,) = table.filter(pl.col("part") == "all").to_dicts()
    low, high = interval(9, 10)
    assert row["precision_pct"] == pytest.approx(row["of_marks_pct"])
    assert row["precision_pct"] == pytest.approx(90)
    assert (row["low_pct"], row["high_pct"]) == (pytest.approx(100 * low), pytest.approx(100 * high))


def test_precision_of_unlabeled_parts_is_null() -> None:
    sample = sample_with(("flush", "RTH", 90, 2), ("tape_speed", "AH", 10, 1))
    table = estimate_precision(sample, labels_of(**{"flush RTH 0": True}))
    rows = {row["part"]: row for row in table.to_dicts()}
    assert (rows["all"]["marked"], rows["all"]["precision_pct"]) == (1, 100)
    unknown = dict.fromkeys(("of_marks_pct", "precision_pct", "low_pct", "high_pct"))
    assert rows["tape_speed"] == {"part": "tape_speed", "events": 1, "marked": 0, "good": 0} | unknown
    words = judge_precision(table, 70).words
    assert words.startswith(
        "not judged: 2 of 3 labels are missing; precision 100.0 % (95 % interval 20.7 to 100.0) so far"
    )
    assert judge_precision(estimate_precision(sample, labels_of()), 70).words == (
        "not judged: none of 3 events is labeled yet. Required: at least 70 %."
    )


@pytest.mark.parametrize(("good", "holds"), [(6, False), (7, True)])
def test_estimate_decides_once_every_event_is_labeled(good: int, holds: bool) -> None:
    sample = sample_with(("flush", "RTH", 10, 10))
    table = estimate_precision(sample, labels_of(**{f"flush RTH {number}": number < good for number in range(10)}))
    verdict = judge_precision(table, 70)
    assert verdict.holds == holds
    assert verdict.words.endswith("Required: at least 70 %. " + ("Met." if holds else "Not met."))
    assert judge_precision(table, 10 * good).holds
    assert not judge_precision(table, 10 * good + 1).holds
