"""Removing records changes no answer that Dagster derives from them, for any history of a partition."""

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.defs.retention.superseded import FAILED, LATEST, MADE, OBSERVED, PLANNED, RECORD, superseded

Row = tuple[int, str, str, str | None]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Row], int]:
    """Records of two partitions, and the number from which on they are too young to go."""
    kinds, versions = st.sampled_from([MADE, MADE, MADE, PLANNED, OBSERVED, FAILED]), st.sampled_from(["a", "b", None])
    rows = [
        (number, draw(st.sampled_from(["A", "B"])), kind := draw(kinds), draw(versions) if kind == MADE else None)
        for number in range(1, draw(st.integers(1, 14)))
    ]
    return rows, draw(st.integers(1, 15))


def is_updated(rows: list[Row], partition: str, pointer: int) -> bool:
    """Whether Dagster calls the input of a record stale that names the number `pointer` as that of its input.

    As `CachingStaleStatusResolver._is_dep_updated` of Dagster decides it.
    """
    made = [(number, version) for number, of, kind, version in rows if (of, kind) == (partition, MADE)]
    if not any(number > pointer for number, _ in made):
        return False
    before = [version for number, version in made if number <= pointer]
    return (before[-1] if before else None) != made[-1][1]


def shown(rows: list[Row], partition: str) -> dict[str, Any]:
    """What else Dagster shows of a partition: its last materialization, and what was planned or observed since."""
    last = {kind: max((row for row in rows if row[1:3] == (partition, kind)), default=None)
            for kind in (MADE, PLANNED, OBSERVED, FAILED)}  # fmt: skip
    made = last[MADE]
    since = {kind: row for kind, row in last.items() if kind != MADE and row and (made is None or row[0] > made[0])}
    return {"made": made, **since}


@given(histories())
def test_what_dagster_shows_of_partitions_and_of_what_is_made_from_them_stays(history: tuple[list[Row], int]) -> None:
    rows, first = history
    columns = list(RECORD)
    frame = pl.DataFrame(rows, RECORD, orient="row").select(columns)
    latest = frame.sort("id").group_by("partition", "type").last().select(list(LATEST))
    gone = superseded(frame.filter(pl.col("id") < first), latest)
    left = [row for row in rows if row[0] not in gone]
    assert all(number < first for number in gone)
    for partition in ("A", "B"):
        assert shown(left, partition) == shown(rows, partition)
        for pointer in range(len(rows) + 1):
            assert is_updated(left, partition, pointer) == is_updated(rows, partition, pointer)


@given(histories())
def test_records_are_removed_once_and_versions_that_never_return_leave_one_record(
    history: tuple[list[Row], int],
) -> None:
    rows, _ = history
    # each materialization with a content of its own
    rows = [(number, of, kind, f"{number}" if kind == MADE else None) for number, of, kind, _ in rows]
    frame = pl.DataFrame(rows, RECORD, orient="row")
    latest = frame.sort("id").group_by("partition", "type").last().select(list(LATEST))
    gone = superseded(frame, latest)
    left = frame.filter(~pl.col("id").is_in(gone))
    assert superseded(left, latest) == []
    made = left.filter(type=MADE)
    assert made["partition"].n_unique() == made.height


def test_a_partition_recorded_every_night_leaves_the_first_and_the_last_record_of_its_content() -> None:
    # content a in nights 1 and 2, then content b in nights 3 to 6; night 6 is too young to go
    rows = [(night, "A", MADE, "a" if night < 3 else "b") for night in range(1, 7)]
    frame = pl.DataFrame(rows, RECORD, orient="row")
    # night 3 tells those who read b in nights 3 to 5 that their input is still the same
    assert superseded(frame.filter(pl.col("id") < 6), frame.tail(1)) == [1, 2, 4, 5]
    # nobody knows a version: to Dagster, nothing has ever changed
    unknown = frame.with_columns(version=pl.lit(None, pl.String))
    assert superseded(unknown.filter(pl.col("id") < 6), unknown.tail(1)) == [1, 2, 3, 4, 5]
