"""Sentences about one thing: noun and verb agree with a total of 1, and with larger ones."""

import polars as pl
import pytest

from smallcaps_assets.domain.bars.coverage import COVERAGE, describe_coverage
from smallcaps_assets.domain.tape.kpis import describe_verdict
from smallcaps_assets.domain.tape.tables import KPIS, LEDGER
from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data.reference_wire import parse_closes_page
from smallcaps_assets.pipeline.events.staleness import current_settings
from smallcaps_assets.pipeline.imports.bar_rules import RememberedRows, find_other_symbols
from smallcaps_assets.pipeline.imports.bar_tables import FILE


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (1, "0 of 1 expected session of all symbols is published; 1 is missing."),
        (2, "0 of 2 expected sessions of all symbols are published; 2 are missing."),
    ],
)
def test_expected_sessions(expected: int, words: str) -> None:
    row = dict.fromkeys(COVERAGE) | {"sessions_expected": expected, "sessions_here": 0}
    assert describe_coverage(pl.DataFrame([row], schema=COVERAGE, orient="row")) == words


@pytest.mark.parametrize(
    ("figures", "words"),
    [(1, "NO-GO: 1 of 1 figure misses its target"), (2, "NO-GO: 2 of 2 figures miss their targets")],
)
def test_missed_targets(figures: int, words: str) -> None:
    kpis = [{"wave": "PM", "figure": f"f{n}", "value": 0.0, "target": "> 1", "holds": False} for n in range(figures)]
    certified = [dict.fromkeys(LEDGER) | {"wave": "PM", "state": "complete"}]
    said = describe_verdict(pl.DataFrame(kpis, schema=KPIS), pl.DataFrame(certified, schema=LEDGER, orient="row"))
    assert said[0] == words


@pytest.mark.parametrize(
    ("current", "words"),
    [
        ([True], "1 symbol was detected with the settings in force."),
        ([True, True], "All 2 symbols were detected with the settings in force."),
        ([False], "1 of 1 symbol was detected with other settings. Launch the job redetect."),
    ],
)
def test_detected_symbols(current: list[bool], words: str) -> None:
    survey = pl.DataFrame({"symbol": ["A", "B"][: len(current)], "current": current})
    assert current_settings(survey).figures["verdict"] == words


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ('{"T":"A","c":1.0,"t":99}', "1 of 1 bar is of another day, the first at 99"),
        ('{"T":"A","c":1.0,"t":99},{"T":"B","c":1.0,"t":99}', "2 of 2 bars are of another day"),
        ('{"T":"A","c":-1.0,"t":5}', "1 of 1 price is impossible, the first is -1.0"),
    ],
)
def test_closes_of_a_day(rows: str, words: str) -> None:
    with pytest.raises(BadPage, match=words):
        parse_closes_page(
            b'{"status":"OK","resultsCount":%d,"results":[%s]}' % (rows.count("T"), rows.encode()), (0, 10)
        )


@pytest.mark.parametrize(
    ("count", "words"), [(1, "The 1 row of another symbol than the path's is set"), (2, "The 2 rows of another")]
)
def test_rows_of_another_symbol(count: int, words: str) -> None:
    (said,) = find_other_symbols(pl.DataFrame({"symbol": ["B"] * count, FILE: ["f.csv"] * count}), "A")
    assert words in said


def test_remembered_rows() -> None:
    remembered = RememberedRows(rows=1)
    remembered.counts["no close"] = 1
    assert remembered.lines() == ["of their 1 row 1 was rejected when they were read: 1 no close"]
